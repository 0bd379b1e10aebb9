//! What is written to people: JSON, Slack's and Teams' shapes, and mail in text and HTML.

use definition::template::{self, BodyType};
use definition::{Shape, Webhook};
use serde_json::{Value, json};

/// Returns the body of a webhook and its content type.
pub(super) fn of_webhook(webhook: &Webhook, content: &Value) -> Result<(String, String), String> {
    if let Some(text) = &webhook.template {
        let kind = webhook.content_type.as_deref();
        let body = template::render_message(text, content, BodyType::of(kind))
            .map_err(|error| format!("its template: {error}"))?;
        return Ok((body, kind.unwrap_or("application/json").to_owned()));
    }
    let body = match webhook.shape {
        Shape::Json => content.clone(),
        Shape::Slack => slack(content),
        Shape::Teams => teams(content),
    };
    Ok((body.to_string(), "application/json".to_owned()))
}

/// A field of the content as text; nothing when it is not there or empty.
pub(super) fn field<'a>(content: &'a Value, name: &str) -> Option<&'a str> {
    content
        .get(name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

/// The rows of a digest, or nothing.
pub(super) fn rows(content: &Value) -> &[Value] {
    content
        .get("rows")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The facts of a message as pairs of words for people.
pub(super) fn facts(content: &Value) -> Vec<(&'static str, String)> {
    let text = |name: &str| field(content, name).map(str::to_owned);
    let mut facts = Vec::new();
    for (label, value) in [
        ("Metric", text("metric_title").or_else(|| text("metric"))),
        ("Value", text("value_text")),
        ("Before", text("previous_text")),
        ("Change", text("change_text")),
        ("Condition", text("condition")),
        ("Range", text("range_text")),
        ("Owner", text("owner")),
    ] {
        if let Some(value) = value {
            facts.push((label, value));
        }
    }
    facts
}

/// A mark that tells good from bad at a glance.
fn mark(content: &Value) -> &'static str {
    match (field(content, "event"), field(content, "urgency")) {
        (Some("resolved" | "reached"), _) => "✅",
        (Some("firing" | "broken" | "missed"), Some("critical")) => "🔴",
        (Some("firing" | "broken" | "missed"), Some("info")) => "🔵",
        (Some("firing" | "broken" | "missed"), _) => "🟠",
        _ => "📊",
    }
}

/// Slack gives meaning to three characters; escaped, they are themselves.
fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn slack(content: &Value) -> Value {
    let headline = field(content, "text").unwrap_or("Tidemark");
    let head = format!("{} *{}*", mark(content), slack_text(headline));
    let section =
        |text: String| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    let mut blocks = vec![section(head)];
    let facts: Vec<String> = facts(content)
        .into_iter()
        .map(|(label, value)| format!("*{label}:* {}", slack_text(&value)))
        .collect();
    if !facts.is_empty() {
        blocks.push(section(facts.join("\n")));
    }
    let lines: Vec<String> = rows(content)
        .iter()
        .map(|row| {
            let text = |name: &str| slack_text(field(row, name).unwrap_or("–"));
            format!(
                "*{}:* {} ({})",
                text("title"),
                text("value_text"),
                text("change_text")
            )
        })
        .collect();
    if !lines.is_empty() {
        blocks.push(section(lines.join("\n")));
    }
    for name in ["description", "metric_description"] {
        if let Some(text) = field(content, name) {
            blocks.push(section(slack_text(&shortened(text))));
        }
    }
    if let Some(link) = field(content, "link") {
        blocks.push(section(format!("<{}|Open in Tidemark>", slack_text(link))));
    }
    json!({ "text": slack_text(headline), "blocks": blocks })
}

fn teams(content: &Value) -> Value {
    let headline = field(content, "text").unwrap_or("Tidemark");
    let block = |text: &str, more: Value| {
        let mut block = json!({ "type": "TextBlock", "text": text, "wrap": true });
        if let (Value::Object(block), Value::Object(more)) = (&mut block, more) {
            block.extend(more);
        }
        block
    };
    let mut body = vec![block(
        &format!("{} {headline}", mark(content)),
        json!({ "weight": "Bolder", "size": "Medium" }),
    )];
    let mut facts: Vec<Value> = facts(content)
        .into_iter()
        .map(|(label, value)| json!({ "title": label, "value": value }))
        .collect();
    for row in rows(content) {
        let text = |name: &str| field(row, name).unwrap_or("–").to_owned();
        let value = format!("{} ({})", text("value_text"), text("change_text"));
        facts.push(json!({ "title": text("title"), "value": value }));
    }
    if !facts.is_empty() {
        body.push(json!({ "type": "FactSet", "facts": facts }));
    }
    for name in ["description", "metric_description"] {
        if let Some(text) = field(content, name) {
            body.push(block(&shortened(text), json!({ "isSubtle": true })));
        }
    }
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    });
    if let Some(link) = field(content, "link") {
        card["actions"] =
            json!([{ "type": "Action.OpenUrl", "title": "Open in Tidemark", "url": link }]);
    }
    json!({
        "type": "message",
        "attachments": [{ "contentType": "application/vnd.microsoft.card.adaptive", "content": card }],
    })
}

/// Chats cut long messages off, or refuse them; a description's beginning is enough there.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 1_500;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(LONGEST).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Value {
        json!({
            "event": "firing", "urgency": "critical", "text": "Few <signups> & more",
            "metric_title": "New subscribers", "value_text": "17", "condition": "value below 20",
            "description": "Look at the form.", "link": "https://t.example.com/metrics/a",
        })
    }

    fn webhook(rest: &str) -> Webhook {
        let text = format!(
            "kind: alert\nname: a\nmetric: m\nwhen: {{ missing: 1d }}\ndeliver:\n  - webhook: {{ url: \"https://a.example.com/\", {rest} }}"
        );
        let definition = definition::parse(&text, "test.yaml")
            .unwrap()
            .definitions
            .remove(0)
            .definition;
        match definition.targets() {
            [definition::Target::Webhook(webhook)] => webhook.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_shapes_say_what_happened_and_lead_on() {
        for shape in ["json", "slack", "teams"] {
            let (body, kind) =
                of_webhook(&webhook(&format!("shape: {shape}")), &content()).unwrap();
            let read: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(kind, "application/json");
            for words in [
                "New subscribers",
                "17",
                "value below 20",
                "Look at the form.",
                "https://t.example.com/metrics/a",
            ] {
                assert!(body.contains(words), "{shape}: {words}: {body}");
            }
            match shape {
                "slack" => assert_eq!(read["text"], "Few &lt;signups&gt; &amp; more"),
                "teams" => assert_eq!(read["attachments"][0]["content"]["type"], "AdaptiveCard"),
                _ => assert_eq!(read, content()),
            }
        }
    }

    #[test]
    fn a_template_is_the_user_s_own_body() {
        let written = webhook("template: '{\"a\": \"{{ text }}\"}'");
        let (body, _) = of_webhook(&written, &content()).unwrap();
        assert_eq!(body, r#"{"a":"Few <signups> & more"}"#);
        let plain = webhook("template: \"{{ text }}!\", content_type: text/plain");
        assert_eq!(
            of_webhook(&plain, &content()).unwrap(),
            ("Few <signups> & more!".to_owned(), "text/plain".to_owned())
        );
    }
}

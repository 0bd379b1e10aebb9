//! A message as mail: its subject, as text, and as HTML that mail programs agree on.

use std::fmt::Write as _;

use serde_json::Value;

use super::body::{facts, field, rows};

/// Subjects beyond this are cut by mail programs.
const SUBJECT: usize = 150;

/// Returns the subject: what happened, on one line.
pub(super) fn subject(content: &Value) -> String {
    let text = field(content, "text").unwrap_or("A message from Tidemark");
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(SUBJECT)
        .collect();
    match field(content, "event") {
        Some(event @ ("firing" | "resolved" | "reached" | "missed" | "broken")) => {
            format!("[{event}] {line}")
        }
        _ => line,
    }
}

/// Returns the message for readers of plain text.
pub(super) fn text(content: &Value) -> String {
    let mut lines = vec![
        field(content, "text").unwrap_or_default().to_owned(),
        String::new(),
    ];
    for (label, value) in facts(content) {
        lines.push(format!("{label}: {value}"));
    }
    for row in rows(content) {
        let one = |name: &str| field(row, name).unwrap_or("-").to_owned();
        lines.push(format!(
            "{}: {} (before {}, {})",
            one("title"),
            one("value_text"),
            one("previous_text"),
            one("change_text")
        ));
        if let Some(goal) = field(row, "goal_text") {
            lines.push(format!("  {goal}"));
        }
    }
    for name in ["description", "metric_description"] {
        if let Some(text) = field(content, name) {
            lines.push(String::new());
            lines.push(text.to_owned());
        }
    }
    if let Some(link) = field(content, "link") {
        lines.push(String::new());
        lines.push(link.to_owned());
    }
    lines.join("\n")
}

/// Returns the message as HTML: one table, styles on the elements, nothing loaded from anywhere.
pub(super) fn html(content: &Value) -> String {
    const CELL: &str =
        "padding:6px 12px 6px 0;border-bottom:1px solid #e5e7eb;text-align:left;vertical-align:top";
    const NUMBER: &str = "padding:6px 12px 6px 0;border-bottom:1px solid #e5e7eb;text-align:right;white-space:nowrap";
    let mut out = String::from(
        "<!doctype html><html><body style=\"margin:0;padding:24px;font-family:system-ui,-apple-system,Segoe UI,Roboto,sans-serif;color:#111827;background:#ffffff\">",
    );
    let headline = field(content, "text").unwrap_or_default();
    out.push_str("<h2 style=\"margin:0 0 16px;font-size:18px\">");
    out.push_str(&escaped(headline));
    out.push_str("</h2>");
    let facts = facts(content);
    if !facts.is_empty() {
        out.push_str("<table style=\"border-collapse:collapse;font-size:14px\">");
        for (label, value) in facts {
            let _ = write!(
                out,
                "<tr><td style=\"{CELL};color:#6b7280\">{label}</td><td style=\"{CELL}\">{}</td></tr>",
                escaped(&value)
            );
        }
        out.push_str("</table>");
    }
    let rows = rows(content);
    if !rows.is_empty() {
        out.push_str(
            "<table style=\"border-collapse:collapse;font-size:14px;min-width:420px\"><tr>",
        );
        for (style, head) in [
            (CELL, "Metric"),
            (NUMBER, "Value"),
            (NUMBER, "Before"),
            (NUMBER, "Change"),
        ] {
            let _ = write!(
                out,
                "<th style=\"{style};color:#6b7280;font-weight:500\">{head}</th>"
            );
        }
        out.push_str("</tr>");
        for row in rows {
            out.push_str(&html_row(row, CELL, NUMBER));
        }
        out.push_str("</table>");
    }
    for name in ["description", "metric_description"] {
        if let Some(text) = field(content, name) {
            out.push_str("<p style=\"font-size:14px;color:#374151;white-space:pre-wrap\">");
            out.push_str(&escaped(text));
            out.push_str("</p>");
        }
    }
    if let Some(link) = field(content, "link").filter(|link| link.starts_with("http")) {
        let _ = write!(
            out,
            "<p style=\"font-size:14px\"><a href=\"{}\" style=\"color:#2563eb\">Open in Tidemark</a></p>",
            escaped(link)
        );
    }
    out.push_str("</body></html>");
    out
}

fn html_row(row: &Value, cell: &str, number: &str) -> String {
    let one = |name: &str| escaped(field(row, name).unwrap_or("–"));
    let colour = match field(row, "direction") {
        Some("better") => "#15803d",
        Some("worse") => "#b91c1c",
        _ => "#6b7280",
    };
    let goal = field(row, "goal_text").map_or(String::new(), |goal| {
        format!(
            "<div style=\"color:#6b7280;font-size:12px\">{}</div>",
            escaped(goal)
        )
    });
    format!(
        "<tr><td style=\"{cell}\">{}{goal}</td><td style=\"{number};font-weight:600\">{}</td><td style=\"{number}\">{}</td><td style=\"{number};color:{colour}\">{}</td></tr>",
        one("title"),
        one("value_text"),
        one("previous_text"),
        one("change_text")
    )
}

/// Text as it stands in HTML, in attributes too.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_people_wrote_stays_text_in_html() {
        let content = json!({
            "event": "firing", "text": "<script>alert(1)</script>\nsecond line",
            "value_text": "\"17\" & more", "link": "javascript:alert(1)",
            "rows": [{ "title": "<b>", "value_text": "1", "change_text": "+5 %", "direction": "better" }],
        });
        let html = html(&content);
        assert!(
            !html.contains("<script>") && !html.contains("<b>"),
            "{html}"
        );
        assert!(!html.contains("javascript:"), "{html}");
        assert!(html.contains("&quot;17&quot; &amp; more"), "{html}");
        assert_eq!(
            subject(&content),
            "[firing] <script>alert(1)</script> second line"
        );
        assert!(text(&content).contains("Value: \"17\" & more"));
    }
}

//! What is told: one document for every channel, with numbers for programs and words for people.

use definition::{About, Metric, Target};
use jiff::Timestamp;
use rollup::{Decimal, title_of};
use serde_json::{Map, Value, json};
use store::{Kind, NewDelivery};

/// The channel of announcements on NATS.
pub(crate) const NATS: &str = "nats";

/// Begins the document of a message about an alert or goal.
pub(crate) fn begin(
    workspace: &str,
    kind: Kind,
    name: &str,
    about: &About,
    metric: &Metric,
    link: &str,
    now: Timestamp,
) -> Map<String, Value> {
    let mut content = Map::new();
    let mut put = |field: &str, value: Value| content.insert(field.to_owned(), value);
    put("workspace", json!(workspace));
    put("kind", json!(kind.as_str()));
    put("name", json!(name));
    put("at", json!(now.to_string()));
    put("title", json!(about.title.as_deref().unwrap_or(name)));
    put(
        "description",
        json!(about.description.as_deref().unwrap_or_default()),
    );
    put("owner", json!(about.owner.as_deref().unwrap_or_default()));
    put("metric", json!(metric.name.as_str()));
    put("metric_title", json!(title_of(metric)));
    put(
        "metric_description",
        json!(metric.description.as_deref().unwrap_or_default()),
    );
    put("link", json!(link));
    content
}

/// A number for programs; null where there is none.
pub(crate) fn number(value: Option<Decimal>) -> Value {
    value.map_or(Value::Null, |value| json!(value.to_f64()))
}

/// Returns the announcement on NATS and a message for each target.
///
/// `news` is announced at once; `told` is sent to people, not before its instant.
pub(crate) fn deliveries(
    case: &str,
    news: Option<(&str, Timestamp)>,
    told: Option<(&str, Timestamp)>,
    targets: &[Target],
    content: &Map<String, Value>,
) -> Vec<NewDelivery> {
    let mut made = Vec::new();
    let document = |event: &str, id: &str| {
        let mut content = content.clone();
        content.insert("event".to_owned(), json!(event));
        content.insert("id".to_owned(), json!(id));
        Value::Object(content).to_string()
    };
    if let Some((event, at)) = news {
        let id = format!("{case}.{event}");
        made.push(NewDelivery {
            key: format!("{id}.{NATS}"),
            event: event.to_owned(),
            channel: NATS.to_owned(),
            recipient: NATS.to_owned(),
            not_before: at.as_millisecond(),
            target: "{}".to_owned(),
            content: document(event, &id),
        });
    }
    if let Some((event, at)) = told {
        let id = format!("{case}.{event}");
        for (number, target) in targets.iter().enumerate() {
            made.push(NewDelivery {
                key: format!("{id}.{number}"),
                event: event.to_owned(),
                channel: target.as_str().to_owned(),
                recipient: recipient(target),
                not_before: at.as_millisecond(),
                target: target.to_document().to_string(),
                content: document(event, &id),
            });
        }
    }
    made
}

/// Whom a message goes to, without what may be secret: an address's origin, or the mail addresses.
fn recipient(target: &Target) -> String {
    match target {
        Target::Webhook(webhook) => webhook.origin().unwrap_or_default(),
        Target::Email(email) => email.to.join(", "),
    }
}

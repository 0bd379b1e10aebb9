use serde::Serialize;
use serde_json::Value;

use crate::decode::{self, Key};
use crate::name::Name;
use crate::parent::Parent;
use crate::problem::Problem;
use crate::request::Request;
use crate::schema;
use crate::window::Window;

/// What is fetched, whoever wants it: metrics that ask the same thing share one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fetch {
    /// The API that is asked, by name.
    pub connection: Name,
    /// What is asked.
    pub request: Request,
    /// The dates that are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The zone of the dates in templates; only where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The dataset for each of whose records it is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
}

const FETCH: &[Key] = &[
    Key::required("connection", "the API that is asked", schema::name),
    Key::required("request", "what is asked", schema::request),
    Key::optional("window", "the dates that are asked for", schema::window),
    Key::optional("zone", "the zone of dates in templates", schema::line),
    Key::optional("parent", "the dataset it is asked for", schema::parent),
];

impl Fetch {
    pub(crate) fn new(
        connection: &Name,
        request: &Request,
        window: Option<Window>,
        zone: Option<&str>,
        parent: Option<&Parent>,
    ) -> Self {
        let dated = crate::template::uses_of_request(request).is_dated();
        Self {
            connection: connection.clone(),
            request: request.clone(),
            window,
            zone: dated.then(|| zone.unwrap_or("UTC").to_owned()),
            parent: parent.cloned(),
        }
    }

    /// Returns what tells two fetches apart, as canonical JSON: keys sorted, defaults left out.
    pub fn identity(&self) -> String {
        canonical(&serde_json::to_value(self).unwrap_or(Value::Null))
    }

    /// Returns its JSON form, defaults left out.
    pub fn to_document(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// Reads its JSON form.
    pub fn from_document(document: &Value) -> Result<Self, Vec<Problem>> {
        crate::bundle::read_document(document, |decoder, place| {
            let fields = decoder.object(place, FETCH, "a fetch")?;
            Some(Self {
                connection: fields.get("connection").and_then(|p| decoder.name(&p))?,
                request: fields
                    .get("request")
                    .and_then(|p| decode::request(decoder, &p))?,
                window: fields
                    .get("window")
                    .and_then(|p| decode::window(decoder, &p)),
                zone: fields.get("zone").and_then(|p| decoder.zone(&p)),
                parent: fields
                    .get("parent")
                    .and_then(|p| decode::parent(decoder, &p)),
            })
        })
    }
}

/// Writes JSON with sorted keys and no spaces, so that equal values are equal texts.
pub(crate) fn canonical(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(key, _)| *key);
                Value::Object(
                    fields
                        .into_iter()
                        .map(|(k, v)| (k.clone(), sorted(v)))
                        .collect(),
                )
            }
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

use definition::Connection;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// One public API as the catalogue knows it: a file of `catalogue/`, strictly read.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Connector {
    /// Its name, as `connector:` says it.
    #[schema(example = "convertkit")]
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What it is good for, in a sentence.
    pub summary: String,
    /// How far it is trusted.
    pub status: Status,
    /// What it is found under, such as `payments`.
    pub category: String,
    /// The address; `{{ connection.x }}` stands for one of `variables`.
    pub base_url: String,
    /// What differs from account to account, by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Variable>)]
    pub variables: IndexMap<String, Variable>,
    /// The ways to prove who asks, the proposed one first; none for a public API.
    #[serde(default)]
    pub auth: Vec<AuthOption>,
    /// Headers of every request.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub headers: IndexMap<String, String>,
    /// The versions of the API.
    pub versions: Versions,
    /// How its lists are paged where an endpoint says nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub pagination: Option<Value>,
    /// What all fetchers together may send, as `rate_limit` of a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub rate_limit: Option<Value>,
    /// What its makers say of limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit_note: Option<String>,
    /// How an answer of 200 says that it is an error, as a definition's `error_when`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_when: Option<String>,
    /// How an answer of 200 asks to be tried again, as a definition's `retry_when`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_when: Option<String>,
    /// Where such an answer says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The zone that its dates without one are in.
    pub timezone: String,
    /// Whether and how requests can ask for a range of dates.
    pub dynamic_dates: WindowSupport,
    /// What account is needed.
    pub access: Access,
    /// What a credential must be allowed for the metrics below.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Where its makers tell more.
    pub links: Links,
    /// What can be asked.
    pub endpoints: Vec<Endpoint>,
    /// What it cannot do, or cannot do here yet.
    #[serde(default)]
    pub limitations: Vec<String>,
    /// The public pages that the facts were taken from.
    pub sources: Vec<String>,
    /// Metrics that are ready: definitions without `kind` and `connection`.
    #[schema(value_type = Vec<Object>)]
    pub metrics: Vec<Map<String, Value>>,
    /// The connection it makes, with examples for its variables.
    #[serde(skip)]
    pub connection: Option<Connection>,
    /// The text of its file.
    #[serde(skip)]
    pub(crate) text: &'static str,
}

/// How far a connector is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its facts are documented well and its recorded shapes cover its paging.
    Stable,
    /// Something of it waits or is not sure; its limitations say what.
    Beta,
}

impl Status {
    /// Returns the word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Beta => "beta",
        }
    }
}

/// What differs from account to account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// What it is and where it is seen.
    pub about: String,
    /// What it may look like.
    pub example: String,
}

/// One way to prove who asks.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthOption {
    /// What its makers call the credential.
    pub title: String,
    /// What a connection says: the `auth` of a definition.
    #[serde(rename = "use")]
    #[schema(value_type = Object)]
    pub shape: Value,
    /// Where the credential is found or made.
    pub find: String,
    /// The page where it is found or made.
    pub link: String,
    /// What more than reading the credential allows, and how to ask for less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// The versions of an API.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// The one that the metrics here use.
    pub used: String,
    /// Others that answer alike, or that a definition may choose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// How a version is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_by: Option<String>,
}

/// Whether and how requests can ask for a range of dates.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowSupport {
    /// Whether any endpoint can.
    pub supported: bool,
    /// With which parameters, in which format, and whether the end is inside.
    pub about: String,
}

/// What account is needed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The plans that have an API.
    pub plan: String,
    /// Who in the account can make the credential.
    pub kind: String,
}

/// Where an API's makers tell more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// What can be asked and what is answered.
    pub documentation: String,
    /// Whether it works now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changelog: Option<String>,
    /// Where keys are made; a public API has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
}

/// One thing that can be asked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// `GET`, or `POST` where that only reads.
    pub method: String,
    /// The path below the address; `{id}` stands for any one segment.
    pub path: String,
    /// What it answers.
    pub what: String,
    /// How it is paged, where that differs from the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub pagination: Option<Value>,
    /// Where the records are in its answer, as JSONata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<String>,
}

impl Connector {
    /// Returns the ready metric of that name, as written in the file.
    pub fn metric(&self, name: &str) -> Option<&Map<String, Value>> {
        self.metrics
            .iter()
            .find(|metric| metric.get("name").and_then(Value::as_str) == Some(name))
    }

    /// Returns the names of the ready metrics, with their titles.
    pub fn metric_names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metrics.iter().filter_map(|metric| {
            let name = metric.get("name").and_then(Value::as_str)?;
            let title = metric.get("title").and_then(Value::as_str);
            Some((name, title.unwrap_or(name)))
        })
    }

    /// Returns the endpoint that a request asks, if it is known.
    pub fn endpoint(&self, method: &str, path: &str) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.method == method && endpoint.is(path))
    }
}

impl Endpoint {
    /// Tells whether `path` is this endpoint's; a `{segment}` fits any one segment.
    fn is(&self, path: &str) -> bool {
        let mut known = self.path.split('/');
        let mut asked = segments(path).into_iter();
        loop {
            match (known.next(), asked.next()) {
                (None, None) => return true,
                (Some(known), Some(asked)) if known == asked => {}
                (Some(known), Some(asked))
                    if known.starts_with('{') && known.ends_with('}') && !asked.is_empty() => {}
                _ => return false,
            }
        }
    }
}

/// Splits a path at its slashes, those inside of placeholders left alone.
fn segments(path: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b'/' if depth == 0 => {
                parts.push(&path[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&path[begin..]);
    parts
}

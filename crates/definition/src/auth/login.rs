use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use super::{Put, TextOrSecret};
use crate::name::Name;
use crate::request::Method;
use crate::span::Span;

/// A session token that the answer to a request holds; asked for again when it is refused or old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Login {
    /// What to ask.
    pub request: LoginRequest,
    /// Where its answer holds the token.
    pub token: TokenSource,
    /// How long a token is used; without it, until it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Span>,
    /// Where the token is put.
    pub put: Put,
}

/// A request whose parts may be secrets.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct LoginRequest {
    /// POST unless said otherwise.
    pub method: Method,
    /// The path below the connection's `base_url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The whole address, instead of `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The query parameters, in order.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub query: IndexMap<String, TextOrSecret>,
    /// Headers besides the connection's.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, TextOrSecret>,
    /// HTTP basic authentication of this one request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic: Option<Pair>,
    /// The JSON body; an object `{ "secret": name }` in it is that secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The form body instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<IndexMap<String, TextOrSecret>>,
}

impl std::fmt::Debug for LoginRequest {
    /// Its parts are left out: people do paste passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// A user name and a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The user name.
    pub username: TextOrSecret,
    /// The password.
    pub password: TextOrSecret,
}

/// Where an answer holds a session token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum TokenSource {
    /// `data.token`: JSONata on the answer.
    Path(String),
    /// `{ header: X-Session }`
    Header {
        /// The header.
        header: String,
    },
    /// `{ cookie: sid }`: the value of one cookie that the answer sets.
    Cookie {
        /// The cookie.
        cookie: String,
    },
}

/// Returns the secret that a value of a login's body stands for: an object with the one key `secret`.
pub fn secret_leaf(value: &Value) -> Option<Name> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    Name::parse(fields.get("secret")?.as_str()?).ok()
}

impl Login {
    pub(super) fn secrets(&self) -> Vec<Name> {
        let request = &self.request;
        let pair = request.basic.iter();
        let parts = request
            .query
            .values()
            .chain(request.headers.values())
            .chain(pair.flat_map(|pair| [&pair.username, &pair.password]))
            .chain(request.form.iter().flat_map(IndexMap::values));
        let mut names: Vec<Name> = parts.filter_map(TextOrSecret::secret).cloned().collect();
        if let Some(body) = &request.body {
            leaves(body, &mut names);
        }
        names
    }
}

fn leaves(value: &Value, names: &mut Vec<Name>) {
    match value {
        Value::Object(fields) => match secret_leaf(value) {
            Some(name) => names.push(name),
            None => fields.values().for_each(|value| leaves(value, names)),
        },
        Value::Array(items) => items.iter().for_each(|value| leaves(value, names)),
        _ => {}
    }
}

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use crate::auth::Auth;
use crate::conditions::Conditions;
use crate::name::Name;
use crate::request::Request;
use crate::span::Span;
use crate::template::{self, Scope};
use crate::variable::{LookUp, Variable};

/// One remote API: its address, credentials and limits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Connection {
    /// Its name.
    pub name: Name,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The entry of the catalogue it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
    /// The address that every request path is below; `http` or `https`.
    pub base_url: String,
    /// How requests prove who they are.
    #[serde(skip_serializing_if = "Auth::is_none")]
    pub auth: Auth,
    /// Headers of every request.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// What all fetchers together may send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// What templates know as `connection.NAME`.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub variables: IndexMap<Name, Variable>,
    /// How an answer of 200 says that it is an error, unless a request says otherwise.
    #[serde(flatten)]
    pub conditions: Conditions,
    /// Whether its datasets rest.
    #[serde(skip_serializing_if = "is_false")]
    pub paused: bool,
}

/// At most `requests` in any window of `per`, and `concurrency` at a time, over all fetchers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RateLimit {
    /// How many requests.
    pub requests: u32,
    /// In how long; any window of this length counts.
    pub per: Span,
    /// How many at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

impl Connection {
    /// Returns the secrets it needs, each once, in order.
    pub fn secrets(&self) -> Vec<Name> {
        self.auth.secrets()
    }

    /// Returns its constant variables.
    pub fn constants(&self) -> IndexMap<String, Value> {
        let constant = |(name, variable): (&Name, &Variable)| match variable {
            Variable::Constant(value) => Some((name.to_string(), value.clone())),
            Variable::LookedUp(_) => None,
        };
        self.variables.iter().filter_map(constant).collect()
    }

    /// Returns those variables that are looked up and that `request` uses, in their order.
    pub fn looked_up(&self, request: &Request) -> Vec<(&Name, &LookUp)> {
        let used = template::connection_variables_of(request);
        let mut found = Vec::new();
        for (name, variable) in &self.variables {
            if let Variable::LookedUp(look_up) = variable
                && used.iter().any(|used| used == name.as_str())
            {
                found.push((name, look_up));
            }
        }
        found
    }

    /// Returns the base address with its constants put in; `None` where they do not fit.
    pub fn address(&self) -> Option<String> {
        let scope = Scope {
            connection: self.constants(),
            ..Scope::empty()
        };
        template::render(&self.base_url, &scope).ok()
    }

    /// Returns `scheme://host:port` of the base address, with the port written even where it is
    /// the scheme's own; `None` when it is no address.
    pub fn origin(&self) -> Option<String> {
        origin_of(&self.address()?)
    }

    /// Returns every origin its secrets, and the tokens given for them, may be sent to: the base
    /// address's first, then the token server's or login's. `None` when one of them is not known.
    pub fn origins(&self) -> Option<Vec<String>> {
        let mut origins = vec![self.origin()?];
        if let Some(address) = self.auth.address() {
            let origin = origin_of(address)?;
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        Some(origins)
    }
}

fn origin_of(address: &str) -> Option<String> {
    let url = url::Url::parse(address).ok()?;
    if address.contains("{{") || !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let host = url.host_str()?;
    let port = url.port_or_known_default()?;
    Some(format!("{}://{host}:{port}", url.scheme()))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}

use indexmap::IndexMap;
use serde::Serialize;

use crate::auth::Auth;
use crate::name::Name;
use crate::span::Span;

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

    /// Returns `scheme://host:port` of the base address, with the port written even where it is
    /// the scheme's own; `None` when a template stands in the way or it is no address.
    pub fn origin(&self) -> Option<String> {
        origin_of(&self.base_url)
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

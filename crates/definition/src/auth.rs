mod login;
mod oauth2;
mod put;

use indexmap::IndexMap;
use serde::Serialize;

use crate::name::Name;

pub use login::{Login, LoginRequest, Pair, TokenSource, secret_leaf};
pub use oauth2::{Algorithm, Assertion, ClientAuth, Grant, OAuth2};
pub use put::Put;

/// How requests prove who they are. Definitions name secrets and never hold them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// They do not.
    #[default]
    None,
    /// HTTP basic authentication.
    Basic {
        /// The user name.
        username: TextOrSecret,
        /// The password.
        password: TextOrSecret,
    },
    /// `Authorization: Bearer …`
    Bearer(Credential),
    /// Secrets in headers.
    Header(IndexMap<String, Credential>),
    /// Secrets in query parameters.
    Query(IndexMap<String, Credential>),
    /// An access token that a token server gives for what is kept here.
    #[serde(rename = "oauth2")]
    OAuth2(Box<OAuth2>),
    /// A session token that the answer to a login request holds.
    Login(Box<Login>),
}

impl Auth {
    /// Every kind as it is written.
    pub const WORDS: &'static [&'static str] = &[
        "none", "basic", "bearer", "header", "query", "oauth2", "login",
    ];

    /// Tells whether this is [`Auth::None`].
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Returns the secrets it needs, each once, in order.
    pub fn secrets(&self) -> Vec<Name> {
        let all: Vec<&Name> = match self {
            Self::None => Vec::new(),
            Self::Basic { username, password } => [username, password]
                .into_iter()
                .filter_map(TextOrSecret::secret)
                .collect(),
            Self::Bearer(credential) => vec![&credential.secret],
            Self::Header(credentials) | Self::Query(credentials) => credentials
                .values()
                .map(|credential| &credential.secret)
                .collect(),
            Self::OAuth2(oauth2) => oauth2.secrets(),
            Self::Login(login) => return each_once(login.secrets()),
        };
        each_once(all.into_iter().cloned())
    }

    /// Returns the secret that a person's consent fills, where one is needed.
    pub fn consent(&self) -> Option<&Name> {
        match self {
            Self::OAuth2(oauth2) => match &oauth2.grant {
                Grant::AuthorizationCode { refresh_token, .. } => Some(&refresh_token.secret),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the address besides `base_url` that its secrets are sent to, which may be a template.
    pub fn address(&self) -> Option<&str> {
        match self {
            Self::OAuth2(oauth2) => Some(&oauth2.token_url),
            Self::Login(login) => login.request.url.as_deref(),
            Self::None
            | Self::Basic { .. }
            | Self::Bearer(_)
            | Self::Header(_)
            | Self::Query(_) => None,
        }
    }
}

fn each_once(all: impl IntoIterator<Item = Name>) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A secret by name and nothing else: `{ secret: name }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// The name of the secret.
    pub secret: Name,
}

/// A secret by name, and what is written before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Credential {
    /// The name of the secret.
    pub secret: Name,
    /// What comes before its value, such as `"Token "`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// A part of what proves who we are: plain text, or a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum TextOrSecret {
    /// Written in the definition: `username: api`.
    Text(String),
    /// Kept as a secret: `password: { secret: name }`.
    Secret(Name),
}

impl TextOrSecret {
    /// Returns the name of the secret, if it is one.
    pub fn secret(&self) -> Option<&Name> {
        match self {
            Self::Text(_) => None,
            Self::Secret(name) => Some(name),
        }
    }
}

impl Serialize for TextOrSecret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Secret<'a> {
            secret: &'a Name,
        }
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Secret(secret) => Secret { secret }.serialize(serializer),
        }
    }
}

impl std::fmt::Debug for TextOrSecret {
    /// Plain texts are shown as `***`: people do paste passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(***)"),
            Self::Secret(name) => f.debug_tuple("Secret").field(name).finish(),
        }
    }
}

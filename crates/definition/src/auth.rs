use indexmap::IndexMap;
use serde::Serialize;

use crate::name::Name;

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
}

impl Auth {
    /// Every kind as it is written.
    pub const WORDS: &'static [&'static str] = &["none", "basic", "bearer", "header", "query"];

    /// Tells whether this is [`Auth::None`].
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Returns the secrets it needs, each once, in order.
    pub fn secrets(&self) -> Vec<Name> {
        let mut names: Vec<Name> = Vec::new();
        let mut add = |name: &Name| {
            if !names.contains(name) {
                names.push(name.clone());
            }
        };
        match self {
            Self::None => {}
            Self::Basic { username, password } => {
                for part in [username, password] {
                    if let TextOrSecret::Secret(name) = part {
                        add(name);
                    }
                }
            }
            Self::Bearer(credential) => add(&credential.secret),
            Self::Header(credentials) | Self::Query(credentials) => {
                credentials
                    .values()
                    .for_each(|credential| add(&credential.secret));
            }
        }
        names
    }
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

/// A part of basic authentication: plain text, or a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum TextOrSecret {
    /// Written in the definition: `username: api`.
    Text(String),
    /// Kept as a secret: `password: { secret: name }`.
    Secret(Name),
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

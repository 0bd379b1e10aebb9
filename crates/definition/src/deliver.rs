use serde::Serialize;
use url::Url;

use crate::name::{Name, SecretName};
use crate::words::words;

/// Where a message to people goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A POST to an address.
    Webhook(Webhook),
    /// A mail.
    Email(Email),
}

/// A POST of a message to an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Webhook {
    /// The address, or its beginning where `path` is secret.
    pub url: String,
    /// The secret that holds the rest of the address, or all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<SecretRef>,
    /// The secret that messages are signed with (Standard Webhooks: `whsec_…`, or any text).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign: Option<SecretRef>,
    /// The shape of the body.
    #[serde(skip_serializing_if = "Shape::is_default")]
    pub shape: Shape,
    /// The body, with placeholders, instead of a shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What a template's body is; `application/json` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

impl Webhook {
    /// Returns `scheme://host:port` of its address, as secrets are bound to it.
    pub fn origin(&self) -> Option<String> {
        let url = Url::parse(&self.url).ok()?;
        let port = url.port_or_known_default()?;
        Some(format!("{}://{}:{port}", url.scheme(), url.host_str()?))
    }
}

/// A mail to one or more people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Email {
    /// Who gets it.
    pub to: Vec<String>,
}

impl Email {
    /// The most people of one message.
    pub const MAX_TO: usize = 20;
}

/// A secret by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecretRef {
    /// Its name.
    pub secret: Name,
}

words! {
    /// The shape of a webhook's body.
    pub enum Shape {
        /// What happened, as JSON (the default).
        Json = "json",
        /// A message as Slack, Mattermost and others take it.
        Slack = "slack",
        /// An adaptive card as Microsoft Teams takes it.
        Teams = "teams",
    }
}

impl Shape {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::Json
    }
}

impl Target {
    /// The kinds of target.
    pub const WORDS: &'static [&'static str] = &["webhook", "email"];
    /// The most targets of one definition.
    pub const MOST: usize = 10;

    /// Returns the kind, which is also the channel that it goes by.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Email(_) => "email",
        }
    }

    /// Returns the secrets that it needs.
    pub fn secrets(&self) -> Vec<SecretName> {
        match self {
            Self::Webhook(webhook) => [&webhook.path, &webhook.sign]
                .into_iter()
                .flatten()
                .map(|named| named.secret.clone())
                .collect(),
            Self::Email(_) => Vec::new(),
        }
    }
}

use indexmap::IndexMap;
use serde::Serialize;

use super::{Put, Stored, TextOrSecret};
use crate::name::Name;
use crate::span::{Span, SpanUnit};
use crate::words::words;

/// An access token from a token server (RFC 6749), renewed when it expires or is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OAuth2 {
    /// What the token is given for.
    #[serde(flatten)]
    pub grant: Grant,
    /// The token server; what is kept here is sent to its origin.
    pub token_url: String,
    /// Who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<TextOrSecret>,
    /// What proves who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Stored>,
    /// Where the two are put.
    #[serde(skip_serializing_if = "ClientAuth::is_default")]
    pub client_auth: ClientAuth,
    /// What the token is for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// For whom the token is; of an assertion, who reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Further fields of the token request; `grant_type` here replaces the standard one.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub parameters: IndexMap<String, String>,
    /// Where the access token is put.
    #[serde(skip_serializing_if = "Put::is_bearer")]
    pub put: Put,
}

/// What an access token is given for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "grant", rename_all = "snake_case")]
pub enum Grant {
    /// For the client's own credentials.
    ClientCredentials,
    /// For a refresh token that somebody stored; one that is replaced at every use is kept safely.
    RefreshToken {
        /// The refresh token.
        refresh_token: Stored,
    },
    /// For the consent of a person, given once in a browser.
    AuthorizationCode {
        /// Where the person consents.
        authorize_url: String,
        /// The secret that what comes of it is kept in.
        refresh_token: Stored,
    },
    /// For an assertion signed with a key (RFC 7523), as service accounts do.
    JwtBearer(Assertion),
}

impl Grant {
    /// Every grant as it is written.
    pub const WORDS: &'static [&'static str] = &[
        "client_credentials",
        "refresh_token",
        "authorization_code",
        "jwt_bearer",
    ];

    /// Returns the word as it is written.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ClientCredentials => Self::WORDS[0],
            Self::RefreshToken { .. } => Self::WORDS[1],
            Self::AuthorizationCode { .. } => Self::WORDS[2],
            Self::JwtBearer(_) => Self::WORDS[3],
        }
    }

    /// Returns the secret that holds the refresh token, where there is one.
    pub fn refresh_token(&self) -> Option<&Name> {
        match self {
            Self::RefreshToken { refresh_token }
            | Self::AuthorizationCode { refresh_token, .. } => Some(&refresh_token.secret),
            Self::ClientCredentials | Self::JwtBearer(_) => None,
        }
    }
}

/// A signed assertion: who says it, of whom, and the key that proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assertion {
    /// The private key as PEM, or a Google key file.
    pub key: Stored,
    /// Which key it is, where the token server knows several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// How it signs.
    #[serde(skip_serializing_if = "Algorithm::is_default")]
    pub algorithm: Algorithm,
    /// Who says it; a Google key file says so itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Of whom it is said; the issuer where nothing is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How long one assertion holds.
    #[serde(skip_serializing_if = "Assertion::is_default_lifetime")]
    pub lifetime: Span,
    /// Further claims.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub claims: IndexMap<String, String>,
}

impl Assertion {
    /// How long an assertion holds when nothing is written.
    pub const DEFAULT_LIFETIME: Span = Span::new(1, SpanUnit::Hour);

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default_lifetime(span: &Span) -> bool {
        *span == Self::DEFAULT_LIFETIME
    }
}

words! {
    /// Where a client's id and secret are put in a token request.
    pub enum ClientAuth {
        /// As fields of the request.
        Body = "body",
        /// As `Authorization: Basic …`
        Header = "header",
    }
}

impl ClientAuth {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::Body
    }
}

words! {
    /// How an assertion is signed.
    pub enum Algorithm {
        /// RSA with SHA-256.
        Rs256 = "RS256",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
    }
}

impl Algorithm {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::Rs256
    }
}

impl OAuth2 {
    /// Returns the secrets it needs, in order.
    pub(super) fn secrets(&self) -> Vec<&Name> {
        let key = match &self.grant {
            Grant::JwtBearer(assertion) => Some(&assertion.key.secret),
            _ => self.grant.refresh_token(),
        };
        let client = self.client_id.as_ref().and_then(TextOrSecret::secret);
        let secret = self.client_secret.as_ref().map(|stored| &stored.secret);
        [client, secret, key].into_iter().flatten().collect()
    }
}

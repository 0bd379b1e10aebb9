//! Opens the secrets of one run and puts them on requests, only towards the origins they were stored for.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use definition::template::{self, Scope, TemplateError};
use definition::{Auth, Connection, Credential, Grant, Name, Put, TextOrSecret};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use indexmap::IndexMap;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use service::{Identity, Secret};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{Token, TokenFault};

use crate::http::{Credentials, is_forbidden_header};
use crate::redact::Redactor;

/// Why a secret cannot be used. Never says its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretFault {
    /// The connection names a secret that the sync request does not carry.
    #[error("secret `{0}` is not set")]
    Missing(String),
    /// No loaded identity opens it, or it belongs to another workspace or name.
    #[error("secret `{0}` cannot be opened here; set it again")]
    Closed(String),
    /// It was stored for other origins.
    #[error("secret `{name}` was not stored for {origin}; set it again to allow the new address")]
    OtherOrigin {
        /// The secret.
        name: String,
        /// Where it would have gone.
        origin: String,
    },
    /// The connection waits for a person's consent.
    #[error(
        "nobody has authorized the connection `{0}` yet: run `tidemark connection authorize {0}`"
    )]
    Consent(String),
    /// It cannot stand where it is to be put.
    #[error("secret `{name}` {reason}")]
    Unfit {
        /// The secret.
        name: String,
        /// Why not.
        reason: &'static str,
    },
}

impl SecretFault {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            SecretFault::Missing(_) => "secret.missing",
            SecretFault::Closed(_) => "secret.closed",
            SecretFault::OtherOrigin { .. } => "secret.origin_refused",
            SecretFault::Consent(_) => "token.consent",
            SecretFault::Unfit { .. } => "secret.unfit",
        }
    }
}

/// The opened secrets of one run, and what they are for.
pub struct Access {
    workspace: String,
    connection: Connection,
    scope: Scope,
    secrets: BTreeMap<String, Opened>,
    redactor: Redactor,
    fingerprint: String,
}

/// An opened secret.
pub(super) struct Opened {
    pub(super) value: Secret,
    pub(super) origins: Vec<String>,
    pub(super) version: i64,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("secrets", &self.secrets.keys())
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Opens what `connection` needs from the sealed secrets of a sync request; templates of token requests and
    /// logins are rendered in `scope`.
    pub fn open(
        workspace: &str,
        connection: &Connection,
        sealed: &[wire::SealedSecret],
        identities: &[Identity],
        scope: &Scope,
    ) -> Result<Self, SecretFault> {
        let needed = connection.secrets();
        Self::open_named(&needed, workspace, connection, sealed, identities, scope)
    }

    /// Opens what is needed to redeem a person's consent: everything but what will come of it.
    pub fn open_for_consent(
        workspace: &str,
        connection: &Connection,
        sealed: &[wire::SealedSecret],
        identities: &[Identity],
        scope: &Scope,
    ) -> Result<Self, SecretFault> {
        let mut needed = connection.secrets();
        if let Auth::OAuth2(oauth2) = &connection.auth {
            needed.retain(|name| Some(name) != oauth2.grant.refresh_token());
        }
        Self::open_named(&needed, workspace, connection, sealed, identities, scope)
    }

    fn open_named(
        needed: &[Name],
        workspace: &str,
        connection: &Connection,
        sealed: &[wire::SealedSecret],
        identities: &[Identity],
        scope: &Scope,
    ) -> Result<Self, SecretFault> {
        let consent = connection.auth.consent();
        let mut secrets = BTreeMap::new();
        for name in needed {
            let found = sealed.iter().find(|sealed| sealed.name == name.as_str());
            let found = found.ok_or_else(|| {
                if consent == Some(name) {
                    SecretFault::Consent(connection.name.to_string())
                } else {
                    SecretFault::Missing(name.to_string())
                }
            })?;
            let opened = unseal(workspace, name.as_str(), found, identities)?;
            secrets.insert(name.to_string(), opened);
        }
        let redactor = Redactor::new(&shown(&connection.auth, &secrets));
        Ok(Access {
            workspace: workspace.to_owned(),
            fingerprint: fingerprint(connection, &secrets),
            connection: connection.clone(),
            scope: scope.clone(),
            secrets,
            redactor,
        })
    }

    /// The workspace.
    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    /// The connection's name.
    pub fn connection(&self) -> &str {
        self.connection.name.as_str()
    }

    /// How requests prove who they are.
    pub fn auth(&self) -> &Auth {
        &self.connection.auth
    }

    /// Whether a token is needed besides the secrets.
    pub fn needs_token(&self) -> bool {
        matches!(self.auth(), Auth::OAuth2(_) | Auth::Login(_))
    }

    /// The connection's own headers; templates.
    pub(super) fn headers(&self) -> &IndexMap<String, String> {
        &self.connection.headers
    }

    /// The names of its secrets.
    pub fn secret_names(&self) -> Vec<String> {
        self.secrets.keys().cloned().collect()
    }

    /// Says which credentials a token was given for, without the refresh token, which changes by itself.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The version of the refresh token that came with the request; 0 where there is none.
    pub(super) fn refresh_version(&self) -> i64 {
        let Auth::OAuth2(oauth2) = self.auth() else {
            return 0;
        };
        let name = oauth2.grant.refresh_token();
        name.and_then(|name| self.secrets.get(name.as_str()))
            .map_or(0, |opened| opened.version)
    }

    /// Returns an opened secret, wherever it may be sent.
    pub(super) fn opened(&self, name: &str) -> Option<&Opened> {
        self.secrets.get(name)
    }

    /// Renders a text of the authentication.
    pub(super) fn text(&self, what: &str, text: &str) -> Result<String, TokenFault> {
        template::render(text, &self.scope).map_err(|error| unrendered(what, &error))
    }

    /// Renders a value of the authentication.
    pub(super) fn value(&self, what: &str, value: &Value) -> Result<Value, TokenFault> {
        template::render_value(value, &self.scope).map_err(|error| unrendered(what, &error))
    }

    /// Returns the address of `path` below the base address.
    pub(super) fn below_base(&self, path: &str) -> Result<String, TokenFault> {
        let base = self.text("base_url", &self.connection.base_url)?;
        let path =
            template::render_path(path, &self.scope).map_err(|error| unrendered("path", &error))?;
        Ok(crate::render::join(&base, &path))
    }

    /// Returns what proves who we are to `url` with a token that was given for our secrets, or refuses when one of
    /// them is not for its origin: a token goes no further than what it was given for.
    pub fn token_credentials(&self, url: &Url, token: &Token) -> Result<Credentials, SecretFault> {
        let origin = origin_of(url);
        for (name, opened) in &self.secrets {
            if !opened.origins.contains(&origin) {
                return Err(SecretFault::OtherOrigin {
                    name: name.clone(),
                    origin,
                });
            }
        }
        if self.secrets.is_empty()
            && self
                .connection
                .origins()
                .is_none_or(|all| !all.contains(&origin))
        {
            return Err(SecretFault::OtherOrigin {
                name: "token".to_owned(),
                origin,
            });
        }
        let mut credentials = Credentials::default();
        let unfit = |reason| SecretFault::Unfit {
            name: "token".to_owned(),
            reason,
        };
        match self.put() {
            Some(Put::Header { header, prefix }) => {
                if is_forbidden_header(header) {
                    return Err(unfit("may not be put in that header"));
                }
                let name = HeaderName::try_from(header.as_str())
                    .map_err(|_| unfit("has an invalid header name"))?;
                let value = Secret::new(format!("{prefix}{}", token.value().expose()));
                put_header(&mut credentials.headers, "token", &name, &value)?;
            }
            Some(Put::Cookie { cookie }) => {
                let value = Secret::new(format!("{cookie}={}", token.value().expose()));
                put_header(&mut credentials.headers, "token", &header::COOKIE, &value)?;
            }
            Some(Put::Query { query }) => {
                credentials
                    .query
                    .push((query.clone(), token.value().clone()));
            }
            None => {}
        }
        Ok(credentials)
    }

    fn put(&self) -> Option<&Put> {
        match self.auth() {
            Auth::OAuth2(oauth2) => Some(&oauth2.put),
            Auth::Login(login) => Some(&login.put),
            _ => None,
        }
    }

    /// Returns what proves who we are to `url` without a token, or refuses when a secret is not for its origin.
    pub fn credentials(&self, url: &Url) -> Result<Credentials, SecretFault> {
        let mut headers = HeaderMap::new();
        let mut query = Vec::new();
        match self.auth() {
            Auth::None | Auth::OAuth2(_) | Auth::Login(_) => {}
            Auth::Basic { username, password } => {
                let (user, password) = (self.part(username, url)?, self.part(password, url)?);
                let pair = Secret::new(format!("{}:{}", user.expose(), password.expose()));
                let value = Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())));
                put_header(&mut headers, "basic", &header::AUTHORIZATION, &value)?;
            }
            Auth::Bearer(credential) => {
                let value = Secret::new(format!(
                    "Bearer {}",
                    self.of_credential(credential, url)?.expose()
                ));
                put_header(
                    &mut headers,
                    credential.secret.as_str(),
                    &header::AUTHORIZATION,
                    &value,
                )?;
            }
            Auth::Header(credentials) => {
                for (name, credential) in credentials {
                    let unfit = |reason| SecretFault::Unfit {
                        name: credential.secret.to_string(),
                        reason,
                    };
                    if is_forbidden_header(name) {
                        return Err(unfit("may not be put in that header"));
                    }
                    let header = HeaderName::try_from(name.as_str())
                        .map_err(|_| unfit("has an invalid header name"))?;
                    put_header(
                        &mut headers,
                        credential.secret.as_str(),
                        &header,
                        &self.of_credential(credential, url)?,
                    )?;
                }
            }
            Auth::Query(credentials) => {
                for (name, credential) in credentials {
                    query.push((name.clone(), self.of_credential(credential, url)?));
                }
            }
        }
        Ok(Credentials { headers, query })
    }

    /// Returns `url` without the query parameters that hold credentials.
    pub fn strip(&self, url: &Url) -> Url {
        match (self.auth(), self.put()) {
            (Auth::Query(credentials), _) => {
                let names: Vec<&str> = credentials.keys().map(String::as_str).collect();
                crate::http::without_names(url, &names)
            }
            (_, Some(Put::Query { query })) => crate::http::without_names(url, &[query]),
            _ => url.clone(),
        }
    }

    /// Returns what finds these secrets, and the tokens given for them, in texts and bodies.
    pub fn redactor(&self) -> Redactor {
        self.redactor.clone()
    }

    fn of_credential(&self, credential: &Credential, url: &Url) -> Result<Secret, SecretFault> {
        let value = self.secret(credential.secret.as_str(), url)?;
        Ok(match &credential.prefix {
            Some(prefix) => Secret::new(format!("{prefix}{}", value.expose())),
            None => value,
        })
    }

    fn part(&self, part: &TextOrSecret, url: &Url) -> Result<Secret, SecretFault> {
        match part {
            TextOrSecret::Text(text) => Ok(Secret::new(text.clone())),
            TextOrSecret::Secret(name) => self.secret(name.as_str(), url),
        }
    }

    /// Returns a secret, or refuses when it is not for the origin of `url`.
    pub(super) fn secret(&self, name: &str, url: &Url) -> Result<Secret, SecretFault> {
        let opened = self
            .secrets
            .get(name)
            .ok_or_else(|| SecretFault::Missing(name.to_owned()))?;
        let origin = origin_of(url);
        if !opened.origins.contains(&origin) {
            return Err(SecretFault::OtherOrigin {
                name: name.to_owned(),
                origin,
            });
        }
        Ok(opened.value.clone())
    }
}

/// Opens one sealed secret, which must be the workspace's and of that name.
pub(super) fn unseal(
    workspace: &str,
    name: &str,
    sealed: &wire::SealedSecret,
    identities: &[Identity],
) -> Result<Opened, SecretFault> {
    let closed = || SecretFault::Closed(name.to_owned());
    let opened = service::open(identities, &sealed.sealed).map_err(|_| closed())?;
    if opened.workspace != workspace || opened.name != name {
        return Err(closed());
    }
    // The sealed list counts; the outer one stands in only for seals that carry none.
    let origins = if opened.origins.is_empty() {
        &sealed.origins
    } else {
        &opened.origins
    };
    Ok(Opened {
        origins: origins
            .iter()
            .filter_map(|origin| normal_origin(origin))
            .collect(),
        value: Secret::new(opened.value.expose_secret()),
        version: opened.version,
    })
}

/// Opens one of the secrets that came with a message, for `url` and no other origin.
pub fn open_secret(
    workspace: &str,
    name: &str,
    sealed: &[wire::SealedSecret],
    identities: &[Identity],
    url: &Url,
) -> Result<Secret, SecretFault> {
    let found = sealed.iter().find(|sealed| sealed.name == name);
    let found = found.ok_or_else(|| SecretFault::Missing(name.to_owned()))?;
    let opened = unseal(workspace, name, found, identities)?;
    let origin = origin_of(url);
    if opened.origins.contains(&origin) {
        return Ok(opened.value);
    }
    Err(SecretFault::OtherOrigin {
        name: name.to_owned(),
        origin,
    })
}

/// Everything that may be echoed and must not be shown.
fn shown(auth: &Auth, secrets: &BTreeMap<String, Opened>) -> Vec<Secret> {
    let mut values: Vec<Secret> = secrets
        .values()
        .map(|opened| opened.value.clone())
        .collect();
    let part = |part: &TextOrSecret| match part {
        TextOrSecret::Text(text) => Some(Secret::new(text.clone())),
        TextOrSecret::Secret(name) => secrets
            .get(name.as_str())
            .map(|opened| opened.value.clone()),
    };
    match auth {
        Auth::Basic { username, password } => {
            if let (Some(username), Some(password)) = (part(username), part(password)) {
                let pair = Secret::new(format!("{}:{}", username.expose(), password.expose()));
                values.push(Secret::new(STANDARD.encode(pair.expose())));
                values.push(pair);
            }
            // A password written in the definition is one all the same.
            if let TextOrSecret::Text(text) = password {
                values.push(Secret::new(text.clone()));
            }
        }
        Auth::OAuth2(oauth2) => {
            if let Grant::JwtBearer(assertion) = &oauth2.grant
                && let Some(stored) = secrets.get(assertion.key.secret.as_str())
            {
                values.extend(super::assertion::inner_secret(&stored.value));
            }
        }
        _ => {}
    }
    values
}

/// The refresh token is left out: it changes at each use, and what it is for stays the same.
fn fingerprint(connection: &Connection, secrets: &BTreeMap<String, Opened>) -> String {
    let refresh = match &connection.auth {
        Auth::OAuth2(oauth2) => oauth2.grant.refresh_token(),
        _ => None,
    };
    let versions: Vec<(&String, i64)> = secrets
        .iter()
        .filter(|(name, _)| refresh.is_none_or(|refresh| refresh.as_str() != name.as_str()))
        .map(|(name, opened)| (name, opened.version))
        .collect();
    let said = serde_json::json!([connection.base_url, connection.auth, versions]).to_string();
    format!("{:x}", Sha256::digest(said))
}

fn unrendered(what: &str, error: &TemplateError) -> TokenFault {
    TokenFault::Unfit(format!("`{what}`: {}", error.message))
}

fn put_header(
    headers: &mut HeaderMap,
    secret: &str,
    name: &HeaderName,
    value: &Secret,
) -> Result<(), SecretFault> {
    let mut value =
        HeaderValue::from_str(value.expose().trim_end_matches(['\r', '\n'])).map_err(|_| {
            SecretFault::Unfit {
                name: secret.to_owned(),
                reason: "holds characters that no header may hold",
            }
        })?;
    value.set_sensitive(true);
    headers.insert(name.clone(), value);
    Ok(())
}

/// `scheme://host:port`, the port always written.
pub fn origin_of(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!(
        "{}://{}:{port}",
        url.scheme(),
        url.host_str().unwrap_or_default()
    )
}

fn normal_origin(text: &str) -> Option<String> {
    Url::parse(text)
        .ok()
        .filter(Url::has_host)
        .map(|url| origin_of(&url))
}

#[cfg(test)]
mod tests;

//! Opens the secrets of one run and puts them on requests, only towards the origins they were stored for.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use definition::{Auth, Connection, Credential, TextOrSecret};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use service::{Identity, Secret};
use url::Url;

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
            SecretFault::Unfit { .. } => "secret.unfit",
        }
    }
}

/// The opened secrets of one run.
pub struct Access {
    auth: Auth,
    secrets: BTreeMap<String, Opened>,
}

struct Opened {
    value: Secret,
    origins: Vec<String>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("secrets", &self.secrets.keys())
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Opens what `connection` needs from the sealed secrets of a sync request.
    pub fn open(
        workspace: &str,
        connection: &Connection,
        sealed: &[wire::SealedSecret],
        identities: &[Identity],
    ) -> Result<Self, SecretFault> {
        let mut secrets = BTreeMap::new();
        for name in connection.secrets() {
            let name = name.as_str();
            let found = sealed
                .iter()
                .find(|sealed| sealed.name == name)
                .ok_or_else(|| SecretFault::Missing(name.to_owned()))?;
            let closed = || SecretFault::Closed(name.to_owned());
            let opened = service::open(identities, &found.sealed).map_err(|_| closed())?;
            if opened.workspace != workspace || opened.name != name {
                return Err(closed());
            }
            // The sealed list counts; the outer one stands in only for seals that carry none.
            let origins = if opened.origins.is_empty() {
                &found.origins
            } else {
                &opened.origins
            };
            let origins = origins
                .iter()
                .filter_map(|origin| normal_origin(origin))
                .collect();
            let value = Secret::new(opened.value.expose_secret().to_owned());
            secrets.insert(name.to_owned(), Opened { value, origins });
        }
        Ok(Access {
            auth: connection.auth.clone(),
            secrets,
        })
    }

    /// Returns what proves who we are to `url`, or refuses when a secret is not for its origin.
    pub fn credentials(&self, url: &Url) -> Result<Credentials, SecretFault> {
        let mut headers = HeaderMap::new();
        let mut query = Vec::new();
        match &self.auth {
            Auth::None | Auth::OAuth2(_) | Auth::Login(_) => {}
            Auth::Basic { username, password } => {
                let (user, password) = (self.text(username, url)?, self.text(password, url)?);
                let pair = Secret::new(format!("{}:{}", user.expose(), password.expose()));
                let value = Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())));
                put_header(&mut headers, "basic", &header::AUTHORIZATION, &value)?;
            }
            Auth::Bearer(credential) => {
                let value =
                    Secret::new(format!("Bearer {}", self.value(credential, url)?.expose()));
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
                        &self.value(credential, url)?,
                    )?;
                }
            }
            Auth::Query(credentials) => {
                for (name, credential) in credentials {
                    query.push((name.clone(), self.value(credential, url)?));
                }
            }
        }
        Ok(Credentials { headers, query })
    }

    /// Returns `url` without the query parameters that hold credentials.
    pub fn strip(&self, url: &Url) -> Url {
        match &self.auth {
            Auth::Query(credentials) => {
                let names: Vec<&str> = credentials.keys().map(String::as_str).collect();
                crate::http::without_names(url, &names)
            }
            _ => url.clone(),
        }
    }

    /// Returns what finds these secrets in texts and bodies.
    pub fn redactor(&self) -> Redactor {
        let mut values: Vec<Secret> = self
            .secrets
            .values()
            .map(|opened| opened.value.clone())
            .collect();
        if let Auth::Basic { username, password } = &self.auth {
            let part = |part: &TextOrSecret| match part {
                TextOrSecret::Text(text) => Some(Secret::new(text.clone())),
                TextOrSecret::Secret(name) => self
                    .secrets
                    .get(name.as_str())
                    .map(|opened| opened.value.clone()),
            };
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
        Redactor::new(&values)
    }

    fn value(&self, credential: &Credential, url: &Url) -> Result<Secret, SecretFault> {
        let value = self.secret(credential.secret.as_str(), url)?;
        Ok(match &credential.prefix {
            Some(prefix) => Secret::new(format!("{prefix}{}", value.expose())),
            None => value,
        })
    }

    fn text(&self, part: &TextOrSecret, url: &Url) -> Result<Secret, SecretFault> {
        match part {
            TextOrSecret::Text(text) => Ok(Secret::new(text.clone())),
            TextOrSecret::Secret(name) => self.secret(name.as_str(), url),
        }
    }

    fn secret(&self, name: &str, url: &Url) -> Result<Secret, SecretFault> {
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
mod tests {
    use service::SealedSecret;

    use super::*;

    const VALUE: &str = "canary/51 &x";

    fn connection(auth: &serde_json::Value) -> Connection {
        Connection::from_document(
            &serde_json::json!({"name": "kit", "base_url": "https://api.test", "auth": auth}),
        )
        .expect("a connection")
    }

    fn access(
        auth: &serde_json::Value,
        origins: &[&str],
        outer: &[&str],
    ) -> Result<Access, SecretFault> {
        let identity = Identity::generate();
        let secret = SealedSecret {
            workspace: "default".into(),
            name: "key".into(),
            version: 1,
            origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            value: VALUE.into(),
        };
        let sealed = wire::SealedSecret {
            name: "key".to_owned(),
            version: 1,
            sealed: service::seal(&identity.recipient(), &secret).expect("sealed"),
            origins: outer.iter().map(|origin| (*origin).to_owned()).collect(),
        };
        Access::open("default", &connection(auth), &[sealed], &[identity])
    }

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a url")
    }

    #[test]
    fn each_kind_puts_the_secret_where_it_belongs() {
        let secret = serde_json::json!({"secret": "key"});
        let api = url("https://api.test/v3");
        for (auth, header, expected) in [
            (
                serde_json::json!({"bearer": secret}),
                "authorization",
                format!("Bearer {VALUE}"),
            ),
            (
                serde_json::json!({"header": {"X-Key": {"secret": "key", "prefix": "Token "}}}),
                "x-key",
                format!("Token {VALUE}"),
            ),
            (
                serde_json::json!({"basic": {"username": "api", "password": secret}}),
                "authorization",
                format!("Basic {}", STANDARD.encode(format!("api:{VALUE}"))),
            ),
        ] {
            let access = access(&auth, &["https://api.test:443"], &[]).expect("access");
            let credentials = access.credentials(&api).expect("credentials");
            assert_eq!(
                credentials.headers[header].to_str().expect("text"),
                expected
            );
            assert!(credentials.headers[header].is_sensitive());
            assert!(!format!("{access:?}{credentials:?}").contains("canary"));
        }
        let access = access(
            &serde_json::json!({"query": {"api_secret": secret}}),
            &["https://api.test"],
            &[],
        );
        let credentials = access
            .expect("access")
            .credentials(&api)
            .expect("credentials");
        assert_eq!(credentials.query[0].0, "api_secret");
        assert_eq!(credentials.query[0].1.expose(), VALUE);
    }

    #[test]
    fn a_secret_goes_to_its_own_origins_only() {
        let auth = serde_json::json!({"bearer": {"secret": "key"}});
        let bound =
            access(&auth, &["https://api.test:443"], &["https://evil.test:443"]).expect("access");
        for other in [
            "https://evil.test/",
            "http://api.test/",
            "https://api.test:8443/",
            "https://x.api.test/",
        ] {
            let fault = bound.credentials(&url(other)).expect_err(other);
            assert_eq!(fault.code(), "secret.origin_refused");
        }
        let outer = access(&auth, &[], &["https://api.test"]).expect("access");
        assert!(outer.credentials(&url("https://api.test/")).is_ok());
        let none = access(&auth, &[], &[]).expect("access");
        assert!(none.credentials(&url("https://api.test/")).is_err());
    }

    #[test]
    fn a_missing_or_foreign_secret_is_told_by_name_alone() {
        let auth = serde_json::json!({"bearer": {"secret": "key"}});
        let missing = Access::open("default", &connection(&auth), &[], &[]).expect_err("missing");
        assert_eq!(missing.to_string(), "secret `key` is not set");
        let identity = Identity::generate();
        let foreign = SealedSecret {
            workspace: "other".into(),
            name: "key".into(),
            version: 1,
            origins: Vec::new(),
            value: VALUE.into(),
        };
        let sealed = wire::SealedSecret {
            name: "key".to_owned(),
            version: 1,
            sealed: service::seal(&identity.recipient(), &foreign).expect("sealed"),
            origins: Vec::new(),
        };
        let fault = Access::open("default", &connection(&auth), &[sealed], &[identity])
            .expect_err("foreign");
        assert_eq!(fault.code(), "secret.closed");
    }
}

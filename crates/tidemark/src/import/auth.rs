//! Recognises credentials and names them; their values go nowhere.

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::{Auth, Part, Shown};
use crate::draft::{is_secret_header, is_secret_parameter, name_from};

/// Collects what a request shows of credentials.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    basic: Option<(String, String)>,
    bearer: Option<String>,
    headers: Vec<(String, String)>,
    parameters: Vec<(String, String)>,
}

impl Credentials {
    /// Takes `user:password`.
    pub(crate) fn user(&mut self, text: &str) {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        self.basic = Some((user.to_owned(), password.to_owned()));
    }

    /// Takes a bearer token.
    pub(crate) fn bearer(&mut self, token: &str) {
        self.bearer = Some(token.to_owned());
    }

    /// Takes a header when it is a credential; tells whether it was.
    pub(crate) fn header(&mut self, name: &str, value: &str) -> bool {
        if name.eq_ignore_ascii_case("authorization") {
            let (scheme, rest) = value.split_once(' ').unwrap_or(("", value));
            match scheme.to_ascii_lowercase().as_str() {
                "bearer" => self.bearer(rest.trim()),
                "basic" => {
                    let text = user_and_password(rest);
                    // What cannot be decoded is a placeholder such as BASE64.
                    self.user(&text.unwrap_or_else(|| "$USERNAME:$PASSWORD".to_owned()));
                }
                _ => self.headers.push((name.to_owned(), value.to_owned())),
            }
            return true;
        }
        let last = name.rsplit(['-', '_']).next().unwrap_or_default();
        let ends_so = [
            "key",
            "token",
            "secret",
            "auth",
            "session",
            "password",
            "signature",
        ]
        .iter()
        .any(|word| last.eq_ignore_ascii_case(word));
        let is_secret = ends_so
            || is_secret_header(name)
            || definition::is_secret_header(name, value)
            || stands_for_secret(value);
        if is_secret {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        is_secret
    }

    /// Takes a query parameter when it is a credential; tells whether it was.
    pub(crate) fn parameter(&mut self, name: &str, value: &str) -> bool {
        let is_secret = is_secret_parameter(name)
            || definition::is_secret_parameter(name, value)
            || name.eq_ignore_ascii_case("appid")
            || stands_for_secret(value);
        if is_secret {
            self.parameters.push((name.to_owned(), value.to_owned()));
        }
        is_secret
    }

    /// Writes them as the `auth` of a definition; `connection` names their secrets.
    pub(crate) fn put(self, shown: &mut Shown, connection: &str) {
        let mut kinds = Vec::new();
        let own = |value: &str, what: &str| {
            placeholder(value).unwrap_or_else(|| name_from(&format!("{connection}_{what}"), what))
        };
        if let Some((user, password)) = &self.basic {
            kinds.push((
                "basic",
                json!({ "basic": {
                    "username": user_of(user, password, &own),
                    "password": password_of(password, &own),
                } }),
            ));
        }
        if let Some(token) = &self.bearer {
            kinds.push((
                "bearer",
                json!({ "bearer": { "secret": own(token, "token") } }),
            ));
        }
        if !self.headers.is_empty() {
            let several = self.headers.len() > 1;
            let fields = self.headers.iter().map(|(name, value)| {
                let (scheme, rest) = match value.split_once(' ') {
                    Some((scheme, rest)) if name.eq_ignore_ascii_case("authorization") => {
                        (Some(scheme), rest)
                    }
                    _ => (None, value.as_str()),
                };
                let secret = own(rest, if several { name } else { "token" });
                let mut credential = json!({ "secret": secret });
                if let Some(scheme) = scheme {
                    credential["prefix"] = format!("{scheme} ").into();
                }
                (name.clone(), credential)
            });
            kinds.push(("header", json!({ "header": fields.collect::<Map<_, _>>() })));
        }
        if !self.parameters.is_empty() {
            let fields = self
                .parameters
                .iter()
                .map(|(name, value)| (name.clone(), json!({ "secret": own(value, name) })));
            kinds.push(("query", json!({ "query": fields.collect::<Map<_, _>>() })));
        }
        let left: Vec<&str> = kinds.iter().skip(1).map(|(kind, _)| *kind).collect();
        if !left.is_empty() {
            let remark = format!(
                "the line also signs in by {}; a connection has one kind, so it was left out",
                left.join(" and ")
            );
            shown.remark(Part::Auth, remark);
        }
        shown.auth = Auth {
            shape: kinds.into_iter().next().map(|(_, shape)| shape),
        };
    }
}

/// What stands behind `Basic `: `USER:PASSWORD`, where it can be decoded.
pub(crate) fn user_and_password(encoded: &str) -> Option<String> {
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim());
    String::from_utf8(decoded.ok()?).ok()
}

/// A user name that is no secret stays; a key in its place becomes one.
pub(crate) fn user_of(user: &str, password: &str, own: &impl Fn(&str, &str) -> String) -> Value {
    let is_key = password.is_empty()
        || matches!(
            password.to_ascii_lowercase().as_str(),
            "x" | "api_token" | "api_x"
        );
    let looks_like_a_key = user.len() >= 20 && !user.contains('@');
    if is_key || looks_like_a_key || user.contains(['$', '<', '{']) {
        let what = if is_key { "key" } else { "user" };
        json!({ "secret": own(user, what) })
    } else {
        json!(user)
    }
}

pub(crate) fn password_of(password: &str, own: &impl Fn(&str, &str) -> String) -> Value {
    match password.to_ascii_lowercase().as_str() {
        "" | "x" | "api_token" => json!(password),
        _ => json!({ "secret": own(password, "password") }),
    }
}

/// Tells whether a placeholder says that a credential belongs in its place.
fn stands_for_secret(value: &str) -> bool {
    placeholder(value).is_some_and(|name| {
        ["key", "token", "secret", "password"]
            .iter()
            .any(|word| name.contains(word))
    })
}

/// The name that a placeholder such as `$STRIPE_KEY`, `<api-key>` or `{token}` suggests.
fn placeholder(value: &str) -> Option<String> {
    let value = value.trim();
    let inner = value
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .or_else(|| value.strip_prefix('$'))
        .or_else(|| {
            value
                .strip_prefix('<')
                .and_then(|rest| rest.strip_suffix('>'))
        })
        .or_else(|| {
            let rest = value.strip_prefix('{')?.strip_suffix('}')?;
            Some(rest.trim_matches(['{', '}', ' ']))
        })?;
    let sound = inner.len() >= 3
        && inner
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' '));
    sound.then(|| name_from(inner, "secret"))
}

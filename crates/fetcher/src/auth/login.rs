//! Login requests and the session tokens that their answers hold.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use definition::{Login, Method, TextOrSecret, TokenSource, secret_leaf};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::Value;
use service::Secret;
use url::Url;
use url::form_urlencoded::Serializer;

use super::oauth2::{Given, judge};
use super::{Access, TokenFault};
use crate::http::{Answer, Credentials, Outgoing, is_forbidden_header};
use crate::redact::Redactor;

/// Who is told to have answered.
const LOGIN: &str = "the login";

/// No session token is longer.
const LONGEST: usize = 16 * 1024;

/// Builds the login request.
pub(super) fn request(access: &Access, login: &Login) -> Result<Outgoing, TokenFault> {
    let asked = &login.request;
    let unfit = |what: &str| TokenFault::Unfit(what.to_owned());
    let address = match (&asked.url, &asked.path) {
        (Some(url), _) => access.text("url", url)?,
        (None, path) => access.below_base(path.as_deref().unwrap_or_default())?,
    };
    let url = Url::parse(&address).map_err(|_| unfit("the login's address is no address"))?;
    let part = |name: &str, part: &TextOrSecret| match part {
        TextOrSecret::Text(text) => access.text(name, text).map(Secret::new),
        TextOrSecret::Secret(name) => access.secret(name.as_str(), &url).map_err(Into::into),
    };
    let mut credentials = Credentials::default();
    for (name, value) in &asked.query {
        credentials
            .query
            .push((name.clone(), part("query", value)?));
    }
    let mut put = |name: &str, value: &Secret| {
        let name = HeaderName::try_from(name)
            .ok()
            .filter(|name| !is_forbidden_header(name.as_str()))
            .ok_or_else(|| unfit("a header of the login may not be set"))?;
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| unfit("a header of the login holds characters that no header may hold"))?;
        value.set_sensitive(true);
        credentials.headers.insert(name, value);
        Ok::<(), TokenFault>(())
    };
    for (name, value) in access.headers() {
        put(name, &Secret::new(access.text("headers", value)?))?;
    }
    for (name, value) in &asked.headers {
        put(name, &part("headers", value)?)?;
    }
    if let Some(pair) = &asked.basic {
        let (user, password) = (
            part("basic", &pair.username)?,
            part("basic", &pair.password)?,
        );
        let pair = Secret::new(format!("{}:{}", user.expose(), password.expose()));
        let encoded = Secret::new(STANDARD.encode(pair.expose()));
        access.redactor().learn(&encoded);
        put(
            "authorization",
            &Secret::new(format!("Basic {}", encoded.expose())),
        )?;
    }
    let mut body = None;
    if let Some(written) = &asked.body {
        let filled = fill(access, &url, written)?;
        body = Some((Bytes::from(filled.to_string()), "application/json"));
    } else if let Some(fields) = &asked.form {
        let mut form = Serializer::new(String::new());
        for (name, value) in fields {
            form.append_pair(name, part("form", value)?.expose());
        }
        let form = Bytes::from(form.finish());
        body = Some((form, "application/x-www-form-urlencoded"));
    }
    Ok(Outgoing {
        method: match asked.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
        },
        url,
        headers: HeaderMap::new(),
        body,
        credentials,
    })
}

/// Puts secrets where a body names them, and renders its other texts.
fn fill(access: &Access, url: &Url, value: &Value) -> Result<Value, TokenFault> {
    if let Some(name) = secret_leaf(value) {
        return Ok(access.secret(name.as_str(), url)?.expose().into());
    }
    Ok(match value {
        Value::String(_) => access.value("body", value)?,
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| fill(access, url, item))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| Ok((name.clone(), fill(access, url, value)?)))
                .collect::<Result<_, TokenFault>>()?,
        ),
        other => other.clone(),
    })
}

/// Reads the session token from the login's answer.
pub(super) fn read(
    login: &Login,
    answer: &Answer,
    redactor: &Redactor,
    now: Timestamp,
) -> Result<Given, TokenFault> {
    judge(answer, LOGIN, redactor, now)?;
    let missing =
        |what: &str| TokenFault::Unreadable(format!("the login's answer holds no {what}"));
    let text = match &login.token {
        TokenSource::Header { header } => {
            let value = answer.headers.get(header.as_str());
            let value = value.and_then(|value| value.to_str().ok());
            value
                .map(str::to_owned)
                .ok_or_else(|| missing(&format!("header `{header}`")))?
        }
        TokenSource::Cookie { cookie } => set_cookie(&answer.headers, cookie)
            .ok_or_else(|| missing(&format!("cookie `{cookie}`")))?,
        TokenSource::Path(path) => match expression::select_path(path, &answer.body) {
            Ok(Some(Value::String(text))) => text,
            Ok(Some(Value::Number(number))) => number.to_string(),
            Ok(_) => return Err(missing(&format!("token at `{path}`"))),
            Err(_) => {
                let message = format!("`{path}` cannot be read from the login's answer");
                return Err(TokenFault::Unreadable(message));
            }
        },
    };
    if text.is_empty() || text.len() > LONGEST {
        return Err(missing("usable token"));
    }
    Ok(Given {
        access_token: Secret::new(text),
        refresh_token: None,
        expires_in: login.lifetime.map(definition::Span::to_duration),
    })
}

fn set_cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .filter_map(|value| value.split(';').next()?.split_once('='))
        .find(|(known, value)| known.trim() == name && !value.trim().is_empty())
        .map(|(_, value)| value.trim().to_owned())
}

//! What proves who we are: names that fit where they are put, addresses, and nothing secret in the open.

use indexmap::IndexMap;
use serde_json::Value;

use super::address::{Query, check_address};
use super::{headers, secrets, templated};
use crate::auth::{
    Auth, Credential, Grant, Login, OAuth2, Pair, Put, TextOrSecret, TokenSource, secret_leaf,
};
use crate::node::{item, join};
use crate::problem::{Problem, quoted};
use crate::request::{Method, Request};
use crate::template;

/// Fields of a token request that are not anybody's to write.
const OURS: &[&str] = &[
    "client_id",
    "client_secret",
    "client_assertion",
    "refresh_token",
    "assertion",
    "code",
    "code_verifier",
    "redirect_uri",
    "scope",
    "password",
];
/// Claims that have words of their own.
const OUR_CLAIMS: &[&str] = &["iss", "sub", "aud", "iat", "exp", "nbf", "jti", "scope"];
/// The most parameters or claims.
const MOST: usize = 64;

pub(super) fn check(auth: &Auth, problems: &mut Vec<Problem>) {
    match auth {
        Auth::Header(all) => credentials("header", all, problems),
        Auth::Query(all) => credentials("query", all, problems),
        Auth::Bearer(credential) => check_prefix(
            credential.prefix.as_deref().unwrap_or_default(),
            "auth.bearer",
            problems,
        ),
        Auth::Basic { password, .. } => check_password(password, "auth.basic", problems),
        Auth::OAuth2(oauth2) => check_oauth2(oauth2, problems),
        Auth::Login(login) => check_login(login, problems),
        Auth::None => {}
    }
}

fn credentials(kind: &str, all: &IndexMap<String, Credential>, problems: &mut Vec<Problem>) {
    for (name, credential) in all {
        let path = join(&format!("auth.{kind}"), name);
        if kind == "header" {
            headers::check_name(name, &path, problems);
        } else if name.trim().is_empty() {
            problems.push(Problem::new(
                "definition.auth",
                path.clone(),
                "a parameter name is needed, this one is empty",
            ));
        }
        let prefix = credential.prefix.as_deref().unwrap_or_default();
        check_prefix(prefix, &path, problems);
    }
}

fn check_prefix(prefix: &str, path: &str, problems: &mut Vec<Problem>) {
    if !headers::is_value(prefix) {
        problems.push(Problem::new(
            "definition.header_value",
            format!("{path}.prefix"),
            "the prefix holds characters that no header may hold",
        ));
    }
}

fn check_password(password: &TextOrSecret, path: &str, problems: &mut Vec<Problem>) {
    if let TextOrSecret::Text(text) = password
        && secrets::is_probably_secret(text)
    {
        let message = "a password is written in the definition, shown here as ***";
        let path = format!("{path}.password");
        problems.push(Problem::new("definition.secret_in_text", path, message).hint(secrets::CURE));
    }
}

fn check_put(put: &Put, path: &str, problems: &mut Vec<Problem>) {
    match put {
        Put::Header { header, prefix } => {
            headers::check_name(header, &format!("{path}.header"), problems);
            check_prefix(prefix, path, problems);
        }
        Put::Cookie { cookie } => check_cookie(cookie, &format!("{path}.cookie"), problems),
        Put::Query { .. } => {}
    }
}

fn check_cookie(name: &str, path: &str, problems: &mut Vec<Problem>) {
    // RFC 6265: a cookie's name is a token, as a header's is.
    if !headers::is_name(name) {
        let message = format!("{} is no name of a cookie", quoted(name));
        problems.push(Problem::new("definition.header_name", path, message));
    }
}

fn check_oauth2(oauth2: &OAuth2, problems: &mut Vec<Problem>) {
    let at = |key: &str| format!("auth.oauth2.{key}");
    check_address(
        &oauth2.token_url,
        &at("token_url"),
        Query::Allowed,
        problems,
    );
    check_put(&oauth2.put, &at("put"), problems);
    let grant = oauth2.grant.as_str();
    let mut required = |key: &str, message: String| {
        problems.push(Problem::new("definition.required", at(key), message));
    };
    match (&oauth2.client_id, &oauth2.grant) {
        (Some(_), _) | (None, Grant::JwtBearer(_) | Grant::RefreshToken { .. }) => {}
        (None, _) => required("client_id", format!("the grant {grant} needs `client_id`")),
    }
    let is_secret_needed = matches!(oauth2.grant, Grant::ClientCredentials);
    if is_secret_needed && oauth2.client_secret.is_none() {
        required(
            "client_secret",
            format!("the grant {grant} needs `client_secret`"),
        );
    }
    if oauth2.client_secret.is_some() && oauth2.client_id.is_none() {
        required("client_id", "`client_secret` needs `client_id`".to_owned());
    }
    if let Grant::AuthorizationCode { authorize_url, .. } = &oauth2.grant {
        check_address(
            authorize_url,
            &at("authorize_url"),
            Query::Allowed,
            problems,
        );
        if let Some(TextOrSecret::Secret(_)) = oauth2.client_id {
            let message = "stands in the address that a person opens, so it is text and no secret";
            problems.push(Problem::new("definition.auth", at("client_id"), message));
        }
    }
    check_map(&oauth2.parameters, &at("parameters"), OURS, problems);
    if let Grant::JwtBearer(assertion) = &oauth2.grant {
        check_map(&assertion.claims, &at("claims"), OUR_CLAIMS, problems);
    }
}

fn check_map(
    map: &IndexMap<String, String>,
    path: &str,
    ours: &[&str],
    problems: &mut Vec<Problem>,
) {
    if map.len() > MOST {
        let message = format!("{} entries; at most {MOST}", map.len());
        problems.push(Problem::new("definition.auth", path, message));
    }
    for (name, text) in map {
        let path = join(path, name);
        if ours.contains(&name.as_str()) || name.trim().is_empty() {
            let message = format!("{} is set by Tidemark alone", quoted(name));
            problems.push(Problem::new("definition.auth", path.clone(), message));
        } else if secrets::is_secret_parameter(name, text) {
            problems.push(secrets::in_body(&path, name));
        }
        check_template(text, &path, problems);
    }
}

/// A login happens before any window is known.
fn check_template(text: &str, path: &str, problems: &mut Vec<Problem>) {
    match template::check(text) {
        Ok(uses) if uses.window => {
            let message = "a login or token request has no window";
            problems.push(Problem::new("definition.template_unknown", path, message));
        }
        Ok(_) => {}
        Err(error) => problems.push(templated(path, error)),
    }
}

fn check_login(login: &Login, problems: &mut Vec<Problem>) {
    const AT: &str = "auth.login.request";
    let request = &login.request;
    if let Some(url) = &request.url {
        check_address(url, &format!("{AT}.url"), Query::Allowed, problems);
    }
    if let Some(path) = &request.path {
        super::address::check_path(path, None, &format!("{AT}.path"), problems);
        check_template(path, &format!("{AT}.path"), problems);
    }
    check_parts(
        &request.query,
        &format!("{AT}.query"),
        problems,
        secrets::in_url,
    );
    check_headers(&request.headers, &format!("{AT}.headers"), problems);
    if let Some(Pair { username, password }) = &request.basic {
        check_password(password, &format!("{AT}.basic"), problems);
        for (key, part) in [("username", username), ("password", password)] {
            if let TextOrSecret::Text(text) = part {
                check_template(text, &format!("{AT}.basic.{key}"), problems);
            }
        }
    }
    let mut body = |key: &str, message: &str| {
        problems.push(Problem::new(
            "definition.body",
            format!("{AT}.{key}"),
            message,
        ));
    };
    match (&request.body, &request.form) {
        (Some(_), Some(_)) => body("form", "`body` and `form` exclude one another"),
        (Some(_), None) if request.method == Method::Get => body("body", "a GET has no `body`"),
        (None, Some(_)) if request.method == Method::Get => body("form", "a GET has no `form`"),
        _ => {}
    }
    if let Some(form) = &request.form {
        check_parts(form, &format!("{AT}.form"), problems, secrets::in_body);
    }
    if let Some(body) = &request.body {
        if body.to_string().len() > Request::MAX_BODY_BYTES {
            let message = format!("the body is larger than {} bytes", Request::MAX_BODY_BYTES);
            let path = format!("{AT}.body");
            problems.push(Problem::new("definition.body_too_large", path, message));
        }
        check_body("", body, &format!("{AT}.body"), problems);
    }
    match &login.token {
        TokenSource::Header { header } => {
            if !headers::is_name(header) {
                let message = format!("{} is no header name", quoted(header));
                let path = "auth.login.token.header";
                problems.push(Problem::new("definition.header_name", path, message));
            }
        }
        TokenSource::Cookie { cookie } => {
            check_cookie(cookie, "auth.login.token.cookie", problems);
        }
        TokenSource::Path(_) => {} // what is JSONata is checked where the engine is known
    }
    check_put(&login.put, "auth.login.put", problems);
}

fn check_parts(
    parts: &IndexMap<String, TextOrSecret>,
    path: &str,
    problems: &mut Vec<Problem>,
    written: impl Fn(&str, &str) -> Problem,
) {
    for (name, part) in parts {
        let path = join(path, name);
        let TextOrSecret::Text(text) = part else {
            continue;
        };
        if secrets::is_secret_parameter(name, text) {
            problems.push(written(&path, name));
        }
        check_template(text, &path, problems);
    }
}

fn check_headers(all: &IndexMap<String, TextOrSecret>, path: &str, problems: &mut Vec<Problem>) {
    let texts: IndexMap<String, String> = all
        .iter()
        .filter_map(|(name, part)| match part {
            TextOrSecret::Text(text) => Some((name.clone(), text.clone())),
            TextOrSecret::Secret(_) => None,
        })
        .collect();
    headers::check(&texts, path, problems);
    for (name, part) in all {
        match part {
            TextOrSecret::Text(text) => check_template(text, &join(path, name), problems),
            TextOrSecret::Secret(_) => headers::check_name(name, &join(path, name), problems),
        }
    }
}

fn check_body(name: &str, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::String(text) => {
            if secrets::is_secret_parameter(name, text) {
                problems.push(secrets::in_body(path, name));
            }
            check_template(text, path, problems);
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                check_body(name, inner, &item(path, index), problems);
            }
        }
        Value::Object(fields) if secret_leaf(value).is_none() => {
            for (name, inner) in fields {
                check_body(name, inner, &join(path, name), problems);
            }
        }
        _ => {}
    }
}

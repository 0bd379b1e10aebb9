//! How an operation is signed in to: the document's security schemes as the `auth` of a definition.

use serde_json::{Value, json};
use url::Url;

use super::{shorten, text_of};
use crate::draft::name_from;
use crate::import::schema::Document;
use crate::import::{Auth, Part, Shown};

/// Finds the first way to sign in that an operation, else the document, asks for.
pub(super) fn find(operation: &Value, document: Document<'_>, shown: &mut Shown) {
    let requirements = operation
        .get("security")
        .or_else(|| document.0.get("security"));
    let alternatives = requirements.and_then(Value::as_array);
    let Some(first) =
        alternatives.and_then(|all| all.iter().find_map(|one| one.as_object()?.iter().next()))
    else {
        return;
    };
    let (name, scopes) = first;
    let scheme = document
        .0
        .pointer("/components/securitySchemes")
        .and_then(|all| document.resolve(all.get(name)?));
    let Some(scheme) = scheme else {
        shown.remark(
            Part::Auth,
            format!(
                "the document names a sign-in `{}` and does not say what it is",
                shorten(name)
            ),
        );
        return;
    };
    let host = Url::parse(&shown.base_url).ok();
    let connection = name_from(
        host.as_ref().and_then(Url::host_str).unwrap_or("api"),
        "api",
    );
    let own = |what: &str| name_from(&format!("{connection}_{what}"), what);
    let parameter = text_of(scheme, "name");
    let kind = text_of(scheme, "type");
    let shape = match (
        kind,
        text_of(scheme, "scheme").to_ascii_lowercase().as_str(),
        text_of(scheme, "in"),
    ) {
        ("http", "basic", _) => {
            json!({ "basic": { "username": { "secret": own("user") }, "password": { "secret": own("password") } } })
        }
        ("apiKey", _, "header") => json!({ "header": { parameter: { "secret": own("key") } } }),
        ("apiKey", _, "query") => json!({ "query": { parameter: { "secret": own("key") } } }),
        ("apiKey", _, "cookie") => {
            shown.remark(
                Part::Auth,
                format!("the value of the secret is `{parameter}=…`, as a cookie is sent"),
            );
            json!({ "header": { "Cookie": { "secret": own("cookie") } } })
        }
        ("oauth2", ..) => oauth2(scheme, scopes, &own, shown),
        _ => {
            if kind != "http" || !text_of(scheme, "scheme").eq_ignore_ascii_case("bearer") {
                shown.remark(
                    Part::Auth,
                    format!("a sign-in by {} is taken for a bearer token", shorten(kind)),
                );
            }
            json!({ "bearer": { "secret": own("token") } })
        }
    };
    shown.auth = Auth { shape: Some(shape) };
}

fn oauth2(
    scheme: &Value,
    scopes: &Value,
    own: &impl Fn(&str) -> String,
    shown: &mut Shown,
) -> Value {
    let flow = scheme.pointer("/flows/clientCredentials");
    let token_url = flow
        .and_then(|flow| flow.get("tokenUrl"))
        .and_then(Value::as_str);
    let absolute = token_url.filter(|url| url.starts_with("https://"));
    if let Some(token_url) = absolute {
        let mut shape = json!({
            "grant": "client_credentials",
            "token_url": token_url,
            "client_id": { "secret": own("client_id") },
            "client_secret": { "secret": own("client_secret") },
        });
        if scopes.as_array().is_some_and(|scopes| !scopes.is_empty()) {
            shape["scopes"] = scopes.clone();
        }
        return json!({ "oauth2": shape });
    }
    shown.remark(Part::Auth, "OAuth with a person's consent: an access token works until it expires; `auth: { oauth2: … }` renews it");
    json!({ "bearer": { "secret": own("token") } })
}

//! Requests for access tokens (RFC 6749) and what their answers hold.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use definition::{ClientAuth, Grant, OAuth2, TextOrSecret};
use http::header::{self, HeaderMap, HeaderValue};
use jiff::Timestamp;
use serde_json::{Map, Value};
use service::Secret;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::assertion::{Claims, sign};
use super::{Access, TokenFault};
use crate::http::{Answer, Credentials, Outgoing};
use crate::redact::Redactor;
use crate::retry::retry_after;

/// Who is told to have answered.
pub(super) const TOKEN_SERVER: &str = "the token server";

/// What a server says about a refusal is shown up to so many characters.
const SAID: usize = 300;

/// What is handed in for a token.
pub(super) enum Offer<'a> {
    /// What the definition's grant says.
    Grant,
    /// A refresh token.
    Refresh(&'a Secret),
    /// What a person's consent came back with.
    Code(&'a Code),
}

/// What a person's consent came back with.
#[derive(Debug, Clone)]
pub struct Code {
    /// The code.
    pub code: Secret,
    /// Proves that whoever redeems it also asked for it (RFC 7636).
    pub verifier: Secret,
    /// Where the person was sent back to.
    pub redirect_url: String,
}

/// What a token server gave.
#[derive(Debug, Clone)]
pub struct Given {
    /// The access token.
    pub access_token: Secret,
    /// The refresh token, where there is one.
    pub refresh_token: Option<Secret>,
    /// How long the access token holds, where that is told.
    pub expires_in: Option<Duration>,
}

/// Builds the request for a token.
pub(super) fn request(
    access: &Access,
    oauth2: &OAuth2,
    offer: &Offer<'_>,
    now: Timestamp,
) -> Result<Outgoing, TokenFault> {
    let address = access.text("token_url", &oauth2.token_url)?;
    let url = Url::parse(&address)
        .map_err(|_| TokenFault::Unfit("`token_url` is no address".to_owned()))?;
    let mut fields: Vec<(String, Secret)> = Vec::new();
    let mut put = |name: &str, value: Secret| {
        fields.retain(|(known, _)| known != name);
        fields.push((name.to_owned(), value));
    };
    let plain = |text: &str| Secret::new(text);
    let mut is_scoped = true;
    match (offer, &oauth2.grant) {
        (Offer::Refresh(token), _) => {
            put("grant_type", plain("refresh_token"));
            put("refresh_token", (*token).clone());
            // A refreshed token keeps its scopes; asking for them again is refused by some.
            is_scoped = matches!(oauth2.grant, Grant::RefreshToken { .. });
        }
        (Offer::Code(code), _) => {
            put("grant_type", plain("authorization_code"));
            put("code", code.code.clone());
            put("code_verifier", code.verifier.clone());
            put("redirect_uri", plain(&code.redirect_url));
            is_scoped = false;
        }
        (Offer::Grant, Grant::JwtBearer(assertion)) => {
            let audience = match &oauth2.audience {
                Some(audience) => access.text("audience", audience)?,
                None => address.clone(),
            };
            let mut further = Vec::new();
            for (name, text) in &assertion.claims {
                further.push((name.clone(), access.text("claims", text)?));
            }
            let claims = Claims {
                audience: &audience,
                scopes: &oauth2.scopes,
                further,
            };
            let key = access.secret(assertion.key.secret.as_str(), &url)?;
            put(
                "grant_type",
                plain("urn:ietf:params:oauth:grant-type:jwt-bearer"),
            );
            put("assertion", sign(assertion, claims, &key, now)?);
        }
        (Offer::Grant, _) => put("grant_type", plain("client_credentials")),
    }
    if is_scoped && !oauth2.scopes.is_empty() {
        put("scope", plain(&oauth2.scopes.join(" ")));
    }
    if let (Some(audience), Grant::ClientCredentials) = (&oauth2.audience, &oauth2.grant) {
        put("audience", Secret::new(access.text("audience", audience)?));
    }
    let mut headers = HeaderMap::new();
    let id = match &oauth2.client_id {
        Some(TextOrSecret::Text(text)) => Some(Secret::new(access.text("client_id", text)?)),
        Some(TextOrSecret::Secret(name)) => Some(access.secret(name.as_str(), &url)?),
        None => None,
    };
    let secret = oauth2
        .client_secret
        .as_ref()
        .map(|stored| access.secret(stored.secret.as_str(), &url))
        .transpose()?;
    match (id, secret, oauth2.client_auth) {
        (Some(id), Some(secret), ClientAuth::Header) => {
            // RFC 6749, 2.3.1: both are form-encoded first.
            let form = |text: &Secret| byte_serialize(text.expose().as_bytes()).collect::<String>();
            let pair = Secret::new(format!("{}:{}", form(&id), form(&secret)));
            let encoded = Secret::new(STANDARD.encode(pair.expose()));
            access.redactor().learn(&encoded);
            let mut value = HeaderValue::from_str(&format!("Basic {}", encoded.expose()))
                .map_err(|_| TokenFault::Unfit("the client's secret fits no header".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        (id, secret, _) => {
            for (name, value) in [("client_id", id), ("client_secret", secret)] {
                if let Some(value) = value {
                    put(name, value);
                }
            }
        }
    }
    for (name, text) in &oauth2.parameters {
        // A standard field that is replaced belongs to asking anew, not to refreshing.
        if name == "grant_type" && !matches!(offer, Offer::Grant) {
            continue;
        }
        put(name, Secret::new(access.text("parameters", text)?));
    }
    let mut form = Serializer::new(String::new());
    for (name, value) in &fields {
        form.append_pair(name, value.expose());
    }
    Ok(Outgoing {
        method: http::Method::POST,
        url,
        headers: HeaderMap::new(),
        body: Some((form.finish().into(), "application/x-www-form-urlencoded")),
        credentials: Credentials {
            headers,
            query: Vec::new(),
        },
    })
}

/// Reads a token server's answer; what it says about a refusal is masked.
pub(super) fn read(
    answer: &Answer,
    redactor: &Redactor,
    now: Timestamp,
) -> Result<Given, TokenFault> {
    judge(answer, TOKEN_SERVER, redactor, now)?;
    let fields = fields(answer);
    let text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    };
    let Some(access_token) = text("access_token") else {
        // Some say no with 200.
        if fields.contains_key("error") {
            return Err(TokenFault::Refused {
                who: TOKEN_SERVER,
                status: answer.status.as_u16(),
                said: said(&fields, answer, redactor),
            });
        }
        return Err(TokenFault::Unreadable(
            "the token server's answer holds no `access_token`".to_owned(),
        ));
    };
    let seconds = match fields.get("expires_in") {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    // Above a year nothing is believed; a token is used until it is refused.
    let expires_in = seconds
        .filter(|seconds| (0.0..=31_622_400.0).contains(seconds))
        .map(Duration::from_secs_f64);
    Ok(Given {
        access_token: Secret::new(access_token),
        refresh_token: text("refresh_token").map(Secret::new),
        expires_in,
    })
}

/// Turns an answer that is no success into a fault.
pub(super) fn judge(
    answer: &Answer,
    who: &'static str,
    redactor: &Redactor,
    now: Timestamp,
) -> Result<(), TokenFault> {
    let status = answer.status.as_u16();
    match status {
        200..=299 => Ok(()),
        408 | 425 | 429 | 500..=599 => {
            let after = answer.headers.get(header::RETRY_AFTER);
            let after = after
                .and_then(|value| value.to_str().ok())
                .and_then(|value| retry_after(value, now));
            Err(TokenFault::Server { who, status, after })
        }
        _ => Err(TokenFault::Refused {
            who,
            status,
            said: said(&fields(answer), answer, redactor),
        }),
    }
}

/// The fields of an answer: JSON, or a form as some old servers send.
fn fields(answer: &Answer) -> Map<String, Value> {
    if let Ok(Value::Object(fields)) = serde_json::from_slice(&answer.body) {
        return fields;
    }
    let is_form = answer
        .content_type()
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if !is_form {
        return Map::new();
    }
    url::form_urlencoded::parse(&answer.body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect()
}

fn said(fields: &Map<String, Value>, answer: &Answer, redactor: &Redactor) -> String {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let (error, description) = (text("error"), text("error_description"));
    let said = match (error, description) {
        ("", "") => return redactor.excerpt(&answer.body),
        (error, "") => error.to_owned(),
        ("", description) => description.to_owned(),
        (error, description) => format!("{error} ({description})"),
    };
    // Masked before it is cut, so that no half of a secret stays at the edge.
    redactor
        .text(&said)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(SAID)
        .collect()
}

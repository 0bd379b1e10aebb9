//! What to do about a connection that does not work, in plain words.

use definition::Auth;

use super::asking::Question;
use crate::auth::{Access, TokenFault};
use crate::decode::Unusable;
use crate::egress::{Code, Refusal};
use crate::error::PageError;
use crate::http::Failure;

/// When the address may not be called, or is nowhere.
pub(super) fn of_address(refusal: &Refusal) -> String {
    of_refusal(refusal, "base_url")
}

fn of_refusal(refusal: &Refusal, setting: &str) -> String {
    match refusal.code {
        Code::DnsFailed => format!("check how the host is spelled in {setting}"),
        Code::DnsTimeout => "try again; the resolver did not answer".to_owned(),
        _ => refusal.cure.clone().unwrap_or_default(),
    }
}

/// When the API says no.
pub(super) fn of_status(status: u16, asked: &Question, access: &Access) -> String {
    let secrets = secrets(access);
    match status {
        401 if secrets.is_empty() => {
            "the API wants credentials: write the connection's `auth`".to_owned()
        }
        401 if access.needs_token() => format!(
            "a token was given and the API does not take it: check that {} belongs to this API, and {}",
            token_place(access),
            match access.auth() {
                Auth::Login(_) => "where the token is put (`put`)",
                _ => "the scopes or audience that are asked for",
            }
        ),
        401 => format!(
            "the API does not know the credentials: check `auth`, and store them again with {}",
            store_again(&secrets)
        ),
        403 if secrets.is_empty() => {
            "the API lets nobody read this without credentials: write the connection's `auth`, or try another path".to_owned()
        }
        403 => format!(
            "the credentials are wrong, or may not read this: check their rights, or store them again with {}",
            store_again(&secrets)
        ),
        404 | 410 => match asked {
            Question::Base => "no metric uses this connection yet, so its bare base_url was asked, and many APIs have nothing there: name a path that exists with --path".to_owned(),
            Question::Path(_) => {
                "the path is wrong: check base_url, or name one that exists with --path".to_owned()
            }
            Question::Request(asked) => format!(
                "the path is wrong: check base_url, and `request.path` of `{}`{}",
                asked.of,
                if secrets.is_empty() {
                    ""
                } else {
                    "; some APIs say the same of what the credentials may not see"
                }
            ),
        },
        405 => match asked {
            Question::Request(asked) => {
                format!("the path takes no such request: check `request.method` of `{}`", asked.of)
            }
            _ => "this path takes no GET; name one that does with --path".to_owned(),
        },
        400 | 422 => match asked {
            Question::Request(asked) => format!(
                "the API does not understand the request: `tidemark preview` with `{}` shows what is sent",
                asked.of
            ),
            _ => "the API wants to be asked otherwise: name a path with its parameters with --path".to_owned(),
        },
        429 => "the API is asked too often just now; try again later, and write its `rate_limit`".to_owned(),
        500..=599 => "the API is not well; try again later".to_owned(),
        _ => String::new(),
    }
}

/// When an answer of 200 says that it is an error.
pub(super) fn of_declared(access: &Access) -> String {
    let secrets = secrets(access);
    if secrets.is_empty() {
        return "the answer says so itself, as `error_when` declares".to_owned();
    }
    format!(
        "the answer says so itself, as `error_when` declares; if it speaks of credentials, store them again with {}",
        store_again(&secrets)
    )
}

/// When the answer cannot be read.
pub(super) fn of_body(unusable: &Unusable) -> String {
    match unusable {
        Unusable::NotJson { .. } => {
            "base_url or the path names something else than an API that answers JSON: look for its address in the API's documentation"
        }
        _ => "",
    }
    .to_owned()
}

/// When there is no token.
pub(super) fn of_token(error: &PageError, access: &Access) -> String {
    let place = token_place(access);
    let is_login = matches!(access.auth(), Auth::Login(_));
    let fault = match error {
        PageError::Token(fault) => fault,
        other => return of_secret(other.code()).to_owned(),
    };
    match fault {
        TokenFault::Refused {
            status: 300..=399 | 404 | 405 | 410,
            ..
        } => format!(
            "nothing at this address gives tokens, and the credentials were not looked at: check {place} against the API's documentation"
        ),
        TokenFault::Refused { .. } => {
            let what = if is_login {
                "the login does not take what was sent: check its user and password"
            } else {
                "the token server does not take what was sent: check client_id, scopes and the secrets"
            };
            format!(
                "{what}, and store them again with {}",
                store_again(&secrets(access))
            )
        }
        TokenFault::Unreadable(_) if is_login => format!(
            "the login answered, and its answer is another than `token` says: check `token`, and {place}"
        ),
        TokenFault::Unreadable(_) => format!(
            "what answered is probably no token server: check {place} against the API's documentation"
        ),
        TokenFault::Server { .. } => "it is not well; try again later".to_owned(),
        TokenFault::Transport(failure) => match failure {
            Failure::Refused(refusal) => of_refusal(refusal, &place),
            Failure::Connect(_) => {
                format!("nothing listens there: check host and port of {place}")
            }
            Failure::Tls(reason) => of_tls(reason, &place),
            Failure::Timeout { .. } | Failure::TooSlow { .. } => {
                format!("nothing answers there: check {place}, or try again")
            }
            _ => format!("check {place}"),
        },
        other => of_secret(other.code()).to_owned(),
    }
}

fn of_secret(code: &str) -> &'static str {
    match code {
        "secret.origin_refused" => "store the secret again, for the new address",
        _ => "",
    }
}

/// The setting that says where tokens come from.
fn token_place(access: &Access) -> String {
    match access.auth() {
        Auth::Login(login) if login.request.url.is_some() => "`auth.login.request.url`",
        Auth::Login(_) => "`auth.login.request.path`",
        _ => "`auth.oauth2.token_url`",
    }
    .to_owned()
}

fn secrets(access: &Access) -> Vec<String> {
    match access.auth() {
        Auth::None => Vec::new(),
        _ => access.secret_names(),
    }
}

fn store_again(secrets: &[String]) -> String {
    let commands: Vec<String> = secrets
        .iter()
        .map(|name| format!("`tidemark secret set {name}`"))
        .collect();
    commands.join(" and ")
}

/// When nothing came back; with the step that failed.
pub(super) fn of_failure(failure: &Failure) -> (&'static str, String) {
    match failure {
        Failure::Connect(_) => (
            "connect",
            "nothing listens there: check host and port of base_url, or whether the server runs"
                .to_owned(),
        ),
        Failure::Tls(reason) => ("connect", of_tls(reason, "base_url")),
        Failure::Timeout {
            what: "connection", ..
        } => (
            "connect",
            "nothing answers there: check host and port, or a firewall in between".to_owned(),
        ),
        Failure::Timeout { .. } | Failure::TooSlow { .. } => (
            "answer",
            "the API is slow: try again, or name a smaller path with --path".to_owned(),
        ),
        Failure::TooLarge(_) => (
            "body",
            "name a path that answers less with --path, or ask for smaller pages".to_owned(),
        ),
        Failure::Refused(refusal) => ("answer", refusal.cure.clone().unwrap_or_default()),
        _ => ("answer", String::new()),
    }
}

fn of_tls(reason: &str, setting: &str) -> String {
    if reason.contains("xpired") {
        "the server's certificate has expired; its operator must renew it".to_owned()
    } else if reason.contains("UnknownIssuer") {
        "its authority is not known: an operator starts the fetcher with --extra-ca FILE".to_owned()
    } else if reason.contains("NotValidForName") || reason.contains("not valid for name") {
        format!("the certificate is for another name: write that one in {setting}")
    } else {
        format!("there may be no TLS at this port: check scheme and port of {setting}")
    }
}

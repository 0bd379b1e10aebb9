//! A person's consent (authorization code with PKCE): begun here, given at the API's own page, redeemed by a fetcher.
//!
//! The state is 32 random bytes, good once and for ten minutes, and bound to workspace, connection and the caller's
//! token. The address that people come back to is fixed by configuration. Codes and proofs are sealed to the fetchers at
//! once; what comes of them is sealed too, so that nothing here could be used by whoever reads NATS or the store.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bus::{Held, Swap};
use bytes::Bytes;
use definition::template::{self, Scope};
use definition::{Auth, Connection, Definition, Grant, OAuth2, TextOrSecret};
use http::StatusCode;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use store::Kind;
use utoipa::ToSchema;
use wire::connection::{CONSENT, VERIFIER};
use wire::{ConsentGiven, ConsentRedeemed};

use crate::auth::Caller;
use crate::definitions::{name_of, stored};
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument};
use crate::router::Gateway;
use crate::trial::{no_fetcher, sealed};

/// People read before they consent; past this they have gone away.
const LIFE: Duration = Duration::from_mins(10);
/// A token server has 30 s.
const PATIENCE: Duration = Duration::from_secs(45);
/// No code is longer, and no address of ours.
const LONGEST: usize = 8192;
const CALLBACK: &str = "/oauth/callback";

/// A consent that a person is to give.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Authorization {
    /// The address to open in a browser.
    authorize_url: String,
    /// Names this consent when asking how it stands.
    state: String,
    /// When it must be given, RFC 3339.
    expires_at: String,
    /// Where the person is sent back to; the API's settings must allow it.
    #[schema(example = "http://127.0.0.1:8080/oauth/callback")]
    redirect_url: String,
}

/// How a consent stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Standing {
    /// `waiting`, `done` or `failed`.
    #[schema(example = "waiting")]
    state: String,
    /// Why it failed; null when it did not.
    error: Option<String>,
}

/// A consent that was begun, as gateways share it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Begun {
    workspace: String,
    connection: String,
    token: String,
    /// The proof, sealed to the fetchers.
    verifier: String,
    expires_at: Timestamp,
    state: String,
    error: Option<String>,
}

/// Begins to authorize a connection: returns the address where a person consents.
#[utoipa::path(post, path = "/api/v1/connections/{name}/authorize", operation_id = "authorize_connection", tag = "connections",
    params(("name" = String, Path, description = "The connection's name")),
    responses((status = 200, body = Authorization), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn begin(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
) -> Result<Json<Authorization>, Problem> {
    parameters.finish()?;
    let name = name_of("connection", &name)?;
    let connection = connection_of(&gateway, &caller.workspace, &name).await?;
    let (oauth2, authorize_url) = consenting(&connection)?;
    let (state, verifier) = (random(), random());
    let now = gateway.context().clock.now();
    let expires_at = now + SignedDuration::try_from(LIFE).unwrap_or_default();
    let address = address(
        &gateway,
        &connection,
        oauth2,
        authorize_url,
        &state,
        &verifier,
        now,
    )?;
    let begun = Begun {
        workspace: caller.workspace.clone(),
        connection: name,
        token: caller.token.clone(),
        verifier: seal(&gateway, &caller.workspace, VERIFIER, &verifier)?,
        expires_at,
        state: "waiting".to_owned(),
        error: None,
    };
    match keep(&gateway, &state, None, &begun, LIFE).await? {
        Swap::Done(_) => Ok(Json(Authorization {
            authorize_url: address,
            state,
            expires_at: expires_at.to_string(),
            redirect_url: redirect_url(&gateway),
        })),
        Swap::Conflict => Err(Problem::internal()),
    }
}

/// Says how a consent stands that was begun by the same token.
#[utoipa::path(get, path = "/api/v1/connections/{name}/authorize", operation_id = "authorization_standing", tag = "connections",
    params(("name" = String, Path, description = "The connection's name"),
           ("state" = String, Query, description = "What beginning it returned")),
    responses((status = 200, body = Standing), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn standing(
    State(gateway): State<Gateway>,
    caller: Caller,
    mut parameters: Parameters,
    Path(name): Path<String>,
) -> Result<Json<Standing>, Problem> {
    let state = parameters.text("state").unwrap_or_default();
    parameters.finish()?;
    let begun = find(&gateway, &state).await?.map(|(begun, _)| begun);
    let begun = begun
        .filter(|begun| {
            begun.workspace == caller.workspace
                && begun.connection == name
                && begun.token == caller.token
        })
        .ok_or_else(|| Problem::not_found("authorization", "state"))?;
    Ok(Json(Standing {
        state: match begun.state.as_str() {
            "done" | "failed" => begun.state,
            _ => "waiting".to_owned(),
        },
        error: begun.error,
    }))
}

/// Where people come back to when they have consented; shows whether it worked.
#[utoipa::path(get, path = "/oauth/callback", operation_id = "authorization_callback", tag = "connections", security(()),
    params(("state" = String, Query, description = "As it was given"), ("code" = Option<String>, Query, description = "What is redeemed for tokens")),
    responses((status = 200, body = String, content_type = "text/html"), (status = 400, body = String, content_type = "text/html")))]
pub(crate) async fn callback(
    State(gateway): State<Gateway>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    if query.len() > LONGEST {
        return page(StatusCode::BAD_REQUEST, "The answer is too long.");
    }
    let field = |wanted: &str| {
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let (state, code, error) = (field("state"), field("code"), field("error"));
    let unknown = "This authorization is not known, was used already, or took longer than ten minutes. Begin again with `tidemark connection authorize`.";
    let (begun, revision) = match find(&gateway, &state).await {
        Ok(Some((begun, held))) if begun.state == "waiting" => (begun, held.revision),
        Ok(_) => return page(StatusCode::BAD_REQUEST, unknown),
        Err(problem) => return problem.into_response(),
    };
    let taken = Begun {
        state: "taken".to_owned(),
        ..begun.clone()
    };
    // Whoever changes it first has it: a state is good once.
    let revision = match keep(&gateway, &state, Some(revision), &taken, LIFE).await {
        Ok(Swap::Done(revision)) => revision,
        Ok(Swap::Conflict) => return page(StatusCode::BAD_REQUEST, unknown),
        Err(problem) => return problem.into_response(),
    };
    let outcome = if begun.expires_at < gateway.context().clock.now() {
        Err("it took longer than ten minutes".to_owned())
    } else if code.is_empty() {
        let word = match error.as_str() {
            "access_denied" => "the person said no (access_denied)",
            _ => "the API gave no code",
        };
        Err(word.to_owned())
    } else {
        redeem(&gateway, &begun, &code).await
    };
    let ended = Begun {
        state: if outcome.is_ok() { "done" } else { "failed" }.to_owned(),
        error: outcome.clone().err(),
        ..begun
    };
    if let Err(problem) = keep(&gateway, &state, Some(revision), &ended, LIFE).await {
        tracing::warn!(
            code = problem.code(),
            "how a consent ended could not be told"
        );
    }
    match outcome {
        Ok(()) => page(
            StatusCode::OK,
            "The connection is authorized. You may close this page.",
        ),
        Err(reason) => {
            tracing::warn!(
                connection = ended.connection,
                reason,
                "a consent came to nothing"
            );
            page(
                StatusCode::BAD_REQUEST,
                &format!("The connection is not authorized: {reason}."),
            )
        }
    }
}

/// Has a fetcher turn the code into tokens, and keeps what comes of it.
async fn redeem(gateway: &Gateway, begun: &Begun, code: &str) -> Result<(), String> {
    let told = |problem: Problem| format!("the gateway could not go on ({})", problem.code());
    let is_revoked = |error: &store::Error| format!("the store cannot be read ({error})");
    let workspace = begun.workspace.as_str();
    let now = gateway.context().clock.now().as_millisecond();
    let tokens = gateway
        .store()
        .tokens(Some(workspace))
        .await
        .map_err(|error| is_revoked(&error))?;
    let is_good = tokens
        .iter()
        .any(|token| token.id == begun.token && token.expires_at.is_none_or(|end| now < end));
    if !is_good {
        return Err("the token that began it is not good any more".to_owned());
    }
    let connection = connection_of(gateway, workspace, &begun.connection)
        .await
        .map_err(|_| "the connection was deleted".to_owned())?;
    let (oauth2, _) = consenting(&connection)
        .map_err(|_| "the connection takes no consent any more".to_owned())?;
    let name = oauth2
        .grant
        .refresh_token()
        .map(ToString::to_string)
        .unwrap_or_default();
    let origins = connection
        .origins()
        .ok_or("the connection's addresses are not known before a request")?;
    let needed: Vec<_> = connection
        .secrets()
        .into_iter()
        .filter(|secret| secret.as_str() != name)
        .collect();
    let mut secrets = sealed(gateway, workspace, &connection, &needed)
        .await
        .map_err(told)?;
    secrets.push(sent(VERIFIER, begun.verifier.clone()));
    let code = seal(gateway, workspace, CONSENT, code).map_err(told)?;
    let store = gateway.store();
    let version = store
        .next_secret_version(workspace, &name)
        .await
        .map_err(|error| is_revoked(&error))?;
    let question = ConsentGiven {
        workspace: workspace.to_owned(),
        connection: Some(Definition::Connection(connection).to_document().into()),
        secrets,
        consent: Some(sent(CONSENT, code)),
        redirect_url: redirect_url(gateway),
        version,
        origins: origins.clone(),
        requires: Vec::new(),
    };
    let redeemed: ConsentRedeemed = gateway
        .bus()
        .ask(&question, PATIENCE)
        .await
        .map_err(|error| told(no_fetcher(&error)))?;
    let Some(secret) = redeemed.secret else {
        let error = redeemed.error.map(|error| error.message);
        return Err(error.unwrap_or_else(|| "the fetcher gave no reason".to_owned()));
    };
    let kept = store::SealedSecret {
        name,
        version,
        sealed: secret.sealed,
        origins,
    };
    store
        .put_secret(workspace, &begun.token, &kept)
        .await
        .map_err(|error| is_revoked(&error))?;
    // What waited for a person waits no longer.
    let datasets = store
        .datasets_of(workspace, &begun.connection)
        .await
        .unwrap_or_default();
    for dataset in datasets.iter().filter(|dataset| dataset.needs_attention) {
        if let Err(error) = store.set_attention(workspace, &dataset.id, None).await {
            tracing::warn!(error = %service::report::chain(&error), "a mark could not be taken back");
        }
    }
    Ok(())
}

async fn connection_of(
    gateway: &Gateway,
    workspace: &str,
    name: &str,
) -> Result<Connection, Problem> {
    let stored = stored(gateway, workspace, Kind::Connection, name).await?;
    Ok(stored.connection()?)
}

fn consenting(connection: &Connection) -> Result<(&OAuth2, &str), Problem> {
    if let Auth::OAuth2(oauth2) = &connection.auth
        && let Grant::AuthorizationCode { authorize_url, .. } = &oauth2.grant
    {
        return Ok((oauth2, authorize_url));
    }
    Err(Problem::new(
        StatusCode::CONFLICT,
        "connection.no_consent",
        "the connection takes no consent",
    )
    .detail("only `auth: { oauth2: { grant: authorization_code, … } }` is authorized by a person"))
}

fn address(
    gateway: &Gateway,
    connection: &Connection,
    oauth2: &OAuth2,
    authorize_url: &str,
    state: &str,
    verifier: &str,
    now: Timestamp,
) -> Result<String, Problem> {
    let scope = Scope {
        window: None,
        now,
        zone: TimeZone::UTC,
        connection: connection.constants(),
        parent: None,
    };
    let unfit = |what: String| Problem::body("connection.unfit", what);
    let rendered = template::render(authorize_url, &scope)
        .map_err(|error| unfit(format!("`authorize_url`: {}", error.message)))?;
    let mut url = url::Url::parse(&rendered)
        .map_err(|_| unfit("`authorize_url` is no address".to_owned()))?;
    let client_id = match &oauth2.client_id {
        Some(TextOrSecret::Text(text)) => template::render(text, &scope)
            .map_err(|error| unfit(format!("`client_id`: {}", error.message)))?,
        _ => String::new(),
    };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    let mut query = url.query_pairs_mut();
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", &client_id)
        .append_pair("redirect_uri", &redirect_url(gateway))
        .append_pair("state", state)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    if !oauth2.scopes.is_empty() {
        query.append_pair("scope", &oauth2.scopes.join(" "));
    }
    if let Some(audience) = &oauth2.audience {
        query.append_pair("audience", audience);
    }
    drop(query);
    Ok(url.into())
}

/// Never from the request: a stranger chooses its `Host`.
fn redirect_url(gateway: &Gateway) -> String {
    let config = gateway.config();
    match &config.public_url {
        Some(url) => format!("{}{CALLBACK}", url.trim_end_matches('/')),
        None => format!("http://{}{CALLBACK}", config.listen),
    }
}

fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

fn seal(gateway: &Gateway, workspace: &str, name: &str, value: &str) -> Result<String, Problem> {
    let secret = service::SealedSecret {
        workspace: workspace.to_owned(),
        name: name.to_owned(),
        version: 1,
        origins: Vec::new(),
        value: SecretString::from(value),
    };
    service::seal(gateway.recipient(), &secret).map_err(|error| {
        tracing::error!(error = %error, "a consent could not be sealed");
        Problem::internal()
    })
}

fn sent(name: &str, sealed: String) -> wire::SealedSecret {
    wire::SealedSecret {
        name: name.to_owned(),
        version: 1,
        sealed,
        origins: Vec::new(),
    }
}

/// What stands for a state where gateways share it: its hash, so that reading it there helps nobody.
fn key(state: &str) -> String {
    format!("{:x}", Sha256::digest(state))
}

async fn find(gateway: &Gateway, state: &str) -> Result<Option<(Begun, Held)>, Problem> {
    let held = gateway.bus().tokens().consent(&key(state)).await;
    let held = held.map_err(|_| Problem::bus_unavailable())?;
    Ok(held.and_then(|held| Some((serde_json::from_slice(&held.value).ok()?, held))))
}

async fn keep(
    gateway: &Gateway,
    state: &str,
    revision: Option<u64>,
    begun: &Begun,
    life: Duration,
) -> Result<Swap, Problem> {
    let value = serde_json::to_vec(begun).map_err(|_| Problem::internal())?;
    gateway
        .bus()
        .tokens()
        .set_consent(&key(state), revision, Bytes::from(value), life)
        .await
        .map_err(|_| Problem::bus_unavailable())
}

fn page(status: StatusCode, text: &str) -> Response {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tidemark</title><p>{text}</p></html>"
    );
    let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    (
        status,
        [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CONTENT_SECURITY_POLICY, policy),
        ],
        page,
    )
        .into_response()
}

//! Secrets: written here, sealed at once, never read back.

mod draft;

use axum::Json;
use axum::extract::{Path, State};
use definition::{Connection, Name, Target};
use http::StatusCode;
use secrecy::SecretString;
use serde::Serialize;
use service::Secret;
use store::{Kind, SecretInfo};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::body::Content;
use crate::definitions::{every, every_connection, name_of};
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument, shown};
use crate::router::Gateway;
use crate::time;

pub(crate) use draft::SecretDraft;
use draft::normal_origins;

/// Two people may set the same secret at the same moment; more than this is not people.
const TRIES: usize = 5;

/// What may be told about a secret; its value never is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretView {
    /// Its name, as connections say it.
    #[schema(example = "kit_api_secret")]
    name: String,
    /// Grows each time it is set.
    version: i64,
    /// Where it may be sent; empty until the first connection uses it.
    #[schema(example = json!(["https://api.convertkit.com:443"]))]
    origins: Vec<String>,
    /// When it was first set.
    created_at: String,
    /// When it was last set.
    updated_at: String,
}

impl From<SecretInfo> for SecretView {
    fn from(secret: SecretInfo) -> Self {
        Self {
            name: secret.name,
            version: secret.version,
            origins: secret.origins,
            created_at: time::text(secret.created_at),
            updated_at: time::text(secret.updated_at),
        }
    }
}

/// All secrets of a workspace, without their values.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretList {
    items: Vec<SecretView>,
}

/// A secret was kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretKept {
    /// Its name.
    name: String,
    /// Its version now.
    version: i64,
    /// Where it may be sent; empty: to the first connection that will use it.
    origins: Vec<String>,
}

/// A name that a secret may be given.
fn new_name(name: &str) -> Result<Name, Problem> {
    Name::parse_advised(name).map_err(|error| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "secret.name_invalid",
            "no secret can be called so",
        )
        .detail(format!("`{}`: {error}", shown(name)))
    })
}

/// Lists secrets by name, without values.
#[utoipa::path(get, path = "/api/v1/secrets", operation_id = "list_secrets", tag = "secrets",
    responses((status = 200, body = SecretList), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<SecretList>, Problem> {
    parameters.finish()?;
    let secrets = gateway.store().secrets(&caller.workspace).await?;
    Ok(Json(SecretList {
        items: secrets.into_iter().map(SecretView::from).collect(),
    }))
}

/// Sets a secret: sealed for the fetchers together with the origins it may be sent to.
#[utoipa::path(put, path = "/api/v1/secrets/{name}", operation_id = "put_secret", tag = "secrets",
    params(("name" = String, Path, description = "The secret's name")),
    request_body(content((SecretDraft = "application/json"), (String = "text/plain"))),
    responses((status = 200, body = SecretKept), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn put(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
    content: Content,
) -> Result<Json<SecretKept>, Problem> {
    parameters.finish()?;
    let name = new_name(&name)?.as_str().to_owned();
    let draft = SecretDraft::read(&content)?;
    let users = users(&gateway, &caller.workspace, &name).await?;
    let origins = if let Some(origins) = draft.origins {
        normal_origins(&origins)?
    } else {
        let mut origins = origins_of(&users);
        let (_, more) = senders(&gateway, &caller.workspace, &name).await?;
        origins.extend(more);
        origins.sort();
        origins.dedup();
        origins
    };
    let version = keep(&gateway, &caller, &name, &draft.value, &origins).await?;
    // A new value is a new try: what waited for a person waits no longer.
    for connection in &users {
        let workspace = &caller.workspace;
        for dataset in gateway
            .store()
            .datasets_of(workspace, connection.name.as_str())
            .await?
        {
            if dataset.needs_attention {
                gateway
                    .store()
                    .set_attention(workspace, &dataset.id, None)
                    .await?;
            }
        }
    }
    Ok(Json(SecretKept {
        name,
        version,
        origins,
    }))
}

/// Deletes a secret.
///
/// A secret that a connection still uses stays, so that a sync does not fail by surprise.
#[utoipa::path(delete, path = "/api/v1/secrets/{name}", operation_id = "delete_secret", tag = "secrets",
    params(("name" = String, Path, description = "The secret's name")),
    responses((status = 204), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn delete(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    parameters.finish()?;
    let name = name_of("secret", &name)?;
    let users = users(&gateway, &caller.workspace, &name).await?;
    let mut names: Vec<String> = users
        .iter()
        .map(|connection| format!("connection `{}`", connection.name))
        .collect();
    let (senders, _) = senders(&gateway, &caller.workspace, &name).await?;
    names.extend(senders);
    if !names.is_empty() {
        return Err(
            Problem::new(StatusCode::CONFLICT, "in_use", "the secret is in use").detail(format!(
                "`{name}` is used by {}; change that first",
                names.join(", ")
            )),
        );
    }
    if gateway
        .store()
        .delete_secret(&caller.workspace, &caller.token, &name)
        .await?
    {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("secret", &name))
    }
}

async fn keep(
    gateway: &Gateway,
    caller: &Caller,
    name: &str,
    value: &Secret,
    origins: &[String],
) -> Result<i64, Problem> {
    let workspace = &caller.workspace;
    for _ in 0..TRIES {
        let version = gateway.store().next_secret_version(workspace, name).await?;
        let plain = service::SealedSecret {
            workspace: workspace.clone(),
            name: name.to_owned(),
            version,
            origins: origins.to_vec(),
            value: SecretString::from(value.expose()),
        };
        let sealed = service::seal(gateway.recipient(), &plain).map_err(|error| {
            tracing::error!(error = %error, secret = name, "a secret could not be sealed");
            Problem::internal()
        })?;
        let sealed = store::SealedSecret {
            name: name.to_owned(),
            version,
            sealed,
            origins: origins.to_vec(),
        };
        match gateway
            .store()
            .put_secret(workspace, &caller.token, &sealed)
            .await
        {
            Ok(()) => return Ok(version),
            Err(store::Error::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::new(
        StatusCode::CONFLICT,
        "conflict",
        "the secret is being set by others",
    )
    .detail("try again in a moment"))
}

async fn users(
    gateway: &Gateway,
    workspace: &str,
    secret: &str,
) -> Result<Vec<Connection>, Problem> {
    let mut connections = every_connection(gateway, workspace).await?;
    connections.retain(|connection| {
        connection
            .secrets()
            .iter()
            .any(|name| name.as_str() == secret)
    });
    Ok(connections)
}

fn origins_of(connections: &[Connection]) -> Vec<String> {
    let mut origins: Vec<String> = connections
        .iter()
        .filter_map(Connection::origins)
        .flatten()
        .collect();
    origins.sort();
    origins.dedup();
    origins
}

/// Ties the secrets of a connection to its address, and says in words which may not go there.
pub(crate) async fn bind(
    gateway: &Gateway,
    workspace: &str,
    connection: &Connection,
) -> Result<Option<String>, Problem> {
    let wanted = connection.secrets();
    let Some(origins) = connection.origins().filter(|_| !wanted.is_empty()) else {
        return Ok(None);
    };
    let names: Vec<String> = wanted.into_iter().map(|name| name.to_string()).collect();
    let known = gateway.store().secrets(workspace).await?;
    let unbound = bind_all(gateway, workspace, &known, &names, &origins).await?;
    Ok(refusal(&unbound, &origins))
}

/// Ties the secrets of a webhook to its address, and says which are missing or may not go there.
pub(crate) async fn bind_target(
    gateway: &Gateway,
    workspace: &str,
    target: &Target,
) -> Result<Option<String>, Problem> {
    let names: Vec<String> = target
        .secrets()
        .into_iter()
        .map(|name| name.to_string())
        .collect();
    if names.is_empty() {
        return Ok(None);
    }
    let origins = target_origins(target);
    let known = gateway.store().secrets(workspace).await?;
    let missing: Vec<String> = names
        .iter()
        .filter(|name| !known.iter().any(|secret| secret.name == **name))
        .map(|name| format!("`tidemark secret set {name}`"))
        .collect();
    if !missing.is_empty() {
        return Ok(Some(format!(
            "set the secret with {}",
            missing.join(" and ")
        )));
    }
    let unbound = bind_all(gateway, workspace, &known, &names, &origins).await?;
    Ok(refusal(&unbound, &origins))
}

/// Ties secrets that were not tied yet; returns those that may not go to all of `origins`.
async fn bind_all<'a>(
    gateway: &Gateway,
    workspace: &str,
    known: &'a [SecretInfo],
    names: &[String],
    origins: &[String],
) -> Result<Vec<&'a SecretInfo>, Problem> {
    let mut unbound = Vec::new();
    for name in names {
        let Some(secret) = known.iter().find(|secret| secret.name == *name) else {
            continue;
        };
        let bound = origins.iter().all(|origin| secret.origins.contains(origin))
            || gateway
                .store()
                .bind_secret_origins(workspace, &secret.name, secret.version, origins)
                .await?;
        if !bound {
            unbound.push(secret);
        }
    }
    Ok(unbound)
}

fn target_origins(target: &Target) -> Vec<String> {
    match target {
        Target::Webhook(webhook) => webhook.origin().into_iter().collect(),
        Target::Email(_) => Vec::new(),
    }
}

/// Returns who sends messages with a secret, as `alert \`name\``, and where to.
async fn senders(
    gateway: &Gateway,
    workspace: &str,
    secret: &str,
) -> Result<(Vec<String>, Vec<String>), Problem> {
    let (mut names, mut origins) = (Vec::new(), Vec::new());
    for kind in [Kind::Goal, Kind::Alert, Kind::Scorecard] {
        for stored in every(gateway, workspace, kind).await? {
            let definition = stored.definition()?;
            for target in definition.targets() {
                if target.secrets().iter().any(|name| name.as_str() == secret) {
                    names.push(format!("{} `{}`", kind.as_str(), stored.name));
                    origins.extend(target_origins(target));
                }
            }
        }
    }
    names.dedup();
    Ok((names, origins))
}

/// Says what a connection's secrets lack, without changing anything.
pub(crate) async fn attention(
    gateway: &Gateway,
    workspace: &str,
    connection: &Connection,
) -> Result<Option<String>, Problem> {
    let known = gateway.store().secrets(workspace).await?;
    let (mut missing, mut unbound) = (Vec::new(), Vec::new());
    let origins = connection.origins().unwrap_or_default();
    for name in connection.secrets() {
        match known.iter().find(|secret| secret.name == name.as_str()) {
            None => missing.push(name.to_string()),
            Some(secret) => {
                let elsewhere = origins
                    .iter()
                    .any(|origin| !secret.origins.contains(origin));
                if !secret.origins.is_empty() && elsewhere {
                    unbound.push(secret);
                }
            }
        }
    }
    let awaited = connection.auth.consent().map(definition::Name::as_str);
    if missing.iter().any(|name| Some(name.as_str()) == awaited) {
        let cure = format!(
            "authorize it with `tidemark connection authorize {}`",
            connection.name
        );
        return Ok(Some(cure));
    }
    if !missing.is_empty() {
        let set = missing
            .iter()
            .map(|name| format!("`tidemark secret set {name}`"));
        return Ok(Some(format!(
            "set the secret with {}",
            set.collect::<Vec<_>>().join(" and ")
        )));
    }
    Ok(refusal(&unbound, &origins))
}

fn refusal(unbound: &[&SecretInfo], origins: &[String]) -> Option<String> {
    let is_closed = |origin: &&String| {
        unbound
            .iter()
            .any(|secret| !secret.origins.contains(origin))
    };
    let closed: Vec<&str> = origins
        .iter()
        .filter(is_closed)
        .map(String::as_str)
        .collect();
    (!unbound.is_empty()).then(|| {
        let names = unbound.iter().map(|secret| format!("`{}`", secret.name));
        format!(
            "the secret {} was given for another address than {} and is not sent there; set it \
             again with `tidemark secret set`",
            names.collect::<Vec<_>>().join(", "),
            closed.join(" and "),
        )
    })
}

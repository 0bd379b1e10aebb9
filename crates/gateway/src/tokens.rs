//! Tokens as their admins see them, and who the caller is.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::{NewToken, Token};
use utoipa::ToSchema;

use crate::auth::{self, Caller, Role};
use crate::body::Content;
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument};
use crate::router::Gateway;
use crate::time;

/// The longest name of a token.
const NAME_CHARACTERS: usize = 100;

/// A token without its text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenView {
    /// The id to revoke it by.
    #[schema(example = "t_0123456789ab")]
    id: String,
    /// What its owner calls it.
    name: String,
    /// What it may do.
    #[schema(example = "viewer")]
    role: String,
    /// When it was made.
    created_at: String,
    /// When it stops to work; never when null.
    expires_at: Option<String>,
    /// When it was last used, to the minute.
    last_used_at: Option<String>,
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        Self {
            id: token.id,
            name: token.name,
            role: token.role,
            created_at: time::text(token.created_at),
            expires_at: token.expires_at.map(time::text),
            last_used_at: token.last_used_at.map(time::text),
        }
    }
}

/// All tokens of a workspace.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenList {
    items: Vec<TokenView>,
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenDraft {
    /// What to call it.
    #[schema(example = "grafana")]
    name: String,
    /// What it may do: viewer, editor or admin.
    role: Role,
    /// When it stops to work; never when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A new token, with its text: the only time it is shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenMade {
    #[serde(flatten)]
    token: TokenView,
    /// The text to send as `Authorization: Bearer …`; it is not kept and cannot be shown again.
    #[schema(example = "tm_…")]
    value: String,
}

/// Lists the workspace's tokens, without their text.
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "list_tokens", tag = "tokens",
    responses((status = 200, body = TokenList), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<TokenList>, Problem> {
    parameters.finish()?;
    let tokens = gateway.store().tokens(Some(&caller.workspace)).await?;
    Ok(Json(TokenList {
        items: tokens.into_iter().map(TokenView::from).collect(),
    }))
}

/// Makes a token; its text is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/tokens", operation_id = "create_token", tag = "tokens", request_body = TokenDraft,
    responses((status = 201, body = TokenMade), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn create(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    content: Content,
) -> Result<(StatusCode, Json<TokenMade>), Problem> {
    parameters.finish()?;
    let draft: TokenDraft = content.json()?;
    let name = draft.name.trim();
    if name.is_empty()
        || name.chars().count() > NAME_CHARACTERS
        || name.chars().any(char::is_control)
        || definition::hidden_character(name).is_some()
    {
        return Err(Problem::body(
            "request.invalid",
            format!("`name` has 1 to {NAME_CHARACTERS} printable characters"),
        ));
    }
    if draft.role > caller.role {
        return Err(Problem::role_missing(
            draft.role.as_str(),
            caller.role.as_str(),
        ));
    }
    if draft
        .expires_at
        .is_some_and(|at| at <= gateway.context().clock.now())
    {
        return Err(Problem::body(
            "request.invalid",
            "`expires_at` is in the past",
        ));
    }
    let value = auth::generate();
    let token = NewToken {
        hash: auth::hash(&value),
        workspace: (draft.role < Role::Operator).then(|| caller.workspace.clone()),
        role: draft.role.as_str().to_owned(),
        name: name.to_owned(),
        expires_at: draft.expires_at.map(Timestamp::as_millisecond),
    };
    let token = gateway.store().insert_token(&caller.token, &token).await?;
    Ok((
        StatusCode::CREATED,
        Json(TokenMade {
            token: token.into(),
            value,
        }),
    ))
}

/// Revokes a token: at once on this gateway, within two seconds on others.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", operation_id = "revoke_token", tag = "tokens",
    params(("id" = String, Path, description = "The token's id")),
    responses((status = 204), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn revoke(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    parameters.finish()?;
    let workspace = (caller.role < Role::Operator).then_some(caller.workspace.as_str());
    if !gateway
        .store()
        .revoke_token(workspace, &caller.token, &id)
        .await?
    {
        return Err(Problem::not_found("token", &id));
    }
    gateway.tokens().forget(&id);
    Ok(StatusCode::NO_CONTENT)
}

/// Who the caller is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    /// The workspace that everything asked for belongs to.
    #[schema(example = "default")]
    workspace: String,
    /// The token's id.
    token: String,
    /// What the token's owner calls it.
    name: String,
    /// What it may do.
    role: Role,
    /// When it stops to work; never when null.
    expires_at: Option<String>,
}

/// Tells who the caller is.
#[utoipa::path(get, path = "/api/v1/me", tag = "tokens",
    responses((status = 200, body = Me), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn me(caller: Caller, parameters: Parameters) -> Result<Json<Me>, Problem> {
    parameters.finish()?;
    Ok(Json(Me {
        workspace: caller.workspace.clone(),
        token: caller.token.clone(),
        name: caller.name.clone(),
        role: caller.role,
        expires_at: caller.expires_at.map(time::text),
    }))
}

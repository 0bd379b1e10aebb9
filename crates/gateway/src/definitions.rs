//! Definitions as they are listed, read, replaced and deleted, one kind like the other.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use definition::{Connection, Definition, Name};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;
use store::{Action, Change, Kind, Stored};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::body::Content;
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument, ProblemItem, shown};
use crate::router::Gateway;
use crate::standing::{self, StateView};
use crate::{apply, cursor, time};

/// How many definitions one read of the store brings.
const PAGE: u32 = 1000;

/// What a list is asked with.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes the parameters for the OpenAPI document"
)]
pub(crate) struct ListParameters {
    /// Where to go on: the `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many at most, 1 to 1000.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// A part of the name or title.
    q: Option<String>,
}

/// One page of definitions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DefinitionList {
    items: Vec<DefinitionView>,
    /// Where to go on; null at the end.
    next_cursor: Option<String>,
}

/// A definition with what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DefinitionView {
    /// `connection`, `dataset`, `metric`, `goal`, `alert`, `board` or `scorecard`.
    #[schema(example = "metric")]
    kind: String,
    /// Its name.
    #[schema(example = "new_subscribers")]
    name: String,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// What to send as `If-Match` so that nobody else's change is overwritten.
    #[schema(example = "\"3\"")]
    etag: String,
    /// When it was first applied.
    created_at: String,
    /// When it last changed.
    updated_at: String,
    /// What the user wrote, as it is kept.
    definition: Value,
    /// Metrics: the JSONata in force, generated from `select` or written by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    expression: Option<String>,
    /// Metrics: the revision of the evaluation in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    /// Metrics: the version of the data, which grows with every change of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    /// Metrics and datasets: the dataset's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "d_0123456789abcdef")]
    dataset: Option<String>,
    /// How it stands; only when asked for by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<StateView>,
}

macro_rules! routes_of_kind {
    ($module:ident, $kind:ident, $one:literal, $many:literal, $list:literal, $single:literal) => {
        #[doc = concat!("Routes of ", $many, ".")]
        pub(crate) mod $module {
            use super::*;

            #[doc = concat!("Lists ", $many, " by name.")]
            #[utoipa::path(get, path = $list, tag = $many, params(ListParameters),
                operation_id = concat!("list_", $many),
                summary = concat!("Lists ", $many, " by name."),
                responses((status = 200, body = DefinitionList), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
            pub(crate) async fn list(
                State(gateway): State<Gateway>,
                caller: Caller,
                parameters: Parameters,
            ) -> Result<Json<DefinitionList>, Problem> {
                super::list(&gateway, &caller, Kind::$kind, parameters).await
            }

            #[doc = concat!("Reads one ", $one, " with how it stands.")]
            #[utoipa::path(get, path = $single, tag = $many, params(("name" = String, Path, description = "Its name"), ("If-None-Match" = Option<String>, Header, description = "An ETag that was read: the same definition is not sent again")),
                operation_id = concat!("get_", $one),
                summary = concat!("Reads one ", $one, " with how it stands."),
                responses((status = 200, body = DefinitionView, headers(("ETag" = String, description = "What to send as If-Match"))), (status = 304, description = "The definition is the one that was read; how it stands may have changed"), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
            pub(crate) async fn get(
                State(gateway): State<Gateway>,
                caller: Caller,
                parameters: Parameters,
                Path(name): Path<String>,
                headers: HeaderMap,
            ) -> Result<Response, Problem> {
                super::get(&gateway, &caller, Kind::$kind, &name, parameters, &headers).await
            }

            #[doc = concat!("Creates or replaces one ", $one, "; YAML or JSON. `If-Match` guards against overwriting, `If-None-Match: *` against replacing.")]
            #[utoipa::path(put, path = $single, tag = $many, params(("name" = String, Path, description = "Its name"), ("If-Match" = Option<String>, Header, description = "The ETag that was read")),
                operation_id = concat!("put_", $one),
                summary = concat!("Creates or replaces one ", $one, "."),
                request_body(content((Value = "application/json"), (String = "application/yaml"))),
                responses((status = 200, body = DefinitionView), (status = 201, body = DefinitionView), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
            pub(crate) async fn put(
                State(gateway): State<Gateway>,
                caller: Caller,
                parameters: Parameters,
                Path(name): Path<String>,
                headers: HeaderMap,
                content: Content,
            ) -> Result<Response, Problem> {
                super::put(&gateway, &caller, Kind::$kind, &name, parameters, &headers, &content).await
            }

            #[doc = concat!("Deletes one ", $one, "; refused while others use it.")]
            #[utoipa::path(delete, path = $single, tag = $many, params(("name" = String, Path, description = "Its name"), ("If-Match" = Option<String>, Header, description = "The ETag that was read")),
                operation_id = concat!("delete_", $one),
                summary = concat!("Deletes one ", $one, "; refused while others use it."),
                responses((status = 204), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
            pub(crate) async fn delete(
                State(gateway): State<Gateway>,
                caller: Caller,
                parameters: Parameters,
                Path(name): Path<String>,
                headers: HeaderMap,
            ) -> Result<StatusCode, Problem> {
                super::delete(&gateway, &caller, Kind::$kind, &name, parameters, &headers).await
            }
        }
    };
}

routes_of_kind!(
    connections,
    Connection,
    "connection",
    "connections",
    "/api/v1/connections",
    "/api/v1/connections/{name}"
);
routes_of_kind!(
    datasets,
    Dataset,
    "dataset",
    "datasets",
    "/api/v1/datasets",
    "/api/v1/datasets/{name}"
);
routes_of_kind!(
    metrics,
    Metric,
    "metric",
    "metrics",
    "/api/v1/metrics",
    "/api/v1/metrics/{name}"
);
routes_of_kind!(
    goals,
    Goal,
    "goal",
    "goals",
    "/api/v1/goals",
    "/api/v1/goals/{name}"
);
routes_of_kind!(
    alerts,
    Alert,
    "alert",
    "alerts",
    "/api/v1/alerts",
    "/api/v1/alerts/{name}"
);
routes_of_kind!(
    boards,
    Board,
    "board",
    "boards",
    "/api/v1/boards",
    "/api/v1/boards/{name}"
);
routes_of_kind!(
    scorecards,
    Scorecard,
    "scorecard",
    "scorecards",
    "/api/v1/scorecards",
    "/api/v1/scorecards/{name}"
);

async fn list(
    gateway: &Gateway,
    caller: &Caller,
    kind: Kind,
    mut parameters: Parameters,
) -> Result<Json<DefinitionList>, Problem> {
    let cursor = parameters.text("cursor");
    let limit = parameters.limit();
    let q = parameters.text("q").filter(|q| !q.is_empty());
    parameters.finish()?;
    let cursor = cursor::read(kind.as_str(), cursor.as_deref())?;
    let found = gateway
        .store()
        .definitions(
            &caller.workspace,
            kind,
            cursor.as_deref(),
            limit,
            q.as_deref(),
        )
        .await?;
    let full = found.len() >= limit as usize;
    let last = found.last().filter(|_| full);
    let next_cursor = last.map(|last| cursor::write(kind.as_str(), &last.name));
    Ok(Json(DefinitionList {
        items: found.into_iter().map(view).collect(),
        next_cursor,
    }))
}

async fn get(
    gateway: &Gateway,
    caller: &Caller,
    kind: Kind,
    name: &str,
    parameters: Parameters,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    parameters.finish()?;
    let name = name_of(kind.as_str(), name)?;
    let stored = stored(gateway, &caller.workspace, kind, &name).await?;
    let tag = etag(stored.version, stored.created_at);
    if is_known(&tag, headers) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        tell_tag(&mut response, &tag);
        return Ok(response);
    }
    answer(gateway, &caller.workspace, stored, StatusCode::OK).await
}

async fn put(
    gateway: &Gateway,
    caller: &Caller,
    kind: Kind,
    name: &str,
    parameters: Parameters,
    headers: &HeaderMap,
    content: &Content,
) -> Result<Response, Problem> {
    parameters.finish()?;
    let if_match = precondition(gateway, caller, kind, name, headers).await?;
    let read = apply::read(content, "body")?;
    match read.bundle.definitions.as_slice() {
        // What cannot be read is told by `change`, with everything else that is wrong.
        _ if !read.problems.is_empty() => {}
        [only] => {
            let (written, own) = (
                only.definition.kind().as_str(),
                only.definition.name().as_str(),
            );
            if written != kind.as_str() || own != name {
                return Err(Problem::body(
                    "request.invalid",
                    format!(
                        "the body defines the {written} `{own}`, the address says the {} `{}`",
                        kind.as_str(),
                        shown(name)
                    ),
                ));
            }
        }
        several => {
            return Err(Problem::body(
                "request.invalid",
                format!(
                    "one definition is expected, not {}; `POST /api/v1/apply` takes several",
                    several.len()
                ),
            ));
        }
    }
    let applied = apply::change(gateway, caller, read, if_match, apply::Mode::Apply).await?;
    let status = if applied.created(kind, name) {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let stored = stored(gateway, &caller.workspace, kind, name).await?;
    answer(gateway, &caller.workspace, stored, status).await
}

async fn delete(
    gateway: &Gateway,
    caller: &Caller,
    kind: Kind,
    name: &str,
    parameters: Parameters,
    headers: &HeaderMap,
) -> Result<StatusCode, Problem> {
    parameters.finish()?;
    let name = name_of(kind.as_str(), name)?;
    let if_match = precondition(gateway, caller, kind, &name, headers).await?;
    let change = Change {
        kind,
        name: name.clone(),
        action: Action::Delete,
        if_match,
    };
    gateway
        .store()
        .apply(&caller.workspace, &caller.token, &[change])
        .await
        .map_err(|error| apply::refusal(error, if_match))?;
    gateway.series().forget(&caller.workspace, &name);
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the version that the caller insists on, if any: 0 where there must be none.
async fn precondition(
    gateway: &Gateway,
    caller: &Caller,
    kind: Kind,
    name: &str,
    headers: &HeaderMap,
) -> Result<Option<i64>, Problem> {
    if headers
        .get(IF_NONE_MATCH)
        .is_some_and(|value| value.as_bytes() == b"*")
    {
        return Ok(Some(0));
    }
    let Some(value) = headers.get(IF_MATCH) else {
        return Ok(None);
    };
    let store = gateway.store();
    let stored = store.definition(&caller.workspace, kind, name).await?;
    let refused = |detail: String| {
        let title = "it is not as you saw it";
        let status = StatusCode::PRECONDITION_FAILED;
        Problem::new(status, "precondition.failed", title).detail(detail)
    };
    let kind = kind.as_str();
    let Some(stored) = stored else {
        return Err(refused(format!(
            "the {kind} `{}` does not exist",
            shown(name)
        )));
    };
    let tag = etag(stored.version, stored.created_at);
    let text = value.to_str().unwrap_or_default();
    if is_among(&tag, text, Comparison::Strong) {
        return Ok(Some(stored.version));
    }
    let why = if is_among(&tag, text, Comparison::Weak) {
        "a weak ETag guards nothing; send it without `W/`".to_owned()
    } else {
        format!(
            "`{}` is not the ETag of the {kind} `{name}`, which is {tag} now; read it again",
            shown(text)
        )
    };
    Err(refused(why))
}

/// How entity tags are compared (RFC 9110, section 8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// For `If-Match`: a weak tag may stand for another version, so it guards nothing.
    Strong,
    /// For `If-None-Match`: a weak tag says as much as is needed to send nothing again.
    Weak,
}

/// Whether an entity tag is one of those that a header lists.
fn is_among(tag: &str, listed: &str, comparison: Comparison) -> bool {
    let mut listed = listed.split(',').map(str::trim);
    listed.any(|one| {
        let one = match comparison {
            Comparison::Weak => one.strip_prefix("W/").unwrap_or(one),
            Comparison::Strong => one,
        };
        one == "*" || one == tag
    })
}

/// Whether the caller has this version already, by its `If-None-Match`.
fn is_known(tag: &str, headers: &HeaderMap) -> bool {
    let listed = headers.get_all(IF_NONE_MATCH).into_iter();
    let mut listed = listed.filter_map(|value| value.to_str().ok());
    listed.any(|listed| is_among(tag, listed, Comparison::Weak))
}

/// Returns a name from an address, or says that nothing can be called so.
pub(crate) fn name_of(what: &str, name: &str) -> Result<String, Problem> {
    match Name::parse(name) {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(_) => Err(Problem::not_found(what, name)),
    }
}

/// Returns a stored definition, or a 404.
pub(crate) async fn stored(
    gateway: &Gateway,
    workspace: &str,
    kind: Kind,
    name: &str,
) -> Result<Stored, Problem> {
    let found = gateway.store().definition(workspace, kind, name).await?;
    found.ok_or_else(|| Problem::not_found(kind.as_str(), name))
}

/// Returns every connection of a workspace.
pub(crate) async fn every_connection(
    gateway: &Gateway,
    workspace: &str,
) -> Result<Vec<Connection>, Problem> {
    let mut connections = Vec::new();
    for stored in every(gateway, workspace, Kind::Connection).await? {
        connections.push(stored.connection()?);
    }
    Ok(connections)
}

/// Returns every definition of a kind.
pub(crate) async fn every(
    gateway: &Gateway,
    workspace: &str,
    kind: Kind,
) -> Result<Vec<Stored>, Problem> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = gateway
            .store()
            .definitions(workspace, kind, after.as_deref(), PAGE, None)
            .await?;
        after = page.last().map(|stored| stored.name.clone());
        let full = page.len() == PAGE as usize;
        found.extend(page);
        if !full {
            return Ok(found);
        }
    }
}

fn view(stored: Stored) -> DefinitionView {
    let definition: Value = serde_json::from_str(&stored.document).unwrap_or(Value::Null);
    DefinitionView {
        kind: stored.kind.as_str().to_owned(),
        title: definition
            .get("title")
            .and_then(Value::as_str)
            .map(str::to_owned),
        name: stored.name,
        etag: etag(stored.version, stored.created_at),
        created_at: time::text(stored.created_at),
        updated_at: time::text(stored.updated_at),
        definition,
        expression: None,
        revision: stored.revision,
        version: None,
        dataset: stored.dataset,
        state: None,
    }
}

/// Returns the entity tag of a version. The moment of making is part of it: a definition that is made again after it
/// was deleted counts its versions anew.
pub(crate) fn etag(version: i64, created_at: i64) -> String {
    format!("\"{version}-{created_at:x}\"")
}

async fn answer(
    gateway: &Gateway,
    workspace: &str,
    stored: Stored,
    status: StatusCode,
) -> Result<Response, Problem> {
    let tag = etag(stored.version, stored.created_at);
    let definition = stored.definition()?;
    let created_at = stored.created_at;
    let mut view = view(stored);
    match &definition {
        Definition::Connection(connection) => {
            view.state = Some(standing::of_connection(gateway, workspace, connection).await?);
        }
        Definition::Dataset(dataset) => {
            view.state = Some(standing::of_dataset(gateway, workspace, dataset).await?);
        }
        Definition::Goal(_) | Definition::Alert(_) | Definition::Scorecard(_) => {
            view.state = standing::of_watch(gateway, workspace, &definition).await?;
        }
        Definition::Board(_) => {}
        Definition::Metric(metric) => {
            let dataset = match &metric.dataset {
                Some(name) => dataset(gateway, workspace, name.as_str()).await?,
                None => None,
            };
            if metric.formula.is_none() && !metric.is_pushed() {
                view.expression = Some(metric.expression.clone().unwrap_or_else(|| {
                    let select = metric.selection(dataset.as_ref());
                    expression::generate(&select, metric.metric_type(dataset.as_ref()))
                }));
            }
            if let Some(known) = gateway
                .store()
                .metric_state(workspace, metric.name.as_str())
                .await?
            {
                view.version = Some(known.version);
                view.revision = Some(known.revision);
                let schedule = metric.schedule(dataset.as_ref());
                let now = gateway.context().clock.now();
                view.state = Some(standing::of_metric(
                    known, metric, &schedule, created_at, now,
                ));
            }
        }
    }
    let mut response = (status, Json(view)).into_response();
    tell_tag(&mut response, &tag);
    Ok(response)
}

fn tell_tag(response: &mut Response, tag: &str) {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
}

/// Returns a named dataset's definition, if it is there.
pub(crate) async fn dataset(
    gateway: &Gateway,
    workspace: &str,
    name: &str,
) -> Result<Option<definition::Dataset>, Problem> {
    match gateway
        .store()
        .definition(workspace, Kind::Dataset, name)
        .await?
    {
        Some(stored) => Ok(Some(stored.dataset_definition()?)),
        None => Ok(None),
    }
}

/// Returns JSON text as JSON, and any other text as a JSON text.
pub(crate) fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

/// Returns the problems that are only warnings, for an answer that is not a refusal.
pub(crate) fn warnings(problems: &[definition::Problem]) -> Vec<ProblemItem> {
    problems
        .iter()
        .filter(|problem| !problem.is_error())
        .map(ProblemItem::from)
        .collect()
}

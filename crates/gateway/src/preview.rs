//! Previews: a draft is fetched by a fetcher and evaluated by an evaluator, and the answers are put together here.
//!
//! The gateway calls nobody but NATS. A draft that was fetched once is evaluated again without another request to the
//! API, by any gateway, as long as its pages lie in the stream.

mod answer;
mod draft;
mod parents;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use wire::preview::{MOST_PAGES, PAGES};
use wire::{
    Message, PreviewEvaluate, PreviewEvaluated, PreviewFetch, PreviewFetched, SyncRequest, message,
};

use crate::auth::Caller;
use crate::body::Content;
use crate::parameters::Parameters;
use crate::problem::{OUTAGE_RETRY_SECONDS, Problem, ProblemDocument, shown};
use crate::router::Gateway;
use answer::PreviewAnswer;
use draft::{Draft, secrets};

/// The route, whose answers take longer than others.
pub(crate) const ROUTE: &str = "/api/v1/preview";

/// A fetcher takes a minute at most, and a moment to be heard.
const FETCH_WITHIN: Duration = Duration::from_secs(63);

/// Twenty pages at the worker's own limits, and a moment to be heard.
const EVALUATE_WITHIN: Duration = Duration::from_secs(25);

/// Past this the answer is given up: both of the above.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// Rows listed of each page, unless fewer are asked for.
const ROWS: u32 = 200;

/// What is to be previewed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewDraft {
    /// Definitions as text (YAML or JSON) or as JSON: a draft metric, and its connection and dataset unless those are
    /// applied already. Without it, `metric` names an applied metric.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    definitions: Option<Value>,
    /// Which metric; needed when the definitions hold several.
    #[serde(default)]
    #[schema(example = "new_subscribers")]
    metric: Option<String>,
    /// Pages to fetch: 5, at most 20. Of a request that is made for each record of a parent, so many records are asked
    /// for, one page of each.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 20)]
    pages: Option<u32>,
    /// The `draft` of an earlier answer: evaluates its pages again and fetches nothing.
    #[serde(default)]
    draft: Option<String>,
    /// JSONata in place of the metric's own.
    #[serde(default)]
    expression: Option<String>,
    /// A selection in place of the metric's own.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    select: Option<Value>,
    /// Rows listed of each page: 200, at most 500.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 500)]
    rows: Option<u32>,
    /// What problems call the definitions, such as their file's name.
    #[serde(default)]
    source: Option<String>,
}

/// Fetches a few pages of a draft metric and shows what becomes of them; nothing is kept or changed.
#[utoipa::path(post, path = "/api/v1/preview", operation_id = "preview", tag = "definitions",
    request_body(content((PreviewDraft = "application/json"), (String = "application/yaml"))),
    responses((status = 200, body = PreviewAnswer),
        (status = 410, description = "The draft's pages are gone; fetch them again", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "The definitions are wrong, a secret is missing, or the address is refused", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "No fetcher or evaluator answers", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn preview(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    content: Content,
) -> Result<Json<PreviewAnswer>, Problem> {
    parameters.finish()?;
    let asked = read(&content)?;
    let draft = Draft::read(&gateway, &caller.workspace, &asked).await?;
    let (fetched, again) = match &asked.draft {
        Some(id) => (earlier(&gateway, &caller.workspace, id).await?, true),
        None => (
            fetch(&gateway, &caller.workspace, &draft, &asked).await?,
            false,
        ),
    };
    let manifest = fetched.manifest.clone().unwrap_or_default();
    if let Some(error) = &manifest.error
        && manifest.pages.is_empty()
        && was_never_sent(&error.code)
    {
        // The same for an open and a closed port: nothing was sent.
        return Err(Problem::body(&error.code, error.message.clone()));
    }
    let evaluated = if manifest.pages.is_empty() {
        None
    } else {
        Some(evaluate(&gateway, &caller.workspace, &draft, &asked, &fetched).await?)
    };
    if let Some(error) = evaluated.as_ref().and_then(|one| one.error.as_ref())
        && error.code == "preview.expired"
    {
        return Err(expired());
    }
    Ok(Json(PreviewAnswer::of(&draft, fetched, evaluated, again)))
}

fn read(content: &Content) -> Result<PreviewDraft, Problem> {
    let asked = if content.media_type.contains("yaml") {
        PreviewDraft {
            definitions: Some(content.text()?.into()),
            ..PreviewDraft::default()
        }
    } else {
        content.json::<PreviewDraft>()?
    };
    let out_of = |name: &str, most: u32| {
        Problem::body(
            "request.invalid",
            format!("`{name}` is a number from 1 to {most}"),
        )
    };
    if asked
        .pages
        .is_some_and(|pages| !(1..=MOST_PAGES).contains(&pages))
    {
        return Err(out_of("pages", MOST_PAGES));
    }
    if asked.rows.is_some_and(|rows| !(1..=500).contains(&rows)) {
        return Err(out_of("rows", 500));
    }
    Ok(asked)
}

/// Whether an error of this code came before anything was sent.
fn was_never_sent(code: &str) -> bool {
    let of_the_network = matches!(code, "egress.dns_failed" | "egress.dns_timeout");
    ["egress.", "secret.", "definition."]
        .iter()
        .any(|family| code.starts_with(family))
        && !of_the_network
}

async fn earlier(gateway: &Gateway, workspace: &str, id: &str) -> Result<PreviewFetched, Problem> {
    if !crate::runs::is_run_id(id) {
        return Err(Problem::body(
            "request.invalid",
            format!("`{}` is no draft that a preview has given", shown(id)),
        ));
    }
    let found = gateway
        .bus()
        .draft(workspace, id)
        .await
        .map_err(|error| away(&error))?;
    found.ok_or_else(expired)
}

fn expired() -> Problem {
    Problem::new(
        StatusCode::GONE,
        "preview.expired",
        "the pages of this draft are gone",
    )
    .detail("drafts are kept for ten minutes; send the preview again without `draft` to fetch them anew")
}

async fn fetch(
    gateway: &Gateway,
    workspace: &str,
    draft: &Draft,
    asked: &PreviewDraft,
) -> Result<PreviewFetched, Problem> {
    let now = gateway.context().clock.now();
    let id = store::new_run_id(now.as_millisecond());
    let window = draft.window(now);
    let sync = SyncRequest {
        workspace: workspace.to_owned(),
        dataset: wire::preview::DATASET.to_owned(),
        run: id.clone(),
        attempt: 1,
        slot: now.to_string(),
        kind: wire::preview::KIND.to_owned(),
        window,
        timezone: draft.fetch.zone.clone().unwrap_or_else(|| "UTC".to_owned()),
        connection: Some(draft.connection_document().into()),
        request: Some(
            serde_json::to_value(&draft.fetch.request)
                .unwrap_or_default()
                .into(),
        ),
        secrets: secrets(gateway, workspace, &draft.connection).await?,
        max_pages: asked
            .pages
            .unwrap_or(PAGES)
            .min(draft.fetch.request.max_pages),
        records_hint: draft.records_hint(),
        ..SyncRequest::default()
    };
    let mut parents = Vec::with_capacity(draft.parents.len());
    for parent in &draft.parents {
        let question = parent.question(gateway, workspace, &draft.metric, now);
        parents.push(question.await?);
    }
    let question = PreviewFetch {
        workspace: workspace.to_owned(),
        draft: id,
        sync: Some(sync),
        deadline: after(now, FETCH_WITHIN),
        identity: draft.identity(),
        requires: needed(draft),
        parents,
    };
    ask(gateway, &question, FETCH_WITHIN, "fetcher").await
}

async fn evaluate(
    gateway: &Gateway,
    workspace: &str,
    draft: &Draft,
    asked: &PreviewDraft,
    fetched: &PreviewFetched,
) -> Result<PreviewEvaluated, Problem> {
    let question = PreviewEvaluate {
        workspace: workspace.to_owned(),
        draft: fetched.draft.clone(),
        manifest: fetched.manifest.clone(),
        metric: Some(draft.metric_document().into()),
        dataset: draft.dataset_document().map(Into::into),
        rows_per_page: asked.rows.unwrap_or(ROWS),
        deadline: after(gateway.context().clock.now(), EVALUATE_WITHIN),
        requires: needed(draft),
    };
    ask(gateway, &question, EVALUATE_WITHIN, "evaluator").await
}

/// What a service must know to answer about a draft.
fn needed(draft: &Draft) -> Vec<String> {
    let needs_parents = !draft.parents.is_empty();
    let needed = needs_parents.then(|| wire::preview::PARENTS.to_owned());
    needed.into_iter().collect()
}

fn after(now: Timestamp, wait: Duration) -> String {
    SignedDuration::try_from(wait)
        .ok()
        .and_then(|wait| now.checked_add(wait).ok())
        .unwrap_or(now)
        .to_string()
}

/// Asks the services of one kind and reads the first answer.
async fn ask<Q: Message, A: Message>(
    gateway: &Gateway,
    question: &Q,
    within: Duration,
    who: &str,
) -> Result<A, Problem> {
    let subject = question.subject().map_err(|_| Problem::internal())?;
    let payload = message::encode(question).map_err(|_| Problem::internal())?;
    match gateway
        .bus()
        .request(&subject, Bytes::from(payload), within)
        .await
    {
        Ok(answer) => message::decode::<A>(subject.as_str(), &answer).map_err(|error| {
            tracing::error!(%error, who, "an answer to a preview cannot be read");
            Problem::internal()
        }),
        Err(bus::Error::TooLarge { limit, .. }) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request.too_large",
            "the draft is too large to be previewed",
        )
        .detail(format!(
            "a draft travels in one message of at most {limit} bytes; make the request's body smaller"
        ))),
        Err(bus::Error::Unanswered { .. }) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "preview.unanswered",
            format!("no {who} answers"),
        )
        .detail(format!(
            "is a {who} running? Those that are may be busy with other previews; try again shortly"
        ))
        .retry_after(OUTAGE_RETRY_SECONDS)),
        Err(error) => Err(away(&error)),
    }
}

fn away(error: &bus::Error) -> Problem {
    tracing::warn!(%error, "a preview could not be asked for");
    Problem::bus_unavailable()
}

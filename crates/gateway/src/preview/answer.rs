//! What a preview answers: one document, from what was sent to the first buckets.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use wire::preview::{PreviewExchange, PreviewHeader, PreviewRecords};
use wire::{PreviewEvaluated, PreviewFetched, RunError};

use super::draft::Draft;
use crate::problem::ProblemItem;
use crate::runs::{PageView, WindowView};

/// What becomes of a draft metric.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewAnswer {
    /// What to send as `draft` to evaluate these pages again.
    #[schema(example = "r_01234567890123456789")]
    draft: String,
    /// When the pages go.
    expires_at: String,
    /// Whether the pages are those of an earlier preview, so that nothing was sent.
    again: bool,
    /// The metric.
    metric: String,
    /// The window asked for; null without dates.
    window: Option<WindowView>,
    /// `complete`, `truncated` (there is more than was asked for) or `failed`.
    #[schema(example = "truncated")]
    outcome: String,
    /// Which rule ended the fetch, such as `total_reached` or `page_cap`.
    #[schema(example = "page_cap")]
    ended: String,
    /// What went wrong; null when nothing did.
    error: Option<ErrorView>,
    /// The first request as it was sent; null when none was.
    request: Option<RequestView>,
    /// Every request and its answer.
    exchanges: Vec<ExchangeView>,
    /// The datasets that the metric's descends from, the uppermost first, with how many of their records were asked for.
    parents: Vec<ParentView>,
    /// The pages that came.
    pages: Vec<PageView>,
    /// How many pages the API states.
    stated_pages: Option<i64>,
    /// How many records the API states.
    stated_total: Option<i64>,
    /// Records on the pages that came.
    records: i64,
    /// How pages follow one another.
    pagination: PaginationView,
    /// The answer as a tree with types: `{pages, cut, root: {name, path, kinds, sample, length, number, date, meaning,
    /// different, members, fields}}`.
    #[schema(value_type = Option<Object>)]
    tree: Option<Value>,
    /// Metrics that the answer seems to hold, likeliest first: `{title, why, select, type, aggregation}`.
    #[schema(value_type = Vec<Object>)]
    suggestions: Vec<Value>,
    /// The JSONata that was evaluated.
    expression: Option<String>,
    /// Where it comes from: `expression`, `select`, or `suggestion` when the metric selects nothing yet.
    evaluated: Option<String>,
    /// The selection it was generated from.
    #[schema(value_type = Option<Object>)]
    select: Option<Value>,
    /// First rows of each page: `{page, row, value, date, dimensions, unit, key}`.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Value>,
    /// How many rows there are.
    rows_total: u64,
    /// Some rows that could not be used.
    rejected: Vec<RejectedView>,
    /// How many could not be used.
    rejected_total: u64,
    /// The newest buckets, oldest of them first: `{start, end, dimensions, unit, value, rows}`.
    #[schema(value_type = Vec<Object>)]
    buckets: Vec<Value>,
    /// How many buckets there are.
    buckets_total: u64,
    /// What is probably not what was meant.
    warnings: Vec<WarningView>,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PreviewError)]
pub(crate) struct ErrorView {
    /// `fetch` or `evaluate`.
    stage: &'static str,
    /// For programs.
    #[schema(example = "upstream.unauthorized")]
    code: String,
    /// For people.
    message: String,
    /// The HTTP status of the answer, if there was one.
    status: Option<u32>,
    /// The page it concerns.
    page: Option<u32>,
    /// The beginning of the answer's body, redacted.
    excerpt: String,
}

/// A request as it was sent, credentials masked.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RequestView {
    /// `GET` or `POST`.
    method: String,
    /// The address.
    url: String,
    /// The headers.
    headers: Vec<HeaderView>,
    /// The beginning of the body; null when there was none, or when it was told before.
    body: Option<String>,
}

/// One header.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = PreviewHeader)]
pub(crate) struct HeaderView {
    name: String,
    value: String,
}

/// One request and its answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExchangeView {
    /// The page that was asked for.
    page: u32,
    /// What was asked for where it is no page of the metric: `dataset NAME` or `variable NAME`.
    asks: Option<String>,
    /// Which try at it.
    r#try: u32,
    /// What was sent.
    request: RequestView,
    /// The HTTP status; null when there was no answer.
    status: Option<u32>,
    /// Headers of the answer about type, caching, paging and limits.
    headers: Vec<HeaderView>,
    /// The length of the answer's body, decompressed.
    bytes: Option<u64>,
    /// From the call to the last byte.
    took_ms: u64,
    /// What went wrong.
    error: Option<ErrorView>,
}

/// What was fetched of a dataset whose records are asked for one by one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PreviewParent)]
pub(crate) struct ParentView {
    /// Its name.
    #[schema(example = "broadcasts")]
    dataset: String,
    /// Pages of it that were read.
    pages: u32,
    /// Records that were asked for: the first of those that `where` lets through.
    records: u32,
    /// Whether there are more of them.
    more: bool,
}

/// How pages follow one another.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PaginationView {
    /// As it is written in the request.
    #[schema(value_type = Object)]
    written: Value,
    /// As the first answer seems to have it, and why: `{pagination, certainty, reasons, doubts, used, others}`; null
    /// when nothing speaks of pages.
    #[schema(value_type = Option<Object>)]
    detected: Option<Value>,
}

/// A row that could not be used.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PreviewRejected)]
pub(crate) struct RejectedView {
    /// The page it is on.
    page: u32,
    /// Its place on the page.
    row: u32,
    /// Why, for programs.
    code: String,
    /// Why, for people.
    reason: String,
    /// The row, masked and cut.
    sample: String,
}

/// Something that is probably not what was meant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PreviewWarning)]
pub(crate) struct WarningView {
    /// For programs.
    #[schema(example = "preview.page_cap")]
    code: String,
    /// What was seen.
    message: String,
    /// What to do.
    hint: Option<String>,
}

impl PreviewAnswer {
    /// Puts the answers of fetcher and evaluator together.
    pub(super) fn of(
        draft: &Draft,
        fetched: PreviewFetched,
        evaluated: Option<PreviewEvaluated>,
        again: bool,
    ) -> Self {
        let manifest = fetched.manifest.unwrap_or_default();
        let exchanges: Vec<ExchangeView> = fetched
            .exchanges
            .into_iter()
            .map(ExchangeView::from)
            .collect();
        // What selects nothing yet is shown the first suggestion instead.
        let suggested = evaluated
            .as_ref()
            .is_some_and(|one| one.evaluated == "suggestion");
        let own = draft.warnings.iter();
        let mut warnings: Vec<WarningView> = own
            .filter(|problem| !suggested || problem.code != "definition.select_missing")
            .map(WarningView::from)
            .collect();
        if again && fetched.identity != draft.identity() {
            warnings.push(WarningView {
                code: "preview.request_changed".to_owned(),
                message:
                    "these pages were fetched before the request or the connection was changed"
                        .to_owned(),
                hint: Some("send the preview without `draft` to fetch them anew".to_owned()),
            });
        }
        let parents: Vec<ParentView> = fetched.parents.into_iter().map(ParentView::from).collect();
        warnings.extend(no_records(&parents, manifest.error.is_some()));
        let detected = fetched.detected.map(wire::Json::into_value);
        // The fetch says it better where the answer says it outright.
        if !warnings.iter().any(|one| one.code == MORE_PAGES) {
            warnings.extend(more_pages(draft, detected.as_ref()));
        }
        let evaluated = evaluated.map(|mut evaluated| {
            warnings.extend(evaluated.warnings.drain(..).map(|one| WarningView {
                code: one.code,
                message: one.message,
                hint: Some(one.hint).filter(|hint| !hint.is_empty()),
            }));
            evaluated
        });
        let was_evaluated = evaluated.is_some();
        let evaluated = evaluated.unwrap_or_default();
        let of_fetch = manifest.error.map(|error| ErrorView::of("fetch", error));
        let error = of_fetch.or_else(|| {
            evaluated
                .error
                .map(|error| ErrorView::of("evaluate", error))
        });
        let json = |all: Vec<wire::Json>| all.into_iter().map(wire::Json::into_value).collect();
        Self {
            draft: fetched.draft,
            expires_at: fetched.expires_at,
            again,
            metric: draft.metric.name.to_string(),
            window: manifest.window.map(WindowView::from),
            outcome: manifest.outcome,
            ended: manifest.ended,
            error,
            request: own_request(&exchanges).cloned(),
            exchanges,
            parents,
            pages: manifest.pages.into_iter().map(PageView::from).collect(),
            stated_pages: manifest.stated_pages,
            stated_total: manifest.stated_total,
            records: manifest.records,
            pagination: PaginationView {
                written: serde_json::to_value(&draft.fetch.request.pagination).unwrap_or_default(),
                detected,
            },
            tree: evaluated.tree.map(wire::Json::into_value),
            suggestions: json(evaluated.suggestions),
            expression: Some(evaluated.expression).filter(|_| was_evaluated),
            evaluated: Some(evaluated.evaluated).filter(|_| was_evaluated),
            select: evaluated.select.map(wire::Json::into_value),
            rows: json(evaluated.rows),
            rows_total: evaluated.rows_total,
            rejected: evaluated
                .rejected
                .into_iter()
                .map(|row| RejectedView {
                    page: row.page,
                    row: row.row,
                    code: row.code,
                    reason: row.reason,
                    sample: row.sample,
                })
                .collect(),
            rejected_total: evaluated.rejected_total,
            buckets: json(evaluated.buckets),
            buckets_total: evaluated.buckets_total,
            warnings,
        }
    }
}

/// The code of a warning that more pages exist than are asked for.
const MORE_PAGES: &str = "preview.more_pages";

/// Warns of an answer that seems to be one page of several, where the request asks for one.
fn more_pages(draft: &Draft, detected: Option<&Value>) -> Option<WarningView> {
    let detected = detected.filter(|_| draft.fetch.request.pagination.is_none())?;
    let certainty = detected.get("certainty")?.as_str()?;
    (certainty != "possible").then(|| WarningView {
        code: MORE_PAGES.to_owned(),
        message: "the answer seems to be the first of several pages, and only it would be read"
            .to_owned(),
        hint: Some(format!(
            "add to the request: `pagination: {}`",
            detected.get("pagination").unwrap_or(&Value::Null)
        )),
    })
}

/// The first request for the metric's own pages.
fn own_request(exchanges: &[ExchangeView]) -> Option<&RequestView> {
    let mut own = exchanges.iter().filter(|one| one.asks.is_none());
    own.next().map(|first| &first.request)
}

/// Warns of a parent none of whose records were asked for.
fn no_records(parents: &[ParentView], failed: bool) -> Option<WarningView> {
    let empty = parents
        .iter()
        .find(|parent| parent.records == 0)
        .filter(|_| !failed)?;
    Some(WarningView {
        code: "preview.no_parents".to_owned(),
        message: format!(
            "no record of `{}` was asked for: none of its first {} pages holds one that counts",
            empty.dataset, empty.pages
        ),
        hint: Some("check `parent.where` and the `records` of that dataset".to_owned()),
    })
}

impl From<PreviewRecords> for ParentView {
    fn from(parent: PreviewRecords) -> Self {
        Self {
            dataset: parent.dataset,
            pages: parent.pages,
            records: parent.records,
            more: parent.more,
        }
    }
}

impl ErrorView {
    fn of(stage: &'static str, error: RunError) -> Self {
        Self {
            stage,
            code: error.code,
            message: error.message,
            status: error.status,
            page: error.page,
            excerpt: error.excerpt,
        }
    }
}

impl From<PreviewExchange> for ExchangeView {
    fn from(exchange: PreviewExchange) -> Self {
        let headers = |all: Vec<PreviewHeader>| {
            all.into_iter()
                .map(|header| HeaderView {
                    name: header.name,
                    value: header.value,
                })
                .collect()
        };
        Self {
            page: exchange.page,
            asks: Some(exchange.asks).filter(|asks| !asks.is_empty()),
            r#try: exchange.r#try,
            request: RequestView {
                method: exchange.method,
                url: exchange.url,
                headers: headers(exchange.headers),
                body: Some(exchange.body).filter(|body| !body.is_empty()),
            },
            status: exchange.status,
            headers: headers(exchange.answer_headers),
            bytes: exchange.bytes,
            took_ms: exchange.took_ms,
            error: exchange.error.map(|error| ErrorView::of("fetch", error)),
        }
    }
}

impl From<&ProblemItem> for WarningView {
    fn from(problem: &ProblemItem) -> Self {
        Self {
            code: problem.code.clone(),
            message: if problem.path.is_empty() {
                problem.message.clone()
            } else {
                format!("{}: {}", problem.path, problem.message)
            },
            hint: problem.hint.clone(),
        }
    }
}

//! A bundle of definitions becomes what is in force: all of it, or nothing.

mod in_force;

use std::collections::{BTreeSet, HashMap};

use axum::Json;
use axum::extract::State;
use definition::{Bundle, Connection, Dataset, Definition, Metric};
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use store::{Action, Applied, ApplyOutcome, Change, FetchIdentity, Kind, NewWatch, Put};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::body::Content;
use crate::definitions::{etag, warnings};
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument, ProblemItem, shown};
use crate::router::Gateway;
use crate::secrets;

pub(crate) use in_force::InForce;

/// What `apply` is asked with.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes the parameters for the OpenAPI document"
)]
pub(crate) struct ApplyParameters {
    /// Checks and tells what would happen, and changes nothing.
    dry_run: Option<bool>,
    /// What problems call the document, such as its file's name; `body` when absent.
    source: Option<String>,
}

/// What became of a bundle.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApplyAnswer {
    /// Whether nothing was changed, because only the question was asked.
    dry_run: bool,
    /// One entry for each definition, in the order they were written.
    definitions: Vec<AppliedView>,
    /// What is probably not what was meant.
    warnings: Vec<ProblemItem>,
}

/// What became of one definition.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppliedView {
    /// `connection`, `dataset`, `metric`, `goal`, `alert`, `board` or `scorecard`.
    #[schema(example = "metric")]
    kind: String,
    /// Its name.
    name: String,
    /// `created`, `updated` or `unchanged`.
    #[schema(example = "created")]
    outcome: &'static str,
    /// What to send as `If-Match`.
    etag: String,
    /// Metrics: the revision in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    /// Metrics and datasets: the dataset's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset: Option<String>,
}

impl ApplyAnswer {
    /// Tells whether this definition is new.
    pub(crate) fn created(&self, kind: Kind, name: &str) -> bool {
        self.definitions.iter().any(|applied| {
            applied.kind == kind.as_str() && applied.name == name && applied.outcome == "created"
        })
    }
}

/// Whether a bundle is applied or only judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Change what is in force.
    Apply,
    /// Tell what would happen.
    DryRun,
}

/// Applies a bundle of definitions, all or nothing; YAML (several documents) or JSON.
#[utoipa::path(post, path = "/api/v1/apply", tag = "definitions", params(ApplyParameters),
    request_body(content((String = "application/yaml"), (Object = "application/json"))),
    responses((status = 200, body = ApplyAnswer),
        (status = 422, description = "Every problem at once, with its place", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn apply(
    State(gateway): State<Gateway>,
    caller: Caller,
    mut parameters: Parameters,
    content: Content,
) -> Result<Json<ApplyAnswer>, Problem> {
    let mode = if parameters.flag("dry_run") {
        Mode::DryRun
    } else {
        Mode::Apply
    };
    let source = parameters.text("source");
    parameters.finish()?;
    let source = shown(source.as_deref().unwrap_or("body"));
    let read = read(&content, &source)?;
    Ok(Json(change(&gateway, &caller, read, None, mode).await?))
}

/// Reads a request body into a bundle, with the problems of what cannot be read.
pub(crate) fn read(content: &Content, source: &str) -> Result<Read, Problem> {
    let text = content.text()?;
    let (bundle, problems) = if content.is_json() {
        definition::read_json(text, source)
    } else {
        definition::read(text, source)
    };
    Ok(Read { bundle, problems })
}

/// A bundle as it was sent: perhaps not all of it could be read.
pub(crate) struct Read {
    pub(crate) bundle: Bundle,
    pub(crate) problems: Vec<definition::Problem>,
}

/// Checks a bundle against what is in force, and puts it in force.
///
/// `if_match` guards every definition of the bundle, so it makes sense for one.
pub(crate) async fn change(
    gateway: &Gateway,
    caller: &Caller,
    read: Read,
    if_match: Option<i64>,
    mode: Mode,
) -> Result<ApplyAnswer, Problem> {
    let workspace = &caller.workspace;
    let Read {
        mut bundle,
        mut problems,
    } = read;
    let known = InForce::load(gateway, workspace, &bundle).await?;
    connectors::fill(&mut bundle, &known);
    problems.extend(bundle.validate(&known));
    problems.extend(expression::check_bundle(&bundle));
    let problems = definition::in_order(problems);
    if problems.iter().any(definition::Problem::is_error) {
        return Err(Problem::definitions(&problems));
    }
    let mut changes = changes(&bundle, &known, if_match);
    let written = changes.len();
    changes.extend(followers(gateway, workspace, &bundle).await?);
    let result = match mode {
        Mode::Apply => {
            gateway
                .store()
                .apply(workspace, &caller.token, &changes)
                .await
        }
        Mode::DryRun => {
            gateway
                .store()
                .plan(workspace, &caller.token, &changes)
                .await
        }
    };
    let applied = result.map_err(|error| refusal(error, if_match))?;
    let mut warnings = warnings(&problems);
    if mode == Mode::Apply {
        for change in &changes {
            gateway.series().forget(workspace, &change.name);
        }
        warnings.extend(bind_secrets(gateway, workspace, &bundle).await?);
        wake(gateway, workspace, &applied).await;
    }
    let changed = |(place, applied): &(usize, Applied)| {
        *place < written || applied.outcome != ApplyOutcome::Unchanged
    };
    Ok(ApplyAnswer {
        dry_run: mode == Mode::DryRun,
        definitions: applied
            .into_iter()
            .enumerate()
            .filter(changed)
            .map(|(_, one)| view(one))
            .collect(),
        warnings,
    })
}

/// Translates a refusal of the store, where a conflict means the caller's precondition.
pub(crate) fn refusal(error: store::Error, if_match: Option<i64>) -> Problem {
    match error {
        store::Error::Conflict {
            kind,
            name,
            current,
        } if if_match.is_some() => {
            let detail = match current {
                0 => format!("the {kind} `{name}` does not exist any more"),
                _ if if_match == Some(0) => format!("the {kind} `{name}` exists already"),
                _ => format!("the {kind} `{name}` has just changed; read it again"),
            };
            Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "precondition.failed",
                "it is not as you saw it",
            )
            .detail(detail)
        }
        other => other.into(),
    }
}

fn view(applied: Applied) -> AppliedView {
    AppliedView {
        kind: applied.kind.as_str().to_owned(),
        name: applied.name,
        outcome: match applied.outcome {
            ApplyOutcome::Created => "created",
            ApplyOutcome::Updated => "updated",
            ApplyOutcome::Unchanged => "unchanged",
            ApplyOutcome::Deleted => "deleted",
        },
        etag: etag(applied.version, applied.created_at),
        revision: applied.revision,
        dataset: applied.dataset,
    }
}

/// Returns the store's word for a kind.
pub(crate) fn kind_of(kind: definition::Kind) -> Kind {
    match kind {
        definition::Kind::Connection => Kind::Connection,
        definition::Kind::Dataset => Kind::Dataset,
        definition::Kind::Metric => Kind::Metric,
        definition::Kind::Goal => Kind::Goal,
        definition::Kind::Alert => Kind::Alert,
        definition::Kind::Board => Kind::Board,
        definition::Kind::Scorecard => Kind::Scorecard,
    }
}

fn changes(bundle: &Bundle, known: &InForce, if_match: Option<i64>) -> Vec<Change> {
    let datasets = datasets_of(bundle);
    bundle
        .definitions
        .iter()
        .map(|located| {
            let document = located.to_document().to_string();
            let (kind, put) = match &located.definition {
                Definition::Connection(connection) => {
                    (Kind::Connection, put_connection(document, connection))
                }
                Definition::Dataset(dataset) => (Kind::Dataset, put_dataset(document, dataset)),
                Definition::Metric(metric) => {
                    let dataset = metric.dataset.as_ref().and_then(|name| {
                        datasets
                            .get(name.as_str())
                            .copied()
                            .or_else(|| known.datasets.get(name.as_str()))
                    });
                    (Kind::Metric, put_metric(document, metric, dataset))
                }
                other => (kind_of(other.kind()), put_watched(document, other)),
            };
            let name = located.definition.name().to_string();
            Change {
                kind,
                name,
                action: Action::Put(put),
                if_match,
            }
        })
        .collect()
}

fn datasets_of(bundle: &Bundle) -> HashMap<&str, &Dataset> {
    bundle
        .definitions
        .iter()
        .filter_map(|located| match &located.definition {
            Definition::Dataset(dataset) => Some((dataset.name.as_str(), dataset)),
            _ => None,
        })
        .collect()
}

fn put_connection(document: String, connection: &Connection) -> Put {
    Put {
        document,
        origin: connection.origin(),
        ..Put::default()
    }
}

fn put_dataset(document: String, dataset: &Dataset) -> Put {
    Put {
        document,
        fetch: Some(identity(&dataset.fetch())),
        ..Put::default()
    }
}

fn put_metric(document: String, metric: &Metric, dataset: Option<&Dataset>) -> Put {
    Put {
        document,
        evaluation: Some(metric.evaluation_document(dataset).to_string()),
        fetch: if metric.is_pushed() {
            Some(nobody(metric))
        } else {
            metric.fetch(dataset).as_ref().map(identity)
        },
        dataset_name: metric.dataset.as_ref().map(ToString::to_string),
        uses: metric
            .inputs()
            .into_iter()
            .map(|input| (Kind::Metric, input.to_string()))
            .collect(),
        ..Put::default()
    }
}

/// What the store keeps of a goal, alert, board or scorecard.
fn put_watched(document: String, definition: &Definition) -> Put {
    let uses = definition.uses();
    let watch = |metric: &definition::Name, subject: serde_json::Value| NewWatch {
        metric: Some(metric.to_string()),
        subject: subject.to_string(),
    };
    let watch = match definition {
        Definition::Goal(goal) => (!goal.paused).then(|| {
            let (aim, days) = (goal.aim, (goal.by, goal.per, goal.from));
            watch(
                &goal.metric,
                json!([goal.metric, goal.where_, aim, days, goal.start]),
            )
        }),
        Definition::Alert(alert) => (!alert.paused).then(|| {
            let about = json!([alert.metric, alert.where_, alert.range, alert.when]);
            watch(&alert.metric, about)
        }),
        Definition::Scorecard(scorecard) => (!scorecard.paused).then(NewWatch::default),
        _ => None,
    };
    Put {
        document,
        uses: uses
            .into_iter()
            .map(|(kind, name)| (kind_of(kind), name.to_string()))
            .collect(),
        watch,
        ..Put::default()
    }
}

/// What stands for the request of a metric that is told its values: a ledger of its own, that asks nobody.
fn nobody(metric: &Metric) -> FetchIdentity {
    let identity = serde_json::json!({ "push": metric.name.as_str() }).to_string();
    FetchIdentity {
        document: identity.clone(),
        identity,
        connection: store::NO_CONNECTION.to_owned(),
    }
}

fn identity(fetch: &definition::Fetch) -> FetchIdentity {
    FetchIdentity {
        identity: fetch.identity(),
        connection: fetch.connection.to_string(),
        document: fetch.to_document().to_string(),
    }
}

/// Returns the metrics outside of the bundle whose evaluation follows a dataset inside it.
async fn followers(
    gateway: &Gateway,
    workspace: &str,
    bundle: &Bundle,
) -> Result<Vec<Change>, Problem> {
    let written: BTreeSet<&str> = bundle
        .definitions
        .iter()
        .filter(|located| matches!(located.definition, Definition::Metric(_)))
        .map(|located| located.definition.name().as_str())
        .collect();
    let mut changes = Vec::new();
    for (name, dataset) in datasets_of(bundle) {
        let Some(known) = gateway.store().dataset_named(workspace, name).await? else {
            continue;
        };
        for follower in gateway.store().metrics_of(workspace, &known.id).await? {
            if written.contains(follower.name.as_str()) {
                continue;
            }
            let metric = follower.metric()?;
            changes.push(Change {
                kind: Kind::Metric,
                name: follower.name,
                action: Action::Put(put_metric(follower.document, &metric, Some(dataset))),
                if_match: None,
            });
        }
    }
    Ok(changes)
}

/// Ties secrets to the addresses they may be sent to, and says which are missing or refused.
async fn bind_secrets(
    gateway: &Gateway,
    workspace: &str,
    bundle: &Bundle,
) -> Result<Vec<ProblemItem>, Problem> {
    let mut warnings = Vec::new();
    for (place, located) in bundle.definitions.iter().enumerate() {
        for (number, target) in located.definition.targets().iter().enumerate() {
            if let Some(said) = secrets::bind_target(gateway, workspace, target).await? {
                let path = format!("deliver[{number}]");
                let problem = bundle
                    .problem_at(place, &path, "definition.secret", said, None)
                    .warning();
                warnings.push(ProblemItem::from(&problem));
            }
        }
        let Definition::Connection(connection) = &located.definition else {
            continue;
        };
        let refused = secrets::bind(gateway, workspace, connection).await?;
        if refused.is_some() {
            for dataset in gateway
                .store()
                .datasets_of(workspace, connection.name.as_str())
                .await?
            {
                gateway
                    .store()
                    .set_attention(workspace, &dataset.id, refused.as_deref())
                    .await?;
            }
        }
        let said = match refused {
            Some(refused) => Some(refused),
            None => secrets::attention(gateway, workspace, connection).await?,
        };
        if let Some(said) = said {
            let problem = bundle
                .problem_at(place, "auth", "definition.secret", said, None)
                .warning();
            warnings.push(ProblemItem::from(&problem));
        }
    }
    Ok(warnings)
}

/// Tells the scheduler to look at what changed; it would find it by itself a little later.
async fn wake(gateway: &Gateway, workspace: &str, applied: &[Applied]) {
    let datasets: BTreeSet<&str> = applied
        .iter()
        .filter(|one| matches!(one.outcome, ApplyOutcome::Created | ApplyOutcome::Updated))
        .filter_map(|one| one.dataset.as_deref())
        .collect();
    for dataset in datasets {
        gateway.wake(workspace, dataset).await;
    }
}

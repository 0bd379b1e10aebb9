//! What is to be previewed, read and checked as if it were applied.

use definition::window::plan;
use definition::{Bundle, Connection, Dataset, Definition, Fetch, Located, Metric, Records};
use jiff::Timestamp;
use serde_json::Value;
use store::Kind;

use super::PreviewDraft;
use super::parents::{self, Above, connection_of, dataset_of};
use crate::apply::InForce;
use crate::definitions::{name_of, stored};
use crate::problem::{Problem, ProblemItem, shown};
use crate::router::Gateway;

/// A metric with all that its fetch and its evaluation need.
pub(super) struct Draft {
    pub(super) metric: Metric,
    pub(super) dataset: Option<Dataset>,
    pub(super) connection: Connection,
    pub(super) fetch: Fetch,
    /// The datasets that it descends from, the uppermost first.
    pub(super) parents: Vec<Above>,
    /// What is probably not meant, seen in the definitions alone.
    pub(super) warnings: Vec<ProblemItem>,
}

impl Draft {
    /// Reads what was sent, with what is in force filled in; wrong definitions are refused as by `apply`.
    pub(super) async fn read(
        gateway: &Gateway,
        workspace: &str,
        asked: &PreviewDraft,
    ) -> Result<Self, Problem> {
        let source = shown(asked.source.as_deref().unwrap_or("definitions"));
        let (mut bundle, mut problems) = match (&asked.definitions, &asked.metric) {
            (Some(Value::String(text)), _) => definition::read(text, &source),
            (Some(json), _) => definition::read(&json.to_string(), &source),
            (None, Some(name)) => {
                definition::read(&applied(gateway, workspace, name).await?, &shown(name))
            }
            (None, None) => {
                return Err(Problem::body(
                    "request.invalid",
                    "send `definitions` with a draft metric, or `metric` with the name of an applied one",
                ));
            }
        };
        if problems.iter().any(definition::Problem::is_error) {
            return Err(Problem::definitions(&problems));
        }
        let place = place_of(&bundle, asked.metric.as_deref())?;
        if let Some(located) = bundle.definitions.get_mut(place) {
            replace_parts(located, asked)?;
        }
        let known = InForce::load(gateway, workspace, &bundle).await?;
        connectors::fill(&mut bundle, &known);
        problems.extend(bundle.validate(&known));
        problems.extend(expression::check_bundle(&bundle));
        // What `auto` means is found out by this very preview.
        problems.retain(|problem| problem.code != "definition.pagination_auto");
        let problems = definition::in_order(problems);
        if problems.iter().any(definition::Problem::is_error) {
            return Err(Problem::definitions(&problems));
        }
        let Some(Definition::Metric(metric)) = bundle
            .definitions
            .get(place)
            .map(|located| located.definition.clone())
        else {
            return Err(Problem::internal());
        };
        let own = metric.dataset.as_ref();
        let dataset = own.and_then(|name| dataset_of(&bundle, &known, name.as_str()));
        let missing =
            |what: &str| Problem::body("definition.invalid", format!("the metric has no {what}"));
        let fetch = metric
            .fetch(dataset.as_ref())
            .ok_or_else(|| missing("request"))?;
        let connection = connection_of(&bundle, &known, fetch.connection.as_str())
            .ok_or_else(|| missing("connection"))?;
        let parent = fetch.parent.as_ref();
        let parents = parents::line(gateway, workspace, &bundle, &known, parent).await?;
        Ok(Self {
            metric,
            dataset,
            connection,
            fetch,
            parents,
            warnings: problems.iter().map(ProblemItem::from).collect(),
        })
    }

    /// The window that the first sync would ask for first: the newest.
    pub(super) fn window(&self, now: Timestamp) -> Option<wire::Window> {
        let window = self.fetch.window.as_ref()?;
        let metric = &self.metric;
        let windows = plan(
            window,
            &[],
            None,
            now,
            &metric.zone(),
            metric.resolution,
            metric.week_start,
        );
        windows.first().map(|newest| wire::Window {
            start: newest.start.to_string(),
            end: newest.end.to_string(),
        })
    }

    /// Where the records are, for counting them.
    pub(super) fn records_hint(&self) -> String {
        match self.metric.selection(self.dataset.as_ref()).records {
            Some(Records::Path(path)) => path,
            _ => String::new(),
        }
    }

    /// Hash of what is fetched; expression and selection are no part of it.
    pub(super) fn identity(&self) -> String {
        let mut asked = format!("{}{}", self.fetch.identity(), self.connection_document());
        for parent in &self.parents {
            asked.push_str(&parent.identity());
        }
        wire::page::hash(asked.as_bytes())
    }

    pub(super) fn connection_document(&self) -> Value {
        Definition::Connection(self.connection.clone()).to_document()
    }

    pub(super) fn metric_document(&self) -> Value {
        Definition::Metric(self.metric.clone()).to_document()
    }

    pub(super) fn dataset_document(&self) -> Option<Value> {
        let dataset = self.dataset.clone()?;
        Some(Definition::Dataset(dataset).to_document())
    }
}

/// The text of an applied metric.
async fn applied(gateway: &Gateway, workspace: &str, name: &str) -> Result<String, Problem> {
    let name = name_of("metric", name)?;
    let stored = stored(gateway, workspace, Kind::Metric, &name).await?;
    Ok(stored.definition()?.to_document().to_string())
}

/// The metric that is meant, by its place in the bundle.
fn place_of(bundle: &Bundle, name: Option<&str>) -> Result<usize, Problem> {
    let metrics: Vec<(usize, &str)> = bundle
        .definitions
        .iter()
        .enumerate()
        .filter(|(_, located)| matches!(located.definition, Definition::Metric(_)))
        .map(|(place, located)| (place, located.definition.name().as_str()))
        .collect();
    let names = || {
        let names: Vec<&str> = metrics.iter().map(|(_, name)| *name).collect();
        names.join(", ")
    };
    match (name, metrics.as_slice()) {
        (_, []) => Err(Problem::body(
            "definition.invalid",
            "there is no metric in these definitions: a preview needs one, if only with a connection and a request",
        )),
        (Some(name), all) => all
            .iter()
            .find(|(_, own)| *own == name)
            .map(|(place, _)| *place)
            .ok_or_else(|| {
                let text = format!(
                    "no metric of these is called `{}`: {}",
                    shown(name),
                    names()
                );
                Problem::body("definition.invalid", text)
            }),
        (None, [(place, _)]) => Ok(*place),
        (None, _) => Err(Problem::body(
            "definition.invalid",
            format!(
                "there are several metrics, so say which with `metric`: {}",
                names()
            ),
        )),
    }
}

/// Puts what was typed in place of the metric's own expression or selection.
fn replace_parts(located: &mut Located, asked: &PreviewDraft) -> Result<(), Problem> {
    if asked.select.is_none() && asked.expression.is_none() {
        return Ok(());
    }
    let mut document = located.definition.to_document();
    if let Some(select) = &asked.select {
        document["select"] = select.clone();
        document["expression"] = Value::Null;
    }
    if let Some(expression) = &asked.expression {
        document["expression"] = Value::from(expression.as_str());
    }
    if let (Value::Object(fields), true) = (
        &mut document,
        asked
            .expression
            .as_deref()
            .is_none_or(|text| text.trim().is_empty()),
    ) {
        fields.shift_remove("expression");
    }
    located.definition =
        Definition::from_document(&document).map_err(|problems| Problem::definitions(&problems))?;
    Ok(())
}

/// The sealed values that the connection names; those that no connection used yet are bound to it.
pub(super) async fn secrets(
    gateway: &Gateway,
    workspace: &str,
    connection: &Connection,
) -> Result<Vec<wire::SealedSecret>, Problem> {
    let names: Vec<String> = connection
        .secrets()
        .iter()
        .map(|name| name.as_str().to_owned())
        .collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let found = gateway.store().sealed_secrets(workspace, &names).await?;
    if let Some(missing) = names
        .iter()
        .find(|name| !found.iter().any(|one| one.name == **name))
    {
        return Err(Problem::body(
            "secret.missing",
            format!(
                "the secret `{missing}` of connection `{}` has no value yet: run `tidemark secret set {missing}`; \
                 a preview takes no values itself",
                connection.name
            ),
        ));
    }
    let origins = connection.origins();
    let mut secrets = Vec::with_capacity(found.len());
    for mut secret in found {
        // As at a sync: a value kept before any connection used it belongs to the first that does.
        if secret.origins.is_empty()
            && let Some(origins) = &origins
            && gateway
                .store()
                .bind_secret_origins(workspace, &secret.name, secret.version, origins)
                .await?
        {
            secret.origins.clone_from(origins);
        }
        secrets.push(wire::SealedSecret {
            name: secret.name,
            version: secret.version,
            sealed: secret.sealed,
            origins: secret.origins,
        });
    }
    Ok(secrets)
}

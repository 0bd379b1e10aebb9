//! The variables of a connection that are looked up: asked once, remembered, asked again when the API answers 404.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use definition::{LookUp, Pagination, Request, Variable};
use serde_json::Value;
use service::Shutdown;
use tokio_util::sync::CancellationToken;
use wire::SyncRequest;

use super::branch::Next;
use super::fetch::{Asking, Stop};
use super::waits::Waits;
use super::{Engine, Outlet};
use crate::error::PageError;
use crate::pagination::Walk;
use crate::plan::Plan;
use crate::reader::Reader;
use crate::redact::Redactor;

/// Where the values may come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// From memory, else from the API.
    Remembered,
    /// From the API.
    Api,
}

/// What is kept for a connection: values under the fingerprint of everything they depend on.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Kept {
    fingerprint: String,
    values: BTreeMap<String, Value>,
}

impl Engine {
    /// Puts the looked up variables that the request uses into the plan; true when one came from memory.
    pub(super) async fn look_up<O: Outlet>(
        &self,
        request: &SyncRequest,
        plan: &mut Plan,
        outlet: &O,
        source: Source,
        stop: &Shutdown,
        counts: (&AtomicU32, &Waits),
    ) -> Result<bool, Stop> {
        let wanted: Vec<(String, LookUp)> = plan
            .definition
            .looked_up(&plan.asked)
            .into_iter()
            .map(|(name, look_up)| (name.to_string(), look_up.clone()))
            .collect();
        if wanted.is_empty() {
            return Ok(false);
        }
        let key = wire::stream::variables_key(&request.workspace, &plan.connection).ok();
        let fingerprint = fingerprint(request, plan);
        let mut kept = Kept::default();
        if let Some(key) = &key
            && let Some(found) = self.memory.recall(key).await
            && let Ok(found) = serde_json::from_slice::<Kept>(&found)
            && found.fingerprint == fingerprint
        {
            kept = found;
        }
        kept.fingerprint = fingerprint;
        let (mut remembered, mut learned) = (false, false);
        for (name, look_up) in wanted {
            let known = kept.values.get(&name).cloned();
            let value = if let Some(value) = known.filter(|_| source == Source::Remembered) {
                remembered = true;
                value
            } else {
                let asked = self.ask(request, plan, outlet, (&name, &look_up), stop, counts);
                let value = asked.await.map_err(|stop| match stop {
                    Stop::Failed(cause) => Stop::Failed(PageError::Variable {
                        name: name.clone(),
                        path: look_up.path.clone(),
                        cause: Box::new(cause),
                    }),
                    other => other,
                })?;
                learned = true;
                kept.values.insert(name.clone(), value.clone());
                value
            };
            plan.scope.connection.insert(name, value);
        }
        if learned
            && let Some(key) = &key
            && let Ok(value) = serde_json::to_vec(&kept)
        {
            self.memory.remember(key, value.into()).await;
        }
        Ok(remembered)
    }

    async fn ask<O: Outlet>(
        &self,
        request: &SyncRequest,
        plan: &Plan,
        outlet: &O,
        (name, look_up): (&str, &LookUp),
        stop: &Shutdown,
        (requests, waits): (&AtomicU32, &Waits),
    ) -> Result<Value, Stop> {
        let mut asking = plan.clone();
        asking.asked = Request {
            path: look_up.path.clone(),
            ..Request::default()
        };
        asking.pagination = Pagination::None;
        asking.reader = Reader::of(&asking.pagination, "");
        asking.conditions = plan.definition.conditions.clone();
        asking.scope.connection = plan.definition.constants();
        let template = asking
            .template(None)
            .map_err(|error| Stop::Failed(error.into()))?;
        asking.recorder = plan
            .recorder
            .as_ref()
            .map(|recorder| Arc::new(recorder.of(format!("variable {name}"))));
        let (_, first) = Walk::begin(Pagination::None, 1);
        let Some((number, position)) = first.into_iter().next() else {
            return Err(Stop::Interrupted);
        };
        let next = Next {
            branch: 0,
            template: Arc::new(template),
            number,
            place: number,
            position,
        };
        let asking = Asking {
            request,
            plan: &asking,
            outlet,
            validators: None,
            requests,
            waits,
            winding_down: &CancellationToken::new(),
        };
        let fetched = tokio::select! {
            fetched = self.page(asking, &next) => fetched,
            () = stop.requested() => return Err(Stop::Interrupted),
        };
        let body = fetched?.body.unwrap_or_default();
        value_at(look_up, &body, &plan.redactor).map_err(Stop::Failed)
    }
}

/// Returns the value that an answer holds for a variable.
pub(crate) fn value_at(
    look_up: &LookUp,
    body: &[u8],
    redactor: &Redactor,
) -> Result<Value, PageError> {
    let failed = |reason: String| {
        Err(PageError::LookUp {
            select: look_up.select.clone(),
            reason,
        })
    };
    if body.is_empty() {
        return failed("the answer is empty".to_owned());
    }
    let value = match expression::select_path(&look_up.select, body) {
        Err(error) => return failed(error.to_string()),
        Ok(None | Some(Value::Null)) => return failed("nothing stands there".to_owned()),
        Ok(Some(Value::String(text))) if text.trim().is_empty() => {
            return failed("an empty text stands there".to_owned());
        }
        Ok(Some(Value::String(text))) if text.chars().count() > Variable::MAX_TEXT => {
            return failed("the text that stands there is too long".to_owned());
        }
        Ok(Some(Value::Array(_) | Value::Object(_))) => {
            return failed("a list or an object stands there".to_owned());
        }
        Ok(Some(value)) => value,
    };
    if redactor.finds_in(value.to_string().as_bytes()) {
        return failed("what stands there holds a secret".to_owned());
    }
    Ok(value)
}

/// Changes with everything that looked up values depend on: address, credentials, headers, the look-ups themselves.
fn fingerprint(request: &SyncRequest, plan: &Plan) -> String {
    let document = plan.definition.to_document();
    let mut parts: Vec<String> = ["base_url", "auth", "headers", "variables"]
        .iter()
        .map(|key| document[*key].to_string())
        .collect();
    let secrets = request.secrets.iter();
    parts.extend(secrets.map(|secret| format!("{} {}", secret.name, secret.version)));
    wire::page::hash(parts.join("\n").as_bytes())
}

//! What was sent to people, and what became of it.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use store::{DeliveryFilter, DeliveryState, Kind, StoredDelivery};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::cursor;
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument};
use crate::router::Gateway;
use crate::time;

/// What the log is asked with.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes the parameters for the OpenAPI document"
)]
pub(crate) struct DeliveryParameters {
    /// Where to go on: the `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many at most, 1 to 1000.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Only of this kind: goal, alert or scorecard.
    kind: Option<String>,
    /// Only of the definition of this name.
    name: Option<String>,
    /// Only those that are so far: waiting, queued, sent, dead or cancelled.
    state: Option<String>,
}

/// One page of the log, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryList {
    items: Vec<DeliveryView>,
    /// Where to go on; null at the end.
    next_cursor: Option<String>,
}

/// A message to people.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryView {
    /// Its identity, which receivers see as well.
    #[schema(example = "alert.signups_low.1769857206000.firing.0")]
    id: String,
    /// The kind of definition it is of.
    #[schema(example = "alert")]
    kind: String,
    /// That definition's name.
    name: String,
    /// What happened: firing, resolved, reached, missed, broken or digest.
    #[schema(example = "firing")]
    event: String,
    /// What it goes by: nats, webhook or email.
    #[schema(example = "webhook")]
    channel: String,
    /// Whom it goes to.
    #[schema(example = "https://ops.example.com:443")]
    recipient: String,
    /// waiting, queued, sent, dead or cancelled.
    #[schema(example = "sent")]
    state: &'static str,
    /// How often it was handed over.
    attempts: u32,
    /// When it was ordered.
    created_at: String,
    /// When it is handed over, again; null when it has ended.
    next_at: Option<String>,
    /// When it ended.
    ended_at: Option<String>,
    /// What the other side answered: an HTTP status or SMTP code.
    status: Option<i64>,
    /// What went wrong last; never a secret.
    error: Option<String>,
}

impl From<StoredDelivery> for DeliveryView {
    fn from(stored: StoredDelivery) -> Self {
        let is_open = matches!(stored.state, DeliveryState::Waiting | DeliveryState::Queued);
        Self {
            id: stored.key,
            kind: stored.kind,
            name: stored.name,
            event: stored.event,
            channel: stored.channel,
            recipient: stored.recipient,
            state: stored.state.as_str(),
            attempts: stored.attempts,
            created_at: time::text(stored.created_at),
            next_at: is_open.then(|| time::text(stored.not_before)),
            ended_at: stored.ended_at.map(time::text),
            status: stored.status,
            error: stored.error,
        }
    }
}

/// Lists messages to people and what became of them, newest first; kept for 30 days.
#[utoipa::path(get, path = "/api/v1/deliveries", operation_id = "list_deliveries", tag = "alerts", params(DeliveryParameters),
    responses((status = 200, body = DeliveryList), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    caller: Caller,
    mut parameters: Parameters,
) -> Result<Json<DeliveryList>, Problem> {
    let cursor = parameters.text("cursor");
    let limit = parameters.limit();
    let name = parameters.text("name");
    let kind = parameters.text("kind").and_then(|word| {
        let kind = Kind::parse(&word)
            .filter(|kind| matches!(kind, Kind::Goal | Kind::Alert | Kind::Scorecard));
        if kind.is_none() {
            parameters.refuse("kind", "is goal, alert or scorecard");
        }
        kind
    });
    let state = parameters.text("state").and_then(|word| {
        let state = DeliveryState::parse(&word);
        if state.is_none() {
            parameters.refuse("state", "is waiting, queued, sent, dead or cancelled");
        }
        state
    });
    parameters.finish()?;
    let before =
        cursor::read("deliveries", cursor.as_deref())?.and_then(|place| place.parse().ok());
    let filter = DeliveryFilter { kind, name, state };
    let found = gateway
        .store()
        .deliveries(&caller.workspace, &filter, before, limit)
        .await?;
    let full = found.len() >= limit as usize;
    let next_cursor = found
        .last()
        .filter(|_| full)
        .map(|one| cursor::write("deliveries", &one.id.to_string()));
    Ok(Json(DeliveryList {
        items: found.into_iter().map(DeliveryView::from).collect(),
        next_cursor,
    }))
}

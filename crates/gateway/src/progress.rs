//! A run as it goes, as server-sent events until it ends.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event, Sse};
use futures::{Stream, StreamExt as _};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use wire::Progress;

use crate::auth::Caller;
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument};
use crate::router::Gateway;
use crate::runs::{RunView, detail};
use crate::updates::{HEARTBEAT, send};

/// How often the ledger is asked whether the run has ended: progress is only told, the ledger knows.
const LOOK: Duration = Duration::from_millis(250);

/// Streams a run's progress until it ends.
///
/// Events are `progress` (pages, stated pages, records, bytes, and in `waiting_for` what is waited for, such as
/// `retrying 503, 3rd try, in 4 s`; empty when nothing is), `state` (the run, whenever its state
/// changes) and at last `ended` (the run with what it did to each metric).
#[utoipa::path(get, path = "/api/v1/runs/{id}/events", operation_id = "run_events", tag = "runs",
    params(("id" = String, Path, description = "The run's id")),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn events(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    parameters.finish()?;
    detail(&gateway, &caller.workspace, &id).await?;
    let place = gateway.updates().place()?;
    let (sender, receiver) = mpsc::channel(64);
    let telling = gateway.clone();
    gateway
        .context()
        .tasks
        .spawn("progress_stream", async move {
            telling.instruments().stream(1);
            tell(&telling, &caller, &id, &sender).await;
            telling.instruments().stream(-1);
            drop(place);
        });
    Ok(Sse::new(ReceiverStream::new(receiver).map(Ok)))
}

async fn tell(gateway: &Gateway, caller: &Caller, id: &str, sender: &mpsc::Sender<Event>) {
    // Without NATS there is no progress to tell, but the end is still told from the ledger.
    let mut progress = gateway.bus().progress(&caller.workspace, id).await.ok();
    let mut look = tokio::time::interval(LOOK);
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.tick().await;
    let mut state = None;
    loop {
        let open = tokio::select! {
            () = gateway.closing().cancelled() => return,
            () = sender.closed() => return,
            heard = next(&mut progress) => {
                if let Some(heard) = heard {
                    send(sender, progress_event(&heard)).await
                } else {
                    progress = None;
                    true
                }
            }
            _ = heartbeat.tick() => {
                gateway.tokens().is_alive(gateway, caller).await
                    && send(sender, Event::default().comment("still here")).await
            }
            _ = look.tick() => {
                let run = match gateway.store().run(&caller.workspace, id).await {
                    Ok(Some(run)) => run,
                    Ok(None) => return,
                    Err(_) => continue,
                };
                if run.state.is_ended() {
                    if let Ok(detail) = detail(gateway, &caller.workspace, id).await {
                        let run = serde_json::to_string(&RunView::detailed(detail)).unwrap_or_default();
                        send(sender, Event::default().event("ended").data(run)).await;
                        return;
                    }
                    continue;
                }
                if state == Some(run.state) {
                    true
                } else {
                    state = Some(run.state);
                    let run = serde_json::to_string(&RunView::of(run)).unwrap_or_default();
                    send(sender, Event::default().event("state").data(run)).await
                }
            }
        };
        if !open {
            return;
        }
    }
}

/// Waits for more progress; for ever when there is nobody to hear it from.
async fn next(progress: &mut Option<bus::Listening<Progress>>) -> Option<Progress> {
    match progress {
        Some(listening) => listening.next().await,
        None => std::future::pending().await,
    }
}

fn progress_event(progress: &Progress) -> Event {
    let data = json!({
        "run": progress.run,
        "state": progress.state,
        "pages": progress.pages,
        "stated_pages": progress.stated_pages,
        "records": progress.records,
        "bytes": progress.bytes,
        "at": progress.at,
        "waiting_for": progress.waiting_for,
    });
    Event::default().event("progress").data(data.to_string())
}

//! Hands waiting runs to fetchers: claims them in the ledger, publishes a self-contained request.

use bus::{Bus, Published};
use definition::{Connection, Definition};
use jiff::{SignedDuration, Timestamp};
use store::{Kind, Run, RunEnd, Store};
use tracing::Instrument as _;
use wire::SyncRequest;

use crate::agenda::{read_definition, read_fetch};
use crate::config::Config;
use crate::due::instant;
use crate::error::Error;

/// Runs claimed in one turn.
const BATCH: u32 = 64;
/// When a subject is still taken, the earlier attempt is looked at again after this.
const BUSY_PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// What became of a claimed run.
enum Fate {
    Published,
    Busy,
    Ended(RunEnd),
}

/// Dispatches what may go at `now`; returns how many went and whether more may wait.
pub(crate) async fn dispatch(
    store: &Store,
    bus: &Bus,
    config: &Config,
    now: Timestamp,
) -> Result<(usize, bool), Error> {
    let runs = store
        .claim(
            now.as_millisecond(),
            BATCH,
            config.per_workspace,
            config.per_connection,
        )
        .await?;
    let more = runs.len() >= BATCH as usize;
    let mut published = 0;
    for run in runs {
        // The sync's trace begins here and goes through every message from now on.
        let span = tracing::info_span!("dispatch", run = %run.id, dataset = %run.dataset);
        match send(store, bus, &run).instrument(span).await {
            Ok(Fate::Published) => published += 1,
            Ok(Fate::Busy) => {
                let again = now
                    .saturating_add(BUSY_PAUSE)
                    .unwrap_or(now)
                    .as_millisecond();
                store
                    .release(
                        &run.workspace,
                        &run.id,
                        again,
                        Some("an earlier attempt is in flight"),
                    )
                    .await?;
            }
            Ok(Fate::Ended(end)) => {
                tracing::warn!(run = %run.id, dataset = %run.dataset, "run cannot be fetched");
                store.fail_run(&run.workspace, &run.id, &end).await?;
            }
            Err(error) => {
                // Back to the ledger at once; the next turn finds it.
                let again = now
                    .saturating_add(BUSY_PAUSE)
                    .unwrap_or(now)
                    .as_millisecond();
                store
                    .release(
                        &run.workspace,
                        &run.id,
                        again,
                        Some("could not be dispatched"),
                    )
                    .await?;
                return Err(error);
            }
        }
    }
    Ok((published, more))
}

async fn send(store: &Store, bus: &Bus, run: &Run) -> Result<Fate, Error> {
    match request(store, run).await? {
        Ok(request) => Ok(match bus.publish_sync(&request).await? {
            Published::Accepted => Fate::Published,
            Published::AlreadyRunning => Fate::Busy,
        }),
        Err(end) => Ok(Fate::Ended(end)),
    }
}

/// Builds the request for a run, or says why it can never be fetched as things stand.
async fn request(store: &Store, run: &Run) -> Result<Result<SyncRequest, RunEnd>, Error> {
    let Some(dataset) = store.dataset(&run.workspace, &run.dataset).await? else {
        return Ok(Err(refused(
            "dataset.gone",
            "the dataset was deleted",
            None,
        )));
    };
    let stored = store
        .definition(&run.workspace, Kind::Connection, &run.connection)
        .await?;
    let Some(stored) = stored else {
        let text = format!("the connection `{}` was deleted", run.connection);
        return Ok(Err(refused("connection.missing", &text, Some(&text))));
    };
    let fetch = read_fetch(&dataset)?;
    let read = read_definition("connection", &stored.name, &stored.document)?;
    let Definition::Connection(connection) = read else {
        return Ok(Err(refused(
            "connection.missing",
            "it is no connection",
            None,
        )));
    };
    let secrets = match secrets(store, run, &connection).await? {
        Ok(secrets) => secrets,
        Err(end) => return Ok(Err(end)),
    };
    let resume = run
        .resume
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok());
    Ok(Ok(SyncRequest {
        workspace: run.workspace.clone(),
        dataset: run.dataset.clone(),
        run: run.id.clone(),
        attempt: run.attempt,
        slot: instant(run.slot).to_string(),
        kind: run.kind.as_str().to_owned(),
        window: run.window.map(|window| wire::Window {
            start: instant(window.start).to_string(),
            end: instant(window.end).to_string(),
        }),
        timezone: fetch.zone.clone().unwrap_or_else(|| "UTC".to_owned()),
        connection: Some(document(&Definition::Connection(connection)).into()),
        max_pages: fetch.request.max_pages,
        request: Some(
            serde_json::to_value(&fetch.request)
                .unwrap_or_default()
                .into(),
        ),
        secrets,
        epoch: run.epoch,
        resume,
        records_hint: records_hint(store, run).await?,
        requires: Vec::new(),
    }))
}

fn document(definition: &Definition) -> serde_json::Value {
    definition.to_document()
}

/// The records path that most metrics agree on, for counting; empty when none says.
async fn records_hint(store: &Store, run: &Run) -> Result<String, Error> {
    for stored in store.metrics_of(&run.workspace, &run.dataset).await? {
        let read = read_definition("metric", &stored.name, &stored.document)?;
        if let Definition::Metric(metric) = read
            && let Some(definition::Records::Path(path)) = metric.select.records
        {
            return Ok(path);
        }
    }
    Ok(String::new())
}

async fn secrets(
    store: &Store,
    run: &Run,
    connection: &Connection,
) -> Result<Result<Vec<wire::SealedSecret>, RunEnd>, Error> {
    let names: Vec<String> = connection
        .secrets()
        .iter()
        .map(|name| name.as_str().to_owned())
        .collect();
    if names.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    let found = store.sealed_secrets(&run.workspace, &names).await?;
    if let Some(missing) = names
        .iter()
        .find(|name| !found.iter().any(|one| one.name == **name))
    {
        let text = format!(
            "the secret `{missing}` of connection `{}` has no value yet: run `tidemark secret set {missing}`",
            connection.name.as_str()
        );
        return Ok(Err(refused("secret.missing", &text, Some(&text))));
    }
    let origins = connection.origins();
    let mut secrets = Vec::with_capacity(found.len());
    for mut secret in found {
        // A value kept before any connection used it is bound to the origins of the first that does.
        if secret.origins.is_empty()
            && let Some(origins) = &origins
            && store
                .bind_secret_origins(&run.workspace, &secret.name, secret.version, origins)
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
    Ok(Ok(secrets))
}

fn refused(code: &str, message: &str, attention: Option<&str>) -> RunEnd {
    RunEnd {
        ended: Some("failed".into()),
        error: Some(serde_json::json!({ "code": code, "message": message }).to_string()),
        needs_attention: attention.map(str::to_owned),
        ..RunEnd::default()
    }
}

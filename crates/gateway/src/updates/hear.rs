//! What NATS tells becomes news: the past once, then everything as it comes, under one epoch.

use std::time::Duration;

use crate::router::Gateway;

/// The setting that holds the epoch of event ids: another stream, another epoch.
const EPOCH: &str = "updates.epoch";
/// The setting that holds how far the stream was heard.
const SEEN: &str = "updates.seen";

/// Hears updates from NATS until shutdown, and hands them on.
pub(crate) async fn listen(gateway: Gateway) {
    /// Long enough not to burden a broker in trouble, short enough that charts feel live.
    const PAUSE: Duration = Duration::from_millis(500);
    let shutdown = gateway.context().shutdown.clone();
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = hear(&gateway) => {}
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn hear(gateway: &Gateway) {
    /// When the past has nothing more to say for this long, it is over.
    const SILENCE: Duration = Duration::from_secs(1);
    /// How often the position is noted, which tells after a restart whether the stream is another.
    const NOTE: Duration = Duration::from_secs(30);
    let hub = gateway.updates();
    let Ok((first, last)) = gateway.bus().update_range().await else {
        return;
    };
    let Some(mut epoch) = current_epoch(gateway, last).await else {
        return;
    };
    let from = hub.resume(&epoch, first, last);
    let mut updates = match gateway.bus().updates(Some(from)).await {
        Ok(updates) => updates,
        Err(error) => {
            tracing::debug!(error = %error, "updates cannot be heard yet");
            return;
        }
    };
    while hub.last() < last {
        let Ok(past) = tokio::time::timeout(SILENCE, updates.next()).await else {
            break;
        };
        hub.take(past.sequence, &past.update);
    }
    hub.epoch.send_replace(Some(epoch.clone()));
    let mut note = tokio::time::interval(NOTE);
    let mut noted = 0;
    loop {
        tokio::select! {
            announced = updates.next() => {
                if announced.sequence <= hub.last() {
                    // The stream was lost and made again: what was heard before is of another one.
                    let Some(new) = new_epoch(gateway, &epoch).await else { return };
                    tracing::warn!(epoch = new, "the stream of updates began anew");
                    epoch = new;
                    hub.begin(announced.sequence.saturating_sub(1));
                    hub.epoch.send_replace(Some(epoch.clone()));
                }
                hub.take(announced.sequence, &announced.update);
            }
            _ = note.tick() => {
                let last = hub.last();
                if last != noted && gateway.store().put_setting(SEEN, &last.to_string()).await.is_ok() {
                    noted = last;
                }
            }
        }
    }
}

/// Returns the epoch that all gateways give their event ids.
async fn current_epoch(gateway: &Gateway, last: u64) -> Option<String> {
    let store = gateway.store();
    let epoch = store
        .put_setting_if_absent(EPOCH, &fresh_epoch(gateway))
        .await
        .ok()?;
    let seen = store
        .setting(SEEN)
        .await
        .ok()?
        .and_then(|seen| seen.parse::<u64>().ok());
    if seen.is_some_and(|seen| seen > last) {
        store.put_setting(SEEN, &last.to_string()).await.ok()?;
        return new_epoch(gateway, &epoch).await;
    }
    Some(epoch)
}

/// Begins another epoch, or joins the one that another gateway has begun.
async fn new_epoch(gateway: &Gateway, old: &str) -> Option<String> {
    let store = gateway.store();
    let current = store.setting(EPOCH).await.ok()?;
    if let Some(current) = current.filter(|current| current != old) {
        return Some(current);
    }
    let new = fresh_epoch(gateway);
    store.put_setting(EPOCH, &new).await.ok()?;
    Some(new)
}

fn fresh_epoch(gateway: &Gateway) -> String {
    gateway.context().clock.now().as_millisecond().to_string()
}

//! Finds runs that went missing between the ledger and the streams, and brings them back.
//!
//! A run that was handed out is left alone while its request is in the queue or its manifest is in
//! the stream: the broker delivers both until they are acknowledged. Only when both are gone (a
//! crash between claiming and publishing, a purged or lost stream) is it fetched again, after a
//! pause that grows with its attempts, and only a few in each turn, so that a lost stream does not
//! turn into a storm of requests.

use bus::Bus;
use jiff::{SignedDuration, Timestamp};
use store::{Run, Store, instant};

use crate::config::Config;
use crate::error::Error;

/// Overdue runs looked at in one turn.
const LOOKED_AT: u32 = 500;
/// Runs brought back in one turn: small against normal traffic.
const BROUGHT_BACK: usize = 16;
/// The first pause before a lost run is fetched again; it doubles with each attempt.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(2);
/// The longest pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// Brings back what went missing; returns how many runs wait again because of it.
pub(crate) async fn reconcile(
    store: &Store,
    bus: &Bus,
    config: &Config,
    now: Timestamp,
) -> Result<usize, Error> {
    let patience = SignedDuration::try_from(config.overdue_after).unwrap_or(SignedDuration::MAX);
    let before = now.saturating_sub(patience).unwrap_or(now).as_millisecond();
    let mut brought_back = 0;
    for run in store.overdue(before, before, LOOKED_AT).await? {
        if is_under_way(bus, &run).await? {
            continue;
        }
        let again = now
            .saturating_add(pause(run.attempt))
            .unwrap_or(now)
            .as_millisecond();
        let reason = Some("its request or pages were lost");
        if store
            .release(&run.workspace, &run.id, again, reason)
            .await?
        {
            tracing::warn!(run = %run.id, dataset = %run.dataset, attempt = run.attempt, "lost run is fetched again");
            brought_back += 1;
        }
        if brought_back == BROUGHT_BACK {
            break;
        }
    }
    Ok(brought_back)
}

/// True while the broker still holds the run's request or its manifest.
async fn is_under_way(bus: &Bus, run: &Run) -> Result<bool, Error> {
    let window = run.window.map(|window| wire::Window {
        start: instant(window.start).to_string(),
        end: instant(window.end).to_string(),
    });
    if bus
        .sync_waits(&run.workspace, &run.dataset, window.as_ref())
        .await?
    {
        return Ok(true);
    }
    Ok(bus
        .manifest_of(&run.workspace, &run.dataset, &run.id)
        .await?
        .is_some())
}

/// The pause before a lost run goes again: 2 s, 4 s, 8 s … up to 10 minutes.
fn pause(attempt: u32) -> SignedDuration {
    let factor = 1_i32
        .checked_shl(attempt.saturating_sub(1).min(20))
        .unwrap_or(i32::MAX);
    FIRST_PAUSE
        .checked_mul(factor)
        .unwrap_or(LONGEST_PAUSE)
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_have_an_end() {
        assert_eq!(pause(1), SignedDuration::from_secs(2));
        assert_eq!(pause(3), SignedDuration::from_secs(8));
        assert_eq!(pause(4_000_000_000), LONGEST_PAUSE);
    }
}

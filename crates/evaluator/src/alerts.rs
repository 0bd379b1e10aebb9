//! Judges alerts and goals when their metric has changed and when their time has come, and sends scorecards.
//!
//! What is to be judged is found in the store: watches whose metric has a version that was not judged. So nothing is
//! lost when a process dies between a commit and the judgement. A judgement and the messages it brings are kept together.

mod alert;
mod content;
mod dispatch;
mod goal;
mod reading;
mod scorecard;

use std::time::Duration;

use definition::Definition;
use jiff::{SignedDuration, Timestamp};
use service::Shutdown;
use store::{DueWatch, Judged, Store, instant};

use crate::error::Error;
use crate::instruments::Instruments;
use crate::nudge::Nudge;
use reading::Reading;

pub(crate) use dispatch::Dispatch;

/// Watches judged and kept in one transaction: a few milliseconds of the store's writer.
const BATCH: u32 = 200;
/// What cannot be judged now is looked at again after this.
const AFTER_TROUBLE: SignedDuration = SignedDuration::from_mins(1);

/// Judges what is due, at once when nudged and now and then by itself.
#[derive(Clone)]
pub(crate) struct Alerts {
    store: Store,
    instruments: Instruments,
    public_url: Option<String>,
    nudge: Nudge,
    dispatch: Dispatch,
}

impl Alerts {
    pub(crate) fn new(
        store: Store,
        instruments: Instruments,
        public_url: Option<String>,
        dispatch: Dispatch,
    ) -> Self {
        Self {
            store,
            instruments,
            public_url,
            nudge: Nudge::default(),
            dispatch,
        }
    }

    /// Says that a metric has changed.
    pub(crate) fn nudge(&self) {
        self.nudge.give();
    }

    /// Judges until shutdown.
    pub(crate) async fn run(&self, shutdown: Shutdown, every: Duration, beat: impl Fn()) {
        let round = || self.judge_all(&shutdown);
        self.nudge
            .rounds(&shutdown, every, beat, "alerts wait", round)
            .await;
    }

    async fn judge_all(&self, shutdown: &Shutdown) -> Result<(), Error> {
        while !shutdown.is_requested() {
            let now = self.store.now().await?;
            let due = self.store.due_watches(now, BATCH).await?;
            if due.is_empty() {
                return Ok(());
            }
            let found = due.len();
            let judged = Box::pin(self.judge(due, instant(now))).await?;
            let told = judged.iter().any(|one| !one.deliveries.is_empty());
            let late = self.store.save_judged(&judged).await?;
            if told {
                self.dispatch.nudge();
            }
            // Somebody else judges them: what is left is found the next time.
            if found < BATCH as usize || late.len() == found {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Judges watches, each metric read once.
    async fn judge(&self, due: Vec<DueWatch>, now: Timestamp) -> Result<Vec<Judged>, Error> {
        let mut judged = Vec::with_capacity(due.len());
        let mut due = due.into_iter().peekable();
        while let Some(first) = due.next() {
            let mut group = vec![first];
            while let Some(next) = due.next_if(|next| {
                next.workspace == group[0].workspace && next.metric == group[0].metric
            }) {
                group.push(next);
            }
            judged.extend(self.judge_group(group, now).await?);
        }
        Ok(judged)
    }

    async fn judge_group(
        &self,
        group: Vec<DueWatch>,
        now: Timestamp,
    ) -> Result<Vec<Judged>, Error> {
        let mut read = Vec::with_capacity(group.len());
        for due in group {
            let definition = serde_json::from_str(&due.document)
                .ok()
                .and_then(|document| Definition::from_document(&document).ok());
            read.push((due, definition));
        }
        let mut reading = match read.first().and_then(|(due, _)| due.metric.clone()) {
            Some(metric) => {
                let workspace = &read[0].0.workspace;
                Reading::of(&self.store, workspace, &metric, now).await?
            }
            None => None,
        };
        if let Some(reading) = &mut reading {
            let wanted = read.iter().filter_map(|(_, definition)| match definition {
                Some(Definition::Alert(alert)) => reading.watched().alert_reads(alert, now).ok(),
                Some(Definition::Goal(goal)) => Some(reading.goal_reads(goal, now)),
                _ => None,
            });
            let wanted: Vec<_> = wanted.collect();
            reading.read(&self.store, wanted).await?;
        }
        let link = |metric: &str| self.link(metric);
        let mut judged = Vec::with_capacity(read.len());
        for (due, definition) in read {
            let version = reading
                .as_ref()
                .map_or(due.version, |reading| reading.version);
            let one = match (&definition, &reading) {
                (Some(Definition::Alert(alert)), Some(reading)) => {
                    alert::judge(&due, alert, reading, now, &link)
                }
                (Some(Definition::Goal(goal)), Some(reading)) => {
                    goal::judge(&due, goal, reading, now, &link)
                }
                (Some(Definition::Scorecard(card)), _) => {
                    scorecard::judge(&self.store, &due, card, now, &link).await?
                }
                // Without its metric it waits until that is there again.
                _ => waiting(&due, now),
            };
            if let Some(event) = one.deliveries.first() {
                self.instruments.alert(due.kind.as_str());
                tracing::info!(
                    workspace = due.workspace,
                    kind = due.kind.as_str(),
                    name = due.name,
                    event = event.event,
                    "watched metric makes news"
                );
            }
            judged.push(Judged { version, ..one });
        }
        Ok(judged)
    }

    /// Where people read on about a metric.
    fn link(&self, metric: &str) -> String {
        match &self.public_url {
            Some(url) => format!("{}/#/metrics/{metric}", url.trim_end_matches('/')),
            None => String::new(),
        }
    }
}

/// A judgement that changes nothing but when to look again.
fn waiting(due: &DueWatch, now: Timestamp) -> Judged {
    Judged {
        workspace: due.workspace.clone(),
        kind: due.kind,
        name: due.name.clone(),
        revision: due.revision,
        version: due.version,
        next_at: Some(soon(now, AFTER_TROUBLE)),
        phase: String::new(),
        since: None,
        state: due.state.clone(),
        deliveries: Vec::new(),
    }
}

fn soon(now: Timestamp, after: SignedDuration) -> i64 {
    now.saturating_add(after)
        .unwrap_or(Timestamp::MAX)
        .as_millisecond()
}

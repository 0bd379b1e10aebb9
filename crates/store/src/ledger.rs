//! Opening runs: which slot gets a run of its own, which joins one, which are superseded.

use std::collections::{BTreeMap, BTreeSet};

use crate::Store;
use crate::database::{Tx, Value, values};
use crate::datasets::PLAN;
use crate::error::Result;
use crate::identity;
use crate::runs::{DueSlot, Interval, NewRuns, Opened, RunKind};

/// One slot to be opened, with its place among the answers.
struct Slot<'a> {
    workspace: &'a str,
    dataset: &'a str,
    at: i64,
    kind: RunKind,
    windows: &'a [Option<Interval>],
    reason: Option<&'a str>,
}

/// An open run, as far as deciding needs it.
#[derive(Debug, Clone)]
struct Open {
    id: String,
    token: String,
    window: Option<Interval>,
    kind: RunKind,
    is_waiting: bool,
    has_resume: bool,
    slot: i64,
    not_before: i64,
}

/// What to do for one slot.
#[derive(Debug, Default)]
struct Decision {
    /// For each window: the open run that will do it, or none.
    joined: Vec<Option<String>>,
    /// Open runs whose place the new ones take.
    superseded: Vec<String>,
    /// The latest pause that a superseded run had to keep.
    not_before: i64,
}

impl Store {
    /// Opens runs for one slot and answers for each window which run will do it.
    ///
    /// A run of the same dataset, slot and window is never opened twice, and runs that are not
    /// scheduled join any open run of the same window. A scheduled slot joins a waiting run of the
    /// same window that a person asked for or that holds a resume point; it supersedes waiting
    /// scheduled runs of older slots whose window it covers in its greater part.
    pub async fn open_runs(&self, new: &NewRuns) -> Result<Vec<Opened>> {
        let step = "open runs";
        let slot = Slot {
            workspace: &new.workspace,
            dataset: &new.dataset,
            at: new.slot,
            kind: new.kind,
            windows: &new.windows,
            reason: new.reason.as_deref(),
        };
        let mut tx = self.database.begin(step).await?;
        let opened = open(&mut tx, &[slot]).await?;
        if opened.is_empty() {
            let name = new.dataset.clone();
            return Err(crate::Error::NotFound {
                kind: "dataset",
                name,
            });
        }
        tx.commit(step).await?;
        Ok(opened)
    }

    /// Opens the runs of many due slots and moves each dataset's next due time, in one transaction.
    ///
    /// Slots of datasets that are gone are passed over in silence.
    pub async fn open_due(&self, batch: &[DueSlot]) -> Result<Vec<Opened>> {
        let step = "open due slots";
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let slots: Vec<Slot<'_>> = batch
            .iter()
            .map(|due| Slot {
                workspace: &due.workspace,
                dataset: &due.dataset,
                at: due.slot,
                kind: RunKind::Scheduled,
                windows: &due.windows,
                reason: None,
            })
            .collect();
        let mut tx = self.database.begin(step).await?;
        let opened = open(&mut tx, &slots).await?;
        let rows = batch
            .iter()
            .map(|due| values![&due.workspace, &due.dataset, due.next_due])
            .collect();
        tx.many(step, PLAN, &[], rows).await?;
        tx.commit(step).await?;
        Ok(opened)
    }
}

async fn open(tx: &mut Tx, slots: &[Slot<'_>]) -> Result<Vec<Opened>> {
    let step = "open runs";
    let ids: BTreeSet<&str> = slots.iter().map(|slot| slot.dataset).collect();
    let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
    let workspaces: BTreeSet<&str> = slots.iter().map(|slot| slot.workspace).collect();
    let workspaces: Vec<String> = workspaces.into_iter().map(str::to_owned).collect();
    let sql = "SELECT workspace, id, connection, epoch FROM datasets WHERE workspace §in($1) \
               AND id §in($2) ORDER BY workspace, id §lock";
    let mut datasets = BTreeMap::new();
    for row in tx.rows(step, sql, values![workspaces, ids.clone()]).await? {
        datasets.insert((row.text(0)?, row.text(1)?), (row.text(2)?, row.int(3)?));
    }
    let mut open = open_runs_of(tx, ids).await?;
    let now = tx.now().await?;

    let mut answers = Vec::new();
    let mut rows: Vec<Vec<Value>> = Vec::new();
    let mut wanted = BTreeMap::new();
    let mut superseded = Vec::new();
    for slot in slots {
        let key = (slot.workspace.to_owned(), slot.dataset.to_owned());
        let Some((connection, epoch)) = datasets.get(&key) else {
            continue;
        };
        let windows: &[Option<Interval>] = if slot.windows.is_empty() {
            &[None]
        } else {
            slot.windows
        };
        let open = open.entry(key).or_default();
        let decision = decide(slot.kind, slot.at, windows, open);
        open.retain(|run| !decision.superseded.contains(&run.id));
        superseded.extend(decision.superseded);
        for (window, joined) in windows.iter().zip(decision.joined) {
            let is_joined = joined.is_some();
            let id = joined.unwrap_or_else(|| identity::run(now));
            if !is_joined {
                let token = token(*window);
                wanted.insert(id.clone(), answers.len());
                open.push(Open {
                    id: id.clone(),
                    token: token.clone(),
                    window: *window,
                    kind: slot.kind,
                    is_waiting: true,
                    has_resume: false,
                    slot: slot.at,
                    not_before: decision.not_before,
                });
                rows.push(values![
                    &id,
                    slot.workspace,
                    slot.dataset,
                    connection,
                    *epoch,
                    slot.at,
                    slot.kind.as_str(),
                    token,
                    window.map(|window| window.start),
                    window.map(|window| window.end),
                    priority(slot.kind),
                    decision.not_before,
                    now,
                    slot.reason,
                ]);
            }
            answers.push(Opened {
                workspace: slot.workspace.to_owned(),
                dataset: slot.dataset.to_owned(),
                run: id,
                joined: is_joined,
                window: *window,
            });
        }
    }
    if !superseded.is_empty() {
        let sql = "UPDATE runs SET state = 'superseded', ended_at = $2 \
                   WHERE id §in($1) AND state = 'waiting'";
        tx.run(step, sql, values![superseded, now]).await?;
    }
    insert(tx, rows, wanted, &mut answers).await?;
    Ok(answers)
}

/// Inserts the new runs; where a run of the same slot exists, whatever its state, answers with that.
async fn insert(
    tx: &mut Tx,
    rows: Vec<Vec<Value>>,
    mut wanted: BTreeMap<String, usize>,
    answers: &mut [Opened],
) -> Result<()> {
    let step = "open runs";
    let mut slots = BTreeMap::new();
    for row in &rows {
        if let (Value::Text(Some(id)), Value::Int(Some(slot))) = (&row[0], &row[5]) {
            slots.insert(id.clone(), *slot);
        }
    }
    let inserted = tx
        .many(
            step,
            "WITH fresh (id, workspace, dataset, connection, epoch, slot, kind, window_token, window_start, \
             window_end, priority, not_before, created_at, reason) AS (VALUES §values) \
             INSERT INTO runs (id, workspace, dataset, connection, epoch, slot, kind, window_token, \
             window_start, window_end, priority, not_before, created_at, reason, state, attempt, evaluations, \
             pages, rows_used, rejected, partial) \
             SELECT fresh.*, 'waiting', 0, 0, 0, 0, 0, 0 FROM fresh WHERE 1 = 1 \
             ON CONFLICT (workspace, dataset, slot, window_token) DO NOTHING RETURNING id",
            &[],
            rows,
        )
        .await?;
    for row in inserted {
        wanted.remove(&row.text(0)?);
    }
    for (id, at) in wanted {
        let answer = &mut answers[at];
        let sql = "SELECT id FROM runs WHERE workspace = $1 AND dataset = $2 AND slot = $3 \
                   AND window_token = $4";
        let slot = slots.get(&id).copied().unwrap_or_default();
        let values = values![
            &answer.workspace,
            &answer.dataset,
            slot,
            token(answer.window)
        ];
        if let Some(row) = tx.row(step, sql, values).await? {
            answer.run = row.text(0)?;
            answer.joined = true;
        }
    }
    Ok(())
}

async fn open_runs_of(
    tx: &mut Tx,
    datasets: Vec<String>,
) -> Result<BTreeMap<(String, String), Vec<Open>>> {
    let sql = "SELECT workspace, dataset, id, window_token, window_start, window_end, kind, \
               CAST(CASE WHEN state = 'waiting' THEN 1 ELSE 0 END AS BIGINT), \
               CAST(CASE WHEN resume IS NULL THEN 0 ELSE 1 END AS BIGINT), slot, not_before \
               FROM runs WHERE dataset §in($1) AND state IN ('waiting', 'dispatched', 'fetched')";
    let mut open: BTreeMap<_, Vec<Open>> = BTreeMap::new();
    for row in tx.rows("read open runs", sql, values![datasets]).await? {
        open.entry((row.text(0)?, row.text(1)?))
            .or_default()
            .push(Open {
                id: row.text(2)?,
                token: row.text(3)?,
                window: interval(row.int_or_null(4)?, row.int_or_null(5)?),
                kind: RunKind::parse(&row.text(6)?).unwrap_or(RunKind::Manual),
                is_waiting: row.is(7)?,
                has_resume: row.is(8)?,
                slot: row.int(9)?,
                not_before: row.int(10)?,
            });
    }
    for runs in open.values_mut() {
        runs.sort_by(|a, b| a.id.cmp(&b.id));
    }
    Ok(open)
}

fn decide(kind: RunKind, slot: i64, windows: &[Option<Interval>], open: &[Open]) -> Decision {
    let mut decision = Decision::default();
    for window in windows {
        let token = token(*window);
        let joined = open.iter().find(|run| {
            run.token == token
                && (kind != RunKind::Scheduled
                    || run.slot == slot
                    || (run.is_waiting && (run.kind != RunKind::Scheduled || run.has_resume)))
        });
        decision.joined.push(joined.map(|run| run.id.clone()));
    }
    if kind == RunKind::Scheduled {
        for run in open {
            let is_older = run.is_waiting
                && run.kind == RunKind::Scheduled
                && !run.has_resume
                && run.slot < slot;
            if is_older && covers(windows, run.window) {
                decision.superseded.push(run.id.clone());
                decision.not_before = decision.not_before.max(run.not_before);
            }
        }
    }
    decision
}

/// True when `windows` together ask again for the greater part of `old`, up to its end.
///
/// A window that slides with time never contains its predecessor; what it leaves behind is what the
/// definition no longer asks for. A short look back, however, leaves the steps of a first sync alone.
fn covers(windows: &[Option<Interval>], old: Option<Interval>) -> bool {
    let bounds =
        |window: &Option<Interval>| window.map_or((i64::MIN, i64::MAX), |w| (w.start, w.end));
    let (old_start, old_end) = bounds(&old);
    let start = windows
        .iter()
        .map(|window| bounds(window).0)
        .min()
        .unwrap_or(i64::MAX);
    let end = windows
        .iter()
        .map(|window| bounds(window).1)
        .max()
        .unwrap_or(i64::MIN);
    let middle = old.map_or(old_start, |old| old.start + (old.end - old.start) / 2);
    end >= old_end && start <= middle
}

/// People first, then the schedule, then what went missing, then the past.
fn priority(kind: RunKind) -> i64 {
    match kind {
        RunKind::Manual | RunKind::Push => 0,
        RunKind::Scheduled => 1,
        RunKind::Recovery => 2,
        RunKind::Backfill => 3,
    }
}

/// The window as part of a key: `all`, or `w<start>_<end>`.
pub(crate) fn token(window: Option<Interval>) -> String {
    window.map_or_else(
        || "all".to_owned(),
        |window| format!("w{}_{}", window.start, window.end),
    )
}

/// A window from its two columns.
pub(crate) fn interval(start: Option<i64>, end: Option<i64>) -> Option<Interval> {
    Some(Interval {
        start: start?,
        end: end?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn days(start: i64, end: i64) -> Interval {
        Interval {
            start: start * DAY,
            end: end * DAY,
        }
    }

    #[test]
    fn a_sliding_window_covers_its_predecessor_and_a_look_back_leaves_first_steps_alone() {
        assert!(covers(&[Some(days(1, 91))], Some(days(0, 90))));
        assert!(covers(
            &[Some(days(61, 91)), Some(days(31, 61)), Some(days(1, 31))],
            Some(days(0, 30))
        ));
        assert!(covers(&[None], Some(days(0, 30))));
        assert!(!covers(&[Some(days(88, 91))], Some(days(60, 90))));
        assert!(!covers(&[Some(days(88, 91))], Some(days(0, 30))));
        assert!(!covers(&[Some(days(0, 30))], None));
    }
}

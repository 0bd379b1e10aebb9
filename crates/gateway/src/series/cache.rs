//! Decoded series and written answers, kept by (metric, version) within a bound of bytes.
//!
//! Whether what is kept still holds is asked of the store for every request, so an answer is never
//! older than the question; questions that arrive while the store is being asked share the next
//! asking.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use definition::{Interval, Metric};
use rollup::{Rules, SeriesInput, StoredCell};
use store::{Kind, SeriesRows};
use tokio::sync::Mutex as AsyncMutex;

use crate::config::Limits;
use crate::definitions::{dataset, stored};
use crate::problem::Problem;
use crate::router::Gateway;
use crate::time;

/// Metrics that are remembered at all, whatever their size.
const SLOTS: usize = 20_000;
/// Answers kept for one metric; dashboards ask a handful of questions of each.
const ANSWERS: usize = 64;
/// How long a definition is believed; what is applied through this gateway counts at once.
const DEFINITION_MEMORY: Duration = Duration::from_secs(2);

/// What is kept of all metrics.
#[derive(Debug)]
pub(crate) struct Cache {
    slots: Mutex<HashMap<(String, String), Arc<Slot>>>,
    clock: AtomicU64,
    bytes: Arc<AtomicUsize>,
    most_bytes: usize,
    most_slot_answer_bytes: usize,
}

/// What is kept of one metric.
#[derive(Debug)]
pub(crate) struct Slot {
    used: AtomicU64,
    bytes: Arc<AtomicUsize>,
    definition: AsyncMutex<Option<(Instant, Arc<Described>)>>,
    asked: AtomicU64,
    standing: AsyncMutex<Option<(u64, Option<Standing>)>>,
    /// The revision that nothing is outdated of: nothing can become so while it is in force.
    clean: AtomicI64,
    decoded: AsyncMutex<Option<Arc<Decoded>>>,
    answers: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    made_at: MadeAt,
    by_question: HashMap<String, Bytes>,
    bytes: usize,
}

/// What an answer was made of; of two, the greater is the newer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MadeAt {
    /// How the data stood.
    pub(crate) standing: Standing,
    /// The definition's version.
    pub(crate) definition: i64,
}

/// How a metric's data stands; of two, the greater is the newer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Standing {
    /// The version of the data.
    pub(crate) version: i64,
    /// The revision in force.
    pub(crate) revision: i64,
    /// Of how many milliseconds the data was not made with that revision; only falls while it is in force.
    pub(crate) outdated: Reverse<i64>,
}

impl Standing {
    /// Whether what stood so is all that is asked for with `other`.
    fn serves(self, other: Self) -> bool {
        self.version >= other.version
            && (self.revision, self.outdated) >= (other.revision, other.outdated)
    }
}

/// A metric's definition as answers need it.
#[derive(Debug)]
pub(crate) struct Described {
    /// The definition's version.
    pub(crate) version: i64,
    /// The metric.
    pub(crate) metric: Metric,
    /// How its rows and buckets are read.
    pub(crate) rules: Rules,
}

impl Described {
    /// Returns the word for how values are joined.
    pub(crate) fn joined(&self) -> &'static str {
        match self.metric.formula {
            Some(_) => "calculated",
            None => self.metric.aggregation.as_str(),
        }
    }
}

/// A metric's points of some range of time, ready to be answered from.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// How it stood when it was read.
    pub(crate) standing: Standing,
    /// The range that was read.
    pub(crate) range: Interval,
    /// The points.
    pub(crate) input: SeriesInput,
    bytes: usize,
}

impl Cache {
    /// Returns an empty cache with these bounds.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            slots: Mutex::default(),
            clock: AtomicU64::default(),
            bytes: Arc::default(),
            most_bytes: limits.series_cache_bytes,
            most_slot_answer_bytes: limits.answer_cache_bytes,
        }
    }

    /// Returns the slot of a metric.
    pub(crate) fn slot(&self, workspace: &str, metric: &str) -> Arc<Slot> {
        let tick = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut slots = self.slots();
        if self.bytes.load(Ordering::Relaxed) > self.most_bytes || slots.len() >= SLOTS {
            make_room(&mut slots, self.most_bytes / 2);
        }
        let slot = slots
            .entry((workspace.to_owned(), metric.to_owned()))
            .or_insert_with(|| Arc::new(Slot::new(Arc::clone(&self.bytes))));
        slot.used.store(tick, Ordering::Relaxed);
        Arc::clone(slot)
    }

    /// Forgets a metric whose definition was changed.
    pub(crate) fn forget(&self, workspace: &str, metric: &str) {
        self.slots()
            .remove(&(workspace.to_owned(), metric.to_owned()));
    }

    /// Returns the most bytes of answers kept for one metric.
    pub(crate) fn most_answer_bytes(&self) -> usize {
        self.most_slot_answer_bytes
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<(String, String), Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops the slots that were used longest ago until those left are small and few enough.
fn make_room(slots: &mut HashMap<(String, String), Arc<Slot>>, most_bytes: usize) {
    let mut by_use: Vec<_> = slots
        .iter()
        .map(|(key, slot)| (slot.used.load(Ordering::Relaxed), key.clone()))
        .collect();
    by_use.sort_unstable();
    let Some((_, newest)) = by_use.last().cloned() else {
        return;
    };
    for (_, key) in by_use {
        let total: usize = slots
            .values()
            .next()
            .map_or(0, |slot| slot.bytes.load(Ordering::Relaxed));
        if key == newest || (total <= most_bytes && slots.len() <= SLOTS / 2) {
            return;
        }
        slots.remove(&key);
    }
}

impl Slot {
    fn new(bytes: Arc<AtomicUsize>) -> Self {
        Self {
            used: AtomicU64::default(),
            bytes,
            definition: AsyncMutex::default(),
            asked: AtomicU64::default(),
            standing: AsyncMutex::default(),
            clean: AtomicI64::new(i64::MIN),
            decoded: AsyncMutex::default(),
            answers: Mutex::default(),
        }
    }

    /// Returns the metric's definition.
    pub(crate) async fn described(
        &self,
        gateway: &Gateway,
        workspace: &str,
        name: &str,
    ) -> Result<Arc<Described>, Problem> {
        let mut held = self.definition.lock().await;
        if let Some((read, described)) = held.as_ref()
            && read.elapsed() < DEFINITION_MEMORY
        {
            return Ok(Arc::clone(described));
        }
        let stored = stored(gateway, workspace, Kind::Metric, name).await?;
        let metric = stored.metric()?;
        let dataset = match &metric.dataset {
            Some(name) => dataset(gateway, workspace, name.as_str()).await?,
            None => None,
        };
        let rules = Rules::of(&metric, dataset.as_ref());
        let described = Arc::new(Described {
            version: stored.version,
            metric,
            rules,
        });
        *held = Some((Instant::now(), Arc::clone(&described)));
        Ok(described)
    }

    /// Returns how the metric's data stands, now or later than now.
    pub(crate) async fn standing(
        &self,
        gateway: &Gateway,
        workspace: &str,
        name: &str,
    ) -> Result<Standing, Problem> {
        let arrived = self.asked.load(Ordering::Acquire);
        let mut held = self.standing.lock().await;
        let standing = match *held {
            // That asking began after this question arrived.
            Some((asking, standing)) if asking > arrived => standing,
            _ => {
                let asking = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
                *held = None;
                let standing = self.ask(gateway, workspace, name).await?;
                *held = Some((asking, standing));
                standing
            }
        };
        standing.ok_or_else(|| Problem::not_found("metric", name))
    }

    async fn ask(
        &self,
        gateway: &Gateway,
        workspace: &str,
        name: &str,
    ) -> Result<Option<Standing>, Problem> {
        let store = gateway.store();
        let Some((version, revision)) = store.metric_standing(workspace, name).await? else {
            return Ok(None);
        };
        let mut outdated = 0;
        if self.clean.load(Ordering::Relaxed) != revision {
            outdated = store.outdated_ms(workspace, name, revision).await?;
            if outdated == 0 {
                self.clean.store(revision, Ordering::Relaxed);
            }
        }
        Ok(Some(Standing {
            version,
            revision,
            outdated: Reverse(outdated),
        }))
    }

    /// Returns the points of at least `range`, decoded, no older than `standing`.
    pub(crate) async fn decoded(
        &self,
        gateway: &Gateway,
        workspace: &str,
        name: &str,
        standing: Standing,
        range: Interval,
    ) -> Result<(Arc<Decoded>, Found), Problem> {
        let mut held = self.decoded.lock().await;
        if let Some(decoded) = held.as_ref()
            && decoded.standing.serves(standing)
            && decoded.range.start <= range.start
            && decoded.range.end >= range.end
        {
            return Ok((Arc::clone(decoded), Found::Kept));
        }
        // A range that grows keeps what it had, so that two charts do not push one another out.
        let range = match held.as_ref() {
            Some(known) if known.standing.serves(standing) => Interval::new(
                known.range.start.min(range.start),
                known.range.end.max(range.end),
            ),
            _ => range,
        };
        let rows = gateway
            .store()
            .series(
                workspace,
                name,
                range.start.as_millisecond(),
                range.end.as_millisecond(),
            )
            .await?
            .ok_or_else(|| Problem::not_found("metric", name))?;
        let decoding = tokio::task::spawn_blocking(move || decode(rows, range));
        let decoded = decoding.await.map_err(|_| Problem::internal())??;
        let decoded = Arc::new(decoded);
        let before = held.as_ref().map_or(0, |known| known.bytes);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
        self.bytes.fetch_add(decoded.bytes, Ordering::Relaxed);
        *held = Some(Arc::clone(&decoded));
        Ok((decoded, Found::Read))
    }

    /// Returns a kept answer to `question`, made of exactly this data and definition.
    pub(crate) fn answer(&self, question: &str, made_at: MadeAt) -> Option<Bytes> {
        let answers = self.answers();
        if answers.made_at != made_at {
            return None;
        }
        answers.by_question.get(question).cloned()
    }

    /// Keeps an answer, unless newer ones are kept.
    pub(crate) fn keep(&self, question: String, made_at: MadeAt, answer: Bytes, most_bytes: usize) {
        let mut answers = self.answers();
        if answers.made_at > made_at || answer.len() > most_bytes {
            return;
        }
        if answers.made_at < made_at
            || answers.by_question.len() >= ANSWERS
            || answers.bytes + answer.len() > most_bytes
        {
            self.bytes.fetch_sub(answers.bytes, Ordering::Relaxed);
            *answers = Answers {
                made_at,
                ..Answers::default()
            };
        }
        let size = answer.len();
        if answers.by_question.insert(question, answer).is_none() {
            answers.bytes += size;
            self.bytes.fetch_add(size, Ordering::Relaxed);
        }
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let decoded = self
            .decoded
            .get_mut()
            .as_ref()
            .map_or(0, |decoded| decoded.bytes);
        let answers = self
            .answers
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .bytes;
        self.bytes.fetch_sub(decoded + answers, Ordering::Relaxed);
    }
}

/// Whether points were kept or had to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// They were kept.
    Kept,
    /// They were read from the store.
    Read,
}

fn decode(rows: SeriesRows, range: Interval) -> Result<Decoded, Problem> {
    /// What a point weighs besides its state's own text.
    const POINT_BYTES: usize = size_of::<StoredCell>();
    let mut bytes = rows.syncs.len() * size_of::<i64>();
    let coverage: Vec<rollup::Coverage> = rows.coverage.into_iter().map(covered).collect();
    let mut input = SeriesInput {
        series: Vec::with_capacity(rows.series.len()),
        outdated: rollup::coverage::outdated(&coverage, rows.revision),
        coverage,
        syncs: rows.syncs,
    };
    let outdated = input.outdated.iter();
    let outdated = outdated.map(|range| range.end.as_millisecond() - range.start.as_millisecond());
    let standing = Standing {
        version: rows.version,
        revision: rows.revision,
        outdated: Reverse(outdated.sum()),
    };
    for one in rows.series {
        let states: usize = one.points.iter().map(|point| point.state.len()).sum();
        bytes += one.key.len() * 2 + one.points.len() * POINT_BYTES + states;
        let cells = one.points.into_iter();
        input
            .add_stored(&one.key, cells.map(|cell| (cell.start, cell.state, cell.partial)))
            .map_err(|error| {
                tracing::error!(error = %service::report::chain(&error), "stored points cannot be read");
                Problem::internal()
            })?;
    }
    Ok(Decoded {
        standing,
        range,
        input,
        bytes,
    })
}

fn covered(stored: store::Coverage) -> rollup::Coverage {
    rollup::Coverage {
        start: time::instant(stored.start),
        end: time::instant(stored.end),
        as_of: time::instant(stored.as_of),
        run: stored.run,
        revision: stored.revision,
        complete: stored.complete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(bytes: usize) -> Cache {
        Cache::new(&Limits {
            series_cache_bytes: bytes,
            ..Limits::default()
        })
    }

    fn at(version: i64, definition: i64) -> MadeAt {
        let standing = Standing {
            version,
            ..Standing::default()
        };
        MadeAt {
            standing,
            definition,
        }
    }

    #[test]
    fn what_stopped_being_outdated_is_read_again_at_the_same_version() {
        let stood = |revision, outdated| Standing {
            version: 7,
            revision,
            outdated: Reverse(outdated),
        };
        assert!(stood(2, 50).serves(stood(2, 50)));
        assert!(stood(2, 20).serves(stood(2, 50)));
        assert!(!stood(2, 50).serves(stood(2, 20)));
        assert!(!stood(1, 0).serves(stood(2, 50)));
        assert!(stood(3, 90).serves(stood(2, 50)));
    }

    #[test]
    fn an_answer_holds_for_its_versions_only() {
        let cache = cache(1_000_000);
        let slot = cache.slot("default", "a");
        slot.keep("q".into(), at(2, 1), Bytes::from_static(b"two"), 1000);
        assert_eq!(
            slot.answer("q", at(2, 1)).as_deref(),
            Some(b"two".as_slice())
        );
        assert_eq!(slot.answer("q", at(3, 1)), None);
        assert_eq!(slot.answer("q", at(2, 2)), None);
        slot.keep("q".into(), at(3, 1), Bytes::from_static(b"three"), 1000);
        slot.keep("q".into(), at(2, 1), Bytes::from_static(b"late"), 1000);
        assert_eq!(
            slot.answer("q", at(3, 1)).as_deref(),
            Some(b"three".as_slice())
        );
    }

    #[test]
    fn what_is_kept_stays_within_the_bound() {
        let cache = cache(1000);
        for number in 0..100 {
            let slot = cache.slot("default", &format!("m{number}"));
            slot.keep("q".into(), at(1, 1), Bytes::from(vec![0; 100]), 1000);
        }
        assert!(cache.bytes.load(Ordering::Relaxed) <= 1100);
        let slots: Vec<_> = cache.slots().values().cloned().collect();
        assert!(slots.len() <= 11);
        drop(slots);
        cache.slots().clear();
        assert_eq!(cache.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_forgotten_metric_answers_nothing() {
        let cache = cache(1000);
        cache
            .slot("default", "a")
            .keep("q".into(), at(1, 1), Bytes::from_static(b"x"), 1000);
        cache.forget("default", "a");
        assert_eq!(cache.slot("default", "a").answer("q", at(1, 1)), None);
    }
}

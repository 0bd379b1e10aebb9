//! Which windows of its dataset a metric has whole, so that a later sync asks for what is missing.

use definition::{Dataset, Metric, MetricType};
use serde::{Deserialize, Serialize};

use crate::commit::Commit;
use crate::database::values;
use crate::definitions::StoredMetric;
use crate::error::Result;
use crate::{Interval, StoredDataset};

/// Most intervals remembered; neighbours are one, so more means as many holes. Beyond it the oldest are
/// forgotten, and asked for again if a sync reaches back that far.
const MOST: usize = 500;

/// What is kept with a metric.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    dataset: String,
    epoch: i64,
    revision: i64,
    /// Starts and ends, in order and apart.
    windows: Vec<(i64, i64)>,
}

impl Kept {
    /// Reads what is kept; nothing where it belongs to another request, origin or revision.
    fn read(text: Option<&str>, dataset: &str, epoch: i64, revision: i64) -> Option<Self> {
        let kept: Self = serde_json::from_str(text?).ok()?;
        let same = kept.dataset == dataset && kept.epoch == epoch && kept.revision == revision;
        same.then_some(kept)
    }

    /// Adds a window; says whether that was news.
    fn add(&mut self, window: Interval) -> bool {
        let known = self.windows.iter();
        if known
            .clone()
            .any(|(start, end)| *start <= window.start && window.end <= *end)
        {
            return false;
        }
        let mut all: Vec<(i64, i64)> = known.copied().collect();
        all.push((window.start, window.end));
        all.sort_unstable();
        self.windows.clear();
        for (start, end) in all {
            match self.windows.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => self.windows.push((start, end)),
            }
        }
        let surplus = self.windows.len().saturating_sub(MOST);
        self.windows.drain(..surplus);
        true
    }
}

impl StoredMetric {
    /// Returns the windows of `dataset` that the metric has whole at its present revision, in order and
    /// apart; none when it reads another dataset or the dataset asks another origin since. `None` for a
    /// level, which no window fills. `metric` and `named` are the definitions of both.
    pub fn whole_windows(
        &self,
        metric: &Metric,
        named: Option<&Dataset>,
        dataset: &StoredDataset,
    ) -> Option<Vec<definition::Interval>> {
        if metric.metric_type(named) == MetricType::Levels {
            return None;
        }
        let text = self.windows.as_deref();
        let kept = Kept::read(text, &dataset.id, dataset.epoch, self.revision);
        let windows = kept.map_or_else(Vec::new, |kept| kept.windows).into_iter();
        let windows = windows.map(|(start, end)| Interval { start, end }.into());
        Some(windows.collect())
    }
}

impl Commit {
    /// Notes that the run brought its whole window to a metric, as evaluated at `revision`; a run without
    /// a window has nothing to note.
    pub async fn has_whole_window(&mut self, metric: &str, revision: i64) -> Result<()> {
        let run = self.run();
        let (Some(window), dataset, epoch) = (run.window, run.dataset.clone(), run.epoch) else {
            return Ok(());
        };
        let (tx, held) = self.parts(metric)?;
        let mut kept =
            Kept::read(held.windows.as_deref(), &dataset, epoch, revision).unwrap_or(Kept {
                dataset,
                epoch,
                revision,
                windows: Vec::new(),
            });
        if !kept.add(window) {
            return Ok(());
        }
        let text = serde_json::to_string(&kept).unwrap_or_default();
        let sql = "UPDATE metrics SET windows = $2 WHERE id = $1";
        tx.run("note a window", sql, values![held.id, &text])
            .await?;
        held.windows = Some(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(windows: &[(i64, i64)]) -> Kept {
        let mut kept = Kept {
            dataset: "d".into(),
            epoch: 1,
            revision: 1,
            windows: Vec::new(),
        };
        for &(start, end) in windows {
            kept.add(Interval { start, end });
        }
        kept
    }

    #[test]
    fn neighbours_are_one_and_holes_stay() {
        assert_eq!(kept(&[(20, 30), (0, 10), (10, 20)]).windows, [(0, 30)]);
        assert_eq!(kept(&[(20, 30), (0, 10)]).windows, [(0, 10), (20, 30)]);
        assert_eq!(kept(&[(0, 30), (5, 10)]).windows, [(0, 30)]);
        assert!(!kept(&[(0, 30)]).add(Interval { start: 5, end: 30 }));
    }

    #[test]
    fn what_belongs_to_another_request_or_revision_is_not_read() {
        let text = serde_json::to_string(&kept(&[(0, 10)])).unwrap();
        assert!(Kept::read(Some(&text), "d", 1, 1).is_some());
        for (dataset, epoch, revision) in [("e", 1, 1), ("d", 2, 1), ("d", 1, 2)] {
            assert!(Kept::read(Some(&text), dataset, epoch, revision).is_none());
        }
        assert!(Kept::read(Some("damaged"), "d", 1, 1).is_none());
    }

    #[test]
    fn the_oldest_are_forgotten_beyond_the_bound() {
        let windows: Vec<_> = (0..600).map(|at| (at * 10, at * 10 + 5)).collect();
        let kept = kept(&windows);
        assert_eq!(kept.windows.len(), MOST);
        assert_eq!(kept.windows[0], (1000, 1005));
    }
}

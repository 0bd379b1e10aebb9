//! A watched metric's numbers, read once for all that watch it.

use definition::{Goal, Interval, Metric};
use jiff::Timestamp;
use rollup::coverage::hull;
use rollup::{GoalRange, Rules, SeriesInput, Watched, goal_range};
use store::{Kind, SeriesRows, Store};

use crate::commit::coverage_of;
use crate::error::Error;

/// A metric and what is read of it.
pub(crate) struct Reading {
    pub(crate) workspace: String,
    pub(crate) metric: Metric,
    pub(crate) rules: Rules,
    pub(crate) accumulates: bool,
    pub(crate) version: i64,
    pub(crate) known: Option<Interval>,
    pub(crate) input: SeriesInput,
}

impl Reading {
    /// Reads a metric's definition and coverage; nothing when there is no such metric.
    pub(crate) async fn of(
        store: &Store,
        workspace: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Self>, Error> {
        let Some(stored) = store.definition(workspace, Kind::Metric, name).await? else {
            return Ok(None);
        };
        let metric = stored.metric()?;
        let dataset = match &metric.dataset {
            Some(dataset) => store
                .definition(workspace, Kind::Dataset, dataset.as_str())
                .await?
                .map(|stored| stored.dataset_definition())
                .transpose()?,
            None => None,
        };
        let at = now.as_millisecond();
        let Some(rows) = store.series(workspace, name, at, at).await? else {
            return Ok(None);
        };
        let version = rows.version;
        let input = decode(rows, name)?;
        Ok(Some(Self {
            workspace: workspace.to_owned(),
            rules: Rules::of(&metric, dataset.as_ref()),
            accumulates: metric.accumulates(dataset.as_ref()),
            metric,
            version,
            known: hull(&input.coverage),
            input,
        }))
    }

    /// Reads what the questions need, in one range around them all.
    pub(crate) async fn read(&mut self, store: &Store, wanted: Vec<Interval>) -> Result<(), Error> {
        let Some(from) = wanted.iter().map(|one| one.start).min() else {
            return Ok(());
        };
        let to = wanted.iter().map(|one| one.end).max().unwrap_or(from);
        let name = self.metric.name.as_str();
        let rows = store
            .series(
                &self.workspace,
                name,
                from.as_millisecond(),
                to.as_millisecond(),
            )
            .await?;
        if let Some(rows) = rows {
            self.version = rows.version;
            self.input = decode(rows, name)?;
            self.known = hull(&self.input.coverage);
        }
        Ok(())
    }

    /// The metric as it is watched.
    pub(crate) fn watched(&self) -> Watched<'_> {
        Watched {
            rules: &self.rules,
            accumulates: self.accumulates,
            known: self.known,
        }
    }

    /// The range that a goal is judged in.
    pub(crate) fn goal_range(&self, goal: &Goal, now: Timestamp) -> GoalRange {
        goal_range(goal, &self.rules, self.known, now)
    }

    /// What a goal needs: its range, and the one before, whose end may not have been judged.
    pub(crate) fn goal_reads(&self, goal: &Goal, now: Timestamp) -> Interval {
        let range = self.goal_range(goal, now);
        let mut reads = self.watched().goal_reads(range, now);
        if goal.per.is_some() {
            let before = range
                .from
                .checked_sub(jiff::Span::new().hours(1))
                .unwrap_or(Timestamp::MIN);
            let earlier = self.goal_range(goal, before);
            let earlier = self.watched().goal_reads(earlier, now);
            reads.start = reads.start.min(earlier.start);
        }
        reads
    }
}

fn decode(rows: SeriesRows, metric: &str) -> Result<SeriesInput, Error> {
    let mut input = SeriesInput {
        series: Vec::with_capacity(rows.series.len()),
        coverage: rows.coverage.iter().map(coverage_of).collect(),
        syncs: rows.syncs,
        // Alerts are judged on what there is.
        outdated: Vec::new(),
    };
    for one in rows.series {
        let cells = one.points.into_iter();
        input
            .add_stored(
                &one.key,
                cells.map(|cell| (cell.start, cell.state, cell.partial)),
            )
            .map_err(|_| Error::Damaged {
                metric: metric.to_owned(),
            })?;
    }
    Ok(input)
}

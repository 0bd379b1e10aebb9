//! When a dataset is due, and for which windows: decided from its definitions alone.

use definition::{Dataset, Granularity, Interval, Schedule, Weekday, window};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use store::{StoredDataset, StoredMetric, Unreadable, instant};

/// Slots that were missed are walked through one by one up to this many, then jumped over.
const MISSED_SLOTS_WALKED: u32 = 64;

/// What the definitions say about a dataset's time.
#[derive(Debug)]
pub(crate) struct Agenda {
    /// The instants of its metrics, each with the zone of its cron; empty when all rest.
    schedules: Vec<(Schedule, TimeZone)>,
    window: Option<definition::Window>,
    /// The coarsest resolution among its metrics, with that metric's zone and week.
    coarsest: Granularity,
    zone: TimeZone,
    week_start: Weekday,
    seed: u64,
    /// The windows that each metric has whole; levels, which no window fills, are not among them.
    whole: Vec<Vec<Interval>>,
    /// The greatest end of a window that was fetched.
    last_window_end: Option<Timestamp>,
}

impl Agenda {
    /// Reads the agenda from what is stored. `named` is the definition behind a named dataset.
    pub(crate) fn of(
        dataset: &StoredDataset,
        named: Option<&Dataset>,
        metrics: &[StoredMetric],
    ) -> Result<Self, Unreadable> {
        let fetch = dataset.fetch()?;
        let mut agenda = Self {
            schedules: Vec::new(),
            window: fetch.window,
            coarsest: Granularity::Hour,
            zone: fetch
                .zone
                .as_deref()
                .and_then(definition::zone::find)
                .unwrap_or(TimeZone::UTC),
            week_start: Weekday::Monday,
            seed: Schedule::spread_seed(&dataset.id),
            whole: Vec::new(),
            last_window_end: dataset.last_window_end.map(instant),
        };
        let rests = named.is_some_and(|named| named.paused);
        for stored in metrics {
            let metric = stored.metric()?;
            if metric.resolution >= agenda.coarsest {
                agenda.coarsest = metric.resolution;
                agenda.zone = metric.zone();
                agenda.week_start = metric.week_start;
            }
            if !metric.paused && !rests {
                let whole = stored.whole_windows(&metric, named, dataset);
                agenda.whole.extend(whole);
                let entry = (metric.schedule(named), metric.zone());
                if !agenda.schedules.contains(&entry) {
                    agenda.schedules.push(entry);
                }
            }
        }
        Ok(agenda)
    }

    /// Whether nothing wants it: no metric reads it, or all rest.
    pub(crate) fn rests(&self) -> bool {
        self.schedules.is_empty()
    }

    /// Returns the first instant after `after` at which one of its metrics is due.
    pub(crate) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let next =
            |(schedule, zone): &(Schedule, TimeZone)| schedule.next_after(after, zone, self.seed);
        self.schedules.iter().filter_map(next).min()
    }

    /// Returns the newest slot that is due at `now`: those missed before it collapse into it.
    pub(crate) fn newest_due(&self, first: Timestamp, now: Timestamp) -> Timestamp {
        let mut slot = first;
        let mut walked = 0;
        while let Some(next) = self.next_after(slot)
            && next <= now
        {
            slot = next;
            walked += 1;
            if walked == MISSED_SLOTS_WALKED {
                // Long away: only the last hours can hold the newest slot of a short schedule.
                let near = now
                    .saturating_sub(SignedDuration::from_hours(1))
                    .unwrap_or(slot);
                slot = slot.max(near);
            }
        }
        slot
    }

    /// Returns what one slot asks for, newest first; a single `None` where there are no windows.
    pub(crate) fn windows(&self, now: Timestamp) -> Vec<Option<Interval>> {
        let Some(window) = &self.window else {
            return vec![None];
        };
        let windows = window::plan(
            window,
            &self.whole,
            self.last_window_end,
            now,
            &self.zone,
            self.coarsest,
            self.week_start,
        );
        windows.into_iter().map(Some).collect()
    }
}

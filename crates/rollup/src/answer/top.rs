//! The largest series, and all others as one.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::AnswerSeries;
use crate::row::Dimensions;

/// The members that are shown by themselves; all others are joined.
pub(crate) type Kept = BTreeSet<Dimensions>;

/// Returns the members with the `most` largest totals, in each unit.
///
/// Units are never compared: a member that is among the largest in one unit is kept in all of them.
pub(crate) fn choose(series: &[AnswerSeries], most: u32) -> Kept {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let units: BTreeSet<_> = series.iter().map(|one| &one.unit).collect();
    let mut kept = Kept::new();
    for unit in units {
        let mut own: Vec<&AnswerSeries> = series
            .iter()
            .filter(|one| one.unit == *unit && one.total.is_some())
            .collect();
        own.sort_by_key(|one| Reverse(one.total));
        kept.extend(own.into_iter().take(most).map(|one| one.dimensions.clone()));
    }
    kept
}

/// Says on each joined series how many of `all` are in it.
pub(crate) fn count_rest(all: &[AnswerSeries], kept: &Kept, series: &mut [AnswerSeries]) {
    for rest in series.iter_mut().filter(|one| one.rest.is_some()) {
        let joined = all.iter().filter(|one| {
            one.unit == rest.unit
                && !kept.contains(&one.dimensions)
                && (one.total.is_some() || !one.points.is_empty())
        });
        rest.rest = Some(u32::try_from(joined.count()).unwrap_or(u32::MAX));
    }
}

/// Puts the largest first, unit by unit, the rest of each unit behind them; and a range compared with in
/// the same order.
pub(crate) fn rank(series: Vec<AnswerSeries>, base: Option<Vec<AnswerSeries>>) -> Ranked {
    let order = |one: &AnswerSeries| {
        (
            one.unit.clone(),
            one.rest.is_some(),
            Reverse(one.total),
            one.dimensions.clone(),
        )
    };
    let Some(base) = base else {
        let mut series = series;
        series.sort_by_cached_key(order);
        return (series, None);
    };
    let mut pairs: Vec<(AnswerSeries, AnswerSeries)> = series.into_iter().zip(base).collect();
    pairs.sort_by_cached_key(|(own, _)| order(own));
    let (series, base) = pairs.into_iter().unzip();
    (series, Some(base))
}

type Ranked = (Vec<AnswerSeries>, Option<Vec<AnswerSeries>>);

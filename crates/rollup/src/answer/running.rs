//! Points that look back over the steps before them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::AnswerPoint;
use super::fill::Slot;
use crate::decimal::{Decimal, Sum};

/// Returns for each step the mean of the values of the last `length` steps, itself included.
///
/// `steps` are all steps, oldest first. A step that has no point counts as 0 where `slots` knows it and
/// `empty_is_zero`; else it has no value, counts for nothing and gets none.
pub(crate) fn moving_average(
    points: &[AnswerPoint],
    steps: impl Iterator<Item = Timestamp>,
    slots: &[Slot],
    length: u32,
    empty_is_zero: bool,
) -> Vec<AnswerPoint> {
    let own: BTreeMap<Timestamp, &AnswerPoint> =
        points.iter().map(|point| (point.start, point)).collect();
    let known_empty = |start: Timestamp| {
        let slot = slots.binary_search_by_key(&start, |slot| slot.0);
        empty_is_zero && slot.is_ok_and(|place| slots.get(place).is_some_and(|slot| !slot.1))
    };
    let values: Vec<Option<AnswerPoint>> = steps
        .map(|start| match own.get(&start) {
            Some(point) => point.value.map(|_| **point),
            None => known_empty(start).then_some(AnswerPoint {
                start,
                value: Some(Decimal::ZERO),
                count: 0,
                partial: false,
                outdated: false,
            }),
        })
        .collect();
    let length = usize::try_from(length).unwrap_or(usize::MAX).max(1);
    let mut found = Vec::new();
    for (place, point) in values.iter().enumerate() {
        let Some(point) = point else { continue };
        let window = values
            .get((place + 1).saturating_sub(length)..=place)
            .unwrap_or_default();
        let mut sum = Sum::default();
        let (mut seen, mut count) = (0_u64, 0);
        let (mut partial, mut outdated) = (false, false);
        for part in window.iter().flatten() {
            sum.add(part.value.unwrap_or_default());
            seen += 1;
            count += part.count;
            partial |= part.partial;
            outdated |= part.outdated;
        }
        found.push(AnswerPoint {
            start: point.start,
            value: sum.to_decimal().divided_by(Decimal::from(seen)),
            count,
            partial,
            outdated,
        });
    }
    found
}

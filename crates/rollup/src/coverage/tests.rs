//! The interval algebra against a model with one entry for each second.

use proptest::prelude::*;

use super::*;

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn range(start: i64, end: i64) -> Interval {
    Interval::new(second(start), second(end))
}

fn coverage(start: i64, end: i64, as_of: i64, complete: bool) -> Coverage {
    Coverage {
        start: second(start),
        end: second(end),
        as_of: second(as_of),
        run: format!("r_{as_of}"),
        revision: 1,
        complete,
    }
}

fn text(list: &[Coverage]) -> String {
    let one = |one: &Coverage| {
        format!(
            "{}-{}@{}{}",
            one.start.as_second(),
            one.end.as_second(),
            one.as_of.as_second(),
            if one.complete { "" } else { "?" }
        )
    };
    list.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_newer_slot_covers_and_splits_an_older_one() {
    let list = insert(&[coverage(0, 100, 1, true)], &coverage(40, 60, 2, true));
    assert_eq!(text(&list), "0-40@1 40-60@2 60-100@1");
}

#[test]
fn an_older_slot_only_fills_what_is_not_covered() {
    let list = insert(&[coverage(40, 60, 2, true)], &coverage(0, 100, 1, true));
    assert_eq!(text(&list), "0-40@1 40-60@2 60-100@1");
}

#[test]
fn a_truncated_run_never_covers_what_a_complete_one_does() {
    let list = insert(&[coverage(40, 60, 2, true)], &coverage(0, 100, 3, false));
    assert_eq!(text(&list), "0-40@3? 40-60@2 60-100@3?");
}

#[test]
fn touching_neighbours_with_equal_facts_are_one() {
    let list = insert(&[coverage(0, 10, 1, true)], &coverage(10, 20, 1, true));
    assert_eq!(text(&list), "0-20@1");
    let mut other = coverage(20, 30, 1, true);
    other.revision = 2;
    assert_eq!(insert(&list, &other).len(), 2);
}

#[test]
fn covered_and_complete_are_told_apart() {
    let list = [
        coverage(0, 10, 1, true),
        coverage(10, 20, 2, false),
        coverage(30, 40, 2, true),
    ];
    assert!(is_covered(&list, range(0, 20)) && !is_covered(&list, range(0, 21)));
    assert!(is_complete(&list, range(0, 10)) && !is_complete(&list, range(0, 11)));
    assert_eq!(gaps(&list, range(5, 45)), [range(20, 30), range(40, 45)]);
    assert_eq!(hull(&list), Some(range(0, 40)));
    assert_eq!(hull(&[]), None);
}

#[test]
fn the_list_is_bounded_and_joins_the_oldest_first() {
    let mut list = Vec::new();
    let most = i64::try_from(MAX_INTERVALS).unwrap();
    for step in 0..most + 50 {
        list = insert(&list, &coverage(step * 10, step * 10 + 20, step, true));
    }
    assert_eq!(list.len(), MAX_INTERVALS);
    assert_eq!(text(&list[..1]), "0-510@50");
    assert!(is_covered(&list, range(0, (most + 49) * 10 + 20)));
}

proptest! {
    #[test]
    fn inserting_in_any_order_gives_the_strongest_everywhere(
        parts in prop::collection::vec((0_i64..60, 1_i64..30, any::<bool>()), 1..12),
        turn in 0_usize..12,
    ) {
        // Slots differ, as those of one dataset do.
        let parts: Vec<Coverage> =
            parts.iter().zip(0..).map(|((start, length, complete), slot)| coverage(*start, start + length, slot, *complete)).collect();
        let fold = |parts: &[Coverage]| parts.iter().fold(Vec::new(), |list, part| insert(&list, part));
        let list = fold(&parts);
        let mut turned = parts.clone();
        turned.rotate_left(turn % parts.len());
        turned.reverse();
        prop_assert_eq!(text(&fold(&turned)), text(&list));
        prop_assert_eq!(text(&insert(&list, &parts[0])), text(&list), "again changes nothing");
        for at in 0..100 {
            let strongest = parts.iter().filter(|part| part.interval().contains(second(at))).max_by_key(|part| part.rank());
            let found: Vec<&Coverage> = list.iter().filter(|part| part.interval().contains(second(at))).collect();
            prop_assert!(found.len() <= 1);
            prop_assert_eq!(found.first().map(|part| part.as_of), strongest.map(|part| part.as_of));
        }
        for two in list.windows(2) {
            prop_assert!(two[0].end <= two[1].start);
        }
    }
}

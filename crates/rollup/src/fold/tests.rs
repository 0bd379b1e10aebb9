//! Folding and deduplicating.

use definition::{Granularity, OverTime, Trend, Weekday};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::decimal::Decimal;
use crate::row::Dimensions;

fn rules(metric_type: MetricType) -> Rules {
    Rules {
        metric_type,
        aggregation: Aggregation::Sum,
        over_time: Some(OverTime::Last),
        resolution: Granularity::Day,
        zone: TimeZone::get("Europe/Paris").unwrap(),
        week_start: Weekday::Monday,
        favourable_trend: Trend::Up,
        dated: true,
    }
}

fn row(value: i64, at: Option<&str>, team: &str, place: (u32, u32), key: Option<&str>) -> Row {
    Row {
        value: RowValue::Number(Decimal::from(value)),
        at: at.map(|text| text.parse().unwrap()),
        dimensions: Dimensions::of([("team", team)]),
        unit: None,
        key: key.map(Into::into),
        page: place.0,
        index: place.1,
    }
}

fn sums(folded: &Folded) -> Vec<(String, String, String)> {
    folded
        .cells
        .iter()
        .flat_map(|(key, cells)| {
            cells.iter().map(|(start, state)| {
                let team = key.dimensions.get("team").unwrap_or("").to_owned();
                let start = Timestamp::from_millisecond(*start).unwrap().to_string();
                (
                    team,
                    start,
                    state.finish(Aggregation::Sum).unwrap().to_string(),
                )
            })
        })
        .collect()
}

fn sync_at() -> Timestamp {
    "2024-06-01T12:00:00Z".parse().unwrap()
}

#[test]
fn events_go_to_the_bucket_of_their_date_in_the_metrics_zone() {
    let rows = vec![
        row(1, Some("2024-05-31T21:59:59Z"), "a", (0, 0), None),
        row(2, Some("2024-05-31T22:00:00Z"), "a", (0, 1), None),
        row(4, Some("2024-06-01T10:00:00Z"), "b", (0, 2), None),
        row(8, None, "b", (0, 3), None),
    ];
    let folded = fold(rows, &rules(MetricType::Events), sync_at());
    let expected = [
        ("a", "2024-05-30T22:00:00Z", "1"),
        ("a", "2024-05-31T22:00:00Z", "2"),
        ("b", "2024-05-31T22:00:00Z", "4"),
    ];
    assert_eq!(
        sums(&folded),
        expected.map(|(team, start, sum)| (team.to_owned(), start.to_owned(), sum.to_owned()))
    );
    assert_eq!(
        (folded.rows, folded.undated_rows, folded.order),
        (3, 1, Order::Ascending)
    );
    assert_eq!(
        folded.earliest,
        Some("2024-05-31T21:59:59Z".parse().unwrap())
    );
    assert_eq!(folded.latest, Some("2024-06-01T10:00:00Z".parse().unwrap()));
}

#[test]
fn levels_are_samples_of_the_sync_whatever_their_dates() {
    let rows = vec![
        row(1, Some("2020-01-01T00:00:00Z"), "a", (0, 0), None),
        row(2, None, "a", (0, 1), None),
    ];
    let folded = fold(rows, &rules(MetricType::Levels), sync_at());
    assert_eq!(
        sums(&folded),
        [(
            "a".to_owned(),
            "2024-06-01T12:00:00Z".to_owned(),
            "3".to_owned()
        )]
    );
}

#[test]
fn of_a_period_the_last_row_stays() {
    let rows = vec![
        row(1, Some("2024-06-01T00:00:00Z"), "a", (0, 0), None),
        row(2, Some("2024-06-01T00:00:00Z"), "a", (1, 0), None),
        row(4, Some("2024-06-01T00:00:00Z"), "a", (0, 1), None),
    ];
    let folded = fold(rows, &rules(MetricType::Periods), sync_at());
    assert_eq!(
        sums(&folded),
        [(
            "a".to_owned(),
            "2024-05-31T22:00:00Z".to_owned(),
            "2".to_owned()
        )]
    );
}

#[test]
fn series_past_the_bound_are_counted_and_not_kept() {
    let rows: Vec<Row> = (0..10)
        .map(|index| {
            row(
                1,
                Some("2024-06-01T00:00:00Z"),
                &(index % 5).to_string(),
                (0, index),
                None,
            )
        })
        .collect();
    let folded = fold_within(rows, &rules(MetricType::Events), sync_at(), 3);
    assert_eq!(
        (folded.cells.len(), folded.rows, folded.overflow_rows),
        (3, 6, 4)
    );
}

#[test]
fn texts_are_left_out_and_counted_unless_values_are_counted() {
    let mut text = row(0, Some("2024-06-01T00:00:00Z"), "a", (0, 0), None);
    text.value = RowValue::Text("x".into());
    let mut rules = rules(MetricType::Events);
    assert_eq!(fold(vec![text.clone()], &rules, sync_at()).text_rows, 1);
    rules.aggregation = Aggregation::CountDistinct;
    assert_eq!(fold(vec![text], &rules, sync_at()).rows, 1);
}

#[test]
fn units_split_series() {
    let mut rows = vec![
        row(1, None, "a", (0, 0), None),
        row(2, None, "a", (0, 1), None),
    ];
    rows[0].unit = Some("USD".into());
    rows[1].unit = Some("EUR".into());
    assert_eq!(
        fold(rows, &rules(MetricType::Levels), sync_at())
            .cells
            .len(),
        2
    );
}

#[test]
fn order_is_claimed_only_where_it_shows() {
    let order = |days: &[u32]| {
        let rows = days.iter().zip(0..).map(|(day, index)| {
            row(
                1,
                Some(&format!("2024-05-{day:02}T00:00:00Z")),
                "a",
                (0, index),
                None,
            )
        });
        fold(
            rows.collect::<Vec<_>>(),
            &rules(MetricType::Events),
            sync_at(),
        )
        .order
    };
    assert_eq!(order(&[1, 1, 2, 5]), Order::Ascending);
    assert_eq!(order(&[9, 9, 2]), Order::Descending);
    assert_eq!(order(&[1, 3, 2]), Order::Mixed);
    assert_eq!(order(&[3, 3]), Order::Mixed);
    assert_eq!(order(&[3]), Order::Mixed);
    let turned = vec![
        row(1, Some("2024-05-01T00:00:00Z"), "a", (1, 0), None),
        row(1, Some("2024-05-02T00:00:00Z"), "a", (0, 0), None),
    ];
    assert_eq!(
        fold(turned, &rules(MetricType::Events), sync_at()).order,
        Order::Mixed
    );
}

#[test]
fn of_rows_with_one_key_the_latest_place_counts_once() {
    let rows = vec![
        row(1, None, "a", (0, 0), Some("k1")),
        row(2, None, "a", (1, 5), Some("k2")),
        row(4, None, "a", (1, 0), Some("k2")),
        row(8, None, "a", (2, 0), Some("k1")),
        row(16, None, "a", (2, 1), None),
        row(32, None, "a", (2, 2), None),
    ];
    let (kept, dropped) = deduplicate(rows);
    let sum: Vec<String> = kept
        .iter()
        .map(|row| row.value.text().into_owned())
        .collect();
    assert_eq!(
        (sum, dropped),
        (["2", "8", "16", "32"].map(str::to_owned).to_vec(), 2)
    );
}

proptest! {
    #[test]
    fn deduplicating_keeps_one_row_a_key_in_any_order(
        keys in prop::collection::vec((0_u8..6, any::<bool>()), 0..40),
        turn in 0_usize..40,
    ) {
        let rows: Vec<Row> = keys
            .iter()
            .zip(0..)
            .map(|((key, keyed), index)| row(i64::from(index), None, "a", (index / 7, index % 7), keyed.then(|| key.to_string()).as_deref()))
            .collect();
        let (kept, dropped) = deduplicate(rows.clone());
        prop_assert_eq!(kept.len() as u64 + dropped, rows.len() as u64);
        let mut turned = rows;
        turned.rotate_left(turn % keys.len().max(1));
        let sorted = |mut rows: Vec<Row>| {
            rows.sort_by_key(|row| (row.page, row.index));
            rows
        };
        prop_assert_eq!(sorted(deduplicate(turned).0), sorted(kept));
    }
}

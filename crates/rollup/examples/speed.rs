//! Prints what the parts of a rollup cost: `cargo run --release -p rollup --example speed`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints, on input of its own"
)]

use std::hint::black_box;
use std::time::Instant;

use definition::{Aggregation, Granularity, Interval, MetricType, Trend, Weekday};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rollup::{
    Compare, Decimal, Dimensions, Query, Row, RowValue, Rules, SeriesInput, State, answer,
    deduplicate, fold,
};

fn main() {
    let rules = |aggregation| Rules {
        metric_type: MetricType::Events,
        aggregation,
        over_time: None,
        resolution: Granularity::Day,
        zone: TimeZone::get("Europe/Paris").unwrap(),
        week_start: Weekday::Monday,
        favourable_trend: Trend::Up,
        dated: true,
    };
    let rows: Vec<Row> = (0..10_000_u32)
        .map(|index| Row {
            value: RowValue::Number(Decimal::from_f64(f64::from(index % 1000) / 100.0).unwrap()),
            at: Timestamp::from_second(1_704_067_200 + i64::from(index) * 3_153).ok(),
            dimensions: Dimensions::of([(
                "state",
                ["active", "cancelled", "bounced", "inactive", "complained"][index as usize % 5],
            )]),
            unit: None,
            key: Some(index.to_string().into()),
            page: index / 100,
            index: index % 100,
        })
        .collect();
    for aggregation in [
        Aggregation::Sum,
        Aggregation::CountDistinct,
        Aggregation::P95,
    ] {
        let own = rules(aggregation);
        let folding = time(20, || fold(rows.clone(), &own, Timestamp::UNIX_EPOCH));
        println!(
            "fold 10,000 rows, a year of days × 5, {aggregation:?}: {:.0} ns a row",
            folding / 10.0
        );
    }
    println!(
        "clone of the rows alone: {:.0} ns a row",
        time(20, || rows.clone()) / 10.0
    );
    println!(
        "deduplicate: {:.0} ns a row",
        time(20, || deduplicate(rows.clone())) / 10.0
    );
    let floats: Vec<f64> = (0..10_000)
        .map(|number| f64::from(number) / 100.0)
        .collect();
    let reading = time(20, || {
        floats
            .iter()
            .map(|number| Decimal::from_f64(*number).unwrap())
            .max()
    });
    println!("decimal from f64: {:.0} ns", reading / 10.0);
    let rules = rules(Aggregation::Sum);
    let folded = fold(rows, &rules, Timestamp::UNIX_EPOCH);
    let encoded: Vec<Vec<u8>> = folded
        .cells
        .values()
        .flat_map(|cells| cells.values().map(State::encode))
        .collect();
    let bytes: usize = encoded.iter().map(Vec::len).sum();
    let decoding = time(50, || {
        encoded
            .iter()
            .map(|bytes| State::decode(bytes).unwrap())
            .collect::<Vec<_>>()
    });
    println!(
        "decode {} states of {} bytes: {decoding:.0} µs",
        encoded.len(),
        bytes / encoded.len()
    );
    let series = folded
        .cells
        .into_iter()
        .map(|(key, cells)| {
            (
                key,
                cells
                    .into_iter()
                    .map(|(start, state)| (start, state, false))
                    .collect(),
            )
        })
        .collect();
    let input = SeriesInput {
        series,
        ..SeriesInput::default()
    };
    let day = |text: &str| rollup::range::parse_instant(text, &rules.zone).unwrap();
    let year = Interval::new(day("2024-01-01"), day("2025-01-01"));
    for (what, granularity, split) in [
        ("days, joined", Granularity::Day, false),
        ("days by state", Granularity::Day, true),
        ("months by state", Granularity::Month, true),
        ("all", Granularity::All, false),
    ] {
        let mut query = Query::over(year, granularity);
        query.group_by = if split {
            vec!["state".to_owned()]
        } else {
            Vec::new()
        };
        let plain = time(200, || answer(&input, &rules, &query).unwrap());
        query.fill = rollup::Fill::Zero;
        let filled = time(200, || answer(&input, &rules, &query).unwrap());
        query.fill = rollup::Fill::None;
        query.compare = Some(Compare::PreviousPeriod);
        let compared = time(200, || answer(&input, &rules, &query).unwrap());
        println!(
            "answer of a year × 5, {what}: {plain:.0} µs; filled {filled:.0} µs; compared {compared:.0} µs"
        );
    }
}

/// Returns the microseconds of one call, the median of `times`.
fn time<T>(times: usize, mut work: impl FnMut() -> T) -> f64 {
    let mut taken: Vec<f64> = (0..times)
        .map(|_| {
            let start = Instant::now();
            black_box(work());
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    taken.sort_by(f64::total_cmp);
    taken[times / 2]
}

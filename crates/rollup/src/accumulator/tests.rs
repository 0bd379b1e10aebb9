//! The laws of merging, for every aggregation, and the golden files.

use proptest::prelude::*;

use super::*;
use crate::row::Dimensions;

pub(crate) const AGGREGATIONS: [Aggregation; 12] = [
    Aggregation::Sum,
    Aggregation::Average,
    Aggregation::Min,
    Aggregation::Max,
    Aggregation::Count,
    Aggregation::CountDistinct,
    Aggregation::First,
    Aggregation::Last,
    Aggregation::Median,
    Aggregation::P90,
    Aggregation::P95,
    Aggregation::P99,
];

fn row(value: RowValue, second: i64, page: u32, index: u32) -> Row {
    Row {
        value,
        at: Timestamp::from_second(second).ok(),
        dimensions: Dimensions::NONE,
        unit: None,
        key: None,
        page,
        index,
    }
}

fn state(aggregation: Aggregation, rows: &[Row]) -> State {
    let mut state = State::new(aggregation);
    for row in rows {
        state.add(row, row.at.unwrap());
    }
    state
}

fn rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
    let value = prop_oneof![
        6 => (-10_000_i64..10_000, -3_i32..3).prop_map(|(mantissa, exponent)| Decimal::new(i128::from(mantissa), exponent).unwrap()),
        1 => (any::<i64>(), -60_i32..60).prop_map(|(mantissa, exponent)| Decimal::new(i128::from(mantissa), exponent).unwrap()),
    ];
    prop::collection::vec((value, 0_i64..50, 0_u32..5), 0..most).prop_map(|parts| {
        let rows = parts.into_iter().zip(0..);
        rows.map(|((value, second, page), index)| row(RowValue::Number(value), second, page, index))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn states_do_not_know_order_or_grouping(rows in rows(700), cuts in prop::collection::vec(0_usize..700, 3), seed in any::<u64>()) {
        for aggregation in AGGREGATIONS {
            let whole = state(aggregation, &rows);
            let mut shuffled = rows.clone();
            shuffled.sort_by_key(|row| (u64::from(row.index) + 1).wrapping_mul(seed | 1).rotate_left(17));
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (rows.len() + 1)).collect();
            cuts.sort_unstable();
            let parts = [&shuffled[..cuts[0]], &shuffled[cuts[0]..cuts[1]], &shuffled[cuts[1]..cuts[2]], &shuffled[cuts[2]..]]
                .map(|part| state(aggregation, part));
            // ((a b) c) d, and d (c (b a)): associative and commutative.
            let mut left = State::new(aggregation);
            for part in &parts {
                left.merge(part);
            }
            let right = parts.iter().fold(State::new(aggregation), |after, part| {
                let mut part = part.clone();
                part.merge(&after);
                part
            });
            prop_assert_eq!(left.encode(), whole.encode());
            prop_assert_eq!(right.encode(), whole.encode());
            prop_assert_eq!(&left, &whole);
            prop_assert_eq!(left.finish(aggregation), whole.finish(aggregation));
        }
    }

    #[test]
    fn states_survive_their_bytes(rows in rows(600)) {
        for aggregation in AGGREGATIONS {
            let state = state(aggregation, &rows);
            let back = State::decode(&state.encode()).unwrap();
            prop_assert_eq!(&back, &state);
            prop_assert_eq!(back.finish(aggregation), state.finish(aggregation));
            let binary = postcard::to_stdvec(&state).unwrap();
            prop_assert_eq!(postcard::from_bytes::<State>(&binary).unwrap(), state);
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_read_but_never_panic(rows in rows(30), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for aggregation in AGGREGATIONS {
            let mut bytes = state(aggregation, &rows).encode();
            let place = place.index(bytes.len());
            let _ = State::decode(&bytes[..place]);
            bytes[place] = byte;
            if let Ok(state) = State::decode(&bytes) {
                let _ = state.finish(aggregation);
            }
        }
    }

    #[test]
    fn tallies_of_parts_are_finishes_of_the_merged(rows in rows(500), cut in 0_usize..500) {
        for aggregation in AGGREGATIONS {
            let cut = cut.min(rows.len());
            let (left, right) = (state(aggregation, &rows[..cut]), state(aggregation, &rows[cut..]));
            let mut tally = Tally::new(aggregation);
            tally.add(&left);
            tally.add(&right);
            prop_assert_eq!(tally.finish(), state(aggregation, &rows).finish(aggregation));
        }
    }
}

#[test]
fn each_aggregation_answers_by_its_definition() {
    let decimal = |text| Decimal::parse(text).unwrap();
    // Out of order in time: the second row is the earliest.
    let rows: Vec<Row> = [("0.1", 20), ("4", 10), ("0.2", 30), ("4", 40)]
        .into_iter()
        .zip(0..)
        .map(|((text, second), index)| row(RowValue::Number(decimal(text)), second, 0, index))
        .collect();
    for (aggregation, answer) in AGGREGATIONS.into_iter().zip([
        "8.3", "2.075", "0.1", "4", "4", "3", "4", "4", "2.1", "4", "4", "4",
    ]) {
        assert_eq!(
            state(aggregation, &rows).finish(aggregation),
            Some(decimal(answer)),
            "{aggregation:?}"
        );
    }
    assert_eq!(
        state(Aggregation::Last, &rows[..3]).finish(Aggregation::Last),
        Some(decimal("0.2"))
    );
}

#[test]
fn nothing_has_no_answer_but_bytes() {
    for aggregation in AGGREGATIONS {
        let empty = State::new(aggregation);
        assert_eq!(empty.finish(aggregation), None);
        assert_eq!(State::decode(&empty.encode()).unwrap(), empty);
    }
}

#[test]
fn texts_and_numbers_that_print_alike_are_one_distinct_value() {
    let rows = [
        row(RowValue::Number(Decimal::from(7_i64)), 1, 0, 0),
        row(RowValue::Text("7".into()), 1, 0, 1),
        row(RowValue::Text("seven".into()), 1, 0, 2),
    ];
    let state = state(Aggregation::CountDistinct, &rows);
    assert_eq!(
        state.finish(Aggregation::CountDistinct),
        Some(Decimal::from(2_i64))
    );
    assert_eq!(state.count(), 3);
}

#[test]
fn an_answer_that_needs_a_sketch_is_missing_without_one() {
    let rows = [row(RowValue::Number(Decimal::ONE), 1, 0, 0)];
    let plain = state(Aggregation::Sum, &rows);
    assert_eq!(plain.finish(Aggregation::Median), None);
    assert_eq!(plain.finish(Aggregation::CountDistinct), None);
    let mut mixed = state(Aggregation::Median, &rows);
    mixed.merge(&plain);
    assert_eq!(mixed.finish(Aggregation::Median), None);
}

#[test]
fn a_state_of_one_row_is_small() {
    let rows = [row(
        RowValue::Number(Decimal::parse("12.5").unwrap()),
        1_700_000_000,
        1,
        7,
    )];
    let length = state(Aggregation::Sum, &rows).encode().len();
    assert!(length <= 16, "{length}");
}

/// The states of the golden files: a name, the aggregation, and the rows.
fn golden() -> Vec<(&'static str, Aggregation, Vec<Row>)> {
    let numbers = |count: i64| -> Vec<Row> {
        (0..count)
            .zip(0..)
            .map(|(number, index)| {
                let value = Decimal::new(i128::from(number * number % 9_973 - 500), -2).unwrap();
                row(
                    RowValue::Number(value),
                    1_700_000_000 + number * 61 % 86_400,
                    index / 100,
                    index % 100,
                )
            })
            .collect()
    };
    let texts = |count: u32| -> Vec<Row> {
        (0..count)
            .map(|index| {
                row(
                    RowValue::Text(format!("customer {index}").into()),
                    1_700_000_000,
                    0,
                    index,
                )
            })
            .collect()
    };
    let mut unlike = numbers(3);
    unlike[0].value = RowValue::Number(Decimal::parse("1e300").unwrap());
    unlike[1].value = RowValue::Number(Decimal::parse("-1e-300").unwrap());
    vec![
        ("empty", Aggregation::Sum, Vec::new()),
        ("one", Aggregation::Sum, numbers(1)),
        ("many", Aggregation::Average, numbers(1_000)),
        ("unlike", Aggregation::Sum, unlike),
        ("distinct_exact", Aggregation::CountDistinct, texts(40)),
        (
            "distinct_registers",
            Aggregation::CountDistinct,
            texts(5_000),
        ),
        ("values_exact", Aggregation::Median, numbers(100)),
        ("values_bins", Aggregation::P99, numbers(5_000)),
    ]
}

/// Every state that any version wrote decodes for ever. To add a version, add files beside the old ones:
/// `ROLLUP_GOLDEN=write cargo test -p rollup golden` writes those that are missing, and never changes one.
#[test]
fn golden_states_of_every_version_decode_to_the_same_answers() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (name, aggregation, rows) in golden() {
        let built = state(aggregation, &rows);
        let path = folder.join(format!("v1_{name}.hex"));
        if std::env::var_os("ROLLUP_GOLDEN").is_some() && !path.exists() {
            let hex: Vec<String> = built
                .encode()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, hex.concat() + "\n").unwrap();
        }
        let hex = std::fs::read_to_string(&path).unwrap();
        let bytes: Vec<u8> = hex
            .trim()
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let read = State::decode(&bytes).unwrap();
        assert_eq!(read, built, "{name}");
        assert_eq!(
            read.finish(aggregation),
            built.finish(aggregation),
            "{name}"
        );
        // The current version writes what it always wrote.
        assert_eq!(built.encode(), bytes, "{name}");
    }
    assert_eq!(State::decode(&[9, 0, 0]), Err(DecodeError::Version(9)));
    assert_eq!(State::decode(&[]), Err(DecodeError::Malformed));
    assert_eq!(State::decode(&[1, 0, 0, 0]), Err(DecodeError::Malformed));
}

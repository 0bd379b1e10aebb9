//! Runs the worked examples of the README.

use std::collections::BTreeMap;

use definition::{Aggregation, Granularity, MetricType, OverTime, Trend, Weekday};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rollup::{
    AnswerSeries, Decimal, Fill, Query, Row, RowValue, Rules, Running, SeriesInput, SeriesKey,
    State, answer, fold, range,
};

fn word<T>(known: &[(&str, T)], word: &str) -> T
where
    T: Copy,
{
    known
        .iter()
        .find(|(name, _)| *name == word)
        .unwrap_or_else(|| panic!("no such word: {word}"))
        .1
}

fn granularity(text: &str) -> Granularity {
    use Granularity::{All, Day, Hour, Month, Quarter, Year};
    word(
        &[
            ("hour", Hour),
            ("day", Day),
            ("month", Month),
            ("quarter", Quarter),
            ("year", Year),
            ("all", All),
        ],
        text,
    )
}

fn rules(line: &str) -> Rules {
    let words: Vec<&str> = line.split(' ').collect();
    let types = [
        ("events", MetricType::Events),
        ("levels", MetricType::Levels),
        ("periods", MetricType::Periods),
        ("running_total", MetricType::RunningTotal),
    ];
    let aggregations = [
        ("sum", Aggregation::Sum),
        ("average", Aggregation::Average),
        ("median", Aggregation::Median),
        ("p90", Aggregation::P90),
        ("count_distinct", Aggregation::CountDistinct),
        ("last", Aggregation::Last),
    ];
    let metric_type = word(&types, words[0]);
    Rules {
        metric_type,
        aggregation: word(&aggregations, words[1]),
        over_time: words.get(4).map(|text| {
            word(
                &[
                    ("over_time=max", OverTime::Max),
                    ("over_time=last", OverTime::Last),
                    ("over_time=average", OverTime::Average),
                ],
                text,
            )
        }),
        resolution: granularity(words[2]),
        zone: if words[3] == "UTC" {
            TimeZone::UTC
        } else {
            TimeZone::get(words[3]).unwrap()
        },
        week_start: Weekday::Monday,
        favourable_trend: Trend::Up,
        dated: matches!(metric_type, MetricType::Events | MetricType::Periods),
    }
}

fn row(line: &str, index: u32) -> Row {
    let words: Vec<&str> = line.split_whitespace().collect();
    Row {
        value: RowValue::Number(Decimal::parse(words[1]).unwrap()),
        at: (words[0] != "-").then(|| words[0].parse().unwrap()),
        dimensions: words[2..]
            .iter()
            .filter_map(|text| text.split_once('='))
            .collect(),
        unit: words[2..]
            .iter()
            .find_map(|text| Some(text.strip_prefix('@')?.into())),
        key: None,
        page: 0,
        index,
    }
}

fn lines_of(series: &AnswerSeries, zone: &TimeZone) -> Vec<String> {
    let marks: Vec<String> = series
        .dimensions
        .iter()
        .map(|(name, text)| format!("{name}={text} "))
        .chain(series.rest.map(|joined| format!("({joined} others) ")))
        .chain(series.unit.iter().map(|unit| format!("@{unit} ")))
        .collect();
    let mark = marks.concat();
    let point =
        |start: String, value: Option<Decimal>| format!("= {mark}{start} {}", value.unwrap());
    let days = series
        .points
        .iter()
        .map(|one| point(zone.to_datetime(one.start).date().to_string(), one.value));
    let total = series
        .total
        .map(|total| point("total".to_owned(), Some(total)));
    days.chain(total).collect()
}

/// Runs one example and returns the answer's lines.
fn run(example: &str) -> Vec<String> {
    let mut lines = example.lines().filter(|line| !line.starts_with('='));
    let rules = rules(lines.next().unwrap());
    let mut syncs: Vec<(Timestamp, Vec<Row>)> = Vec::new();
    let mut answered = Vec::new();
    for line in lines {
        if let Some(at) = line.strip_prefix("sync ") {
            syncs.push((at.parse().unwrap(), Vec::new()));
        } else if let Some(question) = line.strip_prefix("ask ") {
            let words: Vec<&str> = question.split(' ').collect();
            let mut query = Query::over(
                range::between(words[0], words[1], &rules.zone).unwrap(),
                granularity(words[2]),
            );
            for word in &words[3..] {
                match word.split_once('=') {
                    None if *word == "cumulative" => query.running = Some(Running::Cumulative),
                    None => query.group_by.push((*word).to_owned()),
                    Some(("moving", length)) => {
                        query.running = Some(Running::MovingAverage(length.parse().unwrap()));
                    }
                    Some(("top", most)) => query.top = Some(most.parse().unwrap()),
                    Some(("fill", "zero")) => query.fill = Fill::Zero,
                    Some((name, members)) => {
                        let members = members.split(',').map(str::to_owned).collect();
                        match name.strip_suffix('!') {
                            Some(name) => query.without.push((name.to_owned(), members)),
                            None => query.filters.push((name.to_owned(), members)),
                        }
                    }
                }
            }
            let mut series: BTreeMap<SeriesKey, BTreeMap<i64, State>> = BTreeMap::new();
            for (slot, rows) in &syncs {
                for (key, cells) in fold(rows.clone(), &rules, *slot).cells {
                    series.entry(key).or_default().extend(cells);
                }
            }
            let cells = |cells: BTreeMap<i64, State>| {
                cells
                    .into_iter()
                    .map(|(start, state)| (start, state, false))
                    .collect()
            };
            let input = SeriesInput {
                series: series
                    .into_iter()
                    .map(|(key, own)| (key, cells(own)))
                    .collect(),
                coverage: Vec::new(),
                syncs: syncs
                    .iter()
                    .map(|(slot, _)| slot.as_millisecond())
                    .collect(),
                outdated: Vec::new(),
            };
            let found = answer(&input, &rules, &query).unwrap();
            answered.extend(
                found
                    .series
                    .iter()
                    .flat_map(|series| lines_of(series, &rules.zone)),
            );
        } else {
            let rows = &mut syncs.last_mut().unwrap().1;
            rows.push(row(line, u32::try_from(rows.len()).unwrap()));
        }
    }
    answered
}

#[test]
fn every_worked_example_gives_the_answer_it_states() {
    let readme = include_str!("../README.md");
    let examples: Vec<&str> = readme
        .split("```example\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(examples.len() >= 15);
    for example in examples {
        let stated: Vec<&str> = example
            .lines()
            .filter(|line| line.starts_with('='))
            .collect();
        assert_eq!(run(example), stated, "{example}");
    }
}

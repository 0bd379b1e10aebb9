//! A record that a condition leaves out counts no more, though it is still in the answer.

use house_tests::{Shelf, Standalone};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_no_longer_matches_counts_no_more() {
    let shelf = Shelf::start().await;
    let house = Standalone::start(&[shelf.host()]).await;
    let metric = "kind: metric\nconnection: api\ntype: events\nresolution: month\nrequest: { path: /orders }\n";
    let selection = "select: { records: items, value: { count: true }, where: \"state = 'open'\", date: { path: at } }";
    let written = "expression: \"items[state = 'open'].{ 'date': at, 'value': 1 }[]\"";
    let definitions = format!(
        "kind: connection\nname: api\nbase_url: {}\n---\n{metric}name: selected\n{selection}\n---\n{metric}name: written\n{written}\n",
        shelf.url()
    );
    house.cli.apply(&definitions).await;
    let dates = [
        "2026-03-02T10:00:00Z",
        "2026-03-20T10:00:00Z",
        "2026-03-25T10:00:00Z",
        "2026-05-04T10:00:00Z",
        "2026-05-09T10:00:00Z",
    ];
    let put = |records: &[(usize, &str)]| {
        let items: Vec<Value> = records
            .iter()
            .map(|(date, state)| json!({ "at": dates[*date], "state": state }))
            .collect();
        shelf.put("/orders", &json!({ "items": items }));
    };
    let all = ["--range", "all_time", "--granularity", "all"];
    let steps: [(&[(usize, &str)], u64); 6] = [
        (
            &[
                (0, "open"),
                (1, "open"),
                (2, "shut"),
                (3, "open"),
                (4, "open"),
            ],
            4,
        ),
        // In the earliest month, and in a later one.
        (
            &[
                (0, "open"),
                (1, "shut"),
                (2, "shut"),
                (3, "open"),
                (4, "shut"),
            ],
            2,
        ),
        // None is left anywhere.
        (
            &[
                (0, "shut"),
                (1, "shut"),
                (2, "shut"),
                (3, "shut"),
                (4, "shut"),
            ],
            0,
        ),
        (
            &[
                (0, "open"),
                (1, "open"),
                (2, "open"),
                (3, "open"),
                (4, "open"),
            ],
            5,
        ),
        // The API has cut the earliest month: what it was stays.
        (&[(2, "shut"), (3, "shut"), (4, "open")], 4),
        (&[(2, "open"), (3, "open"), (4, "open")], 5),
    ];
    for (records, expected) in steps {
        put(records);
        for name in ["selected", "written"] {
            assert_eq!(house.cli.sync(name).await["state"], "final");
            let answer = house.cli.query(name, &all).await;
            let series = answer["series"].as_array().expect("series");
            let total = series
                .first()
                .map_or(0, |one| one["total"].as_u64().unwrap_or(0));
            assert_eq!(total, expected, "{name} of {records:?}: {answer}");
        }
    }
}

//! Measures reading one year of days × 5 series, on SQLite and on PostgreSQL.
//!
//! `cargo run --release -p store --features testing --example series`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints and may stop"
)]

use std::time::Instant;

use store::testing::TestPostgres;
use store::{
    Action, Cell, Change, FetchIdentity, Interval, Kind, NewRuns, Put, RunEnd, RunKind, RunState,
    Store,
};

const DAY: i64 = 86_400_000;
const WS: &str = "default";
const READS: u32 = 500;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("sqlite:{}", folder.path().join("store.db").display());
    measure("sqlite", &path).await;
    let server = TestPostgres::start().await.unwrap();
    measure("postgres", &server.database().await.unwrap()).await;
}

async fn measure(name: &str, url: &str) {
    let store = Store::open(url).await.unwrap();
    store.migrate().await.unwrap();
    let dataset = define(&store).await;
    let began = Instant::now();
    fill(&store, &dataset).await;
    println!("{name}: commit of 1,825 cells {:?}", began.elapsed());
    let began = Instant::now();
    for _ in 0..READS {
        let rows = store
            .series(WS, "one", 0, 365 * DAY)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            rows.series
                .iter()
                .map(|series| series.points.len())
                .sum::<usize>(),
            1_825
        );
    }
    println!("{name}: series {:?} each", began.elapsed() / READS);
    let began = Instant::now();
    for _ in 0..READS {
        store.metric_version(WS, "one").await.unwrap().unwrap();
    }
    println!("{name}: version {:?} each", began.elapsed() / READS);
    store.close().await;
}

async fn define(store: &Store) -> String {
    let put = |kind, name: &str, put| Change {
        kind,
        name: name.into(),
        action: Action::Put(put),
        if_match: None,
    };
    let fetch = FetchIdentity {
        identity: "{}".into(),
        connection: "api".into(),
        document: "{}".into(),
    };
    let changes = [
        put(
            Kind::Connection,
            "api",
            Put {
                document: "{}".into(),
                ..Put::default()
            },
        ),
        put(
            Kind::Metric,
            "one",
            Put {
                document: "{}".into(),
                fetch: Some(fetch),
                ..Put::default()
            },
        ),
    ];
    store
        .apply(WS, "bench", &changes)
        .await
        .unwrap()
        .remove(1)
        .dataset
        .unwrap()
}

async fn fill(store: &Store, dataset: &str) {
    let new = NewRuns {
        workspace: WS.into(),
        dataset: dataset.into(),
        slot: 1,
        kind: RunKind::Manual,
        windows: vec![],
        reason: None,
    };
    let run = store.open_runs(&new).await.unwrap().remove(0).run;
    let cells: Vec<Cell> = (0..365)
        .flat_map(|day| {
            (0..5).map(move |series| Cell {
                series: format!(r#"{{"dimensions":{{"state":"s{series}"}}}}"#),
                start: day * DAY,
                state: vec![1; 48],
                partial: false,
            })
        })
        .collect();
    let mut commit = store
        .begin_commit(WS, dataset, &run)
        .await
        .unwrap()
        .unwrap();
    let everything = [Interval {
        start: 0,
        end: 366 * DAY,
    }];
    commit.replace("one", &everything, &cells).await.unwrap();
    commit.bump_version("one").unwrap();
    commit
        .finish(RunState::Final, &RunEnd::default())
        .await
        .unwrap();
    commit.commit().await.unwrap();
}

//! Records that are followed by their keys: which rows they give, and which count no more.

use crate::support;

use definition::{Definition, Metric};
use expression::Task;
use support::{evaluator, page};

#[test]
fn a_followed_record_that_counts_no_more_is_told_by_its_key() {
    let metric = |select: serde_json::Value| -> Metric {
        let document = serde_json::json!({
            "kind": "metric", "name": "orders", "connection": "shop", "request": { "path": "/orders" },
            "mode": "upsert", "select": select,
        });
        match Definition::from_document(&document) {
            Ok(Definition::Metric(metric)) => metric,
            other => panic!("{other:?}"),
        }
    };
    let select = |more: serde_json::Value| {
        let mut select = serde_json::json!({
            "records": "data.orders", "value": "total", "date": "at", "key": "id",
            "dimensions": { "rate": "%.rate" },
        });
        for (key, value) in more.as_object().unwrap() {
            select[key] = value.clone();
        }
        metric(select)
    };
    let body = r#"{"data":{"rate":2,"orders":[
        {"id":1,"at":"2026-01-01T00:00:00Z","total":5,"state":"paid","team":"a"},
        {"id":2,"at":"2026-01-01T00:00:00Z","total":7,"state":"open","team":"a"},
        {"id":3,"at":"2026-01-02T00:00:00Z","total":9,"state":"paid","team":"b","removed_at":"2026-01-03"},
        {"id":4,"state":"void"},
        {"id":5,"at":"2026-01-02T00:00:00Z","total":"?","state":"paid","team":"b"},
        {"at":"2026-01-02T00:00:00Z","total":1,"state":"paid","team":"b"}]}}"#;
    for (more, rows, deleted, rejected) in [
        (
            serde_json::json!({}),
            vec!["1", "2", "3"],
            vec!["4", "5"],
            3,
        ),
        (
            serde_json::json!({ "where": "state = \"paid\"" }),
            vec!["1", "3"],
            vec!["2", "4", "5"],
            2,
        ),
        (
            serde_json::json!({ "deleted": "removed_at" }),
            vec!["1", "2"],
            vec!["3", "4", "5"],
            3,
        ),
        (
            serde_json::json!({ "where": "state = \"paid\"", "deleted": "removed_at" }),
            vec!["1"],
            vec!["2", "3", "4", "5"],
            2,
        ),
    ] {
        let metric = select(more.clone());
        let task = Task::of(&metric, None, 0);
        let (mut evaluator, problems) = evaluator(vec![task.clone()]);
        assert!(problems.is_empty(), "{problems:?} in {}", task.expression);
        let result = evaluator.eval_page(&page(body, 0)).remove(0);
        let keys = |found: Vec<Option<&str>>| -> Vec<String> {
            found.into_iter().flatten().map(str::to_owned).collect()
        };
        let own = keys(result.rows.iter().map(|row| row.key.as_deref()).collect());
        assert_eq!(
            own, rows,
            "{more}: {:?} {}",
            result.rejected, task.expression
        );
        let gone = keys(result.deleted.iter().map(|row| Some(&*row.key)).collect());
        assert_eq!(gone, deleted, "{more}: {}", task.expression);
        assert_eq!(
            result.rejected_count, rejected,
            "{more}: {:?}",
            result.rejected
        );
        assert_eq!(result.rejected_by.get("key.missing"), Some(&1), "{more}");
        for row in &result.rows {
            assert_eq!(row.dimensions.get("rate"), Some("2"), "`%` is the parent");
        }
    }
}

//! Made-up orders, and what their sums are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::command_line::CommandLine;

/// Orders with totals in whole cents, over two months of 2026.
#[derive(Clone)]
pub struct Orders(Vec<Order>);

#[derive(Clone)]
struct Order {
    id: usize,
    state: &'static str,
    cents: u64,
    day: usize,
}

impl Orders {
    /// Makes so many orders.
    pub fn made(count: usize) -> Self {
        Self((0..count).map(Order::numbered).collect())
    }

    /// Adds one more and returns it as the server keeps it.
    pub fn add(&mut self) -> Value {
        let order = Order::numbered(self.0.len());
        self.0.push(order);
        self.0.last().map_or(Value::Null, Order::record)
    }

    /// Returns all as a server keeps them.
    pub fn records(&self) -> Vec<Value> {
        self.0.iter().map(Order::record).collect()
    }

    /// Compares the metric `revenue` with them, day by day and state by state.
    pub async fn assert_equal(&self, cli: &CommandLine) {
        let range = [
            "--range",
            "all_time",
            "--granularity",
            "day",
            "--group-by",
            "state",
        ];
        let answer = cli.query("revenue", &range).await;
        let mut ours = BTreeMap::new();
        for series in answer["series"].as_array().into_iter().flatten() {
            let state = series["dimensions"]["state"].as_str().unwrap_or_default();
            for point in series["points"].as_array().into_iter().flatten() {
                let day = point["start"].as_str().unwrap_or_default()[..10].to_owned();
                assert_eq!(point["partial"], false, "{point}");
                let value = format!("{:.2}", point["value"].as_f64().unwrap_or(f64::NAN));
                ours.insert((day, state.to_owned()), value);
            }
        }
        let mut truth: BTreeMap<(String, String), u64> = BTreeMap::new();
        for order in &self.0 {
            *truth
                .entry((order.date(), order.state.to_owned()))
                .or_default() += order.cents;
        }
        let truth: BTreeMap<_, _> = truth
            .into_iter()
            .map(|(place, cents)| (place, format!("{}.{:02}", cents / 100, cents % 100)))
            .collect();
        assert_eq!(ours, truth);
    }
}

impl Order {
    fn numbered(id: usize) -> Self {
        Self {
            id: id + 1,
            state: ["paid", "open", "refunded"][id % 3],
            // A prime step, so that totals differ and a lost or doubled one shows.
            cents: (id as u64 * 7_919) % 100_000 + 1,
            day: id * 59 / 1_500,
        }
    }

    fn date(&self) -> String {
        format!("2026-{:02}-{:02}", 1 + self.day / 28, 1 + self.day % 28)
    }

    fn record(&self) -> Value {
        json!({
            "id": format!("order-{:05}", self.id), "state": self.state, "ordered_at": format!("{}T10:00:00Z", self.date()),
            "total": format!("{}.{:02}", self.cents / 100, self.cents % 100).parse::<f64>().unwrap_or_default(),
        })
    }
}

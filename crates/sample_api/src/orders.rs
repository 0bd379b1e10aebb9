//! Orders that come, change, move and go while somebody reads them: for APIs that return only what changed.
//!
//! `GET /api/orders` lists them by id: `{"orders": [{id, at, amount, state, updated_at, deleted_at}], "page", "total_pages", "total"}`.
//! `updated_from` (an instant) keeps those that changed since then, deleted ones included; `from` and `to` (days, both
//! inclusive) keep those of these days. Without `updated_from`, what is deleted is not listed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::query::Query;

/// An order.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Its number.
    pub id: u64,
    /// When it was made, as it says now.
    pub at: Timestamp,
    /// What it is worth, in whole units.
    pub amount: i64,
    /// What it is, such as `paid`.
    pub state: String,
}

#[derive(Clone, Debug)]
struct Kept {
    order: Order,
    updated_at: Timestamp,
    deleted_at: Option<Timestamp>,
}

/// The orders as they are now.
#[derive(Debug, Default)]
pub(crate) struct Orders(Mutex<BTreeMap<u64, Kept>>);

impl Orders {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an order, or changes it.
    pub(crate) fn put(&self, order: Order) {
        let kept = Kept {
            updated_at: Timestamp::now(),
            deleted_at: None,
            order,
        };
        self.lock().insert(kept.order.id, kept);
    }

    /// Deletes an order; it is told as deleted to those who ask for changes.
    pub(crate) fn delete(&self, id: u64) {
        if let Some(kept) = self.lock().get_mut(&id) {
            kept.updated_at = Timestamp::now();
            kept.deleted_at = Some(kept.updated_at);
        }
    }

    /// The orders that are there.
    pub(crate) fn present(&self) -> Vec<Order> {
        let orders = self.lock();
        let there = orders.values().filter(|kept| kept.deleted_at.is_none());
        there.map(|kept| kept.order.clone()).collect()
    }

    /// Lists orders as they are asked for.
    pub(crate) fn answer(&self, query: &Query) -> Answer {
        let since: Option<Timestamp> = query.get("updated_from").and_then(|at| at.parse().ok());
        let (from, to) = (query.get("from"), query.get("to"));
        let size = query.number("size").unwrap_or(100).clamp(1, 10_000);
        let page = query.number("page").unwrap_or(1).max(1);
        let orders = self.lock();
        let asked: Vec<&Kept> = orders
            .values()
            .filter(|kept| match since {
                Some(since) => kept.updated_at >= since,
                None => kept.deleted_at.is_none(),
            })
            .filter(|kept| {
                let day = kept.order.at.to_string();
                let day = day.get(..10).unwrap_or_default();
                from.is_none_or(|from| from <= day) && to.is_none_or(|to| day <= to)
            })
            .collect();
        let first = usize::try_from((page - 1).saturating_mul(size)).unwrap_or(usize::MAX);
        let listed = asked
            .iter()
            .skip(first)
            .take(usize::try_from(size).unwrap_or(1));
        let listed: Vec<Value> = listed.map(|kept| kept.written()).collect();
        let pages = (asked.len() as u64).div_ceil(size);
        let body =
            json!({ "orders": listed, "page": page, "total_pages": pages, "total": asked.len() });
        // Never kept for the next caller: it may be different by then.
        Answer {
            page: u32::try_from(page).unwrap_or(u32::MAX),
            ..Answer::json(body.to_string())
        }
    }
}

impl Kept {
    fn written(&self) -> Value {
        let order = &self.order;
        json!({
            "id": order.id, "at": order.at.to_string(), "amount": order.amount, "state": order.state,
            "updated_at": self.updated_at.to_string(),
            "deleted_at": self.deleted_at.map(|at| at.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(orders: &Orders, query: &str) -> Vec<u64> {
        let answer: Value =
            serde_json::from_slice(&orders.answer(&Query::parse(query)).body).unwrap();
        let items = answer["orders"].as_array().unwrap().iter();
        items.map(|order| order["id"].as_u64().unwrap()).collect()
    }

    #[test]
    fn changes_are_told_with_what_is_deleted_and_lists_without() {
        let orders = Orders::default();
        let before = Timestamp::now();
        for (id, day) in [(1, "2026-01-01"), (2, "2026-01-02"), (3, "2026-01-02")] {
            let at = format!("{day}T08:00:00Z").parse().unwrap();
            orders.put(Order {
                id,
                at,
                amount: 5,
                state: "paid".into(),
            });
        }
        orders.delete(2);
        assert_eq!(listed(&orders, ""), [1, 3]);
        assert_eq!(listed(&orders, "from=2026-01-02&to=2026-01-02"), [3]);
        assert_eq!(
            listed(&orders, &format!("updated_from={before}")),
            [1, 2, 3]
        );
        assert_eq!(listed(&orders, "size=1&page=2"), [3]);
        assert_eq!(orders.present().len(), 2);
    }
}

//! The short way for the plainest expressions: fields of records, read while the page is parsed.
//!
//! `subscribers.{ "date": created_at, "value": 1, "dimensions": { "state": state } }[]` needs no
//! engine where `subscribers` is a list of objects and the fields are texts, numbers, truth values
//! or null. Wherever a page is anything else, the attempt is given up and the engine evaluates it:
//! this file never decides what JSONata means, and a property test compares the two.

mod read;

use jlens_core::ast::{Node, NodeKind};
use jlens_core::output::Builder;
use serde::de::DeserializeSeed;

use self::read::{Records, Walk};
use crate::tree::{Tree, Value};

/// An expression that only picks fields, compiled.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The names that lead to the records; none: the page itself.
    records: Vec<String>,
    fields: Level,
    slots: usize,
    row: Vec<(String, Part)>,
}

#[derive(Debug)]
enum Part {
    Slot(usize),
    Number(f64),
    Text(String),
    Object(Vec<(String, Part)>),
}

/// The fields of a record, or of an object in it, that are read.
#[derive(Debug, Default)]
struct Level(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    name: String,
    slot: Option<usize>,
    inner: Level,
}

/// The engine must evaluate this page.
pub(crate) struct NotPlain;

impl Plan {
    /// Compiles the tree of an expression; nothing when it does more than pick fields.
    pub(crate) fn of(root: &Node) -> Option<Self> {
        let NodeKind::Path { steps, .. } = &root.kind else {
            return None;
        };
        let (object, before) = steps.split_last()?;
        let NodeKind::Object { pairs } = &object.kind else {
            return None;
        };
        if !is_bare(object) || before.is_empty() || !is_unnested(root) {
            return None;
        }
        let mut records = Vec::new();
        for (place, step) in before.iter().enumerate() {
            match &step.kind {
                NodeKind::Variable { name } if name.is_empty() && place == 0 => {}
                NodeKind::Name { name } => records.push(name.clone()),
                _ => return None,
            }
            if !is_bare(step) || step.attrs.keep_array {
                return None;
            }
        }
        let mut plan = Self {
            records,
            fields: Level::default(),
            slots: 0,
            row: Vec::new(),
        };
        plan.row = plan.parts(pairs, 1)?;
        Some(plan)
    }

    fn parts(&mut self, pairs: &[(Node, Node)], depth: usize) -> Option<Vec<(String, Part)>> {
        let mut parts: Vec<(String, Part)> = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let NodeKind::String { value: name } = &key.kind else {
                return None;
            };
            let is_repeated = parts.iter().any(|(known, _)| known == name);
            if is_repeated || !is_bare(key) || !is_bare(value) || !is_unnested(value) {
                return None;
            }
            let part = match &value.kind {
                NodeKind::Number { value } => Part::Number(*value),
                NodeKind::String { value } => Part::Text(value.clone()),
                NodeKind::Object { pairs } if depth < 2 => {
                    Part::Object(self.parts(pairs, depth + 1)?)
                }
                NodeKind::Path {
                    steps,
                    keep_singleton_array: false,
                } => {
                    let mut names = Vec::with_capacity(steps.len());
                    for step in steps {
                        match &step.kind {
                            NodeKind::Name { name } if is_bare(step) && !step.attrs.keep_array => {
                                names.push(name.as_str());
                            }
                            _ => return None,
                        }
                    }
                    Part::Slot(self.fields.slot(&names, &mut self.slots)?)
                }
                _ => return None,
            };
            parts.push((name.clone(), part));
        }
        Some(parts)
    }

    /// Writes the rows of a page into `tree`: a list of them, or nothing when there are no records.
    pub(crate) fn run(
        &self,
        page: &str,
        tree: &mut Tree,
        most: usize,
    ) -> Result<Option<Value>, NotPlain> {
        tree.clear();
        let mut rows = tree.array(0);
        let mut slots = vec![None; self.slots];
        let mut walk = Walk {
            plan: self,
            tree,
            rows: &mut rows,
            slots: &mut slots,
            left: most,
        };
        let mut json = serde_json::Deserializer::from_str(page);
        let found = Records(&mut walk, &self.records)
            .deserialize(&mut json)
            .map_err(|_| NotPlain)?;
        json.end().map_err(|_| NotPlain)?;
        let list = tree.end_array(rows);
        Ok(found.then_some(list))
    }
}

impl Level {
    fn slot(&mut self, names: &[&str], slots: &mut usize) -> Option<usize> {
        /// A record is looked through entry by entry.
        const MOST: usize = 24;
        let (name, rest) = names.split_first()?;
        let place = match self.0.iter().position(|entry| entry.name == **name) {
            Some(place) => place,
            None if self.0.len() < MOST => {
                self.0.push(Entry {
                    name: (*name).to_owned(),
                    slot: None,
                    inner: Self::default(),
                });
                self.0.len() - 1
            }
            None => return None,
        };
        let entry = &mut self.0[place];
        if !rest.is_empty() {
            return entry.inner.slot(rest, slots);
        }
        Some(*entry.slot.get_or_insert_with(|| {
            *slots += 1;
            *slots - 1
        }))
    }

    fn forget(&self, slots: &mut [Option<Value>]) {
        for entry in &self.0 {
            if let Some(slot) = entry.slot {
                slots[slot] = None;
            }
            entry.inner.forget(slots);
        }
    }
}

/// Whether a node has nothing attached that changes what it gives, but for `[]`.
fn is_bare(node: &Node) -> bool {
    let attrs = &node.attrs;
    !attrs.tuple
        && !attrs.cons_array
        && attrs.focus.is_none()
        && attrs.index.is_none()
        && attrs.ancestor.is_none()
        && attrs.ancestor_label.is_none()
        && attrs.seeking_parent.is_empty()
}

/// Whether a node has no predicates, filters or groups.
fn is_unnested(node: &Node) -> bool {
    let own = |node: &Node| {
        node.attrs.stages.is_empty()
            && node.attrs.predicate.is_empty()
            && node.attrs.group.is_none()
    };
    match &node.kind {
        NodeKind::Path { steps, .. } => own(node) && steps.iter().all(own),
        _ => own(node),
    }
}

#[cfg(test)]
mod tests {
    use jlens_core::{Bindings, Document, Expression, Options};
    use proptest::prelude::*;

    use super::*;

    fn by_engine(expression: &Expression, page: &str) -> Vec<String> {
        let document = Document::parse(page).unwrap();
        let mut tree = Tree::default();
        let value = expression
            .evaluate_document_to(&document, &Bindings::new(), &Options::new(), |out| {
                out.write(&mut tree)
            })
            .unwrap();
        rows(&tree, value)
    }

    fn rows(tree: &Tree, value: Option<Value>) -> Vec<String> {
        let show = |value: &Value| {
            let mut text = String::new();
            tree.write_json(*value, &mut text, &str::to_owned);
            text
        };
        match value {
            None => Vec::new(),
            Some(Value::List(piece)) => tree.items(piece).iter().map(show).collect(),
            Some(single) => vec![show(&single)],
        }
    }

    fn plan(source: &str) -> Option<Plan> {
        Plan::of(&jlens_core::parse(source).unwrap().root)
    }

    #[test]
    fn only_expressions_that_pick_fields_are_plain() {
        for source in [
            "a.{ \"value\": 1 }[]",
            "a.b.{ \"value\": c.d, \"date\": e, \"dimensions\": { \"x\": y } }",
            "$.{ \"value\": a, \"unit\": \"EUR\" }[]",
            "`odd name`.{ \"value\": `x y` }",
        ] {
            assert!(plan(source).is_some(), "{source}");
        }
        for source in [
            "a",
            "{ \"value\": a }",
            "a[b = 1].{ \"value\": 1 }",
            "a[0].{ \"value\": 1 }",
            "a[].{ \"value\": 1 }",
            "a.{ \"value\": b[0] }",
            "a.{ \"value\": b[] }",
            "a.{ \"value\": b + 1 }",
            "a.{ \"value\": $ }",
            "a.{ \"value\": %.b }",
            "a.{ \"value\": $$.b }",
            "a.{ \"value\": $sum(b) }",
            "a.{ b: 1 }",
            "a.{ \"value\": b }.c",
            "a.{ \"value\": b }[c]",
            "a{ \"value\": b }",
            "a@$x.{ \"value\": b }",
            "a#$i.{ \"value\": b }",
            "a.b^(c).{ \"value\": d }",
            "a.*.{ \"value\": d }",
            "$x.{ \"value\": d }",
            "$$.{ \"value\": d }",
            "a.{ \"value\": { \"b\": { \"c\": d } } }",
            "a.{ \"value\": 1, \"value\": 2 }",
        ] {
            assert!(plan(source).is_none(), "{source}");
        }
    }

    #[test]
    fn an_ordinary_page_takes_the_short_way() {
        let page = r#"{"n":2,"a":[{"b":"x","z":[1],"c":{"d":1.5}},{"b":null,"c":{}},{"c":7}]}"#;
        let source = "a.{ \"value\": c.d, \"dimensions\": { \"x\": b } }[]";
        let mut tree = Tree::default();
        let value = plan(source).unwrap().run(page, &mut tree, 3).ok().unwrap();
        assert_eq!(
            rows(&tree, value),
            [
                r#"{"value":1.5,"dimensions":{"x":"x"}}"#,
                r#"{"dimensions":{"x":null}}"#,
                r#"{"dimensions":{}}"#
            ]
        );
        assert!(
            plan(source).unwrap().run(page, &mut tree, 2).is_err(),
            "the engine names the limit"
        );
        assert!(
            plan(source)
                .unwrap()
                .run("{\"a\":[]}", &mut tree, 2)
                .is_ok()
        );
        assert!(
            plan(source)
                .unwrap()
                .run("{\"a\":[]}}", &mut tree, 2)
                .is_err()
        );
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            (-5_i64..5).prop_map(Into::into),
            (-5.0_f64..5.0).prop_map(Into::into),
            "[a-c\"\\\\é]{0,3}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_short_way_gives_what_the_engine_gives(page in json(), shape in 0_usize..6, wrapped in any::<bool>()) {
            let source = [
                "a.{ \"value\": b, \"date\": c }[]",
                "a.{ \"value\": 1, \"dimensions\": { \"x\": a, \"y\": b.c } }",
                "a.b.{ \"value\": c, \"key\": c, \"unit\": \"E\" }[]",
                "$.{ \"value\": a, \"date\": b.a }[]",
                "$.a.{ \"value\": b, \"dimensions\": {} }",
                "a.{ \"value\": b, \"date\": b.c, \"unit\": a.b.c }[]",
            ][shape];
            let page = if wrapped { serde_json::json!({ "a": [page.clone(), {"b": 1, "c": "x"}], "b": page }) } else { page };
            let text = page.to_string();
            let expression = Expression::compile(source).unwrap();
            let plan = Plan::of(&expression.ast().root).expect("these are plain");
            let mut tree = Tree::default();
            if let Ok(value) = plan.run(&text, &mut tree, 1000) {
                prop_assert_eq!(rows(&tree, value), by_engine(&expression, &text), "{} on {}", source, text);
            }
        }

        #[test]
        fn repeated_names_take_the_last_value(
            pairs in proptest::collection::vec(("[ab]", prop_oneof![Just("1"), Just("null"), Just("{\"c\":2}"), Just("{}")]), 0..5),
        ) {
            let fields: Vec<String> = pairs.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            let text = format!("{{\"r\":[{{{}}}]}}", fields.join(","));
            let expression = Expression::compile("r.{ \"value\": b.c, \"date\": a.c }[]").unwrap();
            let plan = Plan::of(&expression.ast().root).expect("this is plain");
            let mut tree = Tree::default();
            if let Ok(value) = plan.run(&text, &mut tree, 1000) {
                prop_assert_eq!(rows(&tree, value), by_engine(&expression, &text), "{}", text);
            }
        }
    }
}

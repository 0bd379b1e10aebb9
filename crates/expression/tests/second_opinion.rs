//! Our corpus of expressions, evaluated by two engines that share no code.
//!
//! Where both succeed they must agree, or the corpus must say why they do not. The second engine
//! panics and hangs on some input, so each of its evaluations has a thread and a deadline.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

use expression::{check, evaluate_json};
use jiff::Timestamp;
use serde_json::Value;

#[derive(Debug, serde::Deserialize)]
struct Corpus {
    documents: serde_json::Map<String, Value>,
    cases: Vec<Case>,
}

#[derive(Debug, serde::Deserialize)]
struct Case {
    document: String,
    expression: String,
    /// What ours must give; absent is undefined.
    #[serde(default)]
    gives: Option<Value>,
    /// Why the second engine gives something else; a case that agrees must not have it.
    #[serde(default)]
    differs: Option<String>,
    /// Why the items of the answer may come in any order from the second engine.
    #[serde(default)]
    any_order: Option<String>,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Gave(Option<Value>),
    Failed,
}

fn ours(expression: &str, document: &Value) -> Answer {
    let Ok(checked) = check(expression) else {
        return Answer::Failed;
    };
    let body = document.to_string();
    let at = Timestamp::from_millisecond(1_700_000_000_000).unwrap();
    evaluate_json(&checked, body.as_bytes(), at).map_or(Answer::Failed, Answer::Gave)
}

fn theirs(expression: &str, document: &Value) -> Answer {
    let (send, receive) = mpsc::channel();
    let (expression, body) = (expression.to_owned(), document.to_string());
    std::thread::Builder::new()
        .stack_size(16 * 1024 * 1024)
        .spawn(move || {
            let answer = catch_unwind(AssertUnwindSafe(|| {
                let arena = bumpalo::Bump::new();
                let engine = jsonata_rs::JsonAta::new(&expression, &arena).ok()?;
                let value = engine.evaluate(Some(&body), None).ok()?;
                if value.is_undefined() {
                    return Some(None);
                }
                Some(Some(serde_json::from_str(&value.serialize(false)).ok()?))
            }));
            // The receiver may have given up.
            let _ = send.send(answer.ok().flatten());
        })
        .unwrap();
    match receive.recv_timeout(Duration::from_secs(10)) {
        Ok(Some(value)) => Answer::Gave(value),
        _ => Answer::Failed,
    }
}

/// Numbers compare as numbers: one engine prints `1`, the other `1.0`.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        (left, right) => left == right,
    }
}

/// Puts the items of `answer` in the order of those of `model` that they are the same as.
fn in_order_of(model: &Answer, answer: Answer) -> Answer {
    let (Answer::Gave(Some(Value::Array(model))), Answer::Gave(Some(Value::Array(items)))) =
        (model, &answer)
    else {
        return answer;
    };
    let mut items = items.clone();
    items.sort_by_key(|item| model.iter().position(|own| same(own, item)));
    Answer::Gave(Some(Value::Array(items)))
}

fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Gave(value) => json(value.as_ref()),
        Answer::Failed => "failed".to_owned(),
    }
}

fn json(value: Option<&Value>) -> String {
    value.map_or("undefined".to_owned(), ToString::to_string)
}

fn agree(left: Option<&Value>, right: Option<&Value>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => same(left, right),
        (left, right) => left == right,
    }
}

#[test]
fn two_engines_agree_on_the_corpus_or_the_corpus_says_why_not() {
    // What the second engine says on its way down is not of interest.
    std::panic::set_hook(Box::new(|_| {}));
    let corpus: Corpus = serde_json::from_str(include_str!("corpus.json")).unwrap();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for case in &corpus.cases {
        let document = &corpus.documents[&case.document];
        let own = ours(&case.expression, document);
        let mut other = theirs(&case.expression, document);
        if case.any_order.is_some() {
            other = in_order_of(&own, other);
        }
        let text = &case.expression;
        match &own {
            Answer::Gave(value) if agree(value.as_ref(), case.gives.as_ref()) => {}
            _ => wrong.push(format!(
                "{text}\n  ours   {}\n  corpus {}",
                shown(&own),
                json(case.gives.as_ref())
            )),
        }
        match (&own, &other, &case.differs) {
            (Answer::Gave(left), Answer::Gave(right), None)
                if !agree(left.as_ref(), right.as_ref()) =>
            {
                wrong.push(format!(
                    "{text}\n  ours   {}\n  theirs {}",
                    json(left.as_ref()),
                    json(right.as_ref())
                ));
            }
            (Answer::Gave(left), Answer::Gave(right), Some(reason))
                if agree(left.as_ref(), right.as_ref()) =>
            {
                wrong.push(format!(
                    "{text}\n  agrees after all, so this is out of date: {reason}"
                ));
            }
            (Answer::Gave(_), Answer::Gave(_), _) => compared += 1,
            _ => {}
        }
    }
    let _ = std::panic::take_hook();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        corpus.cases.len(),
        wrong.join("\n")
    );
    assert!(corpus.cases.len() >= 60, "{}", corpus.cases.len());
    assert!(
        compared >= 45,
        "only {compared} cases were answered by both"
    );
}

//! One alert, judged: what was seen, what is news, and what people are told.

use definition::{Against, Alert, ChangeIn, Condition, Threshold};
use jiff::{SignedDuration, Timestamp};
use rollup::{
    AlertEvent, AlertState, Decimal, Seen, Sight, case_of, change, judge_alert, shown,
    shown_percent, shown_range,
};
use serde_json::{Map, Value, json};
use store::{DueWatch, Judged, Kind, instant};

use super::content::{self, number};
use super::reading::Reading;
use super::soon;

/// A range that is not known to its end yet is looked at again after this: a sync may end it without any change.
const UNTIL_KNOWN: SignedDuration = SignedDuration::from_mins(1);

/// Judges an alert that is due.
pub(crate) fn judge(
    due: &DueWatch,
    alert: &Alert,
    reading: &Reading,
    now: Timestamp,
    link: &impl Fn(&str) -> String,
) -> Judged {
    let watched = reading.watched();
    let (seen, sight, problem) = match watched.see_alert(alert, &reading.input, now) {
        Ok((seen, sight)) => (seen, sight, None),
        Err(error) => (Seen::default(), Sight::default(), Some(error.to_string())),
    };
    let state: AlertState = serde_json::from_str(&due.state).unwrap_or_default();
    let zone = &reading.rules.zone;
    let judged = judge_alert(alert, &state, &seen, instant(due.created_at), now, zone);
    let mut again: Vec<i64> = judged
        .again_at
        .map(Timestamp::as_millisecond)
        .into_iter()
        .collect();
    if !matches!(alert.when, Condition::Missing(_)) {
        let week_start = reading.rules.week_start;
        let next = rollup::range::next_change(alert.range.as_str(), now, zone, week_start);
        again.extend(next.ok().flatten().map(Timestamp::as_millisecond));
        if !sight.is_known {
            again.push(soon(now, UNTIL_KNOWN));
        }
    }
    let mut content = content::begin(
        &due.workspace,
        Kind::Alert,
        &due.name,
        &alert.about,
        &reading.metric,
        &link(reading.metric.name.as_str()),
        now,
    );
    describe(&mut content, alert, reading, &seen, &sight);
    let case = format!("alert.{}.{}", due.name, case_of(&judged.state));
    // A message that fires after the quiet belongs to the case that began in it, so both have one id.
    let news = judged.news.map(|event| (event.as_str(), now));
    let told = judged.tell.map(|(event, at)| (event.as_str(), at));
    let event = judged.news.or(judged.tell.map(|(event, _)| event));
    if let Some(event) = event {
        content.insert("text".to_owned(), json!(sentence(event, alert, &content)));
    }
    let deliveries = content::deliveries(&case, news, told, &alert.deliver, &content);
    let mut kept = serde_json::to_value(&judged.state).unwrap_or_default();
    if let (Value::Object(kept), Some(problem)) = (&mut kept, problem) {
        kept.insert("problem".to_owned(), json!(problem));
    }
    let phase = if judged.state.firing { "firing" } else { "ok" };
    Judged {
        workspace: due.workspace.clone(),
        kind: Kind::Alert,
        name: due.name.clone(),
        revision: due.revision,
        version: due.version,
        next_at: again.into_iter().min(),
        phase: if sight.is_known || judged.state.firing {
            phase.to_owned()
        } else {
            "unknown".to_owned()
        },
        since: judged.state.since,
        state: kept.to_string(),
        deliveries,
    }
}

/// Adds what was seen, for programs and in words.
fn describe(
    content: &mut Map<String, Value>,
    alert: &Alert,
    reading: &Reading,
    seen: &Seen,
    sight: &Sight,
) {
    let metric = &reading.metric;
    let unit = sight.unit.as_deref().or(metric.unit.as_deref());
    let words = |value: Decimal| shown(value, metric.format.as_ref(), unit);
    let mut put = |field: &str, value: Value| content.insert(field.to_owned(), value);
    put("urgency", json!(alert.urgency.as_str()));
    put("unit", json!(unit.unwrap_or_default()));
    put("value", number(seen.value));
    put("previous", number(seen.base));
    if let Some(value) = seen.value {
        put("value_text", json!(words(value)));
    }
    if let Some(base) = seen.base {
        put("previous_text", json!(words(base)));
    }
    if let Some(range) = sight.range {
        put("from", json!(range.start.to_string()));
        put("to", json!(range.end.to_string()));
        let days = shown_range(range, &reading.rules.zone);
        put("range_text", json!(format!("{} ({days})", alert.range)));
    }
    let condition = match alert.when {
        Condition::Value(threshold) => {
            put("threshold", json!(threshold.side.number()));
            format!("value {}", side(threshold, &words))
        }
        Condition::Change {
            threshold,
            counted,
            compare,
        } => {
            put("threshold", json!(threshold.side.number()));
            let changed = change(seen, counted);
            put("change", number(changed));
            let percent = |value: Decimal| shown_percent(value);
            if let Some(changed) = changed {
                let text = match counted {
                    ChangeIn::Percent => percent(changed),
                    ChangeIn::Value => words(changed),
                };
                put("change_text", json!(text));
            }
            let against = match compare {
                Against::PreviousPeriod => "the period before",
                Against::PreviousYear => "the year before",
            };
            let limit = match counted {
                ChangeIn::Percent => side(threshold, &percent),
                ChangeIn::Value => side(threshold, &words),
            };
            format!("change against {against} {limit}")
        }
        Condition::Missing(span) => format!("nothing for {span}"),
    };
    put("condition", json!(condition));
}

fn side(threshold: Threshold, words: &impl Fn(Decimal) -> String) -> String {
    let number = Decimal::from_f64(threshold.side.number()).unwrap_or(Decimal::ZERO);
    format!("{} {}", threshold.side.as_str(), words(number))
}

/// What happened in one sentence.
fn sentence(event: AlertEvent, alert: &Alert, content: &Map<String, Value>) -> String {
    let text = |field: &str| {
        content
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (title, metric) = (text("title"), text("metric_title"));
    let is = match (&alert.when, text("value_text")) {
        (Condition::Missing(span), _) if event == AlertEvent::Firing => {
            return format!("{title}: {metric} has nothing newer than {span}");
        }
        (Condition::Missing(_), _) => return format!("{title}: {metric} has data again"),
        (Condition::Value(_), value) => format!("{metric} is {value} ({})", alert.range),
        (Condition::Change { .. }, value) => format!(
            "{metric} is {value}, {} against {} ({})",
            text("change_text"),
            text("previous_text"),
            alert.range
        ),
    };
    match event {
        AlertEvent::Firing => format!("{title}: {is}; {}", text("condition")),
        AlertEvent::Resolved => format!("{title} is over: {is}"),
    }
}

#[cfg(test)]
mod tests {
    use rollup::{Rules, SeriesInput};

    use super::*;

    fn due(state: &str) -> DueWatch {
        DueWatch {
            workspace: "default".into(),
            kind: Kind::Alert,
            name: "low".into(),
            document: String::new(),
            created_at: 0,
            metric: Some("m".into()),
            version: 3,
            revision: 7,
            state: state.into(),
        }
    }

    fn definitions(alert: &str) -> (Alert, Reading) {
        let text = format!(
            "kind: metric\nname: m\ntitle: Sign-ups\ndescription: People who came.\nconnection: c\nrequest: {{}}\nselect: {{ date: at }}\n---\nkind: alert\nname: low\nmetric: m\n{alert}"
        );
        let (bundle, problems) = definition::read(&text, "test.yaml");
        assert!(problems.is_empty(), "{problems:?}");
        let mut found = bundle.definitions.into_iter().map(|one| one.definition);
        let (
            Some(definition::Definition::Metric(metric)),
            Some(definition::Definition::Alert(alert)),
        ) = (found.next(), found.next())
        else {
            panic!("a metric and an alert");
        };
        let reading = Reading {
            workspace: "default".into(),
            rules: Rules::of(&metric, None),
            accumulates: true,
            metric,
            version: 3,
            known: None,
            input: SeriesInput {
                coverage: vec![rollup::Coverage {
                    start: "2026-01-01T00:00:00Z".parse().unwrap(),
                    end: "2026-01-03T10:00:00Z".parse().unwrap(),
                    as_of: "2026-01-03T10:00:00Z".parse().unwrap(),
                    run: "r".into(),
                    revision: 1,
                    complete: true,
                }],
                ..SeriesInput::default()
            },
        };
        (alert, reading)
    }

    #[test]
    fn a_firing_alert_is_announced_and_told_with_one_id() {
        let (alert, reading) = definitions(
            "range: yesterday\nwhen: { value: { below: 5 } }\ndeliver: [{ webhook: { url: \"https://a.example.com/x\" } }, { email: { to: a@b.c } }]",
        );
        let now = "2026-01-03T10:00:00Z".parse().unwrap();
        let link = |metric: &str| format!("https://t.example.com/#/metrics/{metric}");
        let judged = judge(&due(""), &alert, &reading, now, &link);
        assert_eq!((judged.phase.as_str(), judged.revision), ("firing", 7));
        let keys: Vec<&str> = judged
            .deliveries
            .iter()
            .map(|one| one.key.as_str())
            .collect();
        let case = now.as_millisecond();
        assert_eq!(
            keys,
            [
                format!("alert.low.{case}.firing.nats"),
                format!("alert.low.{case}.firing.0"),
                format!("alert.low.{case}.firing.1"),
            ]
        );
        let content: Value = serde_json::from_str(&judged.deliveries[1].content).unwrap();
        assert_eq!(
            content["text"],
            "low: Sign-ups is 0 (yesterday); value below 5"
        );
        assert_eq!(content["metric_description"], "People who came.");
        assert_eq!(content["link"], "https://t.example.com/#/metrics/m");
        assert_eq!(
            (&content["value"], &content["threshold"]),
            (&json!(0.0), &json!(5.0))
        );
        // The same again is no news.
        let again = judge(&due(&judged.state), &alert, &reading, now, &link);
        assert_eq!(again.deliveries, vec![]);
        assert_eq!(again.since, judged.since);
        assert_eq!(
            again.next_at,
            Some(
                "2026-01-04T00:00:00Z"
                    .parse::<Timestamp>()
                    .unwrap()
                    .as_millisecond()
            ),
            "the day that is judged ends at midnight"
        );
    }

    #[test]
    fn a_day_that_is_not_known_to_its_end_is_looked_at_again_soon() {
        let (alert, reading) = definitions("range: yesterday\nwhen: { value: { below: 5 } }");
        let now: Timestamp = "2026-01-04T00:00:10Z".parse().unwrap();
        let judged = judge(&due(""), &alert, &reading, now, &|_: &str| String::new());
        assert_eq!(judged.phase, "unknown");
        assert_eq!(judged.next_at, Some(now.as_millisecond() + 60_000));
        assert!(judged.deliveries.is_empty());
    }
}

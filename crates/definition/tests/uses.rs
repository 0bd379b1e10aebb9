//! Goals, alerts, boards and scorecards: what they refer to must be there, and fit.

use definition::{Dataset, Goal, Known, Metric};

/// Knows one metric of each kind and a goal.
struct Applied;

fn metric(name: &str, rest: &str) -> Metric {
    let text = format!("kind: metric\nname: {name}\nconnection: api\nrequest: {{}}\n{rest}");
    let definition = definition::parse(&text, "known.yaml")
        .unwrap()
        .definitions
        .remove(0)
        .definition;
    match definition {
        definition::Definition::Metric(metric) => metric,
        _ => unreachable!(),
    }
}

impl Known for Applied {
    fn connection(&self, _: &str) -> Option<definition::Connection> {
        None
    }

    fn dataset(&self, _: &str) -> Option<Dataset> {
        None
    }

    fn connector(&self, _: &str) -> bool {
        false
    }

    fn metric(&self, name: &str) -> Option<Metric> {
        match name {
            "signups" => Some(metric("signups", "select: { date: at }")),
            "costs" => Some(metric(
                "costs",
                "select: { date: at }\nfavourable_trend: down",
            )),
            "open_tickets" => Some(metric("open_tickets", "select: { value: n }")),
            _ => None,
        }
    }

    fn goal(&self, name: &str) -> Option<Goal> {
        let text = "kind: goal\nname: many\nmetric: signups\nreach: 5\nper: day";
        let definition = definition::parse(text, "known.yaml")
            .unwrap()
            .definitions
            .remove(0)
            .definition;
        match definition {
            definition::Definition::Goal(goal) if name == "many" => Some(goal),
            _ => None,
        }
    }
}

fn problems(text: &str) -> Vec<String> {
    let (bundle, mut problems) = definition::read(text, "test.yaml");
    problems.extend(bundle.validate(&Applied));
    problems
        .iter()
        .map(|problem| {
            format!(
                "{}:{} {} {}",
                problem.line, problem.column, problem.path, problem.code
            )
        })
        .collect()
}

#[test]
fn a_metric_or_goal_that_is_not_there_is_refused_with_its_place() {
    let text = "kind: goal\nname: g\nmetric: signup\nreach: 5\n---\n\
                kind: alert\nname: a\nmetric: nowhere\nwhen: { missing: 1d }\n---\n\
                kind: board\nname: b\nblocks:\n  - { type: number, metric: signups }\n  - { type: line, metric: gone }\n  - { type: progress, goal: few }\n---\n\
                kind: scorecard\nname: s\nmetrics: [signups, gone, { metric: signups, goal: many }]\nschedule: { every: 1d }\n\
                deliver: [{ email: { to: a@b.c } }]\n";
    assert_eq!(
        problems(text),
        [
            "3:9 metric definition.metric_unknown",
            "8:9 metric definition.metric_unknown",
            "15:27 blocks[1].metric definition.metric_unknown",
            "16:29 blocks[2].goal definition.goal_unknown",
            "20:20 metrics[1].metric definition.metric_unknown",
        ]
    );
    let (bundle, _) = definition::read(text, "test.yaml");
    let told = bundle.validate(&Applied);
    assert!(told[0].message.contains("`signup`"), "{}", told[0]);
}

#[test]
fn what_a_bundle_brings_may_be_named_in_it() {
    let text = "kind: goal\nname: few\nmetric: new_one\nreach: 5\n---\n\
                kind: board\nname: b\nblocks: [{ type: progress, goal: few }]\n---\n\
                kind: connection\nname: api\nbase_url: https://api.example.com\n---\n\
                kind: metric\nname: new_one\nconnection: api\nrequest: { path: /x }\nselect: { value: n }\n";
    assert_eq!(problems(text), Vec::<String>::new());
}

#[test]
fn a_goal_over_what_grows_from_nothing_needs_a_range() {
    let goal = |rest: &str| problems(&format!("kind: goal\nname: g\n{rest}"));
    assert_eq!(goal("metric: signups\nreach: 5"), Vec::<String>::new());
    assert_eq!(
        goal("metric: open_tickets\nstay_below: 5"),
        Vec::<String>::new()
    );
    assert_eq!(
        goal("metric: signups\nstay_above: 5"),
        ["4:13 stay_above definition.goal"]
    );
    assert_eq!(
        goal("metric: costs\nreach: 5"),
        ["4:8 reach definition.goal"]
    );
    assert_eq!(
        goal("metric: costs\nreach: 5\nper: month"),
        Vec::<String>::new()
    );
    assert_eq!(
        goal("metric: signups\nreach: 5\nby: 2026-01-01\nper: day"),
        ["5:5 by definition.goal", "6:6 per definition.goal"]
    );
}

//! Goals, alerts, boards and scorecards: what they refer to, and what fits together in them.

use url::Url;

use super::{address, metric, secrets};
use crate::bundle::{Definition, Kind};
use crate::dataset::Dataset;
use crate::deliver::{Target, Webhook};
use crate::goal::{Aim, Goal};
use crate::metric::{Metric, Trend};
use crate::node::item;
use crate::problem::{Problem, quoted};
use crate::scorecard::Scorecard;
use crate::template::{self, BodyType};

/// A name of another definition, and where it is said.
pub(crate) struct Reference<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    pub(crate) path: String,
}

/// Returns the metrics and goals that a definition names.
pub(crate) fn references(definition: &Definition) -> Vec<Reference<'_>> {
    let one = |kind, name, path: String| Reference { kind, name, path };
    match definition {
        Definition::Goal(goal) => vec![one(Kind::Metric, &goal.metric, "metric".to_owned())],
        Definition::Alert(alert) => vec![one(Kind::Metric, &alert.metric, "metric".to_owned())],
        Definition::Board(board) => {
            let mut found = Vec::new();
            for (index, block) in board.blocks.iter().enumerate() {
                let place = item("blocks", index);
                if let Some(name) = &block.metric {
                    found.push(one(Kind::Metric, name, format!("{place}.metric")));
                }
                if let Some(name) = &block.goal {
                    found.push(one(Kind::Goal, name, format!("{place}.goal")));
                }
            }
            found
        }
        Definition::Scorecard(scorecard) => {
            let mut found = Vec::new();
            for (index, entry) in scorecard.metrics.iter().enumerate() {
                let place = item("metrics", index);
                found.push(one(Kind::Metric, &entry.metric, format!("{place}.metric")));
                if let Some(name) = &entry.goal {
                    found.push(one(Kind::Goal, name, format!("{place}.goal")));
                }
            }
            found
        }
        Definition::Connection(_) | Definition::Dataset(_) | Definition::Metric(_) => Vec::new(),
    }
}

/// Checks a goal without looking at its metric.
pub(super) fn check_goal(goal: &Goal, problems: &mut Vec<Problem>) {
    let mut problem =
        |path: &str, message: &str| problems.push(Problem::new("definition.goal", path, message));
    if goal.by.is_some() && goal.per.is_some() {
        problem("per", "`by` and `per` exclude one another");
    }
    if let (Some(from), Some(by)) = (goal.from, goal.by)
        && from > by
    {
        problem("by", "is before `from`");
    }
    if goal.start.is_some() && !matches!(goal.aim, Aim::Reach(_)) {
        problem("start", "belongs to `reach`");
    }
    check_targets(&goal.deliver, problems);
}

/// Checks what depends on the goal's metric.
pub(super) fn check_goal_of(
    goal: &Goal,
    metric: &Metric,
    dataset: Option<&Dataset>,
    problems: &mut Vec<Problem>,
) {
    if !metric.accumulates(dataset) {
        return;
    }
    let stays = !matches!(goal.aim, Aim::Reach(_)) || metric.favourable_trend == Trend::Down;
    if stays && goal.by.is_none() && goal.per.is_none() {
        let message = format!(
            "`{}` grows from nothing with its range, so this goal needs one",
            goal.metric
        );
        problems.push(
            Problem::new("definition.goal", goal.aim.as_str(), message)
                .hint("add `per: day`, `per: month` … or `by:`"),
        );
    }
    if goal.by.is_some() && goal.from.is_none() {
        let message = "without `from`, what counts begins on the first day that is known";
        problems.push(Problem::new("definition.goal", "by", message).warning());
    }
}

/// Checks a scorecard without looking at its metrics.
pub(super) fn check_scorecard(scorecard: &Scorecard, problems: &mut Vec<Problem>) {
    metric::check_schedule(&scorecard.schedule, problems);
    if scorecard.deliver.is_empty() {
        let message = "nobody gets it: it can only be read";
        problems.push(Problem::new("definition.deliver", "deliver", message).warning());
    }
    check_targets(&scorecard.deliver, problems);
}

/// Checks addresses, secrets and templates of targets.
pub(super) fn check_targets(targets: &[Target], problems: &mut Vec<Problem>) {
    for (index, target) in targets.iter().enumerate() {
        let Target::Webhook(webhook) = target else {
            continue;
        };
        let place = format!("{}.webhook", item("deliver", index));
        let url = format!("{place}.url");
        address::check_address(&webhook.url, &url, address::Query::Allowed, problems);
        if holds_secret(webhook) {
            let message = "the path of this address is a secret";
            problems.push(Problem::new("definition.secret_in_url", url, message).hint(
                "write its origin only, and `path: { secret: NAME }` for the rest; then \
                     `tidemark secret set NAME`",
            ));
        }
        if let Some(text) = &webhook.template {
            let body = BodyType::of(webhook.content_type.as_deref());
            if let Err(error) = template::check_message(text, body) {
                problems.push(super::templated(&format!("{place}.template"), error));
            }
        }
        if let Some(kind) = &webhook.content_type
            && !is_content_type(kind)
        {
            let message = format!("{} is no content type", quoted(kind));
            let path = format!("{place}.content_type");
            problems.push(Problem::new("definition.deliver", path, message));
        }
    }
}

/// Tells whether an address is known to be one whose path is the only proof of who may write there.
fn holds_secret(webhook: &Webhook) -> bool {
    const HOSTS: &[(&str, &str)] = &[
        ("hooks.slack.com", "/services/"),
        ("discord.com", "/api/webhooks/"),
        ("webhook.office.com", "/webhookb2/"),
        ("logic.azure.com", "/workflows/"),
        ("api.powerplatform.com", "/powerautomate/"),
    ];
    let Ok(url) = Url::parse(&webhook.url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let known = HOSTS.iter().any(|(end, path)| {
        let is_host = host == *end
            || host
                .strip_suffix(end)
                .is_some_and(|rest| rest.ends_with('.'));
        is_host && url.path().len() > path.len() && url.path().starts_with(path)
    });
    let signed = url
        .query_pairs()
        .any(|(name, value)| name == "sig" || secrets::is_secret_parameter(&name, &value));
    known || signed
}

fn is_content_type(text: &str) -> bool {
    let plain = text.split(';').next().unwrap_or_default();
    let token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    plain
        .split_once('/')
        .is_some_and(|(left, right)| token(left) && token(right))
        && text.bytes().all(|b| (32..127).contains(&b))
}

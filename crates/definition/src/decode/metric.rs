use super::{DESCRIPTION, Decoder, Fields, Key, OWNER, Place, TITLE, TextRule};
use crate::aggregation::{Aggregation, MetricType, OverTime};
use crate::dataset::Dataset;
use crate::formula::Formula;
use crate::granularity::Granularity;
use crate::metric::{Covers, Metric, MetricSource, Mode, Ratio, Scope, Trend, WEEKDAYS};
use crate::name::Name;
use crate::node::Content;
use crate::parent::Parent;
use crate::request::Request;
use crate::schedule::Schedule;
use crate::schema;
use crate::selection::{Format, FormatStyle};
use crate::validate::check_cron;
use crate::window::Window;

pub(crate) const METRIC: &[Key] = &[
    Key::optional("kind", "`metric`", || schema::constant("metric")),
    Key::required("name", "the name people and programs use", schema::name),
    Key::optional("title", "what people call it", schema::title),
    Key::optional("description", "what it is", schema::text),
    Key::optional("owner", "who answers for it", schema::line),
    Key::optional("tags", "what it is found by, at most 32", schema::tags),
    Key::optional(
        "connection",
        "the connection of its own request",
        schema::name,
    ),
    Key::optional(
        "dataset",
        "the dataset it reads, instead of a request of its own",
        schema::name,
    ),
    Key::optional(
        "formula",
        "what it is worth, said with other metrics (`paid / trials * 100`), instead of a request",
        schema::line,
    ),
    Key::optional(
        "weight",
        "with a formula: the metric that weighs its days in the mean that a longer range is",
        schema::name,
    ),
    Key::optional(
        "source",
        "push: its values are sent to it, and nothing is fetched",
        || schema::words(MetricSource::WORDS),
    ),
    Key::optional("request", "its own request", schema::request),
    Key::optional(
        "window",
        "the dates its own request asks for",
        schema::window,
    ),
    Key::optional(
        "select",
        "what is clicked in the answer; the expression is generated from it",
        schema::select,
    ),
    Key::optional(
        "expression",
        "JSONata that replaces what is generated from `select`",
        schema::expression,
    ),
    Key::optional(
        "scope",
        "what an expression sees: page (the default) or run",
        || schema::words(Scope::WORDS),
    ),
    Key::optional(
        "type",
        "events (the default with a date), levels (without), periods or running_total",
        || schema::words(MetricType::WORDS),
    ),
    Key::optional(
        "aggregation",
        "how the values of a bucket become one number (sum)",
        || schema::words(Aggregation::WORDS),
    ),
    Key::optional(
        "over_time",
        "levels and periods: how syncs (last) or periods (not at all) join in a longer range",
        || schema::words(OverTime::WORDS),
    ),
    Key::optional(
        "resolution",
        "the smallest interval that is kept (hour)",
        || schema::words(RESOLUTIONS),
    ),
    Key::optional(
        "unit",
        "what the number is counted in, such as USD",
        schema::line,
    ),
    Key::optional("format", "how the number is shown", schema::format),
    Key::optional(
        "favourable_trend",
        "which way is good: up (the default) or down",
        || schema::words(Trend::WORDS),
    ),
    Key::optional(
        "schedule",
        "when it is fetched; every hour when neither it nor its dataset says",
        schema::schedule,
    ),
    Key::optional(
        "timezone",
        "the IANA zone of its buckets (UTC)",
        schema::line,
    ),
    Key::optional(
        "week_start",
        "the first day of its weeks (monday)",
        schema::weekday,
    ),
    Key::optional(
        "covers",
        "without a window: whether older records not in a run stay (recent) or are gone (all)",
        || schema::words(Covers::WORDS),
    ),
    Key::optional(
        "mode",
        "how runs join: restate (the default: a run replaces the range it covers) or upsert (record by record, by `select.key`)",
        || schema::words(Mode::WORDS),
    ),
    Key::optional(
        "reject_limit",
        "the share of rejected rows beyond which its part of a run fails (\"50%\")",
        schema::ratio,
    ),
    Key::optional(
        "keep",
        "how long its points are kept, at least a day; absent: for ever",
        schema::span,
    ),
    Key::optional("paused", "whether it rests", schema::boolean),
];

pub(crate) const DATASET: &[Key] = &[
    Key::optional("kind", "`dataset`", || schema::constant("dataset")),
    Key::required("name", "the name metrics use", schema::name),
    Key::optional("title", "what people call it", schema::title),
    Key::optional("description", "what it is", schema::text),
    Key::required("connection", "the connection it asks", schema::name),
    Key::required("request", "what it asks", schema::request),
    Key::optional("window", "the dates it asks for", schema::window),
    Key::optional(
        "schedule",
        "when it asks, besides its metrics' own schedules",
        schema::schedule,
    ),
    Key::optional(
        "timezone",
        "the IANA zone of its templates and its cron (UTC)",
        schema::line,
    ),
    Key::optional(
        "records",
        "the records of metrics that select none",
        schema::records,
    ),
    Key::optional(
        "where",
        "the filter of metrics that have none",
        schema::expression,
    ),
    Key::optional("date", "the date of metrics that select none", schema::date),
    Key::optional(
        "key",
        "the key of metrics that select none",
        schema::expression,
    ),
    Key::optional(
        "parent",
        "the dataset for each of whose records this one asks: parent.* in templates, $parent in expressions",
        schema::parent,
    ),
    Key::optional("paused", "whether it rests", schema::boolean),
];

pub(crate) const PARENT: &[Key] = &[
    Key::required(
        "dataset",
        "the dataset whose records they are",
        schema::name,
    ),
    Key::optional(
        "where",
        "which of them count (JSONata on one record)",
        schema::expression,
    ),
    Key::optional(
        "max_parents",
        "after this many records a run is truncated, and marked so (1000)",
        || schema::integer(1, i64::from(Parent::MAX_MAX_PARENTS)),
    ),
    Key::optional(
        "skip_missing",
        "whether a record that the API does not know (404, 410) is passed over, and counted",
        schema::boolean,
    ),
];

pub(crate) const WINDOW: &[Key] = &[
    Key::required("last", "how far back to ask", schema::span),
    Key::optional(
        "step",
        "how much to ask for at a time; one step is one run",
        schema::span,
    ),
    Key::optional(
        "lookback",
        "after a success, how far before it to ask again; absent: `last` every time",
        schema::span,
    ),
];

pub(crate) const SCHEDULE: &[Key] = &[
    Key::optional(
        "every",
        "the time between syncs, from 60s to 31d",
        schema::span,
    ),
    Key::optional(
        "cron",
        "five fields, in the zone of the metric or dataset",
        schema::line,
    ),
];

pub(crate) const FORMAT: &[Key] = &[
    Key::optional(
        "style",
        "number (the default), currency, percent or duration",
        || schema::words(FormatStyle::WORDS),
    ),
    Key::optional("decimals", "how many decimals", || schema::integer(0, 12)),
];

/// A resolution is any granularity but `all`, which would keep one bucket for ever.
pub(crate) const RESOLUTIONS: &[&str] = &["hour", "day", "week", "month", "quarter", "year"];

const TAGS: usize = 32;

pub(crate) fn metric(decoder: &mut Decoder, place: &Place<'_>) -> Option<Metric> {
    let fields = decoder.object(place, METRIC, "a metric")?;
    let f = &fields;
    Some(Metric {
        name: f
            .get("name")
            .and_then(|p| decoder.name(&p))
            .unwrap_or_else(Name::placeholder),
        title: f.get("title").and_then(|p| decoder.text(&p, TITLE)),
        description: f
            .get("description")
            .and_then(|p| decoder.text(&p, DESCRIPTION)),
        owner: f.get("owner").and_then(|p| decoder.text(&p, OWNER)),
        tags: f.get("tags").map(|p| tags(decoder, &p)).unwrap_or_default(),
        connection: f.get("connection").and_then(|p| decoder.name(&p)),
        dataset: f.get("dataset").and_then(|p| decoder.name(&p)),
        formula: f.get("formula").and_then(|p| formula(decoder, &p)),
        weight: f.get("weight").and_then(|p| decoder.name(&p)),
        source: word(
            decoder,
            f,
            "source",
            MetricSource::WORDS,
            "definition.source",
            MetricSource::parse,
        ),
        request: f.get("request").and_then(|p| super::request(decoder, &p)),
        window: f.get("window").and_then(|p| window(decoder, &p)),
        select: f
            .get("select")
            .and_then(|p| super::selection::select(decoder, &p))
            .unwrap_or_default(),
        expression: f.get("expression").and_then(|p| decoder.expression(&p)),
        scope: word(
            decoder,
            f,
            "scope",
            Scope::WORDS,
            "definition.scope",
            Scope::parse,
        )
        .unwrap_or(Scope::Page),
        metric_type: word(
            decoder,
            f,
            "type",
            MetricType::WORDS,
            "definition.type_unknown",
            MetricType::parse,
        ),
        aggregation: word(
            decoder,
            f,
            "aggregation",
            Aggregation::WORDS,
            "definition.aggregation",
            Aggregation::parse,
        )
        .unwrap_or(Aggregation::Sum),
        over_time: word(
            decoder,
            f,
            "over_time",
            OverTime::WORDS,
            "definition.over_time",
            OverTime::parse,
        ),
        resolution: word(
            decoder,
            f,
            "resolution",
            RESOLUTIONS,
            "definition.resolution",
            resolution,
        )
        .unwrap_or(Granularity::Hour),
        unit: f
            .get("unit")
            .and_then(|p| decoder.text(&p, TextRule::Line(60))),
        format: f.get("format").and_then(|p| format(decoder, &p)),
        favourable_trend: word(
            decoder,
            f,
            "favourable_trend",
            Trend::WORDS,
            "definition.trend",
            Trend::parse,
        )
        .unwrap_or(Trend::Up),
        schedule: f.get("schedule").and_then(|p| schedule(decoder, &p)),
        timezone: f.get("timezone").and_then(|p| decoder.zone(&p)),
        week_start: f
            .get("week_start")
            .and_then(|p| weekday(decoder, &p))
            .unwrap_or(jiff::civil::Weekday::Monday),
        covers: word(
            decoder,
            f,
            "covers",
            Covers::WORDS,
            "definition.covers",
            Covers::parse,
        )
        .unwrap_or(Covers::Recent),
        mode: word(
            decoder,
            f,
            "mode",
            Mode::WORDS,
            "definition.mode",
            Mode::parse,
        )
        .unwrap_or(Mode::Restate),
        reject_limit: f
            .get("reject_limit")
            .and_then(|p| ratio(decoder, &p))
            .unwrap_or(Ratio::HALF),
        keep: f
            .get("keep")
            .and_then(|p| decoder.span(&p, "definition.keep")),
        paused: f
            .get("paused")
            .and_then(|p| decoder.boolean(&p))
            .unwrap_or_default(),
    })
}

pub(crate) fn dataset(decoder: &mut Decoder, place: &Place<'_>) -> Option<Dataset> {
    let fields = decoder.object(place, DATASET, "a dataset")?;
    let f = &fields;
    Some(Dataset {
        name: f
            .get("name")
            .and_then(|p| decoder.name(&p))
            .unwrap_or_else(Name::placeholder),
        title: f.get("title").and_then(|p| decoder.text(&p, TITLE)),
        description: f
            .get("description")
            .and_then(|p| decoder.text(&p, DESCRIPTION)),
        connection: f
            .get("connection")
            .and_then(|p| decoder.name(&p))
            .unwrap_or_else(Name::placeholder),
        request: f
            .get("request")
            .and_then(|p| super::request(decoder, &p))
            .unwrap_or_else(Request::default),
        window: f.get("window").and_then(|p| window(decoder, &p)),
        schedule: f.get("schedule").and_then(|p| schedule(decoder, &p)),
        timezone: f.get("timezone").and_then(|p| decoder.zone(&p)),
        records: f
            .get("records")
            .and_then(|p| super::selection::records(decoder, &p)),
        where_: f.get("where").and_then(|p| decoder.expression(&p)),
        date: f
            .get("date")
            .and_then(|p| super::selection::date(decoder, &p)),
        key: f.get("key").and_then(|p| decoder.expression(&p)),
        parent: f.get("parent").and_then(|p| parent(decoder, &p)),
        paused: f
            .get("paused")
            .and_then(|p| decoder.boolean(&p))
            .unwrap_or_default(),
    })
}

fn formula(decoder: &mut Decoder, place: &Place<'_>) -> Option<Formula> {
    let text = decoder.expression(place)?;
    match Formula::parse(&text) {
        Ok(formula) => Some(formula),
        Err(error) => {
            let problem = decoder.problem(place, "definition.formula", error.to_string());
            problem.hint = error.hint;
            None
        }
    }
}

pub(super) fn word<T>(
    decoder: &mut Decoder,
    fields: &Fields<'_>,
    key: &str,
    words: &[&str],
    code: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    fields
        .get(key)
        .and_then(|place| decoder.word(&place, words, code, parse))
}

fn resolution(word: &str) -> Option<Granularity> {
    Granularity::parse(word).filter(|granularity| *granularity != Granularity::All)
}

pub(super) fn tags(decoder: &mut Decoder, place: &Place<'_>) -> Vec<String> {
    if !matches!(place.node.content, Content::List(_)) {
        decoder.wrong_type(place, "an array of texts");
        return Vec::new();
    }
    let items = place.items();
    if items.len() > TAGS {
        decoder.problem(
            place,
            "definition.too_many_tags",
            format!("{} tags; at most {TAGS}", items.len()),
        );
    }
    items
        .iter()
        .filter_map(|item| decoder.scalar(item, TextRule::Shown(60)))
        .collect()
}

pub(crate) fn window(decoder: &mut Decoder, place: &Place<'_>) -> Option<Window> {
    let fields = decoder.object(place, WINDOW, "a window such as { last: 90d }")?;
    let mut span = |key| {
        fields
            .get(key)
            .and_then(|p| decoder.span(&p, "definition.window"))
    };
    let (last, step, lookback) = (span("last"), span("step"), span("lookback"));
    Some(Window {
        last: last?,
        step,
        lookback,
    })
}

pub(crate) fn parent(decoder: &mut Decoder, place: &Place<'_>) -> Option<Parent> {
    let fields = decoder.object(place, PARENT, "a parent such as { dataset: broadcasts }")?;
    let dataset = fields.get("dataset").and_then(|p| decoder.name(&p));
    let where_ = fields.get("where").and_then(|p| decoder.expression(&p));
    let max_parents = fields.get("max_parents").and_then(|p| {
        let code = "definition.parent";
        decoder.small(&p, 1, Parent::MAX_MAX_PARENTS, code)
    });
    let skip_missing = fields.get("skip_missing").and_then(|p| decoder.boolean(&p));
    Some(Parent {
        dataset: dataset?,
        where_,
        max_parents: max_parents.unwrap_or(Parent::DEFAULT_MAX_PARENTS),
        skip_missing: skip_missing.unwrap_or_default(),
    })
}

pub(super) fn schedule(decoder: &mut Decoder, place: &Place<'_>) -> Option<Schedule> {
    let fields = decoder.object(place, SCHEDULE, "{ every: 1h } or { cron: \"0 3 * * *\" }")?;
    match (fields.get("every"), fields.get("cron")) {
        (Some(every), None) => interval(decoder, &every),
        (None, Some(cron)) => decoder.text(&cron, TextRule::Line(200)).map(Schedule::Cron),
        (Some(every), Some(cron)) => {
            decoder.problem(
                &cron,
                "definition.schedule",
                "`every` and `cron` exclude one another",
            );
            // Whichever of them goes, the other should not be the next surprise.
            interval(decoder, &every);
            let pattern = decoder.text(&cron, TextRule::Line(200));
            if let Some(wrong) = pattern.and_then(|pattern| check_cron(&pattern)) {
                decoder.problem(&cron, wrong.code, wrong.message).hint = wrong.hint;
            }
            None
        }
        (None, None) => {
            decoder.problem(place, "definition.schedule", "needs `every` or `cron`");
            None
        }
    }
}

fn interval(decoder: &mut Decoder, every: &Place<'_>) -> Option<Schedule> {
    let span = decoder.span(every, "definition.interval")?;
    if !Schedule::is_interval(span) {
        let message = format!("{span} is not from 60s to 31d, in s, m, h, d or w");
        decoder.problem(every, "definition.interval", message).hint =
            Some("for calendar months write a cron such as \"0 3 1 * *\"".to_owned());
    }
    Some(Schedule::Every(span))
}

fn format(decoder: &mut Decoder, place: &Place<'_>) -> Option<Format> {
    let fields = decoder.object(
        place,
        FORMAT,
        "a format such as { style: currency, decimals: 2 }",
    )?;
    Some(Format {
        style: word(
            decoder,
            &fields,
            "style",
            FormatStyle::WORDS,
            "definition.format",
            FormatStyle::parse,
        )
        .unwrap_or(FormatStyle::Number),
        decimals: fields
            .get("decimals")
            .and_then(|p| decoder.small(&p, 0, 12, "definition.format")),
    })
}

pub(super) fn weekday(decoder: &mut Decoder, place: &Place<'_>) -> Option<jiff::civil::Weekday> {
    let words: Vec<&str> = WEEKDAYS.iter().map(|(word, _)| *word).collect();
    decoder.word(place, &words, "definition.week_start", |text| {
        WEEKDAYS
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, day)| *day)
    })
}

fn ratio(decoder: &mut Decoder, place: &Place<'_>) -> Option<Ratio> {
    let found = match &place.node.content {
        Content::Number(number, _) => number.as_f64().and_then(Ratio::new),
        Content::Text(text) => Ratio::parse(text),
        _ => None,
    };
    if found.is_none() {
        decoder.problem(
            place,
            "definition.reject_limit",
            "expected a share such as \"50%\" or 0.5, from 0 to 1",
        );
    }
    found
}

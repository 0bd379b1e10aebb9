use super::about::{about, items, name, names, range, where_};
use super::deliver::targets;
use super::metric::word;
use super::{Decoder, Key, Place, TITLE};
use crate::alert::Against;
use crate::board::{Block, BlockKind, Board};
use crate::granularity::Granularity;
use crate::schedule::Schedule;
use crate::schema;
use crate::scorecard::{Entry, Scorecard};

pub(crate) const BOARD: &[Key] = &[
    Key::optional("kind", "`board`", || schema::constant("board")),
    Key::required("name", "the name people and programs use", schema::name),
    Key::optional("title", "what people call it", schema::title),
    Key::optional("description", "what it is", schema::text),
    Key::optional("owner", "who answers for it", schema::line),
    Key::optional("tags", "what it is found by, at most 32", schema::tags),
    Key::optional(
        "range",
        "the range of blocks that have none of their own (last_30_days)",
        schema::line,
    ),
    Key::optional(
        "timezone",
        "the IANA zone of its ranges (each metric's own)",
        schema::line,
    ),
    Key::required("blocks", "what it shows, in order", schema::blocks),
];

pub(crate) const BLOCK: &[Key] = &[
    Key::required(
        "type",
        "how it is shown: number, line, bar, table or progress",
        || schema::words(BlockKind::WORDS),
    ),
    Key::optional("title", "what stands above it", schema::title),
    Key::optional(
        "metric",
        "the metric; every type but progress has one",
        schema::name,
    ),
    Key::optional("goal", "the goal of a progress block", schema::name),
    Key::optional("range", "its own range, by name", schema::line),
    Key::optional("granularity", "its step, for line, bar and table", || {
        schema::words(Granularity::WORDS)
    }),
    Key::optional("group_by", "dimensions to split by, at most 5", || {
        schema::names(Block::MAX_GROUPS)
    }),
    Key::optional(
        "where",
        "the members of dimensions that count",
        schema::members,
    ),
    Key::optional("compare", "previous_period or previous_year", || {
        schema::words(Against::WORDS)
    }),
    Key::optional("width", "columns of the grid of 12", || {
        schema::integer(1, i64::from(Board::COLUMNS))
    }),
    Key::optional("height", "rows of the grid", || {
        schema::integer(1, i64::from(Board::COLUMNS))
    }),
];

pub(crate) const SCORECARD: &[Key] = &[
    Key::optional("kind", "`scorecard`", || schema::constant("scorecard")),
    Key::required("name", "the name people and programs use", schema::name),
    Key::optional("title", "what people call it", schema::title),
    Key::optional("description", "what it is", schema::text),
    Key::optional("owner", "who answers for it", schema::line),
    Key::optional("tags", "what it is found by, at most 32", schema::tags),
    Key::required(
        "metrics",
        "what it tells: names of metrics, or { metric, title, range, where, goal }",
        schema::entries,
    ),
    Key::optional(
        "range",
        "the range of entries that have none of their own (yesterday)",
        schema::line,
    ),
    Key::optional(
        "compare",
        "what each value is compared with: previous_period (the default) or previous_year",
        || schema::words(Against::WORDS),
    ),
    Key::required("schedule", "when it is sent", schema::schedule),
    Key::optional(
        "timezone",
        "the IANA zone of its schedule and ranges (UTC)",
        schema::line,
    ),
    Key::optional("deliver", "who gets it", schema::targets),
    Key::optional("paused", "whether it rests", schema::boolean),
];

pub(crate) const ENTRY: &[Key] = &[
    Key::required("metric", "the metric", schema::name),
    Key::optional("title", "what it is called there", schema::title),
    Key::optional("range", "its own range, by name", schema::line),
    Key::optional(
        "where",
        "the members of dimensions that count",
        schema::members,
    ),
    Key::optional("goal", "a goal to tell the progress of", schema::name),
];

const CODE: &str = "definition.board";

pub(crate) fn board(decoder: &mut Decoder, place: &Place<'_>) -> Option<Board> {
    let fields = decoder.object(place, BOARD, "a board")?;
    let f = &fields;
    Some(Board {
        name: name(decoder, f, "name"),
        about: about(decoder, f),
        range: range(decoder, f, "range").unwrap_or_else(Board::default_range),
        timezone: f.get("timezone").and_then(|p| decoder.zone(&p)),
        blocks: items(decoder, f, "blocks", Board::MAX_BLOCKS, block),
    })
}

fn block(decoder: &mut Decoder, place: &Place<'_>) -> Option<Block> {
    let fields = decoder.object(
        place,
        BLOCK,
        "a block such as { type: number, metric: mrr }",
    )?;
    let f = &fields;
    let kind = word(decoder, f, "type", BlockKind::WORDS, CODE, BlockKind::parse)?;
    let of = |decoder: &mut Decoder, key: &str, wanted: bool| match (f.get(key), wanted) {
        (Some(p), true) => decoder.name(&p),
        (Some(p), false) => {
            let message = format!("a {kind} block has no `{key}`");
            decoder.problem(&p, CODE, message);
            None
        }
        (None, true) => {
            decoder.missing(place, key, "what the block shows");
            None
        }
        (None, false) => None,
    };
    let is_progress = kind == BlockKind::Progress;
    let size = |decoder: &mut Decoder, key: &str| {
        f.get(key)
            .and_then(|p| decoder.small(&p, 1, Board::COLUMNS, CODE))
    };
    for key in ["range", "granularity", "group_by", "where", "compare"] {
        let fits = match key {
            "granularity" => !matches!(kind, BlockKind::Number | BlockKind::Progress),
            "group_by" => !matches!(kind, BlockKind::Number | BlockKind::Progress),
            _ => !is_progress,
        };
        if let (false, Some(p)) = (fits, f.get(key)) {
            let message = format!("a {kind} block has no `{key}`");
            decoder.problem(&p, CODE, message);
        }
    }
    Some(Block {
        kind,
        title: f.get("title").and_then(|p| decoder.text(&p, TITLE)),
        metric: of(decoder, "metric", !is_progress),
        goal: of(decoder, "goal", is_progress),
        range: range(decoder, f, "range"),
        granularity: word(
            decoder,
            f,
            "granularity",
            Granularity::WORDS,
            "definition.granularity",
            Granularity::parse,
        ),
        group_by: names(decoder, f, "group_by", Block::MAX_GROUPS),
        where_: where_(decoder, f),
        compare: word(decoder, f, "compare", Against::WORDS, CODE, Against::parse),
        width: size(decoder, "width"),
        height: size(decoder, "height"),
    })
}

pub(crate) fn scorecard(decoder: &mut Decoder, place: &Place<'_>) -> Option<Scorecard> {
    let fields = decoder.object(place, SCORECARD, "a scorecard")?;
    let f = &fields;
    Some(Scorecard {
        name: name(decoder, f, "name"),
        about: about(decoder, f),
        metrics: items(decoder, f, "metrics", Scorecard::MAX_METRICS, entry),
        range: range(decoder, f, "range").unwrap_or_else(Scorecard::default_range),
        compare: word(
            decoder,
            f,
            "compare",
            Against::WORDS,
            "definition.scorecard",
            Against::parse,
        )
        .unwrap_or(Against::PreviousPeriod),
        schedule: f
            .get("schedule")
            .and_then(|p| super::metric::schedule(decoder, &p))
            .unwrap_or_else(Schedule::default),
        timezone: f.get("timezone").and_then(|p| decoder.zone(&p)),
        deliver: targets(decoder, f),
        paused: f
            .get("paused")
            .and_then(|p| decoder.boolean(&p))
            .unwrap_or_default(),
    })
}

fn entry(decoder: &mut Decoder, place: &Place<'_>) -> Option<Entry> {
    if let crate::node::Content::Text(_) = place.node.content {
        return Some(Entry {
            metric: decoder.name(place)?,
            title: None,
            range: None,
            where_: crate::about::Where::new(),
            goal: None,
        });
    }
    let fields = decoder.object(place, ENTRY, "the name of a metric, or { metric: mrr }")?;
    let f = &fields;
    Some(Entry {
        metric: name(decoder, f, "metric"),
        title: f.get("title").and_then(|p| decoder.text(&p, TITLE)),
        range: range(decoder, f, "range"),
        where_: where_(decoder, f),
        goal: f.get("goal").and_then(|p| decoder.name(&p)),
    })
}

//! The numbers of boards and scorecards, all in one answer.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use definition::{Against, Block, BlockKind, Board, Definition, RangeName, Scorecard, Where};
use futures::StreamExt as _;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::value::RawValue;
use store::Kind;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::definitions::{name_of, stored};
use crate::goals;
use crate::parameters::{Parameters, escaped};
use crate::problem::{Problem, ProblemDocument, shown};
use crate::router::Gateway;
use crate::series::Shape;

/// Blocks answered at the same time: a board is one person's page, not the whole machine's work.
const AT_ONCE: usize = 8;

/// What a board's numbers are asked with.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes the parameters for the OpenAPI document"
)]
pub(crate) struct BoardParameters {
    /// A range by name for every block that has none of its own; the board's when absent.
    range: Option<String>,
}

/// A board with its numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BoardAnswer {
    /// Its name.
    board: String,
    /// What people call it.
    title: Option<String>,
    /// The range of blocks that have none of their own.
    range: String,
    /// Columns of its grid.
    columns: u32,
    /// Its blocks, in order.
    blocks: Vec<BlockAnswer>,
}

/// A block with its numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BlockAnswer {
    /// `number`, `line`, `bar`, `table` or `progress`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What stands above it.
    title: Option<String>,
    /// Columns of the grid.
    width: u32,
    /// Rows of the grid.
    height: u32,
    /// The metric.
    metric: Option<String>,
    /// The goal.
    goal: Option<String>,
    /// What `/metrics/{name}/value`, `/metrics/{name}/series` or `/goals/{name}/progress` answers; null with a problem.
    #[schema(value_type = Option<Object>)]
    data: Option<Box<RawValue>>,
    /// Why there are no numbers; the other blocks have theirs.
    problem: Option<String>,
}

/// A scorecard as it stands now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScorecardAnswer {
    /// Its name.
    scorecard: String,
    /// What people call it.
    title: Option<String>,
    /// Its metrics, in order.
    rows: Vec<BlockAnswer>,
}

/// Answers all blocks of a board in one request.
#[utoipa::path(get, path = "/api/v1/boards/{name}/data", operation_id = "get_board_data", tag = "boards",
    params(("name" = String, Path, description = "The board's name"), BoardParameters),
    responses((status = 200, body = BoardAnswer), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn data(
    State(gateway): State<Gateway>,
    caller: Caller,
    mut parameters: Parameters,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let range = parameters.text("range").and_then(|text| {
        let range = RangeName::parse(&text);
        if range.is_none() {
            let message = format!("is one of {}, not `{}`", RangeName::EXAMPLES, shown(&text));
            parameters.refuse("range", message);
        }
        range
    });
    parameters.finish()?;
    let name = name_of("board", &name)?;
    let stored = stored(&gateway, &caller.workspace, Kind::Board, &name).await?;
    let Definition::Board(board) = stored.definition()? else {
        return Err(Problem::internal());
    };
    let range = range.unwrap_or_else(|| board.range.clone());
    let asked: Vec<_> = board
        .blocks
        .iter()
        .map(|one| block(&gateway, &caller.workspace, &board, &range, one))
        .collect();
    let blocks = futures::stream::iter(asked)
        .buffered(AT_ONCE)
        .collect()
        .await;
    json(&BoardAnswer {
        board: board.name.to_string(),
        title: board.about.title.clone(),
        range: range.to_string(),
        columns: Board::COLUMNS,
        blocks,
    })
}

/// Answers a scorecard as it would be sent now.
#[utoipa::path(get, path = "/api/v1/scorecards/{name}/data", operation_id = "get_scorecard_data", tag = "scorecards",
    params(("name" = String, Path, description = "The scorecard's name")),
    responses((status = 200, body = ScorecardAnswer), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn scorecard(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    parameters.finish()?;
    let name = name_of("scorecard", &name)?;
    let stored = stored(&gateway, &caller.workspace, Kind::Scorecard, &name).await?;
    let Definition::Scorecard(card) = stored.definition()? else {
        return Err(Problem::internal());
    };
    let asked: Vec<_> = card
        .metrics
        .iter()
        .map(|entry| row(&gateway, &caller.workspace, &card, entry))
        .collect();
    let rows = futures::stream::iter(asked)
        .buffered(AT_ONCE)
        .collect()
        .await;
    json(&ScorecardAnswer {
        scorecard: card.name.to_string(),
        title: card.about.title.clone(),
        rows,
    })
}

async fn row(
    gateway: &Gateway,
    workspace: &str,
    card: &Scorecard,
    entry: &definition::Entry,
) -> BlockAnswer {
    let asked = Asked {
        range: entry.range.as_ref().unwrap_or(&card.range),
        timezone: card.timezone.as_deref(),
        where_: &entry.where_,
        compare: Some(card.compare),
        granularity: None,
        group_by: &[],
    };
    let metric = entry.metric.as_str();
    let answered = asked.answer(gateway, workspace, metric, Shape::Value).await;
    filled(
        BlockAnswer {
            kind: BlockKind::Number.as_str(),
            title: entry.title.clone(),
            width: Board::COLUMNS,
            height: 1,
            metric: Some(metric.to_owned()),
            goal: entry.goal.as_ref().map(ToString::to_string),
            data: None,
            problem: None,
        },
        answered,
    )
}

async fn block(
    gateway: &Gateway,
    workspace: &str,
    board: &Board,
    range: &RangeName,
    block: &Block,
) -> BlockAnswer {
    let (width, height) = block.size();
    let empty = BlockAnswer {
        kind: block.kind.as_str(),
        title: block.title.clone(),
        width,
        height,
        metric: block.metric.as_ref().map(ToString::to_string),
        goal: block.goal.as_ref().map(ToString::to_string),
        data: None,
        problem: None,
    };
    let answered = match (&block.metric, &block.goal) {
        (_, Some(goal)) => goals::progress_of(gateway, workspace, goal.as_str())
            .await
            .and_then(|far| {
                serde_json::to_vec(&far)
                    .map(Bytes::from)
                    .map_err(|_| Problem::internal())
            }),
        (Some(metric), None) => {
            let asked = Asked {
                range: block.range.as_ref().unwrap_or(range),
                timezone: board.timezone.as_deref(),
                where_: &block.where_,
                compare: block.compare,
                granularity: block.granularity,
                group_by: &block.group_by,
            };
            let shape = match block.kind {
                BlockKind::Number | BlockKind::Progress => Shape::Value,
                BlockKind::Line | BlockKind::Bar | BlockKind::Table => Shape::Series,
            };
            asked
                .answer(gateway, workspace, metric.as_str(), shape)
                .await
        }
        (None, None) => Err(Problem::internal()),
    };
    filled(empty, answered)
}

fn filled(block: BlockAnswer, answered: Result<Bytes, Problem>) -> BlockAnswer {
    let read = answered.and_then(|bytes| {
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| Problem::internal())?;
        RawValue::from_string(text).map_err(|_| Problem::internal())
    });
    match read {
        Ok(data) => BlockAnswer {
            data: Some(data),
            ..block
        },
        Err(problem) => BlockAnswer {
            problem: Some(problem.in_words()),
            ..block
        },
    }
}

/// What a block asks of its metric: the question of `/series` or `/value`, so that both answer alike and share what is
/// kept.
struct Asked<'a> {
    range: &'a RangeName,
    timezone: Option<&'a str>,
    where_: &'a Where,
    compare: Option<Against>,
    granularity: Option<definition::Granularity>,
    group_by: &'a [definition::Name],
}

impl Asked<'_> {
    async fn answer(
        &self,
        gateway: &Gateway,
        workspace: &str,
        metric: &str,
        shape: Shape,
    ) -> Result<Bytes, Problem> {
        let parameters = Parameters::parse(&self.text(shape))?;
        gateway
            .series()
            .answer(gateway, workspace, metric, shape, parameters)
            .await
    }

    fn text(&self, shape: Shape) -> String {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.append_pair("range", self.range.as_str());
        if let Some(timezone) = self.timezone {
            text.append_pair("timezone", timezone);
        }
        if let Some(compare) = self.compare {
            text.append_pair("compare", compare.as_str());
        }
        for (name, texts) in self.where_ {
            for one in texts {
                text.append_pair(&format!("where.{name}"), &escaped(one));
            }
        }
        if shape == Shape::Series {
            if let Some(granularity) = self.granularity {
                text.append_pair("granularity", granularity.as_str());
            }
            for name in self.group_by {
                text.append_pair("group_by", name.as_str());
            }
        }
        text.finish()
    }
}

fn json(answer: &impl Serialize) -> Result<Response, Problem> {
    let text = serde_json::to_vec(answer).map_err(|_| Problem::internal())?;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

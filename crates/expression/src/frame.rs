//! What the evaluator and a worker say to each other: frames of a length and a postcard message.
//!
//! The supervising side encodes requests and decodes replies with this module; how the process is
//! started and its pipes are driven is its own business. One request, one reply, in order:
//!
//! | request | reply |
//! |---|---|
//! | [`compile`]: the tasks of a run; forgets those before | [`Reply::Ready`] |
//! | [`pages`]: some pages for `scope: page` tasks | [`Reply::Pages`] |
//! | [`hold`]: pages kept for `scope: run` tasks | [`Reply::Held`] |
//! | [`run`]: evaluates what was held, and lets it go | [`Reply::Run`] |
//! | [`survey`]: pages looked at for [`profile`] | [`Reply::Held`] |
//! | [`profile`]: what the pages looked at hold | [`Reply::Profile`] |

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use jiff::Timestamp;
use rollup::{Decimal, Dimensions, Row, RowValue};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::budget::{FRAME_BYTES, Limits};
use crate::evaluate::{Page, RunContext};
use crate::fields::FieldsSeen;
use crate::{DeletedRow, EvaluationError, RejectedRow, Task, TaskResult};

/// Bytes before the message: its length as a little-endian u32.
pub const HEADER_BYTES: usize = 4;

/// What a worker answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The tasks are compiled, all but these.
    Ready(Vec<(u32, EvaluationError)>),
    /// The results of each page, in the order sent.
    Pages(Vec<Vec<TaskResult>>),
    /// The pages are held; the error says why they are not, and the run is then given up.
    Held(Option<EvaluationError>),
    /// The results of the `scope: run` tasks.
    Run(Vec<TaskResult>),
    /// What pages hold, and the metrics they seem to offer: JSON of a [`Look`](crate::profile::Look).
    Profile(String),
}

/// Why a frame cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`FRAME_BYTES`].
    #[error("frame of {0} bytes is longer than the limit")]
    TooLong(usize),
    /// Not a message of this protocol.
    #[error("frame is malformed")]
    Malformed(#[source] postcard::Error),
}

/// Returns the frame that compiles the tasks of a run.
pub fn compile(
    tasks: &[Task],
    context: &RunContext,
    limits: &Limits,
) -> Result<Vec<u8>, FrameError> {
    encode(&Request::Compile {
        tasks: tasks.to_vec(),
        window: context
            .window
            .map(|window| (window.start.as_millisecond(), window.end.as_millisecond())),
        parent: context.parent.as_ref().map(ToString::to_string),
        limits: limits.clone(),
    })
}

/// Returns the frame that evaluates pages.
pub fn pages(pages: &[Page<'_>]) -> Result<Vec<u8>, FrameError> {
    let request = Request::Pages(pages.iter().map(PageFrame::of).collect());
    encode_within(&request, room(pages))
}

/// Returns the frame that keeps pages for [`run`].
pub fn hold(pages: &[Page<'_>]) -> Result<Vec<u8>, FrameError> {
    let request = Request::Hold(pages.iter().map(PageFrame::of).collect());
    encode_within(&request, room(pages))
}

/// Bytes that these pages take in a frame, and some more.
fn room(pages: &[Page<'_>]) -> usize {
    const BESIDE_A_BODY: usize = 32;
    let bodies = pages.iter().map(|page| page.bytes.len() + BESIDE_A_BODY);
    bodies.sum::<usize>() + BESIDE_A_BODY
}

/// Returns the frame that evaluates the pages held as one run.
pub fn run() -> Result<Vec<u8>, FrameError> {
    encode(&Request::Run)
}

/// Returns the frame that looks at pages for [`profile`].
pub fn survey(pages: &[Page<'_>]) -> Result<Vec<u8>, FrameError> {
    encode(&Request::Survey(pages.iter().map(PageFrame::of).collect()))
}

/// Returns the frame that asks what the pages looked at hold.
pub fn profile() -> Result<Vec<u8>, FrameError> {
    encode(&Request::Profile)
}

/// Returns the length of the message behind a header.
pub fn message_length(header: [u8; HEADER_BYTES]) -> Result<usize, FrameError> {
    let length = u32::from_le_bytes(header) as usize;
    if length > FRAME_BYTES {
        Err(FrameError::TooLong(length))
    } else {
        Ok(length)
    }
}

/// Reads the message of a reply, without its header.
pub fn reply(message: &[u8]) -> Result<Reply, FrameError> {
    let reply: ReplyFrame = postcard::from_bytes(message).map_err(FrameError::Malformed)?;
    Ok(match reply {
        ReplyFrame::Ready(problems) => Reply::Ready(problems),
        ReplyFrame::Pages(pages) => Reply::Pages(
            pages
                .into_iter()
                .map(|page| page.into_iter().map(ResultFrame::unpack).collect())
                .collect(),
        ),
        ReplyFrame::Held(error) => Reply::Held(error),
        ReplyFrame::Run(results) => {
            Reply::Run(results.into_iter().map(ResultFrame::unpack).collect())
        }
        ReplyFrame::Profile(look) => Reply::Profile(look),
    })
}

/// Reads one frame's message; nothing at the end of the input.
pub fn read_message(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; HEADER_BYTES];
    let mut filled = 0;
    while filled < HEADER_BYTES {
        match input.read(&mut header[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = message_length(header).map_err(invalid)?;
    // Grown as it arrives, so that a false length costs nothing.
    let mut message = Vec::with_capacity(length.min(1024 * 1024));
    let read = input.take(length as u64).read_to_end(&mut message)?;
    if read < length {
        Err(io::ErrorKind::UnexpectedEof.into())
    } else {
        Ok(Some(message))
    }
}

/// Writes one frame and flushes.
pub fn write_frame(output: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    output.write_all(frame)?;
    output.flush()
}

pub(crate) fn invalid(error: FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    encode_within(message, 1024)
}

/// Encodes into a frame that begins with this much room, so that a long one is not moved as it grows.
pub(crate) fn encode_within<T: Serialize>(message: &T, room: usize) -> Result<Vec<u8>, FrameError> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + room.min(FRAME_BYTES));
    frame.resize(HEADER_BYTES, 0);
    let mut frame = postcard::to_extend(message, frame).map_err(FrameError::Malformed)?;
    let length = frame.len() - HEADER_BYTES;
    let header = match u32::try_from(length) {
        Ok(header) if length <= FRAME_BYTES => header,
        _ => return Err(FrameError::TooLong(length)),
    };
    frame[..HEADER_BYTES].copy_from_slice(&header.to_le_bytes());
    Ok(frame)
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request<'a> {
    Compile {
        tasks: Vec<Task>,
        window: Option<(i64, i64)>,
        parent: Option<String>,
        limits: Limits,
    },
    #[serde(borrow)]
    Pages(Vec<PageFrame<'a>>),
    #[serde(borrow)]
    Hold(Vec<PageFrame<'a>>),
    Run,
    #[serde(borrow)]
    Survey(Vec<PageFrame<'a>>),
    Profile,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ReplyFrame {
    Ready(Vec<(u32, EvaluationError)>),
    Pages(Vec<Vec<ResultFrame>>),
    Held(Option<EvaluationError>),
    Run(Vec<ResultFrame>),
    Profile(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PageFrame<'a> {
    #[serde(borrow)]
    bytes: Bytes<'a>,
    number: u32,
    first: bool,
    fetched_ms: i64,
    #[serde(borrow)]
    parent: Option<&'a str>,
}

impl<'a> PageFrame<'a> {
    fn of(page: &Page<'a>) -> Self {
        Self {
            bytes: Bytes(page.bytes),
            number: page.number,
            first: page.first,
            fetched_ms: page.fetched_at.as_millisecond(),
            parent: page.parent,
        }
    }

    pub(crate) fn page(&self) -> Page<'a> {
        Page {
            bytes: self.bytes.0,
            number: self.number,
            first: self.first,
            fetched_at: Timestamp::from_millisecond(self.fetched_ms).unwrap_or_default(),
            parent: self.parent,
        }
    }
}

/// Bytes as bytes: serde writes a slice item by item.
#[derive(Debug)]
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = &'de [u8];

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<&'de [u8], E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_bytes(Borrowed).map(Bytes)
    }
}

/// A result with what its rows share written once: dimensions, units, the page.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ResultFrame {
    id: u32,
    page: u32,
    dimensions: Vec<Dimensions>,
    units: Vec<Box<str>>,
    rows: Vec<RowFrame>,
    deleted: Vec<DeletedRow>,
    rejected_count: u64,
    rejected_by: BTreeMap<String, u64>,
    rejected: Vec<RejectedRow>,
    records_missing: Option<String>,
    fields: Option<FieldsSeen>,
    error: Option<EvaluationError>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RowFrame {
    value: ValueFrame,
    /// Seconds and nanoseconds.
    at: Option<(i64, i32)>,
    dimensions: u32,
    /// Counted from 1; 0 is none.
    unit: u32,
    key: Option<Box<str>>,
    index: u32,
}

#[derive(Debug, Serialize, Deserialize)]
enum ValueFrame {
    Whole(i64),
    Number(Decimal),
    Text(Box<str>),
}

impl ResultFrame {
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn pack(result: TaskResult) -> Self {
        let mut dimensions: Vec<Dimensions> = Vec::new();
        let mut places = std::collections::HashMap::new();
        let mut units: Vec<Box<str>> = Vec::new();
        let page = result.rows.first().map_or(0, |row| row.page);
        let mut rows = Vec::with_capacity(result.rows.len());
        let mut last = 0;
        for row in result.rows {
            if dimensions.get(last) != Some(&row.dimensions) {
                last = *places.entry(row.dimensions.clone()).or_insert_with(|| {
                    dimensions.push(row.dimensions);
                    dimensions.len() - 1
                });
            }
            let unit = row.unit.map_or(0, |unit| {
                units
                    .iter()
                    .position(|known| *known == unit)
                    .unwrap_or_else(|| {
                        units.push(unit);
                        units.len() - 1
                    })
                    + 1
            });
            rows.push(RowFrame {
                value: match row.value {
                    RowValue::Number(number) => match number.parts() {
                        (mantissa, 0) => i64::try_from(mantissa)
                            .map_or(ValueFrame::Number(number), ValueFrame::Whole),
                        _ => ValueFrame::Number(number),
                    },
                    RowValue::Text(text) => ValueFrame::Text(text),
                },
                at: row.at.map(|at| (at.as_second(), at.subsec_nanosecond())),
                dimensions: u32::try_from(last).unwrap_or(u32::MAX),
                unit: u32::try_from(unit).unwrap_or(0),
                key: row.key,
                index: row.index,
            });
        }
        Self {
            id: result.id,
            page,
            dimensions,
            units,
            rows,
            deleted: result.deleted,
            rejected_count: result.rejected_count,
            rejected_by: result.rejected_by,
            rejected: result.rejected,
            records_missing: result.records_missing,
            fields: result.fields,
            error: result.error,
        }
    }

    fn unpack(self) -> TaskResult {
        let rows = self.rows.into_iter().map(|row| Row {
            value: match row.value {
                ValueFrame::Whole(number) => RowValue::Number(Decimal::from(number)),
                ValueFrame::Number(number) => RowValue::Number(number),
                ValueFrame::Text(text) => RowValue::Text(text),
            },
            at: row
                .at
                .and_then(|(second, nanos)| Timestamp::new(second, nanos).ok()),
            dimensions: self
                .dimensions
                .get(row.dimensions as usize)
                .cloned()
                .unwrap_or_default(),
            unit: (row.unit as usize)
                .checked_sub(1)
                .and_then(|place| self.units.get(place).cloned()),
            key: row.key,
            page: self.page,
            index: row.index,
        });
        TaskResult {
            id: self.id,
            rows: rows.collect(),
            deleted: self.deleted,
            rejected_count: self.rejected_count,
            rejected_by: self.rejected_by,
            rejected: self.rejected,
            records_missing: self.records_missing,
            fields: self.fields,
            error: self.error,
        }
    }
}

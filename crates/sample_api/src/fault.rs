//! Faults on request: a small language, and the book of those in force.
//!
//! A fault is `kind[:argument][@page][xtimes]`; several are joined by `,`. They come with a
//! request (`?fault=` or the header `X-Fault`), by `POST /control/faults`, or from Rust.
//!
//! | kind | what happens |
//! |---|---|
//! | `latency:MS` | the answer is held back |
//! | `status:CODE` | this status with the API's kind of error body |
//! | `retry_after:SECONDS` | 429 with `Retry-After` as given (any text) |
//! | `retry_date:SECONDS` | 429 with `Retry-After` as a date so far from now |
//! | `reset` / `hang` | the connection is reset / nothing ever comes |
//! | `cut` / `stall` | half of the body, then the end / then nothing |
//! | `drip:MS` | the body byte by byte |
//! | `empty_body` / `html` / `trailing` / `cut_json` | a body that is no JSON, with a good length |
//! | `ndjson` / `nan` / `huge_number` / `surrogate` / `utf16` | a body that JSON parsers of the world take differently |
//! | `field:FROM:TO` / `texts:FIELD` | a field of each record under another name / its numbers as words |
//! | `wrong_type` / `null_list` / `empty_list` / `rename:NAME` | the list is a text / null / empty / under another key |
//! | `duplicate` / `shifted:N` | the page before once more / rows from N earlier on |
//! | `loop` | the cursor or next link stays where it is |
//! | `gzip` / `br` / `zstd` / `double_gzip` | the body so encoded |
//! | `bomb:MIB` | gzip of so many MiB of spaces behind the body |
//! | `pad:KIB` | the body with so many KiB of spaces behind it |
//! | `redirect:URL` | 302 to there |
//! | `echo:TEXT` | 400 with the text in it |

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::listing::{ListTwist, Twist};
use crate::query::Query;

/// Something that goes wrong, on which page, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(crate) kind: Kind,
    page: Option<u64>,
    times: Option<u32>,
    path: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Latency(Duration),
    Status(u16),
    RetryAfter(String),
    RetryDate(i64),
    Reset,
    Hang,
    Cut,
    Stall,
    Drip(Duration),
    EmptyBody,
    Html,
    Trailing,
    CutJson,
    Odd(Odd),
    Field(String, String),
    Texts(String),
    List(ListTwist),
    Duplicate,
    Shifted(usize),
    Loop,
    Encoded(Encoding),
    Bomb(usize),
    Pad(usize),
    Redirect(String),
    Echo(String),
}

/// What some parsers take for JSON, or for text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Odd {
    Ndjson,
    Nan,
    HugeNumber,
    Surrogate,
    Utf16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    DoubleGzip,
    Brotli,
    Zstd,
}

/// Why a text is not a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a fault: kind[:argument][@page][xtimes]")]
pub struct UnknownFault(String);

impl Fault {
    /// Returns the same fault for requests of this path alone.
    #[must_use]
    pub fn on(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Reads several faults joined by `,`.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, UnknownFault> {
        text.split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty())
            .map(str::parse)
            .collect()
    }

    fn concerns(&self, path: &str, page: u64) -> bool {
        self.page.is_none_or(|wanted| wanted == page)
            && self.path.as_deref().is_none_or(|wanted| wanted == path)
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownFault(text.to_owned());
        let (what, place) = text
            .rsplit_once('@')
            .map_or((text, None), |(what, place)| (what, Some(place)));
        // `x3` may stand behind the page, or behind the kind when there is no page.
        let (what, page, times) = if let Some(place) = place {
            let (page, times) = split_times(place);
            (what, Some(page.parse().map_err(|_| unknown())?), times)
        } else {
            let (what, times) = split_times(what);
            (what, None, times)
        };
        let (name, argument) = what.split_once(':').unwrap_or((what, ""));
        let number = || argument.parse::<u32>().map_err(|_| unknown());
        let kind = match name {
            "latency" => Kind::Latency(Duration::from_millis(u64::from(number()?))),
            "status" => Kind::Status(u16::try_from(number()?).map_err(|_| unknown())?),
            "retry_after" => Kind::RetryAfter(argument.to_owned()),
            "retry_date" => Kind::RetryDate(argument.parse().map_err(|_| unknown())?),
            "reset" => Kind::Reset,
            "hang" => Kind::Hang,
            "cut" => Kind::Cut,
            "stall" => Kind::Stall,
            "drip" => Kind::Drip(Duration::from_millis(u64::from(number()?))),
            "empty_body" => Kind::EmptyBody,
            "html" => Kind::Html,
            "trailing" => Kind::Trailing,
            "cut_json" => Kind::CutJson,
            "ndjson" => Kind::Odd(Odd::Ndjson),
            "nan" => Kind::Odd(Odd::Nan),
            "huge_number" => Kind::Odd(Odd::HugeNumber),
            "surrogate" => Kind::Odd(Odd::Surrogate),
            "utf16" => Kind::Odd(Odd::Utf16),
            "field" => {
                let (from, to) = argument.split_once(':').ok_or_else(unknown)?;
                Kind::Field(from.to_owned(), to.to_owned())
            }
            "texts" => Kind::Texts(argument.to_owned()),
            "wrong_type" => Kind::List(ListTwist::Text),
            "null_list" => Kind::List(ListTwist::Null),
            "empty_list" => Kind::List(ListTwist::Empty),
            "rename" => Kind::List(ListTwist::Renamed(argument.to_owned())),
            "duplicate" => Kind::Duplicate,
            "shifted" => Kind::Shifted(number()? as usize),
            "loop" => Kind::Loop,
            "gzip" => Kind::Encoded(Encoding::Gzip),
            "double_gzip" => Kind::Encoded(Encoding::DoubleGzip),
            "br" => Kind::Encoded(Encoding::Brotli),
            "zstd" => Kind::Encoded(Encoding::Zstd),
            "bomb" => Kind::Bomb(number()? as usize * 1024 * 1024),
            "pad" => Kind::Pad(number()? as usize * 1024),
            "redirect" => Kind::Redirect(argument.to_owned()),
            "echo" => Kind::Echo(argument.to_owned()),
            _ => return Err(unknown()),
        };
        Ok(Self {
            kind,
            page,
            times,
            path: None,
        })
    }
}

fn split_times(text: &str) -> (&str, Option<u32>) {
    match text.rsplit_once('x') {
        Some((front, digits)) if !digits.is_empty() => match digits.parse() {
            Ok(times) => (front, Some(times)),
            Err(_) => (text, None),
        },
        _ => (text, None),
    }
}

/// The faults in force, and how often each has struck.
#[derive(Debug, Default)]
pub(crate) struct Book {
    standing: Mutex<Vec<Fault>>,
    struck: Mutex<HashMap<String, u32>>,
}

/// Requests with faults of their own are test traffic: more kinds than this are forgotten together.
const MOST_REMEMBERED: usize = 10_000;

impl Book {
    pub(crate) fn add(&self, faults: impl IntoIterator<Item = Fault>) {
        self.standing().extend(faults);
    }

    pub(crate) fn clear(&self) {
        self.standing().clear();
        self.struck().clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.standing().is_empty()
    }

    /// Returns the faults that strike now, those of the request first.
    pub(crate) fn strike(
        &self,
        path: &str,
        query: &Query,
        header: Option<&str>,
        page: u64,
    ) -> Vec<Kind> {
        let mut striking = Vec::new();
        for text in query.get("fault").into_iter().chain(header) {
            for fault in Fault::parse_all(text).unwrap_or_default() {
                if fault.concerns(path, page) && self.is_due(&fault, path, query, text, page) {
                    striking.push(fault.kind);
                }
            }
        }
        let mut standing = self.standing();
        standing.retain_mut(|fault| {
            if !fault.concerns(path, page) {
                return true;
            }
            striking.push(fault.kind.clone());
            match &mut fault.times {
                Some(left) => {
                    *left = left.saturating_sub(1);
                    *left > 0
                }
                None => true,
            }
        });
        striking
    }

    /// Whether a request's own fault has not struck as often as it may.
    ///
    /// Counted by path, page and the request's `fault` and `nonce`, so that a new test with a new
    /// nonce starts anew.
    fn is_due(&self, fault: &Fault, path: &str, query: &Query, text: &str, page: u64) -> bool {
        let Some(times) = fault.times else {
            return true;
        };
        let mut struck = self.struck();
        if struck.len() >= MOST_REMEMBERED {
            struck.clear();
        }
        let nonce = query.get("nonce").unwrap_or("");
        let count = struck
            .entry(format!("{path} {page} {nonce} {:?} {text}", fault.kind))
            .or_default();
        *count += 1;
        *count <= times
    }

    fn standing(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn struck(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.struck.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what the striking faults do to a list.
pub(crate) fn twist(striking: &[Kind]) -> Twist {
    let mut twist = Twist::default();
    for kind in striking {
        match kind {
            Kind::List(list) => twist.list = list.clone(),
            Kind::Duplicate => twist.pages_back = 1,
            Kind::Shifted(rows) => twist.rows_back = *rows,
            Kind::Loop => twist.repeats_cursor = true,
            _ => {}
        }
    }
    twist
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_read() {
        let fault: Fault = "status:500@3x2".parse().unwrap();
        assert_eq!(
            (fault.kind, fault.page, fault.times),
            (Kind::Status(500), Some(3), Some(2))
        );
        let fault: Fault = "resetx1".parse().unwrap();
        assert_eq!(
            (fault.kind, fault.page, fault.times),
            (Kind::Reset, None, Some(1))
        );
        let fault: Fault = "redirect:http://10.0.0.1/x".parse().unwrap();
        assert_eq!(fault.kind, Kind::Redirect("http://10.0.0.1/x".into()));
        assert_eq!(Fault::parse_all("gzip, latency:5@1").unwrap().len(), 2);
        let fault: Fault = "field:weight:gewicht@2".parse().unwrap();
        assert_eq!(fault.kind, Kind::Field("weight".into(), "gewicht".into()));
        for bad in ["", "melt", "field:weight", "status:many", "cut@two"] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_standing_fault_strikes_its_page_as_often_as_it_says() {
        let book = Book::default();
        book.add([Fault::from_str("status:500@2x2")
            .unwrap()
            .on("/v3/subscribers")]);
        let strike = |path, page| book.strike(path, &Query::default(), None, page).len();
        assert_eq!(
            (strike("/v3/subscribers", 1), strike("/v3/purchases", 2)),
            (0, 0)
        );
        assert_eq!(
            (strike("/v3/subscribers", 2), strike("/v3/subscribers", 2)),
            (1, 1)
        );
        assert_eq!(strike("/v3/subscribers", 2), 0);
        assert!(book.is_empty());
    }

    #[test]
    fn a_request_s_own_fault_is_counted_by_its_nonce() {
        let book = Book::default();
        let strike = |nonce: &str| {
            let query = Query::parse(&format!("fault=reset@1x1&nonce={nonce}"));
            book.strike("/api/page", &query, None, 1).len()
        };
        assert_eq!((strike("a"), strike("a"), strike("b")), (1, 0, 1));
    }
}

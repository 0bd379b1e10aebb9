//! One pass over a JSON document: is it whole and valid, and what stands at a few plain paths.

use std::hash::Hasher as _;
use std::ops::Range;

use super::{DEPTH_LIMIT, Unusable, VALUE_LIMIT};

/// Records of a page whose fingerprints are taken; pages are smaller than this.
const PRINTS: usize = 10_000;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    Text,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A value found at a wanted path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: Kind,
    /// Where its text is in the body.
    pub span: Range<usize>,
    /// How many members an array or object has.
    pub members: u64,
}

/// What the pass saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scan {
    /// The value at each wanted path, in their order.
    pub found: Vec<Option<Found>>,
    /// Paths that cross an array, where JSONata maps over its members: ask the engine.
    pub crosses_array: Vec<bool>,
    /// A fingerprint of each record, where the records are a list and fingerprints were asked for.
    pub prints: Option<Vec<u64>>,
    /// Members of the longest array in the outer two levels: the records, where nobody said where they are.
    pub longest_array: Option<u64>,
}

/// A path that needs no engine: `a.b.c`, or `$` for the whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainPath(Vec<Box<str>>);

impl PlainPath {
    /// Reads a path of plain names; anything else is JSONata and gives nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "$" {
            return Some(PlainPath(Vec::new()));
        }
        let text = text.strip_prefix("$.").unwrap_or(text);
        let is_name = |name: &str| {
            let mut bytes = name.bytes();
            bytes
                .next()
                .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && !matches!(
                    name,
                    "and" | "or" | "in" | "true" | "false" | "null" | "function"
                )
        };
        let names: Vec<Box<str>> = text.split('.').map(Box::from).collect();
        (names.len() <= 32 && names.iter().all(|name| is_name(name))).then_some(PlainPath(names))
    }
}

/// Checks that `body` is one valid JSON document and finds the values at `wanted` (at most 32 paths).
pub fn scan(body: &[u8], wanted: &[PlainPath]) -> Result<Scan, Unusable> {
    scan_records(body, wanted, None)
}

/// The same, and takes a fingerprint of each member of the list at the path of index `records`.
pub fn scan_records(
    body: &[u8],
    wanted: &[PlainPath],
    records: Option<usize>,
) -> Result<Scan, Unusable> {
    debug_assert!(wanted.len() <= 32);
    let mut scanner = Scanner {
        body,
        at: 0,
        values: 0,
        wanted,
        records,
        scan: Scan {
            prints: None,
            found: vec![None; wanted.len()],
            crosses_array: vec![false; wanted.len()],
            longest_array: None,
        },
    };
    scanner.skip_space();
    let everything = if wanted.is_empty() {
        0
    } else {
        u32::MAX >> (32 - wanted.len())
    };
    scanner.value(0, everything)?;
    scanner.skip_space();
    if scanner.at < body.len() {
        let next_line = body[..scanner.at]
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_whitespace())
            .any(|b| *b == b'\n');
        let hint = if next_line && matches!(body[scanner.at], b'{' | b'[') {
            " (it looks like one document a line: say `response: ndjson`)"
        } else {
            ""
        };
        return Err(scanner.fail(&format!("trailing characters{hint}")));
    }
    Ok(scanner.scan)
}

struct Scanner<'a> {
    body: &'a [u8],
    at: usize,
    values: u64,
    wanted: &'a [PlainPath],
    records: Option<usize>,
    scan: Scan,
}

impl Scanner<'_> {
    /// Reads one value; `matching` are the wanted paths whose first `depth` names led here.
    fn value(&mut self, depth: usize, matching: u32) -> Result<(), Unusable> {
        self.count()?;
        if depth >= DEPTH_LIMIT {
            return Err(Unusable::TooDeep);
        }
        let start = self.at;
        let (kind, members) = match self.peek() {
            Some(b'{') => (Kind::Object, self.object(depth, matching)?),
            Some(b'[') => (Kind::Array, self.array(depth, matching)?),
            Some(b'"') => {
                self.string()?;
                (Kind::Text, 0)
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                (Kind::Number, 0)
            }
            Some(b't') => (self.word(b"true", Kind::Bool)?, 0),
            Some(b'f') => (self.word(b"false", Kind::Bool)?, 0),
            Some(b'n') => (self.word(b"null", Kind::Null)?, 0),
            _ => return Err(self.fail("expected a value")),
        };
        if matching != 0 {
            for index in 0..self.wanted.len() {
                if matching & (1 << index) != 0 && self.wanted[index].0.len() == depth {
                    self.scan.found[index] = Some(Found {
                        kind,
                        span: start..self.at,
                        members,
                    });
                }
            }
        }
        Ok(())
    }

    fn object(&mut self, depth: usize, matching: u32) -> Result<u64, Unusable> {
        self.at += 1;
        self.skip_space();
        let mut members = 0;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(0);
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.fail("expected a name in quotes"));
            }
            let name_start = self.at + 1;
            self.count()?;
            self.string()?;
            let name = name_start..self.at - 1;
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            let below = if matching == 0 {
                0
            } else {
                self.narrow(depth, matching, name)
            };
            self.value(depth + 1, below)?;
            members += 1;
            self.skip_space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.skip_space();
                }
                Some(b'}') => {
                    self.at += 1;
                    return Ok(members);
                }
                _ => return Err(self.fail("expected `,` or `}`")),
            }
        }
    }

    fn narrow(&self, depth: usize, matching: u32, name: Range<usize>) -> u32 {
        let name = &self.body[name];
        let leads = |index: &usize| {
            matching & (1 << index) != 0
                && self.wanted[*index]
                    .0
                    .get(depth)
                    .is_some_and(|want| want.as_bytes() == name)
        };
        (0..self.wanted.len())
            .filter(leads)
            .fold(0, |mask, index| mask | (1 << index))
    }

    fn array(&mut self, depth: usize, matching: u32) -> Result<u64, Unusable> {
        if matching != 0 {
            for index in 0..self.wanted.len() {
                if matching & (1 << index) != 0 && self.wanted[index].0.len() > depth {
                    self.scan.crosses_array[index] = true;
                }
            }
        }
        let is_records = self.records.is_some_and(|index| {
            matching & (1 << index) != 0 && self.wanted[index].0.len() == depth
        });
        let mut prints = Vec::new();
        self.at += 1;
        self.skip_space();
        let mut members = 0;
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                let start = self.at;
                self.value(depth + 1, 0)?;
                members += 1;
                if is_records && prints.len() < PRINTS {
                    prints.push(print(&self.body[start..self.at]));
                }
                self.skip_space();
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.skip_space();
                    }
                    Some(b']') => {
                        self.at += 1;
                        break;
                    }
                    _ => return Err(self.fail("expected `,` or `]`")),
                }
            }
        }
        if is_records {
            self.scan.prints = Some(prints);
        }
        if depth <= 2 {
            self.scan.longest_array = self.scan.longest_array.max(Some(members));
        }
        Ok(members)
    }

    fn string(&mut self) -> Result<(), Unusable> {
        self.at += 1;
        loop {
            // Most bytes of most pages pass here, eight at a time.
            while let Some(eight) = self.body[self.at..].first_chunk() {
                let plain = plain_bytes(u64::from_le_bytes(*eight));
                self.at += plain;
                if plain < 8 {
                    break;
                }
            }
            while let Some(byte) = self.body.get(self.at) {
                if *byte == b'"' || *byte == b'\\' || *byte < 0x20 {
                    break;
                }
                self.at += 1;
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.fail("control character in a string")),
                None => return Err(self.fail("a string without end")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Unusable> {
        let start = self.at;
        match self.body.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.code_unit(self.at)? {
                0xd800..=0xdbff => {
                    let pairs = self.body.get(self.at..self.at + 2) == Some(b"\\u")
                        && matches!(self.code_unit(self.at)?, 0xdc00..=0xdfff);
                    if pairs {
                        Ok(())
                    } else {
                        Err(lone_surrogate(start))
                    }
                }
                0xdc00..=0xdfff => Err(lone_surrogate(start)),
                _ => Ok(()),
            },
            Some(_) => Err(self.fail("unknown escape in a string")),
            None => {
                self.at = self.body.len();
                Err(self.fail("a string without end"))
            }
        }
    }

    /// Reads `\uXXXX` at `start` and goes behind it.
    fn code_unit(&mut self, start: usize) -> Result<u32, Unusable> {
        let digits = self.body.get(start + 2..start + 6);
        let unit = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| {
                std::str::from_utf8(digits)
                    .ok()
                    .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            });
        if let Some(unit) = unit {
            self.at = start + 6;
            return Ok(unit);
        }
        if digits.is_none() {
            self.at = self.body.len();
        }
        Err(self.fail("unknown escape in a string"))
    }

    fn number(&mut self) -> Result<(), Unusable> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.fail("expected a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let has_exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if has_exponent {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        if has_exponent || self.at - start > 300 {
            let literal = std::str::from_utf8(&self.body[start..self.at]).unwrap_or_default();
            if literal.parse::<f64>().is_ok_and(f64::is_infinite) {
                let (line, column) = place(self.body, start);
                return Err(Unusable::OutOfRange { line, column });
            }
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Unusable> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.fail("expected a digit"))
        } else {
            Ok(())
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<Kind, Unusable> {
        let rest = &self.body[self.at..];
        if rest.starts_with(word) {
            self.at += word.len();
            return Ok(kind);
        }
        if word.starts_with(rest) {
            self.at = self.body.len();
        }
        Err(self.fail("expected a value"))
    }

    fn expect(&mut self, byte: u8) -> Result<(), Unusable> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.fail(&format!("expected `{}`", char::from(byte))))
    }

    fn count(&mut self) -> Result<(), Unusable> {
        self.values += 1;
        if self.values > VALUE_LIMIT {
            Err(Unusable::TooManyValues)
        } else {
            Ok(())
        }
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn fail(&self, what: &str) -> Unusable {
        let (line, column) = place(self.body, self.at);
        let ends_early = self.at >= self.body.len();
        let what = if ends_early {
            "it ends in the middle"
        } else {
            what
        };
        Unusable::NotJson {
            reason: format!("{what} at line {line}, column {column}"),
            ends_early,
        }
    }
}

/// Returns how many of eight bytes, from the lowest on, are neither a quote, nor a backslash, nor a control character.
fn plain_bytes(eight: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let stops = below(eight, 0x20)
        | below(eight ^ (ONES * u64::from(b'"')), 1)
        | below(eight ^ (ONES * u64::from(b'\\')), 1);
    // A borrow marks too much only above the first that is rightly marked.
    stops.trailing_zeros() as usize / 8
}

/// A fingerprint of a record's bytes; two that differ have the same one in 2⁶⁴.
fn print(record: &[u8]) -> u64 {
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(record);
    hasher.write_usize(record.len());
    hasher.finish()
}

fn lone_surrogate(offset: usize) -> Unusable {
    Unusable::Encoding {
        reason: format!("half of a surrogate pair at offset {offset}"),
    }
}

/// The line and column (both from 1) of an offset.
fn place(body: &[u8], at: usize) -> (usize, usize) {
    let before = &body[..at.min(body.len())];
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    (
        memchr::memchr_iter(b'\n', before).count() + 1,
        before.len() - line_start + 1,
    )
}

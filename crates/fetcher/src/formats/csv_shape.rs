//! What a CSV file looks like before it is read: quotes that do not end, and columns that another delimiter would show.

use definition::CsvHeader;

/// A quote that was opened and does not end where its value does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OpenQuote {
    /// The line where it opened, from 1.
    pub(super) line: usize,
    /// Whether the file ends within it, as one that was cut short does.
    pub(super) ends_early: bool,
}

/// Finds the first quote that takes in what is not its value: open at the end, closed over a line by the opening quote of another
/// value, or alone in the middle of one.
pub(super) fn open_quote(body: &[u8], delimiter: u8) -> Option<OpenQuote> {
    let mut quotes = memchr::memchr_iter(b'"', body);
    let is_odd = quotes.clone().count() % 2 == 1;
    let (mut opened, mut stray) = (None, None);
    let (mut line, mut counted) = (1, 0);
    while let Some(at) = quotes.next() {
        line += memchr::memchr_iter(b'\n', &body[counted..at]).count();
        counted = at;
        let before = at.checked_sub(1).map(|before| body[before]);
        let after = body.get(at + 1).copied();
        let begins = before.is_none_or(|before| is_border(before, delimiter));
        match opened {
            None if begins => opened = Some(line),
            None => stray = stray.or(Some(line)),
            // A doubled quote is one that belongs to the value.
            Some(_) if after == Some(b'"') => {
                quotes.next();
            }
            Some(_) if after.is_none_or(|after| is_border(after, delimiter)) => opened = None,
            Some(begun) if begun < line => {
                return Some(OpenQuote {
                    line: begun,
                    ends_early: is_odd,
                });
            }
            Some(_) => opened = None,
        }
    }
    let line = opened.or(stray.filter(|_| is_odd))?;
    Some(OpenQuote {
        line,
        ends_early: true,
    })
}

fn is_border(byte: u8, delimiter: u8) -> bool {
    byte == delimiter || matches!(byte, b'\r' | b'\n')
}

/// The delimiters that people use, without the one that was tried.
pub(super) fn others(tried: u8) -> impl Iterator<Item = u8> {
    let known = [b';', b',', b'\t', b'|'].into_iter();
    known.filter(move |other| *other != tried)
}

/// The delimiter that is likely meant where the one that was tried makes one column: it stands in the first line and as
/// often in the second.
pub(super) fn other_delimiter(body: &[u8], tried: u8, header: &CsvHeader) -> Option<u8> {
    let needs_another = match header {
        CsvHeader::FirstLine => false,
        CsvHeader::Absent => true,
        // Whoever names one column means one.
        CsvHeader::Named(_) => return None,
    };
    let mut lines = lines(body);
    let (first, second) = (lines.next()?, lines.next());
    if outside_of_quotes(first, tried) > 0 || second.is_none() && needs_another {
        return None;
    }
    others(tried).find(|other| {
        let count = outside_of_quotes(first, *other);
        count > 0 && second.is_none_or(|second| outside_of_quotes(second, *other) == count)
    })
}

/// Says what the only column is called, and with which delimiter there would be more.
pub(super) fn one_column(body: &[u8], other: u8) -> String {
    let name = String::from_utf8_lossy(lines(body).next().unwrap_or_default());
    let shown: String = name.trim_end().chars().take(60).collect();
    let other = char::from(other);
    format!(
        "it has one column, {shown:?}: is the delimiter {other:?}? Write `response: {{ format: csv, delimiter: {} }}`",
        serde_json::Value::from(other.to_string())
    )
}

/// Lines that are not empty; a line within quotes is none of its own.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    let split = body.split_inclusive(move |byte| {
        is_quoted ^= *byte == b'"';
        *byte == b'\n' && !is_quoted
    });
    split.filter(|line| !line.trim_ascii().is_empty())
}

fn outside_of_quotes(line: &[u8], wanted: u8) -> usize {
    let mut is_quoted = false;
    let is_wanted = |byte: &&u8| {
        is_quoted ^= **byte == b'"';
        **byte == wanted && !is_quoted
    };
    line.iter().filter(is_wanted).count()
}

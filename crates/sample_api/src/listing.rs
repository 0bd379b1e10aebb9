//! Which records a request means, and how a page of them is written.

use std::ops::Range;

/// The records that a request means, by their index, in the order of the answer.
#[derive(Clone, Debug)]
pub(crate) enum Rows {
    Forward(Range<usize>),
    Backward(Range<usize>),
    Picked(Vec<usize>),
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Forward(range) | Self::Backward(range) => range.len(),
            Self::Picked(rows) => rows.len(),
        }
    }

    fn at(&self, position: usize) -> Option<usize> {
        match self {
            Self::Forward(range) => range.clone().nth(position),
            Self::Backward(range) => range.clone().nth_back(position),
            Self::Picked(rows) => rows.get(position).copied(),
        }
    }
}

/// Which part of the rows a page shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) start: usize,
    pub(crate) size: usize,
}

impl Slice {
    /// Returns the slice of page `number`, counted from 1.
    pub(crate) fn page(number: u64, size: usize) -> Self {
        let start = usize::try_from(number.saturating_sub(1))
            .unwrap_or(usize::MAX)
            .saturating_mul(size);
        Self { start, size }
    }

    /// Returns the number of the page that begins here, counted from 1.
    pub(crate) fn number(self) -> u64 {
        (self.start / self.size.max(1)) as u64 + 1
    }

    pub(crate) fn end(self) -> usize {
        self.start.saturating_add(self.size)
    }
}

/// What is wrong with the list of a page, on request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Twist {
    pub(crate) list: ListTwist,
    /// Shows the page this many pages earlier under this page's number.
    pub(crate) pages_back: usize,
    /// Shows rows from this many earlier on, as when records were inserted in front.
    pub(crate) rows_back: usize,
    /// Answers with the cursor that was asked with.
    pub(crate) repeats_cursor: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListTwist {
    #[default]
    None,
    Null,
    Empty,
    Text,
    Renamed(String),
}

/// Writes `"key":[…]` with the rows of `slice`, each by `write_row`.
pub(crate) fn write_list(
    out: &mut String,
    key: &str,
    rows: &Rows,
    slice: Slice,
    twist: &Twist,
    write_row: impl Fn(&mut String, usize),
) {
    let key = if let ListTwist::Renamed(name) = &twist.list {
        name
    } else {
        key
    };
    if !key.is_empty() {
        out.push('"');
        out.push_str(key);
        out.push_str("\":");
    }
    match twist.list {
        ListTwist::Null => return out.push_str("null"),
        ListTwist::Empty => return out.push_str("[]"),
        ListTwist::Text => return out.push_str("\"temporarily unavailable\""),
        ListTwist::None | ListTwist::Renamed(_) => {}
    }
    let back = twist
        .pages_back
        .saturating_mul(slice.size)
        .saturating_add(twist.rows_back);
    let start = slice.start.saturating_sub(back);
    out.push('[');
    for position in start..start.saturating_add(slice.size).min(rows.len()) {
        if let Some(index) = rows.at(position) {
            if position > start {
                out.push(',');
            }
            write_row(out, index);
        }
    }
    out.push(']');
}

/// Writes a text as JSON.
pub(crate) fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control.is_control() => {
                use std::fmt::Write as _;
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
}

/// Returns a number of cents as the API writes money: `21.0`, `81.53`.
pub(crate) fn money(cents: u64) -> String {
    let (whole, rest) = (cents / 100, cents % 100);
    if rest % 10 == 0 {
        format!("{whole}.{}", rest / 10)
    } else {
        format!("{whole}.{rest:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(rows: &Rows, slice: Slice, twist: &Twist) -> String {
        let mut out = String::new();
        write_list(&mut out, "rows", rows, slice, twist, |out, index| {
            out.push_str(&index.to_string());
        });
        out
    }

    #[test]
    fn pages_follow_one_another_and_the_last_is_short() {
        let rows = Rows::Forward(10..15);
        let plain = Twist::default();
        assert_eq!(list(&rows, Slice::page(1, 2), &plain), r#""rows":[10,11]"#);
        assert_eq!(list(&rows, Slice::page(3, 2), &plain), r#""rows":[14]"#);
        assert_eq!(list(&rows, Slice::page(4, 2), &plain), r#""rows":[]"#);
        assert_eq!(
            list(&Rows::Backward(10..15), Slice::page(1, 2), &plain),
            r#""rows":[14,13]"#
        );
        assert_eq!(
            list(&Rows::Picked(vec![7]), Slice::page(1, 2), &plain),
            r#""rows":[7]"#
        );
    }

    #[test]
    fn a_list_is_twisted_as_asked() {
        let rows = Rows::Forward(0..6);
        let with = |list| Twist {
            list,
            ..Twist::default()
        };
        let slice = Slice::page(2, 2);
        assert_eq!(list(&rows, slice, &with(ListTwist::Null)), r#""rows":null"#);
        assert_eq!(
            list(&rows, slice, &with(ListTwist::Renamed("people".into()))),
            r#""people":[2,3]"#
        );
        assert_eq!(
            list(
                &rows,
                slice,
                &Twist {
                    pages_back: 1,
                    ..Twist::default()
                }
            ),
            r#""rows":[0,1]"#
        );
        assert_eq!(
            list(
                &rows,
                slice,
                &Twist {
                    rows_back: 1,
                    ..Twist::default()
                }
            ),
            r#""rows":[1,2]"#
        );
    }

    #[test]
    fn money_is_written_as_the_api_does() {
        assert_eq!(
            [money(2_100), money(8_153), money(5), money(7)],
            ["21.0", "81.53", "0.05", "0.07"]
        );
    }
}

//! One secret as it may be spelled: character by character, so that any mixture is recognized.

use std::fmt::Write as _;
use std::ops::Range;

use memchr::memmem::Finder;

/// From this length on, other cases and line breaks inside are looked through too: chance no longer
/// makes such a text.
const LONG: usize = 8;
/// How much white space may stand between two characters: a line end and an indentation.
const MAX_GAP: usize = 16;
/// A run of plain characters this long is rare enough to look for in whole pages.
const SHORTEST_ANCHOR: usize = 3;
/// Quotes that programs put in one another's place.
const QUOTES: &[char] = &['"', '\'', '`', '´', '‘', '’', '“', '”'];

/// How closely a text is searched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// Every spelling, also broken over lines: for texts that people read.
    Texts,
    /// Every spelling whose plain characters stand as they are: for whole pages.
    Pages,
}

/// A secret in every spelling of each of its characters.
#[derive(Clone)]
pub(super) struct Pattern {
    characters: Vec<Vec<Vec<u8>>>,
    /// Where its longest run of characters that nobody escapes lies, and what finds it.
    anchors: Vec<Anchor>,
    /// Which bytes its first character may begin with.
    beginnings: Box<[bool; 256]>,
    /// Whether letters may be in the other case.
    any_case: bool,
    /// Whether chance cannot make such a text, broken over lines either.
    is_long: bool,
}

/// Whether letters in the other case say the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// Where the secret is long enough.
    Any,
    /// As in base64.
    Exact,
}

#[derive(Clone)]
struct Anchor {
    run: Range<usize>,
    finder: Finder<'static>,
}

impl Pattern {
    /// Prepares for `value`, which is not empty.
    pub(super) fn new(value: &str, case: Case) -> Self {
        let is_long = value.len() >= LONG;
        let any_case = is_long && case == Case::Any;
        let characters: Vec<Vec<Vec<u8>>> = value.chars().map(spellings).collect();
        let mut beginnings = Box::new([false; 256]);
        for spelling in characters.first().into_iter().flatten() {
            if let Some(byte) = spelling.first() {
                beginnings[usize::from(byte.to_ascii_lowercase())] = true;
                beginnings[usize::from(byte.to_ascii_uppercase())] = true;
            }
        }
        Self {
            characters,
            anchors: anchors(value, any_case),
            beginnings,
            any_case,
            is_long,
        }
    }

    /// Collects where the secret stands in `text`.
    pub(super) fn find(&self, text: &[u8], search: Search, found: &mut Vec<Range<usize>>) {
        if search == Search::Texts || self.anchors.is_empty() {
            let mut at = 0;
            while at < text.len() {
                if !self.beginnings[usize::from(text[at])] {
                    at += 1;
                    continue;
                }
                match self.forward(text, at, 0, search) {
                    Some(end) => {
                        found.push(at..end);
                        at = end;
                    }
                    None => at += 1,
                }
            }
            return;
        }
        for anchor in &self.anchors {
            for at in anchor.finder.find_iter(text) {
                let Some(start) = self.backward(text, at, anchor.run.start) else {
                    continue;
                };
                let behind = at + anchor.finder.needle().len();
                if let Some(end) = self.forward(text, behind, anchor.run.end, search) {
                    found.push(start..end);
                }
            }
        }
    }

    /// Returns the furthest end of the characters from `first` on, which begin at `at`.
    fn forward(&self, text: &[u8], at: usize, first: usize, search: Search) -> Option<usize> {
        let gaps = search == Search::Texts && self.is_long;
        let mut places = vec![at];
        for (index, spellings) in self.characters.iter().enumerate().skip(first) {
            let mut next = Vec::new();
            for place in &places {
                // The secret may have white space of its own, so every place in the gap is tried.
                let until = if gaps && index > 0 {
                    gap(text, *place)
                } else {
                    *place
                };
                for from in *place..=until {
                    for spelling in spellings {
                        let end = from + spelling.len();
                        let is_here = text
                            .get(from..end)
                            .is_some_and(|part| self.is(spelling, part));
                        if is_here && !next.contains(&end) {
                            next.push(end);
                        }
                    }
                }
            }
            if next.is_empty() {
                return None;
            }
            places = next;
        }
        places.into_iter().max()
    }

    /// Returns the earliest start of the first `count` characters, which end at `at`.
    fn backward(&self, text: &[u8], at: usize, count: usize) -> Option<usize> {
        let mut places = vec![at];
        for spellings in self.characters[..count].iter().rev() {
            let mut next = Vec::new();
            for place in &places {
                for spelling in spellings {
                    let Some(start) = place.checked_sub(spelling.len()) else {
                        continue;
                    };
                    if self.is(spelling, &text[start..*place]) && !next.contains(&start) {
                        next.push(start);
                    }
                }
            }
            if next.is_empty() {
                return None;
            }
            places = next;
        }
        places.into_iter().min()
    }

    /// Escapes are read in either case; letters too where the secret is long.
    fn is(&self, spelling: &[u8], part: &[u8]) -> bool {
        if self.any_case || spelling.len() > 1 {
            spelling.eq_ignore_ascii_case(part)
        } else {
            spelling == part
        }
    }
}

/// The longest run of characters that are written alike everywhere, as it is and in lower case.
fn anchors(value: &str, any_case: bool) -> Vec<Anchor> {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
    let characters: Vec<char> = value.chars().collect();
    let (mut best, mut start) = (0..0, 0);
    for index in 0..=characters.len() {
        if characters.get(index).is_some_and(plain) {
            continue;
        }
        if index - start > best.len() {
            best = start..index;
        }
        start = index + 1;
    }
    if best.len() < SHORTEST_ANCHOR.min(characters.len()) {
        return Vec::new();
    }
    let text: String = characters[best.clone()].iter().collect();
    let mut texts = vec![text.clone()];
    if any_case {
        texts.extend([text.to_ascii_lowercase(), text.to_ascii_uppercase()]);
    }
    texts.dedup();
    texts
        .into_iter()
        .map(|text| Anchor {
            run: best.clone(),
            finder: Finder::new(text.as_bytes()).into_owned(),
        })
        .collect()
}

/// Returns the end of the white space at `at`, plain or as JSON escapes it.
fn gap(text: &[u8], at: usize) -> usize {
    let mut end = at;
    while end < text.len() && end < at + MAX_GAP {
        match &text[end..] {
            [byte, ..] if byte.is_ascii_whitespace() => end += 1,
            [b'\\', b'n' | b'r' | b't', ..] => end += 2,
            _ => break,
        }
    }
    end
}

/// Returns every way in which an API may write one character.
fn spellings(character: char) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let quotes = QUOTES.contains(&character);
    let same = if quotes { QUOTES } else { &[character] };
    for character in same {
        spell(*character, &mut all);
    }
    all
}

fn spell(character: char, all: &mut Vec<Vec<u8>>) {
    let mut add = |text: String| {
        if !all.contains(&text.as_bytes().to_vec()) {
            all.push(text.into_bytes());
        }
    };
    add(character.to_string());
    let code = u32::from(character);
    let escaped = |prefix: &str| {
        let mut text = String::new();
        for byte in character.to_string().bytes() {
            let _ = write!(text, "{prefix}{byte:02x}");
        }
        text
    };
    add(escaped("%"));
    add(escaped("%25"));
    add(escaped("\\x"));
    let mut units = [0; 2];
    add(character
        .encode_utf16(&mut units)
        .iter()
        .fold(String::new(), |mut text, unit| {
            let _ = write!(text, "\\u{unit:04x}");
            text
        }));
    for zeros in ["", "0", "00", "000"] {
        add(format!("&#{zeros}{code};"));
        add(format!("&#x{zeros}{code:x};"));
    }
    let (named, short) = match character {
        '&' => ("&amp;", None),
        '<' => ("&lt;", None),
        '>' => ("&gt;", None),
        '"' => ("&quot;", None),
        '\'' => ("&apos;", None),
        ' ' => ("+", None),
        '\u{a0}' => ("&nbsp;", None),
        '\n' => ("\\n", None),
        '\r' => ("\\r", None),
        '\t' => ("\\t", Some("&Tab;")),
        '\u{8}' => ("\\b", None),
        '\u{c}' => ("\\f", None),
        _ => ("", None),
    };
    for text in [named, short.unwrap_or_default()] {
        if !text.is_empty() {
            add(text.to_owned());
        }
    }
    if character.is_ascii_punctuation() {
        add(format!("\\{character}"));
        add(format!("\\\\{character}"));
    }
}

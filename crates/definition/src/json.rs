use serde_json::Number;

use crate::node::{Content, Entry, MAX_DEPTH, MAX_NODES, Node};
use crate::problem::Problem;

/// Reads one JSON document; the error says line and column.
pub(crate) fn read(text: &str, source: &str) -> Result<Node, Box<Problem>> {
    let mut reader = Reader {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
        column: 1,
        nodes: 0,
    };
    let fail = |reader: &Reader<'_>, error: Fault| {
        Box::new(Problem::new(error.0, "", error.1).at(source, reader.line, reader.column))
    };
    reader.space();
    let node = match reader.value(0) {
        Ok(node) => node,
        Err(error) => return Err(fail(&reader, error)),
    };
    reader.space();
    if !reader.rest.is_empty() {
        return Err(fail(
            &reader,
            invalid("expected the end, found more after the JSON value"),
        ));
    }
    Ok(node)
}

/// A code and a message; the place is where the reader stands.
struct Fault(&'static str, String);

fn invalid(message: impl Into<String>) -> Fault {
    Fault(
        "request.json_invalid",
        format!("not JSON: {}", message.into()),
    )
}

struct Reader<'t> {
    rest: &'t str,
    line: u32,
    column: u32,
    nodes: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn advance(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
    }

    fn take(&mut self, expected: char) -> bool {
        let found = self.peek() == Some(expected);
        if found {
            self.advance(expected);
        }
        found
    }

    fn space(&mut self) {
        while let Some(c @ (' ' | '\t' | '\r' | '\n')) = self.peek() {
            self.advance(c);
        }
    }

    fn found(&self) -> String {
        self.peek().map_or_else(
            || "the end".to_owned(),
            |c| crate::problem::quoted(&c.to_string()),
        )
    }

    fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        if depth >= MAX_DEPTH {
            return Err(Fault(
                "request.too_deep",
                format!("nested more than {MAX_DEPTH} levels deep"),
            ));
        }
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Fault(
                "request.too_large",
                format!("more than {MAX_NODES} values"),
            ));
        }
        let (line, column) = (self.line, self.column);
        let content = match self.peek() {
            Some('{') => self.map(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => Content::Text(self.text()?),
            Some('-' | '0'..='9') => self.number()?,
            Some('t') => self.word("true", Content::Bool(true))?,
            Some('f') => self.word("false", Content::Bool(false))?,
            Some('n') => self.word("null", Content::Null)?,
            _ => return Err(invalid(format!("expected a value, found {}", self.found()))),
        };
        Ok(Node {
            content,
            line,
            column,
        })
    }

    fn map(&mut self, depth: usize) -> Result<Content, Fault> {
        self.advance('{');
        let mut entries = Vec::new();
        self.space();
        if self.take('}') {
            return Ok(Content::Map(entries));
        }
        loop {
            self.space();
            let (line, column) = (self.line, self.column);
            if self.peek() != Some('"') {
                return Err(invalid(format!(
                    "expected a key in double quotes, found {}",
                    self.found()
                )));
            }
            let key = self.text()?;
            self.space();
            if !self.take(':') {
                return Err(invalid(format!(
                    "expected `:` after the key, found {}",
                    self.found()
                )));
            }
            self.space();
            let value = self.value(depth + 1)?;
            entries.push(Entry {
                key,
                line,
                column,
                value,
            });
            self.space();
            if self.take('}') {
                return Ok(Content::Map(entries));
            }
            if !self.take(',') {
                return Err(invalid(format!(
                    "expected `,` or `}}`, found {}",
                    self.found()
                )));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Content, Fault> {
        self.advance('[');
        let mut items = Vec::new();
        self.space();
        if self.take(']') {
            return Ok(Content::List(items));
        }
        loop {
            self.space();
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take(']') {
                return Ok(Content::List(items));
            }
            if !self.take(',') {
                return Err(invalid(format!(
                    "expected `,` or `]`, found {}",
                    self.found()
                )));
            }
        }
    }

    fn word(&mut self, word: &str, content: Content) -> Result<Content, Fault> {
        for c in word.chars() {
            if !self.take(c) {
                return Err(invalid(format!(
                    "expected `{word}`, found {}",
                    self.found()
                )));
            }
        }
        Ok(content)
    }

    fn number(&mut self) -> Result<Content, Fault> {
        let end = self
            .rest
            .find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
            .unwrap_or(self.rest.len());
        let text = self.rest[..end].to_owned();
        // serde_json knows the grammar; it also refuses what no double can hold.
        let number: Number =
            serde_json::from_str(&text).map_err(|_| invalid("this is no number"))?;
        text.chars().for_each(|c| self.advance(c));
        Ok(Content::Number(number, text))
    }

    fn text(&mut self) -> Result<String, Fault> {
        self.advance('"');
        let mut out = String::new();
        loop {
            let Some(c) = self.peek() else {
                return Err(invalid("the text does not end"));
            };
            match c {
                '"' => {
                    self.advance(c);
                    return Ok(out);
                }
                '\\' => {
                    self.advance(c);
                    out.push(self.escape()?);
                }
                c if (c as u32) < 0x20 => {
                    return Err(invalid("a control character inside text must be escaped"));
                }
                c => {
                    self.advance(c);
                    out.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let Some(c) = self.peek() else {
            return Err(invalid("the text does not end"));
        };
        let plain = match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                self.advance(c);
                return self.unicode();
            }
            _ => {
                return Err(invalid(format!(
                    "{} is no escape",
                    crate::problem::quoted(&c.to_string())
                )));
            }
        };
        self.advance(c);
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, Fault> {
        let first = self.hex()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            if !(self.take('\\') && self.take('u')) {
                return Err(invalid("half of a surrogate pair"));
            }
            let second = self.hex()?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err(invalid("half of a surrogate pair"));
            }
            0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| invalid("half of a surrogate pair"))
    }

    fn hex(&mut self) -> Result<u32, Fault> {
        let mut code = 0;
        for _ in 0..4 {
            let Some((c, digit)) = self.peek().and_then(|c| Some((c, c.to_digit(16)?))) else {
                return Err(invalid("expected four hexadecimal digits"));
            };
            self.advance(c);
            code = code * 16 + digit;
        }
        Ok(code)
    }
}

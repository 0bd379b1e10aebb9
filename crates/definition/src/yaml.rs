use std::collections::HashMap;

use serde_json::Number;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, Tag, options};

use crate::node::{Content, Entry, MAX_DEPTH, MAX_NODES, Node};
use crate::problem::Problem;

/// Values that anchors may hold and aliases may repeat in one bundle: enough to share a request,
/// too few for a bomb.
const MAX_ALIASED: usize = 10_000;

/// Reads YAML documents; the first broken one ends the reading, those before it are kept.
pub(crate) fn read(text: &str, source: &str) -> (Vec<Node>, Vec<Problem>) {
    let mut reader = Reader {
        source,
        documents: Vec::new(),
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        aliased: 0,
    };
    let options = options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH
    };
    let mut problems = Vec::new();
    for event in Parser::new_from_str_with_options(text, options) {
        let result = match event {
            Ok((event, span)) => reader.event(event, &span),
            Err(error) => {
                let (line, column) = place(error.marker().line(), error.marker().col());
                let message = format!("not YAML: {}", error.kind());
                Err(Box::new(
                    Problem::new("request.yaml_invalid", "", message).at(source, line, column),
                ))
            }
        };
        if let Err(problem) = result {
            problems.push(*problem);
            break;
        }
    }
    (reader.documents, problems)
}

struct Reader<'s> {
    source: &'s str,
    documents: Vec<Node>,
    /// Lists and maps that have begun, outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    aliased: usize,
}

struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value, in a map.
    key: Option<(String, u32, u32)>,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Box<Problem>> {
        let (line, column) = place(span.start.line(), span.start.col());
        let node = |content| Node {
            content,
            line,
            column,
        };
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let content = self.scalar(&text, style, tag.as_deref(), line, column)?;
                self.finish(node(content), anchor)?;
            }
            Event::SequenceStart(_, _, Some(_)) | Event::MappingStart(_, _, Some(_)) => {
                return self.fail(
                    "definition.yaml_tag",
                    "tags are not read here",
                    line,
                    column,
                );
            }
            Event::SequenceStart(_, anchor, _) => {
                self.begin(node(Content::List(Vec::new())), anchor)?;
            }
            Event::MappingStart(_, anchor, _) => {
                self.begin(node(Content::Map(Vec::new())), anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.finish(open.node, open.anchor)?;
                }
            }
            Event::Alias(id) => {
                let Some(target) = self.anchors.get(&id) else {
                    return self.fail(
                        "definition.alias",
                        "an alias cannot stand inside what it repeats",
                        line,
                        column,
                    );
                };
                self.aliased += target.count();
                if self.aliased > MAX_ALIASED {
                    return self.too_much(line, column);
                }
                let target = target.clone();
                self.finish(target, 0)?;
            }
            Event::UnresolvedAlias(name) => {
                let message = format!(
                    "nothing is called {} here",
                    crate::problem::quoted(&format!("&{name}"))
                );
                return self.fail("definition.alias", message, line, column);
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, node: Node, anchor: usize) -> Result<(), Box<Problem>> {
        let (line, column) = (node.line, node.column);
        if self.open.len() >= MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            return self.fail("request.too_deep", message, line, column);
        }
        if let Some(Open {
            node: Node {
                content: Content::Map(_),
                ..
            },
            key: None,
            ..
        }) = self.open.last()
        {
            return self.fail(
                "definition.type",
                "a key must be a word, not a list or a map",
                line,
                column,
            );
        }
        self.open.push(Open {
            node,
            anchor,
            key: None,
        });
        Ok(())
    }

    /// Puts a whole value where it belongs.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Box<Problem>> {
        let (line, column) = (node.line, node.column);
        self.nodes += 1;
        if self.nodes + self.aliased > MAX_NODES {
            return self.fail(
                "request.too_large",
                format!("more than {MAX_NODES} values"),
                line,
                column,
            );
        }
        if anchor > 0 {
            self.aliased += node.count();
            if self.aliased > MAX_ALIASED {
                return self.too_much(line, column);
            }
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match (&mut open.node.content, open.key.take()) {
            (Content::List(items), _) => items.push(node),
            (Content::Map(entries), Some((key, line, column))) => entries.push(Entry {
                key,
                line,
                column,
                value: node,
            }),
            (Content::Map(_), None) => match node.content {
                Content::Text(key) | Content::Number(_, key) => {
                    open.key = Some((key, line, column));
                }
                Content::Bool(flag) => open.key = Some((flag.to_string(), line, column)),
                _ => {
                    return self.fail("definition.type", "a key must be a word", line, column);
                }
            },
            _ => {}
        }
        Ok(())
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        line: u32,
        column: u32,
    ) -> Result<Content, Box<Problem>> {
        match tag {
            Some(tag) if tag.is_yaml_core_schema_tag("str") => {
                return Ok(Content::Text(text.to_owned()));
            }
            Some(_) => {
                return self.fail(
                    "definition.yaml_tag",
                    "tags other than !!str are not read here",
                    line,
                    column,
                );
            }
            None => {}
        }
        if style != ScalarStyle::Plain {
            return Ok(Content::Text(text.to_owned()));
        }
        Ok(match text {
            "" | "~" | "null" | "Null" | "NULL" => Content::Null,
            "true" | "True" | "TRUE" => Content::Bool(true),
            "false" | "False" | "FALSE" => Content::Bool(false),
            _ => match number(text) {
                Some(number) => Content::Number(number, text.to_owned()),
                None => Content::Text(text.to_owned()),
            },
        })
    }

    fn too_much<T>(&self, line: u32, column: u32) -> Result<T, Box<Problem>> {
        let message = format!("anchors and aliases repeat more than {MAX_ALIASED} values");
        let problem = Problem::new("definition.alias", "", message)
            .hint("write the values out, or let metrics share a dataset");
        Err(Box::new(problem.at(self.source, line, column)))
    }

    fn fail<T>(
        &self,
        code: &'static str,
        message: impl Into<String>,
        line: u32,
        column: u32,
    ) -> Result<T, Box<Problem>> {
        Err(Box::new(Problem::new(code, "", message).at(
            self.source,
            line,
            column,
        )))
    }
}

/// The number that a plain word is in YAML's core schema, if it is one; what is too large for a whole number is
/// kept with its text, for the decoder to refuse at its path.
fn number(text: &str) -> Option<Number> {
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let plain = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
            return match u64::from_str_radix(digits, radix) {
                Ok(number) if plain => Some(number.into()),
                Err(_) if plain => Number::from_f64(digits.chars().fold(0.0, |sum, digit| {
                    sum * f64::from(radix) + f64::from(digit.to_digit(radix).unwrap_or(0))
                })),
                _ => None,
            };
        }
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let digits = text.strip_prefix('+').unwrap_or(text);
        return match (digits.parse::<i64>(), digits.parse::<u64>()) {
            (Ok(number), _) => Some(number.into()),
            (_, Ok(number)) => Some(number.into()),
            _ => digits.parse::<f64>().ok().and_then(Number::from_f64),
        };
    }
    if !unsigned
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        return None;
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

fn place(line: usize, column: usize) -> (u32, u32) {
    (
        u32::try_from(line).unwrap_or(u32::MAX),
        u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1),
    )
}

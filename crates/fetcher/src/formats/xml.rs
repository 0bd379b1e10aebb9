//! Elements and attributes as objects.
//!
//! The document is an object with the root's name. An element with neither attributes nor elements is its text, or
//! null when it has none; any other is an object of `@attribute`s, elements by name, and `#text` where it has text of
//! its own. An element that comes again beside itself becomes a list, in the order of the document; JSONata treats
//! one and several alike, and `lists` makes what it names a list however many there are. Names keep their prefixes.
//! Comments and processing instructions are left out. Entities of a document's own are refused.

use definition::ResponseFormat;
use indexmap::IndexMap;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::{malformed, push_text, too_large};
use crate::decode::{DEPTH_LIMIT, Unusable, VALUE_LIMIT};

/// An element under way; what is in it is kept as JSON.
struct Element {
    name: String,
    path: String,
    attributes: Vec<u8>,
    text: String,
    children: IndexMap<String, Group>,
}

/// Elements of one name beside one another.
#[derive(Default)]
struct Group {
    count: usize,
    json: Vec<u8>,
}

/// Returns the document as JSON.
pub(super) fn to_json(body: &[u8], lists: &[String], cap: usize) -> Result<Vec<u8>, Unusable> {
    let text = std::str::from_utf8(body).map_err(|error| Unusable::Encoding {
        reason: format!("it is not UTF-8 at offset {}", error.valid_up_to()),
    })?;
    let mut document = Document {
        lists,
        cap,
        values: 0,
        open: Vec::new(),
        root: None,
    };
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    loop {
        let at = reader.buffer_position();
        let event = reader
            .read_event()
            .map_err(|error| fail(&error.to_string(), reader.error_position(), body))?;
        let done = matches!(event, Event::Eof);
        document.take(event).map_err(|fault| fault.at(at, body))?;
        if done {
            break;
        }
    }
    if let Some(open) = document.open.last() {
        return Err(Unusable::Malformed {
            format: ResponseFormat::Xml,
            reason: format!("it ends in the middle, inside of <{}>", open.name),
            ends_early: true,
        });
    }
    document
        .root
        .ok_or_else(|| malformed(ResponseFormat::Xml, "it has no element"))
}

/// Returns the encoding that the declaration of a document names.
pub(super) fn declared_encoding(body: &[u8]) -> Option<String> {
    let start = &body[..body.len().min(200)];
    let end = memchr::memmem::find(start, b"?>")?;
    let declaration = start[..end].strip_prefix(b"<?xml")?;
    let declaration = std::str::from_utf8(declaration).ok()?;
    let (_, rest) = declaration.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split(quote).next().map(str::to_owned)
}

struct Document<'a> {
    lists: &'a [String],
    cap: usize,
    values: u64,
    open: Vec<Element>,
    root: Option<Vec<u8>>,
}

/// What is wrong with an event.
enum Fault {
    Text(String),
    Other(Unusable),
}

impl Fault {
    fn at(self, position: u64, body: &[u8]) -> Unusable {
        match self {
            Fault::Text(text) => fail(&text, position, body),
            Fault::Other(unusable) => unusable,
        }
    }
}

impl Document<'_> {
    fn take(&mut self, event: Event<'_>) -> Result<(), Fault> {
        match event {
            Event::Start(start) => self.begin(&start),
            Event::End(_) => self.end(),
            Event::Text(text) => self.text(&text.xml10_content()),
            Event::CData(text) => self.text(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let resolved = reference
                    .resolve_char_ref()
                    .map_err(|error| Fault::Text(error.to_string()))?;
                if let Some(character) = resolved {
                    return self.text(character.encode_utf8(&mut [0; 4]));
                }
                let name = reference.into_inner();
                match resolve_xml_entity(&name) {
                    Some(text) => self.text(text),
                    None => Err(Fault::Text(format!("unknown entity &{name};"))),
                }
            }
            // What a document may define here expands without bounds, and no API needs it.
            Event::DocType(doctype) if doctype.contains('[') => {
                let reason = "it defines entities of its own, which are not read";
                Err(Fault::Text(reason.to_owned()))
            }
            // The parser expands empty elements into a start and an end.
            Event::Empty(_)
            | Event::DocType(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::Comment(_)
            | Event::Eof => Ok(()),
        }
    }

    fn begin(&mut self, start: &BytesStart<'_>) -> Result<(), Fault> {
        if self.open.len() >= DEPTH_LIMIT - 2 {
            return Err(Fault::Other(Unusable::TooDeep));
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err(Fault::Text("a second root element".to_owned()));
        }
        let name = start.name().into_inner().to_owned();
        let path = match self.open.last() {
            Some(parent) => format!("{}.{name}", parent.path),
            None => name.clone(),
        };
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| Fault::Text(error.to_string()))?;
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| Fault::Text(error.to_string()))?;
            self.count(2)?;
            if !attributes.is_empty() {
                attributes.push(b',');
            }
            push_text(&mut attributes, &format!("@{}", attribute.key.into_inner()));
            attributes.push(b':');
            push_text(&mut attributes, &value);
        }
        self.count(2)?;
        self.open.push(Element {
            name,
            path,
            attributes,
            text: String::new(),
            children: IndexMap::new(),
        });
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Fault> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => {
                return Err(Fault::Text("text outside of the root element".to_owned()));
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(element) = self.open.pop() else {
            return Err(Fault::Text("an end without a beginning".to_owned()));
        };
        let name = element.name.clone();
        let json = self.finish(element)?;
        if json.len() > self.cap {
            return Err(Fault::Other(too_large(self.cap)));
        }
        let Some(parent) = self.open.last_mut() else {
            let mut root = b"{".to_vec();
            push_text(&mut root, &name);
            root.push(b':');
            root.extend_from_slice(&json);
            root.push(b'}');
            self.root = Some(root);
            return Ok(());
        };
        let group = parent.children.entry(name).or_default();
        if group.count > 0 {
            group.json.push(b',');
        }
        group.json.extend_from_slice(&json);
        group.count += 1;
        Ok(())
    }

    /// Writes a whole element as JSON.
    fn finish(&mut self, mut element: Element) -> Result<Vec<u8>, Fault> {
        for list in self.lists {
            let Some((parent, name)) = list.rsplit_once('.') else {
                continue;
            };
            if parent == element.path && !element.children.contains_key(name) {
                self.count(2)?;
                element.children.insert(name.to_owned(), Group::default());
            }
        }
        let mut out = Vec::new();
        let text = element.text.trim();
        if element.attributes.is_empty() && element.children.is_empty() {
            if text.is_empty() {
                return Ok(b"null".to_vec());
            }
            push_text(&mut out, text);
            return Ok(out);
        }
        out.push(b'{');
        out.extend_from_slice(&element.attributes);
        let separate = |out: &mut Vec<u8>| {
            if out.len() > 1 {
                out.push(b',');
            }
        };
        for (name, group) in &element.children {
            separate(&mut out);
            push_text(&mut out, name);
            out.push(b':');
            let path = format!("{}.{name}", element.path);
            let is_list = group.count != 1 || self.lists.contains(&path);
            if is_list {
                out.push(b'[');
            }
            out.extend_from_slice(&group.json);
            if is_list {
                out.push(b']');
            }
        }
        if !text.is_empty() {
            separate(&mut out);
            out.extend_from_slice(b"\"#text\":");
            push_text(&mut out, text);
        }
        out.push(b'}');
        Ok(out)
    }

    fn count(&mut self, values: u64) -> Result<(), Fault> {
        self.values += values;
        if self.values > VALUE_LIMIT {
            return Err(Fault::Other(Unusable::TooManyValues));
        }
        Ok(())
    }
}

/// An error with the byte, the line and the column where it is.
fn fail(reason: &str, position: u64, body: &[u8]) -> Unusable {
    let at = usize::try_from(position)
        .unwrap_or(body.len())
        .min(body.len());
    let line = memchr::memchr_iter(b'\n', &body[..at]).count() + 1;
    Unusable::Malformed {
        format: ResponseFormat::Xml,
        reason: format!("{reason} at byte {at}, line {line}"),
        ends_early: at >= body.len(),
    }
}

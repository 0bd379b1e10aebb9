use super::{Decoder, Fields, Key, Place, TextRule};
use crate::node::Content;
use crate::problem::{Problem, quoted};
use crate::response::{Compression, CsvHeader, Response, ResponseFormat};
use crate::schema;

pub(crate) const RESPONSE: &[Key] = &[
    Key::required("format", "json, ndjson, csv or xml", || {
        schema::words(ResponseFormat::WORDS)
    }),
    Key::optional(
        "delimiter",
        "csv: the character between two values (,)",
        schema::line,
    ),
    Key::optional(
        "header",
        "csv: true (the default) when the first line names the columns, false when nothing does, or their names",
        schema::csv_header,
    ),
    Key::optional(
        "lists",
        "xml: elements that are lists however many there are, as dotted paths from the root",
        schema::element_paths,
    ),
    Key::optional(
        "encoding",
        "the charset, over what the answer says of itself; such as iso-8859-1",
        schema::line,
    ),
    Key::optional(
        "compression",
        "auto (the default), gzip, or zip with one file in it",
        || schema::words(Compression::WORDS),
    ),
];

pub(super) fn response(decoder: &mut Decoder, place: &Place<'_>) -> Option<Response> {
    let word = |decoder: &mut Decoder, place: &Place<'_>| {
        decoder.word(
            place,
            ResponseFormat::WORDS,
            "definition.response_format",
            ResponseFormat::parse,
        )
    };
    if let Content::Text(_) = &place.node.content {
        let format = word(decoder, place)?;
        return Some(Response {
            format,
            ..Response::default()
        });
    }
    let fields = decoder.object(place, RESPONSE, "a format, such as `csv`")?;
    let format = fields.get("format").and_then(|p| word(decoder, &p))?;
    only_for(decoder, &fields, format);
    Some(Response {
        format,
        delimiter: fields.get("delimiter").and_then(|p| delimiter(decoder, &p)),
        header: fields
            .get("header")
            .and_then(|p| header(decoder, &p))
            .unwrap_or_default(),
        lists: fields
            .get("lists")
            .map(|p| lists(decoder, &p))
            .unwrap_or_default(),
        encoding: fields.get("encoding").and_then(|p| encoding(decoder, &p)),
        compression: fields
            .get("compression")
            .and_then(|p| {
                decoder.word(
                    &p,
                    Compression::WORDS,
                    "definition.response_format",
                    Compression::parse,
                )
            })
            .unwrap_or_default(),
    })
}

/// Refuses settings that another format has.
fn only_for(decoder: &mut Decoder, fields: &Fields<'_>, format: ResponseFormat) {
    for (key, owner) in [
        ("delimiter", ResponseFormat::Csv),
        ("header", ResponseFormat::Csv),
        ("lists", ResponseFormat::Xml),
    ] {
        if owner != format
            && let Some(place) = fields.get(key)
        {
            wrong(
                decoder,
                &place,
                format!("`{key}` belongs to the format `{owner}`, and this is `{format}`"),
            );
        }
    }
}

fn wrong<'d>(decoder: &'d mut Decoder, place: &Place<'_>, message: String) -> &'d mut Problem {
    decoder.problem(place, "definition.response_format", message)
}

fn delimiter(decoder: &mut Decoder, place: &Place<'_>) -> Option<char> {
    let Content::Text(text) = &place.node.content else {
        decoder.wrong_type(place, "one character, such as \";\"");
        return None;
    };
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) if one.is_ascii() && !matches!(one, '"' | '\r' | '\n' | '\0') => {
            Some(one)
        }
        _ => {
            let message = format!(
                "{} is no delimiter: one character is needed that is neither a quote nor a line end",
                quoted(text)
            );
            wrong(decoder, place, message).hint =
                Some("write \"\\t\" for a tab, in double quotes".to_owned());
            None
        }
    }
}

fn header(decoder: &mut Decoder, place: &Place<'_>) -> Option<CsvHeader> {
    match &place.node.content {
        Content::Bool(true) => Some(CsvHeader::FirstLine),
        Content::Bool(false) => Some(CsvHeader::Absent),
        Content::List(_) => {
            let names: Vec<String> = place
                .items()
                .iter()
                .filter_map(|item| decoder.scalar(item, TextRule::Line(200)))
                .collect();
            let mut seen = std::collections::HashSet::new();
            if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
                wrong(
                    decoder,
                    place,
                    format!("the column {} is named twice", quoted(twice)),
                );
            }
            if names.is_empty() || names.len() > Response::MAX_COLUMNS {
                let message = format!(
                    "names of 1 to {} columns are needed, these are {}",
                    Response::MAX_COLUMNS,
                    names.len()
                );
                wrong(decoder, place, message);
            }
            Some(CsvHeader::Named(names))
        }
        _ => {
            decoder.wrong_type(place, "true, false or the names of the columns");
            None
        }
    }
}

fn lists(decoder: &mut Decoder, place: &Place<'_>) -> Vec<String> {
    if !matches!(place.node.content, Content::List(_)) {
        decoder.wrong_type(place, "a list of elements, such as [feed.entry]");
        return Vec::new();
    }
    let mut paths = Vec::new();
    for item in place.items() {
        let Some(path) = decoder.text(&item, TextRule::Line(1_000)) else {
            continue;
        };
        if path.split('.').any(|name| name.trim().is_empty()) {
            wrong(
                decoder,
                &item,
                format!(
                    "{} is no path of elements, such as feed.entry",
                    quoted(&path)
                ),
            );
        }
        paths.push(path);
    }
    if paths.len() > Response::MAX_LISTS {
        let message = format!("more than {} paths", Response::MAX_LISTS);
        wrong(decoder, place, message);
    }
    paths
}

fn encoding(decoder: &mut Decoder, place: &Place<'_>) -> Option<String> {
    let text = decoder.text(place, TextRule::Line(100))?;
    let known = encoding_rs::Encoding::for_label_no_replacement(text.as_bytes());
    if known.is_none() {
        wrong(
            decoder,
            place,
            format!("the charset {} is not known", quoted(&text)),
        )
        .hint = Some("names are those of the WHATWG list, such as iso-8859-1, windows-1252, shift_jis or utf-16le".to_owned());
    }
    Some(text)
}

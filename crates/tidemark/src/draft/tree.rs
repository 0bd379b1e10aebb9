//! What an answer holds, as a tree for people: types, lengths, samples, and what the values look like.

use expression::profile::{Field, Kind, Meaning, Profile};

/// Deeper levels are not drawn.
const DEPTH: usize = 8;
/// Fields of one place that are drawn.
const FIELDS: usize = 60;
/// Members of a dimension that are named.
const MEMBERS: usize = 6;

/// Draws the tree, one line for each field.
pub(crate) fn lines(profile: &Profile) -> Vec<String> {
    let mut lines = Vec::new();
    draw("answer", &profile.root, 0, &mut lines);
    if profile.cut {
        lines.push("… and more that is not shown".to_owned());
    }
    lines
}

fn draw(name: &str, field: &Field, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    let mut line = format!("{indent}{name}  {}", kinds(field));
    if let Some(length) = field.length {
        let long = if length.shortest == length.longest {
            length.longest.to_string()
        } else {
            format!("{} to {}", length.shortest, length.longest)
        };
        line = format!("{line} of {long}");
    }
    let looks = looks(field);
    if !looks.is_empty() {
        line = format!("{line}  {looks}");
    }
    lines.push(line);
    if depth == DEPTH {
        return;
    }
    for inside in field.fields.iter().take(FIELDS) {
        let name = if inside.name == "[]" {
            "items"
        } else {
            &inside.name
        };
        draw(name, inside, depth + 1, lines);
    }
    if field.fields.len() > FIELDS {
        let more = field.fields.len() - FIELDS;
        lines.push(format!("{indent}  … {more} more fields"));
    }
}

/// `text`, `number or null`
fn kinds(field: &Field) -> String {
    let words: Vec<&str> = field
        .kinds
        .keys()
        .map(|kind| match kind {
            Kind::Object => "object",
            Kind::Array => "array",
            Kind::Text => "text",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Null => "null",
        })
        .collect();
    if words.is_empty() {
        "empty".to_owned()
    } else {
        words.join(" or ")
    }
}

fn looks(field: &Field) -> String {
    let looks = &field.looks;
    let mut parts = Vec::new();
    if let Some(sample) = &field.sample {
        parts.push(if field.kinds.contains_key(&Kind::Text) {
            format!("\"{sample}\"")
        } else {
            sample.clone()
        });
    }
    if let Some(date) = &looks.date {
        let zone = if date.zoned { "" } else { ", without a zone" };
        let doubt = date
            .or
            .as_ref()
            .map_or(String::new(), |or| format!(" (or {or}?)"));
        parts.push(format!("[date: {}{doubt}{zone}]", date.format));
    }
    if let Some(format) = looks
        .number
        .as_ref()
        .and_then(|number| number.format.as_ref())
    {
        parts.push(format!("[number: {format}]"));
    }
    parts.extend(looks.meaning.map(|meaning| {
        match meaning {
            Meaning::Id => "[id]",
            Meaning::Email => "[e-mail]",
            Meaning::Url => "[address]",
            Meaning::Currency => "[currency]",
        }
        .to_owned()
    }));
    if looks.members.len() > 1 {
        let named: Vec<String> = looks
            .members
            .iter()
            .take(MEMBERS)
            .map(|(text, count)| format!("{text} {count}"))
            .collect();
        let more = if looks.members.len() > MEMBERS {
            ", …"
        } else {
            ""
        };
        parts.push(format!("[{}{more}]", named.join(", ")));
    }
    parts.join("  ")
}

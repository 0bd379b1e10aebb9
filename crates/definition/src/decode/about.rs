//! What goals, alerts, boards and scorecards have in common.

use super::{DESCRIPTION, Decoder, Fields, OWNER, Place, TITLE, TextRule};
use crate::about::{About, Where};
use crate::name::Name;
use crate::node::Content;
use crate::range_name::RangeName;

/// More texts of one dimension are not a filter but a copy of the data.
const MOST_TEXTS: usize = 200;
/// More dimensions than a metric has.
const MOST_DIMENSIONS: usize = 16;

pub(super) fn about(decoder: &mut Decoder, f: &Fields<'_>) -> About {
    About {
        title: f.get("title").and_then(|p| decoder.text(&p, TITLE)),
        description: f
            .get("description")
            .and_then(|p| decoder.text(&p, DESCRIPTION)),
        owner: f.get("owner").and_then(|p| decoder.text(&p, OWNER)),
        tags: f
            .get("tags")
            .map(|p| super::metric::tags(decoder, &p))
            .unwrap_or_default(),
    }
}

/// Reads a name that is required, or stands in for it.
pub(super) fn name(decoder: &mut Decoder, f: &Fields<'_>, key: &str) -> Name {
    f.get(key)
        .and_then(|p| decoder.name(&p))
        .unwrap_or_else(Name::placeholder)
}

/// Reads `where`: a dimension with a text or a list of texts.
pub(super) fn where_(decoder: &mut Decoder, f: &Fields<'_>) -> Where {
    let mut found = Where::new();
    let Some(place) = f.get("where") else {
        return found;
    };
    let Some(fields) = decoder.map(&place, "dimensions with their texts") else {
        return found;
    };
    for (entry, inner) in fields.each() {
        let Some(name) = decoder.name_text(&inner, &entry.key) else {
            continue;
        };
        let texts = texts(decoder, &inner);
        if texts.is_empty() || texts.len() > MOST_TEXTS {
            let message = format!("a dimension has 1 to {MOST_TEXTS} texts");
            decoder.problem(&inner, "definition.where", message);
        }
        found.insert(name, texts);
    }
    if found.len() > MOST_DIMENSIONS {
        let message = format!("{} dimensions; at most {MOST_DIMENSIONS}", found.len());
        decoder.problem(&place, "definition.where", message);
    }
    found
}

fn texts(decoder: &mut Decoder, place: &Place<'_>) -> Vec<String> {
    let one = |decoder: &mut Decoder, place: &Place<'_>| decoder.scalar(place, TextRule::Line(500));
    match place.node.content {
        Content::List(_) => place
            .items()
            .iter()
            .filter_map(|item| one(decoder, item))
            .collect(),
        _ => one(decoder, place).into_iter().collect(),
    }
}

/// Reads the name of a range.
pub(super) fn range(decoder: &mut Decoder, f: &Fields<'_>, key: &str) -> Option<RangeName> {
    let place = f.get(key)?;
    let text = decoder.text(&place, TextRule::Line(60))?;
    let found = RangeName::parse(&text);
    if found.is_none() {
        let message = format!(
            "{} is no range; there are {}",
            crate::problem::quoted(&text),
            RangeName::EXAMPLES
        );
        decoder.problem(&place, "definition.range", message);
    }
    found
}

/// Reads a list of names.
pub(super) fn names(decoder: &mut Decoder, f: &Fields<'_>, key: &str, most: usize) -> Vec<Name> {
    let Some(place) = f.get(key) else {
        return Vec::new();
    };
    if !matches!(place.node.content, Content::List(_)) {
        decoder.wrong_type(&place, "an array of names");
        return Vec::new();
    }
    let items = place.items();
    if items.len() > most {
        let message = format!("{} of them; at most {most}", items.len());
        decoder.problem(&place, "definition.too_many", message);
    }
    items.iter().filter_map(|item| decoder.name(item)).collect()
}

/// Reads the items of a list that has at least one and at most `most` of them.
pub(super) fn items<T>(
    decoder: &mut Decoder,
    f: &Fields<'_>,
    key: &str,
    most: usize,
    read: impl Fn(&mut Decoder, &Place<'_>) -> Option<T>,
) -> Vec<T> {
    let Some(place) = f.get(key) else {
        return Vec::new();
    };
    let Content::List(found) = &place.node.content else {
        decoder.wrong_type(&place, "an array");
        return Vec::new();
    };
    if found.is_empty() || found.len() > most {
        let message = format!("holds 1 to {most} items, not {}", found.len());
        decoder.problem(&place, "definition.too_many", message);
        return Vec::new();
    }
    place
        .items()
        .iter()
        .filter_map(|item| read(decoder, item))
        .collect()
}

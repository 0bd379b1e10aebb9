use indexmap::IndexMap;
use serde_json::Value;

use super::{Decoder, Key, Place, TextRule};
use crate::name::Name;
use crate::node::Content;
use crate::schema;
use crate::variable::{LookUp, Variable};

pub(crate) const LOOK_UP: &[Key] = &[
    Key::required(
        "path",
        "the path below base_url that is asked; its templates know the constants only",
        schema::line,
    ),
    Key::required(
        "select",
        "where the answer holds the value (JSONata)",
        schema::expression,
    ),
];

/// Reads a connection's variables.
pub(super) fn variables(decoder: &mut Decoder, place: &Place<'_>) -> IndexMap<Name, Variable> {
    let Some(fields) = decoder.map(place, "names and their values") else {
        return IndexMap::new();
    };
    let mut found = IndexMap::new();
    for (entry, place) in fields.each() {
        let name = decoder.name_text(&place, &entry.key);
        let variable = variable(decoder, &place);
        found.extend(name.zip(variable));
    }
    if found.len() > Variable::MOST {
        let message = format!("{} variables; at most {}", found.len(), Variable::MOST);
        decoder.problem(place, "definition.variables", message);
    }
    found
}

fn variable(decoder: &mut Decoder, place: &Place<'_>) -> Option<Variable> {
    let constant = match &place.node.content {
        Content::Text(_) => Value::String(decoder.text(place, TextRule::Line(Variable::MAX_TEXT))?),
        Content::Number(number, _) => {
            decoder.exact(place);
            Value::Number(number.clone())
        }
        Content::Bool(flag) => Value::Bool(*flag),
        Content::Map(_) => {
            let fields = decoder.object(place, LOOK_UP, "{ path, select }")?;
            let path = fields
                .get("path")
                .and_then(|p| decoder.text(&p, TextRule::Line(100_000)));
            let select = fields.get("select").and_then(|p| decoder.expression(&p));
            return Some(Variable::LookedUp(LookUp {
                path: path?,
                select: select?,
            }));
        }
        _ => {
            decoder.wrong_type(place, "text, a number, true, false, or { path, select }");
            return None;
        }
    };
    Some(Variable::Constant(constant))
}

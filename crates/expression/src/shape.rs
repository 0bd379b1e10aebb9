//! What the text of an expression says about its rows, before there are any.

use jlens_core::ast::{Node, NodeKind};

use crate::check;
use crate::task::RecordsAt;

/// What the text of an expression says about its rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct RowShape {
    pub(crate) has_date: bool,
    pub(crate) dimensions: Vec<String>,
    /// The places that the expression begins with: a path of plain names, or the arguments of `$zip` and `$each`.
    pub(crate) records: Option<RecordsAt>,
}

/// Reads the shape of rows off the object constructors that hold a `"value"`.
pub(crate) fn row_shape(source: &str) -> RowShape {
    let mut shape = RowShape::default();
    let Ok(checked) = check(source) else {
        return shape;
    };
    let root = &checked.expression.ast().root;
    root.walk(&mut |node| {
        let NodeKind::Object { pairs } = &node.kind else {
            return;
        };
        let keys = || {
            pairs
                .iter()
                .filter_map(|(key, value)| Some((literal(key)?, value)))
        };
        if !keys().any(|(key, _)| key == "value") {
            return;
        }
        for (key, value) in keys() {
            match key {
                "date" => shape.has_date = true,
                "dimensions" => {
                    if let NodeKind::Object { pairs } = &value.kind {
                        for name in pairs.iter().filter_map(|(key, _)| literal(key)) {
                            if !shape.dimensions.iter().any(|known| known == name) {
                                shape.dimensions.push(name.to_owned());
                            }
                        }
                    }
                }
                _ => {}
            }
        }
    });
    shape.records = leading_places(root, source);
    shape
}

fn literal(node: &Node) -> Option<&str> {
    match &node.kind {
        NodeKind::String { value } => Some(value),
        _ => None,
    }
}

/// The places that an expression begins with.
fn leading_places(root: &Node, source: &str) -> Option<RecordsAt> {
    let function = match &root.kind {
        NodeKind::Path { steps, .. } => steps.first()?,
        _ => root,
    };
    let NodeKind::Function { procedure, args } = &function.kind else {
        return leading_names(root).map(RecordsAt::Path);
    };
    let NodeKind::Variable { name } = &procedure.kind else {
        return None;
    };
    let written = |node: &Node| {
        Some(
            source
                .get(node.span.start..node.span.end)?
                .trim()
                .to_owned(),
        )
    };
    match (name.as_str(), args.as_slice()) {
        ("zip", args) if !args.is_empty() => Some(RecordsAt::Zip(
            args.iter().map(written).collect::<Option<_>>()?,
        )),
        ("each", [map, _]) => written(map).map(RecordsAt::Entries),
        _ => None,
    }
}

/// `subscribers.{…}` begins with `subscribers`: the place whose absence is no emptiness.
fn leading_names(root: &Node) -> Option<String> {
    let NodeKind::Path { steps, .. } = &root.kind else {
        return None;
    };
    let names = steps.iter().map_while(|step| match &step.kind {
        NodeKind::Name { name } => Some((name.as_str(), step.attrs.stages.is_empty())),
        _ => None,
    });
    let mut kept = Vec::new();
    for (name, unfiltered) in names {
        kept.push(name);
        if !unfiltered {
            break;
        }
    }
    let is_whole = kept.len() == steps.len();
    (!kept.is_empty() && !is_whole).then(|| crate::field_path(kept))
}

/// Fields of rows that are called almost right, with what they should be called.
pub(crate) fn misnamed_fields(source: &str) -> impl Iterator<Item = (String, &'static str)> {
    const MISTAKES: [(&str, &str); 8] = [
        ("dimension", "dimensions"),
        ("dims", "dimensions"),
        ("labels", "dimensions"),
        ("tags", "dimensions"),
        ("timestamp", "date"),
        ("time", "date"),
        ("currency", "unit"),
        ("id", "key"),
    ];
    let mut found = Vec::new();
    if let Ok(checked) = check(source) {
        checked.expression.ast().root.walk(&mut |node| {
            let NodeKind::Object { pairs } = &node.kind else {
                return;
            };
            let has = |name: &str| pairs.iter().any(|(key, _)| literal(key) == Some(name));
            if has("value") {
                let mistakes = MISTAKES
                    .iter()
                    .filter(|(wrong, right)| has(wrong) && !has(right));
                found.extend(mistakes.map(|(wrong, right)| ((*wrong).to_owned(), *right)));
            }
        });
    }
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_rows_is_read_off_the_text() {
        let shape = row_shape(
            "data.items[a = 1].{ \"date\": d, \"value\": 1, \"dimensions\": { \"plan\": p, \"state\": s } }[]",
        );
        assert_eq!(
            shape,
            RowShape {
                has_date: true,
                dimensions: vec!["plan".into(), "state".into()],
                records: Some(RecordsAt::Path("data.items".into())),
            }
        );
        assert_eq!(row_shape("$count(a)"), RowShape::default());
        assert_eq!(row_shape("$.{ \"value\": a }").records, None);
        assert_eq!(
            row_shape("`odd name`.{ \"value\": a }").records,
            Some(RecordsAt::Path("`odd name`".into()))
        );
        assert_eq!(
            row_shape("$zip(h.t, h.`a b`).{ \"value\": $[1] }").records,
            Some(RecordsAt::Zip(vec!["h.t".into(), "h.`a b`".into()]))
        );
        assert_eq!(
            row_shape("$each(a.rates, function($v, $k) { { \"value\": $v } })").records,
            Some(RecordsAt::Entries("a.rates".into()))
        );
    }
}

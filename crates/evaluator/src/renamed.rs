//! Fields that every record had before and that none has any more: whether a metric's part of a run may be used.

use expression::{FieldsSeen, NamedField};

use crate::judge::Refused;

/// What a run knows of fields, against what the metric's runs before it knew.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Nothing is missing that was there.
    Fine,
    /// Worth telling, and no reason to hold back: nobody knows whether it was ever there.
    Told(Vec<String>),
    /// It was in every record before.
    Refused(Refused),
}

/// Judges by the fields that every record had in the newest run before that had records.
pub(crate) fn judge(seen: &FieldsSeen, before: &[String]) -> Verdict {
    let lost: Vec<&NamedField> = seen
        .nowhere
        .iter()
        .filter(|one| before.contains(&one.path))
        .collect();
    if lost.is_empty() {
        // A dimension or a unit that some records lack is an ordinary thing.
        let odd = seen
            .nowhere
            .iter()
            .filter(|one| matches!(one.part.as_str(), "where" | "key"));
        let notes: Vec<String> = odd
            .map(|one| format!("{} is in none of the records; {}", named(one), there(seen)))
            .collect();
        return if notes.is_empty() {
            Verdict::Fine
        } else {
            Verdict::Told(notes)
        };
    }
    let lost: Vec<String> = lost.into_iter().map(named).collect();
    Verdict::Refused(Refused {
        code: "field.missing".into(),
        message: format!(
            "{} is in none of the records, and was in all of them before; {}. Was it renamed? Earlier data stays. \
             Where it may well be missing, say so with `$exists(…)`",
            lost.join(", "),
            there(seen)
        ),
    })
}

fn named(one: &NamedField) -> String {
    match one.part.as_str() {
        "where" | "value" | "date" | "key" | "unit" => {
            format!("`{}`, which `{}` names,", one.path, one.part)
        }
        dimension => format!("`{}`, of the dimension `{dimension}`,", one.path),
    }
}

fn there(seen: &FieldsSeen) -> String {
    /// As many as a sentence holds.
    const TOLD: usize = 12;
    let keys: Vec<String> = seen
        .keys
        .iter()
        .take(TOLD)
        .map(|key| format!("`{key}`"))
        .collect();
    let more = if seen.keys.len() > TOLD { " …" } else { "" };
    format!("they have {}{more}", keys.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(nowhere: &[(&str, &str)]) -> FieldsSeen {
        FieldsSeen {
            nowhere: nowhere
                .iter()
                .map(|(part, path)| NamedField {
                    part: (*part).to_owned(),
                    path: (*path).to_owned(),
                })
                .collect(),
            keys: vec!["id".to_owned(), "state".to_owned()],
            ..FieldsSeen::default()
        }
    }

    #[test]
    fn a_field_that_was_in_every_record_and_is_in_none_is_refused_with_what_is_there() {
        let before = ["status".to_owned(), "id".to_owned()];
        let Verdict::Refused(refused) = judge(&seen(&[("where", "status")]), &before) else {
            panic!("refused");
        };
        assert_eq!(refused.code, "field.missing");
        assert!(refused.message.contains("`status`, which `where` names,"));
        assert!(refused.message.contains("they have `id`, `state`"));
    }

    #[test]
    fn a_field_that_was_not_in_every_record_may_well_be_missing() {
        let judged = judge(&seen(&[("plan", "plan"), ("unit", "currency")]), &[]);
        assert!(matches!(judged, Verdict::Fine), "{judged:?}");
        let judged = judge(&seen(&[("where", "paid")]), &[]);
        assert!(
            matches!(&judged, Verdict::Told(notes) if notes.len() == 1),
            "{judged:?}"
        );
    }
}

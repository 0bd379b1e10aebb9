//! What a person should know of a metric's part of a run: rows outside of the window, buckets that stayed.

use definition::Interval;
use rollup::{Because, Kept, Restatement};

use crate::judge::Refused;

/// Kept ranges that are told one by one.
const TOLD: usize = 3;

/// Says, in sentences, what of a run's rows was not used for points, and why.
pub(crate) fn notes(restatement: &Restatement, window: Option<Interval>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(window) = window.filter(|_| restatement.outside_rows > 0) {
        notes.push(format!(
            "{} {} outside of the window from {} to {} and {} left out",
            rows(restatement.outside_rows),
            number(restatement.outside_rows, "lies", "lie"),
            window.start,
            window.end,
            number(restatement.outside_rows, "was", "were")
        ));
    }
    notes.extend(restatement.kept.iter().take(TOLD).map(note));
    if restatement.kept.len() > TOLD {
        let rest = &restatement.kept[TOLD..];
        let left_out = rest.iter().map(|kept| kept.rows).sum();
        notes.push(format!(
            "so {} {} in {} more {}",
            number(left_out, "was", "were"),
            rows(left_out),
            rest.len(),
            number(rest.len() as u64, "range", "ranges")
        ));
    }
    notes
}

fn note(kept: &Kept) -> String {
    let Interval { start, end } = kept.buckets;
    let brought = rows(kept.rows);
    match kept.because {
        Because::Fewer { stored } => format!(
            "the earliest bucket, from {start}, stays as it was: this run has {brought} of it and {stored} {} kept \
             (an API that shows only what is recent may have cut it; say `covers: all` where it shows everything)",
            number(stored, "is", "are")
        ),
        Because::OtherRevision => format!(
            "the earliest bucket, from {start}, stays as it was: it was counted under another revision of the metric, \
             and this run ({brought}) may not have all of it"
        ),
        Because::Newer => format!(
            "{brought} from {start} to {end} {} left out: a newer run covers that already",
            number(kept.rows, "was", "were")
        ),
        Because::Complete => format!(
            "{brought} from {start} to {end} {} left out: this run is partial, and a complete one covers that already",
            number(kept.rows, "was", "were")
        ),
    }
}

/// Refuses a run all of whose rows lie outside of its window, where it would empty what is there.
pub(crate) fn all_outside(count: u64, window: Interval) -> Refused {
    Refused {
        code: "rows.outside_window".into(),
        message: format!(
            "{} outside of the window from {} to {}, where there are points already: does the API \
             pass over the dates it is asked for, or is the date read from the right field? Earlier data stays",
            match count {
                1 => "the only row lies".to_owned(),
                _ => format!("all {count} rows lie"),
            },
            window.start,
            window.end
        ),
    }
}

fn rows(count: u64) -> String {
    format!("{count} {}", number(count, "row", "rows"))
}

/// The word that goes with `count` things.
pub(crate) fn number(count: u64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_told_with_its_reason() {
        let at = |text: &str| text.parse().expect("an instant");
        let day = Interval::new(at("2026-11-02T00:00:00Z"), at("2026-11-03T00:00:00Z"));
        let kept = |because| Kept {
            buckets: day,
            rows: 3,
            because,
        };
        let restatement = Restatement {
            outside_rows: 2,
            kept: vec![
                kept(Because::Fewer { stored: 5 }),
                kept(Because::Complete),
                kept(Because::Newer),
                kept(Because::OtherRevision),
            ],
            ..Restatement::default()
        };
        let said = notes(&restatement, Some(day));
        assert!(said[0].starts_with("2 rows lie outside of the window from 2026-11-02T00:00:00Z"));
        assert!(said[1].contains("this run has 3 rows of it and 5 are kept"));
        assert!(said[2].contains("this run is partial"));
        assert!(said[3].contains("a newer run"));
        assert_eq!(said[4], "so were 3 rows in 1 more range");
        assert!(notes(&Restatement::default(), Some(day)).is_empty());
        let one = Restatement {
            outside_rows: 1,
            kept: vec![Kept {
                buckets: day,
                rows: 1,
                because: Because::Newer,
            }],
            ..Restatement::default()
        };
        let said = notes(&one, Some(day));
        assert!(said[0].starts_with("1 row lies outside of the window"));
        assert!(said[0].ends_with("and was left out"), "{}", said[0]);
        assert!(said[1].contains(" was left out"), "{}", said[1]);
        assert!(all_outside(1, day).message.starts_with("the only row lies"));
    }
}

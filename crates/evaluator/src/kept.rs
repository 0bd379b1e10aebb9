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
            "{} lie outside of the window from {} to {} and were left out",
            rows(restatement.outside_rows),
            window.start,
            window.end
        ));
    }
    notes.extend(restatement.kept.iter().take(TOLD).map(note));
    if restatement.kept.len() > TOLD {
        let rest = &restatement.kept[TOLD..];
        notes.push(format!(
            "so were {} in {} more ranges",
            rows(rest.iter().map(|kept| kept.rows).sum()),
            rest.len()
        ));
    }
    notes
}

fn note(kept: &Kept) -> String {
    let Interval { start, end } = kept.buckets;
    let brought = rows(kept.rows);
    match kept.because {
        Because::Fewer { stored } => format!(
            "the earliest bucket, from {start}, stays as it was: this run has {brought} of it and {stored} are kept \
             (an API that shows only what is recent may have cut it; say `covers: all` where it shows everything)"
        ),
        Because::OtherRevision => format!(
            "the earliest bucket, from {start}, stays as it was: it was counted under another revision of the metric, \
             and this run ({brought}) may not have all of it"
        ),
        Because::Newer => format!(
            "{brought} from {start} to {end} were left out: a newer run covers that already"
        ),
        Because::Complete => format!(
            "{brought} from {start} to {end} were left out: this run is partial, and a complete one covers that already"
        ),
    }
}

/// Refuses a run all of whose rows lie outside of its window, where it would empty what is there.
pub(crate) fn all_outside(count: u64, window: Interval) -> Refused {
    Refused {
        code: "rows.outside_window".into(),
        message: format!(
            "all {count} rows lie outside of the window from {} to {}, where there are points already: does the API \
             pass over the dates it is asked for, or is the date read from the right field? Earlier data stays",
            window.start, window.end
        ),
    }
}

fn rows(count: u64) -> String {
    if count == 1 {
        "1 row".to_owned()
    } else {
        format!("{count} rows")
    }
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
        assert_eq!(said[4], "so were 3 rows in 1 more ranges");
        assert!(notes(&Restatement::default(), Some(day)).is_empty());
    }
}

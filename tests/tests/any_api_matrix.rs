//! Any API: every way of signing in, of paging and of placing the place, plain and compressed, whole and
//! going wrong on the way. What comes out of the real fetcher and the real evaluation is compared with what
//! is true, so that a lost or doubled record shows in a sum.

use crate::lane;
use crate::tables;

use lane::{Fate, over_lanes};
use tables::{Paging, pagings, sign_ins};

/// What goes wrong and is got over, several at a time.
const BORNE: &[&str] = &[
    "",
    "status:500@2x2,retry_after:nonsense@3x1",
    "reset@2x1,cut_json@3x1",
    "retry_after:0@1x1,cut@2x1,status:503@3x1",
];

/// What goes wrong and ends the run, with its code: nothing of it may count.
const FATAL: &[(&str, &str)] = &[
    ("status:401@2", "upstream.unauthorized"),
    ("status:403@2", "upstream.forbidden"),
    ("status:410@2", "upstream.gone"),
    ("status:500@2", "upstream.server_error"),
    ("cut@2", "upstream.truncated"),
    ("cut_json@2", "upstream.not_json"),
    ("html@2", "upstream.not_json"),
    ("empty_body@2", "upstream.not_json"),
    ("trailing@2", "upstream.not_json"),
    ("ndjson@2", "upstream.not_json"),
    ("nan@2", "upstream.not_json"),
    ("huge_number@2", "value.out_of_range"),
    ("surrogate@2", "upstream.encoding"),
    ("utf16@2", "upstream.encoding"),
    ("double_gzip@2", "upstream.encoding_unsupported"),
];

/// What is wrong with what pages say, and how it ends at best: right, or told.
const CONTENT: &[(&str, Ends)] = &[
    // The list is null, gone, another type, or under another name, on every page: no row of it counts.
    ("null_list", Ends::InNothing),
    ("rename:people", Ends::InNothing),
    ("wrong_type", Ends::InNothing),
    // A field of every record is under another name, or its numbers are words.
    ("field:weight:gewicht", Ends::InNothing),
    ("texts:weight", Ends::InNothing),
    // The same of one page: what is left counts, and what is missing is told.
    ("rename:people@2", Ends::Told),
    ("wrong_type@2", Ends::Told),
    ("field:weight:gewicht@2", Ends::Told),
    ("texts:weight@2", Ends::Told),
    // Pages that come again, or that shift while they are read.
    ("duplicate@3", Ends::Told),
    ("shifted:5@3", Ends::Told),
    ("shifted:5@3,shifted:5@4", Ends::Told),
    // An empty page looks like the end, unless something states how many there are.
    ("null_list@2", Ends::ToldWhereStated),
    ("empty_list@2", Ends::ToldWhereStated),
];

/// How a run ends whose pages say something wrong.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// With no row that counts: earlier data stays.
    InNothing,
    /// Failed, partial, or with rejected rows or a note.
    Told,
    /// The same, where the API states a total.
    ToldWhereStated,
}

impl Ends {
    fn admits(self, fate: &Fate, paging: &Paging) -> bool {
        match self {
            Ends::InNothing => matches!(fate, Fate::Failed(_) | Fate::Refused),
            // The API may have had fewer pages than the fault needs.
            Ends::Told => *fate != Fate::Whole || paging.0 == "one page",
            Ends::ToldWhereStated => true,
        }
    }
}

/// Encoding comes last, so that what is wrong is wrong in the text.
fn encoded(fault: &str, encoding: &str) -> String {
    match encoding {
        "" => fault.to_owned(),
        encoding => format!("{fault},{encoding}"),
    }
}

#[test]
fn every_api_comes_whole_whatever_it_is_like_and_whatever_goes_wrong() {
    let mut combinations = Vec::new();
    for paging in pagings() {
        for sign_in in 0..sign_ins("").len() {
            for encoding in ["", "gzip"] {
                for fault in BORNE {
                    combinations.push((sign_in, paging.clone(), [encoding, fault]));
                }
            }
        }
    }
    let (count, failures) = over_lanes(combinations, async |lane, (sign_in, paging, faults)| {
        let all = sign_ins(&lane.api.url());
        let (name, prefix, auth) = &all[sign_in];
        let faults = faults.join(",");
        let checked = lane.whole((prefix, auth), &paging, &faults).await;
        checked.map_err(|why| format!("{name} · {} · [{faults}]: {why}", paging.0))
    });
    assert!(failures.is_empty(), "of {count} combinations:\n{failures}");
    assert!(count >= 31 * 8 * 2 * 4, "{count}");
}

#[test]
fn what_cannot_be_got_over_fails_the_run_by_its_name() {
    let mut combinations = Vec::new();
    for paging in pagings() {
        if paging.0 == "one page" {
            continue;
        }
        for (fault, code) in FATAL {
            for sign_in in 0..sign_ins("").len() {
                // Plain and compressed by turns: how a page travels is undone before it is judged.
                let is_plain = combinations.len() % 2 == 0 || *fault == "double_gzip@2";
                let encoding = if is_plain { "" } else { "gzip" };
                combinations.push((sign_in, paging.clone(), encoded(fault, encoding), *code));
            }
        }
        // Making a bomb takes the sample API longer than anything else here.
        if paging.0.ends_with("total pages") || paging.0 == "Link header" {
            combinations.push((
                0,
                paging.clone(),
                "bomb:64@2".to_owned(),
                "upstream.body_too_large",
            ));
        }
        let follows = ["cursor", "next", "Link"];
        if follows.iter().any(|word| paging.0.starts_with(word)) {
            combinations.push((0, paging, "loop@2".to_owned(), "pagination.loop"));
        }
    }
    let (count, failures) = over_lanes(
        combinations,
        async |lane, (sign_in, paging, fault, code)| {
            let all = sign_ins(&lane.api.url());
            let (name, prefix, auth) = &all[sign_in];
            let (manifest, _) = lane.run((prefix, auth), &paging, &fault).await;
            let found = manifest
                .error
                .as_ref()
                .map_or("", |error| error.code.as_str());
            if (manifest.outcome.as_str(), found) == ("failed", code) {
                return Ok(());
            }
            Err(format!(
                "{name} · {} · {fault}: {} with `{found}` instead of `{code}`",
                paging.0, manifest.outcome
            ))
        },
    );
    assert!(failures.is_empty(), "of {count} combinations:\n{failures}");
    assert!(count >= 30 * 8 * 15, "{count}");
}

#[test]
fn pages_that_say_something_wrong_never_make_a_number_that_looks_right() {
    let mut combinations = Vec::new();
    for paging in pagings() {
        for sign_in in 0..sign_ins("").len() {
            for encoding in ["", "gzip"] {
                for (fault, ends) in CONTENT {
                    combinations.push((sign_in, paging.clone(), encoded(fault, encoding), *ends));
                }
            }
        }
    }
    let (count, failures) = over_lanes(
        combinations,
        async |lane, (sign_in, paging, fault, ends)| {
            let all = sign_ins(&lane.api.url());
            let (name, prefix, auth) = &all[sign_in];
            let states_nothing = !paging.1.to_string().contains("total");
            let checked = match (lane.honest((prefix, auth), &paging, &fault).await, ends) {
                (Ok(fate), ends) if !ends.admits(&fate, &paging) => Err(format!("{fate:?}")),
                (Err(_), Ends::ToldWhereStated) if states_nothing => Ok(()),
                (checked, _) => checked.map(|_| ()),
            };
            checked.map_err(|why| format!("{name} · {} · [{fault}]: {why}", paging.0))
        },
    );
    assert!(failures.is_empty(), "of {count} combinations:\n{failures}");
    assert!(count >= 31 * 8 * 2 * 14, "{count}");
}

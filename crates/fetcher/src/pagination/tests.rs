//! Each strategy against a small API in memory, and each guard.

use definition::{Placement, Request};
use serde_json::json;

use super::*;

fn pagination(document: &Value) -> Pagination {
    let request = json!({"path": "/x", "pagination": document});
    Request::from_document(&request)
        .expect("a request")
        .pagination
}

fn facts(records: u64) -> Facts {
    Facts {
        records: Some(records),
        ..Facts::default()
    }
}

/// Walks over `answer` one page after the other and returns the pages and the end.
fn walk(
    document: &Value,
    max_pages: u32,
    mut answer: impl FnMut(u32, &Position) -> Facts,
) -> (Vec<Position>, Result<RunEnd, PaginationFault>) {
    let (mut walk, mut todo) = Walk::begin(pagination(document), max_pages);
    let mut pages = Vec::new();
    loop {
        assert!(!todo.is_empty(), "nothing to do and no end");
        let (number, position) = todo.remove(0);
        let mut facts = answer(number, &position);
        if facts.hash.is_empty() {
            facts.hash = format!("h{number}");
        }
        pages.push(position);
        match walk.after(number, &facts) {
            Ok(Step::Fetch(more)) => todo.extend(more),
            Ok(Step::Pending) => {}
            Ok(Step::End(end)) => return (pages, Ok(end)),
            Ok(Step::Follow(link)) => {
                let at = Url::parse(&format!("https://h.test/{number}")).expect("url");
                let to = at.join(&link).expect("url");
                match walk.follow(&at, &to) {
                    Step::Fetch(more) => todo.extend(more),
                    other => panic!("{other:?}"),
                }
            }
            Err(fault) => return (pages, Err(fault)),
        }
        assert!(pages.len() < 500, "endless");
    }
}

#[test]
fn without_pagination_one_page_is_all() {
    let (pages, end) = walk(&json!("none"), 100, |_, _| facts(10));
    assert_eq!((pages.len(), end), (1, Ok(RunEnd::SinglePage)));
}

#[test]
fn a_stated_number_of_pages_is_fetched_at_once() {
    let page = json!({"page": {"param": "page", "total_pages": "total_pages"}});
    let (mut walk, _) = Walk::begin(pagination(&page), 100);
    let Ok(Step::Fetch(more)) = walk.after(
        1,
        &Facts {
            total_pages: Some(4),
            hash: "1".into(),
            ..facts(50)
        },
    ) else {
        panic!("no pages")
    };
    assert_eq!(
        more,
        [
            (2, Position::Page(2)),
            (3, Position::Page(3)),
            (4, Position::Page(4))
        ]
    );
    for (number, expected) in [
        (4, Step::Pending),
        (2, Step::Pending),
        (3, Step::End(RunEnd::TotalReached)),
    ] {
        let facts = Facts {
            total_pages: Some(4),
            hash: number.to_string(),
            ..facts(50)
        };
        assert_eq!(walk.after(number, &facts), Ok(expected));
    }
}

#[test]
fn a_total_that_grows_during_the_run_brings_the_new_page_too() {
    let page = json!({"page": {"param": "page", "start": 0, "total": "total"}});
    let mut total = 250;
    let (pages, end) = walk(&page, 100, |number, _| {
        if number == 3 {
            total = 301;
        }
        Facts {
            total: Some(total),
            ..facts(if number < 3 { 100 } else { 50 })
        }
    });
    assert_eq!(
        pages,
        [
            Position::Page(0),
            Position::Page(1),
            Position::Page(2),
            Position::Page(3)
        ]
    );
    assert_eq!(end, Ok(RunEnd::TotalReached));
}

#[test]
fn a_stated_number_of_pages_that_changes_is_told() {
    let page = json!({"page": {"param": "page", "total_pages": "t"}});
    for (stated, fetched, note, has_gaps) in [
        (
            &[2, 3][..],
            3,
            Some("changed during the run, from 2 to 3 pages"),
            false,
        ),
        (
            &[3, 2],
            3,
            Some("changed during the run, from 3 to 2 pages: what followed"),
            true,
        ),
        (&[3, 3, 5], 5, Some("from 3 to 5 pages"), false),
        (&[3], 3, None, false),
    ] {
        let (mut walk, mut todo) = Walk::begin(pagination(&page), 100);
        let mut count = 0;
        while let Some((number, _)) = todo.pop() {
            count += 1;
            let at = (number as usize - 1).min(stated.len() - 1);
            let facts = Facts {
                total_pages: Some(stated[at]),
                hash: number.to_string(),
                ..facts(50)
            };
            if let Ok(Step::Fetch(more)) = walk.after(number, &facts) {
                todo.extend(more);
            }
        }
        let verdict = walk.verdict(RunEnd::TotalReached);
        assert_eq!((count, verdict.has_gaps), (fetched, has_gaps), "{stated:?}");
        assert_eq!(
            verdict.notes.len(),
            usize::from(note.is_some()),
            "{verdict:?}"
        );
        if let Some(note) = note {
            assert!(verdict.notes[0].contains(note), "{verdict:?}");
        }
    }
}

/// The answers of numbered pages whose total is stated beforehand: records and body of each.
fn empty_behind(filled: u32, number: u32) -> Facts {
    Facts {
        total_pages: Some(1_000_000),
        is_counted: true,
        hash: if number <= filled {
            number.to_string()
        } else {
            "empty".into()
        },
        ..facts(if number <= filled { 50 } else { 0 })
    }
}

#[test]
fn empty_pages_in_a_row_end_pages_that_are_fetched_side_by_side_too() {
    let page = json!({"page": {"param": "page", "total_pages": "t"}});
    // Whatever the order in which eight at a time come back.
    for order in [
        [2, 3, 4, 5, 6, 7, 8, 9],
        [9, 8, 7, 6, 5, 4, 3, 2],
        [6, 2, 9, 4, 3, 8, 7, 5],
    ] {
        let (mut walk, _) = Walk::begin(pagination(&page), 100);
        assert!(matches!(
            walk.after(1, &empty_behind(2, 1)),
            Ok(Step::Fetch(_))
        ));
        let steps: Vec<_> = order
            .map(|number| walk.after(number, &empty_behind(2, number)))
            .into();
        assert!(
            steps.contains(&Err(PaginationFault::EmptyLoop)),
            "{order:?}: {steps:?}"
        );
        let fault = steps.iter().position(|step| *step != Ok(Step::Pending));
        assert!(fault >= Some(2), "two are borne: {steps:?}");
    }
    // A list that lost its last records while it was read: what is empty ends with the pages stated.
    for (empty, borne) in [(8..=10, true), (7..=10, false)] {
        for reversed in [false, true] {
            let mut numbers: Vec<u32> = (2..=10).collect();
            if reversed {
                numbers.reverse();
            }
            let (mut walk, _) = Walk::begin(pagination(&page), 100);
            let mut answers = Vec::new();
            for number in std::iter::once(1).chain(numbers) {
                let filled = if empty.contains(&number) { 0 } else { 10 };
                let facts = Facts {
                    total_pages: Some(10),
                    ..empty_behind(filled, number)
                };
                answers.push(walk.after(number, &facts));
            }
            let fails = answers.contains(&Err(PaginationFault::EmptyLoop));
            assert_eq!(!fails, borne, "{empty:?} {reversed}");
        }
    }
    // Gaps of two pages, as when records are filtered after they were paged, are borne.
    let (mut walk, _) = Walk::begin(pagination(&page), 12);
    let mut last = None;
    for number in 1..=12 {
        let facts = Facts {
            hash: number.to_string(),
            ..empty_behind(if number % 3 == 1 { 12 } else { 0 }, number)
        };
        last = Some(walk.after(number, &facts));
    }
    assert_eq!(last, Some(Ok(Step::End(RunEnd::PageCap))));
}

#[test]
fn empty_pages_are_counted_in_a_row_over_a_checkpoint() {
    let page = || pagination(&json!({"page": {"param": "page", "total_pages": "t"}}));
    let (mut walk, _) = Walk::begin(page(), 100);
    for number in [1, 2, 3, 4] {
        assert!(walk.after(number, &empty_behind(2, number)).is_ok());
    }
    let (mut walk, _) = Walk::resume(page(), 100, &walk.checkpoint(), []).unwrap();
    assert_eq!(
        walk.after(5, &empty_behind(2, 5)),
        Err(PaginationFault::EmptyLoop)
    );
}

#[test]
fn zero_and_one_stated_pages_end_at_the_first() {
    for total_pages in [0, 1] {
        let page = json!({"page": {"param": "page", "total_pages": "t"}});
        let (pages, end) = walk(&page, 100, |_, _| Facts {
            total_pages: Some(total_pages),
            ..facts(total_pages * 3)
        });
        assert_eq!((pages.len(), end), (1, Ok(RunEnd::TotalReached)));
    }
    let offset = json!({"offset": {"param": "offset", "limit": 10, "total": "t"}});
    let (pages, end) = walk(&offset, 100, |_, _| Facts {
        total: Some(0),
        ..facts(0)
    });
    assert_eq!((pages.len(), end), (1, Ok(RunEnd::TotalReached)));
}

#[test]
fn the_page_cap_truncates_whatever_the_strategy() {
    let page = json!({"page": {"param": "page", "total_pages": "t"}});
    let (pages, end) = walk(&page, 5, |_, _| Facts {
        total_pages: Some(50),
        ..facts(10)
    });
    assert_eq!((pages.len(), end), (5, Ok(RunEnd::PageCap)));
    let page = json!({"page": {"param": "page"}});
    let (pages, end) = walk(&page, 5, |_, _| facts(10));
    assert_eq!((pages.len(), end), (5, Ok(RunEnd::PageCap)));
    let cursor = json!({"cursor": {"from": "next", "param": "after"}});
    let (pages, end) = walk(&cursor, 5, |number, _| Facts {
        next: json!(number),
        ..facts(10)
    });
    assert_eq!((pages.len(), end), (5, Ok(RunEnd::PageCap)));
    let link = json!("link_header");
    let (pages, end) = walk(&link, 5, |number, _| Facts {
        next: json!(format!("/{}", number + 1)),
        ..facts(10)
    });
    assert_eq!((pages.len(), end), (5, Ok(RunEnd::PageCap)));
}

#[test]
fn where_nothing_is_stated_an_empty_or_short_page_ends() {
    let page = json!({"page": {"param": "page"}});
    let (pages, end) = walk(&page, 100, |number, _| {
        facts(if number < 4 { 10 } else { 0 })
    });
    assert_eq!((pages.len(), end), (4, Ok(RunEnd::EmptyPage)));
    let (pages, end) = walk(&page, 100, |number, _| {
        facts(if number < 3 { 10 } else { 4 })
    });
    assert_eq!((pages.len(), end), (3, Ok(RunEnd::ShortPage)));
    let (pages, end) = walk(&page, 100, |_, _| facts(0));
    assert_eq!((pages.len(), end), (1, Ok(RunEnd::EmptyPage)));
}

#[test]
fn an_api_that_caps_the_asked_size_loses_nothing() {
    let page = json!({"page": {"param": "page", "size_param": "per_page", "size": 500}});
    let (pages, end) = walk(&page, 100, |number, _| {
        facts(if number < 3 { 100 } else { 7 })
    });
    assert_eq!((pages.len(), end), (3, Ok(RunEnd::ShortPage)));
    let (pages, end) = walk(&page, 100, |number, _| {
        facts(if number == 1 { 100 } else { 0 })
    });
    assert_eq!((pages.len(), end), (2, Ok(RunEnd::ShortPage)));
    // Clamped to the last page, or refused: both say that the first page was all.
    let (pages, end) = walk(&page, 100, |_, _| Facts {
        hash: "same".into(),
        ..facts(100)
    });
    assert_eq!((pages.len(), end), (2, Ok(RunEnd::ShortPage)));
    let (mut walk, _) = Walk::begin(pagination(&page), 100);
    assert!(matches!(
        walk.after(
            1,
            &Facts {
                hash: "1".into(),
                ..facts(3)
            }
        ),
        Ok(Step::Fetch(_))
    ));
    assert_eq!(walk.refused(2), Some(Step::End(RunEnd::ShortPage)));
    assert_eq!(walk.refused(3), None);
}

#[test]
fn offsets_go_by_what_came() {
    let offset = json!({"offset": {"param": "offset", "limit_param": "limit", "limit": 500}});
    let (pages, end) = walk(&offset, 100, |number, _| {
        facts(if number < 3 { 100 } else { 30 })
    });
    assert_eq!(
        pages,
        [
            Position::Offset(0),
            Position::Offset(100),
            Position::Offset(200)
        ]
    );
    assert_eq!(end, Ok(RunEnd::ShortPage));
    let offset = json!({"offset": {"param": "offset", "limit": 500, "total": "total"}});
    let (pages, end) = walk(&offset, 100, |number, _| Facts {
        total: Some(230),
        ..facts(if number < 3 { 100 } else { 30 })
    });
    assert_eq!(
        pages,
        [
            Position::Offset(0),
            Position::Offset(100),
            Position::Offset(200)
        ]
    );
    assert_eq!(end, Ok(RunEnd::TotalReached));
}

#[test]
fn has_more_decides_where_it_is_said() {
    let page = json!({"page": {"param": "page", "size": 10, "has_more": "more"}});
    let (pages, end) = walk(&page, 100, |number, _| Facts {
        has_more: Some(number < 4),
        ..facts(3)
    });
    assert_eq!(
        (pages.len(), end),
        (4, Ok(RunEnd::HasMoreFalse)),
        "short pages are fine while there is more"
    );
    let (pages, end) = walk(&page, 100, |number, _| Facts {
        has_more: Some(true),
        ..facts(u64::from(number < 3))
    });
    assert_eq!((pages.len(), end), (5, Err(PaginationFault::EmptyLoop)));
    let (pages, end) = walk(&page, 100, |number, _| {
        facts(if number < 3 { 10 } else { 0 })
    });
    assert_eq!(
        (pages.len(), end),
        (3, Ok(RunEnd::EmptyPage)),
        "unsaid: the empty page ends"
    );
}

#[test]
fn cursors_end_on_null_empty_absent_and_has_more_false() {
    let cursor = json!({"cursor": {"from": "c", "param": "after", "has_more": "m"}});
    for last in [json!(null), json!(""), json!(false)] {
        let (pages, end) = walk(&cursor, 100, |number, _| Facts {
            next: if number < 3 {
                json!(format!("c{number}"))
            } else {
                last.clone()
            },
            ..facts(10)
        });
        assert_eq!(
            pages,
            [
                Position::Start,
                Position::Cursor(json!("c1")),
                Position::Cursor(json!("c2"))
            ]
        );
        assert_eq!(end, Ok(RunEnd::NoNext));
    }
    let (pages, end) = walk(&cursor, 100, |number, _| Facts {
        next: json!(number),
        has_more: Some(number < 2),
        ..facts(10)
    });
    assert_eq!(
        (pages.len(), end),
        (2, Ok(RunEnd::HasMoreFalse)),
        "the cursor is set on the last page too"
    );
    let (_, end) = walk(&cursor, 100, |_, _| Facts {
        has_more: Some(true),
        ..facts(10)
    });
    assert!(
        matches!(end, Err(PaginationFault::Unreadable(_))),
        "more, but no cursor"
    );
}

#[test]
fn what_repeats_itself_fails_the_run() {
    let cursor = json!({"cursor": {"from": "c", "param": "after"}});
    let (pages, end) = walk(&cursor, 100, |_, _| Facts {
        next: json!("c1"),
        ..facts(10)
    });
    assert_eq!(pages.len(), 2);
    assert_eq!(end.expect_err("a loop").code(), "pagination.loop");
    let (pages, end) = walk(&cursor, 100, |number, _| Facts {
        next: json!("c1"),
        ..facts(u64::from(number == 1))
    });
    assert_eq!(
        (pages.len(), end),
        (2, Ok(RunEnd::EmptyPage)),
        "a feed at its end"
    );
    for document in [
        json!({"page": {"param": "page"}}),
        json!({"page": {"param": "page", "total_pages": "t"}}),
    ] {
        let (pages, end) = walk(&document, 100, |_, _| Facts {
            hash: "same".into(),
            total_pages: Some(9),
            ..facts(10)
        });
        assert_eq!(pages.len(), 2);
        assert_eq!(end.expect_err("a loop").code(), "pagination.loop");
    }
}

#[test]
fn links_are_followed_until_there_is_none() {
    let next_url = json!({"next_url": {"from": "links.next"}});
    let (pages, end) = walk(&next_url, 100, |number, _| Facts {
        next: if number < 3 {
            json!(format!("/v1?page={}", number + 1))
        } else {
            json!(null)
        },
        ..facts(10)
    });
    assert_eq!(pages.len(), 3);
    assert_eq!(
        pages[2],
        Position::Url("https://h.test/v1?page=3".to_owned())
    );
    assert_eq!(end, Ok(RunEnd::NoNext));
}

#[test]
fn link_headers_are_read_as_the_standard_says() {
    for (header, expected) in [
        (
            r#"<https://h/?page=2>; rel="next", <https://h/?page=9>; rel="last""#,
            Some("https://h/?page=2"),
        ),
        (
            r#"<https://h/?page=1>; rel="prev", </x?a=1,2>; title="a, b; c"; rel=next"#,
            Some("/x?a=1,2"),
        ),
        (r#"<https://h/3>; REL="start Next""#, Some("https://h/3")),
        (r#"<https://h/9>; rel="last""#, None),
        (r#"<https://h/9>; rel="nextish""#, None),
        ("", None),
        (" , ", None),
        // Malformed, and not about the next page; or the next page stands beside it.
        ("https://h/1; rel=canonical", None),
        ("/1; rel=prev, </2>; rel=next", Some("/2")),
    ] {
        assert_eq!(
            next_of_link_headers([header]),
            Ok(expected.map(str::to_owned)),
            "{header}"
        );
    }
    for malformed in [
        "/ok2; rel=next",
        "</ok2; rel=next",
        "</ok2",
        "/ok2",
        r#"</ok2; rel=next, <https://h/9>; rel="last""#,
        r#"<https://h/9>; rel="last", /ok2; rel="next""#,
    ] {
        assert_eq!(
            next_of_link_headers([malformed]),
            Err(MalformedLink),
            "{malformed}"
        );
    }
    assert_eq!(
        next_of_link_headers(["<a>; rel=prev", "<b>; rel=next"]),
        Ok(Some("b".to_owned()))
    );
}

#[test]
fn a_checkpoint_goes_on_where_the_run_stopped() {
    let page = || pagination(&json!({"page": {"param": "page", "total_pages": "t"}}));
    let (mut first, _) = Walk::begin(page(), 100);
    let with = |number: u32| Facts {
        total_pages: Some(4),
        hash: number.to_string(),
        ..facts(10)
    };
    first.after(1, &with(1)).expect("pages");
    first.after(3, &with(3)).expect("pending");
    let checkpoint = first.checkpoint();
    let published = [(1, "1".to_owned()), (3, "3".to_owned())];
    let (mut second, todo) = Walk::resume(page(), 100, &checkpoint, published).expect("a walk");
    assert_eq!(todo, [(2, Position::Page(2)), (4, Position::Page(4))]);
    assert_eq!(second.after(4, &with(4)), Ok(Step::Pending));
    assert_eq!(
        second.after(2, &with(2)),
        Ok(Step::End(RunEnd::TotalReached))
    );
    assert!(
        second
            .clone()
            .after(
                2,
                &Facts {
                    hash: "3".into(),
                    ..with(2)
                }
            )
            .is_err(),
        "hashes are remembered"
    );
    assert!(Walk::resume(page(), 100, &json!({"other": 1}), []).is_none());
    assert!(Walk::resume(page(), 100, &json!(null), []).is_none());
}

#[test]
fn parameters_stand_where_the_definition_puts_them() {
    let page =
        pagination(&json!({"page": {"param": "p", "in": "path", "size_param": "n", "size": 5}}));
    let places = parameters(&page, &Position::Page(3));
    assert_eq!(
        places[0],
        Place {
            param: "p".into(),
            placement: Placement::Path,
            value: json!(3)
        }
    );
    assert_eq!(
        places[1],
        Place {
            param: "n".into(),
            placement: Placement::Query,
            value: json!(5)
        }
    );
    let cursor =
        pagination(&json!({"cursor": {"from": "c", "param": "variables.after", "in": "body"}}));
    assert!(parameters(&cursor, &Position::Start).is_empty());
    assert_eq!(
        parameters(&cursor, &Position::Cursor(json!("x")))[0].placement,
        Placement::Body
    );
}

proptest::proptest! {
    #[test]
    fn every_record_is_fetched_exactly_once(
        total in 0_u64..400,
        size in 1_u64..60,
        stated in proptest::bool::ANY,
        strategy in 0_u8..3,
    ) {
        let document = match (strategy, stated) {
            (0, true) => json!({"page": {"param": "p", "total_pages": "t"}}),
            (0, false) => json!({"page": {"param": "p"}}),
            (1, true) => json!({"offset": {"param": "o", "total": "t"}}),
            (1, false) => json!({"offset": {"param": "o"}}),
            _ => json!({"cursor": {"from": "c", "param": "after"}}),
        };
        let mut served = 0;
        let (_, end) = walk(&document, 500, |_, position| {
            let first = match position {
                Position::Page(number) => (number.unsigned_abs() - 1) * size,
                Position::Offset(first) => *first,
                Position::Cursor(value) => value.as_u64().unwrap_or(0),
                _ => 0,
            };
            let records = total.saturating_sub(first).min(size);
            served += records;
            let next = if first + records < total { json!(first + records) } else { Value::Null };
            Facts {
                total_pages: (stated && strategy == 0).then(|| total.div_ceil(size)),
                total: (stated && strategy == 1).then_some(total),
                next,
                hash: format!("{first}"),
                ..facts(records)
            }
        });
        proptest::prop_assert!(end.is_ok(), "{:?}", end);
        proptest::prop_assert_eq!(served, total);
    }
}

#[test]
fn a_link_is_not_followed_where_the_answer_says_that_there_is_no_more() {
    let says = json!({"next_url": {"from": "next", "has_more": "more"}});
    let (pages, end) = walk(&says, 100, |number, _| Facts {
        next: json!(format!("/{}", number + 1)),
        has_more: Some(number < 3),
        ..facts(10)
    });
    assert_eq!((pages.len(), end), (3, Ok(RunEnd::HasMoreFalse)));
    let (_, end) = walk(&says, 100, |_, _| Facts {
        has_more: Some(true),
        ..facts(10)
    });
    assert!(
        matches!(end, Err(PaginationFault::Unreadable(_))),
        "{end:?}"
    );
}

/// What is said about a run of these pages: the records, their fingerprints, and the stated total of each.
fn judged(document: &Value, pages: &[(&[u64], Option<u64>)], end: RunEnd) -> Verdict {
    let (mut walk, _) = Walk::begin(pagination(document), 3);
    for (number, (prints, total)) in (1..).zip(pages) {
        let facts = Facts {
            records: Some(prints.len() as u64),
            is_counted: true,
            prints: prints.to_vec(),
            total: *total,
            hash: format!("h{number}"),
            ..Facts::default()
        };
        let _ = walk.after(number, &facts);
    }
    walk.verdict(end)
}

#[test]
fn a_run_is_whole_when_what_came_is_what_was_stated() {
    let page = json!({"page": {"param": "page"}});
    let cursor = json!({"cursor": {"from": "c", "param": "c"}});
    let whole = Verdict::default();
    for strategy in [&page, &cursor] {
        for pages in [
            &[(&[1, 2][..], Some(4)), (&[3, 4], Some(4))][..],
            &[(&[1, 2], None), (&[3], None)],
            &[(&[1, 2], Some(2)), (&[], Some(2))],
            &[(&[], Some(0))],
        ] {
            assert_eq!(
                judged(strategy, pages, RunEnd::ShortPage),
                whole,
                "{pages:?}"
            );
        }
    }
}

/// Fingerprints and stated total of each page, then how the run ends, whether with gaps, repeated records, the note.
type Whole = (
    &'static [(&'static [u64], Option<u64>)],
    RunEnd,
    bool,
    u64,
    &'static str,
);

#[test]
fn what_is_missing_or_came_twice_is_told() {
    let page = json!({"page": {"param": "page"}});
    let table: &[Whole] = &[
        (
            &[(&[1, 2], Some(9)), (&[3], Some(9))],
            RunEnd::ShortPage,
            true,
            0,
            "fetched 3 of the 9 records that the API states",
        ),
        (
            &[(&[1, 2], None), (&[2, 3], None), (&[4], None)],
            RunEnd::ShortPage,
            false,
            1,
            "1 record came again on a neighbouring page",
        ),
        (
            &[(&[1, 2], Some(4)), (&[2, 3], Some(5)), (&[4], Some(5))],
            RunEnd::ShortPage,
            false,
            1,
            "from 4 to 5 records",
        ),
        (
            &[(&[1, 2], Some(4)), (&[4], Some(3))],
            RunEnd::ShortPage,
            true,
            0,
            "from 4 to 3 records",
        ),
        (
            &[(&[1, 2], None), (&[], None), (&[5], None)],
            RunEnd::ShortPage,
            true,
            0,
            "page 2 had no records, and page 3 had some",
        ),
        (
            &[(&[1, 2], Some(9)), (&[3, 4], Some(9)), (&[5, 6], Some(9))],
            RunEnd::PageCap,
            false,
            0,
            "stopped after 3 pages (`max_pages`), and there is more: 6 of the 9",
        ),
        (
            &[(&[1, 2], None), (&[2, 1], None), (&[3], None)],
            RunEnd::ShortPage,
            true,
            2,
            "page 2 has the very records of page 1",
        ),
        (
            &[(&[5], None), (&[5], None)],
            RunEnd::ShortPage,
            false,
            1,
            "1 record came again",
        ),
        // Records that are alike cannot be told apart.
        (
            &[(&[7, 7], None), (&[7, 7], None)],
            RunEnd::ShortPage,
            false,
            0,
            "",
        ),
    ];
    for (pages, end, has_gaps, overlap, said) in table {
        let verdict = judged(&page, pages, *end);
        assert_eq!(
            (verdict.has_gaps, verdict.overlap),
            (*has_gaps, *overlap),
            "{pages:?}: {verdict:?}"
        );
        assert_eq!(verdict.notes.is_empty(), said.is_empty(), "{verdict:?}");
        assert!(
            said.is_empty() || verdict.notes.iter().any(|note| note.contains(said)),
            "{verdict:?}"
        );
    }
}

#[test]
fn pages_may_come_in_any_order_and_over_a_checkpoint() {
    let known = json!({"page": {"param": "page", "total_pages": "pages"}});
    let facts = |number: u32, prints: &[u64]| Facts {
        records: Some(prints.len() as u64),
        is_counted: true,
        prints: prints.to_vec(),
        total_pages: Some(4),
        total: Some(8),
        hash: format!("h{number}"),
        ..Facts::default()
    };
    let (mut walk, _) = Walk::begin(pagination(&known), 100);
    for (number, prints) in [(1, [1, 2]), (4, [6, 7]), (3, [4, 5]), (2, [2, 3])] {
        walk.after(number, &facts(number, &prints)).expect("a step");
    }
    let verdict = walk.verdict(RunEnd::TotalReached);
    assert_eq!(
        (verdict.has_gaps, verdict.overlap),
        (true, 1),
        "{verdict:?}"
    );

    let (mut walk, _) = Walk::begin(pagination(&known), 100);
    walk.after(1, &facts(1, &[1, 2])).expect("a step");
    let checkpoint = walk.checkpoint();
    let (mut walk, _) = Walk::resume(pagination(&known), 100, &checkpoint, []).expect("resumed");
    for (number, prints) in [(2, [3, 4]), (3, [5, 6]), (4, [7, 8])] {
        walk.after(number, &facts(number, &prints)).expect("a step");
    }
    assert_eq!(walk.verdict(RunEnd::TotalReached), Verdict::default());
}

#[test]
fn an_empty_page_before_an_end_that_the_api_states_is_no_gap() {
    let page = json!({"page": {"param": "page", "has_more": "more"}});
    let feed = [(&[1, 2][..], None), (&[], None), (&[5], None)];
    assert_eq!(
        judged(&page, &feed, RunEnd::HasMoreFalse),
        Verdict::default()
    );
    let counted = [(&[1, 2][..], Some(3)), (&[], Some(3)), (&[5], Some(3))];
    assert_eq!(
        judged(&page, &counted, RunEnd::TotalReached),
        Verdict::default()
    );
    assert!(judged(&page, &feed, RunEnd::ShortPage).has_gaps);
}

#[test]
fn a_run_stopped_at_its_cap_says_that_there_is_more_only_where_that_is_known() {
    let page = json!({"page": {"param": "page", "total_pages": "pages", "has_more": "more"}});
    let stopped = |facts: Facts| {
        let pagination = pagination(&page);
        let (mut walk, _) = Walk::begin(pagination, 2);
        for number in 1..=2 {
            let facts = Facts {
                records: Some(2),
                is_counted: true,
                hash: format!("h{number}"),
                ..facts.clone()
            };
            let _ = walk.after(number, &facts);
        }
        walk.verdict(RunEnd::PageCap).notes.join("; ")
    };
    let silent = stopped(Facts::default());
    assert!(silent.contains("is not known"), "{silent}");
    for facts in [
        Facts {
            has_more: Some(true),
            ..Facts::default()
        },
        Facts {
            total_pages: Some(3),
            ..Facts::default()
        },
        Facts {
            total: Some(9),
            ..Facts::default()
        },
    ] {
        let said = stopped(facts);
        assert!(said.contains("and there is more"), "{said}");
    }
}

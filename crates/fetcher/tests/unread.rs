//! A run of one page says so where the API says that there is more.

use crate::support;

use serde_json::json;
use support::{answer, ok, run};

#[tokio::test]
async fn a_run_without_pagination_says_that_the_api_has_more_and_how_to_read_it() {
    let (manifest, ..) = run(
        json!({"path": "/x", "query": {"sort": "asc"}}),
        |_| {},
        |_| ok("{\"items\":[{\"id\":1},{\"id\":2}],\"meta\":{\"has_more\":true,\"next_cursor\":\"b3\"}}"),
    )
    .await;
    assert_eq!(
        (manifest.outcome.as_str(), manifest.ended.as_str()),
        ("complete", "single_page")
    );
    let [note] = manifest.notes.as_slice() else {
        panic!("{:?}", manifest.notes)
    };
    assert!(
        note.contains("`meta.has_more` = true")
            && note.contains("`pagination: { cursor: { from: meta.next_cursor,"),
        "{note}"
    );

    let (manifest, ..) = run(
        json!({"path": "/x", "pagination": "none"}),
        |_| {},
        |_| {
            let next = [("Link", "</x?page=2>; rel=\"next\"")];
            answer("200 OK", &next, b"[1,2,3]")
        },
    )
    .await;
    assert!(
        manifest.notes.len() == 1 && manifest.notes[0].contains("link_header"),
        "{:?}",
        manifest.notes
    );
}

#[tokio::test]
async fn a_run_that_has_everything_says_nothing() {
    for body in [
        "{\"items\":[1,2],\"total\":2}",
        "{\"items\":[1,2],\"has_more\":false}",
        "{\"id\":7,\"total\":120,\"lines\":[1,2]}",
        "[]",
    ] {
        let (manifest, ..) = run(json!({"path": "/x"}), |_| {}, move |_| ok(body)).await;
        assert_eq!(manifest.outcome, "complete", "{body}");
        assert!(manifest.notes.is_empty(), "{body}: {:?}", manifest.notes);
    }
    // Who pages needs no such word.
    let page = json!({"path": "/x", "pagination": {"page": {"param": "page", "total_pages": "total_pages"}}});
    let (manifest, ..) = run(
        page,
        |_| {},
        |_| ok("{\"items\":[1],\"total_pages\":1,\"next\":null}"),
    )
    .await;
    assert!(manifest.notes.is_empty(), "{:?}", manifest.notes);
}

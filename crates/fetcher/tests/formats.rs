//! Other formats, other places for what comes next, and further requests that differ: whole runs against a server.

use crate::support;

use std::io::Write as _;

use serde_json::{Value, json};
use support::{Asked, Reply, answer, code, message, run};

/// The value of a query parameter.
fn parameter(asked: &Asked, name: &str) -> Option<String> {
    let (_, query) = asked.target().split_once('?')?;
    query.split('&').find_map(|pair| {
        let (known, value) = pair.split_once('=')?;
        (known == name).then(|| value.to_owned())
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).expect("written");
    writer.finish().expect("finished")
}

async fn pages(
    document: Value,
    reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
) -> (wire::RunManifest, Vec<Value>, Vec<Asked>) {
    let (manifest, memory, asked) = run(document, |_| {}, reply).await;
    (manifest, memory.bodies(), asked)
}

#[tokio::test]
async fn csv_pages_are_counted_and_kept_as_json() {
    let document = json!({
        "path": "/report.csv",
        "response": {"format": "csv", "delimiter": ";", "encoding": "iso-8859-1"},
        "pagination": {"page": {"param": "page", "total": {"header": "X-Total-Count"}}},
    });
    let (manifest, bodies, asked) = pages(document, |asked| {
        let body: &[u8] = match parameter(asked, "page").as_deref() {
            Some("1") => b"id;name\n1;M\xfcller\n2;Ann\n",
            Some("2") => b"id;name\n3;Bob\n4;Cy\n",
            _ => b"id;name\n5;Di\n",
        };
        // A file that is compressed, inside of an answer that is not.
        answer(
            "200 OK",
            &[("Content-Type", "application/gzip"), ("X-Total-Count", "5")],
            &gzip(body),
        )
    })
    .await;
    assert_eq!(
        (
            manifest.outcome.as_str(),
            manifest.ended.as_str(),
            manifest.records,
            manifest.stated_total
        ),
        ("complete", "total_reached", 5, Some(5)),
        "{}",
        message(&manifest)
    );
    let names: Vec<&Value> = bodies
        .iter()
        .flat_map(|page| page.as_array().expect("a list"))
        .map(|record| &record["name"])
        .collect();
    assert_eq!(names, ["Müller", "Ann", "Bob", "Cy", "Di"]);
    assert_eq!(asked[0].header("accept"), Some("text/csv, */*;q=0.5"));
}

#[tokio::test]
async fn xml_pages_follow_their_links() {
    let document = json!({
        "path": "/feed", "response": "xml",
        "pagination": {"next_url": {"from": "feed.link[`@rel` = 'next'].`@href`", "total": "feed.total"}},
    });
    let (manifest, bodies, _) = pages(document, |asked| {
        let page: u32 = parameter(asked, "p").map_or(1, |page| page.parse().expect("a number"));
        let next = if page < 3 {
            format!("<link rel='next' href='?p={}'/>", page + 1)
        } else {
            String::new()
        };
        let body = format!(
            "<feed><total>3</total><link rel='self' href='/feed'/>{next}<entry id='{page}'/></feed>"
        );
        answer(
            "200 OK",
            &[("Content-Type", "application/xml")],
            body.as_bytes(),
        )
    })
    .await;
    assert_eq!(
        (manifest.ended.as_str(), manifest.stated_total),
        ("no_next", Some(3)),
        "{}",
        message(&manifest)
    );
    let ids: Vec<&Value> = bodies
        .iter()
        .map(|page| &page["feed"]["entry"]["@id"])
        .collect();
    assert_eq!(ids, ["1", "2", "3"]);
}

#[tokio::test]
async fn ndjson_pages_take_their_cursor_from_a_header_and_send_it_in_one() {
    let document = json!({
        "path": "/export", "response": "ndjson",
        "pagination": {"cursor": {"from": {"header": "X-Continuation"}, "param": "X-Continuation", "in": "header"}},
    });
    let (manifest, bodies, _) = pages(document, |asked| {
        let at: u32 = asked
            .header("x-continuation")
            .map_or(0, |at| at.parse().expect("a number"));
        let body = format!("{{\"id\":{at}}}\n{{\"id\":{}}}\n", at + 1);
        let next = (at + 2).to_string();
        let headers = [
            ("Content-Type", "application/x-ndjson"),
            ("X-Continuation", next.as_str()),
        ];
        answer(
            "200 OK",
            if at < 4 { &headers } else { &headers[..1] },
            body.as_bytes(),
        )
    })
    .await;
    assert_eq!(
        (manifest.ended.as_str(), manifest.records),
        ("no_next", 6),
        "{}",
        message(&manifest)
    );
    assert_eq!(bodies[2], json!([{"id": 4}, {"id": 5}]));
}

#[tokio::test]
async fn a_folder_goes_on_at_another_path_with_nothing_but_its_cursor() {
    let document = json!({
        "method": "POST", "path": "/list_folder", "body": {"path": "/docs"},
        "pagination": {"cursor": {"from": "cursor", "param": "cursor", "in": "body", "has_more": "has_more",
            "next": {"path": "/list_folder/continue", "body": {}}}},
    });
    let (manifest, bodies, asked) = pages(document, |asked| {
        let sent: Value = serde_json::from_slice(&asked.body).expect("json");
        let at = match asked.target() {
            "/list_folder" => {
                assert_eq!(sent, json!({"path": "/docs"}));
                0
            }
            _ => sent["cursor"]
                .as_str()
                .expect("a cursor")
                .trim_start_matches('c')
                .parse()
                .expect("a number"),
        };
        let body =
            json!({"entries": [{"n": at}], "cursor": format!("c{}", at + 1), "has_more": at < 3});
        answer(
            "200 OK",
            &[("Content-Type", "application/json")],
            body.to_string().as_bytes(),
        )
    })
    .await;
    assert_eq!(
        (manifest.ended.as_str(), bodies.len()),
        ("has_more_false", 4),
        "{}",
        message(&manifest)
    );
    let targets: Vec<&str> = asked.iter().map(Asked::target).collect();
    assert_eq!(
        targets,
        [
            "/list_folder",
            "/list_folder/continue",
            "/list_folder/continue",
            "/list_folder/continue"
        ]
    );
}

#[tokio::test]
async fn a_header_holds_the_address_of_the_next_page() {
    let document = json!({
        "path": "/records", "pagination": {"next_url": {"from": {"header": "Next-Page"}, "total": {"header": "Total-Records"}}},
    });
    let (manifest, bodies, _) = pages(document, |asked| {
        let at: u32 = parameter(asked, "_token").map_or(0, |at| at.parse().expect("a number"));
        let next = format!("/records?_token={}", at + 1);
        let headers = [("Total-Records", "3"), ("Next-Page", next.as_str())];
        let body = format!("{{\"data\":[{at}]}}");
        answer(
            "200 OK",
            if at < 2 { &headers } else { &headers[..1] },
            body.as_bytes(),
        )
    })
    .await;
    assert_eq!(
        (manifest.ended.as_str(), bodies.len(), manifest.stated_total),
        ("no_next", 3, Some(3)),
        "{}",
        message(&manifest)
    );
}

#[tokio::test]
async fn what_is_not_in_its_format_fails_the_run_with_its_place() {
    for (response, body, expected) in [
        (json!("csv"), "a,b\n1,2\n3,4,5\n", "upstream.not_csv"),
        (json!("xml"), "<a><b></a>", "upstream.not_xml"),
        (json!("ndjson"), "{\"a\":1}\n{a}\n", "upstream.not_ndjson"),
        (json!("csv"), "{\"error\":\"quota\"}", "upstream.not_csv"),
    ] {
        let document = json!({"path": "/x", "response": response});
        let (manifest, bodies, asked) =
            pages(document, |_| answer("200 OK", &[], body.as_bytes())).await;
        assert_eq!(
            (manifest.outcome.as_str(), code(&manifest)),
            ("failed", expected)
        );
        assert_eq!(
            (bodies.len(), asked.len()),
            (0, 1),
            "not tried again: {}",
            message(&manifest)
        );
    }
}

#[tokio::test]
async fn a_run_that_is_not_whole_says_so_and_why() {
    let first = |asked: &Asked| -> u32 {
        parameter(asked, "offset").map_or(0, |first| first.parse().expect("a number"))
    };
    let stated = json!({"path": "/x", "pagination": {"offset": {"param": "offset", "total": {"header": "X-Total"}}}});
    let (short, ..) = pages(stated, move |asked| {
        let items: Vec<u32> = (first(asked)..5).take(2).collect();
        answer(
            "200 OK",
            &[("X-Total", "8")],
            json!(items).to_string().as_bytes(),
        )
    })
    .await;
    assert_eq!(
        (
            short.outcome.as_str(),
            short.ended.as_str(),
            short.gaps,
            short.records,
            short.stated_total
        ),
        ("truncated", "total_reached", true, 5, Some(8))
    );
    assert_eq!(
        short.notes,
        [
            "fetched 5 of the 8 records that the API states; if it counts something else, leave `total` out of `pagination`"
        ]
    );
    let silent = json!({"path": "/x", "pagination": {"offset": {"param": "offset"}}});
    let (shifted, ..) = pages(silent, move |asked| {
        let first = first(asked);
        // A record is put in front after the first page was read.
        let items: Vec<u32> = (first..7)
            .take(2)
            .map(|n| if first == 0 { n } else { n - 1 })
            .collect();
        answer("200 OK", &[], json!(items).to_string().as_bytes())
    })
    .await;
    assert_eq!(
        (shifted.outcome.as_str(), shifted.overlap, shifted.gaps),
        ("complete", 1, false)
    );
    assert!(
        shifted.notes[0].starts_with("1 record came again on a neighbouring page"),
        "{:?}",
        shifted.notes
    );
}

#[tokio::test]
async fn a_run_with_more_records_than_stated_says_so_and_is_whole() {
    let document = json!({"path": "/x", "pagination": {"offset": {"param": "offset", "total": {"header": "X-Total"}}}});
    let (longer, ..) = pages(document, |asked| {
        let items = match parameter(asked, "offset").as_deref() {
            Some("3") => json!([4, 5]),
            _ => json!([1, 2, 3]),
        };
        answer("200 OK", &[("X-Total", "4")], items.to_string().as_bytes())
    })
    .await;
    assert_eq!(
        (
            longer.outcome.as_str(),
            longer.gaps,
            longer.overlap,
            longer.records,
            longer.stated_total
        ),
        ("complete", false, 0, 5, Some(4))
    );
    assert_eq!(
        longer.notes,
        [
            "fetched 5 records, more than the 4 that the API states; if it counts something else, leave `total` out of `pagination`"
        ]
    );
}

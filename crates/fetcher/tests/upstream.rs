//! What APIs do wrong, done by a server of our own, and what becomes of the run.

use crate::support;

use std::io::Write as _;
use std::time::Duration;

use serde_json::json;
use support::{Reply, answer, code, get, message, ok, run};

fn status(line: &'static str) -> impl Fn(&support::Asked) -> Reply + Send + Sync {
    move |_| answer(line, &[], b"{\"errors\":[\"no\"]}")
}

#[tokio::test]
async fn a_throttled_page_is_asked_for_again_after_the_named_wait() {
    let (manifest, memory, asked) = get(|asked| match asked.number {
        0 => answer("429 Too Many Requests", &[("Retry-After", "1")], b"{}"),
        _ => ok("{\"a\":1}"),
    })
    .await;
    assert_eq!(
        (manifest.outcome.as_str(), manifest.ended.as_str()),
        ("complete", "single_page")
    );
    assert_eq!(
        (asked.len(), manifest.requests, memory.bodies().len()),
        (2, 2, 1)
    );
    assert!(
        memory.words.load(std::sync::atomic::Ordering::SeqCst) == 1,
        "a word to the broker after the page"
    );
}

#[tokio::test]
async fn a_wait_for_a_retry_is_told_with_its_reason() {
    let (manifest, memory, _) = get(|asked| match asked.number {
        0 => answer("503 Service Unavailable", &[("Retry-After", "1")], b"{}"),
        _ => ok("{\"a\":1}"),
    })
    .await;
    assert_eq!(manifest.outcome, "complete");
    let told = memory.progress.lock().expect("progress").clone();
    let told: Vec<(&str, &str)> = told
        .iter()
        .map(|one| (one.state.as_str(), one.waiting_for.as_str()))
        .collect();
    let (state, why) = told[0];
    assert_eq!(state, "waiting");
    assert!(why.starts_with("retrying 503, 2nd try, in "), "{why}");
    let over = told.iter().skip_while(|(state, _)| *state == "waiting");
    assert!(
        over.clone().count() > 0 && over.into_iter().all(|(_, why)| why.is_empty()),
        "{told:?}"
    );
    let (manifest, memory, _) =
        get(|_| answer("503 Service Unavailable", &[("Retry-After", "300")], b"{}")).await;
    assert_eq!(manifest.outcome, "checkpoint");
    let told = memory.progress.lock().expect("progress").clone();
    let last = told.last().expect("progress");
    assert_eq!(last.state, "waiting");
    assert!(
        last.waiting_for.starts_with("retrying 503, 2nd try, in 3"),
        "{last:?}"
    );
}

#[tokio::test]
async fn a_wait_beyond_patience_is_handed_back_with_it() {
    let (manifest, _, asked) = get(|_| {
        answer(
            "429 Too Many Requests",
            &[("Retry-After", "Fri, 31 Dec 2100 23:59:59 GMT")],
            b"{}",
        )
    })
    .await;
    assert_eq!(manifest.outcome, "checkpoint");
    assert!(
        manifest
            .retry_after_ms
            .is_some_and(|ms| ms > 15 * 60 * 1000)
    );
    assert_eq!(asked.len(), 1);
    let (manifest, ..) =
        get(|_| answer("503 Service Unavailable", &[("Retry-After", "300")], b"{}")).await;
    assert_eq!(
        manifest.outcome, "checkpoint",
        "five minutes are waited in the ledger"
    );
    assert!(manifest.next.is_some());
}

#[tokio::test]
async fn a_senseless_wait_is_ignored() {
    for value in ["-1", "soon", "1000000000000000000000000000000"] {
        let (manifest, _, asked) = get(move |asked| match asked.number {
            0 => answer("429 Too Many Requests", &[("Retry-After", value)], b"{}"),
            _ => ok("{}"),
        })
        .await;
        assert_eq!(
            (manifest.outcome.as_str(), asked.len()),
            ("complete", 2),
            "{value}"
        );
    }
}

#[tokio::test]
async fn a_server_that_stays_down_fails_the_run_after_eight_tries() {
    let (manifest, memory, asked) = get(status("500 Internal Server Error")).await;
    assert_eq!(
        (manifest.outcome.as_str(), code(&manifest)),
        ("failed", "upstream.server_error")
    );
    assert_eq!((asked.len(), memory.bodies().len()), (8, 0));
    assert_eq!(
        manifest.error.as_ref().and_then(|error| error.status),
        Some(500)
    );
}

#[tokio::test]
async fn a_server_that_comes_back_loses_nothing() {
    let document =
        json!({"path": "/x", "pagination": {"page": {"param": "page", "total_pages": "pages"}}});
    let (manifest, memory, asked) = run(
        document,
        |_| {},
        |asked| {
            let page = asked.target().rsplit('=').next().unwrap_or("1").to_owned();
            let is_first_of_seven = page == "7" && asked.number < 9;
            if is_first_of_seven {
                return answer("500 Internal Server Error", &[], b"oops");
            }
            ok(&format!(
                "{{\"page\":{page},\"pages\":12,\"items\":[{page}]}}"
            ))
        },
    )
    .await;
    assert_eq!(
        (manifest.outcome.as_str(), manifest.ended.as_str()),
        ("complete", "total_reached")
    );
    assert_eq!(
        manifest
            .pages
            .iter()
            .map(|page| page.number)
            .collect::<Vec<_>>(),
        (1..=12).collect::<Vec<_>>()
    );
    assert_eq!((manifest.records, manifest.stated_pages), (12, Some(12)));
    assert!(asked.len() > 12);
    assert_eq!(memory.bodies().len(), 12);
}

#[tokio::test]
async fn refusals_are_not_tried_again() {
    for (line, expected, attention) in [
        ("401 Unauthorized", "upstream.unauthorized", true),
        ("403 Forbidden", "upstream.forbidden", true),
        ("400 Bad Request", "upstream.bad_request", false),
        ("404 Not Found", "upstream.not_found", false),
        ("410 Gone", "upstream.gone", false),
        ("422 Unprocessable Entity", "upstream.client_error", false),
        ("304 Not Modified", "upstream.unexpected_status", false),
    ] {
        let (manifest, _, asked) = get(status(line)).await;
        assert_eq!(
            (code(&manifest), manifest.needs_attention, asked.len()),
            (expected, attention, 1),
            "{line}"
        );
    }
}

#[tokio::test]
async fn statuses_that_pass_are_tried_again() {
    for line in [
        "408 Request Timeout",
        "425 Too Early",
        "429 Too Many Requests",
        "502 Bad Gateway",
        "504 Gateway Timeout",
    ] {
        let (manifest, _, asked) = get(move |asked| match asked.number {
            0 | 1 => answer(line, &[], b"x"),
            _ => ok("[]"),
        })
        .await;
        assert_eq!(
            (manifest.outcome.as_str(), asked.len()),
            ("complete", 3),
            "{line}"
        );
    }
}

#[tokio::test]
async fn no_content_is_an_empty_run() {
    let (manifest, memory, _) =
        get(|_| Reply::Send(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())).await;
    assert_eq!(
        (
            manifest.outcome.as_str(),
            manifest.pages.len(),
            manifest.records
        ),
        ("complete", 0, 0)
    );
    assert!(memory.bodies().is_empty());
}

#[tokio::test]
async fn bodies_that_are_no_json_fail_and_say_what_they_are() {
    for (content_type, body, expected, says) in [
        (
            "text/html; charset=utf-8",
            "<html>login",
            "upstream.not_json",
            "text/html",
        ),
        ("application/json", "", "upstream.not_json", "empty body"),
        (
            "application/json",
            "{\"a\":1}{\"b\":2}",
            "upstream.not_json",
            "column 8",
        ),
        (
            "application/json",
            "{\"a\":1}\n{\"a\":2}\n",
            "upstream.not_json",
            "ndjson",
        ),
        ("application/json", "[NaN]", "upstream.not_json", "column 2"),
        (
            "application/json",
            "{\"a\":\"\\ud800\"}",
            "upstream.encoding",
            "offset 6",
        ),
        (
            "application/json",
            "{\"a\":1e400}",
            "value.out_of_range",
            "column 6",
        ),
    ] {
        let (manifest, memory, asked) =
            get(move |_| answer("200 OK", &[("Content-Type", content_type)], body.as_bytes()))
                .await;
        assert_eq!(code(&manifest), expected, "{body}");
        assert!(message(&manifest).contains(says), "{}", message(&manifest));
        assert_eq!(
            (asked.len(), memory.bodies().len()),
            (1 + usize::from(body.is_empty()), 0),
            "{body}"
        );
    }
    let (manifest, ..) = get(|_| answer("200 OK", &[], &[0xff, 0xfe, 0x7b, 0, 0x7d, 0])).await;
    assert_eq!(code(&manifest), "upstream.encoding");
}

#[tokio::test]
async fn odd_but_valid_bodies_pass_untouched() {
    for body in [
        "{\"a\":\"x\\u0000y\"}",
        "[-0,1E+2,0.1e-5]",
        " {\"id\":9007199254740993}\n",
    ] {
        let (manifest, memory, _) = get(move |_| ok(body)).await;
        assert_eq!(manifest.outcome, "complete", "{body}");
        assert_eq!(
            &memory.pages.lock().expect("pages")[0].1[..],
            body.as_bytes()
        );
    }
}

#[tokio::test]
async fn a_body_cut_short_is_tried_again() {
    let (manifest, _, asked) = get(|asked| match asked.number {
        0 => Reply::SendAndClose(
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":[1,2".to_vec(),
        ),
        1 => Reply::SendAndClose(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"a\":[1,".to_vec(),
        ),
        2 => Reply::SendAndClose(Vec::new()),
        _ => ok("{}"),
    })
    .await;
    assert_eq!((manifest.outcome.as_str(), asked.len()), ("complete", 4));
    let (manifest, _, asked) = get(|_| {
        Reply::SendAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":[1,2".to_vec())
    })
    .await;
    assert_eq!((code(&manifest), asked.len()), ("upstream.truncated", 8));
}

#[tokio::test]
async fn a_close_delimited_body_cut_in_the_middle_is_no_short_page() {
    let (manifest, _, asked) = get(|_| {
        Reply::SendAndClose(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"a\":[1,2".to_vec())
    })
    .await;
    assert_eq!((code(&manifest), asked.len()), ("upstream.not_json", 2));
}

#[tokio::test]
async fn each_encoding_is_read_and_two_layers_are_not() {
    let plain = serde_json::to_vec(&json!({"items": (0..500).collect::<Vec<_>>()})).expect("json");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).expect("gzip");
    let gzip = gzip.finish().expect("gzip");
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(&plain).expect("zlib");
    let zlib = zlib.finish().expect("zlib");
    let mut brotli = Vec::new();
    brotli::BrotliCompress(
        &mut &plain[..],
        &mut brotli,
        &brotli::enc::BrotliEncoderParams::default(),
    )
    .expect("brotli");
    let zstd = zstd::encode_all(&plain[..], 3).expect("zstd");
    for (name, bytes) in [
        ("gzip", gzip.clone()),
        ("deflate", zlib),
        ("br", brotli),
        ("zstd", zstd),
        ("identity", plain.clone()),
    ] {
        let (manifest, memory, asked) =
            get(move |_| answer("200 OK", &[("Content-Encoding", name)], &bytes)).await;
        assert_eq!(
            manifest.outcome,
            "complete",
            "{name}: {}",
            message(&manifest)
        );
        assert_eq!(
            &memory.pages.lock().expect("pages")[0].1[..],
            &plain[..],
            "{name}"
        );
        assert_eq!(
            asked[0].header("accept-encoding"),
            Some("gzip, br, zstd, deflate")
        );
    }
    let cut = gzip[..gzip.len() / 2].to_vec();
    let (manifest, ..) =
        get(move |_| answer("200 OK", &[("Content-Encoding", "gzip")], &cut)).await;
    assert_eq!(code(&manifest), "upstream.truncated");
    let (manifest, ..) =
        get(move |_| answer("200 OK", &[("Content-Encoding", "gzip, gzip")], &gzip)).await;
    assert_eq!(code(&manifest), "upstream.encoding_unsupported");
}

#[tokio::test]
async fn too_much_is_refused_however_it_comes() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        bomb.write_all(&vec![b' '; 1024 * 1024]).expect("zeros");
    }
    let bomb = bomb.finish().expect("bomb");
    let (manifest, _, asked) =
        get(move |_| answer("200 OK", &[("Content-Encoding", "gzip")], &bomb)).await;
    assert_eq!(
        (code(&manifest), asked.len()),
        ("upstream.body_too_large", 1)
    );
    let (manifest, ..) = get(|_| {
        Reply::SendAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec())
    })
    .await;
    assert_eq!(code(&manifest), "upstream.body_too_large");
    let endless = |_: &support::Asked| {
        let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[".to_vec();
        Reply::Drip(head, vec![b' '; 256 * 1024], Duration::ZERO)
    };
    let (manifest, ..) = run(
        json!({"path": "/x"}),
        |config| config.limits.body = 4 * 1024 * 1024,
        endless,
    )
    .await;
    assert_eq!(code(&manifest), "upstream.body_too_large");
}

#[tokio::test]
async fn slowness_has_its_limits() {
    let quick = |config: &mut fetcher::Config| {
        config.retry.tries = 1;
        config.limits.first_byte = Duration::from_millis(200);
        config.limits.connect = Duration::from_millis(200);
        config.limits.rate_window = Duration::from_millis(300);
        config.limits.total = Duration::from_secs(2);
    };
    let (manifest, ..) = run(json!({"path": "/x"}), quick, |_| Reply::Hang).await;
    assert_eq!(code(&manifest), "upstream.timeout");
    let drip = |_: &support::Asked| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n[".to_vec();
        Reply::Drip(head, b" ".to_vec(), Duration::from_millis(20))
    };
    let (manifest, ..) = run(json!({"path": "/x"}), quick, drip).await;
    assert_eq!(code(&manifest), "upstream.too_slow");
    let total = |config: &mut fetcher::Config| {
        config.retry.tries = 1;
        config.limits.total = Duration::from_millis(400);
    };
    let (manifest, ..) = run(json!({"path": "/x"}), total, drip).await;
    assert_eq!(code(&manifest), "upstream.timeout");
}

#[tokio::test]
async fn nobody_listening_is_a_connection_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let mut config = support::config(&[address]);
    config.retry.tries = 2;
    let request = support::request(
        &format!("http://{address}"),
        json!({"path": "/x?secret=hidden"}),
    );
    let (manifest, _) = support::sync(&support::engine(config), &request).await;
    assert_eq!(
        (code(&manifest), manifest.requests),
        ("upstream.connect_failed", 2)
    );
    assert!(!message(&manifest).contains("hidden"));
}

#[tokio::test]
async fn broken_headers_are_a_bad_response() {
    let (manifest, ..) =
        get(|_| Reply::Send(b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\n{}".to_vec()))
            .await;
    assert_eq!(code(&manifest), "upstream.bad_response");
    let (manifest, ..) = get(|_| Reply::SendAndClose(b"SMTP ready\r\n".to_vec())).await;
    assert_eq!(code(&manifest), "upstream.bad_response");
}

#[tokio::test]
async fn a_repeating_cursor_fails_the_run() {
    let document =
        json!({"path": "/x", "pagination": {"cursor": {"from": "next", "param": "after"}}});
    let (manifest, _, asked) = run(
        document,
        |_| {},
        |asked| {
            ok(&format!(
                "{{\"n\":{},\"items\":[{}],\"next\":\"c1\"}}",
                asked.number, asked.number
            ))
        },
    )
    .await;
    assert_eq!(
        (
            manifest.outcome.as_str(),
            manifest.ended.as_str(),
            code(&manifest)
        ),
        ("failed", "repeated_page", "pagination.loop")
    );
    assert_eq!(asked.len(), 2);
}

#[tokio::test]
async fn a_null_list_on_the_last_page_is_an_empty_page() {
    let document =
        json!({"path": "/x", "pagination": {"cursor": {"from": "next", "param": "after"}}});
    let (manifest, memory, _) = run(
        document,
        |_| {},
        |asked| match asked.number {
            0 => ok("{\"users\":[1],\"next\":\"t\"}"),
            _ => ok("{\"users\":null,\"next\":null}"),
        },
    )
    .await;
    assert_eq!(
        (
            manifest.outcome.as_str(),
            manifest.ended.as_str(),
            memory.bodies().len()
        ),
        ("complete", "no_next", 2)
    );
}

#[tokio::test]
async fn empty_pages_with_more_to_come_are_borne_three_times() {
    let document =
        json!({"path": "/x", "pagination": {"page": {"param": "p", "has_more": "has_more"}}});
    let (manifest, _, asked) = run(
        document.clone(),
        |_| {},
        |_| ok("{\"r\":[],\"has_more\":true}"),
    )
    .await;
    assert_eq!((code(&manifest), asked.len()), ("pagination.empty_loop", 3));
    let (manifest, ..) = run(
        document,
        |_| {},
        |asked| match asked.number {
            0 => ok("{\"r\":[1],\"has_more\":true}"),
            1 => ok("{\"r\":[],\"has_more\":true}"),
            _ => ok("{\"r\":[2],\"has_more\":false}"),
        },
    )
    .await;
    assert_eq!(
        (manifest.outcome.as_str(), manifest.records),
        ("complete", 2)
    );
}

#[tokio::test]
async fn a_next_link_to_another_origin_is_never_followed() {
    let other = support::Stub::start(|_| ok("{\"items\":[2]}")).await;
    let link = other.url();
    let document = json!({"path": "/x", "pagination": {"next_url": {"from": "next"}}});
    let (manifest, _, asked) = run(
        document,
        |_| {},
        move |asked| {
            ok(&format!(
                "{{\"items\":[{}],\"next\":\"{link}/y\"}}",
                asked.number
            ))
        },
    )
    .await;
    assert_eq!(
        (code(&manifest), asked.len()),
        ("pagination.origin_refused", 1)
    );
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn an_answer_that_declares_an_error_fails_the_run_and_says_why() {
    let document = json!({
        "path": "/x",
        "error_when": "ok = false",
        "error_message": "error.text",
        "pagination": {"page": {"param": "page"}},
    });
    let (manifest, memory, asked) = run(
        document,
        |_| {},
        |asked| match asked.number {
            0 => ok("{\"ok\":true,\"items\":[1,2]}"),
            _ => ok("{\"ok\":false,\"error\":{\"text\":\"no_such_channel\"},\"items\":[]}"),
        },
    )
    .await;
    assert_eq!(
        (manifest.outcome.as_str(), code(&manifest), asked.len()),
        ("failed", "upstream.declared_error", 2),
        "it is not tried again"
    );
    assert_eq!(
        message(&manifest),
        "the answer says that it is an error: no_such_channel"
    );
    let error = manifest.error.as_ref().expect("an error");
    assert!(error.excerpt.contains("no_such_channel"), "{error:?}");
    assert_eq!(error.page, Some(2));
    assert_eq!(memory.bodies().len(), 1, "an error is no page");
}

#[tokio::test]
async fn an_answer_that_asks_for_patience_is_asked_for_again() {
    let document = json!({"path": "/x", "retry_when": "status in [\"running\", \"queued\"]"});
    let (manifest, memory, asked) = run(
        document.clone(),
        |_| {},
        |asked| match asked.number {
            0 => ok("{\"status\":\"queued\"}"),
            1 => answer("403 Forbidden", &[], b"{\"status\":\"running\"}"),
            _ => ok("{\"status\":\"done\",\"items\":[1]}"),
        },
    )
    .await;
    assert_eq!(
        (manifest.outcome.as_str(), asked.len(), manifest.records),
        ("complete", 3, 1)
    );
    assert_eq!(memory.bodies().len(), 1);
    let (manifest, _, asked) = run(document, |_| {}, |_| ok("{\"status\":\"running\"}")).await;
    assert_eq!(
        (manifest.outcome.as_str(), code(&manifest), asked.len()),
        ("failed", "upstream.declared_retry", 8),
        "patience has an end"
    );
}

#[tokio::test]
async fn conditions_cast_like_jsonata_and_hold_for_a_whole_connection() {
    let stub = support::Stub::start(|asked| match asked.target() {
        "/null" => ok("{\"errors\":null}"),
        "/none" => ok("{\"errors\":[]}"),
        "/some" => ok("{\"errors\":[{\"message\":\"key sk_live_canary is unknown\"}]}"),
        _ => ok("{\"errors\":0}"),
    })
    .await;
    let connection = json!({
        "name": "api", "base_url": stub.url(), "error_when": "errors",
        "error_message": "errors[0].message",
    });
    let engine = support::engine(support::config(&[stub.address]));
    for (request, expected) in [
        (json!({"path": "/null"}), ""),
        (json!({"path": "/none"}), ""),
        (json!({"path": "/zero"}), ""),
        (json!({"path": "/some"}), "upstream.declared_error"),
        (json!({"path": "/some", "error_when": "false"}), ""),
        (
            json!({"path": "/some", "error_when": "($f := function($x) { $f($x + 1) + 1 }; $f(1))"}),
            "upstream.condition",
        ),
    ] {
        let request = support::with_connection(connection.clone(), request);
        let (manifest, _) = support::sync(&engine, &request).await;
        assert_eq!(code(&manifest), expected, "{:?}", request.request);
    }
}

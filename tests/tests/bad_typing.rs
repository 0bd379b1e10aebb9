//! Bad input to the commands that need no gateway: an exit code, a code and a place, and an end.

use std::time::{Duration, Instant};

use house_tests::Said;
use serde_json::json;

/// A command that refuses something has said so by then, on a busy machine too.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn validate_says_everything_at_once_with_the_place_in_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("bad.yaml");
    let text = "kind: connection\nname: Bad Name\nbase_url: /v3/x\n---\n\
                kind: metric\nname: m\nconnection: shop\n\
                request: { path: /x, method: DELETE, pagination: { guess: {} }, max_pages: 0 }\n\
                select: { value: { count: true }, date: at }\n\
                timezone: EST5EDT4\naggregation: avgg\nevery: 5s\n";
    std::fs::write(&file, text).expect("a file can be written");
    let path = file.display().to_string();
    let nobody = house_tests::CommandLine {
        url: "http://127.0.0.1:9".into(),
        token: String::new(),
    };
    let said = nobody.run(&["validate", &path]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    let all = format!("{}{}", said.output, said.errors);
    for place in [
        ":2:7: error[definition.name_invalid] name:",
        ":3:11: error[definition.url_invalid] base_url:",
        ":8:30: error[definition.method] request.method:",
        ":8:59: error[definition.pagination_type] request.pagination.guess:",
        ":8:76: error[definition.max_pages] request.max_pages:",
        ":10:11: error[definition.timezone] timezone:",
        ":11:14: error[definition.aggregation] aggregation:",
        ":12:1: error[definition.unknown_field] every:",
    ] {
        assert!(all.contains(&format!("{path}{place}")), "{place}\n{all}");
    }
    let said = nobody.run(&["validate", "-o", "json", &path]).await;
    assert_eq!(said.code, Some(2));
    assert_eq!(said.any_json()["valid"], false);
    assert_eq!(
        said.any_json()["problems"].as_array().map(Vec::len),
        Some(8),
        "{said:?}"
    );
    let other = folder.path().join("other.yaml");
    let text = "kind: metric\nname: n\nconnection: kitt\nrequest: { path: /y }\n\
                select: { value: { count: true }, where: \"a = (\" }\ncolour: red\n";
    std::fs::write(&other, text).expect("a file can be written");
    let kit = folder.path().join("kit.yaml");
    std::fs::write(&kit, "kind: connection\nname: kit\nconnector: convertkit\n")
        .expect("a file can be written");
    let (other, kit) = (other.display().to_string(), kit.display().to_string());
    let said = nobody.run(&["validate", &other, &kit]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    for place in [
        ":3:13: warning[definition.connection_unknown] connection: there is no connection `kitt`\n  hint: did you mean `kit`?",
        ":5:42: error[expression.syntax] select.where:",
        ":6:1: error[definition.unknown_field] colour:",
    ] {
        let place = format!("{other}{place}");
        assert!(said.errors.contains(&place), "{place}\n{said:?}");
    }
    assert_eq!(nobody.run(&["validate", &kit]).await.code, Some(0));
    assert_eq!(
        nobody
            .run(&["validate", "/no/such/file.yaml"])
            .await
            .code
            .map(|code| code > 0),
        Some(true)
    );
}

/// Runs `tidemark eval` and insists on an end.
async fn evaluate(expression: &str, rows: bool) -> Said {
    let nobody = house_tests::CommandLine {
        url: "http://127.0.0.1:9".into(),
        token: String::new(),
    };
    let began = Instant::now();
    let mut arguments = vec!["eval", expression];
    arguments.extend(rows.then_some("--rows"));
    let said = nobody
        .run_with(&arguments, r#"{ "items": [{ "id": 1, "price": "12.5" }] }"#)
        .await;
    assert!(
        began.elapsed() < SOON,
        "{expression} took {:?}",
        began.elapsed()
    );
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_would_never_end_or_eat_everything_ends_with_its_limit() {
    // 2: refused before it runs; 1: stopped while it ran.
    let cases = [
        ("", 2, "expression.syntax"),
        ("a.", 2, "expression.syntax"),
        ("$eval(\"1+1\")", 2, "expression.function_refused"),
        ("$random()", 2, "expression.function_refused"),
        (
            "\"\".constructor.constructor(\"return 1\")()",
            2,
            "expression.syntax",
        ),
        (
            "$contains(\"x\", /(?:a{0,1000}){0,1000}/)",
            2,
            "expression.regex_too_large",
        ),
        (
            "($f := function($x){ $f($x+1)+1 }; $f(1))",
            1,
            "expression.stack",
        ),
        ("($f := function(){ $f() }; $f())", 1, "expression.timeout"),
        ("[1..10000000]", 1, "expression.sequence_limit"),
        ("[1..99999].([1..99999].([1..99999]))", 1, "expression."),
        ("$pad(\"x\", 1000000000)", 1, "expression.string_limit"),
        (
            "$reduce([1..100000], function($a, $b){ $a & \"xxxxxxxxxxxxxxxxxxxx\" })",
            1,
            "expression.",
        ),
        ("1/0", 1, "value.not_finite"),
        ("$fromMillis(1e300)", 1, "expression.date"),
    ];
    for (expression, code, text) in cases {
        let said = evaluate(expression, false).await;
        assert_eq!(said.code, Some(code), "{expression}: {said:?}");
        assert!(
            said.errors.contains(&format!("[{text}")),
            "{expression}: {said:?}"
        );
        assert!(said.output.is_empty(), "{expression}: {said:?}");
    }
    // What no limit of the engine sees is stopped from outside.
    for expression in [
        "($a := $pad(\"x\", 1000000, \"x\"); $replace($a, \"x\", $a))",
        "[1..9999].([1..9999].(\"xxxxxxxxxxxx\"))",
        "$distinct([1..100000])",
    ] {
        let said = evaluate(expression, false).await;
        assert_eq!(said.code, Some(1), "{expression}: {said:?}");
        assert_eq!(said.errors.lines().count(), 1, "{expression}: {said:?}");
        assert!(
            said.errors.contains("[expression."),
            "{expression}: {said:?}"
        );
        assert!(said.output.is_empty(), "{expression}: {said:?}");
    }
    let long = vec!["1"; 10_000].join("+");
    let said = evaluate(&long, false).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.errors.contains("16"), "the limit is named: {said:?}");
    // Backtracking without end: an answer or the limit, but an end.
    let said = evaluate(
        "$match(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\", /^(a+)+$/)",
        false,
    )
    .await;
    assert!(
        said.code == Some(0) || said.errors.contains("expression.timeout"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_no_row_is_rejected_with_a_reason() {
    let cases = [
        ("\"12.5\"", "value.not_number"),
        ("true", "value.not_number"),
        ("{ \"a\": 1 }", "value.not_number"),
        ("1", "value.not_a_row"),
        (
            "{ \"value\": 1, \"dimensions\": { \"a\": $pad(\"\", 1000, \"d\") } }",
            "value.dimension_too_long",
        ),
    ];
    for (expression, code) in cases {
        let said = evaluate(expression, true).await.json();
        assert_eq!(said["rejected_count"], 1, "{expression}: {said}");
        assert_eq!(said["rejected"][0]["code"], code, "{expression}: {said}");
        assert!(
            said["rejected"][0]["reason"]
                .as_str()
                .is_some_and(|reason| reason.len() > 10),
            "{expression}"
        );
        assert_eq!(said["rows"], json!([]));
    }
    for nothing in ["$average([])", "($x := $x + 1)", "missing.field"] {
        let said = evaluate(nothing, true).await.json();
        assert_eq!(
            (&said["rows"], &said["rejected_count"]),
            (&json!([]), &json!(0)),
            "{nothing}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_judged_without_a_call() {
    let nobody = house_tests::CommandLine {
        url: "http://127.0.0.1:9".into(),
        token: String::new(),
    };
    let cases = [
        ("https://example.com/", &[][..], 0, "allowed"),
        ("http://93.184.216.34/x?y=1", &[], 0, "allowed"),
        ("http://127.0.0.1:80/", &[], 1, "--allow-host 127.0.0.1:80"),
        ("http://10.0.0.1/", &[], 1, "egress.address_forbidden"),
        (
            "http://192.168.1.1:8080/",
            &[],
            1,
            "egress.address_forbidden",
        ),
        ("http://100.64.0.1/", &[], 1, "egress.address_forbidden"),
        ("http://[::1]/", &[], 1, "egress.address_forbidden"),
        ("http://[fe80::1]/", &[], 1, "egress.address_forbidden"),
        (
            "http://[::ffff:127.0.0.1]/",
            &[],
            1,
            "egress.address_forbidden",
        ),
        ("http://0x7f.1/", &[], 1, "egress.address_forbidden"),
        ("http://2130706433/", &[], 1, "egress.address_forbidden"),
        ("http://0.0.0.0/", &[], 1, "egress.address_forbidden"),
        (
            "http://127.0.0.1.nip.io/",
            &[],
            1,
            "egress.address_forbidden",
        ),
        (
            "http://169.254.169.254/latest/meta-data",
            &[],
            1,
            "metadata",
        ),
        ("http://metadata.google.internal/", &[], 1, "metadata"),
        ("http://localhost/", &[], 1, "egress.name_forbidden"),
        (
            "https://me:hidden77@example.com/",
            &[],
            1,
            "definition.url_userinfo",
        ),
        ("ftp://example.com/", &[], 1, "definition.url_scheme"),
        ("file:///etc/passwd", &[], 1, "definition.url_scheme"),
        ("https://8.8.8.8:22/", &[], 1, "definition.url_port"),
        ("no address", &[], 1, "definition.url_invalid"),
        (
            "http://127.0.0.1:3000/x",
            &["--allow-host", "127.0.0.1:3000"],
            0,
            "allowed",
        ),
        (
            "http://127.0.0.1:3001/x",
            &["--allow-host", "127.0.0.1:3000"],
            1,
            "egress.address_forbidden",
        ),
        (
            "http://169.254.169.254/",
            &["--allow-host", "169.254.169.254:80"],
            1,
            "metadata",
        ),
    ];
    for (address, extra, code, text) in cases {
        let mut arguments = vec!["check-url", address];
        arguments.extend(extra);
        let said = nobody.run(&arguments).await;
        assert_eq!(said.code, Some(code), "{address}: {said:?}");
        let begin = if code == 0 { "allowed" } else { "refused: " };
        assert!(said.output.starts_with(begin), "{address}: {said:?}");
        assert!(said.output.contains(text), "{address}: {said:?}");
        assert!(!said.output.contains("hidden77"), "{address}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_may_begin_like_a_flag() {
    for (expression, rows, output) in [
        ("-1", false, "-1\n"),
        ("-items[0].id", false, "-1\n"),
        ("--items[0].id", false, "1\n"),
    ] {
        let said = evaluate(expression, rows).await;
        assert_eq!(
            (said.code, said.output.as_str()),
            (Some(0), output),
            "{said:?}"
        );
    }
    let said = evaluate("-items[0].id", true).await;
    assert!(
        said.code == Some(0) && said.output.contains("rows"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_expression_is_told_before_a_page_is_typed() {
    let mut child = tokio::process::Command::new(house_tests::binary())
        .args(["eval", "a."])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    let typing = child.stdin.take();
    let ended = tokio::time::timeout(SOON, child.wait_with_output()).await;
    let ended = ended
        .expect("it does not wait for a page")
        .expect("it ends");
    drop(typing);
    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("[expression.syntax]"), "{said}");
}

//! Bodies that APIs really send, and the ones that break readers.

use std::fmt::Write as _;

use super::*;

fn read(body: &[u8], content_type: Option<&str>) -> Result<Bytes, Unusable> {
    page(Bytes::copy_from_slice(body), content_type, &[], None).map(|(body, _)| body)
}

fn code(body: &[u8]) -> &'static str {
    read(body, Some("application/json")).map_or_else(|unusable| unusable.code(), |_| "fine")
}

fn reason(body: &[u8], content_type: &str) -> String {
    read(body, Some(content_type))
        .expect_err("unusable")
        .to_string()
}

#[test]
fn only_one_whole_document_is_json() {
    for (body, expected) in [
        (&b"{\"a\":1}"[..], "fine"),
        (
            b" [1, -0, 1E+2, 0.1e-5, true, false, null, \"\\u00e9\\n\"] \r\n",
            "fine",
        ),
        (b"\"text\"", "fine"),
        (b"{\"a\":\"x\\u0000y\"}", "fine"),
        (b"{\"a\":\"\\ud83d\\ude00\"}", "fine"),
        (b"", "upstream.not_json"),
        (b"  \n", "upstream.not_json"),
        (b"{\"a\":[1,2", "upstream.not_json"),
        (b"{\"a\":1}{\"b\":2}", "upstream.not_json"),
        (b"[NaN]", "upstream.not_json"),
        (b"[Infinity]", "upstream.not_json"),
        (b"[1,]", "upstream.not_json"),
        (b"{a:1}", "upstream.not_json"),
        (b"{'a':1}", "upstream.not_json"),
        (b"[01]", "upstream.not_json"),
        (b"[1.]", "upstream.not_json"),
        (b"[.5]", "upstream.not_json"),
        (b"[+1]", "upstream.not_json"),
        (b"[\"a\nb\"]", "upstream.not_json"),
        (b"[\"\\x\"]", "upstream.not_json"),
        (b"// comment\n{}", "upstream.not_json"),
        (b"{\"a\":1}\0", "upstream.not_json"),
        (b"\xff\xfe{\0}\0", "upstream.encoding"),
        (b"{\"a\":\"\\ud800\"}", "upstream.encoding"),
        (b"{\"a\":\"\\udc00\\ud800\"}", "upstream.encoding"),
        (b"[\"\xe9\"]", "upstream.encoding"),
        (b"{\"a\":1e400}", "value.out_of_range"),
        (b"{\"a\":-1e400}", "value.out_of_range"),
        (b"{\"a\":1e-400}", "fine"),
    ] {
        assert_eq!(code(body), expected, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn errors_say_where_and_what() {
    assert!(
        reason(b"{\"a\":1}{\"b\":2}", "application/json")
            .contains("trailing characters at line 1, column 8")
    );
    assert!(reason(b"{\"a\":1}\n{\"a\":2}\n", "application/json").contains("ndjson"));
    assert!(reason(b"", "application/json").contains("empty body"));
    let html = reason(b"<html>login", "text/html; charset=utf-8");
    assert!(
        html.contains("text/html")
            && html.contains("`<html>login`")
            && html.contains("login or error page"),
        "{html}"
    );
    assert!(reason(b"{\"a\":\"\\ud800\"}", "application/json").contains("offset 6"));
    assert!(reason(b"{\"a\":1e400}", "application/json").contains("column 6"));
}

#[test]
fn only_a_document_that_stops_in_the_middle_ends_early() {
    for cut in [
        "{",
        "{\"a",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":[1,2",
        "{\"a\":tr",
        "{\"a\":\"\\u00",
        "{\"a\":\"\\",
        "[1,2][",
    ] {
        let unusable = read(cut.as_bytes(), None).expect_err(cut);
        assert!(
            matches!(unusable, Unusable::NotJson { ends_early, .. } if ends_early != cut.contains("][")),
            "{cut}"
        );
    }
    assert!(matches!(
        read(b"[1}", None),
        Err(Unusable::NotJson {
            ends_early: false,
            ..
        })
    ));
}

#[test]
fn other_charsets_become_utf_8() {
    let latin = read(
        b"[\"caf\xe9\"]",
        Some("application/json; charset=ISO-8859-1"),
    )
    .expect("latin-1");
    assert_eq!(&latin[..], "[\"café\"]".as_bytes());
    let greek = read(
        b"[\"\xe1\"]",
        Some("application/json;charset=\"windows-1253\""),
    )
    .expect("greek");
    assert_eq!(&greek[..], "[\"α\"]".as_bytes());
    let marked = read(b"\xef\xbb\xbf{}", None).expect("marked");
    assert_eq!(&marked[..], b"{}");
    let declared_wrongly = read(
        "[\"é\"]".as_bytes(),
        Some("application/json; charset=latin1"),
    )
    .expect("utf-8");
    assert_eq!(&declared_wrongly[..], "[\"é\"]".as_bytes());
    let latin = Some("application/json; charset=latin1");
    assert_eq!(
        overruled("[\"é\"]".as_bytes(), latin).as_deref(),
        Some("windows-1252")
    );
    for (body, content_type) in [
        (&b"[\"e\"]"[..], latin),
        (b"[\"\xe9\"]", latin),
        ("é".as_bytes(), Some("application/json; charset=UTF-8")),
        ("é".as_bytes(), Some("application/json")),
        ("é".as_bytes(), None),
    ] {
        assert_eq!(overruled(body, content_type), None, "{content_type:?}");
    }
    for (wide, content_type) in [
        (&b"{\0}\0"[..], Some("application/json; charset=utf-16le")),
        (b"{\0}\0", None),
        (b"\0{\0}", Some("application/json; charset=utf-16be")),
        (b"{\0\0\0}\0\0\0", None),
        (b"\xff\xfe{\0}\0", None),
    ] {
        let refused = read(wide, content_type).expect_err("wide");
        assert_eq!(refused.code(), "upstream.encoding", "{wide:?}");
    }
    assert!(read(b"[\"\xe9\"]", Some("application/json; charset=utf-8")).is_err());
    assert!(read(b"[\"\xe9\"]", Some("application/json; charset=nonsense")).is_err());
    assert!(read(b"[\"\xe9\"]", Some("application/json; charset=utf-16")).is_err());
}

#[test]
fn limits_hold_without_building_anything() {
    assert_eq!(code(&[b'['].repeat(200_000)), "upstream.too_deep");
    let deep = [vec![b'['; 128], vec![b']'; 128]].concat();
    assert_eq!(code(&deep), "fine");
    assert_eq!(
        code(&[vec![b'['; 129], vec![b']'; 129]].concat()),
        "upstream.too_deep"
    );
    let mut keys = String::from("{");
    for key in 0..1_000_000 {
        let _ = write!(keys, "\"{key}\":1,");
    }
    keys.pop();
    keys.push('}');
    assert_eq!(code(keys.as_bytes()), "upstream.too_many_values");
}

#[test]
fn wanted_paths_are_found_in_the_same_pass() {
    let wanted: Vec<PlainPath> = [
        "page.total",
        "items",
        "$",
        "items.id",
        "missing",
        "page.next",
    ]
    .iter()
    .map(|path| PlainPath::parse(path).expect("plain"))
    .collect();
    let body =
        br#"{"page": {"total": 12, "next": null}, "items": [{"id": 1}, {"id": 2}], "tags": []}"#;
    let scan = scan(body, &wanted).expect("valid");
    let text = |index: usize| {
        scan.found[index]
            .as_ref()
            .map(|found| String::from_utf8_lossy(&body[found.span.clone()]))
    };
    assert_eq!(text(0).as_deref(), Some("12"));
    assert_eq!(
        scan.found[1]
            .as_ref()
            .map(|found| (found.kind, found.members)),
        Some((Kind::Array, 2))
    );
    assert_eq!(
        scan.found[2].as_ref().map(|found| found.kind),
        Some(Kind::Object)
    );
    assert!(
        scan.found[3].is_none() && scan.crosses_array[3],
        "the engine maps over arrays"
    );
    assert!(scan.found[4].is_none() && !scan.crosses_array[4]);
    assert_eq!(
        scan.found[5].as_ref().map(|found| found.kind),
        Some(Kind::Null)
    );
    assert_eq!(scan.longest_array, Some(2));
}

#[test]
fn only_plain_names_make_plain_paths() {
    for plain in ["a", "a.b_c", "$", "$.meta.total"] {
        assert!(PlainPath::parse(plain).is_some(), "{plain}");
    }
    for engine in [
        "a[0]",
        "$count(a)",
        "a.*",
        "`a b`",
        "a.b ? 1 : 2",
        "",
        "a..b",
        "true",
        "a-b",
        "**.x",
    ] {
        assert!(PlainPath::parse(engine).is_none(), "{engine}");
    }
}

proptest::proptest! {
    #[test]
    fn agrees_with_serde_about_what_json_is(text in "[\\[\\]{}\":,0-9a-z\\\\.eE+ -]{0,40}") {
        let ours = scan(text.as_bytes(), &[]);
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        let only_we_refuse = matches!(ours, Err(Unusable::Encoding { .. }));
        proptest::prop_assert!(ours.is_ok() == theirs.is_ok() || only_we_refuse, "{text}: {ours:?} {theirs:?}");
    }

    #[test]
    fn never_panics(body: Vec<u8>) {
        let _ = read(&body, Some("application/json; charset=latin1"));
    }
}

//! Each format as it comes from real systems, each way of being wrong, and every bound.

use std::io::Write as _;

use serde_json::{Value, json};

use super::*;

const CAP: usize = 1024 * 1024;

fn response(document: &Value) -> Response {
    let request = json!({ "path": "/x", "response": document });
    let read = definition::Request::from_document(&request);
    read.unwrap_or_else(|problems| panic!("{problems:?}"))
        .response
}

fn read_as(document: &Value, content_type: Option<&str>, body: &[u8]) -> Result<Value, Unusable> {
    let json = to_json(
        Bytes::copy_from_slice(body),
        content_type,
        &response(document),
        CAP,
    )?;
    Ok(serde_json::from_slice(&json).expect("what comes out is JSON"))
}

fn json_of(document: &Value, body: &[u8]) -> Value {
    read_as(document, None, body).unwrap_or_else(|error| panic!("{error}"))
}

fn error(document: &Value, body: &[u8]) -> String {
    match read_as(document, None, body) {
        Ok(value) => panic!("read as {value}"),
        Err(unusable) => format!("{}: {unusable}", unusable.code()),
    }
}

#[test]
fn ndjson_becomes_the_list_of_its_lines() {
    let lines = b"{\"a\":1}\r\n\n [2] \n\"x\"\n{\"id\":12345678901234567890}";
    let list = to_json(
        Bytes::from_static(lines),
        None,
        &response(&json!("ndjson")),
        CAP,
    );
    assert_eq!(
        list.expect("json"),
        &b"[{\"a\":1},[2],\"x\",{\"id\":12345678901234567890}]"[..]
    );
    assert_eq!(json_of(&json!("ndjson"), b""), json!([]));
    for (body, expected) in [
        (
            &b"{\"a\":1}\n{\"a\":}\n"[..],
            "upstream.not_ndjson: the answer is not ndjson: line 2: expected a value, column 6",
        ),
        (b"{\"a\":1}\n1,2\n", "line 2: trailing characters, column 2"),
        (b"{\"a\":1}\n{\"a\":", "line 2: it ends in the middle"),
        (
            b"<html><body>log in</body></html>",
            "is it a login or error page?",
        ),
        (b"{\"a\":1e999}", "value.out_of_range"),
    ] {
        let told = error(&json!("ndjson"), body);
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn csv_becomes_objects_of_text() {
    let table = [
        (
            json!("csv"),
            "id,name,amount\n1,\"Ann, \"\"A\"\"\",1.50\n2,Bob,\n",
            json!([{"id": "1", "name": "Ann, \"A\"", "amount": "1.50"}, {"id": "2", "name": "Bob", "amount": ""}]),
        ),
        (
            json!({"format": "csv", "delimiter": ";"}),
            "a;b\r\n1,5;\"x\ny\"\r\n\r\n",
            json!([{"a": "1,5", "b": "x\ny"}]),
        ),
        (
            json!({"format": "csv", "delimiter": "\t"}),
            "a\tb\n1\t2",
            json!([{"a": "1", "b": "2"}]),
        ),
        (
            json!({"format": "csv", "header": false}),
            "1,2\n3,4\n",
            json!([{"column_1": "1", "column_2": "2"}, {"column_1": "3", "column_2": "4"}]),
        ),
        (
            json!({"format": "csv", "header": ["a", "b"]}),
            "1,2\n",
            json!([{"a": "1", "b": "2"}]),
        ),
        (
            json!("csv"),
            " a ,,a\n1,2,3\n",
            json!([{"a": "1", "column_2": "2", "a_2": "3"}]),
        ),
        (json!("csv"), "a,b\n1,2,\n", json!([{"a": "1", "b": "2"}])),
        (json!("csv"), "a,b\n", json!([])),
    ];
    for (format, text, expected) in table {
        assert_eq!(json_of(&format, text.as_bytes()), expected, "{text:?}");
        let marked = [&[0xef, 0xbb, 0xbf], text.as_bytes()].concat();
        assert_eq!(json_of(&format, &marked), expected, "with a mark: {text:?}");
    }
}

#[test]
fn broken_csv_says_where() {
    for (format, body, expected) in [
        (
            json!("csv"),
            "a,b\n1,2\n3\n4,5\n",
            "upstream.not_csv: the answer is not csv: line 3 has 1 values, and there are 2 columns",
        ),
        (
            json!("csv"),
            "a,b\n1,2,3\n",
            "line 2 has 3 values, and there are 2 columns",
        ),
        (
            json!({"format": "csv", "header": ["a", "b"]}),
            "1;2\n",
            "(is the delimiter ';'?)",
        ),
        (
            json!("csv"),
            "a,b\n1,\"2\n",
            "a quote without end, opened on line 2",
        ),
        (
            json!("csv"),
            "{\"error\": \"no such report\"}",
            "it is JSON; is it an error",
        ),
        (
            json!("csv"),
            "<!DOCTYPE html><p>log in",
            "is it a login or error page?",
        ),
        (json!("csv"), " \n", "empty body"),
        (json!("csv"), "a\n\u{fffd}\u{0}x,y\n", "a NUL at byte 5"),
    ] {
        let told = error(&format, body.as_bytes());
        assert!(told.contains(expected), "{body:?}: {told}");
    }
    let cut = read_as(&json!("csv"), None, b"a,b\n1,2\n3");
    assert!(
        matches!(
            cut,
            Err(Unusable::Malformed {
                ends_early: true,
                ..
            })
        ),
        "{cut:?}"
    );
}

#[test]
fn a_quote_without_end_names_the_line_where_it_opened() {
    for (body, line) in [
        ("a,b\n1,2\n3,\"4\n5,6\n", 3),
        ("a,b\n1,\"2\n3,\"4\"\n", 2),
        ("a,b\n\"x\ny\",2\n3,\"4\n5,6\n7,8\n", 4),
        // Two of them make an even number, and would take in a line.
        ("a,b\n1,\"2\n3,\"4\n5,6\n", 2),
        ("a,b\n1,2\n3,5\" pipe\n", 3),
    ] {
        let told = error(&json!("csv"), body.as_bytes());
        let expected = format!("a quote without end, opened on line {line}");
        assert!(told.contains(&expected), "{body:?}: {told}");
    }
    for body in [
        "a,b\n1,\"x\n\"\"y\"\"\"\n",
        "a,b\n\"\",\"\"\r\n1,2\n",
        "a,b\n1,\"x\" \n",
        "a,b\n1,5\" to 6\" pipe\n",
    ] {
        let read = read_as(&json!("csv"), None, body.as_bytes());
        assert!(read.is_ok(), "{body:?}: {read:?}");
    }
}

#[test]
fn a_wrong_delimiter_is_named_with_the_likely_one() {
    for (format, body, expected) in [
        (
            json!("csv"),
            "id;name\n1;Ann\n",
            "it has one column, \"id;name\": is the delimiter ';'? Write `response: { format: csv, delimiter: \";\" }`",
        ),
        (
            json!("csv"),
            "id\tname\n1\tAnn\n",
            "Write `response: { format: csv, delimiter: \"\\t\" }`",
        ),
        (
            json!("csv"),
            "\"id\";\"name\"\r\n\"1\";\"A; B\"\r\n",
            "delimiter: \";\" }",
        ),
        (json!("csv"), "id;name\n", "delimiter: \";\" }"),
        (
            json!({"format": "csv", "delimiter": ";"}),
            "id,name\n1,Ann\n",
            "delimiter: \",\" }",
        ),
        (
            json!({"format": "csv", "header": false}),
            "1|2\n3|4\n",
            "delimiter: \"|\" }",
        ),
    ] {
        let told = error(&format, body.as_bytes());
        assert!(told.contains(expected), "{body:?}: {told}");
    }
    for body in ["\"a;b\"\n1\n", "a;b\n1\n", "a\nx;y\n", "a;b,c\n1,2\n"] {
        let read = read_as(&json!("csv"), None, body.as_bytes());
        assert!(read.is_ok(), "{body:?}: {read:?}");
    }
}

#[test]
fn xml_becomes_objects() {
    let table = [
        (
            "<?xml version=\"1.0\"?><!-- c --><feed><title>x</title><entry id=\"1\"><n>2</n></entry><entry id=\"2\"/></feed>",
            json!({"feed": {"title": "x", "entry": [{"@id": "1", "n": "2"}, {"@id": "2"}]}}),
        ),
        ("<a/>", json!({"a": null})),
        ("<a></a>", json!({"a": null})),
        (
            "<a b='1 &lt; 2'>t &amp; &#252;<![CDATA[ <raw> ]]></a>",
            json!({"a": {"@b": "1 < 2", "#text": "t & ü <raw>"}}),
        ),
        (
            "<a>\n  one <b>two</b> three\n</a>",
            json!({"a": {"b": "two", "#text": "one  three"}}),
        ),
        (
            "<s:Envelope xmlns:s=\"urn:x\"><s:Body><r>1</r></s:Body></s:Envelope>",
            json!({"s:Envelope": {"@xmlns:s": "urn:x", "s:Body": {"r": "1"}}}),
        ),
        (
            "<!DOCTYPE rss><rss><channel><item>1</item><x/><item>2</item></channel></rss>",
            json!({"rss": {"channel": {"item": ["1", "2"], "x": null}}}),
        ),
        (
            "<?xml-stylesheet href='x'?><a><?php 1 ?>2</a>",
            json!({"a": "2"}),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(json_of(&json!("xml"), text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn named_elements_are_lists_however_many_there_are() {
    let format = json!({"format": "xml", "lists": ["feed.entry", "feed.entry.tag"]});
    for (text, expected) in [
        ("<feed/>", json!({"feed": {"entry": []}})),
        (
            "<feed><entry/></feed>",
            json!({"feed": {"entry": [{"tag": []}]}}),
        ),
        (
            "<feed><entry><tag>a</tag></entry></feed>",
            json!({"feed": {"entry": [{"tag": ["a"]}]}}),
        ),
        (
            "<feed><entry/><entry><tag>a</tag><tag>b</tag></entry></feed>",
            json!({"feed": {"entry": [{"tag": []}, {"tag": ["a", "b"]}]}}),
        ),
    ] {
        assert_eq!(json_of(&format, text.as_bytes()), expected, "{text}");
    }
    // Without it, JSONata sees one and several alike.
    for text in [
        "<f><e><n>3</n></e></f>",
        "<f><e><n>1</n></e><e><n>2</n></e></f>",
    ] {
        let json = json_of(&json!("xml"), text.as_bytes()).to_string();
        let sum = expression::select_path("$sum(f.e.$number(n))", json.as_bytes());
        assert_eq!(sum.expect("a value"), Some(json!(3)), "{text}");
    }
}

#[test]
fn broken_xml_says_where() {
    for (body, expected) in [
        ("<a>\n<b></a>", "at byte 7, line 2"),
        ("<a><b>", "it ends in the middle, inside of <b>"),
        ("<a>&nope;</a>", "unknown entity &nope; at byte 3, line 1"),
        ("<a/><b/>", "a second root element"),
        ("x<a/>", "text outside of the root element"),
        ("<a b='1' b='2'/>", "line 1"),
        ("  ", "empty body"),
        ("<html><body>x", "is it a login or error page?"),
        (
            "<!DOCTYPE a [<!ENTITY x \"xx\"><!ENTITY y \"&x;&x;\">]><a>&y;</a>",
            "entities of its own",
        ),
        ("{\"error\": 1}", "text outside of the root element"),
    ] {
        let told = error(&json!("xml"), body.as_bytes());
        assert!(
            told.starts_with("upstream.not_xml") && told.contains(expected),
            "{body}: {told}"
        );
    }
}

#[test]
fn charsets_are_read_as_they_say_or_as_the_definition_says() {
    let latin = b"a\nM\xfcller\n";
    let csv = json!("csv");
    let expected = json!([{"a": "Müller"}]);
    assert_eq!(
        json_of(&json!({"format": "csv", "encoding": "iso-8859-1"}), latin),
        expected
    );
    let typed = read_as(&csv, Some("text/csv; charset=ISO-8859-1"), latin);
    assert_eq!(typed.expect("read"), expected);
    let silent = error(&csv, latin);
    assert!(
        silent.contains("it is not UTF-8 (first wrong byte at offset 3) and names no charset"),
        "{silent}"
    );
    let wide = |little: bool| {
        let mut bytes = if little {
            vec![0xff, 0xfe]
        } else {
            vec![0xfe, 0xff]
        };
        for unit in "a\nMüller\n".encode_utf16() {
            bytes.extend(if little {
                unit.to_le_bytes()
            } else {
                unit.to_be_bytes()
            });
        }
        bytes
    };
    assert_eq!(json_of(&csv, &wide(true)), expected);
    assert_eq!(json_of(&csv, &wide(false)), expected);
    assert_eq!(
        json_of(
            &json!({"format": "csv", "encoding": "utf-16le"}),
            &wide(true)
        ),
        expected
    );
    // What is declared holds, also where the bytes would be UTF-8 as well.
    let e_acute = |format: &str, body: &str, content_type: &str| {
        read_as(&json!(format), Some(content_type), body.as_bytes()).expect("read")
    };
    for (format, body, content_type, expected) in [
        (
            "csv",
            "a\né\n",
            "text/csv; charset=iso-8859-1",
            json!([{"a": "Ã©"}]),
        ),
        (
            "csv",
            "a\né\n",
            "text/csv; charset=utf-8",
            json!([{"a": "é"}]),
        ),
        (
            "csv",
            "a\né\n",
            "text/csv; charset=nonsense",
            json!([{"a": "é"}]),
        ),
        (
            "csv",
            "a\né\n",
            "text/csv; charset=utf-16",
            json!([{"a": "é"}]),
        ),
        ("csv", "a\né\n", "text/csv", json!([{"a": "é"}])),
        (
            "ndjson",
            "\"é\"\n",
            "application/x-ndjson; charset=latin1",
            json!(["Ã©"]),
        ),
        (
            "xml",
            "<a>é</a>",
            "text/xml; charset=iso-8859-1",
            json!({"a": "Ã©"}),
        ),
        (
            "xml",
            "<?xml version='1.0' encoding='iso-8859-1'?><a>é</a>",
            "text/xml",
            json!({"a": "Ã©"}),
        ),
        (
            "xml",
            "<?xml version='1.0' encoding='utf-8'?><a>é</a>",
            "text/xml",
            json!({"a": "é"}),
        ),
    ] {
        assert_eq!(
            e_acute(format, body, content_type),
            expected,
            "{body} {content_type}"
        );
    }
    let xml = b"<?xml version='1.0' encoding='iso-8859-1'?><a>M\xfcller</a>";
    assert_eq!(json_of(&json!("xml"), xml), json!({"a": "Müller"}));
    let wrong = error(&json!({"format": "csv", "encoding": "utf-8"}), latin);
    assert!(wrong.contains("it is not UTF-8"), "{wrong}");
    assert_eq!(
        json_of(
            &json!({"format": "json", "encoding": "windows-1252"}),
            b"\"\x80\""
        ),
        json!("€")
    );
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes).expect("written");
    writer.finish().expect("finished")
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated);
        writer.start_file(*name, options).expect("a member");
        writer.write_all(bytes).expect("written");
    }
    writer.finish().expect("finished").into_inner()
}

#[test]
fn compressed_files_are_opened() {
    let csv: &[u8] = b"a\n1\n";
    let expected = json!([{"a": "1"}]);
    for body in [
        gzip(csv),
        zipped(&[("report.csv", csv)]),
        zipped(&[("__MACOSX/._report.csv", b"x"), ("report.csv", csv)]),
    ] {
        let read = read_as(&json!("csv"), Some("application/zip"), &body);
        assert_eq!(read.expect("read"), expected);
    }
    assert_eq!(
        json_of(
            &json!({"format": "json", "compression": "gzip"}),
            &gzip(b"[1]")
        ),
        json!([1])
    );
    assert_eq!(
        json_of(&json!("json"), &zipped(&[("a.json", b"{}")])),
        json!({})
    );
    for (format, body, expected) in [
        (
            json!({"format": "csv", "compression": "gzip"}),
            csv.to_vec(),
            "as gzip: it is something else",
        ),
        (
            json!({"format": "csv", "compression": "zip"}),
            csv.to_vec(),
            "as zip: it is something else",
        ),
        (
            json!("csv"),
            zipped(&[("a", csv), ("b", csv)]),
            "a zip archive with 2 files",
        ),
        (json!("csv"), zipped(&[]), "a zip archive with 0 files"),
        (json!("csv"), gzip(csv)[..15].to_vec(), "cut short"),
    ] {
        let told = error(&format, &body);
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn bombs_are_refused() {
    let zeros = vec![b'0'; 8 * CAP];
    for body in [gzip(&zeros), zipped(&[("a", &zeros)])] {
        let told = error(&json!("csv"), &body);
        assert!(told.starts_with("upstream.body_too_large"), "{told}");
    }
    // A long name for a column of many short records.
    let name = "n".repeat(10_000);
    let mut csv = format!("{name}\n").into_bytes();
    csv.extend(b"1\n".repeat(10_000));
    assert!(error(&json!("csv"), &csv).starts_with("upstream.body_too_large"));
    let deep = "<a>".repeat(5_000);
    assert!(error(&json!("xml"), deep.as_bytes()).starts_with("upstream.too_deep"));
    let many: Vec<(String, &[u8])> = (0..1_001).map(|n| (format!("{n}"), &b""[..])).collect();
    let many: Vec<(&str, &[u8])> = many
        .iter()
        .map(|(name, bytes)| (name.as_str(), *bytes))
        .collect();
    assert!(error(&json!("csv"), &zipped(&many)).contains("more than 1000 files"));
    let cap = 32 * 1024 * 1024;
    let elements = format!("<a>{}</a>", "<b/>".repeat(1_100_000));
    let read = to_json(Bytes::from(elements), None, &response(&json!("xml")), cap);
    assert_eq!(
        read.expect_err("too many").code(),
        "upstream.too_many_values"
    );
}

proptest::proptest! {
    #[test]
    fn whatever_comes_is_json_or_an_error(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), text in "[<>/a-c \"'=&;,\n{}0-9!?\\[\\]-]{0,200}") {
        for format in ["ndjson", "csv", "xml", "json"] {
            for body in [&bytes[..], text.as_bytes()] {
                if let Ok(json) = to_json(Bytes::copy_from_slice(body), None, &response(&json!(format)), CAP)
                    && format != "json"
                {
                    proptest::prop_assert!(decode::scan(&json, &[]).is_ok());
                }
            }
        }
    }

    #[test]
    fn csv_values_come_back_as_they_were(rows in proptest::collection::vec(("[^\r\0\u{feff}]{0,12}", "[^\r\0]{0,12}"), 1..20)) {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        writer.write_record(["first", "second"]).expect("written");
        for (first, second) in &rows {
            writer.write_record([first, second]).expect("written");
        }
        let body = writer.into_inner().expect("bytes");
        let read = json_of(&json!("csv"), &body);
        let expected: Vec<Value> = rows.iter().map(|(first, second)| json!({"first": first, "second": second})).collect();
        proptest::prop_assert_eq!(read, json!(expected));
    }
}

use super::*;

fn scope(zone: &str) -> Scope {
    Scope {
        window: Some(Interval::new(
            "2026-03-01T05:00:00Z".parse().unwrap(),
            "2026-03-31T04:00:00Z".parse().unwrap(),
        )),
        now: "2026-03-30T12:34:56Z".parse().unwrap(),
        zone: crate::zone::find(zone).unwrap(),
        connection: IndexMap::from([
            ("shop".to_owned(), Value::from("1?admin=1#x")),
            ("recursive".to_owned(), Value::from("{{ connection.shop }}")),
            ("quotes".to_owned(), Value::from("\"},{\"x\":\"")),
            ("up".to_owned(), Value::from("..")),
            ("account".to_owned(), Value::from(42)),
        ]),
        parent: Some(serde_json::json!({
            "id": 9_007_199_254_740_993_u64,
            "sent_at": "2026-03-02T23:30:00Z",
            "day": "2026-03-02",
            "nothing": null,
            "tags": ["a"],
            "stats": { "open": true },
        })),
    }
}

#[test]
fn dates_are_written_in_the_zone() {
    let scope = scope("America/New_York");
    for (template, expected) in [
        ("{{ window.start | date }}", "2026-03-01"),
        ("{{ window.end | date }}", "2026-03-31"),
        ("{{ window.last_day | date }}", "2026-03-30"),
        ("{{ window.start | datetime }}", "2026-03-01T00:00:00"),
        ("{{ window.start | iso }}", "2026-03-01T00:00:00-05:00"),
        ("{{ window.start }}", "2026-03-01T00:00:00-05:00"),
        ("{{ window.start | unix }}", "1772341200"),
        ("{{ window.start | unix_ms }}", "1772341200000"),
        ("{{ window.start | date(\"%d/%m/%Y\") }}", "01/03/2026"),
        ("{{ now | minus(\"1d\") | date }}", "2026-03-29"),
        (
            "{{ now | minus('90m') | iso }}",
            "2026-03-30T07:04:56-04:00",
        ),
        (
            "from {{ window.start|date }} to {{ window.last_day|date }}",
            "from 2026-03-01 to 2026-03-30",
        ),
        ("plain", "plain"),
    ] {
        assert_eq!(render(template, &scope).unwrap(), expected, "{template}");
    }
    let utc = Scope {
        zone: TimeZone::UTC,
        ..scope
    };
    assert_eq!(
        render("{{ window.start | iso }}", &utc).unwrap(),
        "2026-03-01T05:00:00Z"
    );
}

#[test]
fn what_is_used_is_known_before() {
    assert_eq!(check("plain").unwrap(), Uses::default());
    assert_eq!(
        check("{{ now | date }}").unwrap(),
        Uses {
            now: true,
            ..Uses::default()
        }
    );
    assert!(check("{{ window.start | date }}").unwrap().window);
}

#[test]
fn unknown_names_list_the_known() {
    let error = check("https://api.example.com/{{acount}}").unwrap_err();
    assert_eq!(error.code, "definition.template_unknown");
    assert!(
        error.message.contains("{{ acount }}") && error.message.contains("window.start"),
        "{error}"
    );
    for bad in [
        "{{ window }}",
        "{{ window.begin }}",
        "{{ window.start.year }}",
        "{{ parent }}",
        "{{ connection }}",
        "{{ connection.Shop }}",
        "{{ range(3) }}",
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
}

#[test]
fn every_way_that_apis_want_their_dates_can_be_written() {
    let new_york = scope("America/New_York");
    let london = scope("Europe/London");
    for (template, expected) in [
        (
            "{{ window.start | iso(\"s\") }}",
            "2026-03-01T00:00:00-05:00",
        ),
        (
            "{{ window.start | iso(\"ms\") }}",
            "2026-03-01T00:00:00.000-05:00",
        ),
        ("{{ window.start | utc }}", "2026-03-01T05:00:00Z"),
        (
            "{{ window.start | utc | iso(\"ms\") }}",
            "2026-03-01T05:00:00.000Z",
        ),
        ("{{ window.start | utc | date }}", "2026-03-01"),
        (
            "{{ window.start | date(\"%Y-%m-%dT%H:%M:%S%z\") }}",
            "2026-03-01T00:00:00-0500",
        ),
        (
            "{{ window.start | date(\"%Y-%m-%d %H:%M:%S\") }}",
            "2026-03-01 00:00:00",
        ),
        ("{{ window.start | date(\"%m/%d/%Y\") }}", "03/01/2026"),
        ("{{ window.start | date(\"%d.%m.%Y\") }}", "01.03.2026"),
        ("{{ window.start | date(\"%Y%m%d\") }}", "20260301"),
        ("{{ window.start | date(\"%Y-%m\") }}", "2026-03"),
        ("{{ window.start | date(\"%-d %b %Y\") }}", "1 Mar 2026"),
        (
            "{{ window.end | minus(\"1s\") | iso }}",
            "2026-03-30T23:59:59-04:00",
        ),
        ("{{ window.last_day | plus(\"1d\") | date }}", "2026-03-31"),
        ("{{ now | minus(\"1mo\") | date }}", "2026-02-28"),
        (
            "[{{ window.start | unix }},{{ window.end | unix }}]",
            "[1772341200,1774929600]",
        ),
        (
            "{{ window.start|unix_ms }}..{{ window.end|unix_ms }}",
            "1772341200000..1774929600000",
        ),
        (
            "created:>={{ window.start | date }}",
            "created:>=2026-03-01",
        ),
        ("{{ parent.id }}", "9007199254740993"),
        ("{{ parent.stats.open }}", "true"),
        ("{{ parent.sent_at | date }}", "2026-03-02"),
        ("{{ parent.sent_at | minus(\"1d\") | unix }}", "1772407800"),
        ("{{ parent.day | datetime }}", "2026-03-02T00:00:00"),
        ("{{ connection.account }}", "42"),
    ] {
        assert_eq!(render(template, &new_york).unwrap(), expected, "{template}");
        assert!(check(template).is_ok(), "{template}");
    }
    // Local time without a zone, on both sides of the change of clocks.
    assert_eq!(
        render(
            "{{ window.start | datetime }} {{ window.end | datetime }}",
            &london
        )
        .unwrap(),
        "2026-03-01T05:00:00 2026-03-31T05:00:00"
    );
}

#[test]
fn only_what_has_a_text_can_stand_in_a_request() {
    let scope = scope("UTC");
    for bad in [
        "{{ parent.nothing }}",
        "{{ parent.tags }}",
        "{{ parent.stats }}",
        "{{ parent.missing }}",
        "{{ parent.id | date }}",
        "{{ connection.shop | date }}",
        "{{ connection.missing }}",
    ] {
        assert!(render(bad, &scope).is_err(), "{bad}");
        assert!(render_path(&format!("/x/{bad}"), &scope).is_err(), "{bad}");
    }
    let body = serde_json::json!({ "id": "{{ parent.id }}", "open": "{{ parent.stats.open }}" });
    assert_eq!(
        render_value(&body, &scope).unwrap(),
        serde_json::json!({ "id": 9_007_199_254_740_993_u64, "open": true })
    );
}

#[test]
fn what_a_template_takes_from_its_connection_is_known() {
    assert_eq!(
        connection_variables("{{ connection.org }}/{{ now | date }}/{{ connection.shop }}"),
        ["org", "shop"]
    );
    let uses = check("{{ connection.org }} {{ parent.a.b }} {{ parent.c }}").unwrap();
    assert!(uses.connection && uses.parent && !uses.is_dated());
}

#[test]
fn only_placeholders_and_our_filters_are_allowed() {
    for bad in [
        "{{ now | upper }}",
        "{{ now | minus('x') }}",
        "{{ 'a' | date }}",
        "{{",
        "{{ now",
        "{{ now | }}",
        "{% for i in range(9) %}{% endfor %}",
        "{# a #}",
        "{{ now | date('%!') }}",
        "{{ 'a' * 999999999 }}",
    ] {
        let error = check(bad).expect_err(bad);
        assert!(error.code.starts_with("definition.template"), "{bad}");
    }
}

#[test]
fn a_value_cannot_leave_its_path_segment() {
    let scope = scope("UTC");
    assert_eq!(
        render_path("/s/{{ connection.shop }}/x", &scope).unwrap(),
        "/s/1%3Fadmin%3D1%23x/x"
    );
    assert!(render_path("/s/{{ connection.up }}/x", &scope).is_err());
    assert_eq!(encode_segment("a/b é"), "a%2Fb%20%C3%A9");
}

#[test]
fn values_are_not_expanded_again() {
    assert_eq!(
        render("{{ connection.recursive }}", &scope("UTC")).unwrap(),
        "{{ connection.shop }}"
    );
}

#[test]
fn a_body_stays_json() {
    let body = serde_json::json!({ "q": "{{ connection.quotes }}", "n": [1, true, null, "{{ window.start | unix }}"], "t": "at {{ now | unix }}" });
    let rendered = render_value(&body, &scope("UTC")).unwrap();
    assert_eq!(
        rendered,
        serde_json::json!({ "q": "\"},{\"x\":\"", "n": [1, true, null, 1_772_341_200], "t": "at 1774874096" })
    );
}

#[test]
fn without_a_window_its_names_are_errors() {
    let scope = Scope {
        window: None,
        ..scope("UTC")
    };
    assert_eq!(
        render("{{ window.start | date }}", &scope)
            .unwrap_err()
            .code,
        "definition.template_unknown"
    );
}

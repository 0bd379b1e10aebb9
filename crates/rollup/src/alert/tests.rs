use definition::Definition;

use super::*;

fn alert(rest: &str) -> Alert {
    let text = format!("kind: alert\nname: a\nmetric: m\n{rest}");
    let (bundle, problems) = definition::read(&text, "test.yaml");
    assert!(problems.is_empty(), "{problems:?}");
    match bundle.definitions.into_iter().next().unwrap().definition {
        Definition::Alert(alert) => alert,
        other => panic!("{other:?}"),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn seen(value: &str, base: &str) -> Seen {
    let number = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
    Seen {
        value: number(value),
        base: number(base),
        newest: None,
    }
}

/// Judges one value after the other, an hour apart, and says what was news and what was told.
fn story(alert: &Alert, start: &str, values: &[&str]) -> Vec<String> {
    let mut state = AlertState::default();
    let mut now = at(start);
    let mut said = Vec::new();
    for value in values {
        let (value, base) = value.split_once('/').unwrap_or((value, ""));
        let judged = judge_alert(alert, &state, &seen(value, base), now, now, &TimeZone::UTC);
        let news = judged.news.map_or("-", AlertEvent::as_str);
        let told = judged.tell.map_or("-".to_owned(), |(event, when)| {
            let delay = (when.as_second() - now.as_second()) / 3600;
            format!("{}+{delay}h", event.as_str())
        });
        said.push(format!("{value}: {news} {told}"));
        state = judged.state;
        now = now.checked_add(1.hour()).unwrap();
    }
    said
}

#[test]
fn an_alert_fires_once_and_is_over_once() {
    let low = alert("when: { value: { below: 10 } }");
    assert_eq!(
        story(
            &low,
            "2026-01-01T00:00:00Z",
            &["12", "9", "8", "", "9", "10", "11", "9"]
        ),
        [
            "12: - -",
            "9: firing firing+0h",
            "8: - -",
            // Nothing known is no news.
            ": - -",
            "9: - -",
            "10: resolved resolved+0h",
            "11: - -",
            "9: firing firing+0h",
        ]
    );
}

#[test]
fn a_value_that_swings_around_the_threshold_does_not_come_and_go() {
    let low = alert("when: { value: { below: 10, until: 15 } }");
    assert_eq!(
        story(
            &low,
            "2026-01-01T00:00:00Z",
            &["9", "11", "9", "14.9", "15", "11", "9"]
        ),
        [
            "9: firing firing+0h",
            "11: - -",
            "9: - -",
            "14.9: - -",
            "15: resolved resolved+0h",
            "11: - -",
            "9: firing firing+0h",
        ]
    );
    let high = alert("when: { value: { above: 10, until: 5 } }");
    assert_eq!(
        story(&high, "2026-01-01T00:00:00Z", &["10", "10.01", "6", "5"]),
        [
            "10: - -",
            "10.01: firing firing+0h",
            "6: - -",
            "5: resolved resolved+0h",
        ]
    );
}

#[test]
fn a_change_is_counted_in_percent_or_in_the_metrics_unit() {
    let percent = alert("when: { change: { below: -20 } }");
    assert_eq!(
        story(
            &percent,
            "2026-01-01T00:00:00Z",
            &["80/100", "79/100", "79/0", "79/", "90/100"]
        ),
        [
            "80: - -",
            "79: firing firing+0h",
            // Against nothing there is no percent.
            "79: - -",
            "79: - -",
            "90: resolved resolved+0h",
        ]
    );
    // A loss that shrinks is better: the change is held against its size.
    assert_eq!(
        change(&seen("-50", "-100"), ChangeIn::Percent),
        Some("50".parse().unwrap())
    );
    let value = alert("when: { change: { above: 5, in: value } }");
    assert_eq!(
        story(&value, "2026-01-01T00:00:00Z", &["10/5", "11/5"]),
        ["10: - -", "11: firing firing+0h"]
    );
}

#[test]
fn in_quiet_hours_people_are_left_alone_and_told_afterwards_what_still_holds() {
    let low = alert("when: { value: { below: 10 } }\nquiet: { from: \"22:00\", to: \"07:00\" }");
    // From 21:00 on: it fires at 23:00 and holds until the morning.
    assert_eq!(
        story(
            &low,
            "2026-01-01T21:00:00Z",
            &["12", "12", "9", "9", "9", "9", "9", "9", "9", "9", "9", "9"]
        )[2..],
        [
            "9: firing -",
            "9: - -",
            "9: - -",
            "9: - -",
            "9: - -",
            "9: - -",
            "9: - -",
            "9: - -",
            "9: - firing+0h",
            "9: - -",
        ]
    );
    // What came and went in the night is not told.
    assert_eq!(
        story(&low, "2026-01-01T23:00:00Z", &["9", "12", "9", "12"]),
        [
            "9: firing -",
            "12: resolved -",
            "9: firing -",
            "12: resolved -"
        ]
    );
    // What was told before the night is over after it: the word waits for the morning.
    assert_eq!(
        story(&low, "2026-01-01T21:00:00Z", &["9", "9", "12"]),
        ["9: firing firing+0h", "9: - -", "12: resolved resolved+8h"]
    );
}

#[test]
fn quiet_ends_when_it_says_also_on_the_days_when_clocks_change() {
    let quiet = |text: &str| {
        alert(&format!("when: {{ missing: 1d }}\nquiet: {{ {text} }}"))
            .quiet
            .unwrap()
    };
    let berlin = definition::zone::find("Europe/Berlin").unwrap();
    let nights = quiet("from: \"22:00\", to: \"07:00\"");
    for (now, end) in [
        ("2026-03-28T20:59:59Z", None),
        // The night of 28 March is an hour shorter, that of 24 October an hour longer.
        ("2026-03-28T21:00:00Z", Some("2026-03-29T05:00:00Z")),
        ("2026-10-24T20:00:00Z", Some("2026-10-25T06:00:00Z")),
        ("2026-10-25T05:59:59Z", Some("2026-10-25T06:00:00Z")),
        ("2026-10-25T06:00:00Z", None),
    ] {
        assert_eq!(quiet_until(&nights, at(now), &berlin), end.map(at), "{now}");
    }
    // An end that the clocks skip is the first moment after.
    let skipped = quiet("from: \"22:00\", to: \"02:30\"");
    assert_eq!(
        quiet_until(&skipped, at("2026-03-28T22:00:00Z"), &berlin),
        Some(at("2026-03-29T01:30:00Z"))
    );
    // A week-end that begins in quiet hours and ends in them is one stretch.
    let both = quiet("from: \"22:00\", to: \"07:00\", days: [saturday, sunday]");
    assert_eq!(
        quiet_until(&both, at("2026-01-02T23:00:00Z"), &TimeZone::UTC),
        Some(at("2026-01-05T07:00:00Z"))
    );
    let own = quiet("from: \"22:00\", to: \"07:00\", timezone: Asia/Tokyo");
    assert_eq!(
        quiet_until(&own, at("2026-01-02T13:00:00Z"), &TimeZone::UTC),
        Some(at("2026-01-02T22:00:00Z"))
    );
}

#[test]
fn what_is_missing_is_noticed_in_time_and_not_before_the_alert_was_made() {
    let silent = alert("when: { missing: 2d }");
    let made = at("2026-03-27T12:00:00Z");
    let berlin = definition::zone::find("Europe/Berlin").unwrap();
    let judge = |newest: Option<&str>, now: &str, state: &AlertState| {
        let seen = Seen {
            newest: newest.map(at),
            ..Seen::default()
        };
        judge_alert(&silent, state, &seen, made, at(now), &berlin)
    };
    let fresh = AlertState::default();
    let first = judge(None, "2026-03-27T12:00:00Z", &fresh);
    // Two calendar days, one of which has 23 hours.
    assert_eq!(
        (first.news, first.again_at),
        (None, Some(at("2026-03-29T11:00:00Z")))
    );
    let due = judge(None, "2026-03-29T11:00:00Z", &first.state);
    assert_eq!(due.news, Some(AlertEvent::Firing));
    assert_eq!(due.again_at, None, "only data ends it");
    let over = judge(
        Some("2026-03-29T11:30:00Z"),
        "2026-03-29T12:00:00Z",
        &due.state,
    );
    assert_eq!(over.news, Some(AlertEvent::Resolved));
    assert_eq!(over.again_at, Some(at("2026-03-31T11:30:00Z")));
}

#[test]
fn a_year_of_hours_tells_each_case_once() {
    // Low every night from 0 to 5 o'clock local, judged each hour of a year with both clock changes.
    let zone = definition::zone::find("America/New_York").unwrap();
    let low = alert(
        "when: { value: { below: 10 } }\nquiet: { days: [sunday], timezone: America/New_York }",
    );
    let mut now = at("2026-01-01T05:00:00Z");
    let (mut state, mut fired, mut told, mut over) = (AlertState::default(), 0, 0, 0);
    let mut sundays = 0;
    while now < at("2027-01-01T05:00:00Z") {
        let local = now.to_zoned(zone.clone());
        let value = if local.hour() < 5 { "9" } else { "12" };
        let judged = judge_alert(&low, &state, &seen(value, ""), now, now, &zone);
        if judged.news == Some(AlertEvent::Firing) {
            fired += 1;
            sundays += i32::from(local.weekday() == jiff::civil::Weekday::Sunday);
        }
        match judged.tell {
            Some((AlertEvent::Firing, when)) => {
                assert_eq!(when, now);
                assert_ne!(local.weekday(), jiff::civil::Weekday::Sunday);
                told += 1;
            }
            Some((AlertEvent::Resolved, _)) => over += 1,
            None => {}
        }
        state = judged.state;
        now = now.checked_add(1.hour()).unwrap();
    }
    assert_eq!((fired, sundays), (365, 52));
    // Those of Sundays were over before anybody was told.
    assert_eq!((told, over), (313, 313));
}

#[test]
fn definitions_and_answers_know_the_same_ranges() {
    for name in [
        "today",
        "yesterday",
        "wtd",
        "mtd",
        "qtd",
        "ytd",
        "all_time",
        "this_week",
        "last_month",
        "last_7_days",
        "last_1_day",
        "last_7_complete_days",
        "last_10000_hours",
        "",
        "last_0_days",
        "last_10001_days",
        "last_x_days",
        "this_7_days",
        "tomorrow",
        "last_complete_days",
        "last_7_complete_",
        "complete_7_days",
    ] {
        let resolved = crate::range::resolve(
            name,
            at("2026-01-01T00:00:00Z"),
            &TimeZone::UTC,
            definition::Weekday::Monday,
            None,
        );
        assert_eq!(
            definition::RangeName::parse(name).is_some(),
            resolved.is_ok(),
            "{name}"
        );
    }
}

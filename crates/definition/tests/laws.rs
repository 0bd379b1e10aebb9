//! What holds for every input: nothing panics, documents survive, buckets and windows divide time.

use crate::support;

use definition::window::{self, Interval};
use definition::{Definition, Granularity, Span, Weekday, Window};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{check, examples};

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_]{0,8}"
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,20}".prop_filter("not blank", |t| !t.trim().is_empty()),
        Just("größer 値".to_owned()),
        Just("~".to_owned()),
        Just("1e3".to_owned())
    ]
}

fn of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

fn span() -> impl Strategy<Value = String> {
    (1_u32..90, of(&["s", "m", "h", "d", "w", "mo"]))
        .prop_map(|(count, unit)| format!("{count}{unit}"))
}

/// An object with any choice of the given optional keys.
fn some_of(
    keys: Vec<(&'static str, BoxedStrategy<Value>)>,
) -> BoxedStrategy<serde_json::Map<String, Value>> {
    let each: Vec<_> = keys
        .into_iter()
        .map(|(key, value)| prop::option::of(value).prop_map(move |value| (key, value)))
        .collect();
    each.prop_map(|pairs| {
        pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect()
    })
    .boxed()
}

fn value<S: Strategy<Value = T> + 'static, T: Into<Value> + std::fmt::Debug + 'static>(
    strategy: S,
) -> BoxedStrategy<Value> {
    strategy.prop_map(Into::into).boxed()
}

fn with(mut fields: serde_json::Map<String, Value>, more: Value) -> Value {
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    Value::Object(fields)
}

fn pagination() -> BoxedStrategy<Value> {
    let shared = || {
        vec![
            ("in", value(of(definition::Placement::WORDS))),
            ("has_more", value(word())),
            ("size_param", value(word())),
            ("size", value(1_u32..1000)),
        ]
    };
    let page = some_of(
        [
            shared(),
            vec![
                ("start", value(-5_i64..5)),
                ("total_pages", value(word())),
                ("total", value(word())),
            ],
        ]
        .concat(),
    );
    let cursor = some_of(shared());
    let offset = some_of(vec![
        ("start", value(0_u32..5)),
        ("limit_param", value(word())),
        ("limit", value(1_u32..100)),
        ("total", value(word())),
    ]);
    prop_oneof![
        Just(json!("none")),
        Just(json!("link_header")),
        word().prop_map(|from| json!({ "next_url": { "from": from } })),
        page.prop_map(|fields| json!({ "page": with(fields, json!({ "param": "p" })) })),
        offset.prop_map(|fields| json!({ "offset": with(fields, json!({ "param": "p" })) })),
        cursor.prop_map(
            |fields| json!({ "cursor": with(fields, json!({ "param": "p", "from": "c" })) })
        ),
    ]
    .boxed()
}

fn response() -> BoxedStrategy<Value> {
    of_values(vec![
        json!({ "format": "json" }),
        json!("ndjson"),
        json!({ "format": "csv", "delimiter": ";", "header": ["a", "b"], "encoding": "iso-8859-1" }),
        json!({ "format": "csv", "header": false, "compression": "zip" }),
        json!({ "format": "xml", "lists": ["feed.entry"] }),
    ])
}

fn of_values(values: Vec<Value>) -> BoxedStrategy<Value> {
    prop::sample::select(values).boxed()
}

fn request() -> BoxedStrategy<Value> {
    let scalar = || {
        prop_oneof![
            value(text()),
            value(any::<bool>()),
            value(-9_i64..99),
            Just(json!("{{ window.start | date }}"))
        ]
    };
    let query = prop::collection::btree_map(
        word(),
        prop_oneof![
            scalar(),
            prop::collection::vec(scalar(), 0..3).prop_map(Value::from)
        ],
        0..3,
    );
    let body = prop_oneof![
        Just(json!({ "a": ["{{ now }}", 1.5, null, { "b": true }] })),
        Just(json!([]))
    ];
    some_of(vec![
        ("method", value(of(&["GET", "POST"]))),
        ("path", value(of(&["", "/a", "/a/{{ now | date }}"]))),
        (
            "query",
            query
                .prop_map(|map| Value::Object(map.into_iter().collect()))
                .boxed(),
        ),
        (
            "headers",
            prop::collection::btree_map(word(), text(), 0..3)
                .prop_map(|map| json!(map))
                .boxed(),
        ),
        ("body", body.boxed()),
        (
            "form",
            prop::collection::btree_map(word(), text(), 0..3)
                .prop_map(|map| json!(map))
                .boxed(),
        ),
        ("response", response()),
        ("pagination", pagination()),
        ("max_pages", value(1_u32..10_001)),
    ])
    .prop_map(Value::Object)
    .boxed()
}

fn select() -> BoxedStrategy<Value> {
    let records = prop_oneof![
        value(text()),
        Just(json!({ "entries": "a" })),
        Just(json!({ "zip": ["a", "b"] }))
    ];
    let number = prop_oneof![
        value(text()),
        Just(json!({ "count": true })),
        some_of(vec![
            ("page", Just(json!("first")).boxed()),
            ("number", value(of(definition::NumberFormat::WORDS))),
            (
                "scale",
                value(prop::sample::select(&[0.01, 100.0, -1.5][..]))
            )
        ])
        .prop_map(|fields| with(fields, json!({ "path": "a" })))
    ];
    let date = prop_oneof![
        value(text()),
        some_of(vec![
            (
                "format",
                value(of(&["iso", "date", "unix", "unix_ms", "%d/%m/%Y"]))
            ),
            ("zone", value(of(&["UTC", "Asia/Kolkata"])))
        ])
        .prop_map(|fields| with(fields, json!({ "path": "a" })))
    ];
    some_of(vec![
        ("records", records.boxed()),
        ("where", value(text())),
        ("value", number.boxed()),
        (
            "dimensions",
            prop::collection::btree_map(word(), text(), 0..3)
                .prop_map(|map| json!(map))
                .boxed(),
        ),
        ("unit", value(text())),
        ("date", date.boxed()),
        ("key", value(text())),
        ("missing", value(of(definition::Missing::WORDS))),
    ])
    .prop_map(Value::Object)
    .boxed()
}

fn window_value() -> BoxedStrategy<Value> {
    some_of(vec![("step", value(span())), ("lookback", value(span()))])
        .prop_map(|fields| with(fields, json!({ "last": "90d" })))
        .boxed()
}

fn schedule() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(json!({ "every": "15m" })),
        Just(json!({ "cron": "0 3 * * *" }))
    ]
    .boxed()
}

fn definition_value() -> BoxedStrategy<Value> {
    let metric = some_of(vec![
        ("title", value(text())),
        ("description", value(text())),
        ("owner", value(text())),
        (
            "tags",
            prop::collection::vec(text(), 0..3)
                .prop_map(Value::from)
                .boxed(),
        ),
        ("connection", value(word())),
        ("dataset", value(word())),
        ("request", request()),
        ("window", window_value()),
        ("select", select()),
        ("expression", value(text())),
        ("scope", value(of(definition::Scope::WORDS))),
        ("type", value(of(definition::MetricType::WORDS))),
        ("aggregation", value(of(definition::Aggregation::WORDS))),
        ("over_time", value(of(definition::OverTime::WORDS))),
        (
            "resolution",
            value(of(&["hour", "day", "week", "month", "quarter", "year"])),
        ),
        ("unit", value(text())),
        (
            "format",
            some_of(vec![
                ("style", value(of(definition::FormatStyle::WORDS))),
                ("decimals", value(0_u32..13)),
            ])
            .prop_map(Value::Object)
            .boxed(),
        ),
        ("favourable_trend", value(of(definition::Trend::WORDS))),
        ("schedule", schedule()),
        ("timezone", value(of(&["UTC", "Europe/Paris"]))),
        ("week_start", value(of(&["monday", "sunday", "saturday"]))),
        ("covers", value(of(definition::Covers::WORDS))),
        (
            "reject_limit",
            prop_oneof![
                Just(json!("12.5%")),
                Just(json!(0)),
                Just(json!(1.0)),
                Just(json!("0.5"))
            ]
            .boxed(),
        ),
        ("paused", value(any::<bool>())),
    ])
    .prop_map(|fields| with(fields, json!({ "kind": "metric", "name": "m" })));
    let dataset = some_of(vec![
        ("window", window_value()),
        ("schedule", schedule()),
        ("records", value(text())),
        ("where", value(text())),
        ("date", value(text())),
        ("key", value(text())),
        ("paused", value(any::<bool>())),
    ]);
    let dataset = (dataset, request()).prop_map(|(fields, request)| {
        with(
            fields,
            json!({ "kind": "dataset", "name": "d", "connection": "c", "request": request }),
        )
    });
    let credential = || {
        prop_oneof![
            Just(json!({ "secret": "a" })),
            Just(json!({ "secret": "a", "prefix": "Token " }))
        ]
    };
    let auth = prop_oneof![
        Just(json!("none")),
        credential().prop_map(|c| json!({ "bearer": c })),
        credential().prop_map(|c| json!({ "header": { "X-Key": c } })),
        credential().prop_map(|c| json!({ "query": { "key": c, "other": { "secret": "b" } } })),
        Just(json!({ "basic": { "username": "a", "password": { "secret": "b" } } })),
        oauth2().prop_map(|oauth2| json!({ "oauth2": oauth2 })),
        login().prop_map(|login| json!({ "login": login })),
    ];
    let connection = some_of(vec![
        ("title", value(text())),
        ("connector", value(text())),
        ("auth", auth.boxed()),
        (
            "headers",
            prop::collection::btree_map(word(), text(), 0..3)
                .prop_map(|map| json!(map))
                .boxed(),
        ),
        (
            "rate_limit",
            Just(json!({ "requests": 5, "per": "1s", "concurrency": 2 })).boxed(),
        ),
        ("paused", value(any::<bool>())),
    ])
    .prop_map(|fields| {
        with(
            fields,
            json!({ "kind": "connection", "name": "c", "base_url": "https://a.example.com" }),
        )
    });
    prop_oneof![metric, dataset, connection].boxed()
}

fn put() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(json!({ "header": "X-Token", "prefix": "Token " })),
        Just(json!({ "header": "Authorization", "prefix": "Bearer " })),
        Just(json!({ "query": "token" })),
        Just(json!({ "cookie": "sid" })),
    ]
    .boxed()
}

fn oauth2() -> impl Strategy<Value = Value> {
    let secret = json!({ "secret": "a" });
    let grant = prop_oneof![
        Just(json!({ "grant": "client_credentials", "client_id": "i", "client_secret": secret })),
        Just(json!({ "grant": "refresh_token", "refresh_token": secret })),
        Just(
            json!({ "grant": "authorization_code", "client_id": "i", "refresh_token": secret, "authorize_url": "https://a.example.com/yes?prompt=consent" })
        ),
        Just(
            json!({ "grant": "jwt_bearer", "key": secret, "key_id": "k", "algorithm": "ES256", "issuer": "i", "subject": "s", "lifetime": "5m", "claims": { "a": "b" } })
        ),
    ];
    let rest = some_of(vec![
        (
            "client_auth",
            prop::sample::select(vec!["body", "header"])
                .prop_map(|word| json!(word))
                .boxed(),
        ),
        ("scopes", Just(json!(["a", "b.read"])).boxed()),
        ("audience", Just(json!("https://a.example.com")).boxed()),
        ("parameters", Just(json!({ "account": "1" })).boxed()),
        ("put", put()),
    ]);
    (grant, rest).prop_map(|(grant, rest)| {
        let mut fields = with(rest, grant);
        fields["token_url"] = json!("https://t.example.com/token");
        fields
    })
}

fn login() -> impl Strategy<Value = Value> {
    let token = prop_oneof![
        Just(json!("data.token")),
        Just(json!({ "header": "X-Token" })),
        Just(json!({ "cookie": "sid" })),
    ];
    let body = prop_oneof![
        Just(json!({ "body": { "user": [{ "password": { "secret": "b" } }] } })),
        Just(json!({ "form": { "user": "a", "password": { "secret": "b" } } })),
        Just(
            json!({ "basic": { "username": "a", "password": { "secret": "b" } }, "query": { "a": { "secret": "c" } }, "headers": { "X-A": "b" } })
        ),
    ];
    let place = prop_oneof![
        Just(("path", "/session")),
        Just(("url", "https://l.example.com/session?a=b"))
    ];
    let rest = some_of(vec![
        ("lifetime", Just(json!("30m")).boxed()),
        ("put", put()),
    ]);
    (token, body, place, rest).prop_map(|(token, body, (key, address), rest)| {
        let mut request = body;
        request[key] = json!(address);
        let mut login = with(rest, json!({ "token": token }));
        login["request"] = request;
        login
    })
}

fn instant() -> impl Strategy<Value = Timestamp> {
    // From 1900 to 2100, to the millisecond: zones did stranger things then than now.
    (-2_208_988_800_000_i64..4_102_444_800_000)
        .prop_map(|ms| Timestamp::from_millisecond(ms).unwrap())
}

/// Zones with half hours, skipped and repeated midnights, a skipped day and half-hour summer time.
const ZONES: &[&str] = &[
    "UTC",
    "America/New_York",
    "Europe/London",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "America/Havana",
    "Pacific/Apia",
    "America/St_Johns",
    "Africa/Casablanca",
    "Asia/Beirut",
    "America/Toronto",
    "Pacific/Kiritimati",
    "Antarctica/Troll",
    "Africa/Monrovia",
];

fn granularity() -> impl Strategy<Value = Granularity> {
    prop::sample::select(&Granularity::ALL[..6])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_written_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        for source in ["a.yaml", "a.json", "body"] {
            let _ = definition::parse(&text, source);
        }
        let _ = definition::template::check(&text);
    }

    #[test]
    fn yaml_like_text_never_panics(text in "[ \\n\\-:{}\\[\\],&*!|>'\"#%a-c0-9]{0,120}") {
        let _ = definition::parse(&text, "body");
    }

    #[test]
    fn damaged_examples_never_panic(which in 0_usize..4, at in any::<prop::sample::Index>(), with in "[ \\n:{}\\[\\],&*\"'a-z0-9\\u{0}\\u{202e}]{0,6}", cut in 0_usize..12) {
        let (_, text) = examples().remove(which);
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, with.chars());
        let text: String = chars.into_iter().collect();
        match definition::parse(&text, "damaged.yaml") {
            Ok(bundle) => drop(bundle.validate(&support::Catalogue)),
            Err(problems) => prop_assert!(!problems.is_empty() && problems.iter().all(|p| p.line > 0), "{problems:?}"),
        }
    }

    #[test]
    fn definitions_survive_their_document(value in definition_value()) {
        let schema = definition::json_schema();
        if let Err(error) = check(&schema, &value, &schema) {
            prop_assert!(false, "as written: {error}");
        }
        let bundle = definition::parse(&value.to_string(), "a.json");
        prop_assert!(bundle.is_ok(), "{bundle:?}\n{value}");
        let definition = bundle.unwrap().definitions.remove(0).definition;
        let document = definition.to_document();
        prop_assert_eq!(Definition::from_document(&document).unwrap(), definition);
        if let Err(error) = check(&schema, &document, &schema) {
            prop_assert!(false, "as kept: {error}");
        }
    }

    #[test]
    fn buckets_divide_time(at in instant(), zone in prop::sample::select(ZONES), granularity in granularity(), sunday in any::<bool>()) {
        let zone = definition::zone::find(zone).unwrap();
        let week_start = if sunday { Weekday::Sunday } else { Weekday::Monday };
        let start = granularity.start_of(at, &zone, week_start);
        let next = granularity.next(start, &zone, week_start);
        prop_assert!(start <= at && at < next, "{start} {at} {next}");
        prop_assert_eq!(granularity.start_of(start, &zone, week_start), start);
        prop_assert_eq!(granularity.start_of(next, &zone, week_start), next);
        let last = next.checked_sub(SignedDuration::from_nanos(1)).unwrap();
        prop_assert_eq!(granularity.start_of(last, &zone, week_start), start);
        // Coarser buckets begin where finer ones do (hours may be cut, but never straddle a day).
        let coarse = Granularity::Day.start_of(at, &zone, week_start);
        if granularity == Granularity::Hour {
            prop_assert_eq!(Granularity::Day.start_of(start, &zone, week_start).max(coarse), coarse);
        } else {
            prop_assert_eq!(Granularity::Day.start_of(start, &zone, week_start), start);
        }
    }

    #[test]
    fn windows_touch_and_reach_far_enough(now in instant(), zone in prop::sample::select(ZONES), coarsest in granularity(), last in span(), step in prop::option::of(span()), lookback in prop::option::of(span()), ago in 0_i64..2_000_000) {
        let zone = definition::zone::find(zone).unwrap();
        let parse = |text: String| Span::parse(&text).unwrap();
        let window = Window { last: parse(last), step: step.map(parse), lookback: lookback.map(parse) };
        let since = now.checked_sub(SignedDuration::from_secs(ago)).unwrap();
        for success in [None, Some(since)] {
            let plan = window::plan(&window, &[], success, now, &zone, coarsest, Weekday::Monday);
            prop_assert!(!plan.is_empty());
            prop_assert!(plan[0].contains(now), "{:?} {now}", plan[0]);
            for pair in plan.windows(2) {
                prop_assert_eq!(pair[1].end, pair[0].start);
            }
            let oldest = plan[plan.len() - 1].start;
            let asked = match (success, window.lookback) {
                (Some(end), Some(lookback)) => lookback.before(&end.to_zoned(zone.clone())).timestamp(),
                _ => window.last.before(&now.to_zoned(zone.clone())).timestamp(),
            };
            prop_assert!(plan.len() == window::MAX_WINDOWS || oldest <= asked, "{oldest} {asked}");
            for Interval { start, end } in plan {
                prop_assert!(start < end);
                prop_assert_eq!(coarsest.start_of(start, &zone, Weekday::Monday), start);
                prop_assert_eq!(coarsest.start_of(end, &zone, Weekday::Monday), end);
            }
        }
    }
}

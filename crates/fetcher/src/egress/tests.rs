//! Every case of the table in `tests/data/egress.json`, through a resolver of our own, and the rules around it.

use std::collections::HashMap;
use std::io;

use super::*;

/// Answers from a table; a name that is missing hangs.
struct Table(HashMap<String, Vec<IpAddr>>);

impl Resolver for Table {
    fn resolve(&self, name: &str, _: NameScope) -> Resolving {
        match self.0.get(name).cloned() {
            Some(addresses) => Box::pin(async move { Ok(addresses) }),
            None => Box::pin(std::future::pending::<io::Result<Vec<IpAddr>>>()),
        }
    }
}

fn guard(allow: &[&str], names: &[(&str, &[&str])]) -> Guard {
    let table = names
        .iter()
        .map(|(name, addresses)| {
            (
                (*name).to_owned(),
                addresses
                    .iter()
                    .map(|text| text.parse().expect("an address"))
                    .collect(),
            )
        })
        .collect();
    Guard::new(GuardConfig {
        allow: allow
            .iter()
            .map(|text| text.parse().expect("an entry"))
            .collect(),
        allow_list: None,
        deny: vec![Cidr::parse("54.10.0.0/16").expect("a network")],
        ports: Vec::new(),
        resolver: Arc::new(Table(table)),
        resolve_within: Duration::from_millis(50),
    })
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a url")
}

#[derive(serde::Deserialize)]
struct Case {
    id: String,
    url: String,
    verdict: String,
    stage: String,
    code: Option<String>,
    resolves_to: Option<Vec<String>>,
    redirect_to: Option<String>,
    next_link: Option<String>,
}

#[tokio::test]
async fn every_case_of_the_table_gives_its_verdict_and_code() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../tests/data/egress.json")).expect("cases");
    assert!(cases.len() >= 98);
    let mut wrong = Vec::new();
    for case in &cases {
        let (verdict, code) = judge(case).await;
        if verdict != case.verdict
            || (case.verdict == "deny" && code.as_deref() != case.code.as_deref())
        {
            wrong.push(format!(
                "{} {}: {verdict} {code:?}, expected {} {:?}",
                case.id, case.url, case.verdict, case.code
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn judge(case: &Case) -> (String, Option<String>) {
    let answer = |outcome: Result<String, Refusal>| match outcome {
        Ok(verdict) => (verdict, None),
        Err(refusal) => ("deny".to_owned(), Some(refusal.code.as_str().to_owned())),
    };
    let allow = "allow".to_owned();
    if let Some(location) = &case.redirect_to {
        let location = if location.starts_with('<') {
            "a".repeat(200 * 1024)
        } else {
            location.clone()
        };
        let guard = guard(&[], &[]);
        return answer(
            guard
                .check_redirect(&[url(&case.url)], &location)
                .map(|redirect| match redirect.carry {
                    Carry::Everything => allow,
                    Carry::Nothing => "allow_without_credentials".to_owned(),
                }),
        );
    }
    if let Some(link) = &case.next_link {
        let guard = guard(&[], &[]);
        return answer(
            guard
                .check_next_link(&url(&case.url), link, &|_| false)
                .map(|_| allow),
        );
    }
    if case.stage == "environment" {
        // The allow-list case is judged here; proxies, headers and pools are the client's (`tests/client.rs`).
        let expected = (case.verdict.clone(), case.code.clone());
        if case.url.contains("allow-list 10.0.0.0/8") {
            return answer(
                guard(&["10.0.0.0/8"], &[])
                    .check_text("http://169.254.169.254/")
                    .map(|_| allow),
            )
            .pipe_code(None);
        }
        return expected;
    }
    let host = Url::parse(&case.url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default();
    let answers: Option<Vec<&str>> = case
        .resolves_to
        .as_ref()
        .filter(|answers| answers.first().is_none_or(|first| first != "<no answer>"))
        .map(|answers| {
            answers
                .iter()
                .map(|text| {
                    if text == "<pod IP>" {
                        "54.10.3.4"
                    } else {
                        text
                    }
                })
                .collect()
        });
    let names: Vec<(&str, &[&str])> = answers
        .iter()
        .map(|answers| (host.as_str(), answers.as_slice()))
        .collect();
    match guard(&[], &names).verdict(&case.url).await {
        Verdict::Allowed => answer(Ok(allow)),
        Verdict::Refused(refusal) => answer(Err(refusal)),
    }
}

trait PipeCode {
    fn pipe_code(self, code: Option<String>) -> Self;
}

impl PipeCode for (String, Option<String>) {
    fn pipe_code(self, code: Option<String>) -> Self {
        (self.0, code)
    }
}

fn code(guard: &Guard, text: &str) -> &'static str {
    match guard.check_text(text) {
        Ok(_) => "allowed",
        Err(refusal) => refusal.code.as_str(),
    }
}

#[test]
fn spellings_of_the_same_address_get_the_same_answer() {
    let guard = guard(&[], &[]);
    for text in [
        "http://127.0.0.1:8080/",
        "http://0x7f000001/",
        "http://017700000001/",
        "http://127.0.1/",
        "http://127.000.000.001/",
        "http://0x7f.1/",
        "https://[::ffff:7f00:1]/",
        "http://[::ffff:0x7f.0.0.1]/",
        "http://127。0。0。1/",
        "http://127.0.0.1./",
        "http://１２７.0.0.1/",
        "http://%31%32%37.0.0.1/",
    ] {
        assert!(
            ["egress.address_forbidden", "definition.url_invalid"].contains(&code(&guard, text)),
            "{text}"
        );
    }
    assert_eq!(
        code(&guard, "http://0x08.8.8.8/"),
        "allowed",
        "a public address in a strange spelling harms nobody"
    );
}

#[test]
fn near_names_are_refused_in_every_case_and_with_a_trailing_dot() {
    let guard = guard(&[], &[]);
    for text in [
        "http://LOCALHOST/",
        "http://localhost./",
        "http://a.localhost/",
        "http://printer.local/",
        "http://db.internal/",
        "http://x.svc.cluster.local/",
        "http://x.svc/",
        "http://nats/",
        "http://metadata.google.internal/",
        "http://kubernetes.default/",
        "http://router.lan/",
        "http://loc%61lhost/",
        "http://lOcAlHoSt.:8080/x",
        "http://ⓛocalhost/",
        "http://router.home.arpa/",
    ] {
        assert_eq!(code(&guard, text), "egress.name_forbidden", "{text}");
    }
    for text in [
        "http://localhost.example.com/",
        "http://internal.example.com/",
        "http://mylocal.example/",
    ] {
        assert_eq!(code(&guard, text), "allowed", "{text}");
    }
}

#[test]
fn the_text_must_mean_what_it_shows() {
    let guard = guard(&[], &[]);
    for (text, expected) in [
        ("https:/api.example.com/", "definition.url_not_canonical"),
        ("https:api.example.com", "definition.url_not_canonical"),
        ("https:////api.example.com/", "definition.url_not_canonical"),
        (" https://api.example.com/", "definition.url_not_canonical"),
        ("https://api.example.com/\t", "definition.url_not_canonical"),
        (
            "https://api.exam\u{200b}ple.com/",
            "definition.url_not_canonical",
        ),
        (
            "https://api.example.com/a/../b",
            "definition.url_not_canonical",
        ),
        (
            "https://api.example.com/a/.",
            "definition.url_not_canonical",
        ),
        (
            "https://api.example.com/%252e%252e%252fadmin",
            "definition.url_path_traversal",
        ),
        (
            "https://api.example.com/x%5c..%5cadmin",
            "definition.url_path_traversal",
        ),
        ("https://api.example.com/..;/admin", "allowed"),
        ("https://@127.0.0.1/", "definition.url_userinfo"),
        ("https://:@api.example.com/", "definition.url_userinfo"),
        ("https://api.example.com:0/", "definition.url_port"),
        ("https://api.example.com:/", "definition.url_not_canonical"),
        ("https://api.example.com:", "definition.url_not_canonical"),
        (
            "https://api.example.com:00443/",
            "definition.url_not_canonical",
        ),
        ("http://8.8.8.8:080/", "definition.url_not_canonical"),
        ("http://[2606:4700::1]:/", "definition.url_not_canonical"),
        ("https://api.example.com:443/", "allowed"),
        ("http://[2606:4700::1]:443/", "allowed"),
        ("http://8.8.8.8/%zz", "definition.url_not_canonical"),
        ("http://8.8.8.8/a%2", "definition.url_not_canonical"),
        ("http://8.8.8.8/a%", "definition.url_not_canonical"),
        ("http://8.8.8.8/a b", "definition.url_not_canonical"),
        ("http://8.8.8.8/a\"b", "definition.url_not_canonical"),
        ("http://8.8.8.8/é", "definition.url_not_canonical"),
        ("http://8.8.8.8/%C3%A9", "allowed"),
        ("http://127.0.0.1../", "definition.url_invalid"),
        ("http://127.1../", "definition.url_invalid"),
        ("http://8.8.8.8../", "definition.url_invalid"),
        ("http://api.example.com../", "definition.url_invalid"),
        ("http://api.example.com./", "allowed"),
        ("http://./", "definition.url_invalid"),
        ("/v3/x", "definition.url_invalid"),
        ("", "definition.url_invalid"),
        ("api.example.com", "definition.url_invalid"),
        ("api.example.com:443/x", "definition.url_scheme"),
        ("ftp://api.example.com/", "definition.url_scheme"),
        ("https://a..b.com/", "definition.url_invalid"),
        ("https://api.example.com/projects/group%2Fname", "allowed"),
        (
            "https://api.example.com/?redirect=http://127.0.0.1/",
            "allowed",
        ),
        ("https://api.example.com/a@b", "allowed"),
        ("https://api.example.com/?q=a\\b", "allowed"),
        ("https://10.0.0.1.nip.io/", "egress.address_forbidden"),
        ("https://app-10-0-0-1.sslip.io/", "egress.address_forbidden"),
        ("https://8.8.8.8.nip.io/", "allowed"),
    ] {
        assert_eq!(code(&guard, text), expected, "{text}");
    }
    let long = format!("https://api.example.com/?q={}", "a".repeat(8193));
    assert_eq!(code(&guard, &long), "definition.url_too_long");
}

#[tokio::test]
async fn an_exact_entry_opens_exactly_that() {
    let guard = guard(
        &["127.0.0.1:3000", "api.corp.internal:9443"],
        &[("api.corp.internal", &["10.9.8.7"])],
    );
    assert_eq!(code(&guard, "http://127.0.0.1:3000/v3"), "allowed");
    assert_eq!(
        code(&guard, "http://127.1:3000/v3"),
        "allowed",
        "the same address, spelled otherwise"
    );
    for text in [
        "http://127.0.0.1/",
        "http://127.0.0.1:3001/",
        "http://127.0.0.2:3000/",
        "http://[::1]:3000/",
    ] {
        assert_eq!(code(&guard, text), "egress.address_forbidden", "{text}");
    }
    assert_eq!(
        code(&guard, "http://localhost:3000/"),
        "egress.name_forbidden"
    );
    assert_eq!(
        guard.verdict("https://api.corp.internal:9443/").await,
        Verdict::Allowed
    );
    assert_eq!(
        code(&guard, "https://api.corp.internal/"),
        "egress.name_forbidden"
    );
}

#[tokio::test]
async fn nothing_opens_a_metadata_service() {
    let guard = guard(
        &[
            "169.254.169.254:80",
            "169.254.0.0/16",
            "metadata.google.internal:80",
            "meta.example.com:80",
        ],
        &[("meta.example.com", &["169.254.169.254"])],
    );
    for text in [
        "http://169.254.169.254/",
        "http://metadata.google.internal/",
        "http://meta.example.com/",
    ] {
        let Verdict::Refused(refusal) = guard.verdict(text).await else {
            panic!("{text} was allowed")
        };
        assert_eq!(refusal.cure, None, "{text}");
    }
    assert_eq!(
        guard.verdict("http://169.254.1.1/").await,
        Verdict::Allowed,
        "link-local, opened by its own network"
    );
}

#[tokio::test]
async fn one_closed_answer_among_public_ones_refuses_the_name() {
    let guard = guard(
        &[],
        &[
            ("mixed.test", &["93.184.216.34", "10.0.0.1"]),
            ("ok.test", &["93.184.216.34"]),
        ],
    );
    let Verdict::Refused(refusal) = guard.verdict("https://mixed.test/").await else {
        panic!("allowed")
    };
    assert_eq!(refusal.code, Code::AddressForbidden);
    assert_eq!(refusal.cure.as_deref(), Some("--allow-host mixed.test:443"));
    assert_eq!(guard.verdict("https://ok.test/").await, Verdict::Allowed);
}

#[tokio::test]
async fn a_network_with_a_port_opens_that_port_there_only() {
    let guard = guard(
        &["10.2.0.0/16:9000"],
        &[("in.test", &["10.2.3.4"]), ("out.test", &["93.184.216.34"])],
    );
    assert_eq!(
        guard.verdict("http://10.2.3.4:9000/").await,
        Verdict::Allowed
    );
    assert_eq!(
        guard.verdict("http://in.test:9000/").await,
        Verdict::Allowed
    );
    assert!(
        matches!(guard.verdict("http://out.test:9000/").await, Verdict::Refused(r) if r.code == Code::UrlPort)
    );
    assert!(
        matches!(guard.verdict("http://10.3.3.4:9000/").await, Verdict::Refused(r) if r.code == Code::AddressForbidden)
    );
}

#[test]
fn a_refused_private_address_names_its_cure() {
    let Verdict::Refused(refusal) = check_url(
        "http://127.0.0.1:3000/v3/subscribers?api_secret=hidden",
        &[],
    ) else {
        panic!("allowed")
    };
    let text = Verdict::Refused(refusal).to_string();
    assert!(
        text.starts_with("refused: 127.0.0.1 is a loopback address"),
        "{text}"
    );
    assert!(text.contains("--allow-host 127.0.0.1:3000"), "{text}");
    assert!(!text.contains("hidden"), "{text}");
    let Verdict::Refused(v6) = check_url("http://[::1]:3000/", &[]) else {
        panic!("allowed")
    };
    assert_eq!(v6.cure.as_deref(), Some("--allow-host [::1]:3000"));
}

#[test]
fn redirects_are_followed_five_times_and_never_in_a_circle() {
    let guard = guard(&[], &[]);
    let hops: Vec<Url> = (0..=5)
        .map(|n| url(&format!("https://api.example.com/{n}?key=hidden")))
        .collect();
    assert!(guard.check_redirect(&hops[..5], "/next").is_ok());
    let refusal = guard.check_redirect(&hops, "/next").expect_err("six hops");
    assert!(
        refusal.reason.contains("https://api.example.com/0 → "),
        "{}",
        refusal.reason
    );
    assert!(!refusal.reason.contains("hidden"));
    assert!(
        guard.check_redirect(&hops[..2], "/0?key=hidden").is_err(),
        "a circle"
    );
    for refused in [
        "http://10.0.0.1/",
        "//localhost/x",
        "/\\evil.test",
        "https://a@evil.test/",
        "\u{0}",
        "https:\\\\evil.test",
    ] {
        assert!(
            guard.check_redirect(&hops[..1], refused).is_err(),
            "{refused}"
        );
    }
    let upgrade = guard
        .check_redirect(
            &[url("http://api.example.com/a")],
            "https://api.example.com/a",
        )
        .expect("upgrade");
    assert_eq!(
        upgrade.carry,
        Carry::Nothing,
        "another scheme is another origin"
    );
}

#[test]
fn next_links_stay_on_their_origin() {
    let guard = guard(&[], &[]);
    let page = url("https://api.example.com/v1/items?page=1");
    let next = |link: &str| guard.check_next_link(&page, link, &|_| false);
    assert_eq!(
        next("?page=2").expect("relative").as_str(),
        "https://api.example.com/v1/items?page=2"
    );
    assert_eq!(
        next("items?page=2").expect("relative").as_str(),
        "https://api.example.com/v1/items?page=2"
    );
    assert_eq!(
        next("../v2/items").expect("relative").as_str(),
        "https://api.example.com/v2/items"
    );
    for refused in [
        "http://api.example.com/v1/items?page=2",
        "https://api.example.com:8443/v1",
        "https://evil.test/",
        "//evil.test/",
        "https:\\\\evil.test",
        "\\\\evil.test\\x",
        "javascript:alert(1)",
        "https://api.example.com.evil.test/",
    ] {
        assert_eq!(
            next(refused).expect_err(refused).code,
            Code::OriginRefused,
            "{refused}"
        );
    }
    let seen = guard.check_next_link(&page, "?page=3", &|url| url.query() == Some("page=3"));
    assert_eq!(seen.expect_err("seen").code, Code::PaginationLoop);
}

#[test]
fn a_link_of_an_answer_may_hold_a_space_in_its_path() {
    let guard = guard(&[], &[]);
    let page = url::Url::parse("https://api.example.com/v1?page=1").unwrap();
    for link in [
        "https://api.example.com/all people?page=2",
        "/all people?page=2",
        "//api.example.com/all people?page=2",
    ] {
        let next = guard.check_next_link(&page, link, &|_| false).unwrap();
        assert_eq!(
            next.as_str(),
            "https://api.example.com/all%20people?page=2",
            "{link}"
        );
    }
}

//! First answers as their documentation shows them, and what is made of them.

use http::header::{HeaderName, HeaderValue};
use serde_json::json;

use super::*;

struct Case {
    name: &'static str,
    url: &'static str,
    sent: Option<Value>,
    headers: Vec<(&'static str, &'static str)>,
    body: Value,
    expected: Value,
    certainty: Certainty,
}

fn found(case: &Case) -> Vec<Candidate> {
    let headers = case.headers.iter().map(|(name, value)| {
        let name = HeaderName::try_from(*name).expect("a name");
        (name, HeaderValue::from_static(value))
    });
    let headers: HeaderMap = headers.collect();
    let url = Url::parse(case.url).expect("an address");
    detect(&FirstAnswer {
        url: &url,
        sent: case.sent.as_ref(),
        headers: &headers,
        body: &case.body,
        records: None,
    })
}

fn case(name: &'static str, url: &'static str, body: Value, expected: Value) -> Case {
    Case {
        name,
        url,
        sent: None,
        headers: Vec::new(),
        body,
        expected,
        certainty: Certainty::Sure,
    }
}

impl Case {
    fn headers(self, headers: &[(&'static str, &'static str)]) -> Self {
        Case {
            headers: headers.to_vec(),
            ..self
        }
    }

    fn sent(self, sent: Value) -> Self {
        Case {
            sent: Some(sent),
            ..self
        }
    }

    fn likely(self) -> Self {
        Case {
            certainty: Certainty::Likely,
            ..self
        }
    }

    fn possible(self) -> Self {
        Case {
            certainty: Certainty::Possible,
            ..self
        }
    }
}

fn records(count: u64) -> Value {
    let records = (1..=count).map(|id| json!({ "id": id, "page": 7, "total": id * 3 }));
    records.collect()
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn documented() -> Vec<Case> {
    vec![
        case("ConvertKit v3", "https://api.convertkit.com/v3/subscribers?from=2026-01-01",
            json!({"total_subscribers": 4050, "page": 1, "total_pages": 81, "subscribers": records(50)}),
            json!({"page": {"param": "page", "total_pages": "total_pages", "total": "total_subscribers"}})),
        case("Kit v4", "https://api.kit.com/v4/subscribers",
            json!({"subscribers": records(3), "pagination": {"has_previous_page": false, "has_next_page": true, "start_cursor": "a", "end_cursor": "WzE0XQ==", "per_page": 500}}),
            json!({"cursor": {"from": "pagination.end_cursor", "param": "after", "has_more": "pagination.has_next_page"}})),
        case("GitHub", "https://api.github.com/repos/o/r/issues?per_page=100", records(100), json!("link_header"))
            .headers(&[("link", "<https://api.github.com/repositories/1/issues?per_page=100&page=2>; rel=\"next\", <https://api.github.com/repositories/1/issues?per_page=100&page=9>; rel=\"last\"")]),
        case("GitHub, the last page", "https://api.github.com/repos/o/r/issues?page=9", records(3), json!("link_header"))
            .headers(&[("link", "<https://api.github.com/r?page=8>; rel=\"prev\", <https://api.github.com/r?page=1>; rel=\"first\"")])
            .likely(),
        case("json-server", "http://localhost:3000/posts?_page=1&_limit=10", records(10),
            json!({"link_header": {"total": {"header": "X-Total-Count"}}}))
            .headers(&[("link", "<http://localhost:3000/posts?_page=1&_limit=10>; rel=\"first\", <http://localhost:3000/posts?_page=2&_limit=10>; rel=\"next\""), ("x-total-count", "1204")]),
        case("Kinto", "http://localhost:8888/v1/buckets/b/collections/c/records?_limit=100",
            json!({"data": records(100)}),
            json!({"next_url": {"from": {"header": "Next-Page"}, "total": {"header": "Total-Records"}}}))
            .headers(&[("next-page", "http://localhost:8888/v1/buckets/b/collections/c/records?_limit=100&_token=eyJ"), ("total-records", "1200")]),
        case("datasette", "http://localhost:8001/db/rows.json?_shape=objects",
            json!({"ok": true, "next": "100", "next_url": "http://localhost:8001/db/rows.json?_shape=objects&_next=100", "rows": records(100), "truncated": false}),
            json!({"next_url": {"from": "next_url"}})),
        case("Django REST framework", "https://api.test/things/",
            json!({"count": 1023, "next": "https://api.test/things/?limit=100&offset=100", "previous": null, "results": records(100)}),
            json!({"next_url": {"from": "next", "total": "count"}})),
        case("Django REST framework, one page", "https://api.test/things/",
            json!({"count": 2, "next": null, "previous": null, "results": records(2)}),
            json!({"next_url": {"from": "next", "total": "count"}})).likely(),
        case("Stripe", "https://api.stripe.com/v1/charges?limit=3",
            json!({"object": "list", "url": "/v1/charges", "has_more": true, "data": records(3)}),
            json!({"cursor": {"from": "data[-1].id", "param": "starting_after", "has_more": "has_more"}})).likely(),
        case("HubSpot", "https://api.hubapi.com/crm/v3/objects/contacts?limit=10",
            json!({"results": records(10), "paging": {"next": {"after": "NTI1Cg%3D%3D", "link": "?after=NTI1Cg%3D%3D"}}}),
            json!({"next_url": {"from": "paging.next.link"}})),
        case("HubSpot search", "https://api.hubapi.com/crm/v3/objects/contacts/search",
            json!({"total": 320, "results": records(10), "paging": {"next": {"after": "10"}}}),
            json!({"cursor": {"from": "paging.next.after", "param": "after", "in": "body", "total": "total"}}))
            .sent(json!({"limit": 10, "filterGroups": []})),
        case("Slack", "https://slack.com/api/conversations.list",
            json!({"ok": true, "channels": records(2), "response_metadata": {"next_cursor": "dGVhbTpDMUg5UkVTR0w="}}),
            json!({"cursor": {"from": "response_metadata.next_cursor", "param": "cursor"}})),
        case("Slack, the last page", "https://slack.com/api/conversations.list",
            json!({"ok": true, "channels": records(2), "response_metadata": {"next_cursor": ""}}),
            json!({"cursor": {"from": "response_metadata.next_cursor", "param": "cursor"}})).likely(),
        case("Notion", "https://api.notion.com/v1/databases/x/query",
            json!({"object": "list", "results": records(2), "next_cursor": "fe2cc560", "has_more": true, "type": "page_or_database"}),
            json!({"cursor": {"from": "next_cursor", "param": "start_cursor", "in": "body", "has_more": "has_more"}}))
            .sent(json!({"page_size": 100})),
        case("Airtable", "https://api.airtable.com/v0/app/Table",
            json!({"records": records(100), "offset": "itrLh2/recQz"}),
            json!({"cursor": {"from": "offset", "param": "offset"}})),
        case("Google", "https://www.googleapis.com/calendar/v3/calendars/x/events",
            json!({"kind": "calendar#events", "nextPageToken": "EAAaB", "items": records(3)}),
            json!({"cursor": {"from": "nextPageToken", "param": "pageToken"}})),
        case("Jira", "https://x.atlassian.net/rest/api/2/search",
            json!({"expand": "schema", "startAt": 0, "maxResults": 50, "total": 321, "issues": records(50)}),
            json!({"offset": {"param": "startAt", "limit_param": "maxResults", "limit": 50, "total": "total"}})),
        case("Jira, by token", "https://x.atlassian.net/rest/api/3/search/jql",
            json!({"issues": records(50), "nextPageToken": "CAEaAggD", "isLast": false}),
            json!({"cursor": {"from": "nextPageToken", "param": "pageToken", "has_more": "$not(isLast)"}})),
        case("Pipedrive", "https://x.pipedrive.com/api/v1/deals",
            json!({"success": true, "data": records(2), "additional_data": {"pagination": {"start": 0, "limit": 2, "more_items_in_collection": true, "next_start": 2}}}),
            json!({"offset": {"param": "start", "limit_param": "limit", "limit": 2, "has_more": "additional_data.pagination.more_items_in_collection"}})),
        case("Zoho Books", "https://books.zoho.com/api/v3/invoices",
            json!({"code": 0, "invoices": records(200), "page_context": {"page": 1, "per_page": 200, "has_more_page": true}}),
            json!({"page": {"param": "page", "has_more": "page_context.has_more_page"}})),
        case("Twilio", "https://api.twilio.com/2010-04-01/Accounts/AC/Messages.json",
            json!({"first_page_uri": "/2010-04-01/Accounts/AC/Messages.json?Page=0", "end": 49, "next_page_uri": "/2010-04-01/Accounts/AC/Messages.json?Page=1&PageToken=PASM", "page": 0, "page_size": 50, "messages": records(50)}),
            json!({"next_url": {"from": "next_page_uri"}})),
        case("Salesforce", "https://x.my.salesforce.com/services/data/v59.0/query?q=SELECT",
            json!({"totalSize": 3200, "done": false, "nextRecordsUrl": "/services/data/v59.0/query/01gD-2000", "records": records(20)}),
            json!({"next_url": {"from": "nextRecordsUrl", "total": "totalSize"}})),
        case("Calendly", "https://api.calendly.com/scheduled_events",
            json!({"collection": records(20), "pagination": {"count": 20, "next_page": "https://api.calendly.com/scheduled_events?page_token=x", "previous_page": null, "next_page_token": "x"}}),
            json!({"next_url": {"from": "pagination.next_page"}})),
        case("Chargebee", "https://x.chargebee.com/api/v2/invoices?limit=2",
            json!({"list": records(2), "next_offset": "[\"1612890919000\",\"320\"]"}),
            json!({"cursor": {"from": "next_offset", "param": "offset"}})),
        case("Intercom", "https://api.intercom.io/contacts",
            json!({"type": "list", "total_count": 300, "pages": {"type": "pages", "page": 1, "per_page": 50, "total_pages": 6, "next": {"page": 2, "starting_after": "WzE2"}}, "data": records(50)}),
            json!({"page": {"param": "page", "total_pages": "pages.total_pages", "total": "total_count"}})),
        case("Laravel", "https://api.test/users",
            json!({"data": records(15), "links": {"first": "https://api.test/users?page=1", "next": "https://api.test/users?page=2"}, "meta": {"current_page": 1, "last_page": 10, "per_page": 15, "total": 150}}),
            json!({"page": {"param": "page", "total_pages": "meta.last_page", "total": "meta.total"}})),
        case("Spring Data", "https://api.test/users",
            json!({"content": records(20), "totalPages": 5, "totalElements": 100, "last": false, "size": 20, "number": 0, "first": true}),
            json!({"page": {"param": "page", "start": 0, "total_pages": "totalPages", "total": "totalElements"}})),
        case("Algolia", "https://x.algolia.net/1/indexes/i?hitsPerPage=20",
            json!({"hits": records(20), "nbHits": 500, "page": 0, "nbPages": 25, "hitsPerPage": 20}),
            json!({"page": {"param": "page", "start": 0, "total_pages": "nbPages", "total": "nbHits"}})),
        case("JSON:API", "https://api.test/articles?page[number]=1",
            json!({"data": records(10), "links": {"self": "https://api.test/articles?page[number]=1", "next": "https://api.test/articles?page[number]=2"}}),
            json!({"next_url": {"from": "links.next"}})),
        case("HAL", "https://api.test/orders",
            json!({"_links": {"self": {"href": "/orders"}, "next": {"href": "/orders?page=2"}}, "_embedded": {"orders": records(10)}}),
            json!({"next_url": {"from": "_links.next.href"}})),
        case("OData", "https://graph.microsoft.com/v1.0/users?$count=true",
            json!({"@odata.context": "x", "@odata.nextLink": "https://graph.microsoft.com/v1.0/users?$skiptoken=RFNw", "value": records(100)}),
            json!({"next_url": {"from": "`@odata.nextLink`"}})),
        case("GraphQL", "https://api.linear.app/graphql",
            json!({"data": {"issues": {"nodes": records(50), "pageInfo": {"hasNextPage": true, "endCursor": "42f"}}}}),
            json!({"cursor": {"from": "data.issues.pageInfo.endCursor", "param": "variables.after", "in": "body", "has_more": "data.issues.pageInfo.hasNextPage"}}))
            .sent(json!({"query": "query Q($after: String) { issues(first: 50, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }", "variables": {}})),
        case("Shopify", "https://x.myshopify.com/admin/api/2024-01/orders.json?limit=50",
            json!({"orders": records(50)}), json!("link_header"))
            .headers(&[("link", "<https://x.myshopify.com/admin/api/2024-01/orders.json?limit=50&page_info=hijgkl>; rel=next")]),
        case("WordPress", "https://blog.test/wp-json/wp/v2/posts?per_page=10", records(10),
            json!({"link_header": {"total": {"header": "X-Wp-Total"}}}))
            .headers(&[("x-wp-total", "319"), ("x-wp-totalpages", "32"), ("link", "<https://blog.test/wp-json/wp/v2/posts?per_page=10&page=2>; rel=\"next\"")]),
        case("GitLab without links", "https://gitlab.test/api/v4/projects", records(20),
            json!({"page": {"param": "page", "total_pages": {"header": "X-Total-Pages"}, "total": {"header": "X-Total"}}}))
            .headers(&[("x-page", "1"), ("x-per-page", "20"), ("x-total", "300"), ("x-total-pages", "15"), ("x-next-page", "2")]).likely(),
        case("Azure Cosmos", "https://x.documents.azure.test/docs", json!({"Documents": records(100), "_count": 100}),
            json!({"cursor": {"from": {"header": "X-Ms-Continuation"}, "param": "X-Ms-Continuation", "in": "header"}}))
            .headers(&[("x-ms-continuation", "eyJjb21w")]).likely(),
        case("Elasticsearch", "https://es.test/index/_search?scroll=1m",
            json!({"_scroll_id": "DXF1ZXJ5", "took": 3, "hits": {"total": {"value": 1000, "relation": "eq"}, "hits": records(10)}}),
            json!({"cursor": {"from": "_scroll_id", "param": "scroll_id", "in": "body",
                "next": {"method": "POST", "path": "/_search/scroll", "query": {}, "body": {"scroll": "1m"}}}}))
            .sent(json!({"size": 10})),
        case("Dropbox", "https://api.dropboxapi.com/2/files/list_folder",
            json!({"entries": records(10), "cursor": "ZtkX9_EHj3x7", "has_more": true}),
            json!({"cursor": {"from": "cursor", "param": "cursor", "in": "body", "has_more": "has_more",
                "next": {"path": "/2/files/list_folder/continue", "body": {}}}}))
            .sent(json!({"path": ""})),
        case("DummyJSON", "https://dummyjson.com/products",
            json!({"products": records(30), "total": 194, "skip": 0, "limit": 30}),
            json!({"offset": {"param": "skip", "limit_param": "limit", "limit": 30, "total": "total"}})),
        case("Spotify", "https://api.spotify.com/v1/me/tracks",
            json!({"href": "https://api.spotify.com/v1/me/tracks", "items": records(20), "limit": 20, "next": "https://api.spotify.com/v1/me/tracks?offset=20&limit=20", "offset": 0, "previous": null, "total": 120}),
            json!({"offset": {"param": "offset", "limit_param": "limit", "limit": 20, "total": "total"}})),
        case("SCIM", "https://idp.test/scim/v2/Users",
            json!({"totalResults": 300, "itemsPerPage": 100, "startIndex": 1, "Resources": records(100)}),
            json!({"offset": {"param": "startIndex", "start": 1, "total": "totalResults"}})).likely(),
        case("Twitter", "https://api.twitter.com/2/users/1/tweets?pagination_token=7140w",
            json!({"data": records(10), "meta": {"result_count": 10, "next_token": "7140x"}}),
            json!({"cursor": {"from": "meta.next_token", "param": "pagination_token"}})),
        case("Mailchimp, asked with an offset", "https://us1.api.mailchimp.com/3.0/lists?count=10&offset=0",
            json!({"lists": records(10), "total_items": 64, "_links": [{"rel": "self"}]}),
            json!({"offset": {"param": "offset", "total": "total_items"}})).likely(),
        case("A bare list, asked with a page", "https://api.test/things?page=1", records(10),
            json!({"page": {"param": "page"}})).possible(),
    ]
}

#[test]
fn documented_answers_are_recognised() {
    let mut wrong = Vec::new();
    for case in documented() {
        let candidates = found(&case);
        let best = candidates
            .first()
            .map(|best| serde_json::to_value(&best.pagination).expect("json"));
        let certainty = candidates.first().map(|best| best.certainty);
        if best.as_ref() != Some(&case.expected) || certainty != Some(case.certainty) {
            wrong.push(format!(
                "{}:\n  expected {} ({:?})\n  got      {} ({certainty:?})\n  of {candidates:?}",
                case.name,
                case.expected,
                case.certainty,
                best.unwrap_or_default(),
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_recognised_can_be_written_in_a_definition() {
    for case in documented() {
        for candidate in found(&case) {
            assert!(!candidate.reasons.is_empty(), "{}", case.name);
            let document = json!({ "path": "/x", "pagination": candidate.pagination });
            let read = definition::Request::from_document(&document).expect(case.name);
            assert_eq!(read.pagination, candidate.pagination, "{}", case.name);
        }
    }
}

#[test]
fn what_does_not_page_is_not_said_to() {
    for (name, body) in [
        (
            "an account",
            json!({"name": "Acme", "plan": {"id": 3, "total": 12}, "page": "home"}),
        ),
        ("a list that is all there is", json!({"tags": records(3)})),
        (
            "statistics",
            json!({"stats": {"open_rate": 60.9, "count": 12, "status": "done", "progress": 100.0}}),
        ),
        ("a number", json!(12)),
        (
            "a page of a book",
            json!({"title": "x", "pages": 320, "next": "to be continued", "chapters": [] }),
        ),
    ] {
        let case = case(name, "https://api.test/x", body, Value::Null);
        let candidates = found(&case);
        let certain = candidates
            .iter()
            .filter(|one| one.certainty == Certainty::Sure)
            .count();
        assert_eq!(certain, 0, "{name}: {candidates:#?}");
    }
}

#[test]
fn a_link_to_another_origin_is_no_pagination() {
    let mut elsewhere = case(
        "x",
        "https://api.test/x",
        json!({"items": records(3), "next_url": "https://evil.test/x?page=2"}),
        Value::Null,
    );
    assert_eq!(found(&elsewhere), Vec::new());
    elsewhere.headers = vec![("link", "<https://evil.test/2>; rel=next")];
    assert_eq!(found(&elsewhere), Vec::new());
}

#[test]
fn every_recorded_answer_of_convertkit_is_judged_right() {
    let pages = json!({"page": {"param": "page", "total_pages": "total_pages", "total": "total_subscriptions"}});
    let answer =
        json!({"total_subscriptions": 2, "page": 1, "total_pages": 1, "subscriptions": records(2)});
    let best = found(&case(
        "v3",
        "https://api.convertkit.com/v3/forms/1/subscriptions",
        answer,
        Value::Null,
    ));
    assert_eq!(
        serde_json::to_value(&best[0].pagination).expect("json"),
        pages
    );
    assert_eq!(
        best[0].reasons,
        [
            "`total_pages` = 1 beside `page` = 1",
            "`total_subscriptions` = 2 states the total (2 records on this page)"
        ]
    );
    let more = json!({"broadcasts": [], "pagination": {"has_previous_page": false, "has_next_page": true, "start_cursor": "WzEzXQ==", "end_cursor": "WzE0XQ==", "per_page": 100}});
    let best = found(&case(
        "v4",
        "https://api.kit.com/v4/broadcasts",
        more,
        Value::Null,
    ));
    assert_eq!(best[0].pagination.as_str(), "cursor");
    assert_eq!(best[0].certainty, Certainty::Sure);
}

fn left_unread(
    url: &str,
    headers: &[(&'static str, &'static str)],
    body: &Value,
) -> Option<Unread> {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::try_from(*name).expect("a name");
            (name, HeaderValue::from_static(value))
        })
        .collect();
    let outlined = outline(body.to_string().as_bytes()).expect("json");
    unread(&FirstAnswer {
        url: &Url::parse(url).expect("an address"),
        sent: None,
        headers: &headers,
        body: &outlined,
        records: None,
    })
}

#[test]
fn an_answer_that_says_that_there_is_more_is_heard() {
    let url = "https://a.test/items";
    let link = [("link", "<https://a.test/items?page=2>; rel=\"next\"")];
    for (headers, body, said, strategy) in [
        (&link[..], records(2), "rel=next", "link_header"),
        (
            &[("x-total-count", "31")],
            records(2),
            "`X-Total-Count` = 31",
            "",
        ),
        (
            &[],
            json!({"items": records(30), "next": "/items?page=2"}),
            "`next` holds",
            "next_url",
        ),
        (
            &[],
            json!({"items": records(3), "pagination": {"has_next_page": true, "end_cursor": "x"}}),
            "`pagination.has_next_page` = true",
            "cursor",
        ),
        (
            &[],
            json!({"items": records(3), "page": 1, "total_pages": 4}),
            "`total_pages` = 4",
            "page",
        ),
        (
            &[],
            json!({"total": 9, "items": records(3)}),
            "`total` = 9",
            "",
        ),
        (
            &[],
            json!({"meta": {"total": 2_000, "limit": 1_500, "offset": 0}, "items": records(1_500)}),
            "`meta.total` = 2000",
            "offset",
        ),
        (
            &[],
            json!({"records": records(3), "done": false, "nextRecordsUrl": "/q/2"}),
            "`done` = false",
            "next_url",
        ),
    ] {
        let found =
            left_unread(url, headers, &body).unwrap_or_else(|| panic!("nothing for {said}"));
        assert!(found.said.contains(said), "{said}: {found:?}");
        let by = found.pagination.as_ref().map_or("", Pagination::as_str);
        assert_eq!(by, strategy, "{said}");
    }
}

#[test]
fn an_answer_that_is_whole_or_a_single_record_says_nothing() {
    let url = "https://a.test/items";
    let last = [("link", "<https://a.test/items?page=1>; rel=\"first\"")];
    for (headers, body) in [
        (&last[..], records(2)),
        (&[("x-total-count", "2")], records(2)),
        (
            &[],
            json!({"items": records(3), "has_more": false, "total": 90}),
        ),
        (
            &[],
            json!({"items": records(3), "page": 4, "total_pages": 4}),
        ),
        (
            &[],
            json!({"items": records(3), "next": null, "previous": null, "count": 3}),
        ),
        (
            &[],
            json!({"id": 7, "total": 120, "currency": "EUR", "lines": records(3)}),
        ),
        (
            &[],
            json!({"id": 7, "title": "A book", "pages": 320, "authors": ["x"]}),
        ),
        (&[], json!({"id": 7, "done": false, "tags": ["x"]})),
        (&[], json!({"sent": 4, "open_rate": 0.5, "count": 12})),
        (&[], json!(3)),
    ] {
        assert_eq!(left_unread(url, headers, &body), None, "{body}");
    }
}

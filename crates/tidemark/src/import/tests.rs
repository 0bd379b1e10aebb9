use definition::NothingKnown;

use super::{Refused, from_curl, from_openapi, write};

/// Writes the draft and checks that it is a valid definition without problems.
fn checked(shown: &super::Shown) -> String {
    let text = write(shown);
    let bundle = definition::parse(&text, "draft")
        .unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    let mut problems = bundle.validate(&NothingKnown);
    problems.extend(expression::check_bundle(&bundle));
    let errors: Vec<_> = problems.iter().filter(|one| one.is_error()).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
    text
}

fn curl(line: &str) -> Result<String, Refused> {
    from_curl(&[line.to_owned()]).map(|shown| checked(&shown))
}

#[test]
fn curl_lines_of_documentation_pages_become_definitions() {
    let lines: &[(&str, &[&str])] = &[
        (
            "curl https://api.stripe.com/v1/charges?limit=3 -u \"sk_test_51abcdefhush:\"",
            &[
                "base_url: \"https://api.stripe.com\"",
                "basic: { username: { secret: api_stripe_com_key }, password: \"\" }",
                "\"limit\": \"3\"",
                "# unsure: the number of records",
            ],
        ),
        (
            "curl -G https://api.stripe.com/v1/charges \\\n  -u \"sk_test_hush:\" \\\n  -d limit=100 \\\n  -d starting_after=ch_1 \\\n  -d \"created[gte]=1767225600\" -d \"created[lt]=1769904000\"",
            &[
                "cursor: { from: \"data[-1].id\", param: starting_after, size_param: limit, size: 100 }",
                "\"created[gte]\": \"{{ window.start | unix }}\"",
                "\"created[lt]\": \"{{ window.end | unix }}\"",
                "window: { last: 90d, lookback: 2d }",
            ],
        ),
        (
            "curl -L \\\n  -H \"Accept: application/vnd.github+json\" \\\n  -H \"Authorization: Bearer <YOUR-TOKEN>\" \\\n  -H \"X-GitHub-Api-Version: 2022-11-28\" \\\n  https://api.github.com/repos/OWNER/REPO/issues",
            &[
                "auth: { bearer: { secret: your_token } }",
                "\"X-GitHub-Api-Version\": \"2022-11-28\"",
                "path: \"/repos/OWNER/REPO/issues\"",
                "name: issues",
            ],
        ),
        (
            "curl -X GET \"https://your-development-store.myshopify.com/admin/api/2025-01/orders.json?status=any&created_at_min=2026-01-01T00:00:00Z\" -H \"X-Shopify-Access-Token: {access_token}\"",
            &[
                "header: { X-Shopify-Access-Token: { secret: access_token } }",
                "\"created_at_min\": \"{{ window.start | iso }}\"",
                "name: orders_json",
            ],
        ),
        (
            "curl \"https://api.airtable.com/v0/appHush/Orders?maxRecords=3&view=Grid%20view\" -H \"Authorization: Bearer patHush.abc\"",
            &[
                "\"view\": \"Grid view\"",
                "bearer: { secret: api_airtable_com_token }",
            ],
        ),
        (
            "curl -X POST 'https://api.notion.com/v1/databases/897e5a76ae524b489fdfe71f5945d1af/query' \\\n  -H 'Authorization: Bearer '\"$NOTION_API_KEY\"'' \\\n  -H 'Notion-Version: 2022-06-28' \\\n  -H \"Content-Type: application/json\" \\\n--data '{ \"page_size\": 100, \"start_cursor\": \"abc\" }'",
            &[
                "method: POST",
                "bearer: { secret: notion_api_key }",
                "body: { page_size: 100 }",
                "cursor: { from: next_cursor, param: start_cursor, in: body }",
                "# unsure: a POST is taken for one that only reads",
            ],
        ),
        (
            "curl 'https://api.twilio.com/2010-04-01/Accounts/AC123/Messages.json?PageSize=20' -u $TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN",
            &[
                "basic: { username: { secret: twilio_account_sid }, password: { secret: twilio_auth_token } }",
            ],
        ),
        (
            "curl https://{site}.chargebee.com/api/v2/invoices -G -u {site_api_key}: --data-urlencode limit=\"15\" --data-urlencode 'status[is]=paid'",
            &[
                "base_url: \"https://site.chargebee.com\"",
                "# unsure: write your site in place of site",
                "username: { secret: site_api_key }",
            ],
        ),
        (
            "curl  https://acme-test.chargebee.com/api/v2/invoices -G -u {site_api_key}: --data-urlencode limit=\"15\" --data-urlencode 'status[is]=paid'",
            &[
                "username: { secret: site_api_key }, password: \"\"",
                "\"status[is]\": \"paid\"",
            ],
        ),
        (
            "curl -sS 'https://us21.api.mailchimp.com/3.0/reports?count=10&offset=0' --user \"anystring:${MAILCHIMP_KEY}\"",
            &[
                "basic: { username: anystring, password: { secret: mailchimp_key } }",
                "offset: { param: offset, limit_param: count, limit: 10 }",
            ],
        ),
        (
            "curl --request GET --url 'https://api.calendly.com/scheduled_events?organization=https%3A%2F%2Fapi.calendly.com%2Forganizations%2FA&count=20&page_token=x' --header 'Content-Type: application/json' --header 'Authorization: Bearer '",
            &[
                "\"organization\": \"https://api.calendly.com/organizations/A\"",
                "cursor: { from: next_page_token, param: page_token, size_param: count, size: 20 }",
            ],
        ),
        (
            "curl https://api.linear.app/graphql -H \"Content-Type: application/json\" -H \"Authorization: lin_api_hush\" --data '{\"query\":\"query Q($after: String) { issues(first: 50, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }\"}'",
            &[
                "header: { Authorization: { secret: api_linear_app_token } }",
                "from: data.issues.pageInfo.endCursor, param: variables.after, in: body, has_more: data.issues.pageInfo.hasNextPage",
            ],
        ),
        (
            "curl \"https://api.convertkit.com/v3/subscribers?api_secret=hush&from=2016-02-01&to=2015-02-28&page=1\"",
            &[
                "query: { api_secret: { secret: api_convertkit_com_api_secret } }",
                "\"from\": \"{{ window.start | date }}\"",
                "\"to\": \"{{ window.last_day | date }}\"",
                "page: { param: page }",
            ],
        ),
        (
            "curl --request GET --url https://api.kit.com/v4/subscribers --header 'X-Kit-Api-Key: <api-key>'",
            &["header: { X-Kit-Api-Key: { secret: api_key } }"],
        ),
        (
            "$ curl 'https://api.openweathermap.org/data/2.5/forecast?lat=44.34&lon=10.99&appid={API key}' | jq",
            &[
                "query: { appid: { secret: api_key } }",
                "\"lat\": \"44.34\"",
            ],
        ),
        (
            "curl --json '{\"page\": 0, \"filters\": {\"state\": \"open\"}}' -H 'X-Auth-Token: 12hush' 'https://h.example.com/api/search'",
            &[
                "method: POST",
                "page: { param: page, in: body, start: 0 }",
                "header: { X-Auth-Token: { secret: h_example_com_token } }",
            ],
        ),
        (
            "curl https://app.example.com/api/orders?api_key=hush -H 'DD-APPLICATION-KEY: hush2' -b 'sid=hush3'",
            &["# unsure: the line also signs in by query"],
        ),
        (
            "curl -d 'q=open orders&max=5' -d token=hush https://h.example.com/search",
            &["form:", "\"q\": \"open orders\"", "`token`"],
        ),
        (
            "curl https://h.example.com/users/:userId/orders/{{orderId}}?note={{x}}",
            &[
                "path: \"/users/USERID/orders/ORDERID\"",
                "# unsure: write your userId",
            ],
        ),
        (
            "curl example.com/v1/things",
            &["base_url: \"https://example.com\"", "auth: none"],
        ),
    ];
    for (line, parts) in lines {
        let text = curl(line).unwrap_or_else(|refused| panic!("{refused}: {line}"));
        for part in *parts {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
        assert!(
            !text.to_lowercase().contains("hush") || line.contains("appHush"),
            "{text}"
        );
        for secret in text
            .lines()
            .filter(|line| line.starts_with("# ") && line.contains("secret set"))
        {
            let name = secret.rsplit(' ').next().unwrap();
            assert!(text.contains(&format!("secret: {name} }}")), "{text}");
        }
    }
}

#[test]
fn what_cannot_be_a_definition_is_refused_in_words() {
    for (line, words) in [
        (
            "curl -X DELETE https://h.example.com/x",
            "DELETE changes something",
        ),
        (
            "curl -XPUT https://h.example.com/x -d a=b",
            "PUT changes something",
        ),
        (
            "curl -k https://h.example.com/x",
            "certificates are always checked",
        ),
        (
            "curl -sk https://h.example.com/x",
            "certificates are always checked",
        ),
        (
            "curl -F file=@x https://h.example.com/x",
            "Tidemark only reads",
        ),
        ("curl -I https://h.example.com/x", "HEAD"),
        ("curl -d @body.json https://h.example.com/x", "is a file"),
        ("curl --digest -u a:b https://h.example.com/x", "digest"),
        ("curl -H 'A: b'", "there is no address"),
        (
            "curl https://a.example.com https://b.example.com?key=hush",
            "two addresses",
        ),
        ("curl 'https://a.example.com", "opened and not closed"),
        ("curl ftp://a.example.com/x", "not http or https"),
        ("curl --frobnicate https://a.example.com/x", "not an option"),
        ("curl -X GET -d a=b https://a.example.com/x", "write -G"),
        ("", "there is no address"),
    ] {
        let refused = curl(line).unwrap_err().to_string();
        assert!(refused.contains(words), "{line}: {refused}");
        assert!(!refused.contains("hush"), "{refused}");
    }
}

#[test]
fn what_follows_an_unquoted_ampersand_stays_in_the_query_and_is_said() {
    let text = curl("curl https://h.example.com/orders?state=open&shop=7&page=1").unwrap();
    for part in [
        "\"state\": \"open\"",
        "\"shop\": \"7\"",
        "page: { param: page }",
        "# unsure: an `&` of the address stood outside of quotes",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

#[test]
fn words_that_a_shell_has_split_are_read_too() {
    let words = [
        "curl",
        "-H",
        "Authorization: Token hush",
        "https://h.example.com/items?page=0&per_page=50",
    ];
    let shown = from_curl(&words.map(str::to_owned)).unwrap();
    let text = checked(&shown);
    for part in [
        "header: { Authorization: { secret: h_example_com_token, prefix: \"Token \" } }",
        "page: { param: page, size_param: per_page, size: 50, start: 0 }",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

const ORDERS: &str = r##"
openapi: 3.0.3
info: { title: Shop, version: "1" }
servers:
  - url: https://{region}.shop.example.com/api/v2
    variables: { region: { default: eu, enum: [eu, us] } }
security: [{ key: [] }]
paths:
  /orders:
    get:
      operationId: listOrders
      summary: All orders
      parameters:
        - { name: page, in: query, schema: { type: integer, default: 1 } }
        - { name: per_page, in: query, schema: { type: integer, maximum: 200, default: 20 } }
        - { name: created_from, in: query, schema: { type: string, format: date } }
        - { name: created_to, in: query, schema: { type: string, format: date } }
        - { name: shop, in: query, required: true, schema: { type: string } }
        - { name: sort, in: query, schema: { type: string } }
      responses:
        "200":
          description: ok
          content:
            application/json:
              schema:
                type: object
                properties:
                  orders: { type: array, items: { $ref: "#/components/schemas/Order" } }
                  total_pages: { type: integer }
                  page: { type: integer }
    post:
      operationId: createOrder
      responses: { "201": { description: made } }
  /orders/{id}:
    parameters: [{ name: id, in: path, required: true, schema: { type: string }, example: o_1 }]
    get: { operationId: getOrder, responses: { "200": { description: ok } } }
    delete: { operationId: deleteOrder, responses: { "204": { description: gone } } }
components:
  securitySchemes: { key: { type: apiKey, in: header, name: X-Api-Key } }
  schemas:
    Order:
      allOf:
        - $ref: "#/components/schemas/Thing"
        - type: object
          properties:
            status: { type: string, enum: [open, paid] }
            amount: { type: number }
            currency: { type: string }
            parent: { $ref: "#/components/schemas/Order" }
    Thing:
      type: object
      properties: { id: { type: string }, created_at: { type: string, format: date-time } }
"##;

#[test]
fn an_operation_of_an_openapi_document_becomes_a_definition() {
    let (shown, others) = from_openapi(ORDERS, None).unwrap();
    assert!(others.is_empty(), "{others:?}");
    let text = checked(&shown);
    for part in [
        "base_url: \"https://eu.shop.example.com/api/v2\"",
        "# unsure: eu stands for your region",
        "auth: { header: { X-Api-Key: { secret: eu_shop_example_com_key } } }",
        "name: list_orders",
        "title: \"All orders\"",
        "path: \"/orders\"",
        "\"created_from\": \"{{ window.start | date }}\"",
        "\"created_to\": \"{{ window.last_day | date }}\"",
        "\"shop\": \"value\"",
        "total_pages: total_pages",
        "size_param: per_page, size: 200",
        "records: orders",
        "value: { count: true }",
        "date: created_at",
        "key: id",
        "dimensions: { status: status }",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert!(
        !text.contains("\"sort\""),
        "optional parameters are left out\n{text}"
    );
}

#[test]
fn an_operation_is_chosen_by_its_id_or_place_and_must_read() {
    let (shown, _) = from_openapi(ORDERS, Some("GET /orders/{id}")).unwrap();
    let text = checked(&shown);
    assert!(
        text.contains("path: \"/orders/o_1\"") && text.contains("# unsure: write your id"),
        "{text}"
    );
    for (wanted, words) in [
        ("createOrder", "makes something"),
        ("deleteOrder", "DELETE changes something"),
        ("nothing", "listOrders"),
    ] {
        let refused = from_openapi(ORDERS, Some(wanted)).unwrap_err().to_string();
        assert!(refused.contains(words), "{wanted}: {refused}");
    }
    for (document, words) in [
        ("swagger: '2.0'", "Swagger 2"),
        ("{}", "no OpenAPI document"),
        ("openapi: 2.0.1", "3.0 and 3.1"),
        ("openapi: [", "neither JSON nor YAML"),
        ("openapi: 3.1.0\npaths: {}", "no GET"),
    ] {
        let refused = from_openapi(document, None).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn json_of_version_3_1_with_a_cursor_and_oauth_is_read() {
    let document = serde_json::json!({
        "openapi": "3.1.0",
        "servers": [{ "url": "/v1" }],
        "paths": {
            "/users": { "get": {
                "operationId": "users.list",
                "security": [{ "oauth": ["users:read"] }],
                "parameters": [{ "$ref": "#/components/parameters/cursor" }, { "name": "limit", "in": "query", "schema": { "type": "integer", "maximum": 500 } }],
                "responses": { "200": { "$ref": "#/components/responses/Users" } },
            } },
            "/teams": { "get": { "operationId": "teams.list", "responses": { "200": { "content": { "application/json": { "example": [{ "id": 1 }] } } } } } },
        },
        "components": {
            "parameters": { "cursor": { "name": "cursor", "in": "query", "schema": { "type": ["string", "null"] } } },
            "responses": { "Users": { "description": "ok", "content": { "application/json": { "schema": {
                "type": "object",
                "properties": {
                    "data": { "type": "array", "items": { "$ref": "#/components/schemas/User" } },
                    "next_cursor": { "type": ["string", "null"] },
                    "has_more": { "type": "boolean" },
                },
            } } } } },
            "schemas": {
                "User": { "type": "object", "properties": { "id": { "type": "integer" }, "joined": { "type": "integer" }, "manager": { "$ref": "#/components/schemas/User" } } },
                "Loop": { "$ref": "#/components/schemas/Loop" },
            },
            "securitySchemes": { "oauth": { "type": "oauth2", "flows": { "clientCredentials": { "tokenUrl": "https://auth.example.com/token", "scopes": {} } } } },
        },
    });
    let (shown, others) = from_openapi(&document.to_string(), None).unwrap();
    assert_eq!(others, ["teams.list  (GET /teams)"]);
    let text = checked(&shown);
    for part in [
        "base_url: \"https://api.example.com/v1\"",
        "# unsure: the document does not say at which host",
        "oauth2: { grant: client_credentials, token_url: \"https://auth.example.com/token\"",
        "param: cursor",
        "from: next_cursor",
        "has_more: has_more",
        "records: data",
        "key: id",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    let (teams, _) = from_openapi(&document.to_string(), Some("teams.list")).unwrap();
    assert!(checked(&teams).contains("auth: none"));
}

/// A document with one list: its parameters, and the properties of its answer.
fn one_list(parameters: &serde_json::Value, properties: &serde_json::Value) -> String {
    serde_json::json!({
        "openapi": "3.0.3",
        "servers": [{ "url": "https://api.test.example" }],
        "paths": { "/orders": { "get": { "operationId": "orders", "parameters": parameters, "responses": { "200": {
            "content": { "application/json": { "schema": { "type": "object", "properties": properties } } } } } } } },
    })
    .to_string()
}

#[test]
fn a_stated_total_of_the_described_answer_reaches_the_pagination() {
    let items = serde_json::json!({ "type": "array", "items": { "type": "object", "properties": { "id": { "type": "string" } } } });
    let whole = serde_json::json!({ "type": "integer" });
    let (page, offset) = (
        serde_json::json!([{ "name": "page", "in": "query", "schema": whole }]),
        serde_json::json!([
        { "name": "offset", "in": "query", "schema": whole }, { "name": "limit", "in": "query", "schema": { "type": "integer", "maximum": 50 } }]),
    );
    let cursor =
        serde_json::json!([{ "name": "cursor", "in": "query", "schema": { "type": "string" } }]);
    let text = serde_json::json!({ "type": "string" });
    for (parameters, properties, expected) in [
        (
            &page,
            serde_json::json!({ "items": items, "total": whole }),
            "total: total",
        ),
        (
            &page,
            serde_json::json!({ "items": items, "total_count": whole }),
            "total: total_count",
        ),
        (
            &page,
            serde_json::json!({ "items": items, "meta": { "type": "object", "properties": { "total": whole } } }),
            "total: meta.total",
        ),
        (
            &page,
            serde_json::json!({ "items": items, "page": whole, "total_pages": whole, "total": whole }),
            "total_pages: total_pages, total: total",
        ),
        (
            &page,
            serde_json::json!({ "items": items, "meta": { "type": "object", "properties": { "last_page": whole } } }),
            "total_pages: meta.last_page",
        ),
        (
            &page,
            serde_json::json!({ "items": items, "total_items": { "type": "integer", "example": 2 } }),
            "total: total_items",
        ),
        (
            &offset,
            serde_json::json!({ "items": items, "total": whole }),
            "total: total",
        ),
        (
            &offset,
            serde_json::json!({ "items": items, "total": whole, "offset": whole, "limit": whole }),
            "total: total, limit_param: limit, limit: 50",
        ),
        (
            &cursor,
            serde_json::json!({ "items": items, "next_cursor": text, "total": whole }),
            "total: total",
        ),
    ] {
        let (shown, _) = from_openapi(&one_list(parameters, &properties), None).unwrap();
        let text = checked(&shown);
        let line = text
            .lines()
            .find(|line| line.contains("pagination: {"))
            .unwrap_or_else(|| panic!("no pagination in\n{text}"));
        assert!(line.contains(expected), "no `{expected}` in\n{text}");
        assert!(
            !text.contains("1000000") && !text.contains("10000"),
            "{text}"
        );
    }
}

#[test]
fn a_post_that_pages_in_its_body_takes_the_stated_total() {
    let document = serde_json::json!({
        "openapi": "3.0.3",
        "servers": [{ "url": "https://api.test.example" }],
        "paths": { "/search": { "post": { "operationId": "search",
            "requestBody": { "content": { "application/json": { "example": { "page": 1, "state": "open" } } } },
            "responses": { "200": { "content": { "application/json": { "example": { "hits": [{ "id": 1 }], "total_pages": 1, "page": 1 } } } } } } } },
    });
    let (shown, _) = from_openapi(&document.to_string(), Some("search")).unwrap();
    let text = checked(&shown);
    assert!(
        text.contains("page: { param: page, in: body, total_pages: total_pages }"),
        "{text}"
    );
}

#[test]
fn invented_values_of_headers_and_parameters_are_marked_unsure() {
    let parameters = serde_json::json!([
        { "name": "X-Tenant", "in": "header", "required": true, "schema": { "type": "string" } },
        { "name": "X-Version", "in": "header", "required": true, "example": "2", "schema": { "type": "string" } },
        { "name": "shop", "in": "query", "required": true, "schema": { "type": "integer" } },
        { "name": "day", "in": "query", "required": true, "schema": { "type": "string", "format": "date" } },
        { "name": "state", "in": "query", "required": true, "schema": { "type": "string", "default": "open" } },
    ]);
    let items = serde_json::json!({ "items": { "type": "array", "items": { "type": "object" } } });
    let (shown, _) = from_openapi(&one_list(&parameters, &items), None).unwrap();
    let text = checked(&shown);
    for part in [
        "  # unsure: `X-Tenant` is required, and the document has no example: the value is invented",
        "  # unsure: `X-Version` is required; the value is the document's example or default",
        "invented, put yours in its place\n    \"shop\": \"1\"",
        "invented, put yours in its place; looks like a date",
        "example or default\n    \"state\": \"open\"",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

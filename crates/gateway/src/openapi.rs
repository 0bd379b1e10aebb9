//! The OpenAPI document, the page that shows it, and the page at the root.

use std::sync::OnceLock;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use utoipa::openapi::RefOr;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::definitions::{alerts, boards, connections, datasets, goals, metrics, scorecards};
use crate::problem::Problem;
use crate::router::Gateway;
use crate::{
    apply, audit, authorize, boards as boards_data, care, catalogue, deliveries, export,
    goals as goals_far, openapi, pages, points, preview, probes, progress, provenance, runs,
    secrets, series, sync, tokens, trial, updates,
};

/// Pages are made of files of this origin and nothing else.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidemark",
        description = "Any REST API in, live metrics out. Send `Authorization: Bearer tm_…` with every request under /api/v1. Failures are RFC 9457 problems with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        apply::apply, preview::preview,
        connections::list, connections::get, connections::put, connections::delete,
        trial::test, authorize::begin, authorize::standing, authorize::callback,
        datasets::list, datasets::get, datasets::put, datasets::delete,
        metrics::list, metrics::get, metrics::put, metrics::delete,
        series::series, series::value, provenance::provenance, points::push,
        goals_far::progress, boards_data::data, boards_data::scorecard, deliveries::list,
        goals::list, goals::get, goals::put, goals::delete,
        alerts::list, alerts::get, alerts::put, alerts::delete,
        boards::list, boards::get, boards::put, boards::delete,
        scorecards::list, scorecards::get, scorecards::put, scorecards::delete,
        sync::sync, sync::backfill, sync::recompute, care::purge, care::list, care::add, care::remove, runs::list, runs::get, runs::pages, pages::body, runs::rejected,
        progress::events, updates::updates, export::openmetrics,
        secrets::list, secrets::put, secrets::delete,
        catalogue::list, catalogue::get,
        tokens::list, tokens::create, tokens::revoke, tokens::me, audit::list,
        probes::livez, probes::readyz, probes::metrics,
        openapi::document, openapi::page, openapi::script, openapi::style, openapi::welcome,
    ),
    security(("bearer" = [])),
    modifiers(&Bearer, &Described)
)]
struct Api;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("tm_…")
            .build();
        let components = api.components.get_or_insert_with(Default::default);
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Gives every response the description that OpenAPI demands, where its route does not say more.
struct Described;

impl Modify for Described {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        for item in api.paths.paths.values_mut() {
            let operations = [
                &mut item.get,
                &mut item.put,
                &mut item.post,
                &mut item.delete,
            ];
            for operation in operations.into_iter().flatten() {
                for (status, response) in &mut operation.responses.responses {
                    if let RefOr::T(response) = response
                        && response.description.trim().is_empty()
                    {
                        meaning(status).clone_into(&mut response.description);
                    }
                }
            }
        }
    }
}

/// What a status means here, whatever the route.
fn meaning(status: &str) -> &'static str {
    match status {
        "200" => "What was asked for",
        "201" => "It was made",
        "202" => "It was accepted and will be done",
        "204" => "It was done; there is nothing to tell",
        "303" => "It is elsewhere",
        "503" => "Not ready; try again after `Retry-After`",
        "4XX" => "The request was refused; the problem says why, where, and what to do",
        _ => "The problem says what is wrong",
    }
}

/// Returns the OpenAPI document of every route.
pub fn api() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// The OpenAPI document.
#[utoipa::path(get, path = "/openapi.json", tag = "operation", security(()),
    responses((status = 200, body = Object)))]
pub(crate) async fn document() -> Result<Response, Problem> {
    static DOCUMENT: OnceLock<Option<Bytes>> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| serde_json::to_vec(&api()).ok().map(Bytes::from));
    let document = document.clone().ok_or_else(Problem::internal)?;
    Ok(([(CONTENT_TYPE, "application/json")], document).into_response())
}

/// A page for people that shows the OpenAPI document.
#[utoipa::path(get, path = "/docs", tag = "operation", security(()),
    responses((status = 200, body = String, content_type = "text/html")))]
pub(crate) async fn page() -> Response {
    file("text/html; charset=utf-8", include_str!("docs/docs.html"))
}

/// The page's script.
#[utoipa::path(get, path = "/docs/docs.js", tag = "operation", security(()),
    responses((status = 200, body = String, content_type = "text/javascript")))]
pub(crate) async fn script() -> Response {
    file(
        "text/javascript; charset=utf-8",
        include_str!("docs/docs.js"),
    )
}

/// The page's style.
#[utoipa::path(get, path = "/docs/docs.css", tag = "operation", security(()),
    responses((status = 200, body = String, content_type = "text/css")))]
pub(crate) async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("docs/docs.css"))
}

/// What this is and where to go on.
#[utoipa::path(get, path = "/", tag = "operation", security(()),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn welcome(State(gateway): State<Gateway>) -> Response {
    let base = gateway
        .config()
        .public_url
        .as_deref()
        .unwrap_or_default()
        .trim_end_matches('/');
    let text = format!(
        "Tidemark {version}: any REST API in, live metrics out.\n\n\
         {base}/docs          every route, for people\n\
         {base}/openapi.json  the same for programs\n\
         {base}/readyz        whether requests are taken\n\n\
         Routes under {base}/api/v1 need `Authorization: Bearer tm_…`.\n\
         A web interface is not built yet; the `tidemark` command line is the way in.\n",
        version = env!("CARGO_PKG_VERSION"),
    );
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn file(kind: &'static str, text: &'static str) -> Response {
    (
        [(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, PAGE_POLICY)],
        text,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_document_and_the_router_hold_the_same_routes() {
        let document = serde_json::to_value(api()).unwrap();
        let mut documented = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let open = operation
                    .get("security")
                    .is_some_and(|needs| needs == &serde_json::json!([{}]));
                documented.insert((method.to_uppercase(), path.clone(), !open));
            }
        }
        let routed: BTreeSet<_> = crate::router::inventory()
            .into_iter()
            .map(|(method, path, needs)| (method.to_string(), path.to_owned(), needs))
            .collect();
        assert_eq!(documented, routed);
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(fields) => {
                    found.extend(
                        fields
                            .get("$ref")
                            .and_then(Value::as_str)
                            .map(str::to_owned),
                    );
                    fields.values().for_each(|field| references(field, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let document = serde_json::to_value(api()).unwrap();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(
                document.pointer(pointer).is_some(),
                "{reference} leads nowhere"
            );
        }
    }

    #[test]
    fn every_response_says_what_it_means() {
        let document = serde_json::to_value(api()).unwrap();
        let mut seen = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let description = response["description"].as_str().unwrap_or_default();
                    assert!(
                        description.len() > 8,
                        "{method} {path} {status}: {response}"
                    );
                    assert!(
                        status == "default" || status.len() == 3,
                        "{method} {path}: {status} is no status"
                    );
                    seen += 1;
                }
            }
        }
        assert!(seen > 100, "{seen}");
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_says_what_it_does() {
        let document = serde_json::to_value(api()).unwrap();
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                let name = operation["operationId"].as_str().unwrap().to_owned();
                assert!(names.insert(name.clone()), "{name} is there twice ({path})");
                assert!(
                    operation["summary"]
                        .as_str()
                        .is_some_and(|text| text.len() > 8),
                    "{path}"
                );
            }
        }
    }
}

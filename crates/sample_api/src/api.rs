//! Which answer belongs to which path.

mod generic;
mod v3;
mod v4;

use http::{HeaderMap, Method, StatusCode};

use crate::answer::Answer;
use crate::listing::Twist;
use crate::query::Query;
use crate::world::World;

/// A request, as the routes see it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a Query,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// Tells what is to be wrong with the page of this number.
pub(crate) type Twists<'a> = &'a mut dyn FnMut(u64) -> Twist;

/// Answers a request.
pub(crate) fn answer(world: &World, asked: &Asked<'_>, twists: Twists<'_>) -> Answer {
    let is_read = asked.method == Method::GET || asked.method == Method::HEAD;
    if let Some(path) = asked.path.strip_prefix("/v3/") {
        return if is_read {
            v3::answer(world, path, asked, twists)
        } else {
            Answer::v3_not_found()
        };
    }
    if let Some(path) = asked.path.strip_prefix("/v4/") {
        return if is_read {
            v4::answer(world, path, asked, twists)
        } else {
            not_found()
        };
    }
    match asked.path {
        "/" => Answer::json(INDEX),
        path => generic::answer(world, path, asked, twists),
    }
}

/// Whether an answer kept from another caller may be given to this one, as far as headers decide.
pub(crate) fn may_keep(world: &World, path: &str, headers: &HeaderMap) -> bool {
    !path.starts_with("/v4/") || v4::signed_in(world, headers)
}

pub(crate) fn not_found() -> Answer {
    Answer::v4_error(StatusCode::NOT_FOUND, "Not Found")
}

const INDEX: &str = r#"{"name":"Tidemark sample API","v3":["/v3/account","/v3/subscribers","/v3/purchases","/v3/tags","/v3/forms","/v3/sequences","/v3/broadcasts","/v3/broadcasts/{id}/stats"],"v4":["/v4/account","/v4/subscribers","/v4/purchases","/v4/tags","/v4/forms","/v4/broadcasts","/v4/broadcasts/{id}/stats"],"generic":["/api/page","/api/has_more","/api/short","/api/offset","/api/cursor","/api/next","/api/link","/api/search","/api/form","/api/by_header","/api/by_path/{page}","/api/rates","/api/columns","/api/orders"]}"#;

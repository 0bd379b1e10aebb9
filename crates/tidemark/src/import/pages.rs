//! Guesses how a list is paged from the names of its parameters.

use serde_json::{Map, Value, json};

use super::{Body, Part, Shown};

const PAGE: [&str; 9] = [
    "page",
    "page_number",
    "pageNumber",
    "page_no",
    "pageNo",
    "p",
    "page[number]",
    "pageIndex",
    "page_index",
];
const OFFSET: [&str; 8] = [
    "offset",
    "skip",
    "start",
    "startAt",
    "start_at",
    "startIndex",
    "$skip",
    "page[offset]",
];
const CURSOR: [(&str, &str); 16] = [
    ("starting_after", "data[-1].id"),
    ("after", "pagination.end_cursor"),
    ("cursor", "next_cursor"),
    ("page_token", "next_page_token"),
    ("pageToken", "nextPageToken"),
    ("nextPageToken", "nextPageToken"),
    ("next_token", "next_token"),
    ("nextToken", "nextToken"),
    ("next_cursor", "next_cursor"),
    ("start_cursor", "next_cursor"),
    ("page_cursor", "next_cursor"),
    ("pageCursor", "nextCursor"),
    ("page[after]", "meta.page.after"),
    ("page[cursor]", "meta.next_cursor"),
    ("continuation", "continuation"),
    ("bookmark", "bookmark"),
];
const SIZE: [&str; 14] = [
    "per_page",
    "perPage",
    "page_size",
    "pageSize",
    "limit",
    "count",
    "size",
    "maxResults",
    "max_results",
    "$top",
    "page[size]",
    "page[limit]",
    "first",
    "PageSize",
];

/// Looks at the parameters, takes those of paging out, and writes `pagination` as a guess.
pub(crate) fn find_pages(shown: &mut Shown) {
    if let Some(Body::Json(body)) = &mut shown.body {
        if let Some(pagination) = of_graphql(body) {
            shown.pagination = Some(pagination);
            shown.remark(Part::Pagination, "taken from the names in the query");
            return;
        }
        if let Some((pagination, remark)) = of_body(body) {
            shown.pagination = Some(pagination);
            shown.remark(Part::Pagination, remark);
            return;
        }
    }
    let number = |text: &str| text.parse::<i64>().ok();
    let at = |names: &[&str]| {
        let query = &shown.query;
        names
            .iter()
            .find_map(|name| query.iter().position(|one| one.name == *name))
    };
    let size = at(&SIZE).map(|at| (shown.query[at].name.clone(), number(&shown.query[at].value)));
    let cursors = CURSOR.map(|(name, _)| name);
    let (taken, pagination, remark) = if let Some(place) = at(&PAGE) {
        let name = shown.query[place].name.clone();
        let start = number(&shown.query[place].value);
        let mut page = sized(&name, size.as_ref(), "size_param", "size");
        if start == Some(0) {
            page.insert("start".to_owned(), 0.into());
        }
        let remark =
            "by the parameter's name; name where the answer states total_pages, total or has_more";
        (name, json!({ "page": page }), remark.to_owned())
    } else if let (Some(place), Some(_)) = (at(&OFFSET), &size) {
        let name = shown.query[place].name.clone();
        let offset = sized(&name, size.as_ref(), "limit_param", "limit");
        let remark = "by the parameters' names; name where the answer states the total";
        (name, json!({ "offset": offset }), remark.to_owned())
    } else if let Some(place) = at(&cursors) {
        let name = shown.query[place].name.clone();
        let from = CURSOR
            .iter()
            .find(|(known, _)| *known == name)
            .map_or("next_cursor", |(_, from)| from);
        let mut cursor = sized(&name, size.as_ref(), "size_param", "size");
        cursor.shift_insert(0, "from".to_owned(), from.into());
        let remark = format!("`{from}` is where such answers mostly hold the next cursor");
        (name, json!({ "cursor": cursor }), remark)
    } else {
        let remark = if size.is_some() {
            "the number of records is asked for and nothing says how the next ones are; see the documentation"
        } else {
            "nothing shows how the next page is asked for; see the documentation"
        };
        shown.remark(Part::Pagination, remark);
        return;
    };
    let with_size = size.filter(|(_, number)| number.is_some_and(|number| number > 0));
    shown.query.retain(|one| {
        one.name != taken && with_size.as_ref().is_none_or(|(name, _)| *name != one.name)
    });
    shown.pagination = Some(pagination);
    shown.remark(Part::Pagination, remark);
}

/// The settings of a strategy: its parameter, and its page size where one is asked for.
fn sized(
    param: &str,
    size: Option<&(String, Option<i64>)>,
    size_key: &str,
    key: &str,
) -> Map<String, Value> {
    let mut settings = Map::new();
    settings.insert("param".to_owned(), param.into());
    if let Some((name, Some(number))) = size
        && *number > 0
    {
        settings.insert(size_key.to_owned(), name.as_str().into());
        settings.insert(key.to_owned(), (*number).into());
    }
    settings
}

/// A query in GraphQL that reads `pageInfo` is paged by a cursor in its variables.
fn of_graphql(body: &mut Value) -> Option<Value> {
    let query = body.get("query")?.as_str()?;
    if !query.contains("pageInfo") || !query.contains("endCursor") {
        return None;
    }
    let variable = ["after", "cursor", "endCursor"]
        .into_iter()
        .find(|name| query.contains(&format!("${name}")))?;
    let field: String = query
        .split_once('{')?
        .1
        .trim_start()
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    if field.is_empty() {
        return None;
    }
    if let Some(variables) = body.get_mut("variables").and_then(Value::as_object_mut) {
        variables.shift_remove(variable);
    }
    Some(json!({ "cursor": {
        "from": format!("data.{field}.pageInfo.endCursor"),
        "param": format!("variables.{variable}"),
        "in": "body",
        "has_more": format!("data.{field}.pageInfo.hasNextPage"),
    } }))
}

fn of_body(body: &mut Value) -> Option<(Value, String)> {
    let fields = body.as_object_mut()?;
    if let Some(name) = PAGE
        .into_iter()
        .find(|name| fields.get(*name).is_some_and(Value::is_number))
    {
        let start = fields.shift_remove(name).and_then(|value| value.as_i64());
        let mut page = json!({ "param": name, "in": "body" });
        if start == Some(0) {
            page["start"] = 0.into();
        }
        return Some((json!({ "page": page }), "by the field's name".to_owned()));
    }
    let (name, from) = CURSOR
        .into_iter()
        .find(|(name, _)| fields.contains_key(*name))?;
    fields.shift_remove(name);
    let cursor = json!({ "from": from, "param": name, "in": "body" });
    let remark = format!("`{from}` is where such answers mostly hold the next cursor");
    Some((json!({ "cursor": cursor }), remark))
}

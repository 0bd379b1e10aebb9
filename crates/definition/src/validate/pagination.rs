use super::{address, headers, request};
use crate::pagination::{NextRequest, Pagination, Placement, Source};
use crate::problem::{Problem, quoted};
use crate::request::Request;
use crate::template;

const PATH: &str = "request.pagination";

/// Checks how pages follow one another.
pub(super) fn check(request: &Request, problems: &mut Vec<Problem>) {
    let pagination = &request.pagination;
    let at = |key: &str| format!("{PATH}.{}.{key}", pagination.as_str());
    if *pagination == Pagination::Auto {
        let message = "pagination is not known yet: a preview recognises it from the first answer";
        problems.push(
            Problem::new("definition.pagination_auto", PATH, message).hint(
                "run `tidemark preview FILE` and write what it shows here, such as \
                 `pagination: { page: { param: page, total_pages: total_pages } }`",
            ),
        );
    }
    for (key, source) in pagination.sources() {
        if let Source::Header(name) = source {
            headers::check_read(name, &at(&format!("{key}.header")), problems);
        }
    }
    check_sizes(pagination, &at, problems);
    if let Some((param, placement)) = pagination.parameter() {
        check_place(request, param, placement, &at, problems);
    }
    if let Some(next) = pagination.next() {
        check_next(request, next, &at("next"), problems);
    }
}

fn check_sizes(pagination: &Pagination, at: &impl Fn(&str) -> String, problems: &mut Vec<Problem>) {
    let (param, size) = match pagination {
        Pagination::Page(page) => ((&page.size_param, "size_param"), (page.size, "size")),
        Pagination::Cursor(cursor) => ((&cursor.size_param, "size_param"), (cursor.size, "size")),
        Pagination::Offset(offset) => (
            (&offset.limit_param, "limit_param"),
            (offset.limit, "limit"),
        ),
        _ => return,
    };
    if param.0.is_some() && size.0.is_none() {
        let message = format!("`{}` needs `{}`, the number to send", param.1, size.1);
        problems.push(Problem::new("definition.pagination", at(param.1), message));
    }
}

fn check_place(
    request: &Request,
    param: &str,
    placement: Placement,
    at: &impl Fn(&str) -> String,
    problems: &mut Vec<Problem>,
) {
    let mut problem = |path: String, message: String| {
        problems.push(Problem::new("definition.pagination", path, message));
    };
    let next = request.pagination.next().map(|next| next.of(request));
    let either = |has: &dyn Fn(&Request) -> bool| has(request) || next.as_ref().is_some_and(has);
    let is_cursor = matches!(request.pagination, Pagination::Cursor(_));
    match placement {
        Placement::Body if !either(&|one| one.body.is_some() || one.form.is_some()) => {
            problem(at("in"), "there is no body to put it in".to_owned());
        }
        Placement::Path if !either(&|one| one.path.contains(&format!("{{{param}}}"))) => {
            problem(at("in"), format!("the path must hold `{{{param}}}`"));
        }
        // The first value of a cursor may be written there: `cursor: "*"`.
        Placement::Query if request.query.contains_key(param) && !is_cursor => {
            let message = format!(
                "{} is also written in `request.query`; pagination sets it",
                quoted(param)
            );
            problems.push(Problem::new("definition.pagination", at("param"), message).warning());
        }
        Placement::Header => headers::check_name(param, &at("param"), problems),
        _ => {}
    }
}

/// Checks the further requests as if they were written by themselves.
fn check_next(request: &Request, next: &NextRequest, at: &str, problems: &mut Vec<Problem>) {
    let mut found = Vec::new();
    let further = next.of(request);
    if matches!(
        request.pagination,
        Pagination::NextUrl(_) | Pagination::LinkHeader(_)
    ) {
        for (key, is_said) in [
            ("path", next.path.is_some()),
            ("query", next.query.is_some()),
        ] {
            if is_said {
                found.push(Problem::new(
                    "definition.pagination",
                    format!("request.{key}"),
                    "the answer says the whole address of the next page",
                ));
            }
        }
    }
    if next.path.is_some() {
        let placeholder = template::path_placeholder(&further);
        address::check_path(
            &further.path,
            placeholder.as_deref(),
            "request.path",
            &mut found,
        );
    }
    request::check_parameters(&further, &mut found);
    request::check_body(&further, &mut found);
    for mut problem in found {
        let key = problem.path.strip_prefix("request.").unwrap_or_default();
        let is_own = match key.split(['.', '[']).next().unwrap_or_default() {
            "path" => next.path.is_some(),
            "query" => next.query.is_some(),
            "body" => next.body.is_some(),
            "form" => next.form.is_some(),
            _ => false,
        };
        if is_own {
            problem.path = format!("{at}.{key}");
            problems.push(problem);
        }
    }
}

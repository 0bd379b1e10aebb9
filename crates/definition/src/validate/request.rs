use super::{address, graphql, headers, pagination, secrets, templated};
use crate::node::join;
use crate::parent::Parent;
use crate::problem::Problem;
use crate::request::{Method, Request};
use crate::template::{self, Uses};
use crate::window::Window;

/// The most runs that the first sync of a window may need.
const MAX_STEPS: u64 = 1_000;

/// Checks a request and the window its templates use.
///
/// `parent` is the dataset for whose records it is made, if it is.
pub(super) fn check(
    request: &Request,
    window: Option<&Window>,
    parent: Option<&Parent>,
    problems: &mut Vec<Problem>,
) {
    let placeholder = template::path_placeholder(request);
    address::check_path(
        &request.path,
        placeholder.as_deref(),
        "request.path",
        problems,
    );
    headers::check(&request.headers, "request.headers", problems);
    check_templates(request, window, parent, problems);
    check_parameters(request, problems);
    check_body(request, problems);
    pagination::check(request, problems);
    if let Some(window) = window {
        check_window(window, problems);
    }
}

fn check_templates(
    request: &Request,
    window: Option<&Window>,
    parent: Option<&Parent>,
    problems: &mut Vec<Problem>,
) {
    let mut uses = Uses::default();
    let mut broken = false;
    let texts = template::texts_of_request(request);
    if texts.len() > template::MAX_TEMPLATES {
        let message = format!("more than {} templates", template::MAX_TEMPLATES);
        problems.push(Problem::new("definition.template", "request", message));
        return;
    }
    for (path, text) in texts {
        let path = format!("request.{path}");
        match template::check(text) {
            Ok(used) if used.window && window.is_none() => {
                let message = "uses the window, and there is none";
                problems.push(
                    Problem::new("definition.window_missing", path, message)
                        .hint("add for example `window: { last: 90d }`"),
                );
            }
            Ok(used) if used.parent && parent.is_none() => {
                let message = "uses a record of a parent, and there is no parent";
                problems.push(
                    Problem::new("definition.parent_missing", path, message)
                        .hint("a dataset of its own may have `parent: { dataset: … }`"),
                );
            }
            Ok(used) => uses = uses.or(used),
            Err(error) => {
                broken = true;
                problems.push(templated(&path, error));
            }
        }
    }
    if parent.is_some() && !uses.parent && !broken {
        let message =
            "no template of the request uses the parent, so every record would ask for the same";
        problems.push(
            Problem::new("definition.parent_unused", "parent", message)
                .hint("put {{ parent.id }} where the API takes it, such as the path"),
        );
    }
    if window.is_some() && !uses.window && !broken {
        let message = "no template of the request uses the window, so every run asks for the same";
        problems.push(
            Problem::new("definition.window_unused", "window", message)
                .hint("put {{ window.start | date }} where the API takes a date, or leave the window out")
                .warning(),
        );
    }
}

pub(super) fn check_parameters(request: &Request, problems: &mut Vec<Problem>) {
    let mut bytes = request.path.len();
    for (name, value) in &request.query {
        let path = join("request.query", name);
        if name.trim().is_empty() {
            problems.push(Problem::new(
                "definition.query",
                path.clone(),
                "a parameter name is needed, this one is empty",
            ));
        }
        for text in value.texts() {
            bytes += name.len() + text.len() + 2;
            if secrets::is_secret_parameter(name, text) {
                problems.push(secrets::in_url(&path, name));
            }
            if name == "query" && graphql::changes(text) {
                problems.push(mutation(&path));
            }
        }
    }
    if bytes > Request::MAX_URL_BYTES {
        let message = format!(
            "path and query are longer than {} bytes",
            Request::MAX_URL_BYTES
        );
        problems.push(Problem::new("definition.url_too_long", "request", message));
    }
}

fn mutation(path: &str) -> Problem {
    Problem::new(
        "definition.graphql_mutation",
        path,
        "a GraphQL operation that changes something; Tidemark only reads",
    )
}

pub(super) fn check_body(request: &Request, problems: &mut Vec<Problem>) {
    let (name, there) = if request.body.is_some() {
        ("body", true)
    } else {
        ("form", request.form.is_some())
    };
    if request.body.is_some() && request.form.is_some() {
        problems.push(Problem::new(
            "definition.body",
            "request.form",
            "`body` and `form` exclude one another",
        ));
    }
    if there && request.method == Method::Get {
        problems.push(
            Problem::new(
                "definition.body",
                format!("request.{name}"),
                format!("a GET has no `{name}`"),
            )
            .hint("write `method: POST`"),
        );
    }
    let mut bytes = 0;
    if let Some(body) = &request.body {
        bytes = body.to_string().len();
        let rendered = template::render_value(body, &template::Scope::sample());
        if graphql::is_mutation(body) || rendered.is_ok_and(|body| graphql::is_mutation(&body)) {
            problems.push(mutation("request.body.query"));
        }
        if let serde_json::Value::Object(fields) = body {
            for (name, value) in fields {
                if value
                    .as_str()
                    .is_some_and(|text| secrets::is_secret_parameter(name, text))
                {
                    problems.push(secrets::in_body(&join("request.body", name), name));
                }
            }
        }
    }
    for (name, text) in request.form.iter().flatten() {
        bytes += name.len() + text.len() + 2;
        if secrets::is_secret_parameter(name, text) {
            problems.push(secrets::in_body(&join("request.form", name), name));
        }
        if name == "query" && graphql::changes(text) {
            problems.push(mutation("request.form.query"));
        }
    }
    if bytes > Request::MAX_BODY_BYTES {
        let message = format!("the body is larger than {} bytes", Request::MAX_BODY_BYTES);
        problems.push(Problem::new(
            "definition.body_too_large",
            format!("request.{name}"),
            message,
        ));
    }
}

fn check_window(window: &Window, problems: &mut Vec<Problem>) {
    let mut problem = |path: &str, message: String| {
        problems.push(Problem::new("definition.window", path, message));
    };
    let last = window.last.to_duration().as_secs();
    if let Some(step) = window.step {
        let steps = last.div_ceil(step.to_duration().as_secs().max(1));
        if steps > MAX_STEPS {
            problem(
                "window.step",
                format!(
                    "{} in steps of {step} are {steps} runs; at most {MAX_STEPS}",
                    window.last
                ),
            );
        }
    }
    if let Some(lookback) = window.lookback
        && lookback.to_duration().as_secs() > last
    {
        problem(
            "window.lookback",
            format!("{lookback} is longer than `last`, {}", window.last),
        );
    }
}

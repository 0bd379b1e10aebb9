//! Turns a request template into the concrete request of one page.
//!
//! The path is put behind the path of `base_url` (`https://h/v3` and `/subscribers` make `https://h/v3/subscribers`).

use bytes::Bytes;
use definition::template::{self, Scope};
use definition::{Connection, Method, Pagination, Placement, Request};
use http::header::{self, HeaderMap, HeaderValue};
use serde_json::Value;
use url::Url;

use crate::egress::{Guard, Refusal};
use crate::http::user_header;
use crate::pagination::{Place, Position, parameters};
use crate::reader::Asked;

/// Why a request could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A template cannot be rendered.
    #[error("{what}: {message}")]
    Template {
        /// Where the template stands.
        what: String,
        /// What is wrong.
        message: String,
    },
    /// A header that may not be set or cannot be written.
    #[error("{0}")]
    Header(String),
    /// The address is refused.
    #[error("{0}")]
    Address(#[from] Refusal),
    /// A pagination parameter has no place to stand.
    #[error("pagination parameter `{param}` {reason}")]
    Placement {
        /// The parameter.
        param: String,
        /// Why not.
        reason: &'static str,
    },
    /// A template gave a GraphQL operation that is no query.
    #[error(
        "the request would be a GraphQL operation that changes something; Tidemark only reads: look at the variables put into `query`"
    )]
    Mutation,
    /// The body is larger than a request may be.
    #[error("the request body is larger than {} bytes", Request::MAX_BODY_BYTES)]
    BodyTooLarge,
}

impl RenderError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            RenderError::Template { .. } => "definition.template",
            RenderError::Header(_) => "definition.header_forbidden",
            RenderError::Address(refusal) => refusal.code.as_str(),
            RenderError::Placement { .. } => "definition.pagination",
            RenderError::Mutation => "definition.graphql_mutation",
            RenderError::BodyTooLarge => "definition.body_too_large",
        }
    }
}

/// A request without credentials, as one page needs it.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// GET or POST.
    pub method: http::Method,
    /// Where.
    pub url: Url,
    /// With which headers.
    pub headers: HeaderMap,
    /// With which body, and its type.
    pub body: Option<(Bytes, &'static str)>,
}

/// Renders what a run asks, with everything but the page's place. One for a run.
#[derive(Debug, Clone)]
pub struct Template {
    pagination: Pagination,
    base: String,
    headers: HeaderMap,
    first: Shape,
    /// The requests behind the first, where they differ from it.
    further: Option<Shape>,
}

/// What of a request may differ between the first page and the further ones.
#[derive(Debug, Clone)]
struct Shape {
    method: http::Method,
    path: String,
    query: Vec<(String, String)>,
    body: Option<Value>,
    form: Option<Vec<(String, String)>>,
}

impl Template {
    /// Renders every template of `connection` and `request` in `scope`.
    pub fn new(
        connection: &Connection,
        request: &Request,
        scope: &Scope,
    ) -> Result<Self, RenderError> {
        let base = render("base_url", &connection.base_url, scope)?;
        let mut headers = HeaderMap::new();
        if let Some(accept) = crate::formats::accept(request.response.format) {
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        for (name, value) in connection.headers.iter().chain(&request.headers) {
            let value = render(&format!("headers.{name}"), value, scope)?;
            let (name, value) = user_header(name, &value).map_err(RenderError::Header)?;
            headers.insert(name, value);
        }
        let further = request.pagination.next();
        Ok(Template {
            pagination: request.pagination.clone(),
            base,
            headers,
            first: Shape::of(request, "request", scope)?,
            further: further
                .map(|next| Shape::of(&next.of(request), "request.pagination.next", scope))
                .transpose()?,
        })
    }

    /// How the first page is asked for, as far as it tells how others would be.
    pub fn asked(&self) -> Option<Asked> {
        let mut url = Url::parse(&join(&self.base, &self.first.path)).ok()?;
        if !self.first.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.first.query);
        }
        Some(Asked {
            url,
            body: self.first.body.clone(),
        })
    }

    /// The place in `position` put into the request, and its address checked by its text.
    pub fn page(&self, position: &Position, guard: &Guard) -> Result<Rendered, RenderError> {
        let is_first = position.is_first(&self.pagination);
        let shape = match &self.further {
            Some(further) if !is_first => further,
            _ => &self.first,
        };
        let Shape {
            method,
            mut path,
            mut query,
            mut body,
            mut form,
        } = shape.clone();
        let mut headers = self.headers.clone();
        for Place {
            param,
            placement,
            value,
        } in parameters(&self.pagination, position)
        {
            // Where only the further requests have a place for it, the first one goes without.
            let has_place = match placement {
                Placement::Path => path.contains(&placeholder(&param)),
                Placement::Body => body.is_some() || form.is_some(),
                Placement::Query | Placement::Header => true,
            };
            if is_first && self.further.is_some() && !has_place {
                continue;
            }
            match placement {
                Placement::Query => put(&mut query, &param, plain(&value)),
                Placement::Header => {
                    let (name, value) =
                        user_header(&param, &plain(&value)).map_err(RenderError::Header)?;
                    headers.insert(name, value);
                }
                Placement::Path => path = put_in_path(&path, &param, &plain(&value))?,
                Placement::Body => match &mut form {
                    Some(form) => put(form, &param, plain(&value)),
                    None => put_in_body(
                        body.get_or_insert_with(|| Value::Object(serde_json::Map::new())),
                        &param,
                        value,
                    )?,
                },
            }
        }
        // A first page without a place (cursors) leaves no placeholder behind.
        if let Some((param, Placement::Path)) = self.pagination.parameter() {
            path = strip_placeholder(&path, param);
        }
        let mut url = match position {
            Position::Url(text) => guard.check_text(text)?.url().clone(),
            _ => guard.check_text(&join(&self.base, &path))?.url().clone(),
        };
        url.set_fragment(None);
        if !matches!(position, Position::Url(_)) && !query.is_empty() {
            url.query_pairs_mut().extend_pairs(&query);
        }
        if url.as_str().len() > crate::egress::URL_LIMIT {
            guard.check_text(url.as_str())?;
        }
        // What was put in may be an operation that changes something, whoever wrote it.
        let by_field = |fields: &[(String, String)]| {
            let mut queries = fields.iter().filter(|(name, _)| name == "query");
            queries.any(|(_, text)| definition::changes_by_graphql(text))
        };
        if body.as_ref().is_some_and(definition::is_mutation)
            || by_field(&query)
            || form.as_deref().is_some_and(by_field)
        {
            return Err(RenderError::Mutation);
        }
        Ok(Rendered {
            method,
            url,
            headers,
            body: encoded(form, body)?,
        })
    }
}

impl Shape {
    /// Renders what of `request` may differ; `at` is where it stands in the definition.
    fn of(request: &Request, at: &str, scope: &Scope) -> Result<Self, RenderError> {
        let path = template::render_path(&request.path, scope)
            .map_err(|error| fault(&format!("{at}.path"), &error))?;
        let mut query = Vec::new();
        for (name, value) in &request.query {
            for text in value.texts() {
                let text = render(&format!("{at}.query.{name}"), text, scope)?;
                query.push((name.clone(), text));
            }
        }
        let body = request
            .body
            .as_ref()
            .map(|body| {
                template::render_value(body, scope)
                    .map_err(|error| fault(&format!("{at}.body"), &error))
            })
            .transpose()?;
        let field = |(name, value): (&String, &String)| {
            let value = render(&format!("{at}.form.{name}"), value, scope)?;
            Ok((name.clone(), value))
        };
        let form = request
            .form
            .as_ref()
            .map(|form| {
                form.iter()
                    .map(field)
                    .collect::<Result<Vec<_>, RenderError>>()
            })
            .transpose()?;
        let method = match request.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
        };
        Ok(Shape {
            method,
            path,
            query,
            body,
            form,
        })
    }
}

/// Writes a body as it is sent, with its type.
fn encoded(
    form: Option<Vec<(String, String)>>,
    body: Option<Value>,
) -> Result<Option<(Bytes, &'static str)>, RenderError> {
    let encoded = match (form, body) {
        (Some(form), _) => {
            let text = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&form)
                .finish();
            Some((Bytes::from(text), "application/x-www-form-urlencoded"))
        }
        (None, Some(body)) => Some((Bytes::from(body.to_string()), "application/json")),
        (None, None) => None,
    };
    match encoded {
        Some((bytes, _)) if bytes.len() > Request::MAX_BODY_BYTES => Err(RenderError::BodyTooLarge),
        encoded => Ok(encoded),
    }
}

fn render(what: &str, text: &str, scope: &Scope) -> Result<String, RenderError> {
    template::render(text, scope).map_err(|error| fault(what, &error))
}

fn fault(what: &str, error: &template::TemplateError) -> RenderError {
    RenderError::Template {
        what: what.to_owned(),
        message: error.message.clone(),
    }
}

/// Puts `path` behind the path of `base`, keeping exactly one slash between them and the query of neither lost.
pub(crate) fn join(base: &str, path: &str) -> String {
    let (base, base_query) = match base.split_once('?') {
        Some((base, query)) => (base, Some(query)),
        None => (base, None),
    };
    let (path, path_query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    let mut joined = match path {
        "" => base.to_owned(),
        path => format!(
            "{}/{}",
            base.trim_end_matches('/'),
            path.trim_start_matches('/')
        ),
    };
    let queries: Vec<&str> = base_query
        .into_iter()
        .chain(path_query)
        .filter(|query| !query.is_empty())
        .collect();
    if !queries.is_empty() {
        joined.push('?');
        joined.push_str(&queries.join("&"));
    }
    joined
}

/// Replaces a parameter where it stands first and drops its further values; appends it where it is missing.
fn put(pairs: &mut Vec<(String, String)>, name: &str, value: String) {
    match pairs.iter().position(|(known, _)| known == name) {
        Some(first) => {
            pairs[first].1 = value;
            let mut index = 0;
            pairs.retain(|(known, _)| {
                index += 1;
                known != name || index - 1 == first
            });
        }
        None => pairs.push((name.to_owned(), value)),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn put_in_path(path: &str, param: &str, value: &str) -> Result<String, RenderError> {
    let placeholder = placeholder(param);
    if !path.contains(&placeholder) {
        let reason = "is put in the path, but the path has no such placeholder in braces";
        return Err(RenderError::Placement {
            param: param.to_owned(),
            reason,
        });
    }
    let encoded: String = value
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.') {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    Ok(path.replace(&placeholder, &encoded))
}

fn placeholder(param: &str) -> String {
    format!("{{{param}}}")
}

fn strip_placeholder(path: &str, param: &str) -> String {
    let placeholder = placeholder(param);
    if path.contains(&placeholder) {
        path.replace(&format!("/{placeholder}"), "")
            .replace(&placeholder, "")
    } else {
        path.to_owned()
    }
}

/// Puts a value at a dotted path of a JSON body; a number in a segment is an index of a list.
fn put_in_body(body: &mut Value, param: &str, value: Value) -> Result<(), RenderError> {
    let fault = |reason| RenderError::Placement {
        param: param.to_owned(),
        reason,
    };
    let mut at = body;
    let mut names = param.split('.').peekable();
    while let Some(name) = names.next() {
        at = match at {
            Value::Object(fields) => fields.entry(name.to_owned()).or_insert(Value::Null),
            Value::Array(items) => {
                let index: usize = name
                    .parse()
                    .map_err(|_| fault("meets a list in the body, and is no index of it"))?;
                items
                    .get_mut(index)
                    .ok_or_else(|| fault("is beyond the end of a list in the body"))?
            }
            _ => {
                return Err(fault(
                    "meets a value in the body that is neither object nor list",
                ));
            }
        };
        if names.peek().is_some() && at.is_null() {
            *at = Value::Object(serde_json::Map::new());
        }
    }
    *at = value;
    Ok(())
}

#[cfg(test)]
mod tests;

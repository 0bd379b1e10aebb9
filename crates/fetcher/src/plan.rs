//! Reads a sync request into what a run needs: the rendered template, the opened secrets, and what to look for in pages.

use std::sync::Arc;

use definition::template::Scope;
use definition::{Conditions, Connection, Interval, Pagination, RateLimit, Request};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use service::Identity;
use wire::SyncRequest;

use crate::auth::Access;
use crate::error::PageError;
use crate::exchange::Recorder;
use crate::reader::Reader;
use crate::redact::Redactor;
use crate::render::{RenderError, Template};

/// Requests of one run at the same time where the connection does not say.
const CONCURRENCY: u32 = 8;

/// More requests at once than this help nobody.
const MOST_CONCURRENCY: u32 = 64;

/// What a run needs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The connection's name.
    pub connection: String,
    /// What the connection allows.
    pub rate_limit: Option<RateLimit>,
    /// The connection as it is defined.
    pub definition: Connection,
    /// What is asked.
    pub asked: Request,
    /// What its templates know.
    pub scope: Scope,
    /// The opened secrets.
    pub access: Arc<Access>,
    /// Finds them in what comes back.
    pub redactor: Redactor,
    /// How pages follow one another.
    pub pagination: Pagination,
    /// After so many pages the run is truncated.
    pub max_pages: u32,
    /// Requests at the same time.
    pub concurrency: u32,
    /// Where a page says what matters for paging.
    pub reader: Reader,
    /// How answers are written.
    pub response: definition::Response,
    /// How an answer of 200 says that it is an error.
    pub conditions: Conditions,
    /// Who is told of every request and answer.
    pub recorder: Option<Arc<Recorder>>,
}

impl Plan {
    /// Reads `request` and opens its secrets.
    pub fn of(
        request: &SyncRequest,
        identities: &[Identity],
        now: Timestamp,
    ) -> Result<Self, PageError> {
        let connection = Connection::from_document(&document(request.connection.as_ref()))
            .map_err(|problems| unusable("connection", &problems))?;
        let asked = Request::from_document(&document(request.request.as_ref()))
            .map_err(|problems| unusable("request", &problems))?;
        let window = request.window.as_ref().map(interval).transpose()?;
        let zone = match request.timezone.as_str() {
            "" => TimeZone::UTC,
            name => TimeZone::get(name)
                .map_err(|_| PageError::Request(format!("time zone `{name}` is unknown")))?,
        };
        let now = request.slot.parse().unwrap_or(now);
        let scope = Scope {
            window,
            now,
            zone,
            connection: connection.constants(),
            parent: None,
        };
        let access = Access::open(
            &request.workspace,
            &connection,
            &request.secrets,
            identities,
            &scope,
        )?;
        let limit = connection.rate_limit.clone();
        let concurrency = limit
            .as_ref()
            .and_then(|limit| limit.concurrency)
            .unwrap_or(CONCURRENCY);
        let max_pages = if request.max_pages == 0 {
            asked.max_pages
        } else {
            request.max_pages
        };
        let conditions = asked.conditions.or(&connection.conditions);
        Ok(Plan {
            connection: connection.name.to_string(),
            definition: connection,
            rate_limit: limit,
            redactor: access.redactor(),
            access: Arc::new(access),
            scope,
            conditions,
            reader: Reader::of(&asked.pagination, &request.records_hint),
            pagination: asked.pagination.clone(),
            response: asked.response.clone(),
            asked,
            recorder: None,
            max_pages: max_pages.clamp(1, Request::MAX_MAX_PAGES),
            concurrency: concurrency.clamp(1, MOST_CONCURRENCY),
        })
    }
}

impl Plan {
    /// Renders the request, for a record of the parent where there is one.
    pub fn template(&self, parent: Option<&Value>) -> Result<Template, RenderError> {
        let scope = Scope {
            parent: parent.cloned(),
            ..self.scope.clone()
        };
        Template::new(&self.definition, &self.asked, &scope)
    }
}

/// Documents of the store say their kind; the types do not.
pub(crate) fn document(document: Option<&wire::Json>) -> Value {
    let mut document = document
        .map(|document| document.0.clone())
        .unwrap_or_default();
    if let Value::Object(fields) = &mut document {
        fields.shift_remove("kind");
    }
    document
}

fn unusable(what: &str, problems: &[definition::Problem]) -> PageError {
    let first = problems
        .first()
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .unwrap_or_default();
    PageError::Request(format!("its {what} cannot be read ({first})"))
}

pub(crate) fn interval(window: &wire::Window) -> Result<Interval, PageError> {
    let read = |text: &str| {
        text.parse::<Timestamp>()
            .map_err(|_| PageError::Request("its window has no readable dates".to_owned()))
    };
    Ok(Interval {
        start: read(&window.start)?,
        end: read(&window.end)?,
    })
}

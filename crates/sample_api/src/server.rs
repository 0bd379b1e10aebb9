//! Listens, answers, and keeps the books.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer::Answer;
use crate::api::{self, Asked};
use crate::body::PageBody;
use crate::fault::{Book, Fault, Kind, UnknownFault, twist};
use crate::ledger::{Books, Ledger};
use crate::query::{Query, decode};
use crate::truth::{self, Truth, Wanted};
use crate::world::World;
use crate::{Config, encode};

/// Searches are small; more is refused.
const LARGEST_REQUEST: usize = 64 * 1024;
/// Kept pages are forgotten together beyond this, so that no set of queries eats the machine.
const MOST_KEPT_BYTES: usize = 256 * 1024 * 1024;
/// How long open connections may go on after shutdown.
const DRAIN: Duration = Duration::from_secs(2);

/// A running sample API; stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    house: Arc<House>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct House {
    config: Config,
    present: RwLock<Arc<Present>>,
    latency: RwLock<Duration>,
    book: Book,
    books: Books,
}

/// The records as they are now, and the pages already written from them.
#[derive(Debug)]
struct Present {
    world: World,
    kept: RwLock<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: usize,
    pages: HashMap<Box<str>, Answer>,
}

impl Present {
    fn new(world: World) -> Arc<Self> {
        Arc::new(Self {
            world,
            kept: RwLock::default(),
        })
    }
}

impl Server {
    /// Makes the records, listens, and answers until shutdown, on the runtime it is called in.
    pub async fn start(config: Config) -> std::io::Result<Self> {
        let listener = TcpListener::bind(config.address()).await?;
        let address = listener.local_addr()?;
        let world = World::make(&config);
        let house = Arc::new(House {
            present: RwLock::new(Present::new(world)),
            latency: RwLock::new(config.latency),
            book: Book::default(),
            books: Books::new(),
            config,
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(accept(
            listener,
            Arc::clone(&house),
            stop.clone(),
            tasks.clone(),
        ));
        Ok(Self {
            address,
            house,
            stop,
            tasks,
        })
    }

    /// Returns the base address, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what it has served.
    pub fn ledger(&self) -> Ledger {
        self.house.books.snapshot()
    }

    /// Forgets what it has served.
    pub fn clear_ledger(&self) {
        self.house.books.empty();
    }

    /// Returns what is true of subscribers, by the day they joined.
    pub fn subscribers(&self, wanted: &Wanted) -> Truth {
        truth::subscribers(&self.house.present().world, wanted)
    }

    /// Returns what is true of purchases, by their day, in cents of their totals.
    pub fn purchases(&self, wanted: &Wanted) -> Truth {
        truth::purchases(&self.house.present().world, wanted)
    }

    /// Puts faults in force, in the language of [`Fault`], until they have struck as often as
    /// they say or are cleared.
    pub fn add_faults(&self, faults: &str) -> Result<(), UnknownFault> {
        self.house.book.add(Fault::parse_all(faults)?);
        Ok(())
    }

    /// Puts one fault in force.
    pub fn add_fault(&self, fault: Fault) {
        self.house.book.add([fault]);
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.house.book.clear();
    }

    /// Holds every answer back for so long from now on.
    pub fn set_latency(&self, latency: Duration) {
        *self
            .house
            .latency
            .write()
            .unwrap_or_else(PoisonError::into_inner) = latency;
    }

    /// Adds subscribers who join at `at`; all answers and truths know of them at once.
    pub fn add_subscribers(&self, count: u32, at: Timestamp) {
        self.house.add_subscribers(count, at);
    }

    /// Stops listening, lets open answers end for a moment, and returns.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        // What has not ended by then hangs on request; dropping the runtime ends it.
        let _ = tokio::time::timeout(DRAIN, self.tasks.wait()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(
    listener: TcpListener,
    house: Arc<House>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // Out of descriptors, or a caller gone already: the next may be luckier.
        let Ok((stream, _)) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        tasks.spawn(connection(stream, Arc::clone(&house), stop.clone()));
    }
}

async fn connection(stream: TcpStream, house: Arc<House>, stop: CancellationToken) {
    let reset = Arc::new(AtomicBool::new(false));
    let socket = TokioIo::new(Socket {
        stream,
        reset: Arc::clone(&reset),
    });
    let service = service_fn(move |request| serve(Arc::clone(&house), request, Arc::clone(&reset)));
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .pipeline_flush(true)
            .serve_connection(socket, service)
    );
    // A connection that fails is the caller's business.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(DRAIN, connection).await;
        }
    }
}

/// The connection is to be reset: hyper ends it on any error of the service.
#[derive(Debug, thiserror::Error)]
#[error("reset on request")]
struct ResetOnRequest;

async fn serve(
    house: Arc<House>,
    request: Request<Incoming>,
    reset: Arc<AtomicBool>,
) -> Result<Response<PageBody>, ResetOnRequest> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if path.starts_with("/control/") || path.starts_with("/truth/") {
        let body = read(&head, body).await.unwrap_or_default();
        return Ok(respond(&house.control(&head, &body)));
    }
    let query_text = head.uri.query().unwrap_or("");
    let in_hand = InHand {
        books: &house.books,
        path,
        query: query_text,
        is_open: true,
    };
    if !house.books.begin(house.config.rate_limit) {
        in_hand.end(1, 429);
        return Ok(respond(&too_many("1".to_owned())));
    }
    let latency = *house.latency.read().unwrap_or_else(PoisonError::into_inner);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let present = house.present();
    let is_plain = house.book.is_empty()
        && !query_text.contains("fault=")
        && !head.headers.contains_key("x-fault");
    let key = head
        .uri
        .path_and_query()
        .map_or("", http::uri::PathAndQuery::as_str);
    let may_keep = is_plain
        && head.method == Method::GET
        && api::may_keep(&present.world, path, &head.headers);
    if may_keep && let Some(answer) = present.kept(key) {
        in_hand.end(answer.page, answer.status.as_u16());
        return Ok(respond(&answer));
    }

    let Some(body) = read(&head, body).await else {
        in_hand.end(1, 413);
        return Ok(respond(&Answer::v4_error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The body is too large",
        )));
    };
    let query = Query::parse(query_text);
    let header_faults = head
        .headers
        .get("x-fault")
        .and_then(|value| value.to_str().ok());
    let mut striking: Option<Vec<Kind>> = None;
    let asked_path = decode(path);
    let asked = Asked {
        method: &head.method,
        path: &asked_path,
        query: &query,
        headers: &head.headers,
        body: &body,
    };
    let answer = api::answer(&present.world, &asked, &mut |page| {
        let kinds = house.book.strike(path, &query, header_faults, page);
        let twist = twist(&kinds);
        striking = Some(kinds);
        twist
    });
    // What has no pages is page 1 of itself.
    let striking = striking.unwrap_or_else(|| house.book.strike(path, &query, header_faults, 1));
    if may_keep && answer.repeatable && answer.status == StatusCode::OK {
        present.keep(key, &answer);
    }
    let page = answer.page;
    let suffered = suffer(answer, striking).await;
    in_hand.end(
        page,
        suffered
            .as_ref()
            .map_or(0, |response| response.status().as_u16()),
    );
    if suffered.is_err() {
        reset.store(true, Ordering::Release);
    }
    suffered
}

/// Returns the body of a request that may have one; none when it is too large or breaks off.
async fn read(head: &http::request::Parts, body: Incoming) -> Option<Bytes> {
    if head.method == Method::GET {
        return Some(Bytes::new());
    }
    Some(
        Limited::new(body, LARGEST_REQUEST)
            .collect()
            .await
            .ok()?
            .to_bytes(),
    )
}

/// A request in hand; one whose caller went away is noted with status 499.
struct InHand<'a> {
    books: &'a Books,
    path: &'a str,
    query: &'a str,
    is_open: bool,
}

impl InHand<'_> {
    fn end(mut self, page: u32, status: u16) {
        self.is_open = false;
        self.books.end(self.path, self.query, page, status);
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.books.end(self.path, self.query, 1, 499);
        }
    }
}

impl House {
    fn present(&self) -> Arc<Present> {
        Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn add_subscribers(&self, count: u32, at: Timestamp) {
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        let mut world = present.world.clone();
        world.add_subscribers(count, at.as_second());
        *present = Present::new(world);
    }

    /// Answers what is asked about the sample API itself.
    fn control(&self, head: &http::request::Parts, body: &[u8]) -> Answer {
        let query = Query::parse(head.uri.query().unwrap_or(""));
        let path = head.uri.path();
        if let Some(noun) = path.strip_prefix("/truth/") {
            let answer = truth::answer(&self.present().world, noun, &query);
            return answer.map_or_else(api::not_found, Answer::json);
        }
        let done = || Answer::json(r#"{"done":true}"#);
        match (head.method.as_str(), path) {
            ("POST", "/control/faults") => match Fault::parse_all(&String::from_utf8_lossy(body)) {
                Ok(faults) => {
                    let path = query.get("path");
                    self.book.add(faults.into_iter().map(|fault| match path {
                        Some(path) => fault.on(path),
                        None => fault,
                    }));
                    done()
                }
                Err(error) => Answer::v4_error(
                    StatusCode::BAD_REQUEST,
                    &error.to_string().replace('"', "'"),
                ),
            },
            ("DELETE", "/control/faults") => {
                self.book.clear();
                done()
            }
            ("POST", "/control/latency") => {
                let latency = Duration::from_millis(query.number("ms").unwrap_or(0));
                *self.latency.write().unwrap_or_else(PoisonError::into_inner) = latency;
                done()
            }
            ("POST", "/control/subscribers") => {
                let at = query
                    .get("at")
                    .and_then(|at| at.parse().ok())
                    .unwrap_or_else(Timestamp::now);
                self.add_subscribers(
                    u32::try_from(query.number("count").unwrap_or(1)).unwrap_or(1),
                    at,
                );
                done()
            }
            ("GET", "/control/ledger") => {
                let ledger = self.books.snapshot();
                Answer::json(
                    serde_json::json!({
                        "requests": ledger.requests, "by_path": ledger.by_path, "by_status": ledger.by_status,
                        "most_at_once": ledger.most_at_once, "refused": ledger.refused,
                    })
                    .to_string(),
                )
            }
            ("DELETE", "/control/ledger") => {
                self.books.empty();
                done()
            }
            _ => api::not_found(),
        }
    }
}

impl Present {
    fn kept(&self, key: &str) -> Option<Answer> {
        self.kept
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .pages
            .get(key)
            .cloned()
    }

    fn keep(&self, key: &str, answer: &Answer) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = key.len() + answer.body.len() + 256;
        if kept.bytes + bytes > MOST_KEPT_BYTES {
            *kept = Kept::default();
        }
        if kept.pages.insert(key.into(), answer.clone()).is_none() {
            kept.bytes += bytes;
        }
    }
}

fn respond(answer: &Answer) -> Response<PageBody> {
    let mut response = Response::new(PageBody::whole(answer.body.clone()));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(answer.content_type),
    );
    for (name, value) in &answer.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(*name, value);
        }
    }
    response
}

fn too_many(retry_after: String) -> Answer {
    let answer = Answer::v4_error(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
    answer.header("retry-after", retry_after)
}

/// Lets the striking faults have their way with an answer.
async fn suffer(
    mut answer: Answer,
    striking: Vec<Kind>,
) -> Result<Response<PageBody>, ResetOnRequest> {
    let mut manner: Option<Kind> = None;
    for kind in striking {
        match kind {
            Kind::Latency(latency) => tokio::time::sleep(latency).await,
            Kind::Status(status) => {
                let status =
                    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                answer = Answer::v4_error(status, status.canonical_reason().unwrap_or("Error"));
            }
            Kind::RetryAfter(text) => answer = too_many(text),
            Kind::RetryDate(seconds) => {
                let at = Timestamp::now()
                    .saturating_add(SignedDuration::from_secs(seconds))
                    .unwrap_or(Timestamp::MAX);
                answer = too_many(at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
            }
            Kind::Reset => return Err(ResetOnRequest),
            Kind::Hang => std::future::pending().await,
            Kind::EmptyBody => answer.body = Bytes::new(),
            Kind::Html => {
                answer.content_type = "text/html; charset=utf-8";
                answer.body = Bytes::from_static(
                    b"<!doctype html><html><title>Sign in</title><p>Please sign in</html>",
                );
            }
            Kind::Trailing => answer.body = [&answer.body[..], br#"{"b":2}"#].concat().into(),
            Kind::CutJson => answer.body = answer.body.slice(..answer.body.len() / 2),
            Kind::Pad(size) => {
                answer.body = [answer.body.to_vec(), vec![b' '; size]].concat().into();
            }
            Kind::Encoded(encoding) => {
                if let Ok((body, word)) = encode::encode(encoding, &answer.body) {
                    answer = Answer { body, ..answer }.header("content-encoding", word.to_owned());
                }
            }
            Kind::Bomb(size) => {
                if let Ok(body) = encode::gzip(&answer.body, size) {
                    answer =
                        Answer { body, ..answer }.header("content-encoding", "gzip".to_owned());
                }
            }
            Kind::Redirect(url) => {
                answer = Answer::of(StatusCode::FOUND, "").header("location", url);
            }
            Kind::Echo(text) => {
                answer = Answer::v4_error(StatusCode::BAD_REQUEST, &text.replace(['"', '\\'], "'"));
            }
            Kind::Cut | Kind::Stall | Kind::Drip(_) => manner = Some(kind),
            // These have had their way when the list was written.
            Kind::List(_) | Kind::Duplicate | Kind::Shifted(_) | Kind::Loop => {}
        }
    }
    let mut response = respond(&answer);
    match manner {
        Some(Kind::Cut) => *response.body_mut() = PageBody::cut(&answer.body),
        Some(Kind::Stall) => *response.body_mut() = PageBody::stalled(&answer.body),
        Some(Kind::Drip(pause)) => *response.body_mut() = PageBody::dripping(answer.body, pause),
        _ => {}
    }
    Ok(response)
}

/// A socket that is reset, rather than closed in order, when its flag is up.
struct Socket {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Acquire) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

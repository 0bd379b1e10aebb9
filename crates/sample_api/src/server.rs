//! Listens, answers, and keeps the books.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Config;
use crate::answer::Answer;
use crate::api::{self, Asked};
use crate::body::PageBody;
use crate::door::{Door, Passed};
use crate::fault::{Fault, Kind, UnknownFault, twist};
use crate::house::House;
use crate::ledger::{Books, Ledger};
use crate::orders::Order;
use crate::query::{Query, decode};
use crate::socket::Socket;
use crate::suffer::{ResetOnRequest, respond, suffer, too_many};
use crate::truth::{self, Truth, Wanted};

/// Searches are small; more is refused.
const LARGEST_REQUEST: usize = 64 * 1024;
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

impl Server {
    /// Makes the records, listens, and answers until shutdown, on the runtime it is called in.
    pub async fn start(config: Config) -> std::io::Result<Self> {
        let listener = TcpListener::bind(config.address()).await?;
        let address = listener.local_addr()?;
        let house = Arc::new(House::new(config));
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

    /// Makes every access and session token worthless from now on.
    pub fn revoke_tokens(&self) {
        self.house.door.revoke();
    }

    /// Lets access tokens hold for so long from now on.
    pub fn set_token_life(&self, life: Duration) {
        self.house.door.set_life(life);
    }

    /// Returns how many tokens were given, and how often a refresh token was handed in again.
    pub fn tokens(&self) -> (u64, u64) {
        self.house.door.counts()
    }

    /// Returns the assertions that were handed in, in order.
    pub fn assertions(&self) -> Vec<String> {
        self.house.door.assertions()
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

    /// Makes an order, or changes it.
    pub fn put_order(&self, order: Order) {
        self.house.orders.put(order);
    }

    /// Deletes an order.
    pub fn delete_order(&self, id: u64) {
        self.house.orders.delete(id);
    }

    /// Returns the orders that are there now.
    pub fn orders(&self) -> Vec<Order> {
        self.house.orders.present()
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
        && !Door::guards(path)
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
    let mut twists = |page| {
        let kinds = house.book.strike(path, &query, header_faults, page);
        let twist = twist(&kinds);
        striking = Some(kinds);
        twist
    };
    let answer = if path == "/api/orders" {
        house.orders.answer(&query)
    } else if Door::guards(path) {
        match house.door.pass(&asked) {
            Passed::Answered(answer) => answer,
            Passed::On(path) => {
                let path = path.as_str();
                let behind = Asked { path, ..asked };
                api::answer(&present.world, &behind, &mut twists)
            }
        }
    } else {
        api::answer(&present.world, &asked, &mut twists)
    };
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

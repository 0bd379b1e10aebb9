//! The accept loop: from a listener to answered requests, and an orderly end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use service::{Context, Part, Recipient};
use store::Store;

use crate::config::{Config, Limits};
use crate::connections::{Connection, Connections, HeldBody};
use crate::error::Error;
use crate::linger::Returned;
use crate::router::{Gateway, router};
use crate::updates;

/// Connections that are told at once that there is no room for them.
const TURNED_AWAY: usize = 256;

/// Runs a gateway on its configured address until shutdown.
///
/// # Errors
///
/// The address cannot be listened on.
pub async fn run(
    config: Config,
    context: Context,
    store: Store,
    bus: bus::Bus,
    recipient: Recipient,
) -> Result<(), Error> {
    let address = config.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })?;
    run_on(listener, config, context, store, bus, recipient).await;
    Ok(())
}

/// Runs a gateway on a bound listener until shutdown.
///
/// It answers at once, with 503 where what it needs is not there yet, and becomes ready when the
/// store and NATS have answered once.
pub async fn run_on(
    listener: TcpListener,
    config: Config,
    context: Context,
    store: Store,
    bus: bus::Bus,
    recipient: Recipient,
) {
    let ready = context.readiness.part("gateway");
    let gateway = Gateway::new(config, context.clone(), store, bus, recipient);
    context
        .tasks
        .spawn("gateway_ready", become_ready(gateway.clone(), ready));
    context
        .tasks
        .spawn_essential("gateway_updates", updates::listen(gateway.clone()));
    serve(listener, router(gateway.clone()), &gateway).await;
}

async fn become_ready(gateway: Gateway, ready: Part) {
    /// Often enough that a start is not felt as slow.
    const LOOK: Duration = Duration::from_millis(50);
    loop {
        let able = gateway.bus().is_healthy() && gateway.store().ping().await.is_ok();
        if able {
            ready.set(true);
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = gateway.context().shutdown.requested() => return,
        }
    }
}

/// Serves `router` on `listener` until shutdown, and then ends in order.
///
/// On shutdown `/readyz` says no at once, new connections are taken for `shutdown_notice` more,
/// streams end, and requests in hand have `shutdown_patience` to finish.
pub(crate) async fn serve(listener: TcpListener, router: Router, gateway: &Gateway) {
    let limits = &gateway.config().limits;
    let context = gateway.context();
    let connections = Connections::new(limits);
    let builder = builder(limits);
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
    let closing = gateway.closing().clone();
    let notice = async {
        context.shutdown.requested().await;
        tokio::time::sleep(limits.shutdown_notice).await;
    };
    let mut notice = pin!(notice);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut notice => break,
        };
        match accepted {
            Ok((stream, from)) => match connections.admit(from.ip()) {
                Some(connection) => {
                    let work = answer(
                        stream,
                        connection,
                        builder.clone(),
                        router.clone(),
                        closing.clone(),
                    );
                    let counted = gateway.clone();
                    context.tasks.spawn("connection", async move {
                        counted.instruments().connection(1);
                        work.await;
                        counted.instruments().connection(-1);
                    });
                }
                None => {
                    // Past this many at once the connection is just dropped.
                    if let Ok(place) = Arc::clone(&turned_away).try_acquire_owned() {
                        let gateway = gateway.clone();
                        context.tasks.spawn("turn_away", async move {
                            turn_away(stream, gateway).await;
                            drop(place);
                        });
                    }
                }
            },
            Err(error) => {
                /// Accepting fails for want of file descriptors; soon some are free again.
                const PAUSE: Duration = Duration::from_millis(100);
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    closing.cancel();
    let patience = async {
        /// Often enough that a stop is not felt as slow.
        const LOOK: Duration = Duration::from_millis(10);
        while connections.open() > 0 {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(limits.shutdown_patience, patience)
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.open(),
            "requests in hand did not finish in time"
        );
    }
}

fn builder(limits: &Limits) -> http1::Builder {
    /// The least that hyper takes as a buffer.
    const LEAST_BUFFER: usize = 8192;
    /// Heads up to this many times the limit are read whole, so that the refusal says why; beyond
    /// that hyper refuses them without a word.
    const READ_TO_REFUSE: usize = 4;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits.header_count * READ_TO_REFUSE)
        .max_buf_size((limits.header_bytes * READ_TO_REFUSE).max(LEAST_BUFFER))
        // One buffer, one write; `pipeline_flush` would do so too, and keep hyper's own refusals back.
        .writev(false);
    builder
}

async fn answer(
    stream: TcpStream,
    connection: Arc<Connection>,
    builder: http1::Builder,
    router: Router,
    closing: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let held = Arc::clone(&connection);
    let was_early = Arc::new(AtomicBool::new(false));
    let early = Arc::clone(&was_early);
    let service = service_fn(move |request: Request<Incoming>| {
        let in_hand = held.begin();
        let (router, early) = (router.clone(), Arc::clone(&early));
        async move {
            let Ok(response) = router.oneshot(request.map(Body::new)).await;
            if is_early(response.status()) {
                early.store(true, Ordering::Relaxed);
            }
            Ok::<Response<HeldBody>, Infallible>(response.map(|body| HeldBody::new(body, in_hand)))
        }
    });
    let returned = Returned::default();
    let lent = TokioIo::new(returned.lend(stream));
    let ended = {
        let mut serving = pin!(builder.serve_connection(lent, service));
        tokio::select! {
            ended = serving.as_mut() => ended,
            () = connection.evicted() => return,
            () = closing.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        }
    };
    if let Err(error) = &ended {
        tracing::debug!(error = %error, "a connection ended early");
    }
    let is_refused = ended.is_err_and(|error| error.is_parse());
    if is_refused || was_early.load(Ordering::Relaxed) {
        tokio::select! {
            () = returned.drain() => {}
            () = connection.evicted() => {}
            () = closing.cancelled() => {}
        }
    }
}

/// Tells whether an answer is given before the request was read to its end.
fn is_early(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    )
}

/// Answers on a connection for which there is no room: liveness, since a busy gateway must not be
/// restarted for being busy, and to all else that every connection is at work.
async fn turn_away(mut stream: TcpStream, gateway: Gateway) {
    /// A peer that neither asks nor reads has to go without an answer.
    const PATIENCE: Duration = Duration::from_secs(1);
    /// Enough for the first line of a probe; the rest of a head is read and not looked at.
    const HEAD_BYTES: usize = 8192;
    const BODY: &str = r#"{"type":"urn:tidemark:problem:server.busy","title":"too many connections","status":503,"code":"server.busy","detail":"close idle connections, or wait a moment"}"#;
    let _ = tokio::time::timeout(PATIENCE, async {
        let mut head = Vec::with_capacity(1024);
        while head.len() < HEAD_BYTES && !head.windows(4).any(|four| four == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let is_live = gateway.context().liveness.stuck().is_empty();
        let (status, kind, body) = if head.starts_with(b"GET /livez ") && is_live {
            ("200 OK", "text/plain; charset=utf-8", "ok\n")
        } else {
            ("503 Service Unavailable", "application/problem+json", BODY)
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nRetry-After: 1\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    })
    .await;
}

//! Through an operator's proxy: everything goes that way, and the guard decides before.

use crate::support;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use fetcher::egress::{NameScope, Resolver, Resolving};
use serde_json::json;
use support::{Stub, code, config, engine, message, ok, request, sync, tls_server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A proxy as companies run them: CONNECT for https, whole addresses for http. It resolves every
/// name to this machine.
struct SmallProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl SmallProxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let log = heads.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(stream, log.clone()));
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("the log").clone()
    }
}

async fn pass_on(mut client: TcpStream, log: Arc<Mutex<Vec<String>>>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = client.read_u8().await?;
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    log.lock().expect("the log").push(head.clone());
    let target = head.split(' ').nth(1).unwrap_or_default();
    if head.starts_with("CONNECT ") {
        let port = target.rsplit(':').next().unwrap_or_default();
        let mut server = TcpStream::connect(format!("127.0.0.1:{port}")).await?;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    let url = url::Url::parse(target).map_err(io::Error::other)?;
    let port = url.port_or_known_default().unwrap_or_default();
    let mut server = TcpStream::connect(format!("127.0.0.1:{port}")).await?;
    let own = head.replacen(target, url.path(), 1);
    let kept: Vec<&str> = own
        .split("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("proxy-"))
        .collect();
    server.write_all(kept.join("\r\n").as_bytes()).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// Resolves every name to one address, as the fetcher sees it.
struct Everything(IpAddr);

impl Resolver for Everything {
    fn resolve(&self, _: &str, _: NameScope) -> Resolving {
        let address = self.0;
        Box::pin(async move { Ok(vec![address]) })
    }
}

#[tokio::test]
async fn plain_and_secure_requests_go_through_the_proxy_with_an_own_authority() {
    let proxy = SmallProxy::start().await;
    let plain = Stub::start(|_| ok("[1]")).await;
    let secure = tls_server("good");
    let mut settings = config(&[plain.address, secure]);
    settings.proxy = Some(
        format!("http://me:hush@{}", proxy.address)
            .parse()
            .expect("a proxy"),
    );
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/authority.pem");
    settings.extra_authorities = Some(std::fs::read(authority).expect("pem"));
    let engine = engine(settings);
    for url in [plain.url(), format!("https://{secure}")] {
        let (manifest, _) = sync(&engine, &request(&url, json!({ "path": "/x" }))).await;
        let why = format!("{url}: {} {}", code(&manifest), message(&manifest));
        assert_eq!(manifest.outcome, "complete", "{why}");
    }
    let heads = proxy.heads();
    assert!(
        heads[0].starts_with(&format!("GET {}/x HTTP/1.1", plain.url())),
        "{heads:?}"
    );
    assert!(
        heads[1].starts_with(&format!("CONNECT {secure} HTTP/1.1")),
        "{heads:?}"
    );
    for head in &heads {
        assert!(
            head.to_ascii_lowercase()
                .contains("proxy-authorization: basic "),
            "{head}"
        );
    }
    let asked = plain.asked();
    assert!(asked[0].header("proxy-authorization").is_none());
}

#[tokio::test]
async fn what_the_guard_refuses_never_reaches_the_proxy() {
    let proxy = SmallProxy::start().await;
    let through = Some(
        format!("http://{}", proxy.address)
            .parse()
            .expect("a proxy"),
    );
    let mut settings = config(&[]);
    settings.proxy.clone_from(&through);
    let engine = support::engine(settings);
    let (manifest, _) = sync(
        &engine,
        &request("http://10.0.0.1", json!({ "path": "/x" })),
    )
    .await;
    assert_eq!(code(&manifest), "egress.address_forbidden");

    // A public name behind which a private address stands.
    let mut settings = config(&[]);
    settings.proxy = through;
    settings.guard.resolver = Arc::new(Everything(IpAddr::from([169, 254, 169, 254])));
    let (manifest, _) = sync(
        &support::engine(settings),
        &request("https://api.example.com", json!({ "path": "/x" })),
    )
    .await;
    assert_eq!(
        code(&manifest),
        "egress.address_forbidden",
        "{}",
        message(&manifest)
    );
    assert!(proxy.heads().is_empty(), "{:?}", proxy.heads());
}

#[tokio::test]
async fn a_public_name_is_judged_here_and_connected_by_the_proxy() {
    let proxy = SmallProxy::start().await;
    let stub = Stub::start(|_| ok("[1]")).await;
    let mut settings = config(&[]);
    settings.guard.ports = vec![stub.address.port()];
    settings.guard.resolver = Arc::new(Everything(IpAddr::from([93, 184, 216, 34])));
    settings.proxy = Some(
        format!("http://{}", proxy.address)
            .parse()
            .expect("a proxy"),
    );
    let url = format!("http://api.example.com:{}", stub.address.port());
    let (manifest, _) = sync(
        &support::engine(settings),
        &request(&url, json!({ "path": "/x" })),
    )
    .await;
    assert_eq!(manifest.outcome, "complete", "{}", message(&manifest));
    assert_eq!(stub.connections(), 1);
}

//! A small API of a test's own: what stands on the shelf is what it answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// An HTTP server whose answers a test puts there and changes; it ends with the value.
pub struct Shelf {
    address: String,
    answers: Arc<Mutex<HashMap<String, String>>>,
    serving: JoinHandle<()>,
}

impl Shelf {
    /// Starts an empty one on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let answers: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let shared = Arc::clone(&answers);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared)));
            }
        });
        Self {
            address,
            answers,
            serving,
        }
    }

    /// Host and port, as `--allow-host` takes them.
    pub fn host(&self) -> String {
        self.address.clone()
    }

    /// Where paths are below.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers requests of this path (with its query, where it has one) with `body` from now on.
    pub fn put(&self, path: &str, body: &Value) {
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path.to_owned(), body.to_string());
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers the requests of one connection until it is closed.
async fn answer(mut stream: TcpStream, answers: Arc<Mutex<HashMap<String, String>>>) {
    let mut read = Vec::new();
    let mut part = [0; 4096];
    loop {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else {
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => return,
                Ok(count) => read.extend_from_slice(&part[..count]),
            }
            continue;
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        read.drain(..end + 4);
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let path = target.split('?').next().unwrap_or_default();
        let body = {
            let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.get(&target).or_else(|| answers.get(path)).cloned()
        };
        let (status, body) =
            body.map_or(("404 Not Found", "{}".to_owned()), |body| ("200 OK", body));
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

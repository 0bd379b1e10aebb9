//! Who messages are sent to in tests: an HTTP receiver and a mail server that keep what they get.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// One POST that came.
#[derive(Clone, Debug)]
pub struct Posted {
    /// The path.
    pub path: String,
    /// Headers, their names in lower case.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: String,
}

/// An HTTP receiver that answers what it is told, then 200.
pub struct Hook {
    /// `127.0.0.1:PORT`
    pub address: String,
    posted: Arc<Mutex<Vec<Posted>>>,
    answers: Arc<Mutex<Vec<u16>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Hook {
    /// Listens on a free port.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("it listens").to_string();
        let posted: Arc<Mutex<Vec<Posted>>> = Arc::default();
        let answers: Arc<Mutex<Vec<u16>>> = Arc::default();
        let (into, from) = (posted.clone(), answers.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (into, from) = (into.clone(), from.clone());
                tokio::spawn(async move { answer(stream, &into, &from).await });
            }
        });
        Self {
            address,
            posted,
            answers,
            task,
        }
    }

    /// Answers the next requests with these statuses.
    pub fn answer_with(&self, statuses: &[u16]) {
        let mut answers = self.answers.lock().expect("nobody panics meanwhile");
        *answers = statuses.iter().rev().copied().collect();
    }

    /// Everything that came so far.
    pub fn all(&self) -> Vec<Posted> {
        self.posted.lock().expect("nobody panics meanwhile").clone()
    }

    /// Waits until so many came.
    pub async fn wait_for(&self, count: usize) -> Vec<Posted> {
        crate::eventually("messages posted", || async {
            let all = self.all();
            (all.len() >= count).then_some(all)
        })
        .await
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(stream: TcpStream, into: &Mutex<Vec<Posted>>, from: &Mutex<Vec<u16>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 || line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.insert(name.to_lowercase(), value.trim().to_owned());
            }
        }
        let length = headers
            .get("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        let status = from.lock().expect("nobody panics meanwhile").pop();
        into.lock().expect("nobody panics meanwhile").push(Posted {
            path,
            headers,
            body,
        });
        let status = status.unwrap_or(200);
        let said = format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\n\r\n");
        if stream.write_all(said.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A mail server on this host that takes everything.
pub struct Mailbox {
    /// `127.0.0.1:PORT`
    pub address: String,
    mails: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Mailbox {
    /// Listens on a free port.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("it listens").to_string();
        let mails: Arc<Mutex<Vec<String>>> = Arc::default();
        let into = mails.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let into = into.clone();
                tokio::spawn(async move {
                    let _ = take_mail(stream, &into).await;
                });
            }
        });
        Self {
            address,
            mails,
            task,
        }
    }

    /// Everything that came so far, each with its envelope before it.
    pub fn all(&self) -> Vec<String> {
        self.mails.lock().expect("nobody panics meanwhile").clone()
    }

    /// Waits until so many came.
    pub async fn wait_for(&self, count: usize) -> Vec<String> {
        crate::eventually("mails taken", || async {
            let all = self.all();
            (all.len() >= count).then_some(all)
        })
        .await
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Speaks as much SMTP (RFC 5321) as a sender needs.
async fn take_mail(stream: TcpStream, into: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 test.invalid ready\r\n").await?;
    let mut mail = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb = line
            .split([' ', '\r'])
            .next()
            .unwrap_or_default()
            .to_uppercase();
        let said: &[u8] = match verb.as_str() {
            "EHLO" => b"250-test.invalid\r\n250 8BITMIME\r\n",
            "MAIL" | "RCPT" => {
                mail.push_str(&line);
                b"250 fine\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await? == 0 {
                        return Ok(());
                    }
                    if line == ".\r\n" {
                        break;
                    }
                    mail.push_str(&line);
                }
                into.lock()
                    .expect("nobody panics meanwhile")
                    .push(std::mem::take(&mut mail));
                b"250 taken\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            _ => b"502 what\r\n",
        };
        stream.write_all(said).await?;
    }
}

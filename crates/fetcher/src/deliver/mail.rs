//! Mail by the operator's own server, at an address that the guard has judged.

use definition::Email;
use lettre::Message;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::extension::ClientId;
use serde_json::Value;
use service::Secret;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;
use url::Url;
use wire::Delivery as Order;
use wire::delivery::Fate;

use super::{Tried, digest};
use crate::sync_run::Engine;

/// From the call to the server's word that it has the message: servers scan mail for seconds.
const PATIENCE: Duration = Duration::from_mins(1);
/// Networks answer in milliseconds.
const CONNECT: Duration = Duration::from_secs(10);

/// The mail server that an operator sends through.
#[derive(Debug, Clone)]
pub struct MailServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub security: Security,
    /// Who sends, as the server knows them.
    pub username: Option<String>,
    /// What proves it.
    pub password: Option<Secret>,
    /// What stands as the sender: `alerts@example.com`, or `Tidemark <alerts@example.com>`.
    pub from: String,
}

/// How a connection to a mail server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (`smtps://`).
    Tls,
    /// TLS after a greeting, or nothing is sent (`smtp://`).
    StartTls,
    /// None (`smtp://…?tls=none`): for a relay on the same host.
    None,
}

/// Why a mail server's address cannot be used. Never says a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailServerError {
    /// Not of the form that is read.
    #[error(
        "is no mail server: write smtps://user@mail.example.com, smtp://user@mail.example.com:587 or smtp://relay:25?tls=none"
    )]
    Address,
    /// A password in the address.
    #[error(
        "holds a password, which others could read: put it into TIDEMARK_SMTP_PASSWORD or a file"
    )]
    Password,
    /// The sender is no mail address.
    #[error("`{0}` is no sender such as `Tidemark <alerts@example.com>`")]
    From(String),
    /// A password without a name.
    #[error("a password needs a user: write smtps://user@mail.example.com")]
    User,
}

impl MailServer {
    /// Reads a server's address, with its password and the sender.
    pub fn parse(url: &str, password: Option<Secret>, from: &str) -> Result<Self, MailServerError> {
        let url = Url::parse(url).map_err(|_| MailServerError::Address)?;
        if url.password().is_some() {
            return Err(MailServerError::Password);
        }
        let (security, port) = match (url.scheme(), url.query()) {
            ("smtps", None) => (Security::Tls, 465),
            ("smtp", None) => (Security::StartTls, 587),
            ("smtp", Some("tls=none")) => (Security::None, 25),
            _ => return Err(MailServerError::Address),
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        if host.is_empty() || !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(MailServerError::Address);
        }
        Mailbox::from_str(from).map_err(|_| MailServerError::From(from.to_owned()))?;
        let username = decoded(url.username());
        if password.is_some() && username.is_none() {
            return Err(MailServerError::User);
        }
        Ok(MailServer {
            host,
            port: url.port().unwrap_or(port),
            security,
            username,
            password,
            from: from.to_owned(),
        })
    }
}

/// The user of an address, with `%40` as `@`.
fn decoded(username: &str) -> Option<String> {
    if username.is_empty() {
        return None;
    }
    let pair = format!("u={}", username.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
}

impl Engine {
    /// Sends a mail once.
    pub(super) async fn mail(&self, order: &Order, email: &Email, content: &Value) -> Tried {
        let Some(server) = &self.config.mail else {
            let error = "no mail server is set: start the fetchers with --smtp and --smtp-from";
            return Tried::failed(Fate::Dead, error);
        };
        let message = match compose(server, order, email, content) {
            Ok(message) => message,
            Err(error) => return Tried::failed(Fate::Dead, error),
        };
        let sending = Box::pin(self.hand_over(server, &message));
        match tokio::time::timeout(PATIENCE, sending).await {
            Ok(tried) => tried,
            Err(_) => Tried::failed(
                Fate::Again,
                format!("the mail server took longer than {} s", PATIENCE.as_secs()),
            ),
        }
    }

    async fn hand_over(&self, server: &MailServer, message: &Message) -> Tried {
        let addresses = match self
            .http
            .guard()
            .mail_server(&server.host, server.port)
            .await
        {
            Ok(addresses) => addresses,
            Err(refusal) => {
                // The operator opens it; until then every message would only tell the same.
                return Tried::failed(Fate::Again, format!("the mail server: {refusal}"));
            }
        };
        let mut last = Tried::failed(Fate::Again, "the mail server has no address");
        for address in addresses {
            match self.converse(server, address, message).await {
                Ok(code) => return Tried::sent(code),
                Err(tried) if tried.status.is_some() => return tried,
                Err(tried) => last = tried,
            }
        }
        last
    }

    async fn converse(
        &self,
        server: &MailServer,
        address: SocketAddr,
        message: &Message,
    ) -> Result<u32, Tried> {
        let hello = ClientId::Domain("tidemark.invalid".to_owned());
        let tls = match server.security {
            Security::None => None,
            Security::Tls | Security::StartTls => Some(self.tls(&server.host)?),
        };
        let (at_once, later) = match server.security {
            Security::Tls => (tls, None),
            Security::StartTls | Security::None => (None, tls),
        };
        let connecting =
            AsyncSmtpConnection::connect_tokio1(address, Some(CONNECT), &hello, at_once, None);
        let mut connection = connecting.await.map_err(|error| failed(&error))?;
        if let Some(tls) = later {
            if !connection.can_starttls() {
                let error = "the mail server offers no STARTTLS; write smtps://, or ?tls=none for a relay of your own";
                return Err(Tried::failed(Fate::Again, error));
            }
            connection
                .starttls(tls, &hello)
                .await
                .map_err(|error| failed(&error))?;
        }
        if let (Some(username), Some(password)) = (&server.username, &server.password) {
            let credentials = Credentials::new(username.clone(), password.expose().to_owned());
            connection
                .auth(&[Mechanism::Plain, Mechanism::Login], &credentials)
                .await
                .map_err(|error| failed(&error))?;
        }
        let response = connection
            .send(message.envelope(), &message.formatted())
            .await
            .map_err(|error| failed(&error))?;
        let code = u16::from(response.code());
        // It has the message: how it says good-bye does not matter.
        let _ = connection.quit().await;
        Ok(u32::from(code))
    }

    fn tls(&self, host: &str) -> Result<TlsParameters, Tried> {
        let mut builder: TlsParametersBuilder = TlsParameters::builder(host.to_owned());
        if let Some(pem) = &self.config.extra_authorities
            && let Ok(certificate) = Certificate::from_pem(pem)
        {
            builder = builder.add_root_certificate(certificate);
        }
        builder
            .build()
            .map_err(|error| Tried::failed(Fate::Again, format!("TLS cannot be set up: {error}")))
    }
}

/// What a failure means: 5xx is the server's last word, but for what only the operator can cure.
fn failed(error: &lettre::transport::smtp::Error) -> Tried {
    let status = error.status().map(u16::from);
    let refused_login = matches!(status, Some(530 | 534 | 535 | 538));
    let fate = if error.is_permanent() && !refused_login {
        Fate::Dead
    } else {
        Fate::Again
    };
    Tried {
        status: status.map(u32::from),
        ..Tried::failed(fate, format!("the mail server: {error}"))
    }
}

fn compose(
    server: &MailServer,
    order: &Order,
    email: &Email,
    content: &Value,
) -> Result<Message, String> {
    let from = Mailbox::from_str(&server.from).map_err(|error| format!("its sender: {error}"))?;
    let domain = from.email.domain().to_owned();
    // One identity however often it is sent: mailboxes show it once.
    let id = format!("<{}.{}@{domain}>", order.workspace, order.id);
    let mut builder = Message::builder()
        .from(from)
        .message_id(Some(id))
        .subject(digest::subject(content));
    for to in &email.to {
        let to = Mailbox::from_str(to).map_err(|_| format!("`{to}` is no mail address"))?;
        builder = builder.to(to);
    }
    let part = |kind: ContentType, text: String| SinglePart::builder().header(kind).body(text);
    let body = MultiPart::alternative()
        .singlepart(part(ContentType::TEXT_PLAIN, digest::text(content)))
        .singlepart(part(ContentType::TEXT_HTML, digest::html(content)));
    builder
        .multipart(body)
        .map_err(|error| format!("it cannot be composed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<MailServer, MailServerError> {
        MailServer::parse(url, None, "Tidemark <alerts@example.com>")
    }

    #[test]
    fn addresses_say_how_the_connection_is_secured() {
        let tls = parse("smtps://mail.example.com").unwrap();
        assert_eq!((tls.port, tls.security), (465, Security::Tls));
        let start = parse("smtp://me%40example.com@mail.example.com:2525").unwrap();
        assert_eq!((start.port, start.security), (2525, Security::StartTls));
        assert_eq!(start.username.as_deref(), Some("me@example.com"));
        let none = parse("smtp://127.0.0.1:25?tls=none").unwrap();
        assert_eq!(none.security, Security::None);
    }

    #[test]
    fn what_is_no_server_is_refused_without_its_password() {
        for wrong in [
            "mail.example.com",
            "http://mail.example.com",
            "smtp://mail.example.com?tls=maybe",
            "smtp://mail.example.com/inbox",
            "smtps://",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let error = parse("smtps://me:hunter2@mail.example.com").unwrap_err();
        assert_eq!(error, MailServerError::Password);
        assert!(!error.to_string().contains("hunter2"));
        let from = MailServer::parse("smtps://a.example.com", None, "nobody");
        assert_eq!(from.unwrap_err(), MailServerError::From("nobody".into()));
    }
}

//! Redeems what a person's consent came back with: a code and its proof in, a sealed refresh token out.

use std::sync::Arc;

use bus::{Ask, Bus};
use bytes::Bytes;
use definition::Connection;
use definition::template::Scope;
use jiff::tz::TimeZone;
use secrecy::{ExposeSecret as _, SecretString};
use service::{SealedSecret, Secret, Shutdown};
use wire::connection::{CONSENT, VERIFIER};
use wire::message;
use wire::{ConsentGiven, ConsentRedeemed, RunError};

use crate::auth::{Access, Code, SecretFault, TokenFault};
use crate::error::PageError;
use crate::plan::document;
use crate::redact::Redactor;
use crate::sync_run::Engine;

/// Each consent goes to one fetcher.
const GROUP: &str = "fetcher";
/// Persons who consent at the same moment.
const AT_ONCE: usize = 4;

/// Answers until shutdown.
pub(crate) async fn serve(engine: &Arc<Engine>, bus: &Bus, stop: &Shutdown) {
    let engine = engine.clone();
    let handler = move |ask: Ask| {
        let engine = engine.clone();
        async move {
            let redeemed = match message::decode::<ConsentGiven>(&ask.subject, &ask.payload) {
                Ok(given) => engine.redeem_consent(&given).await,
                Err(malformed) => {
                    let error = PageError::Request(malformed.message);
                    refused(&ask.workspace, &error, &Redactor::default())
                }
            };
            message::encode(&redeemed)
                .map(Bytes::from)
                .unwrap_or_default()
        }
    };
    let filter = wire::subject::filter::connection_consents();
    bus.serve(&filter, GROUP, AT_ONCE, stop.token(), handler)
        .await;
}

impl Engine {
    /// Asks the token server, and seals what it gave for where it may be sent.
    pub async fn redeem_consent(&self, given: &ConsentGiven) -> ConsentRedeemed {
        let workspace = &given.workspace;
        let opened = self.open_consent(given);
        let (access, code, name) = match opened {
            Ok(opened) => opened,
            Err(error) => return refused(workspace, &error, &Redactor::default()),
        };
        let redactor = access.redactor();
        let tokens = match self.tokens.redeemed(&access, &code).await {
            Ok(tokens) => tokens,
            Err(fault) => return refused(workspace, &fault.into(), &redactor),
        };
        // Where a server gives none, its access token lasts, and is kept as what it is.
        let value = match &tokens.refresh_token {
            Some(token) => token.expose().to_owned(),
            None => serde_json::json!({ "access_token": tokens.access_token.expose() }).to_string(),
        };
        let secret = SealedSecret {
            workspace: workspace.clone(),
            name: name.clone(),
            version: given.version,
            origins: given.origins.clone(),
            value: SecretString::from(value),
        };
        let sealed = self
            .identities()
            .first()
            .and_then(|identity| service::seal(&identity.recipient(), &secret).ok());
        let Some(sealed) = sealed else {
            let fault = TokenFault::Unfit("this fetcher has no identity".to_owned());
            return refused(workspace, &fault.into(), &redactor);
        };
        ConsentRedeemed {
            workspace: workspace.clone(),
            secret: Some(wire::SealedSecret {
                name,
                version: given.version,
                sealed,
                origins: given.origins.clone(),
            }),
            error: None,
        }
    }

    fn open_consent(&self, given: &ConsentGiven) -> Result<(Access, Code, String), PageError> {
        let unusable = |what: &str| PageError::Request(what.to_owned());
        let connection = Connection::from_document(&document(given.connection.as_ref()))
            .map_err(|_| unusable("its connection cannot be read"))?;
        let name = connection
            .auth
            .consent()
            .ok_or_else(|| unusable("its connection takes no consent"))?
            .to_string();
        let scope = Scope {
            window: None,
            now: self.clock.now(),
            zone: TimeZone::UTC,
            connection: connection.constants(),
            parent: None,
        };
        let access = Access::open_for_consent(
            &given.workspace,
            &connection,
            &given.secrets,
            self.identities(),
            &scope,
        )?;
        let open = |name: &str, sealed: Option<&wire::SealedSecret>| {
            let closed = || SecretFault::Closed(name.to_owned());
            let sealed = sealed.ok_or_else(closed)?;
            let opened = service::open(self.identities(), &sealed.sealed).map_err(|_| closed())?;
            if opened.workspace == given.workspace && opened.name == name {
                Ok(Secret::new(opened.value.expose_secret()))
            } else {
                Err(closed())
            }
        };
        let verifier = given.secrets.iter().find(|sealed| sealed.name == VERIFIER);
        let code = Code {
            code: open(CONSENT, given.consent.as_ref())?,
            verifier: open(VERIFIER, verifier)?,
            redirect_url: given.redirect_url.clone(),
        };
        Ok((access, code, name))
    }
}

fn refused(workspace: &str, error: &PageError, redactor: &Redactor) -> ConsentRedeemed {
    ConsentRedeemed {
        workspace: workspace.to_owned(),
        secret: None,
        error: Some(RunError {
            code: error.code().to_owned(),
            message: redactor.text(&error.to_string()).into_owned(),
            status: error.http_status().map(u32::from),
            page: None,
            excerpt: redactor.text(error.excerpt()).into_owned(),
        }),
    }
}

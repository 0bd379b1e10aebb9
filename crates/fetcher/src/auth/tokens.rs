//! The tokens of all connections: kept in memory, shared among replicas, renewed by one at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use definition::{Auth, Grant, Login, OAuth2};
use jiff::Timestamp;
use service::{Clock, Identity, Secret};
use tokio_util::task::TaskTracker;

use super::lease::Lease;
use super::oauth2::{Code, Given, Offer};
use super::shared::Shared;
use super::{Access, TokenFault, login, oauth2};
use crate::http::{Answer, Http, Outgoing};

/// Connections beyond this count are forgotten; what is shared stays.
const MOST: usize = 4096;

/// How long is waited for what.
#[derive(Debug, Clone)]
pub struct Patience {
    /// A token server or login that takes longer is not well.
    pub exchange: Duration,
    /// A lease on a connection's token: longer than asking the store and the token server take together.
    pub lease: Duration,
    /// How long another fetcher is waited for; the run tries again later.
    pub busy: Duration,
    /// How long it is tried to keep a rotated refresh token.
    pub keep: Duration,
    /// A token that was refused is not asked for again so soon: accounts are locked by that.
    pub refusal: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            exchange: Duration::from_secs(30),
            lease: Duration::from_mins(1),
            busy: Duration::from_secs(40),
            keep: Duration::from_mins(10),
            refusal: Duration::from_secs(30),
        }
    }
}

/// An access or session token, ready to be put on requests. Prints as `***`.
#[derive(Debug, Clone)]
pub struct Token {
    pub(super) value: Secret,
    pub(super) fingerprint: String,
    /// The refresh token it was given for, or that came with it.
    pub(super) refresh_version: i64,
    pub(super) expires_at: Option<Timestamp>,
}

impl Token {
    /// The text.
    pub fn value(&self) -> &Secret {
        &self.value
    }

    /// Whether it was given for the credentials of `access` and holds for a while yet.
    pub(super) fn fits(&self, access: &Access, now: Timestamp) -> bool {
        self.fingerprint == access.fingerprint()
            && self.refresh_version >= access.refresh_version()
            && self.expires_at.is_none_or(|end| now < end)
    }

    fn is(&self, other: Option<&Token>) -> bool {
        other.is_some_and(|other| other.value.expose() == self.value.expose())
    }
}

/// What this process knows of one connection.
#[derive(Default)]
struct Slot {
    token: Option<Token>,
    /// A refusal, for which credentials, and until when it is believed.
    refusal: Option<(TokenFault, String, i64, Timestamp)>,
}

type Slots = HashMap<(String, String), Arc<tokio::sync::Mutex<Slot>>>;

/// Gets tokens and keeps them. One for a process.
pub struct Tokens {
    pub(super) http: Arc<Http>,
    pub(super) clock: Clock,
    pub(super) identities: Arc<[Identity]>,
    pub(super) shared: Option<Shared>,
    pub(super) patience: Patience,
    slots: Mutex<Slots>,
    renewals: TaskTracker,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// Makes a keeper; without `shared` it knows nothing of other fetchers and keeps no rotated refresh token.
    pub fn new(
        http: Arc<Http>,
        clock: Clock,
        identities: Arc<[Identity]>,
        shared: Option<Shared>,
        patience: Patience,
    ) -> Arc<Self> {
        Arc::new(Tokens {
            http,
            clock,
            identities,
            shared,
            patience,
            slots: Mutex::default(),
            renewals: TaskTracker::new(),
        })
    }

    /// Returns a token for `access` that is not `refused`, asking for one where none is known.
    ///
    /// However many ask at the same time, one renews, here and over all replicas. A renewal that has begun goes on
    /// when nobody waits for it any more: a refresh token that was handed in must not be lost.
    pub async fn token(
        self: &Arc<Self>,
        access: &Arc<Access>,
        refused: Option<&Token>,
    ) -> Result<Token, TokenFault> {
        let mut slot = self
            .slot(access.workspace(), access.connection())
            .lock_owned()
            .await;
        let now = self.clock.now();
        if let Some(token) = &slot.token
            && token.fits(access, now)
            && !token.is(refused)
        {
            access.redactor().learn(&token.value);
            return Ok(token.clone());
        }
        if let Some((fault, fingerprint, version, until)) = &slot.refusal
            && fingerprint == access.fingerprint()
            && *version >= access.refresh_version()
            && now < *until
        {
            return Err(fault.clone());
        }
        let (tokens, access, refused) = (self.clone(), access.clone(), refused.cloned());
        let renewal = self.renewals.spawn(async move {
            let made = tokens.renewed(&access, refused.as_ref()).await;
            match &made {
                Ok(token) => {
                    access.redactor().learn(&token.value);
                    *slot = Slot {
                        token: Some(token.clone()),
                        refusal: None,
                    };
                }
                Err(fault) => {
                    let until = tokens.clock.now() + tokens.patience.refusal;
                    let version = access.refresh_version();
                    let about = (
                        fault.clone(),
                        access.fingerprint().to_owned(),
                        version,
                        until,
                    );
                    slot.refusal = fault.is_refusal().then_some(about);
                }
            }
            made
        });
        let patience = self.patience.busy + self.patience.exchange + self.patience.exchange / 2;
        match tokio::time::timeout(patience, renewal).await {
            Ok(Ok(made)) => made,
            Ok(Err(_)) => Err(TokenFault::Away("it broke off".to_owned())),
            Err(_) => Err(TokenFault::Away("it takes too long".to_owned())),
        }
    }

    /// Turns what a person's consent came back with into tokens.
    pub async fn redeemed(&self, access: &Access, code: &Code) -> Result<Given, TokenFault> {
        let Auth::OAuth2(oauth2) = access.auth() else {
            let reason = "the connection takes no consent";
            return Err(TokenFault::Unfit(reason.to_owned()));
        };
        access.redactor().learn(&code.code);
        access.redactor().learn(&code.verifier);
        self.exchange(access, oauth2, &Offer::Code(code)).await
    }

    /// Waits until every renewal in hand has ended; none begins afterwards.
    pub async fn settle(&self) {
        self.renewals.close();
        self.renewals.wait().await;
    }

    fn slot(&self, workspace: &str, connection: &str) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        let key = (workspace.to_owned(), connection.to_owned());
        slots.entry(key).or_default().clone()
    }

    async fn renewed(&self, access: &Access, refused: Option<&Token>) -> Result<Token, TokenFault> {
        let usable = |token: &Token| token.fits(access, self.clock.now()) && !token.is(refused);
        let Some(shared) = &self.shared else {
            return self.made(access, None).await;
        };
        let began = tokio::time::Instant::now();
        loop {
            if let Some(token) = shared.access(access).await.filter(usable) {
                return Ok(token);
            }
            match Lease::take(shared, access, self.patience.lease).await {
                Ok(Some(mut lease)) => {
                    // Whoever held it before may just have renewed.
                    let found = shared.access(access).await.filter(usable);
                    let made = match found {
                        Some(token) => Ok(token),
                        None => self.made(access, Some((shared, &mut lease))).await,
                    };
                    lease.release().await;
                    return made;
                }
                Ok(None) if began.elapsed() > self.patience.busy => {
                    let reason = "another fetcher is renewing it";
                    return Err(TokenFault::Away(reason.to_owned()));
                }
                Ok(None) => {
                    let pause = Duration::from_millis(rand::random_range(100..300));
                    tokio::time::sleep(pause).await;
                }
                // A refresh token is never handed in without the lease; the rest is only asked for once too often.
                Err(error) if rotates(access) => {
                    return Err(TokenFault::Away(error.to_string()));
                }
                Err(error) => {
                    tracing::debug!(%error, "a token is renewed without telling the other fetchers");
                    return self.made(access, None).await;
                }
            }
        }
    }

    async fn made(
        &self,
        access: &Access,
        held: Option<(&Shared, &mut Lease<'_>)>,
    ) -> Result<Token, TokenFault> {
        let shared = held.as_ref().map(|(shared, _)| *shared);
        let token = match access.auth() {
            Auth::OAuth2(oauth2) => match oauth2.grant.refresh_token() {
                Some(name) => self.refreshed(access, oauth2, name.as_str(), held).await?,
                None => self.granted(access, oauth2).await?,
            },
            Auth::Login(login) => self.logged_in(access, login).await?,
            _ => return Err(TokenFault::Unfit("no token is needed".to_owned())),
        };
        if let Some(shared) = shared {
            shared.keep_access(access, &token, self.clock.now()).await;
        }
        Ok(token)
    }

    async fn granted(&self, access: &Access, oauth2: &OAuth2) -> Result<Token, TokenFault> {
        let given = self.exchange(access, oauth2, &Offer::Grant).await?;
        Ok(self.token_of(access, &given, 0))
    }

    async fn logged_in(&self, access: &Access, login: &Login) -> Result<Token, TokenFault> {
        let outgoing = login::request(access, login)?;
        let answer = self.send(access, &outgoing).await?;
        let now = self.clock.now();
        let given = login::read(login, &answer, &access.redactor(), now)?;
        Ok(self.token_of(access, &given, 0))
    }

    /// Asks the token server.
    pub(super) async fn exchange(
        &self,
        access: &Access,
        oauth2: &OAuth2,
        offer: &Offer<'_>,
    ) -> Result<Given, TokenFault> {
        let outgoing = oauth2::request(access, oauth2, offer, self.clock.now())?;
        let answer = self.send(access, &outgoing).await?;
        oauth2::read(&answer, &access.redactor(), self.clock.now())
    }

    async fn send(&self, access: &Access, outgoing: &Outgoing) -> Result<Answer, TokenFault> {
        let limit = self.patience.exchange;
        let sent = self.http.send(access.workspace(), outgoing);
        match tokio::time::timeout(limit, sent).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(TokenFault::Transport(crate::http::Failure::Timeout {
                what: "token",
                limit,
            })),
        }
    }

    pub(super) fn token_of(&self, access: &Access, given: &Given, refresh_version: i64) -> Token {
        Token {
            value: given.access_token.clone(),
            fingerprint: access.fingerprint().to_owned(),
            refresh_version,
            expires_at: given.expires_in.map(|span| {
                // Used a little shorter than it holds: requests take time, and clocks differ.
                let leeway = (span / 10).min(Duration::from_mins(1));
                self.clock.now() + span.saturating_sub(leeway)
            }),
        }
    }
}

/// Whether what is handed in may be worth nothing afterwards.
fn rotates(access: &Access) -> bool {
    match access.auth() {
        Auth::OAuth2(oauth2) => matches!(
            oauth2.grant,
            Grant::RefreshToken { .. } | Grant::AuthorizationCode { .. }
        ),
        _ => false,
    }
}

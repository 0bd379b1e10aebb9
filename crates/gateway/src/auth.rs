//! Who is asking, what they may do, and how often.
//!
//! A token is 32 random bytes; the store knows only its SHA-256. The text of a refusal is the same
//! for a token that never was, was revoked or has expired.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use rand::TryRngCore as _;
use sha2::{Digest as _, Sha256};
use store::{DEFAULT_WORKSPACE, Token};
use subtle::ConstantTimeEq as _;

use crate::config::Limits;
use crate::problem::Problem;
use crate::router::Gateway;

/// Every token begins with this, so that scanners of leaked secrets recognise it.
pub(crate) const TOKEN_PREFIX: &str = "tm_";

/// Tokens whose standing is remembered; past it the memory starts anew.
const REMEMBERED_TOKENS: usize = 10_000;

/// What a caller may do; each includes those before it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Reads definitions, series and runs.
    Viewer,
    /// Writes definitions and asks for syncs.
    Editor,
    /// Handles tokens, secrets and the audit trail.
    Admin,
    /// Does all that in every workspace.
    Operator,
}

impl Role {
    /// Returns the word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
            Self::Operator => "operator",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Viewer, Self::Editor, Self::Admin, Self::Operator]
            .into_iter()
            .find(|role| role.as_str() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Who is asking: the bearer of a living token.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Arc<Identity>);

/// What is known of a caller.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The workspace that everything asked for belongs to.
    pub(crate) workspace: String,
    /// The token's id, which the audit trail names.
    pub(crate) token: String,
    /// What the token's owner calls it.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) role: Role,
    /// When it stops to work, unix milliseconds.
    pub(crate) expires_at: Option<i64>,
    hash: [u8; 32],
}

impl std::ops::Deref for Caller {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        // Put there by `authorize`; a route without it has no caller.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(Problem::token_missing)
    }
}

/// Lets a request through to its route when its token is alive, has the role and is not too busy.
pub(crate) async fn authorize(
    State((gateway, needed)): State<(Gateway, Role)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let hash = presented(request.headers())?;
    let caller = gateway.tokens().standing(&gateway, &hash).await?;
    if caller.role < needed {
        return Err(Problem::role_missing(needed.as_str(), caller.role.as_str()));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn presented(headers: &HeaderMap) -> Result<[u8; 32], Problem> {
    /// Ours have 46 characters; longer ones are not hashed.
    const LONGEST: usize = 512;
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Err(Problem::token_missing());
    };
    let value = value.to_str().map_err(|_| Problem::token_invalid())?;
    let Some((scheme, token)) = value.split_once(' ') else {
        return Err(Problem::token_invalid());
    };
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > LONGEST {
        return Err(Problem::token_invalid());
    }
    Ok(hash(token))
}

/// Returns what the store keeps of a token.
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Returns a new token from the system's randomness.
pub fn generate() -> String {
    let mut bytes = [0_u8; 32];
    if rand::rngs::OsRng.try_fill_bytes(&mut bytes).is_err() {
        // Without a source of randomness nothing secret can be made; the process is of no use.
        std::process::abort();
    }
    format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// The tokens that were seen lately.
#[derive(Debug)]
pub(crate) struct Tokens {
    seen: Mutex<HashMap<[u8; 32], Seen>>,
    memory: Duration,
    pace: Pace,
}

#[derive(Debug)]
struct Seen {
    caller: Caller,
    checked: Instant,
    /// When the next request is due, nanoseconds after `Tokens::pace`'s start.
    busy_until: Arc<AtomicI64>,
}

/// How often one token may ask: a virtual schedule that may run ahead by the burst.
#[derive(Debug)]
struct Pace {
    start: Instant,
    interval: i64,
    tolerance: i64,
}

impl Tokens {
    /// Returns an empty memory with these bounds.
    pub(crate) fn new(limits: &Limits) -> Self {
        let interval = 1_000_000_000 / i64::from(limits.token_requests_per_second.max(1));
        Self {
            seen: Mutex::default(),
            memory: limits.token_memory,
            pace: Pace {
                start: Instant::now(),
                interval,
                tolerance: interval * i64::from(limits.token_request_burst.max(1)),
            },
        }
    }

    /// Returns who bears the token with this hash.
    async fn standing(&self, gateway: &Gateway, hash: &[u8; 32]) -> Result<Caller, Problem> {
        let now = gateway.context().clock.now().as_millisecond();
        if let Some((caller, busy_until)) = self.remembered(hash, now) {
            self.pace.admit(&busy_until)?;
            return Ok(caller);
        }
        let token = gateway.store().token_by_hash(hash, now).await?;
        let Some(token) = token else {
            self.forget_hash(hash);
            return Err(Problem::token_invalid());
        };
        let id = token.id.clone();
        let Some(caller) = caller(token, *hash) else {
            return Err(Problem::token_invalid());
        };
        let busy_until = self.remember(*hash, caller.clone());
        self.pace.admit(&busy_until)?;
        let store = gateway.store().clone();
        gateway.context().tasks.spawn("touch_token", async move {
            if let Err(error) = store.touch_token(&id, now).await {
                tracing::debug!(error = %error, "the last use of a token was not noted");
            }
        });
        Ok(caller)
    }

    fn remembered(&self, hash: &[u8; 32], now: i64) -> Option<(Caller, Arc<AtomicI64>)> {
        let seen = self.seen();
        let (known, entry) = seen.get_key_value(hash)?;
        // The map compares hashes, which tell nothing about the token; this is for the last doubt.
        let same: bool = known.ct_eq(hash).into();
        let fresh = entry.checked.elapsed() < self.memory
            && entry
                .caller
                .expires_at
                .is_none_or(|expires_at| expires_at > now);
        (same && fresh).then(|| (entry.caller.clone(), Arc::clone(&entry.busy_until)))
    }

    fn remember(&self, hash: [u8; 32], caller: Caller) -> Arc<AtomicI64> {
        let mut seen = self.seen();
        if seen.len() >= REMEMBERED_TOKENS && !seen.contains_key(&hash) {
            seen.clear();
        }
        let entry = seen.entry(hash).or_insert_with(|| Seen {
            caller: caller.clone(),
            checked: Instant::now(),
            busy_until: Arc::default(),
        });
        entry.caller = caller;
        entry.checked = Instant::now();
        Arc::clone(&entry.busy_until)
    }

    /// Tells whether a caller whose stream is still open may go on listening.
    ///
    /// While the store is away nobody is cut off.
    pub(crate) async fn is_alive(&self, gateway: &Gateway, caller: &Caller) -> bool {
        match self.standing(gateway, &caller.hash).await {
            Ok(_) => true,
            Err(problem) => problem.status() != StatusCode::UNAUTHORIZED,
        }
    }

    /// Forgets a token that was revoked here.
    pub(crate) fn forget(&self, id: &str) {
        self.seen().retain(|_, entry| entry.caller.token != id);
    }

    fn forget_hash(&self, hash: &[u8; 32]) {
        self.seen().remove(hash);
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<[u8; 32], Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn caller(token: Token, hash: [u8; 32]) -> Option<Caller> {
    let role = Role::parse(&token.role)?;
    Some(Caller(Arc::new(Identity {
        workspace: token
            .workspace
            .unwrap_or_else(|| DEFAULT_WORKSPACE.to_owned()),
        token: token.id,
        name: token.name,
        role,
        expires_at: token.expires_at,
        hash,
    })))
}

impl Pace {
    /// Counts one request, or says when the next may come.
    fn admit(&self, busy_until: &AtomicI64) -> Result<(), Problem> {
        let now = i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let mut due = busy_until.load(Ordering::Relaxed);
        loop {
            let next = due.max(now).saturating_add(self.interval);
            let ahead = next - now;
            if ahead > self.tolerance {
                let seconds =
                    u64::try_from((ahead - self.tolerance) / 1_000_000_000).unwrap_or(0) + 1;
                return Err(too_many(seconds));
            }
            match busy_until.compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(changed) => due = changed,
            }
        }
    }
}

fn too_many(seconds: u64) -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate.limited",
        "this token asks too often",
    )
    .detail(format!(
        "try again in {seconds} s; `/api/v1/updates` tells of changes without asking"
    ))
    .retry_after(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognisable_and_never_the_same() {
        let (one, other) = (generate(), generate());
        assert!(one.starts_with(TOKEN_PREFIX) && one.len() == 46, "{one}");
        assert_ne!(one, other);
    }

    #[test]
    fn roles_include_those_before_them() {
        assert!(
            Role::Viewer < Role::Editor
                && Role::Editor < Role::Admin
                && Role::Admin < Role::Operator
        );
        assert_eq!(Role::parse("editor"), Some(Role::Editor));
        assert_eq!(Role::parse("root"), None);
    }

    #[test]
    fn a_burst_is_taken_and_then_the_pace_counts() {
        let limits = Limits {
            token_requests_per_second: 1,
            token_request_burst: 3,
            ..Limits::default()
        };
        let tokens = Tokens::new(&limits);
        let busy_until = AtomicI64::default();
        let taken = (0..10)
            .filter(|_| tokens.pace.admit(&busy_until).is_ok())
            .count();
        assert_eq!(taken, 3);
        let refused = tokens.pace.admit(&busy_until).unwrap_err();
        assert_eq!(
            (refused.code(), refused.status().as_u16()),
            ("rate.limited", 429)
        );
    }
}

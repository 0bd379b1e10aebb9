//! Who may come in with a token: a token server with every grant, a login, and what they guard.
//!
//! `/oauth/token`, `/oauth/authorize` and `/session` give tokens; `/oauth/api/…` and `/session/api/…` are the generic
//! endpoints behind them. Refresh tokens are taken once: handing one in a second time ends all that came of it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::answer::Answer;
use crate::api::Asked;
use crate::query::Query;
use crate::random::Random;

/// The client that may ask for tokens; its secret is the configuration's.
pub const CLIENT: &str = "sample-client";
/// A refresh token that is good from the start, and replaced at each use.
pub const REFRESH: &str = "sample-refresh-token-0";
/// A refresh token that stays good.
pub const LASTING_REFRESH: &str = "sample-lasting-refresh-token";

const ASSERTION: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

#[derive(Debug)]
pub(crate) struct Door {
    secret: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: Random,
    /// How long access tokens hold.
    life: Duration,
    access: HashMap<String, Instant>,
    sessions: HashSet<String>,
    /// Refresh tokens that are good, and their families.
    refresh: HashMap<String, u64>,
    /// Refresh tokens that were handed in, and their families.
    used: HashMap<String, u64>,
    revoked: HashSet<u64>,
    codes: HashMap<String, Consent>,
    families: u64,
    given: u64,
    reused: u64,
    /// Assertions, in the order they were handed in.
    assertions: Vec<String>,
}

#[derive(Debug)]
struct Consent {
    challenge: String,
    redirect: String,
}

/// What becomes of a request at the door.
pub(crate) enum Passed {
    /// It is answered here.
    Answered(Answer),
    /// It may go on to this path.
    On(String),
}

impl Door {
    pub(crate) fn new(seed: u64, secret: &str) -> Self {
        Self {
            secret: secret.to_owned(),
            state: Mutex::new(State {
                random: Random::new(seed, "door"),
                life: Duration::from_hours(1),
                access: HashMap::new(),
                sessions: HashSet::new(),
                refresh: HashMap::from([(REFRESH.to_owned(), 0)]),
                used: HashMap::new(),
                revoked: HashSet::new(),
                codes: HashMap::new(),
                families: 1,
                given: 0,
                reused: 0,
                assertions: Vec::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes every access and session token worthless.
    pub(crate) fn revoke(&self) {
        let mut state = self.state();
        state.access.clear();
        state.sessions.clear();
    }

    /// Lets access tokens hold for so long from now on.
    pub(crate) fn set_life(&self, life: Duration) {
        self.state().life = life;
    }

    /// How many tokens were given, and how often a refresh token was handed in again.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.given, state.reused)
    }

    /// The assertions that were handed in.
    pub(crate) fn assertions(&self) -> Vec<String> {
        self.state().assertions.clone()
    }

    /// Tells whether a path belongs to the door.
    pub(crate) fn guards(path: &str) -> bool {
        path.starts_with("/oauth/") || path == "/session" || path.starts_with("/session/")
    }

    pub(crate) fn pass(&self, asked: &Asked<'_>) -> Passed {
        let is_post = asked.method == Method::POST;
        let answer = match asked.path {
            "/oauth/token" if is_post => self.token(asked),
            "/oauth/authorize" => self.authorize(asked),
            "/session" if is_post => self.login(asked),
            path => return self.guarded(path, asked),
        };
        Passed::Answered(answer)
    }

    fn guarded(&self, path: &str, asked: &Asked<'_>) -> Passed {
        let passed = |is_good: bool, rest: &str| {
            if is_good {
                return Passed::On(format!("/api/{rest}"));
            }
            let message = "The access token expired or is unknown";
            Passed::Answered(Answer::v4_error(StatusCode::UNAUTHORIZED, message))
        };
        let bearer = header(asked, "authorization").and_then(|text| text.strip_prefix("Bearer "));
        let state = self.state();
        if let Some(rest) = path.strip_prefix("/oauth/api/") {
            let token = bearer
                .or_else(|| header(asked, "x-access-token"))
                .or_else(|| asked.query.get("access_token"));
            let now = Instant::now();
            let good = token.and_then(|token| state.access.get(token));
            return passed(good.is_some_and(|end| now < *end), rest);
        }
        if let Some(rest) = path.strip_prefix("/session/api/") {
            let cookie = header(asked, "cookie").and_then(|text| text.strip_prefix("sid="));
            let token = header(asked, "x-session").or(cookie).or(bearer);
            let is_good = token.is_some_and(|token| state.sessions.contains(token));
            return passed(is_good, rest);
        }
        Passed::Answered(crate::api::not_found())
    }

    fn token(&self, asked: &Asked<'_>) -> Answer {
        let form = Query::parse(&String::from_utf8_lossy(asked.body));
        let field = |name: &str| form.get(name).unwrap_or_default().to_owned();
        let grant = field("grant_type");
        let pair = format!("{CLIENT}:{}", self.secret);
        let basic = format!("Basic {}", STANDARD.encode(pair));
        let is_client = header(asked, "authorization") == Some(&basic)
            || (field("client_id") == CLIENT && field("client_secret") == self.secret);
        // An assertion, and a code with its proof, speak for themselves.
        if !is_client && grant != ASSERTION && grant != "authorization_code" {
            let said = "the client is unknown, or its secret is wrong";
            return refusal(StatusCode::UNAUTHORIZED, "invalid_client", said);
        }
        let mut state = self.state();
        match grant.as_str() {
            "client_credentials" => state.give(None),
            "refresh_token" => state.refreshed(&field("refresh_token")),
            "authorization_code" => {
                let Some(consent) = state.codes.remove(&field("code")) else {
                    return invalid_grant("the code is unknown or was used");
                };
                let proof = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier")));
                if proof != consent.challenge || field("redirect_uri") != consent.redirect {
                    return invalid_grant("the proof or the address does not fit the code");
                }
                let family = state.families;
                state.families += 1;
                state.give(Some(family))
            }
            ASSERTION => {
                let assertion = field("assertion");
                let claims = assertion
                    .split('.')
                    .nth(1)
                    .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
                    .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
                let has = |name: &str| claims.as_ref().is_some_and(|c| !c[name].is_null());
                if !["iss", "sub", "aud", "iat", "exp"].into_iter().all(has) {
                    return invalid_grant("the assertion lacks a claim");
                }
                state.assertions.push(assertion);
                state.give(None)
            }
            _ => refusal(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "known are client_credentials, refresh_token, authorization_code and jwt-bearer",
            ),
        }
    }

    fn authorize(&self, asked: &Asked<'_>) -> Answer {
        let field = |name: &str| asked.query.get(name).unwrap_or_default();
        let redirect = field("redirect_uri");
        let fits = field("response_type") == "code"
            && field("client_id") == CLIENT
            && field("code_challenge_method") == "S256"
            && redirect.starts_with("http");
        if !fits {
            return refusal(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "response_type, client_id, code_challenge_method or redirect_uri is wrong",
            );
        }
        let state = field("state");
        let came = if field("deny").is_empty() {
            let mut inside = self.state();
            let code = inside.text("code");
            let consent = Consent {
                challenge: field("code_challenge").to_owned(),
                redirect: redirect.to_owned(),
            };
            inside.codes.insert(code.clone(), consent);
            format!("code={code}")
        } else {
            "error=access_denied".to_owned()
        };
        let joint = if redirect.contains('?') { '&' } else { '?' };
        Answer::of(StatusCode::FOUND, "")
            .header("location", format!("{redirect}{joint}{came}&state={state}"))
    }

    fn login(&self, asked: &Asked<'_>) -> Answer {
        let text = String::from_utf8_lossy(asked.body);
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let form = Query::parse(&text);
        let user = body["user"]["name"].as_str().or_else(|| form.get("user"));
        let password = body["user"]["password"]
            .as_str()
            .or_else(|| form.get("password"));
        let basic = format!(
            "Basic {}",
            STANDARD.encode(format!("sample:{}", self.secret))
        );
        let fits = (user == Some("sample") && password == Some(&self.secret))
            || header(asked, "authorization") == Some(&basic);
        if !fits {
            let said = "the user is unknown, or the password is wrong";
            return refusal(StatusCode::UNAUTHORIZED, "invalid_login", said);
        }
        let mut state = self.state();
        state.given += 1;
        let token = state.text("session");
        state.sessions.insert(token.clone());
        Answer::json(json!({ "session": { "token": token } }).to_string())
            .header("x-session", token.clone())
            .header("set-cookie", format!("sid={token}; Path=/; HttpOnly"))
    }
}

impl State {
    /// A text that nobody guesses and every run repeats.
    fn text(&mut self, kind: &str) -> String {
        format!("{kind}-{:016x}", self.random.next())
    }

    fn give(&mut self, family: Option<u64>) -> Answer {
        self.given += 1;
        let access = self.text("access");
        self.access
            .insert(access.clone(), Instant::now() + self.life);
        let mut answer = json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.life.as_secs(),
        });
        if let Some(family) = family {
            let refresh = self.text("refresh");
            self.refresh.insert(refresh.clone(), family);
            answer["refresh_token"] = json!(refresh);
        }
        Answer::json(answer.to_string())
    }

    fn refreshed(&mut self, token: &str) -> Answer {
        if token == LASTING_REFRESH {
            return self.give(None);
        }
        if let Some(family) = self.used.get(token).copied() {
            self.reused += 1;
            self.revoked.insert(family);
            return invalid_grant("the refresh token was used before; all that came of it is void");
        }
        match self.refresh.remove(token) {
            Some(family) if !self.revoked.contains(&family) => {
                self.used.insert(token.to_owned(), family);
                self.give(Some(family))
            }
            _ => invalid_grant("the refresh token is unknown or void"),
        }
    }
}

fn header<'a>(asked: &'a Asked<'_>, name: &str) -> Option<&'a str> {
    asked
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
}

fn invalid_grant(said: &str) -> Answer {
    refusal(StatusCode::BAD_REQUEST, "invalid_grant", said)
}

fn refusal(status: StatusCode, error: &str, said: &str) -> Answer {
    Answer::of(
        status,
        json!({ "error": error, "error_description": said }).to_string(),
    )
}

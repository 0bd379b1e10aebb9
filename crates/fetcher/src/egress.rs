//! The guard that decides which addresses a definition may reach: the one place, for requests, redirects,
//! next links and `tidemark check-url`.
//!
//! The text of a URL is checked first (form, scheme, names, literals, ports), the addresses behind its name after
//! resolution, and the client dials exactly the addresses that were checked. Everything that is not public is closed
//! unless the operator opened it by exact host and port or by network; metadata services stay closed whatever is written.

mod address;
mod allow;
mod allow_list;
mod follow;
mod text;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

pub use address::{Cidr, Tier, classify};
pub use allow::{Allow, AllowError};
pub use allow_list::{AllowList, AllowListError};
pub use follow::{Carry, REDIRECT_LIMIT, Redirect, bare, origin};
pub use text::URL_LIMIT;

/// Resolvers answer within milliseconds or not at all; a dead one must not hold a slot.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A host with more addresses than this is an attack or a mistake; real ones have a handful.
const ADDRESS_LIMIT: usize = 16;

/// Ports that APIs live on.
const USUAL_PORTS: [u16; 4] = [80, 443, 8080, 8443];

/// The future of a resolution.
pub type Resolving = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a name. Tests hand in their own; [`SystemResolver`] asks the operating system.
pub trait Resolver: Send + Sync {
    /// Resolves `name`, which is absolute when `scope` says so.
    fn resolve(&self, name: &str, scope: NameScope) -> Resolving;
}

/// Whether search domains may complete a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameScope {
    /// The name is whole: `nats.metrics` must not become `nats.metrics.svc.cluster.local`.
    Absolute,
    /// The operator wrote this name in the allow-list, so it may be a short one.
    AsWritten,
}

/// Asks the operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, name: &str, scope: NameScope) -> Resolving {
        let name = match scope {
            NameScope::Absolute => format!("{name}."),
            NameScope::AsWritten => name.to_owned(),
        };
        Box::pin(async move {
            Ok(tokio::net::lookup_host((name, 0))
                .await?
                .map(|found| found.ip())
                .collect())
        })
    }
}

/// What a guard is built from.
#[derive(Clone)]
pub struct GuardConfig {
    /// What the operator opened.
    pub allow: Vec<Allow>,
    /// What the operator opened in a file, as it is now.
    pub allow_list: Option<Arc<AllowList>>,
    /// What the operator closed beside the built-in tiers: the cluster's own networks.
    pub deny: Vec<Cidr>,
    /// Further ports that may be called on public hosts, beside 80, 443, 8080 and 8443.
    pub ports: Vec<u16>,
    /// How names become addresses.
    pub resolver: Arc<dyn Resolver>,
    /// How long a name may take to be resolved.
    pub resolve_within: Duration,
}

impl Default for GuardConfig {
    fn default() -> Self {
        GuardConfig {
            allow: Vec::new(),
            allow_list: None,
            deny: Vec::new(),
            ports: Vec::new(),
            resolver: Arc::new(SystemResolver),
            resolve_within: RESOLVE_TIMEOUT,
        }
    }
}

impl fmt::Debug for GuardConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardConfig")
            .field("allow", &self.allow)
            .field("allow_list", &self.allow_list)
            .field("deny", &self.deny)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// Decides what may be called. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard {
    config: Arc<GuardConfig>,
}

/// A URL whose text passed the guard. Its addresses are still to be checked ([`Guard::resolve`]).
#[derive(Clone, PartialEq, Eq)]
pub struct CheckedUrl {
    url: Url,
    host: Result<String, IpAddr>,
    port: u16,
}

impl CheckedUrl {
    /// The URL in its canonical form.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The port that is called.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Debug for CheckedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CheckedUrl").field(&bare(&self.url)).finish()
    }
}

/// The stable codes of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// No URL, or none with a scheme and a host.
    UrlInvalid,
    /// Longer than [`URL_LIMIT`].
    UrlTooLong,
    /// The text means something else than it shows.
    UrlNotCanonical,
    /// A path that climbs by encoded slashes.
    UrlPathTraversal,
    /// Neither http nor https.
    UrlScheme,
    /// Credentials inside the URL.
    UrlUserinfo,
    /// A port that is not open.
    UrlPort,
    /// A name of this host, the local network, the cluster, or a metadata service.
    NameForbidden,
    /// A closed address, written or resolved.
    AddressForbidden,
    /// The name has no address.
    DnsFailed,
    /// The resolver did not answer in time.
    DnsTimeout,
    /// A redirect that may not be followed.
    RedirectRefused,
    /// A next link to another origin or a refused address.
    OriginRefused,
    /// A next link to a page already fetched.
    PaginationLoop,
}

impl Code {
    /// The code as definitions, runs and messages spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::UrlInvalid => "definition.url_invalid",
            Code::UrlTooLong => "definition.url_too_long",
            Code::UrlNotCanonical => "definition.url_not_canonical",
            Code::UrlPathTraversal => "definition.url_path_traversal",
            Code::UrlScheme => "definition.url_scheme",
            Code::UrlUserinfo => "definition.url_userinfo",
            Code::UrlPort => "definition.url_port",
            Code::NameForbidden => "egress.name_forbidden",
            Code::AddressForbidden => "egress.address_forbidden",
            Code::DnsFailed => "egress.dns_failed",
            Code::DnsTimeout => "egress.dns_timeout",
            Code::RedirectRefused => "egress.redirect_refused",
            Code::OriginRefused => "pagination.origin_refused",
            Code::PaginationLoop => "pagination.loop",
        }
    }
}

/// Why an address may not be called, and what would open it. Says the same for open and closed ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// What was refused and why, without query strings.
    pub reason: String,
    /// The flag that opens it, where an operator may.
    pub cure: Option<String>,
    /// Whether the same question may be answered otherwise later (the resolver was away).
    pub retryable: bool,
}

impl Refusal {
    fn new(code: Code, reason: impl Into<String>) -> Self {
        let retryable = matches!(code, Code::DnsTimeout | Code::DnsFailed);
        Refusal {
            code,
            reason: reason.into(),
            cure: None,
            retryable,
        }
    }

    fn with_cure(mut self, cure: String) -> Self {
        self.cure = Some(cure);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match &self.cure {
            Some(cure) => write!(f, "; an operator may open it with {cure}"),
            None => Ok(()),
        }
    }
}

/// The answer of `tidemark check-url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The address may be called.
    Allowed,
    /// The address may not be called.
    Refused(Refusal),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Allowed => f.write_str("allowed"),
            Verdict::Refused(refusal) => {
                write!(f, "refused: {refusal} [{}]", refusal.code.as_str())
            }
        }
    }
}

/// Judges a URL by its text alone: nothing is resolved and nothing is contacted, so a public name counts as
/// allowed even though what it resolves to is judged again at the time of a request.
pub fn check_url(text: &str, allow: &[Allow]) -> Verdict {
    let guard = Guard::new(GuardConfig {
        allow: allow.to_vec(),
        ..GuardConfig::default()
    });
    match guard.check_text(text) {
        Ok(_) => Verdict::Allowed,
        Err(refusal) => Verdict::Refused(refusal),
    }
}

impl Guard {
    /// Builds a guard.
    pub fn new(config: GuardConfig) -> Self {
        Guard {
            config: Arc::new(config),
        }
    }

    /// Checks the text of a URL: canonical form, scheme, credentials, names, literal addresses, port. Does no I/O.
    pub fn check_text(&self, text: &str) -> Result<CheckedUrl, Refusal> {
        text::check(self, text, text::Source::Author)
    }

    /// Checks the text of a URL that an answer holds, whose path may lack percent-encoding.
    fn check_answered(&self, text: &str) -> Result<CheckedUrl, Refusal> {
        text::check(self, text, text::Source::Answer)
    }

    /// Resolves a checked URL and returns the addresses that may be dialled, in the resolver's order.
    ///
    /// Refused when *any* answer is closed, when there are more than 16, none, or no answer within 5 seconds.
    pub async fn resolve(&self, checked: &CheckedUrl) -> Result<Vec<SocketAddr>, Refusal> {
        let name = match &checked.host {
            Err(address) => return Ok(vec![SocketAddr::new(*address, checked.port)]),
            Ok(name) => name,
        };
        let opened = self.opens_host(name, checked.port);
        let scope = if opened {
            NameScope::AsWritten
        } else {
            NameScope::Absolute
        };
        let answers = match tokio::time::timeout(
            self.config.resolve_within,
            self.config.resolver.resolve(name, scope),
        )
        .await
        {
            Err(_) => {
                return Err(Refusal::new(
                    Code::DnsTimeout,
                    format!("`{name}` was not resolved in time"),
                ));
            }
            Ok(Err(_)) => {
                return Err(Refusal::new(
                    Code::DnsFailed,
                    format!("`{name}` could not be resolved"),
                ));
            }
            Ok(Ok(answers)) if answers.is_empty() => {
                return Err(Refusal::new(
                    Code::DnsFailed,
                    format!("`{name}` has no address"),
                ));
            }
            Ok(Ok(answers)) => answers,
        };
        if answers.len() > ADDRESS_LIMIT {
            let reason = format!("`{name}` has more than {ADDRESS_LIMIT} addresses");
            return Err(Refusal::new(Code::AddressForbidden, reason));
        }
        for address in &answers {
            self.check_address(*address, checked.port, Some(name))?;
            if !opened && !self.port_may_be_open(checked.port, Some(*address)) {
                let reason = format!("port {} of `{name}` is not open", checked.port);
                return Err(Refusal::new(Code::UrlPort, reason)
                    .with_cure(text::allow_flag(name, checked.port)));
            }
        }
        Ok(answers
            .into_iter()
            .map(|address| SocketAddr::new(address, checked.port))
            .collect())
    }

    /// Returns the addresses of the operator's own mail server that may be dialled.
    ///
    /// Its port is the operator's choice; its name and addresses are judged like all others.
    pub async fn mail_server(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Refusal> {
        let mut ports = self.config.ports.clone();
        ports.push(port);
        let guard = Guard::new(GuardConfig {
            ports,
            ..(*self.config).clone()
        });
        let checked = guard.check_text(&format!("http://{host}:{port}/"))?;
        guard.resolve(&checked).await
    }

    /// Judges a URL with its addresses, through the resolver this guard was given; contacts nothing else.
    pub async fn verdict(&self, text: &str) -> Verdict {
        let judged = match self.check_text(text) {
            Ok(checked) => self.resolve(&checked).await.map(|_| ()),
            Err(refusal) => Err(refusal),
        };
        judged.map_or_else(Verdict::Refused, |()| Verdict::Allowed)
    }

    /// Checks one address, `name` being what resolved to it.
    fn check_address(&self, address: IpAddr, port: u16, name: Option<&str>) -> Result<(), Refusal> {
        let denied = self
            .config
            .deny
            .iter()
            .any(|network| network.contains(address))
            .then_some(Tier::Denied);
        let Some(tier) = classify(address)
            .filter(|tier| *tier == Tier::Metadata)
            .or(denied)
            .or_else(|| classify(address))
        else {
            return Ok(());
        };
        let usual = self.is_usual(port);
        let opened = tier != Tier::Metadata
            && (self.any_opens(|entry| entry.opens_address(address, port, usual))
                || name.is_some_and(|name| self.opens_host(name, port)));
        if opened {
            return Ok(());
        }
        let shown = address.to_canonical().to_string();
        let reason = match name {
            Some(name) => format!("`{name}` resolves to {shown}, {}", tier.describe()),
            None => format!("{shown} is {}", tier.describe()),
        };
        let refusal = Refusal::new(Code::AddressForbidden, reason);
        // A metadata service has no cure, and an address that merely carries another one is not worth opening.
        Err(match tier {
            Tier::Metadata | Tier::Reserved => refusal,
            _ => refusal.with_cure(text::allow_flag(name.unwrap_or(&shown), port)),
        })
    }

    fn opens_host(&self, host: &str, port: u16) -> bool {
        self.any_opens(|entry| entry.opens_host(host, port))
    }

    /// Whether an entry of the flags or of the file says so.
    fn any_opens(&self, opens: impl Fn(&Allow) -> bool) -> bool {
        let listed = self.config.allow_list.as_ref().map(|list| list.entries());
        let listed = listed.as_deref().unwrap_or_default();
        self.config.allow.iter().chain(listed).any(opens)
    }

    /// Which policy this is: what was allowed under an older one is judged again.
    pub fn generation(&self) -> u64 {
        let list = self.config.allow_list.as_ref();
        list.map_or(0, |list| list.generation())
    }

    fn is_usual(&self, port: u16) -> bool {
        USUAL_PORTS.contains(&port) || self.config.ports.contains(&port)
    }

    /// Whether a port may be called at `address`, or at some address that is not known yet.
    fn port_may_be_open(&self, port: u16, address: Option<IpAddr>) -> bool {
        self.is_usual(port)
            || match address {
                Some(address) => self.any_opens(|entry| entry.opens_address(address, port, false)),
                None => self.any_opens(|entry| entry.may_open_port(port)),
            }
    }

    fn ports_text(&self) -> String {
        let all = USUAL_PORTS.iter().chain(&self.config.ports);
        all.map(u16::to_string).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests;

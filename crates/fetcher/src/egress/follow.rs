//! Where an answer may send us next: redirects and next links, decided without a socket.

use url::Url;

use super::{CheckedUrl, Code, Guard, Refusal};

/// Redirects beyond this count are a loop or a mistake.
pub const REDIRECT_LIMIT: usize = 5;

/// Nobody needs a longer `Location`.
const LOCATION_LIMIT: usize = 8 * 1024;

/// What goes along to the next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carry {
    /// Same origin: credentials and headers go along.
    Everything,
    /// Another origin: no credentials, no user headers, no credential parameters.
    Nothing,
}

/// A hop that may be followed.
#[derive(Debug, Clone)]
pub struct Redirect {
    /// The address to call next, checked like any other.
    pub to: CheckedUrl,
    /// What may go along.
    pub carry: Carry,
}

impl Guard {
    /// Decides whether a redirect may be followed; `visited` are the addresses of this request so far, the last one
    /// being where `location` came from.
    pub fn check_redirect(&self, visited: &[Url], location: &str) -> Result<Redirect, Refusal> {
        let refuse = |reason: String| Refusal::new(Code::RedirectRefused, reason);
        let Some(from) = visited.last() else {
            return Err(refuse("a redirect without a request".to_owned()));
        };
        if visited.len() > REDIRECT_LIMIT {
            return Err(refuse(format!(
                "more than {REDIRECT_LIMIT} redirects: {}",
                chain(visited)
            )));
        }
        if location.len() > LOCATION_LIMIT {
            return Err(refuse(format!(
                "the redirect's `Location` is longer than {LOCATION_LIMIT} bytes"
            )));
        }
        let to = self.join(from, location).map_err(|refusal| {
            let mut refused = refuse(format!(
                "the redirect leads to a refused address: {}",
                refusal.reason
            ));
            refused.retryable = refusal.retryable;
            refused.cure = refusal.cure;
            refused
        })?;
        if from.scheme() == "https" && to.url.scheme() == "http" {
            return Err(refuse("the redirect leads from https to http".to_owned()));
        }
        if visited.contains(&to.url) {
            return Err(refuse(format!(
                "the redirects go in a circle: {} → {}",
                chain(visited),
                bare(&to.url)
            )));
        }
        let carry = if to.url.origin() == from.origin() {
            Carry::Everything
        } else {
            Carry::Nothing
        };
        Ok(Redirect { to, carry })
    }

    /// Decides whether a next link may be followed: it stays on the origin of the page it came with (`page` is the
    /// final address of that page, after redirects) and does not lead to a page already seen.
    pub fn check_next_link(
        &self,
        page: &Url,
        link: &str,
        seen: &dyn Fn(&Url) -> bool,
    ) -> Result<Url, Refusal> {
        let next = self.join(page, link.trim()).map_err(|refusal| {
            Refusal::new(
                Code::OriginRefused,
                format!("the next link is refused: {}", refusal.reason),
            )
        })?;
        if next.url.origin() != page.origin() {
            let hint = if next.url.host() == page.host() {
                " (same host, other scheme or port: correct the connection's `base_url`)"
            } else {
                " (credentials never follow)"
            };
            return Err(Refusal::new(
                Code::OriginRefused,
                format!(
                    "the next link leads from {} to another origin, {}{hint}",
                    origin(page),
                    origin(&next.url)
                ),
            ));
        }
        if next.url == *page || seen(&next.url) {
            return Err(Refusal::new(
                Code::PaginationLoop,
                "the next link leads to a page that was already fetched",
            ));
        }
        Ok(next.url)
    }

    /// Resolves `reference` against `base` and checks the outcome by its text.
    fn join(&self, base: &Url, reference: &str) -> Result<CheckedUrl, Refusal> {
        if reference.chars().any(char::is_control) {
            return Err(Refusal::new(
                Code::UrlNotCanonical,
                "the link holds a control character",
            ));
        }
        let target = reference.split(['?', '#']).next().unwrap_or_default();
        if target.contains('\\') {
            return Err(Refusal::new(
                Code::UrlNotCanonical,
                "the link holds a backslash",
            ));
        }
        if has_scheme(reference) {
            return self.check_answered(reference);
        }
        if reference.starts_with("//") {
            return self.check_answered(&format!("{}:{reference}", base.scheme()));
        }
        let joined = base.join(reference).map_err(|error| {
            Refusal::new(Code::UrlInvalid, format!("the link is no URL: {error}"))
        })?;
        self.check_text(joined.as_str())
    }
}

fn has_scheme(reference: &str) -> bool {
    let head = reference.split(['/', '?', '#']).next().unwrap_or_default();
    head.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

/// An address without its query, which may hold credentials.
pub fn bare(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// `scheme://host` with the port where it is not the usual one.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn chain(visited: &[Url]) -> String {
    visited.iter().map(bare).collect::<Vec<_>>().join(" → ")
}

//! The one proxy that an operator may put between the fetcher and the world.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// An HTTP proxy (`--egress-proxy`). Its name and password are never shown.
#[derive(Clone)]
pub struct Proxy {
    url: Url,
}

/// An address that is no proxy.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}; write http://HOST:PORT or https://HOST:PORT, with USER:PASSWORD@ where it asks for them"
)]
pub struct ProxyError(&'static str);

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let url = Url::parse(text).map_err(|_| ProxyError("the proxy is no address"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ProxyError("a proxy is called by http or https"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(ProxyError("the proxy has no host"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(ProxyError("a proxy has no path"));
        }
        Ok(Self { url })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::egress::origin(&self.url))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl Proxy {
    /// Tells whether this is the proxy's own name.
    pub(super) fn is_host(&self, name: &str) -> bool {
        self.url
            .host_str()
            .is_some_and(|host| host.eq_ignore_ascii_case(name))
    }

    /// Returns what makes a client use it for everything.
    pub(super) fn rule(&self) -> Result<reqwest::Proxy, reqwest::Error> {
        reqwest::Proxy::all(self.url.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_strictly_and_keeps_its_password() {
        let proxy: Proxy = "http://me:hush@proxy.corp:3128".parse().expect("a proxy");
        let shown = format!("{proxy} {proxy:?}");
        assert!(
            shown.contains("proxy.corp:3128") && !shown.contains("hush"),
            "{shown}"
        );
        for wrong in [
            "proxy:3128",
            "socks5://proxy:1080",
            "http://",
            "http://p/x",
            "",
            "http://p?a",
        ] {
            assert!(wrong.parse::<Proxy>().is_err(), "{wrong}");
        }
    }
}

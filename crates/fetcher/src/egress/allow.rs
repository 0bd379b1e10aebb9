//! What an operator opened: exact host and port, or a network, never through the API.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::address::{self, Cidr, Tier};

/// One entry of the operator's allow-list (`--allow-host`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allow {
    /// `127.0.0.1:3000`, `[::1]:3000` or `reports.corp.internal:8443`: exactly this host and port.
    Host {
        /// The host as a URL holds it: lower case, without brackets and trailing dot.
        host: String,
        /// The one port that is open.
        port: u16,
    },
    /// `10.20.0.0/16` (on the usual ports) or `10.20.0.0/16:9000` (on that port).
    ///
    /// A network opens only what lies in the same closed block as itself, so `0.0.0.0/0` opens nothing.
    Network {
        /// The addresses that are open.
        network: Cidr,
        /// The port that is open beside the usual ones.
        port: Option<u16>,
    },
}

/// An entry of the allow-list that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("allow-list entry `{entry}` {reason}")]
pub struct AllowError {
    entry: String,
    reason: &'static str,
}

impl FromStr for Allow {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        let text = text.trim();
        let refuse = |reason| AllowError {
            entry: text.chars().take(200).collect(),
            reason,
        };
        if let Some((base, rest)) = text.split_once('/') {
            let (prefix, port) = match rest.split_once(':') {
                Some((prefix, port)) => (
                    prefix,
                    Some(parse_port(port).ok_or_else(|| refuse("has no valid port"))?),
                ),
                None => (rest, None),
            };
            let network = Cidr::parse(&format!("{base}/{prefix}"))
                .ok_or_else(|| refuse("is no network (write 10.20.0.0/16 or 10.20.0.0/16:9000)"))?;
            if port.is_none() && address::block_around(&network).is_none() {
                return Err(refuse(
                    "opens nothing: a network must lie inside one private or reserved range",
                ));
            }
            return Ok(Allow::Network { network, port });
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| refuse("needs a port (write HOST:PORT, or a network as CIDR)"))?;
        let port = parse_port(port).ok_or_else(|| refuse("has no valid port"))?;
        if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
            return Err(refuse("needs brackets around an IPv6 address"));
        }
        let host = url::Host::parse(host).map_err(|_| refuse("has no valid host"))?;
        let host = match host {
            url::Host::Domain(name) => name.trim_end_matches('.').to_owned(),
            url::Host::Ipv4(v4) => v4.to_string(),
            url::Host::Ipv6(v6) => v6.to_string(),
        };
        if host.is_empty() || host.contains('*') {
            return Err(refuse("has no valid host (wildcards are not allowed)"));
        }
        Ok(Allow::Host { host, port })
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allow::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Allow::Host { host, port } => write!(f, "{host}:{port}"),
            Allow::Network {
                network,
                port: Some(port),
            } => write!(f, "{network}:{port}"),
            Allow::Network {
                network,
                port: None,
            } => write!(f, "{network}"),
        }
    }
}

impl Allow {
    /// Tells whether this entry opens the host as it is written, on this port.
    pub(super) fn opens_host(&self, host: &str, port: u16) -> bool {
        matches!(self, Allow::Host { host: open, port: open_port } if open == host && *open_port == port)
    }

    /// Tells whether this entry opens an address on a port, `usual` saying if the port is one of the usual ones.
    pub(super) fn opens_address(&self, address: IpAddr, port: u16, usual: bool) -> bool {
        let address = address.to_canonical();
        match self {
            Allow::Host { host, port: open } => {
                *open == port
                    && host
                        .parse::<IpAddr>()
                        .is_ok_and(|open| open.to_canonical() == address)
            }
            Allow::Network {
                network,
                port: open,
            } => {
                let port_is_open = open.map_or(usual, |open| open == port);
                port_is_open
                    && network.contains(address)
                    && match address::closed_block(address) {
                        None => true,
                        Some((_, Tier::Metadata)) => false,
                        Some((block, _)) => network.lies_within(&block),
                    }
            }
        }
    }

    /// Tells whether a port outside the usual ones may be tried at all, before the address is known.
    pub(super) fn may_open_port(&self, port: u16) -> bool {
        matches!(self, Allow::Network { port: Some(open), .. } if *open == port)
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_strictly_and_print_as_written() {
        for text in [
            "127.0.0.1:3000",
            "[::1]:3000",
            "api.corp.internal:8443",
            "10.20.0.0/16",
            "10.20.0.0/16:9000",
        ] {
            assert_eq!(text.parse::<Allow>().expect(text).to_string(), text);
        }
        for wrong in [
            "127.0.0.1",
            "*:80",
            "::1:3000",
            "host:0",
            "host:+8",
            "host:99999",
            "0.0.0.0/0",
            "10.0.0.1/8",
            ":80",
            "",
        ] {
            assert!(wrong.parse::<Allow>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_network_opens_only_its_own_block() {
        let network: Allow = "10.0.0.0/8".parse().expect("an entry");
        assert!(network.opens_address("10.1.2.3".parse().expect("ip"), 443, true));
        assert!(network.opens_address("::ffff:10.1.2.3".parse().expect("ip"), 443, true));
        for closed in ["127.0.0.1", "169.254.169.254", "192.168.0.1", "100.64.0.1"] {
            assert!(
                !network.opens_address(closed.parse().expect("ip"), 443, true),
                "{closed}"
            );
        }
        assert!(!network.opens_address("10.1.2.3".parse().expect("ip"), 9000, false));
    }
}

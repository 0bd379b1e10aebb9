//! What the text of a URL says before anything is resolved: form, scheme, name, literal, port.

use std::net::IpAddr;

use url::{Host, Url};

use super::{CheckedUrl, Code, Guard, Refusal, address};

/// Longer addresses are refused by most servers; ours is the limit of the big ones.
pub const URL_LIMIT: usize = 8192;

/// Where a URL comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A definition or an operator: it is written as it is sent.
    Author,
    /// An answer (a redirect, a next link): servers send paths that are not encoded, which the URL parser mends.
    Answer,
}

/// Checks form, scheme, user information, name, literal address, port and path of `text`.
pub(super) fn check(guard: &Guard, text: &str, source: Source) -> Result<CheckedUrl, Refusal> {
    let url = canonical(text, source)?;
    let host = match url.host() {
        // One dot at the end says that a name is whole; what ends in more is none, and is refused as such.
        Some(Host::Domain(name)) => Ok(name.strip_suffix('.').unwrap_or(name).to_owned()),
        Some(Host::Ipv4(v4)) => Err(IpAddr::V4(v4)),
        Some(Host::Ipv6(v6)) => Err(IpAddr::V6(v6)),
        None => return Err(Refusal::new(Code::UrlInvalid, "the URL has no host")),
    };
    let port = url.port_or_known_default().unwrap_or(0);
    let shown = match &host {
        Ok(name) => name.clone(),
        Err(address) => address.to_canonical().to_string(),
    };
    let opened = guard.opens_host(&shown, port);
    match &host {
        Ok(name) => check_name(name, port, opened)?,
        Err(address) => guard.check_address(*address, port, None)?,
    }
    if !opened && !guard.port_may_be_open(port, host.as_ref().err().copied()) {
        let reason = format!(
            "port {port} is not one of the ports that may be called ({})",
            guard.ports_text()
        );
        return Err(Refusal::new(Code::UrlPort, reason).with_cure(allow_flag(&shown, port)));
    }
    Ok(CheckedUrl { url, host, port })
}

/// Parses `text` and refuses it when it means something else than it shows.
fn canonical(text: &str, source: Source) -> Result<Url, Refusal> {
    if text.len() > URL_LIMIT {
        return Err(Refusal::new(
            Code::UrlTooLong,
            format!("the URL is longer than {URL_LIMIT} bytes"),
        ));
    }
    let not_canonical = |reason: &str| Err(Refusal::new(Code::UrlNotCanonical, reason));
    if text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return not_canonical("the URL holds a control or invisible character");
    }
    if text.trim() != text {
        return not_canonical("the URL begins or ends with white space");
    }
    let scheme_end = text.find(':').filter(|end| {
        let scheme = &text[..*end];
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    });
    let Some(scheme_end) = scheme_end else {
        return Err(Refusal::new(
            Code::UrlInvalid,
            "the URL needs a scheme and a host (https://…)",
        ));
    };
    let scheme = text[..scheme_end].to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        let scheme: String = scheme.chars().take(40).collect();
        let hint = if text[scheme_end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
            " (write http:// or https:// before the host)"
        } else {
            ""
        };
        return Err(Refusal::new(
            Code::UrlScheme,
            format!("scheme `{scheme}` is not http or https{hint}"),
        ));
    }
    let Some(rest) = text[scheme_end + 1..].strip_prefix("//") else {
        return not_canonical("the scheme is not followed by `//` and a host");
    };
    let end_of_target = rest.find(['?', '#']).unwrap_or(rest.len());
    let target = &rest[..end_of_target];
    if target.contains('\\') {
        return not_canonical("the URL holds a backslash");
    }
    if target.is_empty() || target.starts_with('/') {
        return not_canonical("the scheme is not followed by exactly `//` and a host");
    }
    let (authority, path) = target.split_at(target.find('/').unwrap_or(target.len()));
    if authority.contains('@') {
        return Err(Refusal::new(
            Code::UrlUserinfo,
            "the URL holds credentials before `@`; use the connection's `auth` (the real host is after the `@`)",
        ));
    }
    if authority.contains(char::is_whitespace) {
        return not_canonical("the host holds white space");
    }
    if let Some(port) = port_of(authority)
        && (port.is_empty() || (port.starts_with('0') && port != "0"))
    {
        return not_canonical("the port after `:` is empty or begins with 0");
    }
    check_path(path)?;
    if !is_well_escaped(path) {
        return not_canonical(
            "the path holds a `%` that is not followed by two hexadecimal digits",
        );
    }
    let url = Url::parse(text)
        .map_err(|error| Refusal::new(Code::UrlInvalid, format!("the URL is invalid: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::new(
            Code::UrlUserinfo,
            "the URL holds credentials; use the connection's `auth`",
        ));
    }
    if source == Source::Author && !path.is_empty() && url.path() != path {
        return not_canonical("the path holds characters that must be percent-encoded");
    }
    Ok(url)
}

/// What stands after the `:` of the host, if one does; the colons of an IPv6 address are inside brackets.
fn port_of(authority: &str) -> Option<&str> {
    let behind = authority.rfind(']').map_or(0, |end| end + 1);
    authority[behind..].split_once(':').map(|(_, port)| port)
}

fn is_well_escaped(path: &str) -> bool {
    path.split('%').skip(1).all(|after| {
        after
            .as_bytes()
            .get(..2)
            .is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Characters that draw nothing or turn the reading direction: what is seen is not what is called.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Refuses dot segments: written plainly the URL parser removes them, written encoded the server may.
fn check_path(path: &str) -> Result<(), Refusal> {
    let is_dots = |segment: &str| {
        let segment = segment.to_ascii_lowercase().replace("%2e", ".");
        segment == "." || segment == ".."
    };
    if path.split('/').any(is_dots) {
        return Err(Refusal::new(
            Code::UrlNotCanonical,
            "the path holds `.` or `..` segments",
        ));
    }
    let mut decoded = path.to_owned();
    for _ in 0..3 {
        let next = decode_percent(&decoded);
        if next == decoded {
            break;
        }
        decoded = next;
        let climbs = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
        if decoded.split(['/', '\\']).any(climbs) {
            return Err(Refusal::new(
                Code::UrlPathTraversal,
                "the path holds an encoded slash beside `..`",
            ));
        }
    }
    Ok(())
}

fn decode_percent(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten();
        let byte = pair
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Suffixes that name a machine or a service near us, never an API on the internet.
const NEAR: &[&str] = &[
    "localhost",
    "localdomain",
    "local",
    "internal",
    "svc",
    "cluster.local",
    "home.arpa",
    "lan",
    "intranet",
    "corp",
    "home",
    "private",
    "consul",
    "docker",
    "kubernetes.default",
];

/// Names of metadata services; nothing opens them.
const METADATA_NAMES: &[&str] = &[
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.com",
    "metadata.azure.internal",
    "instance-data",
    "instance-data.ec2.internal",
    "metadata.tencentyun.com",
    "metadata.platformequinix.com",
];

/// Public services that answer with the address that is spelled in the name.
const SPELLED: &[&str] = &["nip.io", "sslip.io", "xip.io"];

fn check_name(name: &str, port: u16, opened: bool) -> Result<(), Refusal> {
    let refuse = |what: &str, code| Refusal::new(code, format!("`{name}` is {what}"));
    if name.is_empty() || name.split('.').any(str::is_empty) || name.len() > 253 {
        return Err(refuse("no valid host name", Code::UrlInvalid));
    }
    if METADATA_NAMES.contains(&name) {
        return Err(refuse(
            "the name of a cloud metadata service",
            Code::NameForbidden,
        ));
    }
    if opened {
        return Ok(());
    }
    let cure = || allow_flag(name, port);
    if is_under(name, "home.arpa") {
        return Err(refuse("a name of the local network", Code::NameForbidden).with_cure(cure()));
    }
    for suffix in ["arpa", "invalid", "onion"] {
        if is_under(name, suffix) {
            return Err(refuse(
                "an infrastructure name that has no public address",
                Code::DnsFailed,
            ));
        }
    }
    if !name.contains('.') {
        let what = if name == "localhost" {
            "this host itself"
        } else {
            "a single-label name of the local network"
        };
        return Err(refuse(what, Code::NameForbidden).with_cure(cure()));
    }
    if NEAR.iter().any(|suffix| is_under(name, suffix)) {
        return Err(refuse(
            "a name of this host or of the cluster around it",
            Code::NameForbidden,
        )
        .with_cure(cure()));
    }
    if let Some(tier) = spelled_address(name).and_then(address::classify) {
        let what = format!("a name that stands for {}", tier.describe());
        return Err(refuse(&what, Code::AddressForbidden));
    }
    Ok(())
}

fn is_under(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The address that a wildcard DNS service would answer for a name such as `10.0.0.1.nip.io`.
fn spelled_address(name: &str) -> Option<IpAddr> {
    let rest = SPELLED
        .iter()
        .find_map(|service| name.strip_suffix(service)?.strip_suffix('.'))?;
    let dotted = rest.replace('-', ".");
    let numbers: Vec<&str> = dotted.split('.').collect();
    numbers
        .windows(4)
        .rev()
        .find_map(|four| four.join(".").parse().ok())
        .or_else(|| {
            // `7f000001.nip.io`
            let last = *numbers.last()?;
            (last.len() == 8)
                .then(|| u32::from_str_radix(last, 16).ok())
                .flatten()
                .map(|bits| IpAddr::V4(bits.into()))
        })
}

/// The flag that opens exactly this host and port.
pub(super) fn allow_flag(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("--allow-host [{host}]:{port}")
    } else {
        format!("--allow-host {host}:{port}")
    }
}

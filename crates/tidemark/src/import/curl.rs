//! A curl line, as documentation pages show them.

mod options;

use serde_json::Value;
use url::Url;

use super::auth::Credentials;
use super::{Body, Part, Refused, Shown, dates, pages, shell};
use crate::draft::{is_secret_parameter, name_from};
use options::{IGNORED, REFUSED, takes_value};

/// Headers that a fetcher writes itself.
const OWN_HEADERS: [&str; 8] = [
    "host",
    "content-length",
    "content-type",
    "connection",
    "accept-encoding",
    "transfer-encoding",
    "expect",
    "te",
];

/// Reads a curl line, or its words where a shell has already split it.
pub(crate) fn from_curl(line: &[String]) -> Result<Shown, Refused> {
    let read = match line {
        [only] => shell::words(only)?,
        several => shell::Words {
            words: several.to_vec(),
            kept_ampersand: false,
        },
    };
    let mut words = read
        .words
        .into_iter()
        .skip_while(|word| word == "$")
        .peekable();
    if words
        .peek()
        .is_some_and(|word| word == "curl" || word.ends_with("/curl") || word == "curl.exe")
    {
        words.next();
    }
    let mut line = Line::default();
    while let Some(word) = words.next() {
        line.word(&word, &mut words)?;
    }
    let mut shown = line.shown()?;
    if read.kept_ampersand {
        let remark = "an `&` of the address stood outside of quotes, where a shell ends the command; what follows it was kept as part of the query";
        shown.remark(Part::Path, remark);
    }
    Ok(shown)
}

#[derive(Debug, Default)]
struct Line {
    address: Option<String>,
    method: Option<String>,
    headers: Vec<(String, String)>,
    data: Vec<String>,
    is_json: bool,
    as_query: bool,
    extra_query: Vec<String>,
    credentials: Credentials,
}

impl Line {
    fn word(&mut self, word: &str, rest: &mut impl Iterator<Item = String>) -> Result<(), Refused> {
        if word.starts_with("--") {
            let (name, written) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word, None),
            };
            return self.option(name, written, rest);
        }
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            return self.address(word);
        };
        // Short options may stand together: -sSLX POST, -H'Accept: x'.
        let letters = letters.char_indices();
        for (at, letter) in letters {
            let name = format!("-{letter}");
            if takes_value(&name) {
                let inner = &word[1 + at + letter.len_utf8()..];
                let written = (!inner.is_empty()).then(|| inner.to_owned());
                return self.option(&name, written, rest);
            }
            self.option(&name, None, rest)?;
        }
        Ok(())
    }

    fn option(
        &mut self,
        name: &str,
        written: Option<String>,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), Refused> {
        if let Some((_, reason)) = REFUSED.iter().find(|(known, _)| *known == name) {
            return Err(Refused::new(format!("`{name}`: {reason}")));
        }
        if IGNORED.contains(&name) {
            return Ok(());
        }
        if name == "-G" || name == "--get" {
            self.as_query = true;
            return Ok(());
        }
        if !takes_value(name) {
            return Err(Refused::new(format!(
                "`{name}` is not an option that is known here; leave it out if it does not change what is asked"
            )));
        }
        let value = written
            .or_else(|| rest.next())
            .ok_or_else(|| Refused::new(format!("`{name}` needs a value")))?;
        match name {
            "-X" | "--request" => self.method = Some(value.to_ascii_uppercase()),
            "--url" => self.address(&value)?,
            "-H" | "--header" => self.header(&value),
            "-A" | "--user-agent" => self.headers.push(("User-Agent".to_owned(), value)),
            "-b" | "--cookie" => {
                self.credentials.header("Cookie", &value);
            }
            "-u" | "--user" => self.credentials.user(&value),
            "--oauth2-bearer" => self.credentials.bearer(&value),
            "--url-query" => self.extra_query.push(encoded(&value)?),
            "-d" | "--data" | "--data-ascii" | "--data-raw" | "--data-binary" => {
                if value.starts_with('@') && name != "--data-raw" {
                    return Err(from_file(&value));
                }
                self.data.push(value);
            }
            "--data-urlencode" => self.data.push(encoded(&value)?),
            "--json" => {
                if value.starts_with('@') {
                    return Err(from_file(&value));
                }
                self.is_json = true;
                self.data.push(value);
            }
            _ => {}
        }
        Ok(())
    }

    fn address(&mut self, text: &str) -> Result<(), Refused> {
        if let Some(first) = &self.address {
            let shown = |text: &str| text.split(['?', '#']).next().unwrap_or_default().to_owned();
            return Err(Refused::new(format!(
                "two addresses, {} and {}: is a quote missing?",
                shown(first),
                shown(text)
            )));
        }
        self.address = Some(text.to_owned());
        Ok(())
    }

    fn header(&mut self, text: &str) {
        let Some((name, value)) = text.split_once(':') else {
            return;
        };
        let (name, value) = (name.trim(), value.trim());
        if name.eq_ignore_ascii_case("content-type") {
            self.is_json |= value.contains("json");
        }
        let own = OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own));
        let says_nothing =
            value.is_empty() || (name.eq_ignore_ascii_case("accept") && value == "*/*");
        if !own && !says_nothing && !self.credentials.header(name, value) {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    fn shown(mut self) -> Result<Shown, Refused> {
        let address = self
            .address
            .take()
            .ok_or_else(|| Refused::new("there is no address in the line"))?;
        let with_scheme = if address.contains("://") {
            address
        } else {
            format!("https://{address}")
        };
        let (with_scheme, placeholders) = host_filled(&with_scheme);
        let mut url = Url::parse(&with_scheme)
            .map_err(|error| Refused::new(format!("the address cannot be read: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(Refused::new("the address is not http or https"));
        }
        let mut shown = Shown {
            source: "curl".to_owned(),
            headers: std::mem::take(&mut self.headers),
            ..Shown::default()
        };
        for name in placeholders {
            shown.remark(
                Part::Address,
                format!("write your {name} in place of {name}"),
            );
        }
        if !url.username().is_empty() {
            self.credentials.user(&format!(
                "{}:{}",
                url.username(),
                url.password().unwrap_or_default()
            ));
            let _ = url.set_username("");
            let _ = url.set_password(None);
        }
        shown.is_post = self.method(&mut shown)?;
        shown.base_url = url.origin().ascii_serialization();
        shown.path = path(&url, &mut shown);
        let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        for text in self
            .extra_query
            .iter()
            .chain(self.data.iter().filter(|_| self.as_query))
        {
            pairs.extend(url::form_urlencoded::parse(text.as_bytes()).into_owned());
        }
        for (name, value) in pairs {
            if !self.credentials.parameter(&name, &value) {
                shown.parameter(name, value);
            }
        }
        if !self.as_query && !self.data.is_empty() {
            shown.body = Some(self.body(&mut shown)?);
        }
        let connection = name_from(url.host_str().unwrap_or("api"), "api");
        self.credentials.put(&mut shown, &connection);
        let last = url
            .path_segments()
            .and_then(|mut parts| parts.rfind(|part| !part.is_empty()));
        shown.name = name_from(last.unwrap_or("metric"), "metric");
        pages::find_pages(&mut shown);
        dates::find_window(&mut shown);
        Ok(shown)
    }

    /// Tells whether it is a POST, and refuses what would change something.
    fn method(&self, shown: &mut Shown) -> Result<bool, Refused> {
        let sends = !self.data.is_empty() && !self.as_query;
        let method = self
            .method
            .as_deref()
            .unwrap_or(if sends { "POST" } else { "GET" });
        match method {
            "GET" if sends => Err(Refused::new(
                "a GET with a body; write -G to send the data as parameters, or -X POST",
            )),
            "GET" => Ok(false),
            "POST" => {
                shown.remark(Part::Body, "a POST is taken for one that only reads, such as a search; never import one that makes something");
                Ok(true)
            }
            "PUT" | "PATCH" | "DELETE" => Err(Refused::new(format!(
                "{method} changes something there; Tidemark only reads, by GET or by a POST that searches"
            ))),
            other => Err(Refused::new(format!(
                "the method {other} is not one that reads; GET and POST are"
            ))),
        }
    }

    fn body(&mut self, shown: &mut Shown) -> Result<Body, Refused> {
        let text = if self.is_json {
            self.data.concat()
        } else {
            self.data.join("&")
        };
        let parsed: Option<Value> = serde_json::from_str(&text)
            .ok()
            .filter(|value: &Value| value.is_object() || value.is_array());
        if let Some(mut value) = parsed {
            if let Some(fields) = value.as_object_mut() {
                let secrets: Vec<String> = fields
                    .iter()
                    .filter(|(name, value)| {
                        value.as_str().is_some_and(|text| is_credential(name, text))
                    })
                    .map(|(name, _)| name.clone())
                    .collect();
                for name in secrets {
                    fields.shift_remove(&name);
                    shown.remark(Part::Body, format!("`{name}` was a credential and is left out; a secret cannot stand in a body, look for a header that the API takes"));
                }
            }
            return Ok(Body::Json(value));
        }
        if self.is_json {
            return Err(Refused::new(
                "the data is said to be JSON and is no JSON object or array",
            ));
        }
        let mut form: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()).into_owned() {
            if is_credential(&name, &value) {
                shown.remark(Part::Body, format!("`{name}` was a credential and is left out; a secret cannot stand in a form, look for a header that the API takes"));
            } else {
                form.push((name, value));
            }
        }
        Ok(Body::Form(form))
    }
}

/// Tells whether a field of a body is a credential, by its name.
fn is_credential(name: &str, value: &str) -> bool {
    is_secret_parameter(name) || definition::is_secret_parameter(name, value)
}

fn from_file(value: &str) -> Refused {
    Refused::new(format!(
        "`{value}` is a file, which is not read; put its text in its place"
    ))
}

/// The text of `--data-urlencode`: `name=content`, `=content` or `content`, encoded.
fn encoded(value: &str) -> Result<String, Refused> {
    let encode =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    if value.starts_with('@') || (!value.contains('=') && value.contains('@')) {
        return Err(from_file(value));
    }
    Ok(match value.split_once('=') {
        Some(("", content)) => encode(content),
        Some((name, content)) => format!("{name}={}", encode(content)),
        None => encode(value),
    })
}

/// Takes the marks off placeholders in the host, such as `{site}` or `<domain>`, and names them.
fn host_filled(address: &str) -> (String, Vec<String>) {
    let Some((scheme, rest)) = address.split_once("://") else {
        return (address.to_owned(), Vec::new());
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, below) = rest.split_at(end);
    let mut names = Vec::new();
    let parts: Vec<String> = host
        .split('.')
        .map(|part| {
            if !part.contains(['{', '<', '$']) || part.contains('@') {
                return part.to_owned();
            }
            let name: String = part
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
                .collect::<String>()
                .to_ascii_lowercase();
            names.push(name.clone());
            name
        })
        .collect();
    (format!("{scheme}://{}{below}", parts.join(".")), names)
}

/// The path as a definition writes it; what stands for something else is marked.
fn path(url: &Url, shown: &mut Shown) -> String {
    let plain = url
        .path()
        .replace("%7B", "{")
        .replace("%7D", "}")
        .replace("%3C", "<")
        .replace("%3E", ">");
    let mut parts = Vec::new();
    for part in plain.split('/') {
        let stands = part.starts_with([':', '$', '{', '<']) && part.len() > 1;
        if stands {
            let name: String = part
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            shown.remark(
                Part::Path,
                format!(
                    "write your {name} in place of {}",
                    name.to_ascii_uppercase()
                ),
            );
            parts.push(name.to_ascii_uppercase());
        } else {
            parts.push(part.to_owned());
        }
    }
    let path = parts.join("/");
    if path == "/" { String::new() } else { path }
}

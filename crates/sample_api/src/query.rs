//! The parameters of a request, decoded.

use std::borrow::Cow;

/// Name and value pairs of a query or a form, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name).into_owned(), decode(value).into_owned())
        });
        Self(pairs.collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(held, _)| held == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.trim().parse().ok()
    }

    /// Returns the query as text again, without `left_out` and with `added` at its end.
    pub(crate) fn with(&self, left_out: &[&str], added: &[(&str, &str)]) -> String {
        let kept = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let kept = kept.filter(|(name, _)| !left_out.contains(name));
        let pairs: Vec<String> = kept
            .chain(added.iter().copied())
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        pairs.join("&")
    }
}

/// Undoes percent encoding and `+`.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (escaped, byte) {
            (Some(value), _) => {
                decoded.push(value);
                at += 3;
            }
            (None, b'+') => {
                decoded.push(b' ');
                at += 1;
            }
            (None, other) => {
                decoded.push(other);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// Percent-encodes all but unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let text = "a b&c=ü%/?:[1]";
        assert_eq!(decode(&encode(text)), text);
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("a+b%2"), "a b%2");
    }

    #[test]
    fn parameters_are_found_and_replaced() {
        let query = Query::parse("page=2&name=Jon%20Snow&empty=&flag");
        assert_eq!(query.get("name"), Some("Jon Snow"));
        assert_eq!(
            (query.get("empty"), query.get("flag"), query.get("none")),
            (Some(""), Some(""), None)
        );
        assert_eq!(
            query.with(&["page", "empty", "flag"], &[("page", "3")]),
            "name=Jon%20Snow&page=3"
        );
    }
}

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a definition, dimension or secret: `[a-z][a-z0-9_]{0,62}`.
///
/// So it is safe as one subject token, a column, a file name and a word in an expression.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// The name of a metric.
pub type MetricName = Name;
/// The name of a connection.
pub type ConnectionName = Name;
/// The name of a dataset.
pub type DatasetName = Name;
/// The name of a dimension.
pub type DimensionName = Name;
/// The name of a secret.
pub type SecretName = Name;

/// Says why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no text.
    #[error("a name is needed")]
    Empty,
    /// More than 63 characters.
    #[error("a name has at most 63 characters")]
    TooLong,
    /// Starts with something other than a lower-case letter, or holds another character.
    #[error("a name is a lower-case letter followed by lower-case letters, digits and `_`")]
    Characters,
}

impl Name {
    /// The longest name, in characters.
    pub const MAX: usize = 63;
    /// The pattern of a name, as a regular expression.
    pub const PATTERN: &'static str = "^[a-z][a-z0-9_]{0,62}$";

    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut bytes = text.bytes();
        match bytes.next() {
            None => return Err(NameError::Empty),
            Some(first) if !first.is_ascii_lowercase() => return Err(NameError::Characters),
            Some(_) => {}
        }
        if !bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            return Err(NameError::Characters);
        }
        if text.len() > Self::MAX {
            return Err(NameError::TooLong);
        }
        Ok(Self(text.into()))
    }

    /// Reads a name; the error says what is wrong and, where there is one, which name is near.
    pub fn parse_advised(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| match Self::suggest(text) {
            Some(better) => format!("{error}; `{better}` would do"),
            None => error.to_string(),
        })
    }

    /// Returns the nearest valid name to `text`, to propose as a cure.
    pub fn suggest(text: &str) -> Option<Self> {
        let mut out = String::new();
        for c in text.trim().chars().flat_map(char::to_lowercase) {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                out.push(c);
            } else if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
        }
        if out.starts_with(|c: char| c.is_ascii_digit()) {
            out.insert_str(0, "n_");
        }
        out.truncate(Self::MAX);
        Self::parse(out.trim_end_matches('_')).ok()
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Stands in for a name that could not be read, so that the rest can still be checked.
    pub(crate) fn placeholder() -> Self {
        Self("unnamed".into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_words() {
        for good in ["a", "new_subscribers", "p90", &"a".repeat(63)] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "A",
            "1a",
            "_a",
            "a-b",
            "a.b",
            "a b",
            "é",
            "a\0b",
            &"a".repeat(64),
        ] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_cure_is_proposed() {
        assert_eq!(
            Name::suggest("New Subscribers!").unwrap(),
            "new_subscribers"
        );
        assert_eq!(Name::suggest("30 days").unwrap(), "n_30_days");
        assert_eq!(Name::suggest("???"), None);
    }
}

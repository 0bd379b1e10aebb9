//! Query parameters: read by name, refused when unknown, all problems at once.

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::problem::{Problem, ProblemItem, shown};

/// The most parameters one request may carry; a question with more is not a question.
const PARAMETERS: usize = 100;

/// The query parameters of a request that nobody has read yet.
///
/// A handler takes what it knows and then calls [`Parameters::finish`], which refuses the rest and
/// reports every problem found on the way.
#[derive(Debug)]
pub(crate) struct Parameters {
    left: Vec<(String, String)>,
    known: Vec<String>,
    problems: Vec<ProblemItem>,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Parameters {
    /// Reads the text behind the `?`.
    pub(crate) fn parse(query: &str) -> Result<Self, Problem> {
        let left: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .take(PARAMETERS + 1)
            .collect();
        if left.len() > PARAMETERS {
            return Err(Problem::query(vec![ProblemItem::parameter(
                "…",
                format!("more than {PARAMETERS} parameters"),
            )]));
        }
        Ok(Self {
            left,
            known: Vec::new(),
            problems: Vec::new(),
        })
    }

    /// Takes a parameter that may be given once.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let mut values = self.texts(name);
        if values.len() > 1 {
            self.refuse(name, "is given more than once");
        }
        values.pop()
    }

    /// Takes every value of a parameter that may be repeated.
    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
        self.known.push(format!("`{name}`"));
        self.left
            .extract_if(.., |(key, _)| key == name)
            .map(|(_, value)| value)
            .collect()
    }

    /// Takes every value of a parameter that may be repeated or hold several, joined by commas.
    pub(crate) fn list(&mut self, name: &str) -> Vec<String> {
        self.texts(name)
            .iter()
            .flat_map(|text| split(text))
            .collect()
    }

    /// Takes every parameter whose name begins with `prefix`, with its comma-separated values.
    pub(crate) fn prefixed(&mut self, prefix: &str) -> Vec<(String, Vec<String>)> {
        self.known.push(format!("`{prefix}<name>`"));
        let mut found: Vec<(String, Vec<String>)> = Vec::new();
        for (key, value) in self.left.extract_if(.., |(key, _)| key.starts_with(prefix)) {
            let name = &key[prefix.len()..];
            let values = split(&value);
            match found.iter_mut().find(|(known, _)| known == name) {
                Some((_, all)) => all.extend(values),
                None => found.push((name.to_owned(), values)),
            }
        }
        found
    }

    /// Takes a yes or no; absent means no.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        match self.text(name).as_deref() {
            None | Some("false") => false,
            Some("true" | "") => true,
            Some(other) => {
                self.refuse(name, format!("is true or false, not `{}`", shown(other)));
                false
            }
        }
    }

    /// Takes a whole number between two bounds, both included.
    pub(crate) fn number(&mut self, name: &str, least: u32, most: u32) -> Option<u32> {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|one| (least..=most).contains(one));
        if number.is_none() {
            let message = format!("is from {least} to {most}, not `{}`", shown(&text));
            self.refuse(name, message);
        }
        number
    }

    /// Takes how many things a page of a list may hold.
    pub(crate) fn limit(&mut self) -> u32 {
        /// What a screen shows.
        const DEFAULT: u32 = 100;
        let Some(text) = self.text("limit") else {
            return DEFAULT;
        };
        if let Ok(limit @ 1..=1000) = text.parse::<u32>() {
            return limit;
        }
        self.refuse("limit", format!("is from 1..1000, not `{}`", shown(&text)));
        DEFAULT
    }

    /// Notes that a parameter is wrong.
    pub(crate) fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.problems.push(ProblemItem::parameter(name, message));
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// Refuses what was noted as wrong and every parameter that nobody asked for.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        let hint = match self.known.as_slice() {
            [] => "this route takes no parameters".to_owned(),
            known => format!("known are: {}", known.join(", ")),
        };
        let mut seen: Vec<String> = Vec::new();
        for (name, _) in self.left {
            if !seen.contains(&name) {
                self.problems
                    .push(ProblemItem::parameter(&shown(&name), "is not known here").hint(&hint));
                seen.push(name);
            }
        }
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(Problem::query(self.problems))
        }
    }
}

/// Splits at commas; `\,` is a comma of a part itself, and `\\` a backslash before one.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let escaped = (letter == '\\')
            .then(|| letters.next_if(|next| matches!(next, ',' | '\\')))
            .flatten();
        if letter == ',' {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(escaped.unwrap_or(letter));
        }
    }
    let parts = parts.iter().map(|part| part.trim());
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Writes a part so that [`Parameters`] reads it back as one, whatever commas it holds.
pub(crate) fn escaped(part: &str) -> String {
    part.replace('\\', r"\\").replace(',', r"\,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_part_is_read_back_whole() {
        for part in ["Washington, DC", r"a\b", r"a\,b", r"ends with \", r"\\,"] {
            assert_eq!(split(&format!("{},next", escaped(part))), [part, "next"]);
        }
    }

    #[test]
    fn an_unknown_parameter_is_refused_and_the_known_ones_are_named() {
        let mut parameters = Parameters::parse("limit=5&steps=1").unwrap();
        assert_eq!(parameters.limit(), 5);
        let problem = parameters.finish().unwrap_err();
        let text = format!("{problem:?}");
        assert_eq!(problem.code(), "request.query");
        assert!(
            text.contains("steps") && text.contains("known are: `limit`"),
            "{text}"
        );
    }

    #[test]
    fn limits_are_from_one_to_a_thousand() {
        for wrong in ["0", "-1", "1000000000", "abc", "", "1.5"] {
            let mut parameters = Parameters::parse(&format!("limit={wrong}")).unwrap();
            parameters.limit();
            assert!(parameters.finish().is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_may_be_repeated_or_joined_by_commas() {
        let mut parameters =
            Parameters::parse("group_by=a,b&group_by=c&where.state=x,y&where.state=z").unwrap();
        assert_eq!(parameters.list("group_by"), ["a", "b", "c"]);
        let expected = vec![("state".to_owned(), vec!["x".into(), "y".into(), "z".into()])];
        assert_eq!(parameters.prefixed("where."), expected);
        parameters.finish().unwrap();
    }
}

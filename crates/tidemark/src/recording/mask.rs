//! Masks chosen fields of a page and leaves every other byte as it came, numbers too large for a double among them.
//!
//! Equal values get equal masks within a recording, so that keys and distinct counts stay what they were; the masks are
//! counted, not calculated, so that nothing can be guessed from them.

use std::collections::HashMap;

/// Knows which fields are masked, and the masks given so far.
#[derive(Debug, Default)]
pub(crate) struct Masks {
    fields: Vec<String>,
    given: HashMap<String, usize>,
}

impl Masks {
    /// Masks fields of these names, wherever they stand.
    pub(crate) fn of(fields: &[String]) -> Self {
        Self {
            fields: fields.to_vec(),
            given: HashMap::new(),
        }
    }

    /// Returns the page with the values of those fields masked, and all that is inside of them.
    pub(crate) fn page(&mut self, page: &str) -> String {
        let mut masked = String::with_capacity(page.len());
        let mut rest = page;
        // Whether the next value is to be masked, and the depth at which masking ends.
        let (mut next, mut until, mut depth) = (false, None, 0_usize);
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '"' => string_length(rest),
                '-' | '0'..='9' => scalar_length(rest),
                other => other.len_utf8(),
            };
            let (token, tail) = rest.split_at(length);
            let is_key = first == '"' && tail.trim_start().starts_with(':');
            match first {
                '"' if is_key => {
                    let name: String = serde_json::from_str(token).unwrap_or_default();
                    next = self.fields.contains(&name);
                    masked.push_str(token);
                }
                '"' if next || until.is_some() => masked.push_str(&self.text(token)),
                '-' | '0'..='9' if next || until.is_some() => masked.push_str(&self.number(token)),
                _ => masked.push_str(token),
            }
            match first {
                '{' | '[' => {
                    if next && until.is_none() {
                        until = Some(depth);
                    }
                    next = false;
                    depth += 1;
                }
                '}' | ']' => {
                    depth = depth.saturating_sub(1);
                    if until == Some(depth) {
                        until = None;
                    }
                }
                ',' => next = false,
                _ => {}
            }
            rest = tail;
        }
        masked
    }

    fn text(&mut self, token: &str) -> String {
        let number = self.mask_of(token);
        if token.contains('@') {
            format!("\"masked-{number}@example.com\"")
        } else {
            format!("\"masked-{number}\"")
        }
    }

    fn number(&mut self, token: &str) -> String {
        self.mask_of(token).to_string()
    }

    fn mask_of(&mut self, token: &str) -> usize {
        let next = self.given.len() + 1;
        *self.given.entry(token.to_owned()).or_insert(next)
    }
}

/// The length of the string that the text begins with, its quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn scalar_length(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '+' | '.'))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_fields_are_masked_and_the_rest_stays_as_it_came() {
        let mut masks = Masks::of(&["email".to_owned(), "person".to_owned(), "iban".to_owned()]);
        let page = r#"{ "id": 12345678901234567890.10, "email":"a@x.org", "to": "a@x.org",
            "list": [{"email": "b@x.org"}, {"email": "a@x.org"}, {"email": null}],
            "person": {"name": "A \"quoted\" {name}", "age": -41.5, "tags": ["x"]}, "iban" : 7, "n": 7 }"#;
        let masked = masks.page(page);
        assert_eq!(
            masked,
            r#"{ "id": 12345678901234567890.10, "email":"masked-1@example.com", "to": "a@x.org",
            "list": [{"email": "masked-2@example.com"}, {"email": "masked-1@example.com"}, {"email": null}],
            "person": {"name": "masked-3", "age": 4, "tags": ["masked-5"]}, "iban" : 6, "n": 7 }"#
        );
        assert!(serde_json::from_str::<serde_json::Value>(&masked).is_ok());
        assert_eq!(
            masks.page("{\"email\":\"b@x.org\"}"),
            "{\"email\":\"masked-2@example.com\"}"
        );
        assert_eq!(Masks::default().page(page), page);
    }
}

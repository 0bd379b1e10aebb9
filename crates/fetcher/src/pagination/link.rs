//! The `Link` header (RFC 8288).

/// A `Link` header that cannot be read, and may have named the next page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the `Link` header cannot be read, so whether there is a next page is not known: \
     a link is written `<address>; rel=\"next\"`"
)]
pub struct MalformedLink;

/// Returns the target of `rel="next"` in `Link` headers (RFC 8288).
///
/// What is malformed is an error where no next link is found beside it, unless it plainly says to be another one.
pub fn next_of_link_headers<'a>(
    values: impl IntoIterator<Item = &'a str>,
) -> Result<Option<String>, MalformedLink> {
    let mut is_malformed = false;
    for value in values {
        let mut rest = value;
        loop {
            rest = rest.trim_start_matches([',', ' ', '\t']);
            if rest.is_empty() {
                break;
            }
            let target = rest
                .strip_prefix('<')
                .and_then(|inside| inside.split_once('>'))
                .filter(|(target, _)| !target.contains(['<', ' ']));
            let Some((target, behind)) = target else {
                let (broken, behind) = split_parameters(rest);
                is_malformed |= relations(broken).is_none_or(|names| names.contains(&"next"));
                rest = behind;
                continue;
            };
            let (parameters, behind) = split_parameters(behind);
            if relations(parameters).is_some_and(|names| names.contains(&"next")) {
                return Ok(Some(target.to_owned()));
            }
            rest = behind;
        }
    }
    if is_malformed {
        Err(MalformedLink)
    } else {
        Ok(None)
    }
}

/// Splits at the first comma outside quotes: what belongs to this link, and the next links.
fn split_parameters(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

/// The relations that `parameters` name, `next` in lower case; nothing where there is no `rel`.
fn relations(parameters: &str) -> Option<Vec<&str>> {
    let mut found = None;
    for parameter in parameters.split(';') {
        if let Some((name, value)) = parameter.split_once('=')
            && name.trim().eq_ignore_ascii_case("rel")
        {
            let names = value.trim().trim_matches('"').split_ascii_whitespace();
            let names = names.map(|name| {
                if name.eq_ignore_ascii_case("next") {
                    "next"
                } else {
                    name
                }
            });
            found.get_or_insert_with(Vec::new).extend(names);
        }
    }
    found
}

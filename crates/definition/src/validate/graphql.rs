use serde_json::Value;

/// Tells whether a body is GraphQL that changes something: a mutation or a subscription.
///
/// A body is GraphQL when it, or an item of it, has a `query` text.
pub fn is_mutation(body: &Value) -> bool {
    match body {
        Value::Array(items) => items.iter().any(is_mutation),
        Value::Object(fields) => {
            matches!(fields.get("query"), Some(Value::String(text)) if changes(text))
        }
        _ => false,
    }
}

/// Tells whether a GraphQL document holds an operation that is no query.
pub fn changes(document: &str) -> bool {
    let tokens = tokens(document);
    let mut depth = 0_usize;
    let mut at_start = true;
    for (index, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" | "(" | "[" => {
                depth += 1;
                at_start = false;
            }
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                at_start = depth == 0 && token == "}";
            }
            "mutation" | "subscription" if at_start => {
                // A search text may begin with the word too; an operation goes on with `{`, `(`, `@` or a name and one of these.
                let next = |n: usize| tokens.get(index + n).map(String::as_str);
                let opens = |token: Option<&str>| matches!(token, Some("{" | "(" | "@"));
                if opens(next(1)) || opens(next(2)) {
                    return true;
                }
                at_start = false;
            }
            _ => at_start = false,
        }
    }
    false
}

/// Words and brackets, without comments, commas and strings.
fn tokens(document: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = document;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '#' => after
                .split_once(['\n', '\r'])
                .map_or("", |(_, after)| after),
            '"' if rest.starts_with("\"\"\"") => rest[3..]
                .split_once("\"\"\"")
                .map_or("", |(_, after)| after),
            '"' => {
                let mut escaped = false;
                let end = after.find(|c: char| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                tokens.push("\"".to_owned());
                end.map_or("", |end| &after[end + 1..])
            }
            c if c.is_alphanumeric() || c == '_' => {
                let end = rest
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(rest.len());
                tokens.push(rest[..end].to_owned());
                &rest[end..]
            }
            c if c.is_whitespace() || matches!(c, ',' | '\u{feff}') => after,
            c => {
                tokens.push(c.to_string());
                after
            }
        };
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_are_seen_wherever_they_stand() {
        for bad in [
            "mutation { a }",
            "mutation M($a: In = {x: 1}) { a }",
            "# comment\n , mutation M { a }",
            "query Q { a } mutation M { b }",
            "subscription { a }",
            "fragment F on T { a } mutation @x { b }",
            "\u{feff}mutation{a}",
            "\"\"\"text\"\"\" mutation { a }",
        ] {
            assert!(changes(bad), "{bad}");
        }
        for good in [
            "{ mutation { a } }",
            "query mutation { a }",
            "query ($mutation: Int) { mutation(a: \"mutation {\") { a } }",
            "mutation in genes",
            "query Q { a(x: {mutation: {a: 1}}) }",
            "",
        ] {
            assert!(!changes(good), "{good}");
        }
        assert!(is_mutation(
            &serde_json::json!([{ "query": "{ a }" }, { "query": "mutation { a }" }])
        ));
        assert!(!is_mutation(
            &serde_json::json!({ "text": "mutation { a }" })
        ));
    }
}

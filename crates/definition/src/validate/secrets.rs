use crate::problem::Problem;
use crate::template;

/// What to do with a secret that was written into a definition.
pub(super) const CURE: &str =
    "store it with `tidemark secret set NAME` and name it under the connection's `auth`";

/// Names that hold secrets wherever they occur; compared without case, `-` and `_`.
const STRONG: &[&str] = &[
    "apikey",
    "apisecret",
    "apitoken",
    "accesstoken",
    "accesskey",
    "authtoken",
    "authkey",
    "clientsecret",
    "secret",
    "secretkey",
    "password",
    "passwd",
    "pwd",
    "privatekey",
    "appkey",
    "appsecret",
    "refreshtoken",
    "sessiontoken",
    "bearertoken",
    "subscriptionkey",
];
/// Names that hold secrets when their value looks like one.
const WEAK: &[&str] = &["key", "token", "auth", "session", "sid", "jwt", "bearer"];

/// Tells whether a parameter holds a secret in plain text. Templates and empty values do not.
pub fn is_secret_parameter(name: &str, value: &str) -> bool {
    if value.trim().is_empty() || template::is_template(value) {
        return false;
    }
    let name = plain(name);
    STRONG.contains(&name.as_str()) || (WEAK.contains(&name.as_str()) && looks_random(value))
}

/// Tells whether a header holds a secret in plain text.
pub fn is_secret_header(name: &str, value: &str) -> bool {
    if value.trim().is_empty() || template::is_template(value) {
        return false;
    }
    let name = plain(name);
    matches!(name.as_str(), "authorization" | "cookie")
        || STRONG.iter().any(|strong| name.ends_with(strong))
        || (WEAK.iter().any(|weak| name.ends_with(weak)) && looks_random(value))
}

/// Tells whether a password in plain text is more than the placeholder some APIs ask for.
pub(super) fn is_probably_secret(text: &str) -> bool {
    text.chars().count() > 1
        && !matches!(text, "api_token" | "password" | "none" | "unused" | "blank")
}

/// The problem of a secret in an address; its value is never shown.
pub(super) fn in_url(path: &str, name: &str) -> Problem {
    let shown = crate::problem::quoted(&format!("{name}=***"));
    Problem::new(
        "definition.secret_in_url",
        path,
        format!("a secret is written in the address: {shown}"),
    )
    .hint(CURE)
}

/// The problem of a secret in a body; its value is never shown.
pub(super) fn in_body(path: &str, name: &str) -> Problem {
    let shown = crate::problem::quoted(&format!("{name}: ***"));
    Problem::new(
        "definition.secret_in_body",
        path,
        format!("a secret is written in the body: {shown}"),
    )
    .hint(CURE)
}

fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_' | '.' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

fn looks_random(value: &str) -> bool {
    value.len() >= 16
        && !value.contains(' ')
        && value.bytes().any(|b| b.is_ascii_digit())
        && value.bytes().any(|b| b.is_ascii_alphabetic())
}

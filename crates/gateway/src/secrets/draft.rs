//! A secret as it is sent: read without a word of it being said again, and fit to be sent on.

use http::StatusCode;
use serde::Deserialize;
use service::Secret;
use utoipa::ToSchema;

use crate::body::Content;
use crate::problem::Problem;

/// Keys and service-account files are far below this.
const VALUE_BYTES: usize = 64 * 1024;
/// More would not be a secret any more.
const ORIGINS: usize = 20;

/// A secret to be kept; `text/plain` with the bare value does as well.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretDraft {
    /// The value: one line, or a PEM or JSON key as it is.
    #[schema(value_type = String, format = Password)]
    pub(super) value: Secret,
    /// Where it may be sent (`https://host` or `https://host:port`); by default, the addresses of
    /// the connections that use it.
    #[serde(default)]
    pub(super) origins: Option<Vec<String>>,
}

impl SecretDraft {
    /// Reads and checks a body.
    pub(super) fn read(content: &Content) -> Result<Self, Problem> {
        const SHAPE: &str = "an object such as `{\"value\": \"…\", \"origins\": [\"https://…\"]}`, or the bare value as text/plain";
        let draft = if content.media_type == "text/plain" {
            let text = content.text()?;
            let text = text.strip_suffix('\n').unwrap_or(text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            Self {
                value: Secret::new(text),
                origins: None,
            }
        } else {
            content.sealed_json(SHAPE)?
        };
        let value = draft.value.expose();
        match value.len() {
            0 => return Err(Problem::body("request.invalid", "the value is empty")),
            1..=VALUE_BYTES => {}
            _ => {
                return Err(Problem::body(
                    "request.invalid",
                    format!("a value has at most {VALUE_BYTES} bytes"),
                ));
            }
        }
        match unfit(value) {
            Some(why) => Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "secret.unfit",
                "this value could never be sent",
            )
            .detail(why)),
            None => Ok(draft),
        }
    }
}

/// Says why a value could be sent with no request: headers and queries take one line, keys are files.
fn unfit(value: &str) -> Option<&'static str> {
    if value.contains('\0') {
        return Some("it holds a NUL character; send the text of the secret alone");
    }
    let is_lines = value.contains(['\r', '\n']);
    (is_lines && !is_pem(value) && !is_json_document(value)).then_some(
        "it holds a line break, and is neither a key in PEM nor a JSON key file; was it copied with a second line?",
    )
}

fn is_pem(value: &str) -> bool {
    let text = value.trim();
    text.starts_with("-----BEGIN ") && text.contains("\n-----END ") && text.ends_with("-----")
}

fn is_json_document(value: &str) -> bool {
    value.trim_start().starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok()
}

/// Returns origins as they are compared, sorted.
pub(super) fn normal_origins(origins: &[String]) -> Result<Vec<String>, Problem> {
    if origins.len() > ORIGINS {
        return Err(Problem::body(
            "request.invalid",
            format!("at most {ORIGINS} origins"),
        ));
    }
    let mut normal = Vec::with_capacity(origins.len());
    for (place, origin) in origins.iter().enumerate() {
        // By its place: what stands there by mistake may be the secret.
        let refused = || {
            Problem::body(
                "request.invalid",
                format!("`origins[{place}]` is not an origin such as `https://api.example.com`"),
            )
        };
        let url = url::Url::parse(origin).map_err(|_| refused())?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(refused());
        };
        if !bare || !anonymous || !matches!(url.scheme(), "http" | "https") {
            return Err(refused());
        }
        normal.push(format!("{}://{host}:{port}", url.scheme()));
    }
    normal.sort();
    normal.dedup();
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_no_request_could_carry_is_unfit() {
        for wrong in [
            "a\0b",
            "a\r\nX: 1",
            "a\nb",
            "a\n",
            "\ra",
            "-----BEGIN PRIVATE KEY-----\nMIIE",
            "-----BEGIN PRIVATE KEY-----\nMI\0IE\n-----END PRIVATE KEY-----",
            "{\"private_key\":\n",
            "[\n1]",
        ] {
            assert!(unfit(wrong).is_some(), "{wrong:?}");
        }
        for fine in [
            "sk_live_1",
            "with space\tand tab",
            "pässword",
            "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\r\nMIIE\r\n-----END RSA PRIVATE KEY-----",
            "{\n  \"type\": \"service_account\",\n  \"private_key\": \"-----BEGIN…\\n\"\n}\n",
        ] {
            assert_eq!(unfit(fine), None, "{fine:?}");
        }
    }

    #[test]
    fn origins_are_written_one_way() {
        let given = [
            "https://Api.Example.com/".to_owned(),
            "http://10.0.0.1:8080".to_owned(),
        ];
        let normal = normal_origins(&given).unwrap();
        assert_eq!(
            normal,
            ["http://10.0.0.1:8080", "https://api.example.com:443"]
        );
    }

    #[test]
    fn what_is_more_than_an_origin_is_refused_by_its_place() {
        for wrong in [
            "key.example.com",
            "https://a.example/path",
            "https://u:p@a.example",
            "ftp://a",
        ] {
            let text = format!("{:?}", normal_origins(&[wrong.to_owned()]).unwrap_err());
            assert!(
                text.contains("origins[0]") && !text.contains(wrong),
                "{text}"
            );
        }
    }
}

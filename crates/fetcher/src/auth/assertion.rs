//! Signed assertions (RFC 7523): who says what of whom, for how long, proved by a private key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use definition::{Algorithm, Assertion};
use jiff::Timestamp;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};
use service::Secret;

use super::TokenFault;

/// Servers' clocks differ a little from ours.
const BACKDATED: i64 = 10;

/// What an assertion is made for.
pub(super) struct Claims<'a> {
    pub(super) audience: &'a str,
    pub(super) scopes: &'a [String],
    /// The `claims` of the definition, rendered.
    pub(super) further: Vec<(String, String)>,
}

/// A key as people store it: PEM alone, or the file that Google hands out for a service account.
struct Key {
    pem: Secret,
    id: Option<String>,
    issuer: Option<String>,
}

/// Signs an assertion that holds from `now`; `stored` is the value of the secret.
pub(super) fn sign(
    assertion: &Assertion,
    claims: Claims<'_>,
    stored: &Secret,
    now: Timestamp,
) -> Result<Secret, TokenFault> {
    let name = &assertion.key.secret;
    let unfit = |what: &str| TokenFault::Unfit(format!("the secret `{name}` {what}"));
    let key = read(stored).ok_or_else(|| {
        unfit("holds no private key: store it as PEM (BEGIN PRIVATE KEY), or the whole key file")
    })?;
    let issuer = assertion.issuer.clone().or(key.issuer).ok_or_else(|| {
        TokenFault::Unfit("`issuer` is missing, and the key file names none".to_owned())
    })?;
    let (scheme, algorithm) = match assertion.algorithm {
        Algorithm::Rs256 => (SignatureScheme::RSA_PKCS1_SHA256, "RS256"),
        Algorithm::Es256 => (SignatureScheme::ECDSA_NISTP256_SHA256, "ES256"),
    };
    let mut header = json!({ "alg": algorithm, "typ": "JWT" });
    if let Some(id) = assertion.key_id.clone().or(key.id) {
        header["kid"] = json!(id);
    }
    let second = now.as_second();
    let seconds = i64::try_from(assertion.lifetime.to_duration().as_secs()).unwrap_or(3600);
    let mut said: Map<String, Value> = claims
        .further
        .into_iter()
        .map(|(name, text)| (name, json!(text)))
        .collect();
    let subject = assertion.subject.as_ref().unwrap_or(&issuer);
    said.insert("sub".to_owned(), json!(subject));
    said.insert("iss".to_owned(), json!(issuer));
    said.insert("aud".to_owned(), json!(claims.audience));
    said.insert("iat".to_owned(), json!(second - BACKDATED));
    said.insert("exp".to_owned(), json!(second - BACKDATED + seconds));
    said.insert(
        "jti".to_owned(),
        json!(format!("{:032x}", rand::random::<u128>())),
    );
    if !claims.scopes.is_empty() {
        said.insert("scope".to_owned(), json!(claims.scopes.join(" ")));
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&Value::Object(said)));

    let der = PrivateKeyDer::from_pem_slice(key.pem.expose().as_bytes())
        .map_err(|_| unfit("holds no private key that can be read"))?;
    let signing = rustls::crypto::ring::sign::any_supported_type(&der)
        .map_err(|_| unfit("holds a private key of a kind that is not supported"))?;
    let signer = signing
        .choose_scheme(&[scheme])
        .ok_or_else(|| unfit(&format!("holds a key that cannot sign {algorithm}")))?;
    let mut signature = signer
        .sign(message.as_bytes())
        .map_err(|_| unfit("holds a key that cannot sign"))?;
    if assertion.algorithm == Algorithm::Es256 {
        signature = fixed(&signature).ok_or_else(|| unfit("holds a key that cannot sign"))?;
    }
    Ok(Secret::new(format!(
        "{message}.{}",
        URL_SAFE_NO_PAD.encode(signature)
    )))
}

/// Returns further texts of a stored key that must not be shown: the key inside a key file.
pub(super) fn inner_secret(stored: &Secret) -> Option<Secret> {
    read(stored).map(|key| key.pem)
}

fn read(stored: &Secret) -> Option<Key> {
    let text = stored.expose().trim();
    if text.starts_with('{') {
        let file: Map<String, Value> = serde_json::from_str(text).ok()?;
        let field = |name: &str| file.get(name).and_then(Value::as_str).map(str::to_owned);
        return Some(Key {
            pem: Secret::new(field("private_key")?),
            id: field("private_key_id"),
            issuer: field("client_email"),
        });
    }
    // People paste keys into one line, with `\n` written out.
    let text = if text.contains('\n') {
        text.to_owned()
    } else {
        text.replace("\\n", "\n")
    };
    text.contains("-----BEGIN").then(|| Key {
        pem: Secret::new(text),
        id: None,
        issuer: None,
    })
}

/// Turns an ECDSA signature from ASN.1 (two integers in a sequence) into the two numbers side by side (RFC 7518, 3.4).
fn fixed(der: &[u8]) -> Option<Vec<u8>> {
    let [0x30, length, rest @ ..] = der else {
        return None;
    };
    if usize::from(*length) != rest.len() {
        return None;
    }
    let (r, rest) = integer(rest)?;
    let (s, rest) = integer(rest)?;
    rest.is_empty().then(|| [r, s].concat())
}

fn integer(der: &[u8]) -> Option<([u8; 32], &[u8])> {
    let [0x02, length, rest @ ..] = der else {
        return None;
    };
    let (digits, rest) = rest.split_at_checked(usize::from(*length))?;
    let digits = digits.strip_prefix(&[0]).unwrap_or(digits);
    let mut number = [0; 32];
    number
        .get_mut(32_usize.checked_sub(digits.len())?..)?
        .copy_from_slice(digits);
    Some((number, rest))
}

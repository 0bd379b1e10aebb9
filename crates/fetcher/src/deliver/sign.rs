//! Signatures as Standard Webhooks say: HMAC-SHA256 over id, time and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use service::Secret;
use sha2::Sha256;

/// What Standard Webhooks write before a key.
const PREFIX: &str = "whsec_";

/// Returns the value of `webhook-signature` for a message.
///
/// A key of the form `whsec_<base64>` is decoded as the specification says; any other text is the key itself.
pub(super) fn signature(key: &Secret, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let key = key.expose().trim();
    let decoded = key
        .strip_prefix(PREFIX)
        .and_then(|rest| STANDARD.decode(rest).ok());
    let key = decoded.as_deref().unwrap_or(key.as_bytes());
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Some(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification_s_own_example() {
        // From the test of the reference libraries of Standard Webhooks.
        let key = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed = signature(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signed.as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    #[test]
    fn a_key_that_is_no_base64_is_taken_as_it_is() {
        let one = signature(&Secret::new("plain key"), "m", 1, b"x");
        let same = signature(&Secret::new(" plain key\n"), "m", 1, b"x");
        assert_eq!(one, same);
        assert_ne!(one, signature(&Secret::new("other key"), "m", 1, b"x"));
    }
}

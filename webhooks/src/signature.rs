//! Signatures as Standard Webhooks 1.0.0 wants them, and the secret that each app verifies them with.

use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::AppId;
use eventstore::{Secret, StoreError, Vault};

const KIND: &str = "webhook_signing";
const PREFIX: &str = "whsec_";

/// The secret (`whsec_…`) that signs an app's webhooks; made when it is first asked for.
///
/// # Errors
/// When the vault fails.
pub async fn signing_secret(vault: &Vault, app_id: &AppId) -> Result<Secret, StoreError> {
    if let Some(secret) = vault.get(KIND, app_id.as_str()).await? {
        return Ok(secret);
    }
    let made = format!("{PREFIX}{}", STANDARD.encode(random_bytes()));
    vault.put_if_absent(KIND, app_id.as_str(), &Secret::new(made)).await
}

/// The value of `webhook-signature`; `None` if the secret is no `whsec_` and base64.
pub(crate) fn sign(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let key = STANDARD.decode(secret.expose_text()?.strip_prefix(PREFIX)?).ok()?;
    let mut signed = format!("{id}.{timestamp}.").into_bytes();
    signed.extend_from_slice(body);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed);
    Some(format!("v1,{}", STANDARD.encode(tag)))
}

/// 32 of them.
pub(crate) fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the system's source of randomness answers");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector that the official libraries of Standard Webhooks test with.
    #[test]
    fn the_published_vector_is_signed_as_published() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn another_time_or_another_body_has_another_signature() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signature = sign(&secret, "msg_1", 1_614_265_330, b"{}");
        assert_ne!(signature, sign(&secret, "msg_1", 1_614_265_331, b"{}"));
        assert_ne!(signature, sign(&secret, "msg_1", 1_614_265_330, b"{ }"));
        assert_ne!(signature, sign(&secret, "msg_2", 1_614_265_330, b"{}"));
    }

    #[test]
    fn a_secret_of_another_form_signs_nothing() {
        for text in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_?", ""] {
            assert_eq!(sign(&Secret::new(text), "msg_1", 0, b"{}"), None, "{text:?}");
        }
    }
}

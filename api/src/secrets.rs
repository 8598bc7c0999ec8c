//! Random secrets and their hashes. All of them are 256 bits from the system, so a plain hash protects them.

use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::SecretHash;
use uuid::Uuid;

/// `prefix` and 256 random bits as text.
#[must_use]
pub fn random_secret(prefix: &str) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random_bytes()))
}

/// `prefix`, 256 random bits as text, and a checksum by which scanners of source code tell a secret from a look-alike
/// without asking us (C15).
#[must_use]
pub fn client_secret(prefix: &str) -> String {
    let secret = random_secret(prefix);
    let checksum = hex_digest(secret.as_bytes());
    format!("{secret}{}", &checksum[..6])
}

/// What is stored of a secret: SHA-256 of its whole text.
#[must_use]
pub fn hash_of(secret: &str) -> SecretHash {
    hex_digest(secret.as_bytes()).parse().expect("64 lowercase hex digits are a secret's hash")
}

/// SHA-256 as lowercase hex.
pub(crate) fn hex_digest(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 as base64url, as PKCE wants it (RFC 7636 §4.2).
pub(crate) fn base64_digest(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, bytes))
}

/// A code or refresh token that says which stream it belongs to, so that no table is searched for it.
pub(crate) fn token_of(prefix: &str, stream: Uuid) -> String {
    let mut bytes = stream.as_bytes().to_vec();
    bytes.extend_from_slice(&random_bytes());
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// The stream that a token made by [`token_of`] belongs to.
pub(crate) fn stream_of(prefix: &str, token: &str) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(prefix)?).ok()?;
    if bytes.len() != 48 {
        return None;
    }
    Uuid::from_slice(&bytes[..16]).ok()
}

fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the system's source of randomness answers");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_stream() {
        let stream = Uuid::now_v7();
        let token = token_of("auth_", stream);
        assert_eq!(stream_of("auth_", &token), Some(stream));
        assert_eq!(stream_of("refresh_", &token), None);
        assert_eq!(stream_of("auth_", "auth_short"), None);
    }

    #[test]
    fn a_client_secret_ends_in_its_checksum() {
        let secret = client_secret("sk_");
        let (text, checksum) = secret.split_at(secret.len() - 6);
        assert_eq!(checksum, &hex_digest(text.as_bytes())[..6]);
        assert_eq!(text.len(), "sk_".len() + 43, "256 bits in base64url");
    }

    #[test]
    fn secrets_differ_and_their_hashes_are_hex() {
        assert_ne!(random_secret("sk_"), random_secret("sk_"));
        assert_eq!(
            hash_of("").as_str(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "SHA-256 of nothing, FIPS 180-4"
        );
    }
}

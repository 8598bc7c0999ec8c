//! Proofs of secrets: hashes and challenges. The secrets themselves never come here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{InvalidValue, choices, text_value};

text_value! {
    /// The SHA-256 of a random secret of 256 bits, as 64 lower-case hexadecimal digits.
    SecretHash = parse_secret_hash
}

fn parse_secret_hash(text: &str) -> Result<String, InvalidValue> {
    if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new("hash", "must be a SHA-256 as 64 lower-case hexadecimal digits"))
}

/// A password's argon2id hash in PHC form. It can be guessed at, so it is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct PasswordHash(String);

impl PasswordHash {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PasswordHash {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        if text.starts_with("$argon2id$") && text.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(Self(text));
        }
        Err(InvalidValue::new("password hash", "must be a PHC string that begins with $argon2id$"))
    }
}

impl FromStr for PasswordHash {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::try_from(text.to_owned())
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

choices! {
    /// How a code challenge is made from its verifier (RFC 7636 §4.2).
    CodeChallengeMethod: "code_challenge_method" {
        S256 = "S256",
        Plain = "plain",
    }
}

/// What the redeemer of a code must know the verifier of (RFC 7636).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct CodeChallenge {
    method: CodeChallengeMethod,
    value: String,
}

/// A challenge as it is stored.
#[derive(Deserialize)]
struct Unchecked {
    method: CodeChallengeMethod,
    value: String,
}

impl CodeChallenge {
    pub fn new(method: CodeChallengeMethod, value: impl Into<String>) -> Result<Self, InvalidValue> {
        let value = value.into();
        let (valid, reason) = match method {
            CodeChallengeMethod::S256 => (
                value.len() == 43 && value.bytes().all(is_base64url),
                "must have 43 base64url characters, as every S256 challenge has",
            ),
            CodeChallengeMethod::Plain => (
                (43..=128).contains(&value.len()) && value.bytes().all(is_unreserved),
                "must have 43 to 128 characters of A-Z, a-z, 0-9, -, ., _ and ~",
            ),
        };
        if valid {
            return Ok(Self { method, value });
        }
        Err(InvalidValue::new("code_challenge", reason))
    }

    pub fn method(&self) -> CodeChallengeMethod {
        self.method
    }

    pub fn value(&self) -> &str {
        &self.value
    }
}

impl TryFrom<Unchecked> for CodeChallenge {
    type Error = InvalidValue;

    fn try_from(unchecked: Unchecked) -> Result<Self, InvalidValue> {
        Self::new(unchecked.method, unchecked.value)
    }
}

fn is_base64url(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
}

fn is_unreserved(b: u8) -> bool {
    is_base64url(b) || matches!(b, b'.' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_hash_is_64_lower_case_hexadecimal_digits() {
        assert!("0f".repeat(32).parse::<SecretHash>().is_ok());
        for text in ["", &"0F".repeat(32), &"0f".repeat(31), &"0g".repeat(32)] {
            assert!(text.parse::<SecretHash>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_password_hash_is_argon2id_and_never_shown() {
        let hash: PasswordHash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".parse().unwrap();
        assert_eq!(format!("{hash:?}"), "PasswordHash(…)");
        assert!("$argon2i$v=19$x".parse::<PasswordHash>().is_err());
        assert!("hunter2".parse::<PasswordHash>().is_err());
    }

    #[test]
    fn an_s256_challenge_has_43_characters() {
        let s256 = |length| CodeChallenge::new(CodeChallengeMethod::S256, "a".repeat(length));
        assert!(s256(43).is_ok());
        assert!(s256(42).is_err()); // C24
        assert!(s256(44).is_err());
        assert!(CodeChallenge::new(CodeChallengeMethod::S256, "~".repeat(43)).is_err());
    }

    #[test]
    fn a_plain_challenge_has_43_to_128_characters() {
        let plain = |length| CodeChallenge::new(CodeChallengeMethod::Plain, "~".repeat(length));
        assert!(plain(42).is_err());
        assert!(plain(43).is_ok());
        assert!(plain(128).is_ok());
        assert!(plain(129).is_err());
    }

    #[test]
    fn a_challenge_is_checked_in_json_too() {
        let json = format!("{{\"method\":\"S256\",\"value\":\"{}\"}}", "a".repeat(43));
        let challenge: CodeChallenge = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&challenge).unwrap(), json);
        assert!(serde_json::from_str::<CodeChallenge>(&json.replace("aaa", "a")).is_err());
    }
}

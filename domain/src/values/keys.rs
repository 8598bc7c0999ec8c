//! A client's own public keys.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::InvalidValue;

/// The members that a private or symmetric JWK has and a public one has not (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A JWK Set of 1 to 10 public keys (RFC 7517 §5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct Jwks(Value);

impl Jwks {
    /// The keys, each a JWK.
    pub fn keys(&self) -> &[Value] {
        self.0["keys"].as_array().map_or(&[], Vec::as_slice)
    }
}

impl TryFrom<Value> for Jwks {
    type Error = InvalidValue;

    fn try_from(set: Value) -> Result<Self, InvalidValue> {
        let refused = |reason: &str| Err(InvalidValue::new("jwks", reason));
        let Some(keys) = set["keys"].as_array().filter(|keys| (1..=10).contains(&keys.len())) else {
            return refused("must be an object whose member keys lists 1 to 10 public keys (RFC 7517 §5)");
        };
        for key in keys {
            let Some(members) = key.as_object().filter(|members| members.get("kty").is_some_and(Value::is_string))
            else {
                return refused("must list keys that say their kty");
            };
            if PRIVATE_MEMBERS.iter().any(|name| members.contains_key(*name)) {
                return refused(
                    "must list public keys only; a private key that was sent anywhere is not private any more",
                );
            }
        }
        Ok(Self(set))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_public_keys_are_taken() {
        let public = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}]});
        assert_eq!(Jwks::try_from(public).unwrap().keys().len(), 1);
        let private = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "d": "d"}]});
        for refused in
            [private, json!({}), json!([]), json!({"keys": []}), json!({"keys": ["x"]}), json!({"keys": [{}]})]
        {
            assert!(Jwks::try_from(refused).is_err());
        }
    }
}

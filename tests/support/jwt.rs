//! JWTs as a client sees them: verified against the published keys, with nothing of ours.

use crate::Server;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Header, Validation, decode, decode_header};
use serde_json::Value;

/// The keys that the server publishes now.
pub async fn published_keys(server: &Server) -> JwkSet {
    server.http().get("/.well-known/jwks.json").await.expect(200).parse()
}

/// The ids of the keys that the server publishes now.
pub async fn published_kids(server: &Server) -> Vec<String> {
    let keys = published_keys(server).await.keys;
    keys.into_iter().map(|key| key.common.key_id.expect("every key has an id")).collect()
}

/// The claims of a token that one of the published keys signed; its audience and times are the test's to look at.
pub async fn verified(server: &Server, token: &str) -> Value {
    let header = header_of(token);
    let kid = header.kid.expect("every token names its key");
    let keys = published_keys(server).await;
    let key = keys.find(&kid).unwrap_or_else(|| panic!("the key {kid} is not published"));
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_jwk(key).expect("a published key is usable");
    decode(token, &key, &validation).unwrap_or_else(|error| panic!("the token does not verify: {error}")).claims
}

pub fn header_of(token: &str) -> Header {
    decode_header(token).unwrap_or_else(|error| panic!("this is no JWT ({error}): {token}"))
}

pub fn kid_of(token: &str) -> String {
    header_of(token).kid.expect("every token names its key")
}

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Duration;
use database::{LOG_SQLITE, open_sqlite};
use domain::{Instance, InstanceCommand, SigningAlgorithm};
use eventstore::{Clock, Context, EventStore, Execution, MasterKey};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use super::pair::PrivateKey;
use super::ring::VAULT_KIND;
use super::*;

/// An instance in a folder of its own, which goes with the test.
struct Fixture {
    store: EventStore,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = open_sqlite(&folder.path().join("log.sqlite"), LOG_SQLITE).await.expect("a new log");
        let master = MasterKey::from_file(&folder.path().join("master.key")).expect("a new master key");
        let store = EventStore::open(log, master, Clock::default(), &["instance"]).await.expect("a new store");
        Self { store, _folder: folder }
    }

    async fn keys(&self) -> SigningKeys {
        SigningKeys::open(&self.store).await.expect("the keys")
    }

    /// Replaces the ES256 key at once.
    async fn replace(&self) {
        let pkcs8 = PrivateKey::generate(SigningAlgorithm::Es256).expect("a key");
        let key = PrivateKey::parse(SigningAlgorithm::Es256, &pkcs8).and_then(|pair| pair.public()).expect("a key");
        self.store.vault().put_if_absent(VAULT_KIND, &key.kid, &eventstore::Secret::new(pkcs8)).await.expect("sealed");
        let at = self.store.clock().now();
        let retention = Duration::hours(25);
        let command = InstanceCommand::RotateSigningKeys { keys: vec![key], signs_from: at, retention, at };
        let context = Context::system("test");
        self.store.execute(Execution::<Instance>::new(Instance::ID, command, &context)).await.expect("rotated");
    }
}

/// What the token endpoint signs by default.
impl SigningKeys {
    fn sign_id_token(&self, claims: &Value) -> Result<String, KeyError> {
        self.sign(SigningAlgorithm::Rs256, ID_TOKEN, claims, self.now())
    }

    fn sign_access_token(&self, claims: &Value) -> Result<String, KeyError> {
        self.sign(SigningAlgorithm::Es256, ACCESS_TOKEN, claims, self.now())
    }
}

fn claims() -> Value {
    json!({"sub": "user_ada", "n": 1})
}

fn kid_of(token: &str) -> String {
    decode_header(token).expect("a header").kid.expect("a kid")
}

/// The token with another header, the signature as it was.
fn with_header(token: &str, header: &Value) -> String {
    let (_, rest) = token.split_once('.').expect("three parts");
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[tokio::test]
async fn each_algorithm_signs_what_the_published_keys_verify() {
    let fixture = Fixture::new().await;
    let keys = fixture.keys().await;
    let public: JwkSet = serde_json::from_value(keys.public(keys.now())).expect("a JWK Set");
    assert_eq!(public.keys.len(), 3);
    for algorithm in SigningAlgorithm::ALL {
        let token = keys.sign(*algorithm, "JWT", &claims(), keys.now()).expect("signed");
        let header = decode_header(&token).expect("a header");
        assert_eq!(serde_json::to_value(header.alg).unwrap(), algorithm.as_str());
        let jwk = public.find(&kid_of(&token)).expect("the key is published");
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let verified = decode::<Value>(&token, &DecodingKey::from_jwk(jwk).expect("a key"), &validation);
        assert_eq!(verified.expect("it verifies").claims, claims());
        assert_eq!(keys.verify_id_token_hint(&token), Some(claims()));
    }
    for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
        assert!(public.keys.iter().all(|key| serde_json::to_value(key).unwrap().get(private).is_none()));
    }
}

#[tokio::test]
async fn what_we_did_not_sign_for_this_purpose_is_refused() {
    let (fixture, other) = (Fixture::new().await, Fixture::new().await);
    let (keys, foreign) = (fixture.keys().await, other.keys().await);
    let (id_token, access_token) = (keys.sign_id_token(&claims()).unwrap(), keys.sign_access_token(&claims()).unwrap());
    assert_eq!(keys.verify_access_token(&access_token), Some(claims()));
    assert_eq!(keys.verify_access_token::<Value>(&id_token), None, "an ID token is no access token");
    assert_eq!(keys.verify_id_token_hint::<Value>(&access_token), None, "and the other way round");
    let logout = keys.sign(SigningAlgorithm::Rs256, "logout+jwt", &claims(), keys.now()).unwrap();
    assert_eq!(keys.verify_id_token_hint::<Value>(&logout), None);

    assert_eq!(keys.verify_access_token::<Value>(&foreign.sign_access_token(&claims()).unwrap()), None);
    let kid = kid_of(&id_token);
    let unsigned = with_header(&id_token, &json!({"typ": "JWT", "alg": "none", "kid": kid}));
    let (without, _) = unsigned.rsplit_once('.').unwrap();
    let foreign_kid = kid_of(&foreign.sign_id_token(&claims()).unwrap());
    for forged in [
        unsigned.clone(),
        format!("{without}."),
        with_header(&id_token, &json!({"typ": "JWT", "alg": "HS256", "kid": kid})),
        with_header(&id_token, &json!({"typ": "JWT", "alg": "RS256"})),
        with_header(&id_token, &json!({"typ": "JWT", "alg": "RS256", "kid": foreign_kid})),
        with_header(&access_token, &json!({"typ": "JWT", "alg": "ES256", "kid": kid_of(&access_token)})),
        foreign.sign_id_token(&claims()).unwrap(),
        String::new(),
    ] {
        assert_eq!(keys.verify_id_token_hint::<Value>(&forged), None, "{forged}");
    }
}

#[tokio::test]
async fn nodes_that_start_together_have_the_same_keys() {
    let fixture = Fixture::new().await;
    let (one, two) = tokio::join!(fixture.keys(), fixture.keys());
    assert_eq!(one.public(one.now()), two.public(two.now()));
    let sealed = fixture.store.vault().list(VAULT_KIND).await.unwrap();
    assert_eq!(sealed.len(), 3, "who was late has left nothing in the vault");
}

#[tokio::test]
async fn a_replaced_key_signs_no_more_is_recognised_as_long_as_its_tokens_last_and_is_destroyed() {
    let fixture = Fixture::new().await;
    let keys = fixture.keys().await;
    let before = keys.sign_access_token(&claims()).unwrap();
    let hint = keys.sign(SigningAlgorithm::Es256, ID_TOKEN, &claims(), keys.now()).unwrap();
    fixture.replace().await;
    keys.refresh().await.unwrap();
    let after = keys.sign_access_token(&claims()).unwrap();
    assert_ne!(kid_of(&before), kid_of(&after));
    for token in [&before, &after] {
        assert_eq!(keys.verify_access_token(token), Some(claims()));
    }
    fixture.store.clock().advance(2 * 3600);
    keys.tidy().await;
    let sealed: Vec<_> =
        fixture.store.vault().list(VAULT_KIND).await.unwrap().into_iter().map(|(kid, ..)| kid).collect();
    assert!(sealed.len() == 3 && !sealed.contains(&kid_of(&before)) && sealed.contains(&kid_of(&after)));
    assert_eq!(keys.verify_access_token(&before), Some(claims()));

    fixture.store.clock().advance(24 * 3600);
    assert_eq!(keys.verify_access_token::<Value>(&before), None);
    assert_eq!(keys.verify_access_token(&after), Some(claims()));
    // It still says whom a logout is about, also after a restart.
    assert_eq!(fixture.keys().await.verify_id_token_hint(&hint), Some(claims()));
}

#[tokio::test]
async fn a_lost_key_is_named_and_can_be_replaced() {
    let fixture = Fixture::new().await;
    let kid = kid_of(&fixture.keys().await.sign_access_token(&claims()).unwrap());
    fixture.store.vault().shred(VAULT_KIND, &kid).await.unwrap();
    let keys = fixture.keys().await;
    let missing = |outcome: Result<(), KeyError>| matches!(outcome, Err(KeyError::Missing(lost)) if lost == kid);
    assert!(missing(keys.must_sign()) && missing(keys.sign_access_token(&claims()).map(drop)));
    assert!(keys.sign_id_token(&claims()).is_ok(), "the others go on");
    fixture.replace().await;
    keys.refresh().await.unwrap();
    assert!(keys.must_sign().is_ok());
}

//! How a client proves who it is at the token endpoint: by secret, by an assertion of its own key, in one way only.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use support::steps::*;
use support::{Answer, Receiver, Server, on_both_engines, seed};

/// A client's own key.
struct Key {
    signing: EncodingKey,
    public: Value,
}

impl Key {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let point = pair.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..65]].map(|half| BASE64_URL_SAFE_NO_PAD.encode(half));
        Self {
            signing: EncodingKey::from_ec_der(pair.to_pkcs8v1().expect("PKCS #8").as_ref()),
            public: json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "mine", "alg": "ES256"}),
        }
    }

    fn assertion(&self, claims: &Value) -> String {
        let header = Header { kid: Some("mine".to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &self.signing).expect("signed")
    }
}

fn claims(client_id: &str, audience: &str, jti: &str) -> Value {
    let exp = Utc::now().timestamp() + 60;
    json!({"iss": client_id, "sub": client_id, "aud": audience, "exp": exp, "jti": jti})
}

/// An answer that is about the refresh token means that the client was believed.
async fn ask(server: &Server, form: &[(&str, &str)]) -> Answer {
    let form = [&[("grant_type", "refresh_token"), ("refresh_token", "refresh_none")], form].concat();
    server.http().post_form("/oauth/token", &form).await
}

async fn assert_with(server: &Server, assertion: &str) -> Answer {
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    ask(server, &[("client_assertion_type", kind), ("client_assertion", assertion)]).await
}

fn believed(answer: &Answer) -> bool {
    match (answer.status.as_u16(), answer.json()["error"].as_str()) {
        (400, Some("invalid_grant")) => true,
        (401, Some("invalid_client")) => false,
        _ => panic!("unexpected: {} {}", answer.status, answer.text()),
    }
}

on_both_engines! {
    async fn a_client_proves_itself_by_its_own_key_once_per_assertion(engine: Engine) {
        let mut server = Server::start(engine).await;
        let receiver = Receiver::start().await;
        let app = an_app(&server, &receiver, "customer-service").await;
        install(&server, &app).await;
        let credentials = credentials(&webhook(&receiver, &app, 1).await);
        let (key, id) = (Key::new(), credentials.client_id.as_str());
        let settings = json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [key.public]}});
        seed::client_settings(&mut server, id, settings).await;
        let issuer = server.base_url();

        let assertion = key.assertion(&claims(id, &issuer, "first"));
        assert!(believed(&assert_with(&server, &assertion).await));
        let again = assert_with(&server, &assertion).await;
        assert!(!believed(&again), "the same assertion works once");
        assert_eq!(again.json()["error_description"], "Client authentication failed");
        let endpoint = format!("{issuer}/oauth/token");
        assert!(believed(&assert_with(&server, &key.assertion(&claims(id, &endpoint, "second"))).await));

        assert!(!believed(&assert_with(&server, &Key::new().assertion(&claims(id, &issuer, "third"))).await));
        assert!(!believed(&assert_with(&server, &key.assertion(&claims(id, "https://other.example", "third"))).await));
        assert!(!believed(&assert_with(&server, &key.assertion(&claims("app_unknown", &issuer, "third"))).await));
        let mut long = claims(id, &issuer, "third");
        long["exp"] = json!(Utc::now().timestamp() + 2 * 3600);
        assert!(!believed(&assert_with(&server, &key.assertion(&long)).await));
        // Its secret is not taken any more.
        let secret = [("client_id", id), ("client_secret", credentials.client_secret.as_str())];
        assert!(!believed(&ask(&server, &secret).await));
        // Nothing that was refused has used up the name.
        assert!(believed(&assert_with(&server, &key.assertion(&claims(id, &issuer, "third"))).await));

        let kind = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let fourth = key.assertion(&claims(id, &issuer, "fourth"));
        let both = [kind, ("client_assertion", fourth.as_str()), secret[0], secret[1]];
        assert_eq!(ask(&server, &both).await.expect(400).json()["error"], "invalid_request");
        let other_kind = [("client_assertion_type", "urn:other"), ("client_assertion", fourth.as_str())];
        assert_eq!(ask(&server, &other_kind).await.expect(400).json()["error"], "invalid_request");
        the_log_tells_the_same(server).await;
    }

    async fn a_client_may_be_pinned_to_one_way(engine: Engine) {
        let mut server = Server::start(engine).await;
        let receiver = Receiver::start().await;
        let app = an_app(&server, &receiver, "customer-service").await;
        install(&server, &app).await;
        let Credentials { client_id, client_secret, .. } = credentials(&webhook(&receiver, &app, 1).await);
        let grant = [("grant_type", "refresh_token"), ("refresh_token", "refresh_none")];
        let posted = [("client_id", client_id.as_str()), ("client_secret", client_secret.as_str())];
        let basic = async |server: &Server| server.http().basic(&client_id, &client_secret).post_form("/oauth/token", &grant).await;

        assert!(believed(&ask(&server, &posted).await) && believed(&basic(&server).await), "either, if nothing is said");
        for (method, post_is_taken) in [("client_secret_post", true), ("client_secret_basic", false)] {
            seed::client_settings(&mut server, &client_id, json!({"token_endpoint_auth_method": method})).await;
            assert_eq!(believed(&ask(&server, &posted).await), post_is_taken);
            assert_eq!(believed(&basic(&server).await), !post_is_taken);
        }
        assert!(!believed(&ask(&server, &posted[..1]).await), "an id alone is no proof");
        for header in ["Basic", "Basic !!!", "Bearer x"] {
            let answer = server.http().with("authorization", header).post_form("/oauth/token", &grant).await;
            assert!(!believed(&answer));
            assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Basic")));
        }
        let unknown = ask(&server, &[("client_id", "app_unknown"), ("client_secret", "x")]).await.expect(401).json();
        assert_eq!(unknown["error_description"], "Client not found");
        the_log_tells_the_same(server).await;
    }
}

//! What the client libraries find: people, organizations, an API, and a client of each kind.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use support::steps::text;
use support::{Http, Server, free_port};

/// The instance as the programs are told of it, see `world.js`.
pub struct World {
    pub value: Value,
}

/// What every client may ask for.
const SCOPES: [&str; 5] = ["openid", "profile", "email", "organization", "offline_access"];
const API_SCOPES: [&str; 4] =
    ["read:products", "write:products", "org.permission.customer", "org.permission.conversation"];
const API: &str = "https://api.example/products";

impl World {
    /// Sets everything up over the management API, as an operator would.
    pub async fn set_up(server: &Server) -> Self {
        let acme = &server.owner().organization_id;
        let person = a_person(server, "paula@example.com", "Paula Person", acme).await;
        let manager = a_person(server, "max@example.com", "Max Manager", acme).await;
        let body = json!({"name": "Globex", "owner_id": manager["id"]});
        let globex = text(&server.admin().post_json("/v1/organizations", body).await.expect(201).json(), "id");
        let body = json!({"identifier": API, "name": "Products", "scopes": API_SCOPES});
        server.admin().post_json("/v1/apis", body).await.expect(201);

        let key = ClientKey::generate();
        let backchannel_port = free_port();
        let own_key = json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [key.public]}});
        let single_page = format!("http://localhost:{}", free_port());
        let in_browser = json!({
            "redirect_uris": [format!("{single_page}/callback")], "logout_uris": [format!("{single_page}/")],
            "allowed_origins": [single_page],
        });
        let backchannel =
            json!({"backchannel_logout_uri": format!("http://127.0.0.1:{backchannel_port}/backchannel-logout")});
        let tutorial = json!({
            "name": "My OAuth App", "first_party": false, "redirect_uris": ["https://your-redirect-url.net"],
            "allowed_scopes": ["org.permission.customer", "org.permission.conversation", "offline_access"],
            "access_token_lifetime": 86400,
        });
        let mut clients = json!({});
        for (name, kind, more) in [
            ("web", "web", json!({})),
            ("web_es256", "web", json!({"id_token_signed_response_alg": "ES256"})),
            ("web_eddsa", "web", json!({"id_token_signed_response_alg": "EdDSA"})),
            ("spa", "spa", json!({"allowed_origins": ["https://spa.example"]})),
            ("native", "native", json!({"redirect_uris": ["com.example.app:/callback"]})),
            ("jwt", "web", own_key.clone()),
            ("m2m", "m2m", json!({})),
            ("m2m_jwt", "m2m", own_key),
            ("third_party", "web", json!({"first_party": false})),
            ("another_third_party", "web", json!({"first_party": false})),
            ("backchannel", "web", backchannel),
            ("single_page", "spa", in_browser),
            ("switched", "web", json!({})),
            ("tutorial", "web", tutorial),
        ] {
            clients[name] = a_client(server, name, kind, more).await;
        }
        let owner = server.owner();
        let value = json!({
            "issuer": server.base_url(),
            "api_key": owner.api_key,
            "api_secret": owner.api_secret,
            "organization_id": acme,
            "person": person,
            "manager": manager,
            "manager_organizations": [acme, globex],
            "clients": clients,
            "api": {"identifier": API},
            "key_pem": key.pem,
            "backchannel_port": backchannel_port,
            "single_page": single_page,
        });
        Self { value }
    }

    /// A browser in which the person has signed in.
    pub async fn signed_in(&self, server: &Server) -> Http {
        let person = &self.value["person"];
        let browser = server.http();
        let (email, password) = (text(person, "email"), text(person, "password"));
        let form = [("email", email.as_str()), ("password", &password), ("continue", "/portal/dashboard")];
        browser.post_form("/sign-in", &form).await.expect(303);
        browser
    }

    /// One of the clients, by the name it has in `set_up`.
    pub fn client(&self, name: &str) -> &Value {
        &self.value["clients"][name]
    }
}

/// A user with a verified address who is a member of an organization.
async fn a_person(server: &Server, email: &str, name: &str, organization: &str) -> Value {
    let password = format!("the password of {name}");
    let body = json!({"email": email, "name": name, "password": password, "email_verified": true});
    let user = server.admin().post_json("/v1/users", body).await.expect(201).json();
    let id = text(&user, "id");
    let membership = format!("/v1/organizations/{organization}/members/{id}");
    let answer = server.admin().put_json(&membership, json!({"role": "member"})).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    json!({"id": id, "email": email, "name": name, "password": password})
}

async fn a_client(server: &Server, name: &str, kind: &str, more: Value) -> Value {
    let host = name.replace('_', "-");
    let mut body = json!({"name": format!("The {host} client"), "type": kind, "first_party": true});
    if kind == "m2m" {
        body["allowed_scopes"] = json!(["read:products"]);
        body["allowed_audiences"] = json!([API]);
    } else {
        body["allowed_scopes"] = json!([&SCOPES[..], &["read:products"]].concat());
        body["redirect_uris"] = json!([format!("https://{host}.example/callback")]);
        body["logout_uris"] = json!([format!("https://{host}.example/signed-out")]);
    }
    for (field, value) in more.as_object().expect("settings are an object") {
        body[field] = value.clone();
    }
    let made = server.admin().post_json("/v1/clients", &body).await.expect(201).json();
    let mut client = json!({
        "client_id": made["client_id"],
        "redirect_uri": body["redirect_uris"][0],
        "post_logout_redirect_uri": body["logout_uris"][0],
        "id_token_signed_response_alg": body["id_token_signed_response_alg"],
        "client_secret": made["client_secret"],
    });
    // What is not there is left out: null is not undefined.
    client.as_object_mut().expect("it was made as one").retain(|_, value| !value.is_null());
    client
}

/// A client's own key for `private_key_jwt`, made anew for each run.
struct ClientKey {
    pem: String,
    public: Value,
}

impl ClientKey {
    fn generate() -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).expect("random bytes are available");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).expect("it was written a line above");
        // SEC 1 §2.3.3: 0x04 and both coordinates.
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let coordinate = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let body = BASE64_STANDARD.encode(pkcs8.as_ref());
        let lines: Vec<&str> = (0..body.len()).step_by(64).map(|at| &body[at..body.len().min(at + 64)]).collect();
        Self {
            pem: format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")),
            public: json!({
                "kty": "EC", "crv": "P-256", "x": coordinate(x), "y": coordinate(y), "use": "sig", "alg": "ES256",
            }),
        }
    }
}

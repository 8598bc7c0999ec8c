//! The scenarios of the crate `openidconnect`, as its documentation writes a client.

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreUserInfoClaims};
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse, IntrospectionUrl, IssuerUrl,
    Nonce, OAuth2TokenResponse, PkceCodeChallenge, RedirectUrl, RevocationUrl, Scope, TokenIntrospectionResponse,
    TokenResponse,
};
use reqwest::redirect::Policy;
use support::steps::{text, the_log_tells_the_same};
use support::{Server, on_both_engines};

use crate::world::World;

/// How the crate reaches the server. It revokes over https alone, so this stands for the proxy that ends TLS.
async fn transport(request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy().build()?;
    let mut request = reqwest::Request::try_from(request)?;
    request.url_mut().set_scheme("http").expect("one scheme of the web can become the other");
    let answer = client.execute(request).await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = HttpResponse::new(answer.bytes().await?.to_vec());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

on_both_engines! {
    async fn openidconnect_rs(engine: Engine) {
        let server = Server::start(engine).await;
        let world = World::set_up(&server).await;
        let (of, person) = (world.client("web"), &world.value["person"]);
        let issuer = IssuerUrl::new(server.base_url()).expect("the base URL is one");
        let metadata = CoreProviderMetadata::discover_async(issuer, &transport).await.expect("discovery");
        let https = |path: &str| format!("{}{path}", server.base_url().replace("http://", "https://"));
        let client = CoreClient::from_provider_metadata(
            metadata,
            ClientId::new(text(of, "client_id")),
            Some(ClientSecret::new(text(of, "client_secret"))),
        )
        .set_redirect_uri(RedirectUrl::new(text(of, "redirect_uri")).expect("an address"))
        .set_introspection_url(IntrospectionUrl::new(https("/oauth/introspect")).expect("an address"))
        .set_revocation_url(RevocationUrl::new(https("/oauth/revoke")).expect("an address"));

        // A person signs in.
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (address, state, nonce) = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
            .add_scopes(["profile", "email", "offline_access"].map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(challenge)
            .url();
        let browser = world.signed_in(&server).await;
        let back = browser.get(address.as_str()).await.expect(303);
        assert_eq!(back.location_parameter("state").as_ref(), Some(state.secret()));
        let code = AuthorizationCode::new(back.location_parameter("code").expect("the client gets a code"));
        let tokens = client
            .exchange_code(code)
            .expect("discovery named the token endpoint")
            .set_pkce_verifier(verifier)
            .request_async(&transport)
            .await
            .expect("tokens");

        // The ID token is checked: signature, issuer, audience, times, nonce; and that it belongs to the access token.
        let id_token = tokens.id_token().expect("openid was granted");
        let verifier = client.id_token_verifier();
        let claims = id_token.claims(&verifier, &nonce).expect("a valid ID token");
        assert_eq!(claims.subject().as_str(), text(person, "id"));
        assert!(id_token.claims(&verifier, &Nonce::new("another".to_owned())).is_err());

        let userinfo: CoreUserInfoClaims = client
            .user_info(tokens.access_token().clone(), Some(claims.subject().clone()))
            .expect("discovery named the userinfo endpoint")
            .request_async(&transport)
            .await
            .expect("userinfo");
        assert_eq!(userinfo.email().map(|email| email.as_str().to_owned()), Some(text(person, "email")));

        let refreshed = client
            .exchange_refresh_token(tokens.refresh_token().expect("offline_access was granted"))
            .expect("discovery named the token endpoint")
            .request_async(&transport)
            .await
            .expect("tokens again");
        // A refresh has no nonce to compare (OpenID Connect Core §12.2).
        let any = |_: Option<&Nonce>| Ok(());
        let again = refreshed.id_token().expect("a new ID token").claims(&verifier, any).expect("a valid one");
        assert_eq!(again.subject(), claims.subject());

        let look = async || {
            let seen = client.introspect(refreshed.access_token()).request_async(&transport).await;
            seen.expect("an answer about the token").active()
        };
        assert!(look().await);
        let refresh_token = refreshed.refresh_token().expect("it was replaced").clone();
        client
            .revoke_token(refresh_token.into())
            .expect("revocation goes over https")
            .request_async(&transport)
            .await
            .expect("a revoked token");
        assert!(!look().await);
        the_log_tells_the_same(server).await;
    }
}

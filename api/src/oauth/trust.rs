//! Whether an authorization request comes from a client that may be answered at all: until client and redirect URI are
//! known to belong together, nothing may be sent anywhere (RFC 9700 §4.11).

use axum::response::Response;
use domain::{Client, ClientId, ClientType, RedirectUri};

use super::answer::{ResponseMode, page};
use super::parameters::Parameters;
use crate::access_token::active_client;
use crate::{App, Problem};

/// A client that exists and a redirect URI that it registered.
pub(super) struct Trusted {
    pub client_id: ClientId,
    pub client: Client,
    pub redirect_uri: RedirectUri,
    pub state: Option<String>,
    pub response_mode: ResponseMode,
}

/// What the person at the browser is shown instead.
pub(super) type Refusal = Result<Response, Problem>;

pub(super) async fn trust(app: &App, parameters: &Parameters) -> Result<Trusted, Refusal> {
    let Some(client_id) = parameters.get("client_id") else {
        return Err(Ok(page("Invalid Request", "invalid_request: client_id is missing")));
    };
    let unknown = || Ok(page("Invalid Client", "invalid_client: Client not found"));
    let client_id: ClientId = client_id.parse().map_err(|_| unknown())?;
    let client = active_client(app, &client_id).await.map_err(|error| Err(error.into()))?.ok_or_else(unknown)?;
    if client.client_type == ClientType::M2m {
        let text = "unauthorized_client: a machine-to-machine client signs nobody in; it uses client_credentials";
        return Err(Ok(page("Invalid Client", text)));
    }
    let Some(uri) = parameters.get("redirect_uri") else {
        return Err(Ok(page("Invalid Request", "invalid_request: redirect_uri is missing")));
    };
    let not_registered = || Ok(page("Invalid Request", "invalid_request: redirect_uri not registered"));
    if !client.allows_redirect_to(uri) {
        return Err(not_registered());
    }
    let redirect_uri = uri.parse().map_err(|_| not_registered())?;
    let state = parameters.get("state").map(str::to_owned);
    Ok(Trusted { client_id, client, redirect_uri, state, response_mode: ResponseMode::of(parameters) })
}

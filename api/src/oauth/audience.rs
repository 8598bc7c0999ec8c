//! The APIs that a token is for: `resource` (RFC 8707) and `audience` (R096).

use domain::{Api, Client};
use eventstore::StoreError;

use super::request::ErrorAnswer;
use crate::App;
use crate::apis::by_identifier;

/// So many APIs may one token be for.
const MOST: usize = 10;

pub(super) const UNKNOWN_AUDIENCE: ErrorAnswer =
    ("invalid_target", "audience or resource names an API that is not known or not allowed for this client");

/// The APIs with these identifiers; none if the client may not have tokens for one of them.
pub(super) async fn resource_servers(
    app: &App,
    client: &Client,
    identifiers: &[impl AsRef<str>],
) -> Result<Option<Vec<Api>>, StoreError> {
    let mut apis: Vec<Api> = Vec::new();
    for identifier in identifiers.iter().map(AsRef::as_ref) {
        if apis.iter().any(|api| api.identifier.as_str() == identifier) {
            continue;
        }
        match by_identifier(app, identifier).await? {
            Some((_, api)) if is_allowed(client, &api) && apis.len() < MOST => apis.push(api),
            _ => return Ok(None),
        }
    }
    Ok(Some(apis))
}

/// Only its own organization's, and of those the ones that an administrator chose (R097).
fn is_allowed(client: &Client, api: &Api) -> bool {
    let chosen = client.settings.allowed_audiences.as_ref();
    api.organization_id == client.organization_id && chosen.is_none_or(|chosen| chosen.contains(&api.identifier))
}

pub async fn signing_secret(_: &eventstore::Vault, _: &domain::AppId) -> Result<eventstore::Secret, eventstore::StoreError> { unimplemented!() }

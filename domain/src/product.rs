//! A product: what a vendor sells subscriptions of; its slug is a scope (R128).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::OrganizationId;
use crate::values::{Slug, Title};

#[derive(Debug, Clone)]
pub enum ProductCommand {
    /// `organization_id` is the vendor.
    Create {
        organization_id: OrganizationId,
        name: Title,
        slug: Slug,
        description: Option<String>,
        features: Vec<String>,
        /// What a licence allows, told as `slug:permission` (R117); none means `read`.
        permissions: Vec<Slug>,
    },
    /// What is none stays as it is.
    Change { name: Option<Title>, description: Option<String>, features: Option<Vec<String>> },
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ProductEvent {
    Created {
        organization_id: OrganizationId,
        name: Title,
        slug: Slug,
        description: Option<String>,
        features: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        permissions: Vec<Slug>,
    },
    /// Only what changed.
    Changed {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<Title>,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        features: Option<Vec<String>>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProductError {
    #[error("this product does not exist")]
    NotFound,
    #[error("this product already exists")]
    AlreadyExists,
}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub enum Product {
    #[default]
    Unknown,
    Existing(ProductDetails),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductDetails {
    pub organization_id: OrganizationId,
    pub name: Title,
    pub slug: Slug,
    pub description: Option<String>,
    pub features: Vec<String>,
    pub permissions: Vec<Slug>,
}

aggregate! {
    Product = "product",
    ProductCommand -> ProductEvent | ProductError,
    [
        Created = "created",
        Changed = "changed",
    ]
}

impl Product {
    /// The events that `command` causes in this state; none means there is nothing to do.
    pub fn decide(&self, command: ProductCommand) -> Result<Vec<ProductEvent>, ProductError> {
        use {Product as S, ProductCommand as C, ProductError as Refused, ProductEvent as E};
        Ok(match (self, command) {
            (S::Unknown, C::Create { organization_id, name, slug, description, features, permissions }) => {
                vec![E::Created { organization_id, name, slug, description, features, permissions }]
            }
            (S::Unknown, C::Change { .. }) => return Err(Refused::NotFound),
            (S::Existing(_), C::Create { .. }) => return Err(Refused::AlreadyExists),

            (S::Existing(product), C::Change { name, description, features }) => {
                let name = name.filter(|new| *new != product.name);
                let description = description.filter(|new| Some(new) != product.description.as_ref());
                let features = features.filter(|new| *new != product.features);
                if name.is_none() && description.is_none() && features.is_none() {
                    vec![]
                } else {
                    vec![E::Changed { name, description, features }]
                }
            }
        })
    }

    pub fn apply(&mut self, event: ProductEvent) {
        use {Product as S, ProductEvent as E};
        match (self, event) {
            (state, E::Created { organization_id, name, slug, description, features, permissions }) => {
                *state =
                    S::Existing(ProductDetails { organization_id, name, slug, description, features, permissions });
            }
            (S::Unknown, E::Changed { .. }) => {}
            (S::Existing(product), E::Changed { name, description, features }) => {
                if let Some(name) = name {
                    product.name = name;
                }
                if let Some(description) = description {
                    product.description = Some(description);
                }
                if let Some(features) = features {
                    product.features = features;
                }
            }
        }
    }

    pub fn details(&self) -> Option<&ProductDetails> {
        match self {
            Self::Unknown => None,
            Self::Existing(product) => Some(product),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ProductCommand as C, ProductError as Refused, ProductEvent as E, *};
    use crate::scenario::{Scenario, after, parsed, stored_as};

    fn given<const N: usize>(events: [E; N]) -> Scenario<Product> {
        Scenario::given(events)
    }

    fn created() -> E {
        E::Created {
            organization_id: parsed("org_vendor"),
            name: parsed("CRM"),
            slug: parsed("crm"),
            description: None,
            features: vec!["Contacts".into()],
            permissions: vec![],
        }
    }

    fn create() -> C {
        C::Create {
            organization_id: parsed("org_vendor"),
            name: parsed("CRM"),
            slug: parsed("crm"),
            description: None,
            features: vec!["Contacts".into()],
            permissions: vec![],
        }
    }

    fn renamed() -> E {
        E::Changed { name: Some(parsed("CRM Pro")), description: None, features: None }
    }

    #[test]
    fn a_product_is_created_once() {
        given([]).when(create()).then([created()]);
        given([created()]).when(create()).then_refused(Refused::AlreadyExists);
    }

    #[test]
    fn only_what_differs_is_changed() {
        let change =
            C::Change { name: Some(parsed("CRM Pro")), description: None, features: Some(vec!["Contacts".into()]) };
        given([created()]).when(change.clone()).then([renamed()]);
        given([created(), renamed()]).when(change.clone()).then_nothing();
        given([]).when(change).then_refused(Refused::NotFound);
    }

    #[test]
    fn what_was_not_changed_stays() {
        let described = E::Changed { name: None, description: Some("Customers".into()), features: None };
        let state: Product = after([created(), described, renamed()]);
        let product = state.details().unwrap();
        assert_eq!(product.name.as_str(), "CRM Pro");
        assert_eq!(product.description.as_deref(), Some("Customers"));
        assert_eq!(product.features, ["Contacts"]);
    }

    #[test]
    fn stored_forms() {
        stored_as::<Product>(
            [
                (
                    created(),
                    json!({
                        "type": "created",
                        "organization_id": "org_vendor",
                        "name": "CRM",
                        "slug": "crm",
                        "description": null,
                        "features": ["Contacts"],
                    }),
                ),
                (
                    E::Created {
                        organization_id: parsed("org_vendor"),
                        name: parsed("CRM"),
                        slug: parsed("crm"),
                        description: None,
                        features: vec![],
                        permissions: vec![parsed("read"), parsed("write")],
                    },
                    json!({
                        "type": "created",
                        "organization_id": "org_vendor",
                        "name": "CRM",
                        "slug": "crm",
                        "description": null,
                        "features": [],
                        "permissions": ["read", "write"],
                    }),
                ),
                (renamed(), json!({ "type": "changed", "name": "CRM Pro" })),
            ],
            E::TYPES,
        );
    }
}

//! Products and who has subscribed to them.

use chrono::{DateTime, Utc};
use database::{Db, Error, Tx};
use domain::{Event, OrganizationId, ProductEvent, Slug, SubscriptionEvent};
use eventstore::Recorded;
use eventstore::follow::{ApplyError, Boxed, Projection};

use crate::{decode, from_json, json};

pub(crate) struct Subscriptions;

impl Projection for Subscriptions {
    fn name(&self) -> &'static str {
        "subscriptions@1"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["product", "subscription"]
    }

    fn apply<'a>(&'a self, tx: &'a mut Tx, recorded: &'a Recorded) -> Boxed<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            match decode(recorded)? {
                Event::Product(event) => product_changed(tx, recorded, event).await,
                Event::Subscription(event) => Ok(subscription_changed(tx, recorded, event).await?),
                _ => Ok(()),
            }
        })
    }
}

async fn product_changed(tx: &mut Tx, recorded: &Recorded, event: ProductEvent) -> Result<(), ApplyError> {
    let product = recorded.stream_id.as_str();
    match event {
        ProductEvent::Created { organization_id, name, slug, description, features, permissions } => {
            tx.execute(
                "INSERT INTO products (product_id, organization_id, slug, name, description, features, permissions,
                                       created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                (
                    product,
                    organization_id.as_str(),
                    slug.as_str(),
                    name.as_str(),
                    description,
                    json(&features)?,
                    json(&permissions)?,
                    recorded.recorded_at,
                ),
            )
            .await?;
        }
        ProductEvent::Changed { name, description, features } => {
            tx.execute(
                "UPDATE products SET name = COALESCE($2, name), description = COALESCE($3, description),
                                     features = COALESCE($4, features)
                 WHERE product_id = $1",
                (product, name.map(|name| name.to_string()), description, features.as_ref().map(json).transpose()?),
            )
            .await?;
        }
    }
    Ok(())
}

async fn subscription_changed(tx: &mut Tx, recorded: &Recorded, event: SubscriptionEvent) -> Result<(), Error> {
    let subscription = recorded.stream_id.as_str();
    match event {
        SubscriptionEvent::Created {
            organization_id,
            vendor_id,
            product_id,
            total_seats,
            price_per_seat,
            billing_cycle,
            status,
            end_date,
        } => {
            tx.execute(
                "INSERT INTO subscriptions (subscription_id, organization_id, vendor_id, product_id, total_seats,
                                            price_per_seat, billing_cycle, status, end_date, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                (
                    subscription,
                    organization_id.as_str(),
                    vendor_id.as_str(),
                    product_id.as_str(),
                    i64::from(total_seats),
                    price_per_seat.to_string(),
                    billing_cycle.as_str(),
                    status.as_str(),
                    end_date,
                    recorded.recorded_at,
                ),
            )
            .await?;
        }
        SubscriptionEvent::SeatsChanged { total_seats } => {
            let sql = "UPDATE subscriptions SET total_seats = $2 WHERE subscription_id = $1";
            tx.execute(sql, (subscription, i64::from(total_seats))).await?;
        }
        SubscriptionEvent::PriceChanged { price_per_seat } => {
            let sql = "UPDATE subscriptions SET price_per_seat = $2 WHERE subscription_id = $1";
            tx.execute(sql, (subscription, price_per_seat.to_string())).await?;
        }
        SubscriptionEvent::StatusChanged { status } => set_status(tx, subscription, status.as_str()).await?,
        SubscriptionEvent::Cancelled => set_status(tx, subscription, "cancelled").await?,
        SubscriptionEvent::EndDateChanged { end_date } => {
            let sql = "UPDATE subscriptions SET end_date = $2 WHERE subscription_id = $1";
            tx.execute(sql, (subscription, end_date)).await?;
        }
    }
    Ok(())
}

async fn set_status(tx: &mut Tx, subscription: &str, status: &str) -> Result<(), Error> {
    tx.execute("UPDATE subscriptions SET status = $2 WHERE subscription_id = $1", (subscription, status)).await?;
    Ok(())
}

/// A product.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ProductRow {
    /// `prod_…`
    pub product_id: String,
    /// Unique; also the scope that asks for it (R128).
    pub slug: String,
    /// As customers see it.
    pub name: String,
    /// What it is.
    pub description: Option<String>,
    features: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl ProductRow {
    /// What it offers.
    #[must_use]
    pub fn features(&self) -> Vec<String> {
        from_json(&self.features)
    }
}

/// A subscription, with the name of its product.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SubscriptionRow {
    /// `sub_…`
    pub subscription_id: String,
    /// `prod_…`
    pub product_id: String,
    /// The product's name.
    pub product_name: String,
    /// How many may use it.
    pub total_seats: i64,
    /// A decimal, exactly as it was given.
    pub price_per_seat: String,
    /// monthly, yearly
    pub billing_cycle: String,
    /// active, trial, cancelled, expired
    pub status: String,
    /// When it ends, if it does.
    pub end_date: Option<DateTime<Utc>>,
}

/// A page of a vendor's products, by id, after `after`.
///
/// # Errors
/// When the database fails.
pub async fn products_of(db: &Db, vendor: &OrganizationId, after: &str, limit: i64) -> Result<Vec<ProductRow>, Error> {
    db.fetch_all(
        "SELECT product_id, slug, name, description, features, created_at FROM products
         WHERE organization_id = $1 AND product_id > $2 ORDER BY product_id LIMIT $3",
        (vendor.as_str(), after, limit),
    )
    .await
}

/// A page of an organization's subscriptions, by id, after `after`.
///
/// # Errors
/// When the database fails.
pub async fn subscriptions_of(
    db: &Db,
    organization: &OrganizationId,
    after: &str,
    limit: i64,
) -> Result<Vec<SubscriptionRow>, Error> {
    db.fetch_all(
        "SELECT s.subscription_id, s.product_id, p.name AS product_name, s.total_seats, s.price_per_seat,
                s.billing_cycle, s.status, s.end_date
         FROM subscriptions s JOIN products p ON p.product_id = s.product_id
         WHERE s.organization_id = $1 AND s.subscription_id > $2 ORDER BY s.subscription_id LIMIT $3",
        (organization.as_str(), after, limit),
    )
    .await
}

/// A product that an organization may use now (C2).
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Licence {
    /// `prod_…`
    pub product_id: String,
    /// Also the scope that asks for it (R128).
    pub slug: String,
    /// The product's name.
    pub name: String,
    features: String,
    permissions: String,
}

impl Licence {
    /// What the product offers.
    #[must_use]
    pub fn features(&self) -> Vec<String> {
        from_json(&self.features)
    }

    /// What the licence allows, as `slug:permission` (R117).
    #[must_use]
    pub fn entitlements(&self) -> Vec<String> {
        let mut permissions = from_json(&self.permissions);
        if permissions.is_empty() {
            permissions.push("read".to_owned());
        }
        permissions.iter().map(|permission| format!("{}:{permission}", self.slug)).collect()
    }
}

/// The products that an organization has a licence for: an active or trial subscription that has not ended (R217, R218).
///
/// # Errors
/// When the database fails.
pub async fn licences_of(db: &Db, organization: &OrganizationId, now: DateTime<Utc>) -> Result<Vec<Licence>, Error> {
    db.fetch_all(
        "SELECT p.product_id, p.slug, p.name, p.features, p.permissions FROM products p
         WHERE p.product_id IN (SELECT s.product_id FROM subscriptions s
                                WHERE s.organization_id = $1 AND s.status IN ('active', 'trial')
                                  AND (s.end_date IS NULL OR s.end_date > $2))
         ORDER BY p.slug",
        (organization.as_str(), now),
    )
    .await
}

/// Whether a scope is a product's.
///
/// # Errors
/// When the database fails.
pub async fn is_product(db: &Db, slug: &Slug) -> Result<bool, Error> {
    let row: Option<(String,)> =
        db.fetch_optional("SELECT product_id FROM products WHERE slug = $1", (slug.as_str(),)).await?;
    Ok(row.is_some())
}

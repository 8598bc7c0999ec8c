//! People, organizations, API keys, products: what is set up before anybody signs in.

use domain::{
    ApiKey, ApiKeyCommand, ApiKeyId, BillingCycle, Email, Instance, InstanceCommand, Organization, OrganizationCommand,
    OrganizationId, OrganizationName, PersonName, Product, ProductCommand, ProductId, Role, Scopes, Slug, Subscription,
    SubscriptionCommand, SubscriptionId, SubscriptionStatus, Title, User, UserCommand, UserId,
};
use eventstore::{Claim, ClaimChange, Context, Execution, Idempotency, Outcome, Receipt, StoreError};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::{App, Problem, hash_of, random_secret};

/// A new user.
pub struct NewUser {
    /// The address to sign in with; unique.
    pub email: Email,
    /// As others see it.
    pub name: PersonName,
    /// In clear, as it was typed; `None` for somebody who cannot sign in with a password yet.
    pub password: Option<String>,
    /// Whether somebody vouches for the address.
    pub email_verified: bool,
}

/// What `optare init` prints; the secret is shown once.
pub struct Initialised {
    /// The operator's organization.
    pub organization_id: OrganizationId,
    /// Its owner.
    pub user_id: UserId,
    /// The key to call the management API with.
    pub api_key: ApiKeyId,
    /// Its secret.
    pub api_secret: String,
}

/// What the first API key may do.
const OPERATOR_ROLES: [&str; 3] = ["org.admin", "org.admin.apps", "org.permission.apps"];

/// The claim that makes an address unique and lets it be looked up.
pub(crate) fn email_claim(email: &Email) -> Claim {
    Claim { kind: "email", value: email.lookup_key(), personal: true }
}

/// Sets up a new instance: the operator's organization, its owner and its first API key, all or nothing.
///
/// # Errors
/// When the instance is already initialised or the password is too short.
pub async fn initialise(app: &App, owner: NewUser, organization: OrganizationName) -> Result<Initialised, Problem> {
    let instance = app.store.load_fresh::<Instance>(Instance::ID).await?;
    if instance.state.is_initialised() {
        return Err(domain::InstanceError::AlreadyInitialised.into());
    }
    let user_id = UserId::from_uuid(Uuid::now_v7());
    let organization_id = OrganizationId::from_uuid(Uuid::now_v7());
    let api_key = ApiKeyId::from_uuid(Uuid::now_v7());
    let api_secret = random_secret("sk_");
    let claim = ClaimChange::Take(email_claim(&owner.email), user_id.to_string());
    let register = register_command(app, &user_id, owner).await?;
    let create = OrganizationCommand::Create { name: organization, owner: user_id.clone() };
    let key = new_key(&organization_id, "init", Some(user_id.clone()), &api_secret)?;
    let done = InstanceCommand::Initialise {
        organization_id: organization_id.clone(),
        user_id: user_id.clone(),
        at: app.now(),
    };
    let (tenant, instance) = (organization_id.as_str(), eventstore::INSTANCE_TENANT);
    let parts = vec![
        app.store.decide::<User>(user_id.as_str(), instance, register).await?,
        app.store.decide::<Organization>(organization_id.as_str(), tenant, create).await?,
        app.store.decide::<ApiKey>(api_key.as_str(), tenant, key).await?,
        app.store.decide::<Instance>(Instance::ID, instance, done).await?,
    ];
    match app.store.commit_together(parts, vec![claim], &Context::system("init")).await? {
        Outcome::Committed { .. } => Ok(Initialised { organization_id, user_id, api_key, api_secret }),
        // Nothing else writes these streams: another `init` was faster.
        _ => Err(domain::InstanceError::AlreadyInitialised.into()),
    }
}

/// Registers a user.
///
/// # Errors
/// When the address is taken or the password is too short.
pub async fn register_user(app: &App, user: NewUser, context: &Context) -> Result<Receipt<User>, Problem> {
    register_user_once(app, user, context, None).await
}

/// Registers a user, by a request that may be sent twice.
pub(crate) async fn register_user_once(
    app: &App,
    user: NewUser,
    context: &Context,
    idempotency: Option<Idempotency>,
) -> Result<Receipt<User>, Problem> {
    let user_id = UserId::from_uuid(Uuid::now_v7());
    let claim = ClaimChange::Take(email_claim(&user.email), user_id.to_string());
    let command = register_command(app, &user_id, user).await?;
    let execution = Execution::new(user_id.as_str(), command, context).claiming([claim]).idempotent(idempotency);
    Ok(app.store.execute::<User>(execution).await?)
}

/// The user with an address, from the log itself.
///
/// # Errors
/// When the database fails.
pub async fn user_by_email(app: &App, email: &Email) -> Result<Option<UserId>, StoreError> {
    let owner = app.store.owner_of(&email_claim(email)).await?;
    Ok(owner.and_then(|id| id.parse().ok()))
}

/// Creates an organization with its owner.
///
/// # Errors
/// When the log fails.
pub async fn create_organization(
    app: &App,
    name: OrganizationName,
    owner: UserId,
    context: &Context,
) -> Result<OrganizationId, Problem> {
    let id = OrganizationId::from_uuid(Uuid::now_v7());
    let command = OrganizationCommand::Create { name, owner };
    app.store.execute::<Organization>(Execution::new(id.as_str(), command, context).in_tenant(id.as_str())).await?;
    Ok(id)
}

/// Makes a user a member of an organization.
///
/// # Errors
/// When there is no such organization for this context.
pub async fn add_member(
    app: &App,
    organization: &OrganizationId,
    user_id: UserId,
    role: Role,
    context: &Context,
) -> Result<Receipt<Organization>, Problem> {
    let command = OrganizationCommand::AddMember { user_id, role };
    Ok(app.store.execute(Execution::new(organization.as_str(), command, context)).await?)
}

/// Creates a product of a vendor; its slug is unique (R209).
///
/// # Errors
/// When the slug is taken.
pub async fn create_product(
    app: &App,
    vendor: &OrganizationId,
    name: Title,
    slug: Slug,
    features: Vec<String>,
    context: &Context,
) -> Result<ProductId, Problem> {
    let id = ProductId::from_uuid(Uuid::now_v7());
    let claim = Claim { kind: "slug", value: slug.to_string(), personal: false };
    let command = ProductCommand::Create {
        organization_id: vendor.clone(),
        name,
        slug,
        description: None,
        features,
        permissions: Vec::new(),
    };
    let execution = Execution::new(id.as_str(), command, context)
        .in_tenant(vendor.as_str())
        .claiming([ClaimChange::Take(claim, id.to_string())]);
    app.store.execute::<Product>(execution).await?;
    Ok(id)
}

/// What an organization subscribes to.
pub struct NewSubscription {
    /// Who subscribes.
    pub organization_id: OrganizationId,
    /// Who sells.
    pub vendor_id: OrganizationId,
    /// What.
    pub product_id: ProductId,
    /// For how many.
    pub total_seats: u32,
    /// Exactly, per seat and billing cycle.
    pub price_per_seat: Decimal,
    /// How often.
    pub billing_cycle: BillingCycle,
}

/// Creates an active subscription.
///
/// # Errors
/// When a value is out of range.
pub async fn create_subscription(
    app: &App,
    subscription: NewSubscription,
    context: &Context,
) -> Result<SubscriptionId, Problem> {
    let id = SubscriptionId::from_uuid(Uuid::now_v7());
    let tenant = subscription.organization_id.to_string();
    let command = SubscriptionCommand::Create {
        organization_id: subscription.organization_id,
        vendor_id: subscription.vendor_id,
        product_id: subscription.product_id,
        total_seats: subscription.total_seats,
        price_per_seat: subscription.price_per_seat,
        billing_cycle: subscription.billing_cycle,
        status: SubscriptionStatus::Active,
        end_date: None,
    };
    app.store.execute::<Subscription>(Execution::new(id.as_str(), command, context).in_tenant(tenant)).await?;
    Ok(id)
}

async fn register_command(app: &App, user_id: &UserId, user: NewUser) -> Result<UserCommand, Problem> {
    let password = match &user.password {
        Some(password) => Some(app.passwords.hash(password).await?),
        None => None,
    };
    Ok(UserCommand::Register {
        user_id: user_id.clone(),
        email: user.email,
        name: user.name,
        email_verified: user.email_verified,
        password,
    })
}

fn new_key(
    organization: &OrganizationId,
    name: &str,
    created_by: Option<UserId>,
    secret: &str,
) -> Result<ApiKeyCommand, Problem> {
    Ok(ApiKeyCommand::Create {
        organization_id: organization.clone(),
        name: name.parse()?,
        created_by,
        roles: OPERATOR_ROLES.join(" ").parse::<Scopes>()?,
        secret_hash: hash_of(secret),
    })
}

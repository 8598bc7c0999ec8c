//! An app: what an organization offers for installation, to itself or to all (sections H and I).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::OrganizationId;
use crate::values::{AppName, LaunchUrl, RedirectUri, Scopes, Title, Visibility, WebhookUrl};

#[derive(Debug, Clone)]
pub enum AppCommand {
    Define {
        organization_id: OrganizationId,
        name: AppName,
        title: Title,
        version: String,
        description: Option<String>,
        webhook_url: Option<WebhookUrl>,
        redirect_uris: Vec<RedirectUri>,
        launch_url: Option<LaunchUrl>,
        scopes: Scopes,
        visibility: Visibility,
    },
    ChangeWebhookUrl {
        webhook_url: Option<WebhookUrl>,
    },
    ChangeRedirectUris {
        redirect_uris: Vec<RedirectUri>,
    },
    ChangeTitle {
        title: Title,
    },
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AppEvent {
    Defined {
        organization_id: OrganizationId,
        name: AppName,
        title: Title,
        version: String,
        description: Option<String>,
        webhook_url: Option<WebhookUrl>,
        redirect_uris: Vec<RedirectUri>,
        launch_url: Option<LaunchUrl>,
        scopes: Scopes,
        visibility: Visibility,
    },
    WebhookUrlChanged {
        webhook_url: Option<WebhookUrl>,
    },
    RedirectUrisChanged {
        redirect_uris: Vec<RedirectUri>,
    },
    TitleChanged {
        title: Title,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppError {
    #[error("this app does not exist")]
    NotFound,
    #[error("this app is already defined")]
    AlreadyDefined,
}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub enum App {
    #[default]
    Unknown,
    Defined(AppDefinition),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppDefinition {
    /// The organization that offers the app.
    pub organization_id: OrganizationId,
    pub name: AppName,
    pub title: Title,
    pub version: String,
    pub description: Option<String>,
    pub webhook_url: Option<WebhookUrl>,
    pub redirect_uris: Vec<RedirectUri>,
    pub launch_url: Option<LaunchUrl>,
    pub scopes: Scopes,
    pub visibility: Visibility,
}

aggregate! {
    App = "app",
    AppCommand -> AppEvent | AppError,
    [
        Defined = "defined",
        WebhookUrlChanged = "webhook_url_changed",
        RedirectUrisChanged = "redirect_uris_changed",
        TitleChanged = "title_changed",
    ]
}

impl App {
    /// The events that `command` causes in this state; none means there is nothing to do.
    pub fn decide(&self, command: AppCommand) -> Result<Vec<AppEvent>, AppError> {
        use {App as S, AppCommand as C, AppError as Refused, AppEvent as E};
        Ok(match (self, command) {
            (
                S::Unknown,
                C::Define {
                    organization_id,
                    name,
                    title,
                    version,
                    description,
                    webhook_url,
                    redirect_uris,
                    launch_url,
                    scopes,
                    visibility,
                },
            ) => vec![E::Defined {
                organization_id,
                name,
                title,
                version,
                description,
                webhook_url,
                redirect_uris,
                launch_url,
                scopes,
                visibility,
            }],
            (S::Unknown, _) => return Err(Refused::NotFound),
            (S::Defined(_), C::Define { .. }) => return Err(Refused::AlreadyDefined),

            (S::Defined(app), C::ChangeWebhookUrl { webhook_url })
                if app.webhook_url == webhook_url =>
            {
                vec![]
            }
            (S::Defined(_), C::ChangeWebhookUrl { webhook_url }) => {
                vec![E::WebhookUrlChanged { webhook_url }]
            }
            (S::Defined(app), C::ChangeRedirectUris { redirect_uris })
                if app.redirect_uris == redirect_uris =>
            {
                vec![]
            }
            (S::Defined(_), C::ChangeRedirectUris { redirect_uris }) => {
                vec![E::RedirectUrisChanged { redirect_uris }]
            }
            (S::Defined(app), C::ChangeTitle { title }) if app.title == title => vec![],
            (S::Defined(_), C::ChangeTitle { title }) => vec![E::TitleChanged { title }],
        })
    }

    pub fn apply(&mut self, event: AppEvent) {
        use {App as S, AppEvent as E};
        match (self, event) {
            (
                state,
                E::Defined {
                    organization_id,
                    name,
                    title,
                    version,
                    description,
                    webhook_url,
                    redirect_uris,
                    launch_url,
                    scopes,
                    visibility,
                },
            ) => {
                *state = S::Defined(AppDefinition {
                    organization_id,
                    name,
                    title,
                    version,
                    description,
                    webhook_url,
                    redirect_uris,
                    launch_url,
                    scopes,
                    visibility,
                });
            }
            (S::Unknown, _) => {}
            (S::Defined(app), E::WebhookUrlChanged { webhook_url }) => {
                app.webhook_url = webhook_url;
            }
            (S::Defined(app), E::RedirectUrisChanged { redirect_uris }) => {
                app.redirect_uris = redirect_uris;
            }
            (S::Defined(app), E::TitleChanged { title }) => app.title = title,
        }
    }

    pub fn definition(&self) -> Option<&AppDefinition> {
        match self {
            Self::Unknown => None,
            Self::Defined(app) => Some(app),
        }
    }

    /// A public app by every organization, a private one only by its own (R184).
    pub fn installable_by(&self, organization_id: &OrganizationId) -> bool {
        self.definition().is_some_and(|app| {
            app.visibility == Visibility::Public || app.organization_id == *organization_id
        })
    }
}

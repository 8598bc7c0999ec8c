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
    Change(AppChange),
}

/// What its vendor changes of an app; what is none stays as it is.
#[derive(Debug, Clone, Default)]
pub struct AppChange {
    pub title: Option<Title>,
    /// `Some(None)` ends its webhooks.
    pub webhook_url: Option<Option<WebhookUrl>>,
    pub redirect_uris: Option<Vec<RedirectUri>>,
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
    Defined(Box<AppDefinition>),
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

            (S::Defined(app), C::Change(AppChange { title, webhook_url, redirect_uris })) => {
                let title = title.filter(|title| *title != app.title);
                let webhook_url = webhook_url.filter(|url| *url != app.webhook_url);
                let redirect_uris = redirect_uris.filter(|uris| *uris != app.redirect_uris);
                let title = title.map(|title| E::TitleChanged { title });
                let webhook_url = webhook_url.map(|webhook_url| E::WebhookUrlChanged { webhook_url });
                let redirect_uris = redirect_uris.map(|redirect_uris| E::RedirectUrisChanged { redirect_uris });
                [title, webhook_url, redirect_uris].into_iter().flatten().collect()
            }
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
                *state = S::Defined(Box::new(AppDefinition {
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
                }));
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
        self.definition()
            .is_some_and(|app| app.visibility == Visibility::Public || app.organization_id == *organization_id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{AppCommand as C, AppError as Refused, AppEvent as E, *};
    use crate::scenario::{Scenario, after, parsed, stored_as};

    fn given<const N: usize>(events: [E; N]) -> Scenario<App> {
        Scenario::given(events)
    }

    fn defined(visibility: Visibility) -> E {
        E::Defined {
            organization_id: parsed("org_vendor"),
            name: parsed("crm"),
            title: parsed("CRM"),
            version: "0.0.1".into(),
            description: None,
            webhook_url: Some(parsed("https://crm.example/api/webhooks/optare")),
            redirect_uris: vec![parsed("https://crm.example/auth/callback")],
            launch_url: Some(parsed("https://crm.example/")),
            scopes: parsed("openid profile"),
            visibility,
        }
    }

    fn define() -> C {
        C::Define {
            organization_id: parsed("org_vendor"),
            name: parsed("crm"),
            title: parsed("CRM"),
            version: "0.0.1".into(),
            description: None,
            webhook_url: Some(parsed("https://crm.example/api/webhooks/optare")),
            redirect_uris: vec![parsed("https://crm.example/auth/callback")],
            launch_url: Some(parsed("https://crm.example/")),
            scopes: parsed("openid profile"),
            visibility: Visibility::Private,
        }
    }

    fn an_app() -> Scenario<App> {
        given([defined(Visibility::Private)])
    }

    #[test]
    fn an_app_is_defined_once() {
        given([]).when(define()).then([defined(Visibility::Private)]);
        an_app().when(define()).then_refused(Refused::AlreadyDefined);
        given([]).when(with_title("Sales")).then_refused(Refused::NotFound);
    }

    fn with_webhook_url(webhook_url: Option<WebhookUrl>) -> C {
        C::Change(AppChange { webhook_url: Some(webhook_url), ..AppChange::default() })
    }

    fn with_redirect_uris(redirect_uris: Vec<RedirectUri>) -> C {
        C::Change(AppChange { redirect_uris: Some(redirect_uris), ..AppChange::default() })
    }

    fn with_title(title: &str) -> C {
        C::Change(AppChange { title: Some(parsed(title)), ..AppChange::default() })
    }

    #[test]
    fn the_webhook_url_changes_or_goes() {
        an_app().when(with_webhook_url(Some(parsed("https://crm.example/api/webhooks/optare")))).then_nothing();
        for webhook_url in [Some(parsed::<WebhookUrl>("https://x.ngrok.app/hook")), None] {
            let changed = E::WebhookUrlChanged { webhook_url: webhook_url.clone() };
            an_app().when(with_webhook_url(webhook_url)).then([changed]);
        }
    }

    #[test]
    fn the_redirect_uris_change_as_a_whole() {
        an_app().when(with_redirect_uris(vec![parsed("https://crm.example/auth/callback")])).then_nothing();
        let redirect_uris: Vec<RedirectUri> = vec![parsed("myapp://callback")];
        let changed = E::RedirectUrisChanged { redirect_uris: redirect_uris.clone() };
        an_app().when(with_redirect_uris(redirect_uris)).then([changed]);
    }

    #[test]
    fn the_title_changes() {
        an_app().when(with_title("CRM")).then_nothing();
        let title = parsed("Sales");
        an_app().when(with_title("Sales")).then([E::TitleChanged { title }]);
    }

    #[test]
    fn several_changes_happen_together_and_none_is_nothing() {
        let change = AppChange { title: Some(parsed("Sales")), webhook_url: Some(None), redirect_uris: Some(vec![]) };
        an_app().when(C::Change(change)).then([
            E::TitleChanged { title: parsed("Sales") },
            E::WebhookUrlChanged { webhook_url: None },
            E::RedirectUrisChanged { redirect_uris: vec![] },
        ]);
        an_app().when(C::Change(AppChange::default())).then_nothing();
    }

    #[test]
    fn a_private_app_is_installable_by_its_own_organization_only() {
        let (own, other): (OrganizationId, OrganizationId) = (parsed("org_vendor"), parsed("org_acme"));
        let private: App = after([defined(Visibility::Private)]);
        assert!(private.installable_by(&own));
        assert!(!private.installable_by(&other));
        let public: App = after([defined(Visibility::Public)]);
        assert!(public.installable_by(&own));
        assert!(public.installable_by(&other));
        assert!(!App::Unknown.installable_by(&own));
    }

    #[test]
    fn the_definition_follows_its_changes() {
        let state: App = after([
            defined(Visibility::Public),
            E::TitleChanged { title: parsed("Sales") },
            E::WebhookUrlChanged { webhook_url: None },
            E::RedirectUrisChanged { redirect_uris: vec![] },
        ]);
        let app = state.definition().unwrap();
        assert_eq!(app.title.as_str(), "Sales");
        assert_eq!(app.webhook_url, None);
        assert!(app.redirect_uris.is_empty());
        assert_eq!(app.version, "0.0.1");
    }

    #[test]
    fn stored_forms() {
        let webhook_url = Some(parsed("https://x.ngrok.app/hook"));
        let redirect_uris = vec![parsed("myapp://callback")];
        let title = parsed("Sales");
        stored_as::<App>(
            [
                (
                    defined(Visibility::Private),
                    json!({
                        "type": "defined",
                        "organization_id": "org_vendor",
                        "name": "crm",
                        "title": "CRM",
                        "version": "0.0.1",
                        "description": null,
                        "webhook_url": "https://crm.example/api/webhooks/optare",
                        "redirect_uris": ["https://crm.example/auth/callback"],
                        "launch_url": "https://crm.example/",
                        "scopes": ["openid", "profile"],
                        "visibility": "private",
                    }),
                ),
                (
                    E::WebhookUrlChanged { webhook_url },
                    json!({ "type": "webhook_url_changed", "webhook_url": "https://x.ngrok.app/hook" }),
                ),
                (
                    E::RedirectUrisChanged { redirect_uris },
                    json!({ "type": "redirect_uris_changed", "redirect_uris": ["myapp://callback"] }),
                ),
                (E::TitleChanged { title }, json!({ "type": "title_changed", "title": "Sales" })),
            ],
            E::TYPES,
        );
    }
}

//! A webhook delivery: how the sending of one message ended. Attempts are no events.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::{AppId, OrganizationId};

/// `event` is what the receiver is told, e.g. `app.installed`; `log_position` that of its cause.
#[derive(Debug, Clone)]
pub enum WebhookDeliveryCommand {
    Deliver {
        app_id: AppId,
        organization_id: OrganizationId,
        event: String,
        log_position: u64,
        attempts: u32,
        status: u16,
        at: DateTime<Utc>,
    },
    Exhaust {
        app_id: AppId,
        organization_id: OrganizationId,
        event: String,
        log_position: u64,
        attempts: u32,
        last_failure: String,
        at: DateTime<Utc>,
    },
    Cancel {
        app_id: AppId,
        organization_id: OrganizationId,
        event: String,
        log_position: u64,
        attempts: u32,
        reason: String,
        at: DateTime<Utc>,
    },
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WebhookDeliveryEvent {
    /// The receiver answered 2xx; nothing is sent again (R166).
    Delivered {
        app_id: AppId,
        organization_id: OrganizationId,
        event: String,
        log_position: u64,
        attempts: u32,
        status: u16,
        at: DateTime<Utc>,
    },
    /// The last attempt failed; only an operator sends again.
    Exhausted {
        app_id: AppId,
        organization_id: OrganizationId,
        event: String,
        log_position: u64,
        attempts: u32,
        last_failure: String,
        at: DateTime<Utc>,
    },
    Cancelled {
        app_id: AppId,
        organization_id: OrganizationId,
        event: String,
        log_position: u64,
        attempts: u32,
        reason: String,
        at: DateTime<Utc>,
    },
}

/// There is none: a delivery that ended stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WebhookDeliveryError {}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookDelivery {
    #[default]
    Pending,
    Delivered,
    Exhausted,
    Cancelled,
}

aggregate! {
    WebhookDelivery = "webhook_delivery",
    WebhookDeliveryCommand -> WebhookDeliveryEvent | WebhookDeliveryError,
    [
        Delivered = "delivered",
        Exhausted = "exhausted",
        Cancelled = "cancelled",
    ]
}

impl WebhookDelivery {
    /// The events that `command` causes in this state; none means there is nothing to do.
    pub fn decide(&self, command: WebhookDeliveryCommand) -> Result<Vec<WebhookDeliveryEvent>, WebhookDeliveryError> {
        use {WebhookDelivery as S, WebhookDeliveryCommand as C, WebhookDeliveryEvent as E};
        Ok(match (self, command) {
            // An exhausted delivery that an operator sent again may still arrive.
            (
                S::Pending | S::Exhausted,
                C::Deliver { app_id, organization_id, event, log_position, attempts, status, at },
            ) => vec![E::Delivered { app_id, organization_id, event, log_position, attempts, status, at }],
            (S::Pending, C::Exhaust { app_id, organization_id, event, log_position, attempts, last_failure, at }) => {
                vec![E::Exhausted { app_id, organization_id, event, log_position, attempts, last_failure, at }]
            }
            (S::Pending, C::Cancel { app_id, organization_id, event, log_position, attempts, reason, at }) => {
                vec![E::Cancelled { app_id, organization_id, event, log_position, attempts, reason, at }]
            }
            (S::Delivered | S::Exhausted | S::Cancelled, _) => vec![],
        })
    }

    pub fn apply(&mut self, event: WebhookDeliveryEvent) {
        use WebhookDeliveryEvent as E;
        *self = match event {
            E::Delivered { .. } => Self::Delivered,
            E::Exhausted { .. } => Self::Exhausted,
            E::Cancelled { .. } => Self::Cancelled,
        };
    }

    /// Whether it has ended, one way or another.
    pub fn is_terminal(&self) -> bool {
        *self != Self::Pending
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{WebhookDeliveryCommand as C, WebhookDeliveryEvent as E, *};
    use crate::scenario::{Scenario, after, at, parsed, stored_as};

    fn given<const N: usize>(events: [E; N]) -> Scenario<WebhookDelivery> {
        Scenario::given(events)
    }

    fn deliver() -> C {
        C::Deliver {
            app_id: parsed("app_crm"),
            organization_id: parsed("org_acme"),
            event: "app.installed".into(),
            log_position: 42,
            attempts: 1,
            status: 200,
            at: at(0),
        }
    }

    fn exhaust() -> C {
        C::Exhaust {
            app_id: parsed("app_crm"),
            organization_id: parsed("org_acme"),
            event: "app.installed".into(),
            log_position: 42,
            attempts: 12,
            last_failure: "503".into(),
            at: at(0),
        }
    }

    fn cancel() -> C {
        C::Cancel {
            app_id: parsed("app_crm"),
            organization_id: parsed("org_acme"),
            event: "app.installed".into(),
            log_position: 42,
            attempts: 0,
            reason: "uninstalled".into(),
            at: at(0),
        }
    }

    fn delivered() -> E {
        E::Delivered {
            app_id: parsed("app_crm"),
            organization_id: parsed("org_acme"),
            event: "app.installed".into(),
            log_position: 42,
            attempts: 1,
            status: 200,
            at: at(0),
        }
    }

    fn exhausted() -> E {
        E::Exhausted {
            app_id: parsed("app_crm"),
            organization_id: parsed("org_acme"),
            event: "app.installed".into(),
            log_position: 42,
            attempts: 12,
            last_failure: "503".into(),
            at: at(0),
        }
    }

    fn cancelled() -> E {
        E::Cancelled {
            app_id: parsed("app_crm"),
            organization_id: parsed("org_acme"),
            event: "app.installed".into(),
            log_position: 42,
            attempts: 0,
            reason: "uninstalled".into(),
            at: at(0),
        }
    }

    #[test]
    fn a_delivery_ends_in_one_of_three_ways() {
        given([]).when(deliver()).then([delivered()]);
        given([]).when(exhaust()).then([exhausted()]);
        given([]).when(cancel()).then([cancelled()]);
    }

    #[test]
    fn what_has_ended_stays_as_it_is() {
        for ended in [delivered(), cancelled()] {
            for command in [deliver(), exhaust(), cancel()] {
                given([ended.clone()]).when(command).then_nothing();
            }
        }
        given([exhausted()]).when(exhaust()).then_nothing();
        given([exhausted()]).when(cancel()).then_nothing();
    }

    #[test]
    fn an_exhausted_delivery_may_still_arrive() {
        given([exhausted()]).when(deliver()).then([delivered()]);
        given([exhausted(), delivered()]).when(deliver()).then_nothing();
    }

    #[test]
    fn the_outcome_is_known() {
        assert!(!WebhookDelivery::default().is_terminal());
        assert!(after::<WebhookDelivery>([exhausted()]).is_terminal());
        assert_eq!(after::<WebhookDelivery>([exhausted(), delivered()]), WebhookDelivery::Delivered);
    }

    #[test]
    fn stored_forms() {
        stored_as::<WebhookDelivery>(
            [
                (
                    delivered(),
                    json!({
                        "type": "delivered",
                        "app_id": "app_crm",
                        "organization_id": "org_acme",
                        "event": "app.installed",
                        "log_position": 42,
                        "attempts": 1,
                        "status": 200,
                        "at": "2026-01-01T00:00:00Z",
                    }),
                ),
                (
                    exhausted(),
                    json!({
                        "type": "exhausted",
                        "app_id": "app_crm",
                        "organization_id": "org_acme",
                        "event": "app.installed",
                        "log_position": 42,
                        "attempts": 12,
                        "last_failure": "503",
                        "at": "2026-01-01T00:00:00Z",
                    }),
                ),
                (
                    cancelled(),
                    json!({
                        "type": "cancelled",
                        "app_id": "app_crm",
                        "organization_id": "org_acme",
                        "event": "app.installed",
                        "log_position": 42,
                        "attempts": 0,
                        "reason": "uninstalled",
                        "at": "2026-01-01T00:00:00Z",
                    }),
                ),
            ],
            E::TYPES,
        );
    }
}

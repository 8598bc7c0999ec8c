//! A subscription: an organization's licence for a vendor's product, by seats (section J).

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::{OrganizationId, ProductId};
use crate::values::{BillingCycle, SubscriptionStatus};

#[derive(Debug, Clone)]
pub enum SubscriptionCommand {
    /// `organization_id` is the customer.
    Create {
        organization_id: OrganizationId,
        vendor_id: OrganizationId,
        product_id: ProductId,
        total_seats: u32,
        price_per_seat: Decimal,
        billing_cycle: BillingCycle,
        status: SubscriptionStatus,
        end_date: Option<DateTime<Utc>>,
    },
    /// What is none stays as it is; `Some(None)` takes the end date away (R216).
    Change {
        total_seats: Option<u32>,
        price_per_seat: Option<Decimal>,
        status: Option<SubscriptionStatus>,
        end_date: Option<Option<DateTime<Utc>>>,
    },
    Cancel,
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SubscriptionEvent {
    Created {
        organization_id: OrganizationId,
        vendor_id: OrganizationId,
        product_id: ProductId,
        total_seats: u32,
        #[serde(with = "rust_decimal::serde::str")]
        price_per_seat: Decimal,
        billing_cycle: BillingCycle,
        status: SubscriptionStatus,
        end_date: Option<DateTime<Utc>>,
    },
    SeatsChanged {
        total_seats: u32,
    },
    PriceChanged {
        #[serde(with = "rust_decimal::serde::str")]
        price_per_seat: Decimal,
    },
    StatusChanged {
        status: SubscriptionStatus,
    },
    EndDateChanged {
        end_date: Option<DateTime<Utc>>,
    },
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubscriptionError {
    #[error("this subscription does not exist")]
    NotFound,
    #[error("this subscription already exists")]
    AlreadyExists,
    #[error("total_seats must be at least 1")]
    NoSeats,
    #[error("price_per_seat must be 0 or more")]
    NegativePrice,
    #[error("this subscription is cancelled for good: create a new one")]
    Cancelled,
}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub enum Subscription {
    #[default]
    Unknown,
    Existing(SubscriptionTerms),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionTerms {
    pub organization_id: OrganizationId,
    pub vendor_id: OrganizationId,
    pub product_id: ProductId,
    pub total_seats: u32,
    #[serde(with = "rust_decimal::serde::str")]
    pub price_per_seat: Decimal,
    pub billing_cycle: BillingCycle,
    pub status: SubscriptionStatus,
    pub end_date: Option<DateTime<Utc>>,
}

aggregate! {
    Subscription = "subscription",
    SubscriptionCommand -> SubscriptionEvent | SubscriptionError,
    [
        Created = "created",
        SeatsChanged = "seats_changed",
        PriceChanged = "price_changed",
        StatusChanged = "status_changed",
        EndDateChanged = "end_date_changed",
        Cancelled = "cancelled",
    ]
}

impl Subscription {
    /// The events that `command` causes in this state; none means there is nothing to do.
    pub fn decide(&self, command: SubscriptionCommand) -> Result<Vec<SubscriptionEvent>, SubscriptionError> {
        use {Subscription as S, SubscriptionCommand as C, SubscriptionError as Refused, SubscriptionEvent as E};
        Ok(match (self, command) {
            (S::Unknown, C::Create { total_seats: 0, .. }) => return Err(Refused::NoSeats),
            (S::Unknown, C::Create { price_per_seat, .. }) if price_per_seat < Decimal::ZERO => {
                return Err(Refused::NegativePrice);
            }
            (
                S::Unknown,
                C::Create {
                    organization_id,
                    vendor_id,
                    product_id,
                    total_seats,
                    price_per_seat,
                    billing_cycle,
                    status,
                    end_date,
                },
            ) => vec![E::Created {
                organization_id,
                vendor_id,
                product_id,
                total_seats,
                price_per_seat,
                billing_cycle,
                status,
                end_date,
            }],
            (S::Unknown, _) => return Err(Refused::NotFound),
            (S::Existing(_), C::Create { .. }) => return Err(Refused::AlreadyExists),

            (S::Existing(terms), C::Cancel) if terms.is_cancelled() => vec![],
            (S::Existing(_), C::Cancel) => vec![E::Cancelled],

            (S::Existing(_), C::Change { total_seats: Some(0), .. }) => {
                return Err(Refused::NoSeats);
            }
            (S::Existing(_), C::Change { price_per_seat: Some(price), .. }) if price < Decimal::ZERO => {
                return Err(Refused::NegativePrice);
            }
            (S::Existing(terms), C::Change { total_seats, price_per_seat, status, end_date }) => {
                let changes = terms.changes(total_seats, price_per_seat, status, end_date);
                if terms.is_cancelled() && !changes.is_empty() {
                    return Err(Refused::Cancelled);
                }
                changes
            }
        })
    }

    pub fn apply(&mut self, event: SubscriptionEvent) {
        use {Subscription as S, SubscriptionEvent as E};
        match (self, event) {
            (
                state,
                E::Created {
                    organization_id,
                    vendor_id,
                    product_id,
                    total_seats,
                    price_per_seat,
                    billing_cycle,
                    status,
                    end_date,
                },
            ) => {
                *state = S::Existing(SubscriptionTerms {
                    organization_id,
                    vendor_id,
                    product_id,
                    total_seats,
                    price_per_seat,
                    billing_cycle,
                    status,
                    end_date,
                });
            }
            (S::Unknown, _) => {}
            (S::Existing(terms), E::SeatsChanged { total_seats }) => {
                terms.total_seats = total_seats;
            }
            (S::Existing(terms), E::PriceChanged { price_per_seat }) => {
                terms.price_per_seat = price_per_seat;
            }
            (S::Existing(terms), E::StatusChanged { status }) => terms.status = status,
            (S::Existing(terms), E::EndDateChanged { end_date }) => terms.end_date = end_date,
            (S::Existing(terms), E::Cancelled) => terms.status = SubscriptionStatus::Cancelled,
        }
    }

    pub fn terms(&self) -> Option<&SubscriptionTerms> {
        match self {
            Self::Unknown => None,
            Self::Existing(terms) => Some(terms),
        }
    }

    /// Active or on trial, and not past its end date (R217, R218).
    pub fn licensed_at(&self, now: DateTime<Utc>) -> bool {
        use SubscriptionStatus::{Active, Trial};
        self.terms()
            .is_some_and(|terms| matches!(terms.status, Active | Trial) && terms.end_date.is_none_or(|end| now <= end))
    }
}

impl SubscriptionTerms {
    fn is_cancelled(&self) -> bool {
        self.status == SubscriptionStatus::Cancelled
    }

    /// One event for each thing that is to be different.
    fn changes(
        &self,
        total_seats: Option<u32>,
        price_per_seat: Option<Decimal>,
        status: Option<SubscriptionStatus>,
        end_date: Option<Option<DateTime<Utc>>>,
    ) -> Vec<SubscriptionEvent> {
        use SubscriptionEvent as E;
        let seats =
            total_seats.filter(|new| *new != self.total_seats).map(|total_seats| E::SeatsChanged { total_seats });
        let price = price_per_seat
            .filter(|new| *new != self.price_per_seat)
            .map(|price_per_seat| E::PriceChanged { price_per_seat });
        let end_date = end_date.filter(|new| *new != self.end_date).map(|end_date| E::EndDateChanged { end_date });
        let status = status.filter(|new| *new != self.status).map(|status| match status {
            SubscriptionStatus::Cancelled => E::Cancelled,
            status => E::StatusChanged { status },
        });
        // The status last: nothing happens to a subscription after its cancellation.
        [seats, price, end_date, status].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{SubscriptionCommand as C, SubscriptionError as Refused, SubscriptionEvent as E, *};
    use crate::scenario::{Scenario, after, at, parsed, stored_as};

    fn given<const N: usize>(events: [E; N]) -> Scenario<Subscription> {
        Scenario::given(events)
    }

    fn created() -> E {
        E::Created {
            organization_id: parsed("org_acme"),
            vendor_id: parsed("org_vendor"),
            product_id: parsed("prod_crm"),
            total_seats: 10,
            price_per_seat: parsed("29.90"),
            billing_cycle: BillingCycle::Monthly,
            status: SubscriptionStatus::Trial,
            end_date: Some(at(3600)),
        }
    }

    fn create(total_seats: u32, price: &str) -> C {
        C::Create {
            organization_id: parsed("org_acme"),
            vendor_id: parsed("org_vendor"),
            product_id: parsed("prod_crm"),
            total_seats,
            price_per_seat: parsed(price),
            billing_cycle: BillingCycle::Monthly,
            status: SubscriptionStatus::Trial,
            end_date: Some(at(3600)),
        }
    }

    fn change(total_seats: u32, price: &str, status: SubscriptionStatus) -> C {
        C::Change {
            total_seats: Some(total_seats),
            price_per_seat: Some(parsed(price)),
            status: Some(status),
            end_date: None,
        }
    }

    fn change_end(end_date: Option<DateTime<Utc>>) -> C {
        C::Change { total_seats: None, price_per_seat: None, status: None, end_date: Some(end_date) }
    }

    fn status(status: SubscriptionStatus) -> E {
        E::StatusChanged { status }
    }

    #[test]
    fn a_subscription_is_created_once() {
        given([]).when(create(10, "29.90")).then([created()]);
        given([created()]).when(create(10, "29.90")).then_refused(Refused::AlreadyExists);
        given([]).when(C::Cancel).then_refused(Refused::NotFound);
    }

    #[test]
    fn it_has_a_seat_and_no_negative_price() {
        let active = SubscriptionStatus::Active;
        given([]).when(create(0, "29.90")).then_refused(Refused::NoSeats);
        given([]).when(create(1, "-0.01")).then_refused(Refused::NegativePrice);
        given([created()]).when(change(0, "1", active)).then_refused(Refused::NoSeats);
        given([created()]).when(change(1, "-1", active)).then_refused(Refused::NegativePrice);
    }

    #[test]
    fn each_change_is_a_fact_of_its_own() {
        let price_per_seat = parsed("0");
        given([created()]).when(change(20, "0", SubscriptionStatus::Active)).then([
            E::SeatsChanged { total_seats: 20 },
            E::PriceChanged { price_per_seat },
            status(SubscriptionStatus::Active),
        ]);
        given([created()]).when(change(10, "29.9", SubscriptionStatus::Trial)).then_nothing();
    }

    #[test]
    fn the_end_date_moves_or_goes() {
        for end_date in [None, Some(at(7200))] {
            given([created()]).when(change_end(end_date)).then([E::EndDateChanged { end_date }]);
        }
        given([created()]).when(change_end(Some(at(3600)))).then_nothing();
    }

    #[test]
    fn cancelling_is_final() {
        let cancelled = SubscriptionStatus::Cancelled;
        given([created()]).when(C::Cancel).then([E::Cancelled]);
        given([created()]).when(change(10, "29.90", cancelled)).then([E::Cancelled]);

        let before = || given([created(), E::Cancelled]);
        before().when(C::Cancel).then_nothing();
        before().when(change(10, "29.90", cancelled)).then_nothing();
        before().when(change(20, "29.90", cancelled)).then_refused(Refused::Cancelled);
        before().when(change_end(None)).then_refused(Refused::Cancelled);
    }

    #[test]
    fn it_licenses_while_active_or_on_trial_until_its_end() {
        let licensed =
            |events: &[E], now| after::<Subscription>([created()].into_iter().chain(events.to_vec())).licensed_at(now);
        assert!(licensed(&[], at(0)));
        assert!(licensed(&[], at(3600)));
        assert!(!licensed(&[], at(3601)));
        assert!(licensed(&[E::EndDateChanged { end_date: None }], at(3601)));
        assert!(licensed(&[status(SubscriptionStatus::Active)], at(0)));
        assert!(!licensed(&[status(SubscriptionStatus::Expired)], at(0)));
        assert!(!licensed(&[E::Cancelled], at(0)));
        assert!(!Subscription::Unknown.licensed_at(at(0)));
    }

    #[test]
    fn a_price_keeps_its_digits_in_a_snapshot() {
        let state: Subscription = after([created()]);
        let json = serde_json::to_string(&state).unwrap();
        let read: Subscription = serde_json::from_str(&json).unwrap();
        assert_eq!(read.terms().unwrap().price_per_seat.to_string(), "29.90");
        assert_eq!(read, state);
    }

    #[test]
    fn stored_forms() {
        let price_per_seat = parsed("29.90");
        let end_date = Some(at(0));
        stored_as::<Subscription>(
            [
                (
                    created(),
                    json!({
                        "type": "created",
                        "organization_id": "org_acme",
                        "vendor_id": "org_vendor",
                        "product_id": "prod_crm",
                        "total_seats": 10,
                        "price_per_seat": "29.90",
                        "billing_cycle": "monthly",
                        "status": "trial",
                        "end_date": "2026-01-01T01:00:00Z",
                    }),
                ),
                (E::SeatsChanged { total_seats: 20 }, json!({ "type": "seats_changed", "total_seats": 20 })),
                (E::PriceChanged { price_per_seat }, json!({ "type": "price_changed", "price_per_seat": "29.90" })),
                (status(SubscriptionStatus::Expired), json!({ "type": "status_changed", "status": "expired" })),
                (
                    E::EndDateChanged { end_date },
                    json!({ "type": "end_date_changed", "end_date": "2026-01-01T00:00:00Z" }),
                ),
                (E::EndDateChanged { end_date: None }, json!({ "type": "end_date_changed", "end_date": null })),
                (E::Cancelled, json!({ "type": "cancelled" })),
            ],
            E::TYPES,
        );
    }
}

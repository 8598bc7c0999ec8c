//! What holds after any sequence of commands, whatever their order.

use std::fmt::Debug;
use std::str::FromStr;

use chrono::{DateTime, Duration, Utc};
use domain::*;
use proptest::prelude::*;

fn parsed<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("the test's own value is valid")
}

fn at(seconds: i64) -> DateTime<Utc> {
    parsed::<DateTime<Utc>>("2026-01-01T00:00:00Z") + Duration::seconds(seconds)
}

fn hash(number: usize) -> SecretHash {
    parsed(&format!("{number:064}"))
}

mod organization {
    use super::*;

    fn users() -> [UserId; 3] {
        [parsed("user_0"), parsed("user_1"), parsed("user_2")]
    }

    fn commands() -> impl Strategy<Value = OrganizationCommand> {
        use OrganizationCommand as C;
        let roles = prop_oneof![Just(Role::Owner), Just(Role::Admin), Just(Role::Member)];
        (0..3usize, roles, 0..3u8).prop_map(|(user, role, kind)| {
            let user_id = users()[user].clone();
            match kind {
                0 => C::AddMember { user_id, role },
                1 => C::ChangeRole { user_id, role },
                _ => C::RemoveMember { user_id },
            }
        })
    }

    proptest! {
        #[test]
        fn an_organization_is_never_without_an_owner(
            commands in prop::collection::vec(commands(), 0..40),
        ) {
            let (name, owner) = (parsed("Acme"), users()[0].clone());
            let create = OrganizationCommand::Create { name, owner };
            let mut organization = Organization::default();
            for command in [create].into_iter().chain(commands) {
                for event in organization.decide(command).unwrap_or_default() {
                    organization.apply(event);
                }
                let is_owner = |user| organization.role_of(user).is_some_and(Role::is_owner);
                prop_assert!(users().iter().any(is_owner));
            }
        }
    }
}

mod oauth_client {
    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Rotate { overlap: i64 },
        Revoke { secret: usize },
        Wait { seconds: i64 },
    }

    fn steps() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..100i64).prop_map(|overlap| Step::Rotate { overlap }),
            (0..10usize).prop_map(|secret| Step::Revoke { secret }),
            (0..60i64).prop_map(|seconds| Step::Wait { seconds }),
        ]
    }

    fn provision() -> OAuthClientCommand {
        OAuthClientCommand::Provision {
            organization_id: parsed("org_acme"),
            installation: None,
            name: parsed("CRM"),
            client_type: ClientType::Web,
            redirect_uris: vec![],
            scopes: Scopes::default(),
            secret: Some(ClientSecretHash { secret_id: "0".into(), hash: hash(0), hint: None }),
            settings: Box::default(),
        }
    }

    proptest! {
        #[test]
        fn a_client_never_has_more_than_two_live_secrets(
            steps in prop::collection::vec(steps(), 0..40),
        ) {
            let (mut now, mut issued) = (0, 1);
            let mut client = OAuthClient::default();
            let run = |client: &mut OAuthClient, command| {
                for event in client.decide(command).unwrap_or_default() {
                    client.apply(event);
                }
            };
            run(&mut client, provision());
            for step in steps {
                match step {
                    Step::Wait { seconds } => now += seconds,
                    Step::Revoke { secret } => {
                        let secret_id = secret.to_string();
                        run(&mut client, OAuthClientCommand::RevokeSecret { secret_id });
                    }
                    Step::Rotate { overlap } => {
                        run(&mut client, OAuthClientCommand::RotateSecret {
                            secret: ClientSecretHash { secret_id: issued.to_string(), hash: hash(issued), hint: None },
                            now: at(now),
                            overlap: Duration::seconds(overlap),
                        });
                        issued += 1;
                    }
                }
                let client = client.active().expect("it is never disabled here");
                let live = (0..issued).filter(|n| client.secret_matches(&hash(*n), at(now)).is_some());
                prop_assert!(live.count() <= 2);
                prop_assert!(client.secrets.len() <= 2);
            }
        }
    }
}

mod grant {
    use super::*;

    const GRACE: i64 = 30;

    /// Present the `back`-th last token, so many seconds after the step before.
    #[derive(Debug, Clone)]
    struct Step {
        back: usize,
        wait: i64,
    }

    fn steps() -> impl Strategy<Value = Step> {
        // Mostly the newest tokens, as in real races. Fewer than nine steps, so that every old
        // token is still remembered.
        let back = prop_oneof![4 => Just(0usize), 2 => Just(1), 1 => 0..16usize];
        (back, 0..20i64).prop_map(|(back, wait)| Step { back, wait })
    }

    fn authorize() -> GrantCommand {
        GrantCommand::Authorize(Box::new(Authorization {
            client_id: parsed("client_crm"),
            user_id: parsed("user_ada"),
            organization_id: None,
            session_id: parsed("session_1"),
            scopes: parsed("openid offline_access"),
            redirect_uri: parsed("https://crm.example/callback"),
            nonce: None,
            code_challenge: None,
            auth_time: at(0),
            approval: Approval::Consent,
            code_hash: hash(999),
            code_expires_at: at(300),
            methods: vec![],
            products: vec![],
            audiences: vec![],
            claims: RequestedClaims::default(),
            consent_epoch: 0,
            authorized_at: None,
        }))
    }

    fn redeem() -> GrantCommand {
        GrantCommand::RedeemCode {
            code_hash: hash(999),
            client_id: parsed("client_crm"),
            redirect_uri: "https://crm.example/callback".into(),
            verifier: None,
            now: at(0),
            access_token_id: "at-0".into(),
            secret_id: None,
            refresh: Some(issue(0)),
        }
    }

    fn issue(number: usize) -> RefreshIssue {
        RefreshIssue { hash: hash(number), expires_at: at(1_000_000) }
    }

    fn present(token: usize, next: usize, now: i64) -> GrantCommand {
        GrantCommand::Refresh {
            presented: hash(token),
            client_id: parsed("client_crm"),
            now: at(now),
            grace: Duration::seconds(GRACE),
            access_token_id: format!("at-{next}"),
            secret_id: None,
            next: issue(next),
        }
    }

    fn run(grant: &mut Grant, command: GrantCommand) -> Result<Vec<GrantEvent>, GrantError> {
        let events = grant.decide(command)?;
        events.iter().cloned().for_each(|event| grant.apply(event));
        Ok(events)
    }

    fn types(events: Vec<GrantEvent>) -> Vec<String> {
        let types = events.into_iter().map(|event| Event::from(event).event_type());
        types.collect()
    }

    /// The tokens so far, by generation: those of the last one work, those of the one before within the grace.
    struct Family {
        generations: Vec<Vec<usize>>,
        rotated_at: i64,
    }

    impl Family {
        fn works(&self, token: usize, now: i64) -> bool {
            let mut newest_first = self.generations.iter().rev();
            newest_first.next().is_some_and(|current| current.contains(&token))
                || newest_first.next().is_some_and(|previous| previous.contains(&token))
                    && now - self.rotated_at < GRACE
        }

        fn gives(&mut self, token: usize, next: usize, now: i64) {
            match self.generations.last_mut() {
                Some(current) if !current.contains(&token) => current.push(next),
                _ => {
                    self.generations.push(vec![next]);
                    self.rotated_at = now;
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn a_family_never_splits(steps in prop::collection::vec(steps(), 0..9)) {
            let mut grant = Grant::default();
            run(&mut grant, authorize()).expect("it is new");
            run(&mut grant, redeem()).expect("its code is fresh");

            let (mut now, mut newest) = (0, 0);
            let mut family = Family { generations: vec![vec![0]], rotated_at: 0 };
            for Step { back, wait } in steps {
                now += wait;
                let token = newest - back.min(newest);
                let was_live = grant.is_live();
                let answer = run(&mut grant, present(token, newest + 1, now));

                if !was_live {
                    prop_assert_eq!(answer, Err(GrantError::Revoked));
                } else if family.works(token, now) {
                    let refreshed = answer.expect("the token works");
                    prop_assert_eq!(types(refreshed), ["grant.refreshed"]);
                    newest += 1;
                    family.gives(token, newest, now);
                } else {
                    let replayed = answer.expect("a replay is no error");
                    prop_assert_eq!(types(replayed), ["grant.refresh_replayed", "grant.revoked"]);
                    prop_assert!(!grant.is_live());
                }
            }
        }
    }
}

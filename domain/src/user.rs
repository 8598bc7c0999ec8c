//! A user: one person's account; memberships belong to organizations.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::UserId;
use crate::personal::Personal;
use crate::values::{Email, PasswordHash, PersonName, SecretHash};

#[derive(Debug, Clone)]
pub enum UserCommand {
    Register {
        user_id: UserId,
        email: Email,
        name: PersonName,
        email_verified: bool,
        password: Option<PasswordHash>,
    },
    SetPassword {
        user_id: UserId,
        hash: PasswordHash,
    },
    /// By a link that was sent to the address, which is thereby verified.
    ResetPassword {
        user_id: UserId,
        hash: PasswordHash,
    },
    VerifyEmail,
    /// Ends every session and token (R271).
    SignOutEverywhere,
    /// A second factor; its secret is in the vault under `secret_id`, never here.
    EnableTotp {
        secret_id: String,
        recovery_codes: Vec<SecretHash>,
    },
    DisableTotp,
    SetRecoveryCodes {
        hashes: Vec<SecretHash>,
    },
    UseRecoveryCode {
        hash: SecretHash,
    },
    Rename {
        user_id: UserId,
        name: PersonName,
    },
    Suspend {
        reason: String,
    },
    Reinstate,
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum UserEvent {
    Registered {
        email: Personal<Email>,
        name: Personal<PersonName>,
        email_verified: bool,
    },
    /// Begins an epoch: sessions and tokens of an earlier one end (R270).
    PasswordSet {
        hash: Personal<PasswordHash>,
        epoch: u64,
    },
    EmailVerified,
    Renamed {
        name: Personal<PersonName>,
    },
    Suspended {
        reason: String,
    },
    Reinstated,
    /// Begins an epoch, as a new password does (R271).
    SignedOutEverywhere {
        epoch: u64,
    },
    TotpEnabled {
        secret_id: String,
    },
    TotpDisabled,
    /// Replaces those that were left.
    RecoveryCodesSet {
        hashes: Vec<SecretHash>,
    },
    RecoveryCodeUsed {
        hash: SecretHash,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UserError {
    #[error("this user does not exist")]
    NotFound,
    #[error("this user is already registered")]
    AlreadyRegistered,
    #[error("this user is suspended: {reason}")]
    Suspended { reason: String },
    #[error("two-factor sign-in is already on: turn it off first")]
    TotpAlreadyEnabled,
    #[error("two-factor sign-in is not on")]
    TotpNotEnabled,
    #[error("this recovery code is wrong or was used before")]
    WrongRecoveryCode,
}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub enum User {
    #[default]
    Unknown,
    Active(Account),
    Suspended {
        account: Account,
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    name: Personal<PersonName>,
    email_verified: bool,
    password: Option<Personal<PasswordHash>>,
    // Snapshots of earlier releases have the other name, and no second factor.
    #[serde(alias = "password_epoch")]
    session_epoch: u64,
    #[serde(default)]
    totp: Option<Totp>,
}

/// The second factor that is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Totp {
    secret_id: String,
    recovery_codes: Vec<SecretHash>,
}

aggregate! {
    User = "user",
    UserCommand -> UserEvent | UserError,
    [
        Registered = "registered",
        PasswordSet = "password_set",
        EmailVerified = "email_verified",
        Renamed = "renamed",
        Suspended = "suspended",
        Reinstated = "reinstated",
        SignedOutEverywhere = "signed_out_everywhere",
        TotpEnabled = "totp_enabled",
        TotpDisabled = "totp_disabled",
        RecoveryCodesSet = "recovery_codes_set",
        RecoveryCodeUsed = "recovery_code_used",
    ]
}

impl User {
    /// The events that `command` causes in this state; none means there is nothing to do.
    pub fn decide(&self, command: UserCommand) -> Result<Vec<UserEvent>, UserError> {
        use {User as S, UserCommand as C, UserError as Refused, UserEvent as E};
        Ok(match (self, command) {
            (S::Unknown, C::Register { user_id, email, name, email_verified, password }) => {
                let registered = E::Registered {
                    email: Personal::of(user_id.clone(), email),
                    name: Personal::of(user_id.clone(), name),
                    email_verified,
                };
                let password_set = password.map(|hash| E::PasswordSet { hash: Personal::of(user_id, hash), epoch: 1 });
                [registered].into_iter().chain(password_set).collect()
            }
            (S::Unknown, _) => return Err(Refused::NotFound),
            (_, C::Register { .. }) => return Err(Refused::AlreadyRegistered),

            (S::Active(_), C::SetPassword { hash, .. }) if self.password_hash() == Some(&hash) => {
                vec![]
            }
            (S::Active(account), C::SetPassword { user_id, hash }) => {
                vec![E::PasswordSet { hash: Personal::of(user_id, hash), epoch: account.session_epoch + 1 }]
            }
            (S::Active(account), C::ResetPassword { user_id, hash }) => {
                let password_set =
                    E::PasswordSet { hash: Personal::of(user_id, hash), epoch: account.session_epoch + 1 };
                let verified = (!account.email_verified).then_some(E::EmailVerified);
                [password_set].into_iter().chain(verified).collect()
            }
            (S::Active(account), C::SignOutEverywhere) => {
                vec![E::SignedOutEverywhere { epoch: account.session_epoch + 1 }]
            }
            (S::Active(account), C::VerifyEmail) if account.email_verified => vec![],
            (S::Active(_), C::VerifyEmail) => vec![E::EmailVerified],
            (S::Active(account), C::Rename { name, .. }) if account.name.value() == Some(&name) => {
                vec![]
            }
            (S::Active(_), C::Rename { user_id, name }) => vec![E::Renamed { name: Personal::of(user_id, name) }],
            (S::Active(account), C::EnableTotp { secret_id, recovery_codes }) => match &account.totp {
                None => vec![E::TotpEnabled { secret_id }, E::RecoveryCodesSet { hashes: recovery_codes }],
                Some(totp) if totp.secret_id == secret_id => vec![],
                Some(_) => return Err(Refused::TotpAlreadyEnabled),
            },
            (S::Active(account), C::DisableTotp) => account.totp.iter().map(|_| E::TotpDisabled).collect(),
            (S::Active(Account { totp: None, .. }), C::SetRecoveryCodes { .. } | C::UseRecoveryCode { .. }) => {
                return Err(Refused::TotpNotEnabled);
            }
            (S::Active(_), C::SetRecoveryCodes { hashes }) => vec![E::RecoveryCodesSet { hashes }],
            (S::Active(Account { totp: Some(totp), .. }), C::UseRecoveryCode { hash }) => {
                if !totp.recovery_codes.contains(&hash) {
                    return Err(Refused::WrongRecoveryCode);
                }
                vec![E::RecoveryCodeUsed { hash }]
            }
            (S::Active(_), C::Suspend { reason }) => vec![E::Suspended { reason }],
            (S::Active(_), C::Reinstate) => vec![],

            (S::Suspended { .. }, C::Suspend { .. }) => vec![],
            (S::Suspended { .. }, C::Reinstate) => vec![E::Reinstated],
            (S::Suspended { reason, .. }, _) => {
                return Err(Refused::Suspended { reason: reason.clone() });
            }
        })
    }

    pub fn apply(&mut self, event: UserEvent) {
        use UserEvent as E;
        if let E::Registered { name, email_verified, .. } = event {
            *self = Self::Active(Account { name, email_verified, password: None, session_epoch: 0, totp: None });
            return;
        }
        let (Self::Active(account) | Self::Suspended { account, .. }) = self else {
            return;
        };
        match event {
            E::Registered { .. } => {}
            E::PasswordSet { hash, epoch } => {
                account.password = Some(hash);
                account.session_epoch = epoch;
            }
            E::EmailVerified => account.email_verified = true,
            E::Renamed { name } => account.name = name,
            E::Suspended { reason } => {
                let account = account.clone();
                *self = Self::Suspended { account, reason };
            }
            E::Reinstated => *self = Self::Active(account.clone()),
            E::SignedOutEverywhere { epoch } => account.session_epoch = epoch,
            E::TotpEnabled { secret_id } => account.totp = Some(Totp { secret_id, recovery_codes: vec![] }),
            E::TotpDisabled => account.totp = None,
            E::RecoveryCodesSet { hashes } => {
                if let Some(totp) = &mut account.totp {
                    totp.recovery_codes = hashes;
                }
            }
            E::RecoveryCodeUsed { hash } => {
                if let Some(totp) = &mut account.totp {
                    totp.recovery_codes.retain(|left| *left != hash);
                }
            }
        }
    }

    pub fn exists(&self) -> bool {
        self.account().is_some()
    }

    /// Registered and not suspended: may sign in.
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Active(_))
    }

    /// The hash that a password is checked against; none if there is no password or it was erased.
    pub fn password_hash(&self) -> Option<&PasswordHash> {
        self.account()?.password.as_ref()?.value()
    }

    /// Whether the address was proved to be theirs.
    pub fn email_verified(&self) -> bool {
        self.account().is_some_and(|account| account.email_verified)
    }

    /// The one counter that ends sign-ins: a session or token of an earlier epoch has ended (R270, R271).
    pub fn session_epoch(&self) -> u64 {
        self.account().map_or(0, |account| account.session_epoch)
    }

    /// Where the vault has the secret of the second factor; none when it is off.
    pub fn totp_secret_id(&self) -> Option<&str> {
        Some(&self.account()?.totp.as_ref()?.secret_id)
    }

    /// How many recovery codes are left.
    pub fn recovery_codes_left(&self) -> usize {
        self.account().and_then(|account| account.totp.as_ref()).map_or(0, |totp| totp.recovery_codes.len())
    }

    fn account(&self) -> Option<&Account> {
        match self {
            Self::Unknown => None,
            Self::Active(account) | Self::Suspended { account, .. } => Some(account),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{UserCommand as C, UserError as Refused, UserEvent as E, *};
    use crate::scenario::{Scenario, after, hash, hash_text, parsed, stored_as};

    const FIRST: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$Zmlyc3Q";
    const SECOND: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$c2Vjb25k";

    fn given<const N: usize>(events: [E; N]) -> Scenario<User> {
        Scenario::given(events)
    }

    fn ada() -> UserId {
        parsed("user_ada")
    }

    fn registered() -> E {
        E::Registered {
            email: Personal::of(ada(), parsed("ada@example.com")),
            name: Personal::of(ada(), parsed("Ada")),
            email_verified: false,
        }
    }

    fn password_set(text: &str, epoch: u64) -> E {
        let hash = Personal::of(ada(), parsed(text));
        E::PasswordSet { hash, epoch }
    }

    fn suspended() -> E {
        let reason = "fraud".into();
        E::Suspended { reason }
    }

    fn register(password: Option<PasswordHash>) -> C {
        C::Register {
            user_id: ada(),
            email: parsed("ada@example.com"),
            name: parsed("Ada"),
            email_verified: false,
            password,
        }
    }

    fn set_password(hash: &str) -> C {
        let (user_id, hash) = (ada(), parsed(hash));
        C::SetPassword { user_id, hash }
    }

    fn reset_password(hash: &str) -> C {
        let (user_id, hash) = (ada(), parsed(hash));
        C::ResetPassword { user_id, hash }
    }

    fn enable_totp(secret_id: &str) -> C {
        C::EnableTotp { secret_id: secret_id.into(), recovery_codes: vec![hash('a'), hash('b')] }
    }

    fn totp_enabled() -> [E; 2] {
        let hashes = vec![hash('a'), hash('b')];
        [E::TotpEnabled { secret_id: "user_ada.1".into() }, E::RecoveryCodesSet { hashes }]
    }

    fn with_totp() -> Scenario<User> {
        let [enabled, codes] = totp_enabled();
        given([registered(), enabled, codes])
    }

    fn rename(name: &str) -> C {
        let (user_id, name) = (ada(), parsed(name));
        C::Rename { user_id, name }
    }

    fn suspend() -> C {
        let reason = "fraud".into();
        C::Suspend { reason }
    }

    #[test]
    fn a_user_registers_once_with_or_without_a_password() {
        given([]).when(register(None)).then([registered()]);
        given([]).when(register(Some(parsed(FIRST)))).then([registered(), password_set(FIRST, 1)]);
        given([registered()]).when(register(None)).then_refused(Refused::AlreadyRegistered);
        given([]).when(C::VerifyEmail).then_refused(Refused::NotFound);
    }

    #[test]
    fn each_new_password_begins_an_epoch() {
        given([registered()]).when(set_password(FIRST)).then([password_set(FIRST, 1)]);
        let before = || given([registered(), password_set(FIRST, 1)]);
        before().when(set_password(SECOND)).then([password_set(SECOND, 2)]);
        before().when(set_password(FIRST)).then_nothing();
    }

    #[test]
    fn an_email_is_verified_once() {
        given([registered()]).when(C::VerifyEmail).then([E::EmailVerified]);
        given([registered(), E::EmailVerified]).when(C::VerifyEmail).then_nothing();
    }

    #[test]
    fn renaming_to_the_same_name_is_nothing() {
        given([registered()]).when(rename("Ada")).then_nothing();
        let name = Personal::of(ada(), parsed("Countess"));
        given([registered()]).when(rename("Countess")).then([E::Renamed { name }]);
    }

    #[test]
    fn a_suspended_user_can_only_be_reinstated() {
        let reason = || "fraud".to_owned();
        let before = || given([registered(), suspended()]);
        for command in [
            C::VerifyEmail,
            set_password(FIRST),
            reset_password(FIRST),
            rename("Countess"),
            C::SignOutEverywhere,
            enable_totp("user_ada.1"),
            C::DisableTotp,
        ] {
            before().when(command).then_refused(Refused::Suspended { reason: reason() });
        }
        before().when(suspend()).then_nothing();
        before().when(C::Reinstate).then([E::Reinstated]);
    }

    #[test]
    fn an_active_user_is_suspended_and_not_reinstated() {
        given([registered()]).when(suspend()).then([suspended()]);
        given([registered()]).when(C::Reinstate).then_nothing();
        given([registered(), suspended(), E::Reinstated]).when(suspend()).then([suspended()]);
    }

    #[test]
    fn what_a_sign_in_asks_for_is_known() {
        let state: User = after([registered(), password_set(FIRST, 1), password_set(SECOND, 2)]);
        assert!(state.is_active());
        assert_eq!(state.session_epoch(), 2);
        assert_eq!(state.password_hash(), Some(&parsed(SECOND)));
        let state: User = after([registered(), suspended()]);
        assert!(state.exists());
        assert!(!state.is_active());
        assert_eq!(state.password_hash(), None);
    }

    #[test]
    fn an_erased_user_has_no_password() {
        let subject = ada();
        let hash = Personal::Erased { subject };
        let state: User = after([registered(), E::PasswordSet { hash, epoch: 1 }]);
        assert_eq!(state.password_hash(), None);
        assert_eq!(state.session_epoch(), 1);
    }

    #[test]
    fn signing_out_everywhere_begins_an_epoch_as_a_password_does() {
        let before = || given([registered(), password_set(FIRST, 1)]);
        before().when(C::SignOutEverywhere).then([E::SignedOutEverywhere { epoch: 2 }]);
        let everywhere = E::SignedOutEverywhere { epoch: 2 };
        given([registered(), password_set(FIRST, 1), everywhere.clone()])
            .when(set_password(SECOND))
            .then([password_set(SECOND, 3)]);
        assert_eq!(after::<User>([registered(), everywhere]).session_epoch(), 2);
    }

    #[test]
    fn a_reset_password_verifies_the_address() {
        given([registered()]).when(reset_password(FIRST)).then([password_set(FIRST, 1), E::EmailVerified]);
        given([registered(), E::EmailVerified]).when(reset_password(FIRST)).then([password_set(FIRST, 1)]);
    }

    #[test]
    fn a_second_factor_is_turned_on_once_and_off() {
        given([registered()]).when(enable_totp("user_ada.1")).then(totp_enabled());
        with_totp().when(enable_totp("user_ada.1")).then_nothing();
        with_totp().when(enable_totp("user_ada.2")).then_refused(Refused::TotpAlreadyEnabled);
        with_totp().when(C::DisableTotp).then([E::TotpDisabled]);
        given([registered()]).when(C::DisableTotp).then_nothing();
        let [enabled, codes] = totp_enabled();
        let state: User = after([registered(), enabled.clone(), codes.clone()]);
        assert_eq!((state.totp_secret_id(), state.recovery_codes_left()), (Some("user_ada.1"), 2));
        let state: User = after([registered(), enabled, codes, E::TotpDisabled]);
        assert_eq!((state.totp_secret_id(), state.recovery_codes_left()), (None, 0));
    }

    #[test]
    fn a_recovery_code_works_once() {
        let code = |digit| C::UseRecoveryCode { hash: hash(digit) };
        let used = E::RecoveryCodeUsed { hash: hash('a') };
        with_totp().when(code('a')).then([used.clone()]);
        with_totp().when(code('c')).then_refused(Refused::WrongRecoveryCode);
        let [enabled, codes] = totp_enabled();
        let before = || given([registered(), enabled.clone(), codes.clone(), used.clone()]);
        before().when(code('a')).then_refused(Refused::WrongRecoveryCode);
        before().when(code('b')).then([E::RecoveryCodeUsed { hash: hash('b') }]);
        given([registered()]).when(code('a')).then_refused(Refused::TotpNotEnabled);
    }

    #[test]
    fn new_recovery_codes_replace_the_old_ones() {
        let set = || C::SetRecoveryCodes { hashes: vec![hash('c')] };
        with_totp().when(set()).then([E::RecoveryCodesSet { hashes: vec![hash('c')] }]);
        given([registered()]).when(set()).then_refused(Refused::TotpNotEnabled);
    }

    #[test]
    fn a_snapshot_of_an_earlier_release_is_read() {
        let state: User = after([registered(), password_set(FIRST, 1)]);
        let mut json = serde_json::to_value(&state).unwrap();
        let account = json["Active"].as_object_mut().unwrap();
        let epoch = account.remove("session_epoch").unwrap();
        account.insert("password_epoch".into(), epoch);
        account.remove("totp");
        assert_eq!(serde_json::from_value::<User>(json).unwrap(), state);
    }

    #[test]
    fn a_state_survives_its_snapshot() {
        let state: User = after([registered(), password_set(FIRST, 1), suspended()]);
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<User>(&json).unwrap(), state);
    }

    #[test]
    fn stored_forms() {
        let personal = |value| json!({ "$personal": { "subject": "user_ada", "value": value } });
        let renamed = E::Renamed { name: Personal::of(ada(), parsed("Countess")) };
        let registration = json!({ "type": "registered", "email": personal("ada@example.com"),
            "name": personal("Ada"), "email_verified": false });
        let [enabled, codes] = totp_enabled();
        let password = json!({ "type": "password_set", "hash": personal(FIRST), "epoch": 1 });
        stored_as::<User>(
            [
                (registered(), registration),
                (password_set(FIRST, 1), password),
                (E::EmailVerified, json!({ "type": "email_verified" })),
                (renamed, json!({ "type": "renamed", "name": personal("Countess") })),
                (suspended(), json!({ "type": "suspended", "reason": "fraud" })),
                (E::Reinstated, json!({ "type": "reinstated" })),
                (E::SignedOutEverywhere { epoch: 2 }, json!({ "type": "signed_out_everywhere", "epoch": 2 })),
                (enabled, json!({ "type": "totp_enabled", "secret_id": "user_ada.1" })),
                (E::TotpDisabled, json!({ "type": "totp_disabled" })),
                (codes, json!({ "type": "recovery_codes_set", "hashes": [hash_text('a'), hash_text('b')] })),
                (
                    E::RecoveryCodeUsed { hash: hash('a') },
                    json!({ "type": "recovery_code_used", "hash": hash_text('a') }),
                ),
            ],
            E::TYPES,
        );
    }
}

//! The rules of a grant, its states and its stored forms.

use serde_json::json;

use super::{GrantCommand as C, GrantError as Refused, GrantEvent as E, *};
use crate::scenario::{Scenario, after, at, hash, hash_text, parsed, stored_as};

const CALLBACK: &str = "https://crm.example/auth/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Of the verifier: RFC 7636 appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CODE_ENDS: i64 = 300;
const REFRESH_ENDS: i64 = 30 * 24 * 3600;
const GRACE: i64 = 30;

fn given<const N: usize>(events: [E; N]) -> Scenario<Grant> {
    Scenario::given(events)
}

fn challenge(method: CodeChallengeMethod, value: &str) -> Option<CodeChallenge> {
    Some(CodeChallenge::new(method, value).unwrap())
}

fn s256() -> Option<CodeChallenge> {
    challenge(CodeChallengeMethod::S256, CHALLENGE)
}

fn authorization(code_challenge: Option<CodeChallenge>) -> Authorization {
    Authorization {
        client_id: parsed("client_crm"),
        user_id: parsed("user_ada"),
        organization_id: Some(parsed("org_acme")),
        session_id: parsed("session_1"),
        scopes: parsed("openid email"),
        redirect_uri: parsed(CALLBACK),
        nonce: Some("n-0S6".into()),
        code_challenge,
        auth_time: at(-60),
        approval: Approval::Consent,
        code_hash: hash('c'),
        code_expires_at: at(CODE_ENDS),
        methods: vec![],
        products: vec![],
        audiences: vec![],
        claims: RequestedClaims::default(),
        consent_epoch: 0,
        authorized_at: None,
    }
}

fn authorized_with(code_challenge: Option<CodeChallenge>) -> E {
    E::Authorized(Box::new(authorization(code_challenge)))
}

fn authorized() -> E {
    authorized_with(s256())
}

fn authorize() -> C {
    C::Authorize(Box::new(authorization(s256())))
}

fn client_token() -> Box<ClientToken> {
    Box::new(ClientToken {
        client_id: parsed("srv_1"),
        organization_id: parsed("org_acme"),
        scopes: parsed("read:products"),
        audiences: vec![parsed("https://api.myapp.com")],
        access_token_id: "at-0".into(),
        at: at(0),
        expires_at: at(3600),
        secret_id: Some("sec_1".into()),
    })
}

fn end_access_token(id: &str) -> C {
    C::RevokeAccessToken { access_token_id: id.into(), now: at(20) }
}

fn ended_access_token(id: &str) -> E {
    E::AccessTokenRevoked { access_token_id: id.into(), at: at(20) }
}

fn verifier() -> Option<Verifier> {
    Some(Verifier { plain: VERIFIER.into(), s256: CHALLENGE.into() })
}

fn issue(digit: char) -> RefreshIssue {
    RefreshIssue { hash: hash(digit), expires_at: at(REFRESH_ENDS) }
}

/// A redemption that succeeds at second 10, unless the test changes something.
struct Redeem {
    code: char,
    client: &'static str,
    redirect_uri: &'static str,
    verifier: Option<Verifier>,
    now: i64,
}

fn redeem() -> Redeem {
    Redeem { code: 'c', client: "client_crm", redirect_uri: CALLBACK, verifier: verifier(), now: 10 }
}

impl From<Redeem> for C {
    fn from(redeem: Redeem) -> C {
        C::RedeemCode {
            code_hash: hash(redeem.code),
            client_id: parsed(redeem.client),
            redirect_uri: redeem.redirect_uri.into(),
            verifier: redeem.verifier,
            now: at(redeem.now),
            access_token_id: "at-0".into(),
            secret_id: None,
            refresh: Some(issue('0')),
        }
    }
}

fn redeemed() -> E {
    E::CodeRedeemed { access_token_id: "at-0".into(), refresh: Some(issue('0')), at: at(10), secret_id: None }
}

fn refresh(presented: char, next: char, now: i64) -> C {
    C::Refresh {
        presented: hash(presented),
        client_id: parsed("client_crm"),
        now: at(now),
        grace: Duration::seconds(GRACE),
        access_token_id: format!("at-{next}"),
        secret_id: None,
        next: issue(next),
    }
}

fn refreshed(generation: u64, next: char, now: i64) -> E {
    E::Refreshed {
        access_token_id: format!("at-{next}"),
        generation,
        refresh: issue(next),
        at: at(now),
        secret_id: None,
    }
}

fn revoked(reason: RevocationReason, now: i64) -> E {
    let at = at(now);
    E::Revoked { reason, at }
}

fn refresh_replayed(now: i64) -> [E; 2] {
    let reason = RevocationReason::RefreshReplayed;
    [E::RefreshReplayed { at: at(now) }, revoked(reason, now)]
}

fn revoke() -> C {
    let (reason, now) = (RevocationReason::User, at(20));
    C::Revoke { reason, now }
}

#[test]
fn a_grant_is_authorized_once() {
    given([]).when(authorize()).then([authorized()]);
    given([authorized()]).when(authorize()).then_refused(Refused::AlreadyAuthorized);
    given([]).when(redeem().into()).then_refused(Refused::NotFound);
}

#[test]
fn a_code_is_redeemed_by_its_client() {
    given([authorized()]).when(redeem().into()).then([redeemed()]);
    let unknown = Redeem { code: 'd', ..redeem() };
    given([authorized()]).when(unknown.into()).then_refused(Refused::InvalidCode);
    let other = Redeem { client: "client_other", ..redeem() };
    given([authorized()]).when(other.into()).then_refused(Refused::WrongClient);
}

#[test]
fn a_code_expires() {
    let last = Redeem { now: CODE_ENDS - 1, ..redeem() };
    assert!(after::<Grant>([authorized()]).decide(last.into()).is_ok());
    let late = Redeem { now: CODE_ENDS, ..redeem() };
    given([authorized()]).when(late.into()).then_refused(Refused::CodeExpired);
    assert_eq!(Refused::CodeExpired.to_string(), "Authorization code has expired");
}

#[test]
fn the_redirect_uri_is_repeated_exactly() {
    let redirect_uri = "https://crm.example/auth/callback/";
    let other = Redeem { redirect_uri, ..redeem() };
    given([authorized()]).when(other.into()).then_refused(Refused::RedirectUriMismatch);
}

#[test]
fn an_s256_challenge_is_answered_by_its_verifier() {
    let without = Redeem { verifier: None, ..redeem() };
    given([authorized()]).when(without.into()).then_refused(Refused::VerifierRequired);
    let wrong = Some(Verifier { plain: CHALLENGE.into(), s256: VERIFIER.into() });
    let wrong = Redeem { verifier: wrong, ..redeem() };
    given([authorized()]).when(wrong.into()).then_refused(Refused::VerifierMismatch);
}

#[test]
fn a_plain_challenge_is_answered_by_itself() {
    let plain = |value| authorized_with(challenge(CodeChallengeMethod::Plain, value));
    given([plain(VERIFIER)]).when(redeem().into()).then([redeemed()]);
    given([plain(CHALLENGE)]).when(redeem().into()).then_refused(Refused::VerifierMismatch);
}

#[test]
fn a_verifier_without_a_challenge_is_refused() {
    let before = || given([authorized_with(None)]);
    before().when(redeem().into()).then_refused(Refused::VerifierUnexpected);
    before().when(Redeem { verifier: None, ..redeem() }.into()).then([redeemed()]);
}

#[test]
fn a_replayed_code_revokes_the_grant() {
    let replay = || Redeem { now: 40, verifier: None, ..redeem() };
    let revoked = revoked(RevocationReason::CodeReplayed, 40);
    given([authorized(), redeemed()]).when(replay().into()).then([E::CodeReplayed { at: at(40) }, revoked.clone()]);
    given([authorized(), redeemed(), revoked]).when(replay().into()).then_refused(Refused::Revoked);
}

#[test]
fn only_the_holder_of_the_code_can_replay_it() {
    let guess = Redeem { code: 'd', ..redeem() };
    given([authorized(), redeemed()]).when(guess.into()).then_refused(Refused::InvalidCode);
    let other = Redeem { client: "client_other", ..redeem() };
    given([authorized(), redeemed()]).when(other.into()).then_refused(Refused::WrongClient);
}

#[test]
fn a_refresh_token_is_rotated_at_each_use() {
    given([authorized(), redeemed()]).when(refresh('0', '1', 100)).then([refreshed(1, '1', 100)]);
    given([authorized(), redeemed(), refreshed(1, '1', 100)])
        .when(refresh('1', '2', 200))
        .then([refreshed(2, '2', 200)]);
}

#[test]
fn a_lost_answer_is_forgiven_within_the_grace() {
    let before = || given([authorized(), redeemed(), refreshed(1, '1', 100)]);
    before().when(refresh('0', '2', 100 + GRACE - 1)).then([refreshed(1, '2', 100 + GRACE - 1)]);
    before().when(refresh('0', '2', 100 + GRACE)).then(refresh_replayed(100 + GRACE));
}

#[test]
fn forgiving_does_not_prolong_the_grace() {
    let before = || given([authorized(), redeemed(), refreshed(1, '1', 100), refreshed(1, '2', 120)]);
    before().when(refresh('0', '3', 125)).then([refreshed(1, '3', 125)]);
    before().when(refresh('0', '3', 100 + GRACE)).then(refresh_replayed(100 + GRACE));
}

#[test]
fn of_two_answers_to_one_token_either_may_have_arrived() {
    let before = || given([authorized(), redeemed(), refreshed(1, '1', 100), refreshed(1, '2', 105)]);
    before().when(refresh('1', '3', 110)).then([refreshed(2, '3', 110)]);
    before().when(refresh('2', '3', 110)).then([refreshed(2, '3', 110)]);
}

#[test]
fn a_token_whose_successor_was_used_is_a_replay() {
    given([authorized(), redeemed(), refreshed(1, '1', 100), refreshed(2, '2', 105)])
        .when(refresh('0', '3', 106))
        .then(refresh_replayed(106));
}

#[test]
fn a_guessed_refresh_token_revokes_nothing() {
    let before = || given([authorized(), redeemed()]);
    before().when(refresh('f', '1', 100)).then_refused(Refused::InvalidRefreshToken);
    given([authorized()]).when(refresh('0', '1', 100)).then_refused(Refused::InvalidRefreshToken);
}

#[test]
fn a_grant_without_refresh_token_is_not_refreshed() {
    let redeemed = E::CodeRedeemed { access_token_id: "at-0".into(), refresh: None, at: at(10), secret_id: None };
    given([authorized(), redeemed]).when(refresh('0', '1', 100)).then_refused(Refused::InvalidRefreshToken);
}

#[test]
fn a_refresh_token_expires() {
    given([authorized(), redeemed()]).when(refresh('0', '1', REFRESH_ENDS)).then_refused(Refused::RefreshExpired);
    // Also one that would be forgiven: its successor is as old as the family may get.
    let late = REFRESH_ENDS - 1;
    given([authorized(), redeemed(), refreshed(1, '1', late)])
        .when(refresh('0', '2', REFRESH_ENDS))
        .then_refused(Refused::RefreshExpired);
}

#[test]
fn a_refresh_token_is_bound_to_its_client() {
    let refresh = C::Refresh {
        presented: hash('0'),
        client_id: parsed("client_other"),
        now: at(100),
        grace: Duration::zero(),
        access_token_id: "at-1".into(),
        secret_id: None,
        next: issue('1'),
    };
    given([authorized(), redeemed()]).when(refresh).then_refused(Refused::WrongClient);
}

#[test]
fn a_revoked_grant_gives_nothing() {
    let revoked = || revoked(RevocationReason::User, 20);
    given([authorized()]).when(revoke()).then([revoked()]);
    given([authorized(), redeemed()]).when(revoke()).then([revoked()]);
    given([]).when(revoke()).then_refused(Refused::NotFound);
    given([authorized(), revoked()]).when(revoke()).then_nothing();
    given([authorized(), revoked()]).when(redeem().into()).then_refused(Refused::Revoked);
    given([authorized(), redeemed(), revoked()]).when(refresh('0', '1', 100)).then_refused(Refused::Revoked);
}

#[test]
fn a_client_gets_a_token_for_itself_and_nothing_more() {
    let issued = || E::ClientTokenIssued(client_token());
    given([]).when(C::IssueClientToken(client_token())).then([issued()]);
    given([issued()]).when(C::IssueClientToken(client_token())).then_refused(Refused::AlreadyAuthorized);
    given([issued()]).when(refresh('0', '1', 10)).then_refused(Refused::InvalidRefreshToken);
    given([issued()]).when(redeem().into()).then_refused(Refused::InvalidCode);
    let grant: Grant = after([issued()]);
    assert!(grant.is_live() && grant.allows("at-0") && !grant.allows("at-1"));

    given([issued()]).when(end_access_token("at-0")).then([revoked(RevocationReason::Client, 20)]);
    let grant: Grant = after([issued(), revoked(RevocationReason::Client, 20)]);
    assert!(!grant.is_live() && !grant.allows("at-0"));
}

#[test]
fn one_access_token_ends_and_the_grant_goes_on() {
    given([authorized(), redeemed()]).when(end_access_token("at-0")).then([ended_access_token("at-0")]);
    let before = || [authorized(), redeemed(), ended_access_token("at-0")];
    given(before()).when(end_access_token("at-0")).then_nothing();
    given(before()).when(refresh('0', '1', 100)).then([refreshed(1, '1', 100)]);
    let grant: Grant = after(before());
    assert!(!grant.allows("at-0") && grant.allows("at-1"));
    assert!(grant.refresh_token(&hash('0'), at(100), Duration::zero()).is_some());
    assert!(grant.refresh_token(&hash('1'), at(100), Duration::zero()).is_none());
}

#[test]
fn what_was_authorized_is_known_after_the_end() {
    let live: Grant = after([authorized(), redeemed()]);
    assert!(live.is_live());
    assert_eq!(live.revoked(), None);
    let ended: Grant = after([authorized(), redeemed(), revoked(RevocationReason::Admin, 20)]);
    assert!(!ended.is_live());
    assert_eq!(ended.revoked(), Some(RevocationReason::Admin));
    assert_eq!(ended.authorization(), live.authorization());
    assert!(!Grant::Unknown.is_live());
}

#[test]
fn a_state_survives_its_snapshot() {
    let state: Grant = after([authorized(), redeemed(), refreshed(1, '1', 100), refreshed(1, '2', 101)]);
    let json = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<Grant>(&json).unwrap(), state);
}

#[test]
fn a_verifier_is_never_shown() {
    assert_eq!(format!("{:?}", verifier()), "Some(Verifier(…))");
}

#[test]
fn stored_forms() {
    let full = E::Authorized(Box::new(Authorization {
        client_id: parsed("app_1"),
        organization_id: None,
        nonce: None,
        code_challenge: None,
        approval: Approval::InstalledApp,
        methods: vec!["pwd".into()],
        products: vec![parsed("crm")],
        audiences: vec![parsed("https://api.myapp.com")],
        claims: RequestedClaims { userinfo: vec!["name".into()], id_token: vec![] },
        consent_epoch: 2,
        authorized_at: Some(at(0)),
        ..authorization(None)
    }));
    let client_token_json = json!({
        "type": "client_token_issued",
        "client_id": "srv_1",
        "organization_id": "org_acme",
        "scopes": ["read:products"],
        "audiences": ["https://api.myapp.com"],
        "access_token_id": "at-0",
        "at": "2026-01-01T00:00:00Z",
        "expires_at": "2026-01-01T01:00:00Z",
        "secret_id": "sec_1",
    });
    let with_secret =
        E::CodeRedeemed { access_token_id: "at-0".into(), refresh: None, at: at(10), secret_id: Some("sec_1".into()) };
    let refresh = |digit| json!({ "hash": hash_text(digit), "expires_at": "2026-01-31T00:00:00Z" });
    stored_as::<Grant>(
        [
            (
                authorized(),
                json!({
                    "type": "authorized",
                    "client_id": "client_crm",
                    "user_id": "user_ada",
                    "organization_id": "org_acme",
                    "session_id": "session_1",
                    "scopes": ["openid", "email"],
                    "redirect_uri": CALLBACK,
                    "nonce": "n-0S6",
                    "code_challenge": { "method": "S256", "value": CHALLENGE },
                    "auth_time": "2025-12-31T23:59:00Z",
                    "approval": "consent",
                    "code_hash": hash_text('c'),
                    "code_expires_at": "2026-01-01T00:05:00Z",
                }),
            ),
            (
                full,
                json!({
                    "type": "authorized",
                    "client_id": "app_1",
                    "user_id": "user_ada",
                    "organization_id": null,
                    "session_id": "session_1",
                    "scopes": ["openid", "email"],
                    "redirect_uri": CALLBACK,
                    "nonce": null,
                    "code_challenge": null,
                    "auth_time": "2025-12-31T23:59:00Z",
                    "approval": "installed_app",
                    "code_hash": hash_text('c'),
                    "code_expires_at": "2026-01-01T00:05:00Z",
                    "methods": ["pwd"],
                    "products": ["crm"],
                    "audiences": ["https://api.myapp.com"],
                    "claims": { "userinfo": ["name"] },
                    "consent_epoch": 2,
                    "authorized_at": "2026-01-01T00:00:00Z",
                }),
            ),
            (
                with_secret,
                json!({
                    "type": "code_redeemed",
                    "access_token_id": "at-0",
                    "refresh": null,
                    "at": "2026-01-01T00:00:10Z",
                    "secret_id": "sec_1",
                }),
            ),
            (E::ClientTokenIssued(client_token()), client_token_json),
            (
                ended_access_token("at-0"),
                json!({ "type": "access_token_revoked", "access_token_id": "at-0", "at": "2026-01-01T00:00:20Z" }),
            ),
            (
                redeemed(),
                json!({
                    "type": "code_redeemed",
                    "access_token_id": "at-0",
                    "refresh": refresh('0'),
                    "at": "2026-01-01T00:00:10Z",
                }),
            ),
            (E::CodeReplayed { at: at(0) }, json!({ "type": "code_replayed", "at": "2026-01-01T00:00:00Z" })),
            (
                refreshed(1, '1', 0),
                json!({
                    "type": "refreshed",
                    "access_token_id": "at-1",
                    "generation": 1,
                    "refresh": refresh('1'),
                    "at": "2026-01-01T00:00:00Z",
                }),
            ),
            (E::RefreshReplayed { at: at(0) }, json!({ "type": "refresh_replayed", "at": "2026-01-01T00:00:00Z" })),
            (
                revoked(RevocationReason::PasswordChanged, 0),
                json!({
                    "type": "revoked",
                    "reason": "password_changed",
                    "at": "2026-01-01T00:00:00Z",
                }),
            ),
        ],
        E::TYPES,
    );
}

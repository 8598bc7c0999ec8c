//! What a person is asked on behalf of a client: whether it may (R037–R039), and for which organization (C10).

use api::fields::{Form, Query};
use api::oauth::interaction::{self, Decision, Waiting};
use api::sign_in::{SignedIn, Visitor};
use api::{App, Arrival, Locale, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use domain::OrganizationId;
use serde::Deserialize;

use crate::continue_to::ContinueTo;
use crate::locale::{Door, fill, texts};
use crate::page::{go_on, html};

texts! {
    /// The page that asks whether a client may.
    ConsentTexts {
        title: "Allow access" / "Zugriff erlauben",
        asks: "{} would like to:" / "{} möchte:",
        knows: "You have already allowed it to:" / "Das haben Sie bereits erlaubt:",
        acting_for: "You act for {}." / "Sie handeln für {}.",
        leads_to: "You then go on to {}." / "Danach geht es weiter zu {}.",
        signed_in_as: "Signed in as {}." / "Angemeldet als {}.",
        not_you: "Use another account" / "Anderes Konto verwenden",
        authorize: "Authorize" / "Erlauben",
        deny: "Deny" / "Ablehnen",
        revoke_later: "You can take this back at any time." / "Sie können das jederzeit zurücknehmen.",
    }
}

texts! {
    /// What scopes mean to people.
    ScopeTexts {
        openid: "know who you are" / "wissen, wer Sie sind",
        profile: "see your name" / "Ihren Namen sehen",
        email: "see your e-mail address" / "Ihre E-Mail-Adresse sehen",
        offline_access: "stay signed in, also while you are away" / "angemeldet bleiben, auch wenn Sie nicht da sind",
        organization: "see your organization and your role in it" / "Ihre Organisation und Ihre Rolle darin sehen",
        organization_read: "read your organization's details" / "die Angaben Ihrer Organisation lesen",
        organization_write: "change your organization's settings" / "die Einstellungen Ihrer Organisation ändern",
        other: "use the permission {}" / "die Berechtigung {} nutzen",
    }
}

texts! {
    /// The page that asks for which organization.
    ChoiceTexts {
        title: "Choose an organization" / "Organisation wählen",
        for_which: "For which organization do you use {}?" / "Für welche Organisation verwenden Sie {}?",
        choose: "Continue" / "Weiter",
        none: "Choose one of the organizations." / "Wählen Sie eine der Organisationen.",
    }
}

texts! {
    GoneTexts {
        gone: "this request was answered before or waited too long; go back to the app and start again"
            / "Diese Anfrage ist schon beantwortet oder hat zu lange gewartet. Beginnen Sie in der App noch einmal.",
    }
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    door: Door,
    text: &'static ConsentTexts,
    continue_to: &'a ContinueTo,
    client: &'a Waiting,
    new: Vec<String>,
    known: Vec<String>,
    who: String,
}

#[derive(Template)]
#[template(path = "choose_organization.html")]
struct ChoicePage<'a> {
    door: Door,
    text: &'static ChoiceTexts,
    continue_to: &'a ContinueTo,
    client: &'a Waiting,
    organizations: Vec<(String, String)>,
    nothing_chosen: bool,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(rename = "continue")]
    continue_to: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Answer {
    #[serde(rename = "continue")]
    continue_to: Option<String>,
    decision: String,
}

#[derive(Deserialize)]
pub(crate) struct Choice {
    #[serde(rename = "continue")]
    continue_to: Option<String>,
    organization: Option<String>,
}

/// `GET /oauth/consent`
pub(crate) async fn show(
    State(app): State<App>,
    Visitor(session): Visitor,
    door: Door,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let continue_to = ContinueTo::read(asked.continue_to.as_deref());
    let Some(session) = session else { return Ok(Redirect::to(continue_to.as_str()).into_response()) };
    let client = client(&app, &session, &door, &continue_to).await?;
    let user = projections::user(&app.views.db, &session.user_id).await?;
    let who = user.and_then(|user| user.email.or(user.name)).unwrap_or_default();
    let door = door.for_client(client.ui_locales.as_deref());
    let told = |scopes: &[String]| scopes.iter().map(|scope| scope_text(&door.locale, scope)).collect();
    let (new, known) = (told(&client.new_scopes), told(&client.known_scopes));
    let text = ConsentTexts::of(door.locale);
    html(&ConsentPage { text, continue_to: &continue_to, client: &client, new, known, who, door })
        .map(IntoResponse::into_response)
}

/// `POST /oauth/consent`
pub(crate) async fn answer(
    State(app): State<App>,
    Visitor(session): Visitor,
    arrival: Arrival,
    door: Door,
    Form(form): Form<Answer>,
) -> Result<Response, Problem> {
    let continue_to = ContinueTo::read(form.continue_to.as_deref());
    let Some(session) = session else { return go_on(door, &continue_to) };
    let decision = match form.decision.as_str() {
        "authorize" => Decision::Authorize,
        "deny" => Decision::Deny,
        _ => return Err(Problem::bad_field("decision", "decision must be authorize or deny")),
    };
    if !interaction::decide(&app, &session, &arrival, continue_to.as_str(), decision).await? {
        return Err(gone(&door));
    }
    go_on(door, &continue_to)
}

/// `GET /oauth/organization`
pub(crate) async fn show_organizations(
    State(app): State<App>,
    Visitor(session): Visitor,
    door: Door,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let continue_to = ContinueTo::read(asked.continue_to.as_deref());
    let Some(session) = session else { return Ok(Redirect::to(continue_to.as_str()).into_response()) };
    choices(&app, &session, door, &continue_to, false).await
}

/// `POST /oauth/organization`
pub(crate) async fn choose_organization(
    State(app): State<App>,
    Visitor(session): Visitor,
    arrival: Arrival,
    door: Door,
    Form(form): Form<Choice>,
) -> Result<Response, Problem> {
    let continue_to = ContinueTo::read(form.continue_to.as_deref());
    let Some(session) = session else { return go_on(door, &continue_to) };
    let Some(Ok(chosen)) = form.organization.as_deref().map(str::parse::<OrganizationId>) else {
        return choices(&app, &session, door, &continue_to, true).await;
    };
    if !interaction::choose_organization(&app, &session, &arrival, continue_to.as_str(), chosen).await? {
        return Err(gone(&door));
    }
    go_on(door, &continue_to)
}

async fn choices(
    app: &App,
    session: &SignedIn,
    door: Door,
    continue_to: &ContinueTo,
    nothing_chosen: bool,
) -> Result<Response, Problem> {
    let client = client(app, session, &door, continue_to).await?;
    let organizations = interaction::organizations(app, session).await?;
    let door = door.for_client(client.ui_locales.as_deref());
    let text = ChoiceTexts::of(door.locale);
    html(&ChoicePage { door, text, continue_to, client: &client, organizations, nothing_chosen })
        .map(IntoResponse::into_response)
}

async fn client(app: &App, session: &SignedIn, door: &Door, continue_to: &ContinueTo) -> Result<Waiting, Problem> {
    interaction::waiting(app, session, continue_to.as_str()).await?.ok_or_else(|| gone(door))
}

fn gone(door: &Door) -> Problem {
    Problem::new(axum::http::StatusCode::BAD_REQUEST, "request_expired", GoneTexts::of(door.locale).gone)
}

/// What a scope means to people.
pub(crate) fn scope_text(locale: &Locale, scope: &str) -> String {
    let text = ScopeTexts::of(*locale);
    match scope {
        "openid" => text.openid,
        "profile" => text.profile,
        "email" => text.email,
        "offline_access" => text.offline_access,
        "organization" => text.organization,
        "organization:read" => text.organization_read,
        "organization:write" => text.organization_write,
        other => return fill(text.other, other),
    }
    .to_owned()
}

//! The language of a page: texts as tables that the compiler checks, and how one of them is chosen.
//!
//! A page that everybody can see takes [`Door`] as an argument of its handler, holds it in its template and extends
//! `door.html`, which sets `<html lang>` and offers the other languages:
//!
//! ```ignore
//! texts! {
//!     /// The page that asks whether an app may.
//!     pub(crate) ConsentTexts {
//!         title: "Allow access" / "Zugriff erlauben",
//!         asks: "{} asks for:" / "{} bittet um:",
//!     }
//! }
//!
//! #[derive(Template)]
//! #[template(path = "consent.html")] // {% extends "door.html" %} {% block panel %}<h1>{{ text.title }}</h1>…
//! struct ConsentPage<'a> {
//!     door: Door,
//!     text: &'static ConsentTexts,
//!     client: &'a str, // {{ crate::locale::fill(text.asks, client) }}
//! }
//!
//! async fn show(State(app): State<App>, door: Door, …) -> Result<Html<String>, Problem> {
//!     let asked = asked_by(&app, continue_to.as_str()).await;
//!     let door = door.for_client(asked.as_ref().and_then(|asked| asked.ui_locales.as_deref()));
//!     html(&ConsentPage { text: ConsentTexts::of(door.locale), door, client })
//! }
//! ```
//!
//! A page of somebody signed in has its language in `person.locale`.

use std::convert::Infallible;

use api::Locale;
use api::fields::Query;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use url::form_urlencoded;

use crate::continue_to::ContinueTo;

const COOKIE: &str = "optare_language";

/// Defines a page's texts: each field in every language, with as many `{}` in one as in the other.
macro_rules! texts {
    ($(#[$doc:meta])* $vis:vis $table:ident { $($name:ident: $en:literal / $de:literal),+ $(,)? }) => {
        $(#[$doc])*
        $vis struct $table {
            $(pub $name: &'static str,)+
        }

        impl $table {
            /// The texts in a language.
            $vis fn of(locale: api::Locale) -> &'static Self {
                static EN: $table = $table { $($name: $en,)+ };
                static DE: $table = $table { $($name: $de,)+ };
                match locale {
                    api::Locale::En => &EN,
                    api::Locale::De => &DE,
                }
            }
        }

        $(const _: () = assert!(
            $crate::locale::holes($en) == $crate::locale::holes($de),
            "a text has more places for values in one language than in the other",
        );)+
    };
}
pub(crate) use texts;

/// How many `{}` a text has.
pub(crate) const fn holes(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut count) = (1, 0);
    while at < bytes.len() {
        if bytes[at - 1] == b'{' && bytes[at] == b'}' {
            count += 1;
        }
        at += 1;
    }
    count
}

/// A text with a value for its `{}`.
pub(crate) fn fill(text: &str, value: impl std::fmt::Display) -> String {
    text.replacen("{}", &value.to_string(), 1)
}

/// A time to wait, as people say it.
pub(crate) fn in_words(locale: Locale, seconds: i64) -> String {
    let (number, one, many) = match (locale, seconds > 90) {
        (Locale::En, false) => (seconds, "second", "seconds"),
        (Locale::En, true) => ((seconds + 59) / 60, "minute", "minutes"),
        // In the dative, which follows „in“.
        (Locale::De, false) => (seconds, "Sekunde", "Sekunden"),
        (Locale::De, true) => ((seconds + 59) / 60, "Minute", "Minuten"),
    };
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A point in time, as people write it.
pub(crate) fn moment(locale: &Locale, at: &DateTime<Utc>) -> String {
    match locale {
        Locale::En => at.format("%-d %B %Y, %H:%M UTC").to_string(),
        Locale::De => at.format("%-d.%-m.%Y, %H:%M Uhr UTC").to_string(),
    }
}

/// A day, as people write it.
pub(crate) fn day(locale: &Locale, at: &DateTime<Utc>) -> String {
    match locale {
        Locale::En => at.format("%-d %B %Y").to_string(),
        Locale::De => at.format("%-d.%-m.%Y").to_string(),
    }
}

texts! {
    /// What is around every page.
    pub(crate) FrameTexts {
        skip: "Skip to content" / "Zum Inhalt springen",
        languages: "Language" / "Sprache",
        error: "Error" / "Fehler",
        main_menu: "Main" / "Hauptmenü",
        dashboard: "Dashboard" / "Übersicht",
        apps: "Apps" / "Apps",
        subscriptions: "Subscriptions" / "Abonnements",
        connected_apps: "Connected Apps" / "Verbundene Apps",
        clients: "OAuth Clients" / "OAuth-Clients",
        account: "Account" / "Konto",
        sign_out: "Sign out" / "Abmelden",
        organization: "Organization" / "Organisation",
        switch: "Switch" / "Wechseln",
        no_organization: "No organization yet" / "Noch keine Organisation",
        no_organization_about: "You do not belong to an organization. Ask an owner or admin of yours to add you."
            / "Sie gehören zu keiner Organisation. Bitten Sie einen Inhaber oder Administrator der Ihren, Sie aufzunehmen.",
    }
}

/// What the person at this browser reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Languages {
    chosen: Option<Locale>,
    accepted: Option<Locale>,
}

impl Languages {
    pub fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let chosen = pairs.find_map(|(name, value)| (name == COOKIE).then(|| Locale::of_tag(value))).flatten();
        Self { chosen, accepted: Locale::accepted(headers) }
    }

    /// What the person chose here, else what the asking client says (`ui_locales`), else what the browser says.
    pub fn best(self, ui_locales: Option<&str>) -> Locale {
        self.chosen.or_else(|| ui_locales.and_then(Locale::of_list)).or(self.accepted).unwrap_or_default()
    }
}

/// What every page outside of the portal has: its language, and the way to the others.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub locale: Locale,
    languages: Languages,
    here: String,
}

impl Door {
    /// The page in the language that a client asks for, unless the person chose another one.
    #[must_use]
    pub fn for_client(self, ui_locales: Option<&str>) -> Self {
        Self { locale: self.languages.best(ui_locales), ..self }
    }

    /// The address that shows this page again; needed where the page answers a form.
    #[must_use]
    pub fn at(self, here: impl Into<String>) -> Self {
        Self { here: here.into(), ..self }
    }

    pub fn frame(&self) -> &'static FrameTexts {
        FrameTexts::of(self.locale)
    }

    /// A sentence about a pause of so many seconds.
    pub fn pause(&self, text: &str, seconds: i64) -> String {
        fill(text, in_words(self.locale, seconds))
    }

    /// Where the page is shown in another language, and stays so.
    pub fn switch_to(&self, locale: &Locale) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("to", locale.tag()).append_pair("back", &self.here);
        format!("/language?{}", query.finish())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Door {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let languages = Languages::of(&parts.headers);
        let path = parts.uri.path();
        let query = parts.uri.path_and_query().filter(|_| parts.method == Method::GET);
        let here = query.map_or(path, |here| here.as_str()).to_owned();
        Ok(Self { locale: languages.best(None), languages, here })
    }
}

#[derive(Deserialize)]
pub(crate) struct Chosen {
    to: String,
    back: Option<String>,
}

/// `GET /language`: remembers the language that a person chose and shows the page again.
pub(crate) async fn choose(Query(chosen): Query<Chosen>) -> Response {
    let back = Redirect::to(ContinueTo::read(chosen.back.as_deref()).as_str());
    let Some(locale) = Locale::of_tag(&chosen.to) else { return back.into_response() };
    let cookie = format!("{COOKIE}={}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax", locale.tag());
    ([(header::SET_COOKIE, cookie)], back).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn languages(cookie: &str, accept: &str) -> Languages {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookie.parse().unwrap());
        headers.insert(header::ACCEPT_LANGUAGE, accept.parse().unwrap());
        Languages::of(&headers)
    }

    #[test]
    fn what_a_person_chose_counts_most_then_the_client_then_the_browser() {
        assert_eq!(languages("a=b; optare_language=de", "en").best(Some("en")), Locale::De);
        assert_eq!(languages("a=b", "en").best(Some("fr de")), Locale::De);
        assert_eq!(languages("optare_language=tlh", "de").best(Some("fr")), Locale::De);
        assert_eq!(languages("a=b", "fr").best(None), Locale::En);
    }

    #[test]
    fn a_pause_and_a_moment_read_as_people_say_them() {
        assert_eq!(in_words(Locale::En, 1), "1 second");
        assert_eq!(in_words(Locale::De, 90), "90 Sekunden");
        assert_eq!(in_words(Locale::En, 91), "2 minutes");
        let at = DateTime::from_timestamp(0, 0).unwrap();
        assert_eq!(moment(&Locale::En, &at), "1 January 1970, 00:00 UTC");
        assert_eq!(moment(&Locale::De, &at), "1.1.1970, 00:00 Uhr UTC");
    }

    #[test]
    fn holes_are_counted_and_filled() {
        assert_eq!(holes("{} of {}"), 2);
        assert_eq!(holes("{ }"), 0);
        assert_eq!(fill("{} of {}", 1), "1 of {}");
    }

    #[test]
    fn the_way_to_another_language_leads_back_here() {
        let languages = languages("a=b", "en");
        let door = Door { locale: Locale::En, languages, here: "/sign-in?continue=%2Fa%26b".into() };
        let way = door.switch_to(&Locale::De);
        let pairs: Vec<_> = form_urlencoded::parse(way.strip_prefix("/language?").unwrap().as_bytes()).collect();
        assert_eq!(pairs[0], ("to".into(), "de".into()));
        assert_eq!(pairs[1], ("back".into(), "/sign-in?continue=%2Fa%26b".into()));
    }
}

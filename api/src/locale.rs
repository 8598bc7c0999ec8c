//! The languages in which people are spoken to, on pages and in mails.

use axum::http::{HeaderMap, header};

/// A language that every page and mail is written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Locale {
    /// English, also for everybody whose language we do not have.
    #[default]
    En,
    /// German.
    De,
}

impl Locale {
    /// All of them, in the order in which people choose from them.
    pub const ALL: [Self; 2] = [Self::En, Self::De];

    /// Its language tag (BCP 47), as `<html lang>` has it.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }

    /// What its speakers call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::De => "Deutsch",
        }
    }

    /// The language of a tag, whatever its region is: `de-AT` is German.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        let language = tag.split(['-', '_']).next().unwrap_or_default();
        Self::ALL.into_iter().find(|each| each.tag().eq_ignore_ascii_case(language))
    }

    /// The first that we have of a client's `ui_locales`: tags with spaces between them, best first (Core §3.1.2.1).
    #[must_use]
    pub fn of_list(tags: &str) -> Option<Self> {
        tags.split(' ').find_map(Self::of_tag)
    }

    /// The one that a browser wants most (RFC 9110 §12.5.4).
    #[must_use]
    pub fn accepted(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|line| line.to_str().ok());
        let wanted = lines.flat_map(|line| line.split(',')).filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let locale = Self::of_tag(parts.next()?)?;
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse::<f32>().ok())?;
            (weight > 0.0).then_some((locale, weight))
        });
        // Of two that are wanted equally, the one named first.
        wanted.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(locale, _)| locale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(line: &str) -> Option<Locale> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, line.parse().unwrap());
        Locale::accepted(&headers)
    }

    #[test]
    fn a_browser_gets_the_language_that_it_wants_most() {
        assert_eq!(accepted("de-AT,de;q=0.9,en;q=0.8"), Some(Locale::De));
        assert_eq!(accepted("fr, en;q=0.5, de;q=0.7"), Some(Locale::De));
        assert_eq!(accepted("en, de"), Some(Locale::En));
        assert_eq!(accepted("de;q=0, fr"), None);
        assert_eq!(accepted("*"), None);
        assert_eq!(Locale::accepted(&HeaderMap::new()), None);
    }

    #[test]
    fn a_client_asks_for_languages_best_first() {
        assert_eq!(Locale::of_list("fr-CA de en"), Some(Locale::De));
        assert_eq!(Locale::of_list("EN-gb"), Some(Locale::En));
        assert_eq!(Locale::of_list("den"), None);
        assert_eq!(Locale::of_list(""), None);
    }
}

//! What our mails say, in every language.

use chrono::Duration;

use super::Mail;
use crate::Locale;

/// To somebody who has just registered, or asked for it again.
pub(crate) fn verify(locale: Locale, link: &str, lifetime: Duration) -> Mail {
    let time = in_words(locale, lifetime);
    match locale {
        Locale::En => Mail {
            subject: "Confirm your e-mail address".to_owned(),
            text: format!(
                "Hello,\n\nyou registered at Optare ID with this address. Confirm that it is yours:\n\n{link}\n\n\
                 The link works once, within {time}.\n\
                 If it was not you who registered, do not open the link; then nothing happens.\n"
            ),
        },
        Locale::De => Mail {
            subject: "Bestätigen Sie Ihre E-Mail-Adresse".to_owned(),
            text: format!(
                "Guten Tag,\n\nSie haben sich mit dieser Adresse bei Optare ID registriert. Bestätigen Sie, dass sie \
                 Ihnen gehört:\n\n{link}\n\nDer Link funktioniert einmal, innerhalb von {time}.\n\
                 Haben Sie sich nicht registriert, öffnen Sie den Link nicht; dann geschieht nichts.\n"
            ),
        },
    }
}

/// To the owner of an account, when somebody registers with the same address.
pub(crate) fn already_registered(locale: Locale, base_url: &str) -> Mail {
    match locale {
        Locale::En => Mail {
            subject: "You already have an account".to_owned(),
            text: format!(
                "Hello,\n\nsomebody tried to register at Optare ID with this address, for which there is an account \
                 already. Nothing was changed.\n\nIf it was you, sign in:\n\n{base_url}/sign-in\n\n\
                 If you have forgotten your password, set a new one:\n\n{base_url}/forgot-password\n"
            ),
        },
        Locale::De => Mail {
            subject: "Sie haben bereits ein Konto".to_owned(),
            text: format!(
                "Guten Tag,\n\njemand wollte sich mit dieser Adresse bei Optare ID registrieren, doch es gibt dafür \
                 bereits ein Konto. Nichts wurde geändert.\n\nWaren Sie es selbst, melden Sie sich an:\n\n\
                 {base_url}/sign-in\n\nHaben Sie Ihr Passwort vergessen, setzen Sie ein neues:\n\n\
                 {base_url}/forgot-password\n"
            ),
        },
    }
}

/// To somebody who forgot the password.
pub(crate) fn reset(locale: Locale, link: &str, lifetime: Duration) -> Mail {
    let time = in_words(locale, lifetime);
    match locale {
        Locale::En => Mail {
            subject: "Set a new password".to_owned(),
            text: format!(
                "Hello,\n\nsomebody asked for a new password for your account at Optare ID. If it was you, set it \
                 here:\n\n{link}\n\nThe link works once, within {time}. A new password signs you out everywhere.\n\
                 If it was not you, ignore this mail; your password stays as it is.\n"
            ),
        },
        Locale::De => Mail {
            subject: "Setzen Sie ein neues Passwort".to_owned(),
            text: format!(
                "Guten Tag,\n\njemand hat ein neues Passwort für Ihr Konto bei Optare ID angefordert. Waren Sie es \
                 selbst, setzen Sie es hier:\n\n{link}\n\nDer Link funktioniert einmal, innerhalb von {time}. Mit \
                 einem neuen Passwort werden Sie überall abgemeldet.\n\
                 Waren Sie es nicht, beachten Sie diese Mail nicht; Ihr Passwort bleibt, wie es ist.\n"
            ),
        },
    }
}

/// To the owner of an account, whose password is another one now.
pub(crate) fn password_changed(locale: Locale, base_url: &str) -> Mail {
    match locale {
        Locale::En => Mail {
            subject: "Your password was changed".to_owned(),
            text: format!(
                "Hello,\n\nthe password of your account at Optare ID was changed, and you were signed out \
                 everywhere else.\n\nIf it was not you, set a new one at once:\n\n{base_url}/forgot-password\n"
            ),
        },
        Locale::De => Mail {
            subject: "Ihr Passwort wurde geändert".to_owned(),
            text: format!(
                "Guten Tag,\n\ndas Passwort Ihres Kontos bei Optare ID wurde geändert, und Sie wurden überall sonst \
                 abgemeldet.\n\nWaren Sie es nicht, setzen Sie sofort ein neues:\n\n{base_url}/forgot-password\n"
            ),
        },
    }
}

/// To the owner of an account, whose sign-in asks for a code now, or no longer.
pub(crate) fn two_factor_changed(locale: Locale, is_on: bool, base_url: &str) -> Mail {
    match (locale, is_on) {
        (Locale::En, _) => {
            let now = if is_on { "on" } else { "off" };
            Mail {
                subject: format!("Two-factor sign-in is {now}"),
                text: format!(
                    "Hello,\n\ntwo-factor sign-in of your account at Optare ID was turned {now}.\n\n\
                     If it was not you, set a new password at once:\n\n{base_url}/forgot-password\n"
                ),
            }
        }
        (Locale::De, _) => {
            let now = if is_on { "eingeschaltet" } else { "ausgeschaltet" };
            Mail {
                subject: format!("Die Zwei-Faktor-Anmeldung ist {now}"),
                text: format!(
                    "Guten Tag,\n\ndie Zwei-Faktor-Anmeldung Ihres Kontos bei Optare ID wurde {now}.\n\n\
                     Waren Sie es nicht, setzen Sie sofort ein neues Passwort:\n\n{base_url}/forgot-password\n"
                ),
            }
        }
    }
}

fn in_words(locale: Locale, time: Duration) -> String {
    let (hours, minutes) = (time.num_hours(), time.num_minutes());
    let (number, one, many) = match locale {
        Locale::En if hours > 0 => (hours, "hour", "hours"),
        Locale::En => (minutes, "minute", "minutes"),
        Locale::De if hours > 0 => (hours, "Stunde", "Stunden"),
        Locale::De => (minutes, "Minute", "Minuten"),
    };
    let number = number.max(1);
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_reads_as_people_say_it() {
        assert_eq!(in_words(Locale::En, Duration::hours(24)), "24 hours");
        assert_eq!(in_words(Locale::De, Duration::hours(1)), "1 Stunde");
        assert_eq!(in_words(Locale::En, Duration::seconds(1)), "1 minute");
    }

    #[test]
    fn a_link_stands_alone_on_its_line() {
        for locale in Locale::ALL {
            for mail in
                [verify(locale, "https://x/a", Duration::hours(1)), reset(locale, "https://x/a", Duration::hours(1))]
            {
                assert!(mail.text.contains("\n\nhttps://x/a\n\n"), "{}", mail.text);
            }
        }
    }
}

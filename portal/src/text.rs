//! Words for values.

use api::Locale;

use crate::locale::texts;

texts! {
    /// Values that are one of a few words.
    Words {
        owner: "Owner" / "Inhaber",
        admin: "Admin" / "Administrator",
        member: "Member" / "Mitglied",
        active: "Active" / "Aktiv",
        trial: "Trial" / "Testphase",
        cancelled: "Cancelled" / "Gekündigt",
        expired: "Expired" / "Abgelaufen",
        monthly: "Monthly" / "Monatlich",
        yearly: "Yearly" / "Jährlich",
    }
}

/// A role as people read it; roles of an organization's own stay as it named them.
pub(crate) fn role<'a>(locale: &Locale, role: &'a str) -> &'a str {
    let words = Words::of(*locale);
    match role {
        "owner" => words.owner,
        "admin" => words.admin,
        "member" => words.member,
        own => own,
    }
}

/// Where a subscription stands.
pub(crate) fn subscription_status<'a>(locale: &Locale, status: &'a str) -> &'a str {
    let words = Words::of(*locale);
    match status {
        "active" => words.active,
        "trial" => words.trial,
        "cancelled" => words.cancelled,
        "expired" => words.expired,
        other => other,
    }
}

/// How often a subscription is paid.
pub(crate) fn billing_cycle<'a>(locale: &Locale, cycle: &'a str) -> &'a str {
    let words = Words::of(*locale);
    match cycle {
        "monthly" => words.monthly,
        "yearly" => words.yearly,
        other => other,
    }
}

/// The letter on a tile.
pub(crate) fn initial(title: &str) -> String {
    title.chars().find(|c| c.is_alphanumeric()).unwrap_or('•').to_uppercase().collect()
}

/// Which of the six colours a tile has: the same one for the same name, everywhere.
pub(crate) fn colour(name: &str) -> u32 {
    name.bytes().map(u32::from).sum::<u32>() % 6
}

/// What kind of program a client is (R135).
pub(crate) fn client_type(client_type: &str) -> &str {
    match client_type {
        "spa" => "Single Page App",
        "web" => "Regular Web App",
        "native" => "Native or Mobile App",
        "m2m" => "Machine-to-Machine",
        other => other,
    }
}

/// A browser by its `User-Agent`, as far as people know them by name; what is none of these is shown as it is.
pub(crate) fn browser(user_agent: &str) -> String {
    // The order matters: most of them also claim to be those that come later.
    const BROWSERS: [(&str, &str); 6] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chromium/", "Chromium"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("Windows", "Windows"),
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ];
    let named = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    match (named(&BROWSERS), named(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser}, {system}"),
        (Some(browser), None) => browser.to_owned(),
        _ => user_agent.chars().take(80).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_called_what_people_call_it() {
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36 Edg/120.0";
        assert_eq!(browser(edge), "Edge, Windows");
        let safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605 Version/17.0 Safari/604.1";
        assert_eq!(browser(safari), "Safari, iPhone");
        assert_eq!(browser("curl/8.5.0"), "curl/8.5.0");
    }
}

//! Words for values. A second language starts here and in `templates/`.

/// A role as people read it; roles of an organization's own stay as it named them.
pub(crate) fn role(role: &str) -> &str {
    match role {
        "owner" => "Owner",
        "admin" => "Admin",
        "member" => "Member",
        own => own,
    }
}

/// Where a subscription stands.
pub(crate) fn subscription_status(status: &str) -> &str {
    match status {
        "active" => "Active",
        "trial" => "Trial",
        "cancelled" => "Cancelled",
        "expired" => "Expired",
        other => other,
    }
}

/// How often a subscription is paid.
pub(crate) fn billing_cycle(cycle: &str) -> &str {
    match cycle {
        "monthly" => "Monthly",
        "yearly" => "Yearly",
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

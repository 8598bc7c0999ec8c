//! Names: of people, organizations, products and apps, as people type them.

use crate::ids::OrganizationId;

use super::{InvalidValue, text_value};

text_value! {
    /// An e-mail address as its owner writes it.
    Email = parse_email
}

impl Email {
    /// The form under which an address is looked up and unique: all lower case.
    pub fn lookup_key(&self) -> String {
        self.as_str().to_lowercase()
    }
}

text_value! {
    /// What a person is called.
    PersonName = parse_person_name
}

text_value! {
    /// What an organization is called.
    OrganizationName = parse_organization_name
}

text_value! {
    /// What an app, a client, a product or a key is called on the screen (R040).
    Title = parse_title
}

text_value! {
    /// What something is for, in a few lines.
    Description = parse_description
}

text_value! {
    /// A product's name in URLs and scopes; never a scope of another meaning (R131, C14).
    Slug = parse_slug
}

text_value! {
    /// An app's name in URLs; a private app's ends in `_` and its organization's id (R183).
    AppName = parse_app_name
}

/// The scopes that OpenID Connect or Optare gives a meaning to.
const RESERVED_SLUGS: [&str; 7] = ["openid", "profile", "email", "offline_access", "organization", "address", "phone"];

fn parse_email(text: &str) -> Result<String, InvalidValue> {
    let text = text.trim();
    let refused = |reason: &str| Err(InvalidValue::new("email", reason));
    // RFC 5321 §4.5.3.1.3 leaves 254 octets for the address.
    if text.len() > 254 {
        return refused("must have at most 254 characters");
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return refused("must not contain spaces or control characters");
    }
    match text.split_once('@') {
        Some((name, domain)) if !name.is_empty() && is_domain(domain) => Ok(text.to_owned()),
        _ => refused("must have one @ between a name and a domain, like ada@example.com"),
    }
}

/// Labels of letters, digits and hyphens with dots between them; one label is enough (`localhost`).
fn is_domain(text: &str) -> bool {
    text.split('.').all(|label| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-'))
}

fn parse_person_name(text: &str) -> Result<String, InvalidValue> {
    one_line("name", text, 200)
}

fn parse_organization_name(text: &str) -> Result<String, InvalidValue> {
    one_line("organization name", text, 200)
}

fn parse_title(text: &str) -> Result<String, InvalidValue> {
    one_line("title", text, 120)
}

fn parse_description(text: &str) -> Result<String, InvalidValue> {
    const LONGEST: usize = 2_000;
    let text = text.trim();
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if (1..=LONGEST).contains(&text.chars().count()) && !text.contains(is_odd) {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new("description", format!("must have 1 to {LONGEST} characters and no control characters")))
}

fn one_line(field: &'static str, text: &str, longest: usize) -> Result<String, InvalidValue> {
    let text = text.trim();
    let fits = (1..=longest).contains(&text.chars().count());
    if fits && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    let reason = format!("must be one line of 1 to {longest} characters");
    Err(InvalidValue::new(field, reason))
}

fn parse_slug(text: &str) -> Result<String, InvalidValue> {
    if RESERVED_SLUGS.contains(&text) {
        let reason = format!("must not be a reserved scope name ({})", RESERVED_SLUGS.join(", "));
        return Err(InvalidValue::new("slug", reason));
    }
    if is_name(text, "-") {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new("slug", "must be 2 to 63 of a-z, 0-9 and -, beginning with a letter or digit"))
}

fn parse_app_name(text: &str) -> Result<String, InvalidValue> {
    if is_name(text, "-_") || is_private_app_name(text) {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new("name", "must be 2 to 63 of a-z, 0-9, - and _, beginning with a letter or digit"))
}

/// `<app>_<organization id>`.
fn is_private_app_name(text: &str) -> bool {
    let Some((app, rest)) = text.rsplit_once("_org_") else {
        return false;
    };
    is_name(app, "-_") && format!("org_{rest}").parse::<OrganizationId>().is_ok()
}

/// 2 to 63 lower-case letters, digits and `signs`, the first one no sign.
fn is_name(text: &str, signs: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (2..=63).contains(&text.len()) && text.starts_with(plain) && text.chars().all(|c| plain(c) || signs.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_is_trimmed_and_kept_as_written() {
        let email: Email = " Ada.Lovelace@Example.COM ".parse().unwrap();
        assert_eq!(email.as_str(), "Ada.Lovelace@Example.COM");
        assert_eq!(email.lookup_key(), "ada.lovelace@example.com");
        assert!("root@localhost".parse::<Email>().is_ok());
    }

    #[test]
    fn what_is_no_email_is_refused() {
        let too_long = format!("{}@example.com", "a".repeat(250));
        for text in ["", "ada", "@example.com", "ada@", "a@b@c", "a b@c.d", "ada@b..c", "ada@b/c", &too_long] {
            assert!(text.parse::<Email>().is_err(), "{text:?} was accepted");
        }
        assert_eq!(
            "ada".parse::<Email>().unwrap_err().to_string(),
            "email must have one @ between a name and a domain, like ada@example.com"
        );
    }

    #[test]
    fn names_are_one_trimmed_line() {
        assert_eq!("  Zoë  ".parse::<PersonName>().unwrap().as_str(), "Zoë");
        assert!("".parse::<PersonName>().is_err());
        assert!("a\nb".parse::<OrganizationName>().is_err());
        assert!("é".repeat(120).parse::<Title>().is_ok());
        assert!("é".repeat(121).parse::<Title>().is_err());
    }

    #[test]
    fn a_slug_is_no_reserved_scope() {
        assert!("otomate-social-pro".parse::<Slug>().is_ok());
        for text in ["c", "CRM", "-crm", "crm:read", "crm_x", "openid", "organization"] {
            assert!(text.parse::<Slug>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_private_apps_name_ends_in_its_organization() {
        assert!("my_oauth-app".parse::<AppName>().is_ok());
        assert!("myoauthapp_org_0198F3-a1".parse::<AppName>().is_ok());
        let longest = format!("{}_org_{}", "a".repeat(63), "0".repeat(64));
        assert!(longest.parse::<AppName>().is_ok());
        for text in ["a", "_app", "My App", "app.one", "app_org_A B", "_org_1A"] {
            assert!(text.parse::<AppName>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn json_is_checked_too() {
        assert!(serde_json::from_str::<Slug>("\"crm\"").is_ok());
        let error = serde_json::from_str::<Slug>("\"openid\"").unwrap_err();
        assert!(error.to_string().contains("reserved scope name"), "{error}");
    }
}

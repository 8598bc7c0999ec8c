//! Addresses of clients and apps: where browsers are sent and where webhooks go.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use super::{InvalidValue, text_value};

/// Schemes that run or read something in the browser instead of opening an app (R152).
const FORBIDDEN_SCHEMES: [&str; 13] = [
    "about",
    "blob",
    "chrome",
    "data",
    "file",
    "filesystem",
    "ftp",
    "javascript",
    "mailto",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

text_value! {
    /// Where a client gets its codes: kept and compared as the exact string (R025, R152).
    RedirectUri = parse_redirect_uri
}

impl RedirectUri {
    /// Scheme, host and port, for CORS and `form-action`; custom schemes have none.
    pub fn origin(&self) -> Option<String> {
        let origin = Url::parse(self.as_str()).ok()?.origin();
        origin.is_tuple().then(|| origin.ascii_serialization())
    }
}

fn parse_redirect_uri(text: &str) -> Result<String, InvalidValue> {
    let refused = |reason: &str| Err(InvalidValue::new("redirect_uri", reason));
    let Some(url) = parse_exactly(text) else {
        return refused("must be an absolute URI, like https://app.example/callback");
    };
    if text.contains('#') {
        return refused("must not have a fragment (RFC 6749 §3.1.2)");
    }
    if text.contains('*') {
        return refused("must not have a wildcard: register each URI on its own");
    }
    match url.scheme() {
        "https" if is_plain_web(text, &url) => Ok(text.to_owned()),
        "http" if is_plain_web(text, &url) && is_loopback(&url) => Ok(text.to_owned()),
        "http" | "https" => {
            refused("must be https:// and a host without user name, or http:// on localhost, 127.0.0.1 or [::1]")
        }
        scheme if FORBIDDEN_SCHEMES.contains(&scheme) => {
            refused("must be https, http on loopback, or a scheme of your app's own")
        }
        // RFC 8252 §7.1: an app's own scheme.
        _ => Ok(text.to_owned()),
    }
}

text_value! {
    /// Where people open an app.
    LaunchUrl = parse_launch_url
}

fn parse_launch_url(text: &str) -> Result<String, InvalidValue> {
    match parse_exactly(text) {
        Some(url) if is_plain_web(text, &url) => Ok(text.to_owned()),
        _ => Err(InvalidValue::new(
            "launch_url",
            "must be an absolute http or https URL without user name, like https://app.example/",
        )),
    }
}

text_value! {
    /// Where a script in a browser comes from: scheme, host and port, nothing after it (RFC 6454 §6.2, R144).
    Origin = parse_origin
}

fn parse_origin(text: &str) -> Result<String, InvalidValue> {
    match parse_exactly(text) {
        Some(url) if is_plain_web(text, &url) && url.origin().ascii_serialization() == text => Ok(text.to_owned()),
        _ => Err(InvalidValue::new(
            "allowed_origins",
            "must be as browsers send an origin, like https://app.example: scheme, host, port if unusual, no path",
        )),
    }
}

text_value! {
    /// An API that tokens are for, as `audience`, `resource` and `aud` name it: an absolute URI (R096, RFC 8707 §2).
    ApiIdentifier = parse_api_identifier
}

fn parse_api_identifier(text: &str) -> Result<String, InvalidValue> {
    match parse_exactly(text) {
        Some(_) if !text.contains('#') => Ok(text.to_owned()),
        _ => Err(InvalidValue::new(
            "identifier",
            "must be an absolute URI without fragment, like https://api.example.com (RFC 8707 §2)",
        )),
    }
}

/// Where an app receives its webhooks. That it must be https outside of development is checked
/// where it is used.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct WebhookUrl {
    text: String,
    url: Url,
}

impl WebhookUrl {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn url(&self) -> &Url {
        &self.url
    }
}

impl TryFrom<String> for WebhookUrl {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        match parse_exactly(&text) {
            Some(url) if is_plain_web(&text, &url) && url.fragment().is_none() => Ok(Self { text, url }),
            _ => Err(InvalidValue::new(
                "webhook_url",
                "must be an absolute http or https URL without user name and fragment, like https://app.example/api/webhooks/optare",
            )),
        }
    }
}

impl FromStr for WebhookUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::try_from(text.to_owned())
    }
}

impl Serialize for WebhookUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl AsRef<str> for WebhookUrl {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Parses what browsers read in only one way: they drop spaces and controls and turn `\` into `/`.
fn parse_exactly(text: &str) -> Option<Url> {
    let ambiguous = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    // A URI is ASCII (RFC 3986 §2); what is not would not fit into a header either.
    if text.len() > 2_000 || !text.is_ascii() || text.contains(ambiguous) {
        return None;
    }
    Url::parse(text).ok()
}

/// `http(s)://host…`, with both slashes and no user name.
fn is_plain_web(text: &str, url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && text[url.scheme().len()..].starts_with("://")
        && !text[url.scheme().len()..].starts_with(":///")
        && url.username().is_empty()
        && url.password().is_none()
}

fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_uri_is_kept_as_written() {
        for text in [
            "https://app.example/auth/callback?x=1",
            "https://your-redirect-url.net",
            "http://localhost:3000/callback",
            "http://127.0.0.1/cb",
            "http://[::1]:8080/cb",
            "myapp://callback",
            "com.mycompany.myapp:/callback",
        ] {
            assert_eq!(text.parse::<RedirectUri>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn an_unsafe_redirect_uri_is_refused() {
        for text in [
            "",
            "/callback",
            "app.example/callback",
            "https:app.example",
            "https:///app.example",
            "https://app.example/#top",
            "https://*.app.example/",
            "https://user@app.example/",
            "https://app.example\\@evil.example/",
            " https://app.example/",
            "https://app.example/a\nb",
            "https://app.example/übersicht",
            "http://app.example/callback",
            "http://localhost.evil.example/",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
        ] {
            assert!(text.parse::<RedirectUri>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = |text: &str| text.parse::<RedirectUri>().unwrap().origin();
        assert_eq!(origin("https://app.example/cb").as_deref(), Some("https://app.example"));
        assert_eq!(origin("http://localhost:3000/cb").as_deref(), Some("http://localhost:3000"));
        assert_eq!(origin("myapp://callback"), None);
    }

    #[test]
    fn an_allowed_origin_is_what_browsers_send() {
        for text in ["https://app.example", "http://localhost:3000", "https://app.example:8443"] {
            assert_eq!(text.parse::<Origin>().unwrap().as_str(), text);
        }
        for text in
            ["", "*", "null", "https://app.example/", "https://app.example:443", "https://APP.example", "app.example"]
        {
            assert!(text.parse::<Origin>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn an_api_is_named_by_an_absolute_uri() {
        for text in ["https://api.example.com", "https://api.example.com/v2", "urn:example:api"] {
            assert_eq!(text.parse::<ApiIdentifier>().unwrap().as_str(), text);
        }
        for text in ["", "api", "https://api.example.com/#x", "https://api.example.com/a b"] {
            assert!(text.parse::<ApiIdentifier>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_webhook_url_is_a_plain_web_address() {
        let url: WebhookUrl = "https://app.example".parse().unwrap();
        assert_eq!(url.as_str(), "https://app.example");
        assert_eq!(url.url().host_str(), Some("app.example"));
        assert_eq!(serde_json::to_string(&url).unwrap(), "\"https://app.example\"");
        for text in ["ftp://a.example", "https://u:p@a.example", "https://a.example/#x", "a.example"] {
            assert!(text.parse::<WebhookUrl>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_launch_url_is_a_plain_web_address() {
        assert!("http://localhost:3000/".parse::<LaunchUrl>().is_ok());
        assert!("javascript:alert(1)".parse::<LaunchUrl>().is_err());
        assert!("https://u@a.example".parse::<LaunchUrl>().is_err());
    }
}

//! Our cookies: each for this host alone, out of reach of scripts.

use axum::http::{HeaderMap, header};

use crate::Settings;

/// The value that a browser sent for a cookie of ours.
pub(crate) fn read(settings: &Settings, headers: &HeaderMap, name: &str) -> Option<String> {
    let name = full_name(settings, name);
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(key, value)| (key == name).then(|| value.to_owned()))
}

/// The `Set-Cookie` that gives a cookie this value for so many seconds; 0 makes the browser forget it.
pub(crate) fn write(settings: &Settings, name: &str, value: &str, seconds: i64) -> String {
    let secure = if settings.is_https() { "; Secure" } else { "" };
    let name = full_name(settings, name);
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

/// `__Host-` ties a cookie to this host and to TLS, which plain http cannot promise (RFC 6265bis §4.1.3.2).
fn full_name(settings: &Settings, name: &str) -> String {
    format!("{}optare_{name}", if settings.is_https() { "__Host-" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_over_tls_is_tied_to_its_host() {
        let cookie = write(&Settings::new("https://id.example"), "session", "v", 60);
        assert_eq!(cookie, "__Host-optare_session=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure");
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=b; optare_session=1.2=3;c=d".parse().unwrap());
        let settings = Settings::new("http://127.0.0.1:8080");
        assert_eq!(read(&settings, &headers, "session").as_deref(), Some("1.2=3"));
        assert_eq!(read(&settings, &headers, "device"), None);
    }
}

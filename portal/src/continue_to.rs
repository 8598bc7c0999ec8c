//! Where a person goes on after signing in.

use url::form_urlencoded;

/// A path on this server, never another site.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ContinueTo(String);

impl ContinueTo {
    /// What was asked for, or the dashboard.
    pub(crate) fn read(asked: Option<&str>) -> Self {
        Self(asked.filter(|path| is_path_here(path)).unwrap_or("/portal/dashboard").to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of the sign-in page that leads there.
    pub(crate) fn sign_in(&self) -> String {
        self.after("/sign-in")
    }

    /// The address of a page that leads there in the end.
    pub(crate) fn after(&self, page: &str) -> String {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("continue", &self.0).finish();
        format!("{page}?{query}")
    }

    /// Whether it may end at another origin.
    pub(crate) fn may_leave(&self) -> bool {
        self.is_authorization() || self.0.starts_with("/oauth/logout?")
    }

    /// Whether a client waits for the answer.
    pub(crate) fn is_authorization(&self) -> bool {
        self.0.starts_with("/oauth/authorize/")
    }
}

/// Browsers read `//host` and `/\host` as another host, and drop tabs and line breaks before they look (URL §4.4).
fn is_path_here(text: &str) -> bool {
    text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains('\\')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn a_path_on_this_server_is_kept() {
        let here = Url::parse("https://id.example/").unwrap();
        for path in [
            "/",
            "/portal/apps?organization=org_1",
            "/oauth/authorize?redirect_uri=https://crm.example/cb&state=a%20b",
            "/.//evil.example",
            "/@evil.example",
        ] {
            assert_eq!(ContinueTo::read(Some(path)).as_str(), path);
            assert_eq!(here.join(path).unwrap().origin(), here.origin(), "{path}");
        }
    }

    #[test]
    fn every_other_address_becomes_the_dashboard() {
        for address in [
            "",
            "portal/apps",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/portal\\..\\..",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "https://evil.example/",
            "https:evil.example",
            "javascript:alert(1)",
            "/portal/é",
            "/a\r\nset-cookie: x=y",
        ] {
            assert_eq!(ContinueTo::read(Some(address)).as_str(), "/portal/dashboard", "{address:?}");
        }
        assert_eq!(ContinueTo::read(None).as_str(), "/portal/dashboard");
    }

    #[test]
    fn the_way_back_survives_the_sign_in_page() {
        let back = "/oauth/authorize?client_id=app_1&state=a%26b";
        let address = ContinueTo::read(Some(back)).sign_in();
        let query = address.strip_prefix("/sign-in?").unwrap();
        let (name, value) = form_urlencoded::parse(query.as_bytes()).next().unwrap();
        assert_eq!((&*name, &*value), ("continue", back));
    }
}

//! An HTTP client that keeps cookies, follows no redirect, and shows what it got when a test fails.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use reqwest::{
    Client, Method, RequestBuilder, StatusCode,
    cookie::Jar,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION},
    redirect::Policy,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

/// One user's browser or one program; a clone shares its cookies.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    base: Url,
    headers: HeaderMap,
}

impl Http {
    pub fn new(base: &str) -> Self {
        let client = Client::builder()
            .cookie_provider(Arc::new(Jar::default()))
            .redirect(Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(30))
            // A kept connection may belong to a server that was killed since.
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client without special files can be built");
        let base = base.parse().unwrap_or_else(|error| panic!("{base} is no URL: {error}"));
        Self { client, base, headers: HeaderMap::new() }
    }

    /// The same server seen by somebody else: no cookies, no credentials.
    pub fn stranger(&self) -> Self {
        Self::new(self.base.as_str())
    }

    pub fn bearer(&self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    pub fn api_key(&self, key: &str, secret: &str) -> Self {
        self.bearer(key).with("x-api-secret", secret)
    }

    pub fn basic(&self, user: &str, password: &str) -> Self {
        self.with(AUTHORIZATION.as_str(), &format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
    }

    /// Sends this header with every request.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut changed = self.clone();
        let name: HeaderName = name.parse().unwrap_or_else(|_| panic!("{name:?} is no header name"));
        let value: HeaderValue = value.parse().unwrap_or_else(|_| panic!("{value:?} is no header value"));
        changed.headers.insert(name, value);
        changed
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn post_form(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(self.request(Method::POST, path).form(form)).await
    }

    pub async fn post_json(&self, path: &str, body: impl Serialize) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn put_json(&self, path: &str, body: impl Serialize) -> Answer {
        self.send(self.request(Method::PUT, path).json(&body)).await
    }

    pub async fn patch_json(&self, path: &str, body: impl Serialize) -> Answer {
        self.send(self.request(Method::PATCH, path).json(&body)).await
    }

    /// `path` may also be a whole URL, e.g. where a redirect points to.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = self.base.join(path).unwrap_or_else(|error| panic!("{path} is no path: {error}"));
        self.client.request(method, url).headers(self.headers.clone())
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// For servers that may be down.
    pub async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let request = request.build()?;
        let asked = format!("{} {}", request.method(), request.url());
        let response = self.client.execute(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { asked, status, headers, body: response.bytes().await? })
    }
}

/// An answer with its whole body.
#[derive(Debug, Clone)]
pub struct Answer {
    pub asked: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// Fails the test, with the body, unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert!(self.status == status, "{} answered {}, not {status}: {}", self.asked, self.status, self.text());
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        self.parse()
    }

    #[track_caller]
    pub fn parse<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} answered no such JSON ({error}): {}", self.asked, self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Where it redirects to, as it stands in the header.
    #[track_caller]
    pub fn location(&self) -> &str {
        self.header(LOCATION.as_str())
            .unwrap_or_else(|| panic!("{} answered {} without a location: {}", self.asked, self.status, self.text()))
    }

    /// A parameter of the query that it redirects with, e.g. `code`.
    #[track_caller]
    pub fn location_parameter(&self, name: &str) -> Option<String> {
        let base: Url =
            self.asked.split_once(' ').and_then(|(_, url)| url.parse().ok()).expect("it was asked at a URL");
        let location = self.location();
        let url = base.join(location).unwrap_or_else(|error| panic!("{location} is no URL: {error}"));
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// Where a write stands in the log.
    pub fn position(&self) -> Option<u64> {
        self.header("optare-position")?.parse().ok()
    }
}

//! The driver's HTTP: one connection that is kept, one request after the other, nothing that costs more than it must.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::{Url, form_urlencoded};

use crate::bench::measure::Failure;

/// A kept connection to a server, with the cookies of one browser.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    cookies: Vec<(String, String)>,
    authorization: Option<String>,
    api_secret: Option<String>,
}

/// What was answered.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    asked: String,
}

impl Connection {
    pub async fn open(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: address.to_owned(), cookies: Vec::new(), authorization: None, api_secret: None })
    }

    /// Sends this token with every request.
    pub fn bearer(mut self, token: &str) -> Self {
        self.authorization = Some(format!("Bearer {token}"));
        self
    }

    /// Sends this API key with every request.
    pub fn api_key(mut self, key: &str, secret: &str) -> Self {
        self.api_secret = Some(secret.to_owned());
        self.bearer(key)
    }

    /// The same browser in another connection.
    pub fn with_cookies_of(mut self, other: &Self) -> Self {
        self.cookies = other.cookies.clone();
        self
    }

    /// An empty cookie jar.
    pub fn forget_cookies(&mut self) {
        self.cookies.clear();
    }

    pub async fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, None, Bytes::new()).await
    }

    pub async fn post_form(&mut self, path: &str, form: &[(&str, &str)]) -> Result<Answer, Failure> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send(Method::POST, path, Some("application/x-www-form-urlencoded"), body.into()).await
    }

    pub async fn post_json(&mut self, path: &str, body: &serde_json::Value) -> Result<Answer, Failure> {
        self.send(Method::POST, path, Some("application/json"), body.to_string().into()).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let asked = format!("{method} {}", path.split('?').next().unwrap_or_default());
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.host);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(secret) = &self.api_secret {
            request = request.header("x-api-secret", secret);
        }
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(COOKIE, cookies.join("; "));
        }
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(Full::new(body))?).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        for cookie in parts.headers.get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok()) {
            let pair = cookie.split(';').next().and_then(|pair| pair.split_once('='));
            if let Some((name, value)) = pair {
                self.cookies.retain(|(known, _)| known != name);
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body, asked })
    }
}

impl Answer {
    /// An error with the body, unless the status is one of these.
    pub fn expect(self, statuses: &[u16]) -> Result<Self, Failure> {
        if statuses.contains(&self.status.as_u16()) {
            return Ok(self);
        }
        let body: String = String::from_utf8_lossy(&self.body).chars().take(300).collect();
        Err(format!("{} answered {}: {body}", self.asked, self.status).into())
    }

    pub fn json(&self) -> Result<serde_json::Value, Failure> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// A text of the answer's JSON.
    pub fn text(&self, name: &str) -> Result<String, Failure> {
        let missing = || format!("{} answered no {name}", self.asked);
        Ok(self.json()?[name].as_str().ok_or_else(missing)?.to_owned())
    }

    /// A parameter of the query that it redirects with.
    pub fn location_parameter(&self, name: &str) -> Result<String, Failure> {
        let location = self.headers.get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or_default();
        let url = Url::parse("http://id.invalid/")?.join(location)?;
        let found = url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        Ok(found.ok_or_else(|| format!("{} redirects without {name}: {location}", self.asked))?)
    }
}

//! Sending one message once: the same bytes at every attempt, signed, to an address that was vetted.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use eventstore::Secret;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response};
use serde::Serialize;
use url::Url;

use crate::Settings;
use crate::address::{RefusedAddress, VettingResolver, check_url};
use crate::masking::excerpt;
use crate::retry::retry_after;
use crate::signature::sign;

/// What a receiver is told. Its secret lives in memory only, and only while it is being sent.
pub(crate) struct Message<'a> {
    pub(crate) id: &'a str,
    pub(crate) event: &'a str,
    pub(crate) organization_id: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) client_secret: Option<&'a str>,
    /// The position in the log: a receiver can tell an old message from a new one.
    pub(crate) sequence: i64,
    pub(crate) attempt: i64,
}

/// The four keys of the guide, in its order (R161).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    event: &'a str,
    organization_id: &'a str,
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
}

/// How an attempt went.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) latency_ms: i64,
    pub(crate) status: Option<u16>,
    pub(crate) failure: Option<Failure>,
    /// In words, unless the receiver acknowledged.
    pub(crate) detail: Option<String>,
    pub(crate) response: Option<String>,
    /// What the receiver asked for with 429 or 503.
    pub(crate) retry_after: Option<chrono::Duration>,
}

impl Attempt {
    /// Whether the receiver answered 2xx.
    pub(crate) fn acknowledged(&self) -> Option<u16> {
        self.status.filter(|status| (200..300).contains(status))
    }
}

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Address,
    Dns,
    Connect,
    Tls,
    Timeout,
    Broken,
}

impl Failure {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
        }
    }
}

/// The HTTP client of all workers.
pub(crate) struct Sender {
    client: Client,
    settings: Arc<Settings>,
}

/// A client that goes to vetted addresses only; the URL itself must have been [`vetted`].
pub(crate) fn http_client(settings: &Settings) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(&settings.user_agent)
        .https_only(!settings.allow_private)
        // Either would take the secret to a host that nobody vetted.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .dns_resolver(VettingResolver { allow_private: settings.allow_private })
        .retry(reqwest::retry::never())
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout)
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(settings.concurrency_per_endpoint)
        .http2_max_header_list_size(16 * 1024)
        .build()
}

impl Sender {
    pub(crate) fn new(settings: Arc<Settings>) -> Result<Self, reqwest::Error> {
        Ok(Self { client: http_client(&settings)?, settings })
    }

    /// POSTs a message; `None` if the signing secret is not usable. Takes `limit` at most.
    pub(crate) async fn post(
        &self,
        message: &Message<'_>,
        url: &str,
        signing: &Secret,
        now: DateTime<Utc>,
        limit: Duration,
    ) -> Option<Attempt> {
        let body = body(message);
        let signature = sign(signing, message.id, now.timestamp(), &body)?;
        let begun = Instant::now();
        let sent = match vetted(url, self.settings.allow_private) {
            Err(refused) => Err(refused),
            Ok(url) => self
                .client
                .post(url)
                .timeout(limit.min(self.settings.timeout))
                .header("content-type", "application/json")
                .header("webhook-id", message.id)
                .header("webhook-timestamp", now.timestamp())
                .header("webhook-signature", signature)
                .header("optare-sequence", message.sequence)
                .header("optare-attempt", message.attempt)
                .body(body)
                .send()
                .await
                .map_err(|problem| explain(&problem.without_url())),
        };
        let attempt = match sent {
            Err((failure, detail)) => unanswered(now, failure, detail),
            Ok(response) => self.answered(now, message, response).await,
        };
        Some(Attempt { latency_ms: i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX), ..attempt })
    }

    async fn answered(&self, started_at: DateTime<Utc>, message: &Message<'_>, response: Response) -> Attempt {
        let status = response.status().as_u16();
        let asked = response.headers().get(RETRY_AFTER).filter(|_| matches!(status, 429 | 503));
        let retry_after = asked.and_then(|value| retry_after(value.to_str().ok()?, started_at));
        let answer = read(response, self.settings.response_read_bytes).await;
        Attempt {
            started_at,
            latency_ms: 0,
            status: Some(status),
            failure: None,
            detail: (!(200..300).contains(&status)).then(|| format!("the receiver answered {status}")),
            response: Some(excerpt(&answer, message.client_secret, self.settings.response_kept_bytes)),
            retry_after,
        }
    }
}

fn body(message: &Message<'_>) -> Vec<u8> {
    let Message { event, organization_id, client_id, client_secret, .. } = *message;
    serde_json::to_vec(&Body { event, organization_id, client_id, client_secret })
        .expect("a struct of texts is always JSON")
}

/// A URL that may be sent to, or why not.
pub(crate) fn vetted(url: &str, allow_private: bool) -> Result<Url, (Failure, String)> {
    let url = Url::parse(url).map_err(|problem| (Failure::Address, format!("the webhook URL is no URL: {problem}")))?;
    check_url(&url, allow_private).map_err(|refused| (Failure::Address, refused.to_string()))?;
    Ok(url)
}

/// Some receivers never end their answer, so it is cut; what was read before an error is enough for the log.
async fn read(mut response: Response, limit: usize) -> Vec<u8> {
    let mut answer = Vec::new();
    while answer.len() < limit {
        match response.chunk().await {
            Ok(Some(chunk)) => answer.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    answer.truncate(limit);
    answer
}

fn unanswered(started_at: DateTime<Utc>, failure: Failure, detail: String) -> Attempt {
    let (status, response, retry_after) = (None, None, None);
    Attempt { started_at, latency_ms: 0, status, failure: Some(failure), detail: Some(detail), response, retry_after }
}

/// Why no answer came, in a word and in words.
pub(crate) fn explain(problem: &reqwest::Error) -> (Failure, String) {
    let mut causes = Vec::new();
    let mut cause = problem.source();
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<RefusedAddress>() {
            return (Failure::Address, refused.to_string());
        }
        causes.push(error);
        cause = error.source();
    }
    // rustls' errors come wrapped like this.
    let is_tls = |error: &&(dyn std::error::Error + 'static)| {
        error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::InvalidData)
    };
    let (failure, what) = match problem {
        _ if problem.is_timeout() => return (Failure::Timeout, "the receiver did not answer in time".to_owned()),
        _ if problem.is_dns() => (Failure::Dns, "the host's name could not be resolved"),
        _ if problem.is_connect() && causes.iter().any(is_tls) => (Failure::Tls, "no encrypted connection came about"),
        _ if problem.is_connect() => (Failure::Connect, "the receiver could not be reached"),
        _ => (Failure::Broken, "the connection ended before an answer came"),
    };
    let why = causes.last().map(|cause| format!(": {cause}")).unwrap_or_default();
    (failure, format!("{what}{why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(client_secret: Option<&str>) -> Message<'_> {
        let (id, event) = ("msg_1", if client_secret.is_some() { "app.installed" } else { "app.uninstalled" });
        Message { id, event, organization_id: "org_1", client_id: "app_1", client_secret, sequence: 7, attempt: 1 }
    }

    #[test]
    fn an_install_has_exactly_the_four_keys_of_the_guide() {
        let text = String::from_utf8(body(&message(Some("secret_x")))).expect("JSON is UTF-8");
        assert_eq!(
            text,
            r#"{"event":"app.installed","organizationId":"org_1","clientId":"app_1","clientSecret":"secret_x"}"#
        );
    }

    #[test]
    fn an_uninstall_has_no_secret() {
        let text = String::from_utf8(body(&message(None))).expect("JSON is UTF-8");
        assert_eq!(text, r#"{"event":"app.uninstalled","organizationId":"org_1","clientId":"app_1"}"#);
    }

    async fn attempt(url: &str, allow_private: bool) -> Attempt {
        let settings = Settings { allow_private, timeout: Duration::from_millis(500), ..Settings::default() };
        let sender = Sender::new(Arc::new(settings)).expect("the client is made");
        let signing = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let limit = Duration::from_secs(5);
        sender.post(&message(None), url, &signing, Utc::now(), limit).await.expect("the secret is usable")
    }

    #[tokio::test]
    async fn nothing_is_sent_to_a_private_address() {
        for url in ["https://127.0.0.1:9/", "https://localhost:9/", "http://app.example/", "https://[::1]:9/"] {
            assert_eq!(attempt(url, false).await.failure, Some(Failure::Address), "{url}");
        }
    }

    #[tokio::test]
    async fn a_receiver_that_nobody_runs_could_not_be_reached() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
        drop(listener);
        assert_eq!(attempt(&url, true).await.failure, Some(Failure::Connect));
    }

    #[tokio::test]
    async fn a_receiver_that_says_nothing_is_left_after_the_timeout() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        assert_eq!(attempt(&format!("http://{address}/"), true).await.failure, Some(Failure::Timeout));
        assert_eq!(attempt(&format!("https://{address}/"), true).await.failure, Some(Failure::Timeout));
    }
}

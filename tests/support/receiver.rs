//! An app's webhook endpoint: it records what arrives and answers as the test tells it to.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Method, Response, StatusCode,
    body::{Body, Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::Interval,
};

use crate::{Patience, within};

pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: Option<JoinHandle<()>>,
}

/// What arrived.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub at: SystemTime,
    /// How many requests to the same path were waiting for their answer when this one came.
    pub others_waiting: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("the body is no JSON ({error}): {:?}", self.body))
    }
}

/// How a path answers.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// 200 `{"received": true}`, as the guide's app answers.
    Received,
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// The same as `Received`, but late.
    Late(Duration),
    /// Takes the request and never answers.
    Hang,
    /// Takes the request and closes the connection.
    Close,
    /// Answers 200 and then a byte now and again, without end.
    Drip,
}

impl Behaviour {
    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: String::new() }
    }

    pub fn retry_after(status: u16, seconds: u64) -> Self {
        Self::Answer { status, headers: vec![("retry-after".to_owned(), seconds.to_string())], body: String::new() }
    }
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    waiting: HashMap<String, usize>,
    behaviours: HashMap<String, VecDeque<Behaviour>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let mut receiver =
            Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), state: Arc::default(), accepting: None };
        receiver.restart().await;
        receiver
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on `path` behaves like this. A path that nobody spoke of answers `Received`.
    pub fn behave(&self, path: &str, behaviour: Behaviour) {
        self.script(path, [behaviour]);
    }

    /// One behaviour for each request, the last one for all that follow.
    pub fn script(&self, path: &str, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.state().behaviours.insert(path.to_owned(), behaviours.into_iter().collect());
    }

    /// All that arrived so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    pub fn requests_to(&self, path: &str) -> Vec<Request> {
        self.state().requests.iter().filter(|request| request.path == path).cloned().collect()
    }

    /// Waits until at least `count` requests have arrived, at most 30 seconds.
    pub async fn wait_for(&self, count: usize) -> Vec<Request> {
        let arrived = within(Duration::from_secs(30), || {
            let requests = self.requests();
            (requests.len() >= count).then_some(requests)
        })
        .await;
        arrived.unwrap_or_else(|| panic!("waited 30 seconds for {count} webhooks, but got {:#?}", self.requests()))
    }

    pub fn forget(&self) {
        self.state().requests.clear();
    }

    /// Nobody listens any more: connections are refused.
    pub async fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
    }

    /// Listens again on the same port.
    pub async fn restart(&mut self) {
        self.stop().await;
        let patience = Patience::of(Duration::from_secs(5));
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(error) => {
                    assert!(patience.is_left().await, "the receiver cannot listen on {}: {error}", self.address)
                }
            }
        };
        self.address = listener.local_addr().expect("a bound listener has an address");
        self.accepting = Some(tokio::spawn(accept(listener, self.state.clone())));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    // Connections belong to this task, so that they end with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        connections.spawn(async move {
            let service = service_fn(|request| receive(request, state.clone()));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// To hyper an error means: close the connection without an answer.
async fn receive(
    request: hyper::Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, &'static str> {
    let (head, body) = request.into_parts();
    let at = SystemTime::now();
    let body = body.collect().await.map_err(|_| "the sender went away")?.to_bytes();
    let path = head.uri.path().to_owned();

    let (behaviour, _waiting) = {
        let mut locked = lock(&state);
        let waiting = locked.waiting.entry(path.clone()).or_default();
        let others_waiting = *waiting;
        *waiting += 1;
        let behaviour = match locked.behaviours.get_mut(&path) {
            Some(script) if script.len() > 1 => script.pop_front(),
            Some(script) => script.front().cloned(),
            None => None,
        };
        let query = head.uri.query().map(str::to_owned);
        let (method, headers) = (head.method, head.headers);
        locked.requests.push(Request { method, path: path.clone(), query, headers, body, at, others_waiting });
        (behaviour.unwrap_or(Behaviour::Received), Waiting { path, state: state.clone() })
    };

    let received = || Response::new(full(r#"{"received": true}"#.to_owned()));
    Ok(match behaviour {
        Behaviour::Received => received(),
        Behaviour::Late(delay) => {
            tokio::time::sleep(delay).await;
            received()
        }
        Behaviour::Answer { status, headers, body } => {
            let mut response =
                Response::builder().status(StatusCode::from_u16(status).expect("a test gives a real status"));
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(full(body)).expect("a test gives real headers")
        }
        Behaviour::Hang => future::pending().await,
        Behaviour::Close => return Err("told to close the connection"),
        Behaviour::Drip => Response::new(Drip(tokio::time::interval(Duration::from_millis(50))).boxed()),
    })
}

/// Also counts down when the sender hangs up, which drops the future that holds it.
struct Waiting {
    path: String,
    state: Arc<Mutex<State>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(waiting) = lock(&self.state).waiting.get_mut(&self.path) {
            *waiting -= 1;
        }
    }
}

struct Drip(Interval);

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(self.0.poll_tick(context));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
    }
}

fn full(body: String) -> BoxBody<Bytes, Infallible> {
    Full::from(body).boxed()
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("nothing panics while it holds the receiver's state")
}

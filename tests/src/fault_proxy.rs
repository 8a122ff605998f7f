//! A way to an object store, or to a source, on which calls go wrong, by chance and the same for the same seed.
//!
//! ```text
//! server ─▶ FaultProxy ─ calm ─▶ store, service
//!              └─ a share of the calls: refused, late, never answered, cut off, done and not told, answered with rubbish
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::random::Random;
use crate::stub::serve;

/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_secs(120);

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFault {
    /// This status and nothing done.
    Status(u16),
    /// Done, so much later.
    Slow(Duration),
    /// Never answered, and not done.
    Hang,
    /// Never answered in time, but done so much later.
    Late(Duration),
    /// Half of the answer's body, and the connection is gone; of a write nothing is done.
    Cut,
    /// Done, and answered as if it had failed.
    Unacknowledged,
    /// An answer that is none.
    Rubbish,
    /// The answer with another word in the place of one.
    Renamed(&'static str, &'static str),
    /// The answer with all its `time`s so many hours off.
    Shifted(i64),
    /// Sent on to this address.
    Redirect(&'static str),
    /// An answer without end.
    Endless,
}

#[derive(Default)]
struct Plan {
    /// Of a hundred calls.
    percent: u64,
    faults: Vec<CallFault>,
    /// Only calls of this method, to paths with this in them.
    only: Option<(Method, String)>,
}

struct Way {
    store: String,
    http: reqwest::Client,
    plan: Mutex<(Plan, Random, usize)>,
}

/// The running proxy; it serves until the test process ends.
pub struct FaultProxy {
    pub url: String,
    way: Arc<Way>,
}

impl FaultProxy {
    /// A calm way to a store's address.
    /// Errors: no port or no thread is to be had.
    pub fn start(store: &str, seed: u64) -> std::io::Result<Self> {
        let http = reqwest::Client::builder().no_gzip().build().map_err(std::io::Error::other)?;
        let plan = Mutex::new((Plan::default(), Random::new(seed), 0));
        let way = Arc::new(Way { store: store.to_owned(), http, plan });
        let router = Router::new().fallback(pass).with_state(way.clone());
        Ok(Self { url: serve(router)?, way })
    }

    /// From now on so many of a hundred calls have one of these faults.
    pub fn disturb(&self, percent: u64, faults: &[CallFault]) {
        self.way.plan().0 = Plan { percent, faults: faults.to_vec(), only: None };
    }

    /// From now on every write to a path with `part` in it has this fault.
    pub fn disturb_writes(&self, part: &str, fault: CallFault) {
        let only = Some((Method::PUT, part.to_owned()));
        self.way.plan().0 = Plan { percent: 100, faults: vec![fault], only };
    }

    /// Nothing goes wrong any more.
    pub fn calm(&self) {
        self.disturb(0, &[]);
    }

    /// How many calls had a fault.
    pub fn faults(&self) -> usize {
        self.way.plan().2
    }
}

impl Way {
    fn plan(&self) -> std::sync::MutexGuard<'_, (Plan, Random, usize)> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong with a call.
    fn fate(&self, call: &Call) -> Option<CallFault> {
        let mut plan = self.plan();
        let (Plan { percent, faults, only }, random, count) = &mut *plan;
        let meant =
            only.as_ref().is_none_or(|(method, part)| call.method == *method && call.path.contains(part));
        if faults.is_empty() || !meant || !random.chance(*percent) {
            return None;
        }
        *count += 1;
        faults.get(usize::try_from(random.below(faults.len() as u64)).unwrap_or_default()).copied()
    }

    /// Does a call, and gives its answer with the whole body.
    async fn call(&self, call: &Call) -> Option<(StatusCode, HeaderMap, Bytes)> {
        let request = self.http.request(call.method.clone(), format!("{}{}", self.store, call.path));
        let answer = request.headers(call.headers.clone()).body(call.body.clone()).send().await.ok()?;
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        [header::TRANSFER_ENCODING, header::CONNECTION].iter().for_each(|name| drop(headers.remove(name)));
        Some((status, headers, answer.bytes().await.ok()?))
    }
}

/// A call as it came.
struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

async fn pass(State(way): State<Arc<Way>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else { return StatusCode::BAD_REQUEST.into_response() };
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let call = Call { method: head.method, path, headers: head.headers, body };
    let reads = matches!(call.method, Method::GET | Method::HEAD);
    match way.fate(&call) {
        None => answer(&way, &call).await,
        Some(CallFault::Status(status)) => refusal(status),
        Some(CallFault::Slow(pause)) => {
            tokio::time::sleep(pause).await;
            answer(&way, &call).await
        }
        Some(CallFault::Hang) => {
            tokio::time::sleep(FOR_EVER).await;
            refusal(500)
        }
        Some(CallFault::Late(pause)) => {
            // On a task of its own: the caller who leaves does not take the call back.
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                way.call(&call).await
            });
            tokio::time::sleep(FOR_EVER).await;
            refusal(500)
        }
        Some(CallFault::Cut) if reads => cut(way.call(&call).await),
        Some(CallFault::Cut) => cut(None),
        Some(CallFault::Unacknowledged) => {
            way.call(&call).await;
            refusal(500)
        }
        Some(CallFault::Rubbish) => "%PDF-1.7 no answer at all".into_response(),
        Some(CallFault::Renamed(word, other)) => changed(&way, &call, |text| text.replace(word, other)).await,
        Some(CallFault::Shifted(hours)) => changed(&way, &call, |text| shifted(text, hours)).await,
        Some(CallFault::Redirect(to)) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Some(CallFault::Endless) => {
            let piece = Bytes::from(vec![b' '; 1 << 20]);
            Body::from_stream(futures::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone())))
                .into_response()
        }
    }
}

/// The answer with another text.
async fn changed(way: &Way, call: &Call, change: impl Fn(&str) -> String) -> Response {
    match way.call(call).await {
        Some((status, _, body)) => (status, change(&String::from_utf8_lossy(&body))).into_response(),
        None => refusal(502),
    }
}

/// JSON whose lists called `time` are so many hours off.
fn shifted(text: &str, hours: i64) -> String {
    fn shift(value: &mut Value, hours: i64) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| shift(item, hours)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    match field {
                        Value::Array(times) if name == "time" => {
                            times.iter_mut().for_each(|time| *time = later(time, hours))
                        }
                        field => shift(field, hours),
                    }
                }
            }
            _ => {}
        }
    }
    let mut answer = serde_json::from_str(text).unwrap_or_default();
    shift(&mut answer, hours);
    answer.to_string()
}

/// A day or an hour so many hours later; a day moves by whole days.
fn later(time: &Value, hours: i64) -> Value {
    const HOUR: &str = "%Y-%m-%dT%H:%M";
    let (text, off) = (time.as_str().unwrap_or_default(), chrono::TimeDelta::hours(hours));
    let hour =
        chrono::NaiveDateTime::parse_from_str(text, HOUR).map(|at| (at + off).format(HOUR).to_string());
    let day = || text.parse::<chrono::NaiveDate>().map(|day| (day + off).to_string());
    hour.or_else(|_| day()).unwrap_or_default().into()
}

async fn answer(way: &Way, call: &Call) -> Response {
    match way.call(call).await {
        Some((status, headers, body)) => (status, headers, body).into_response(),
        None => refusal(502),
    }
}

fn refusal(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, "<Error><Code>SlowDown</Code><Message>disturbed</Message></Error>").into_response()
}

/// The head of an answer and half of its body.
fn cut(answered: Option<(StatusCode, HeaderMap, Bytes)>) -> Response {
    let (status, mut headers, body) = answered.unwrap_or_default();
    headers.insert(header::CONTENT_LENGTH, (body.len() + usize::from(body.is_empty())).into());
    let half = [Ok(body.slice(..body.len() / 2)), Err(std::io::Error::other("cut"))];
    (status, headers, Body::from_stream(futures::stream::iter(half))).into_response()
}

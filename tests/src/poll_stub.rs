//! A service of market events over HTTP that a test fills, and that fails as real ones do.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::stub::serve;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollFault {
    /// Status 500.
    Broken,
    /// Status 429 that asks for a second of patience.
    Busy,
    /// JSON that ends in the middle.
    Truncated,
    /// The events' fields have other names.
    Renamed,
    /// Somewhere else, where nobody may be asked.
    Redirect,
    /// More bytes than anybody reads.
    Huge,
}

#[derive(Default)]
struct Service {
    events: Vec<Value>,
    faults: VecDeque<PollFault>,
    /// The status of each answer.
    answers: Vec<u16>,
}

/// The running service; it serves until the test process ends.
pub struct PollStub {
    /// Where its events are, without a query: `?after=N&limit=M` gives those behind the Nth.
    pub url: String,
    service: Arc<Mutex<Service>>,
}

#[derive(serde::Deserialize)]
struct Asked {
    #[serde(default)]
    after: String,
    limit: usize,
}

impl PollStub {
    /// An empty service. Errors: no port or no thread is to be had.
    pub fn start() -> std::io::Result<Self> {
        let service = Arc::<Mutex<Service>>::default();
        let router = Router::new().route("/events", get(answer)).with_state(Arc::clone(&service));
        Ok(Self { url: format!("{}/events", serve(router)?), service })
    }

    fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds events in the service's own words: `id`, `ts`, `zone`, `px.value`.
    pub fn add(&self, events: impl IntoIterator<Item = Value>) {
        self.service().events.extend(events);
    }

    /// The next requests fail so, one after the other.
    pub fn fail(&self, faults: impl IntoIterator<Item = PollFault>) {
        self.service().faults.extend(faults);
    }

    /// Whether every fault has been met.
    pub fn is_well(&self) -> bool {
        self.service().faults.is_empty()
    }

    /// How many requests were answered with a status.
    pub fn answered(&self, status: u16) -> usize {
        self.service().answers.iter().filter(|answer| **answer == status).count()
    }
}

async fn answer(
    State(service): State<Arc<Mutex<Service>>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let mut service = service.lock().unwrap_or_else(PoisonError::into_inner);
    let fault = service.faults.pop_front();
    let response = fault.map_or_else(|| page(&service.events, &asked, &headers), failing);
    service.answers.push(response.status().as_u16());
    response
}

fn page(events: &[Value], asked: &Asked, headers: &HeaderMap) -> Response {
    let after = asked.after.parse().unwrap_or(0).min(events.len());
    let items: Vec<&Value> = events.iter().skip(after).take(asked.limit).collect();
    let tag = format!("\"{after}-{}\"", items.len());
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let next = (after + items.len()).to_string();
    ([(header::ETAG, tag)], json!({"data": {"items": items}, "meta": {"next": next}}).to_string())
        .into_response()
}

fn failing(fault: PollFault) -> Response {
    match fault {
        PollFault::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        PollFault::Busy => (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response(),
        PollFault::Truncated => "{\"data\": {\"items\": [{\"id\": \"e".into_response(),
        PollFault::Renamed => {
            let event = json!({"event": "x1", "time": "2026-01-01T00:00:00Z", "place": "us-jfk"});
            json!({"data": {"items": [event]}, "meta": {"next": "99999"}}).to_string().into_response()
        }
        PollFault::Redirect => {
            let elsewhere = [(header::LOCATION, "http://169.254.169.254/latest/meta-data")];
            (StatusCode::FOUND, elsewhere).into_response()
        }
        PollFault::Huge => vec![b' '; 2 << 20].into_response(),
    }
}

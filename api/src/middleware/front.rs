//! The one service around the router: what is the same for every request, in one pass.

use std::any::Any;
use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth::RateState;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use chrono::Utc;
use futures::FutureExt;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request};
use http_body::Body as _;
use hyper::body::Incoming;
use tower::Service;

use super::access_log::{AccessLog, Record};
use super::cors::{self, Cors};
use super::framing;
use super::meters::ServerMeters;
use super::patience;
use super::trail::Trail;
use crate::problem::{Kind, Problem};
use crate::repeats;
use crate::state::App;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How long the front waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a whole answer, uploads excepted.
    pub answer: Duration,
    /// For a whole upload.
    pub upload: Duration,
    /// For the next piece of a body.
    pub idle: Duration,
}

/// Everything the front needs; one for the process.
pub struct Front {
    pub router: Router,
    pub app: App,
    pub log: AccessLog,
    pub meters: ServerMeters,
    pub cors: Cors,
    pub patience: Patience,
    pub proxies: Vec<IpAddr>,
    pub policy: HeaderValue,
}

impl Front {
    /// Answers one request that came over a connection from `peer`.
    pub async fn answer(
        self: Arc<Self>,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        let trail = Arc::new(Trail::start(&request, self.origin(peer, request.headers())));
        let origin = self.cors.allowed(request.headers());
        if let Err(problem) = framing::judge(&request) {
            let mut response = self.finish(&trail, origin, respond(problem));
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return Ok(response);
        }
        let response = match self.cors.preflight(request.method(), request.headers()) {
            Some(response) => response,
            None => match repeats::answer(&self.app, &trail, &request).await {
                Some(response) => response,
                None => self.routed(&trail, request).await,
            },
        };
        Ok(self.finish(&trail, origin, response))
    }

    /// The address that counts: the peer's, or what a configured proxy says of its own peer.
    fn origin(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.proxies.contains(&peer) {
            return peer;
        }
        let forwarded = headers.get("x-forwarded-for").and_then(|v| v.to_str().ok());
        forwarded.and_then(|list| list.rsplit(',').next()?.trim().parse().ok()).unwrap_or(peer)
    }

    async fn routed(&self, trail: &Arc<Trail>, request: Request<Incoming>) -> Response {
        if request.method() == Method::TRACE || request.method() == Method::CONNECT {
            return respond(Problem::new(Kind::MethodNotAllowed));
        }
        let limit = self.limit(&request);
        let mut request = request.map(|body| patience::patient(body, self.patience.idle));
        request.extensions_mut().insert(Arc::clone(trail));
        let mut router = self.router.clone();
        let answer = AssertUnwindSafe(router.call(request)).catch_unwind();
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(panic)) => self.panicked(panic),
            Err(_) => respond(Problem::because(Kind::Busy, "no answer in time")),
        }
    }

    fn limit(&self, request: &Request<Incoming>) -> Duration {
        let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        match kind {
            Some(kind) if kind.starts_with(b"multipart/") => self.patience.upload,
            _ => self.patience.answer,
        }
    }

    fn panicked(&self, panic: Box<dyn Any + Send>) -> Response {
        self.meters.panics.increment(1);
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        respond(Problem::internal(format!("panic: {}", text.unwrap_or_default())))
    }

    fn finish(&self, trail: &Arc<Trail>, origin: Option<HeaderValue>, response: Response) -> Response {
        let mut id = [0; 36];
        let id = &*trail.id.as_uuid().hyphenated().encode_lower(&mut id);
        let mut response = written(trail, id, guarded(trail, response));
        let headers = response.headers_mut();
        headers.reserve(8);
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert(X_REQUEST_ID, id);
        }
        self.rate(trail, headers);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(VARY, HeaderValue::from_static("Accept, Authorization, X-API-Key"));
        }
        if let Some(origin) = origin {
            cors::permit(headers, origin);
        }
        self.note(trail, &response);
        response
    }

    /// `RateLimit` of the caller's key or workspace, whichever has less left, and `RateLimit-Policy` of both.
    fn rate(&self, trail: &Trail, headers: &mut HeaderMap) {
        let Some(caller) = trail.caller() else { return };
        let state = trail.rate().unwrap_or_else(|| self.app.auth.rate_state(caller, Instant::now()));
        headers.insert(RATELIMIT_POLICY, self.policy.clone());
        if let Some(value) = rate_value(state) {
            headers.insert(RATELIMIT, value);
        }
    }

    fn note(&self, trail: &Arc<Trail>, response: &Response) {
        let took = trail.started.elapsed();
        let status = response.status().as_u16();
        let meters = trail.route().map_or(&self.meters.unrouted, |route| &route.meters);
        meters.count(status, took);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bytes = response.body().size_hint().exact();
        self.log.push(&Record { trail, at: Utc::now(), status, bytes, micros });
    }
}

fn rate_value(state: RateState) -> Option<HeaderValue> {
    use std::io::Write as _;
    let mut text = [0_u8; 64];
    let mut rest = &mut text[..];
    write!(rest, "\"{}\";r={};t={}", state.name, state.remaining, state.reset_secs).ok()?;
    let left = rest.len();
    HeaderValue::from_bytes(&text[..text.len() - left]).ok()
}

/// The last wall: a handler that never said whom it answers answers nobody.
fn guarded(trail: &Trail, response: Response) -> Response {
    if trail.route().is_none() && response.status().is_success() && trail.method != Method::OPTIONS {
        return respond(Problem::internal("an answer without a rule for who may read it"));
    }
    response
}

/// Writes the problem that a handler left, and logs what lies behind a 5xx.
fn written(trail: &Trail, id: &str, mut response: Response) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    log_cause(trail, id, &problem);
    let mut rendered = problem.render(id);
    if trail.method == Method::HEAD {
        *rendered.body_mut() = Body::empty();
    }
    // What the router itself added, such as `Allow`, stays.
    for (name, value) in response.headers() {
        rendered.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    rendered.headers_mut().remove(http::header::CONTENT_LENGTH);
    rendered
}

/// What is ours to mend is an error in the log; being busy or not ready yet is not.
fn log_cause(trail: &Trail, id: &str, problem: &Problem) {
    let (code, route) = (problem.kind.code(), trail.route().map(|route| route.template));
    match problem.cause().map(chain) {
        Some(cause) => tracing::error!(request_id = id, code, route, cause, "a request failed"),
        None if problem.kind == Kind::Internal => {
            tracing::error!(request_id = id, code, route, "a request failed")
        }
        None if problem.kind.status().is_server_error() => {
            tracing::info!(request_id = id, code, route, "a request was put off")
        }
        None => {}
    }
}

fn chain(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

fn respond(problem: Problem) -> Response {
    axum::response::IntoResponse::into_response(problem)
}

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
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
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
        mut request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        if !self.proxies.contains(&peer) {
            request.headers_mut().remove(X_FORWARDED_PROTO); // only a configured proxy is believed
        }
        let trail = Arc::new(Trail::start(&request, origin(&self.proxies, peer, request.headers())));
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

    async fn routed(&self, trail: &Arc<Trail>, request: Request<Incoming>) -> Response {
        if request.method() == Method::TRACE || request.method() == Method::CONNECT {
            return respond(Problem::new(Kind::MethodNotAllowed));
        }
        let limit = self.limit(&request);
        let mut request = request.map(|body| patience::patient(body, self.patience.idle));
        request.extensions_mut().insert(Arc::clone(trail));
        let mut router = self.router.clone();
        answered(router.call(request), limit, &self.meters.panics).await
    }

    fn limit(&self, request: &Request<Incoming>) -> Duration {
        let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        match kind {
            Some(kind) if kind.starts_with(b"multipart/") => self.patience.upload,
            _ => self.patience.answer,
        }
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

/// The address that counts: the peer's, or what a configured proxy says of its own peer. Of several lines and hops the last
/// is the proxy's own word; those before it are what its caller sent.
fn origin(proxies: &[IpAddr], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !proxies.contains(&peer) {
        return peer;
    }
    let forwarded = headers.get_all(X_FORWARDED_FOR).iter().next_back().and_then(|line| line.to_str().ok());
    forwarded.and_then(|list| list.rsplit(',').next()?.trim().parse().ok()).unwrap_or(peer)
}

/// The answer of a handler, which may panic or take too long.
async fn answered(
    handler: impl Future<Output = Result<Response, Infallible>>,
    limit: Duration,
    panics: &metrics::Counter,
) -> Response {
    match tokio::time::timeout(limit, AssertUnwindSafe(handler).catch_unwind()).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(panic)) => panicked(panic, panics),
        Err(_) => respond(Problem::because(Kind::Busy, "no answer in time")),
    }
}

fn panicked(panic: Box<dyn Any + Send>, panics: &metrics::Counter) -> Response {
    panics.increment(1);
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
    respond(Problem::internal(format!("panic: {}", text.unwrap_or_default())))
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::body::to_bytes;
    use axum::routing::get;
    use http::StatusCode;

    use super::*;

    async fn broken() -> &'static str {
        panic!("the secret of the house")
    }

    #[tokio::test]
    async fn a_panicking_handler_is_a_counted_500_without_its_words_and_the_next_one_answers() {
        let counted = Arc::new(AtomicU64::new(0));
        let panics = metrics::Counter::from_arc(Arc::clone(&counted));
        let router: Router =
            Router::new().route("/broken", get(broken)).route("/whole", get(|| async { "whole" }));
        let ask = async |path: &str| {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            answered(router.clone().call(request), Duration::from_secs(10), &panics).await
        };
        let mut response = ask("/broken").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(counted.load(Ordering::Relaxed), 1);
        let problem = response.extensions_mut().remove::<Problem>().unwrap();
        assert_eq!(problem.cause().map(chain).unwrap(), "panic: the secret of the house");
        let body = to_bytes(problem.render("id").into_body(), usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains(r#""code":"internal""#) && !body.contains("secret"), "{body}");
        assert_eq!(ask("/whole").await.status(), StatusCode::OK);
        assert_eq!(counted.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_handler_whose_time_is_over_is_a_503() {
        let panics = metrics::Counter::noop();
        let response = answered(std::future::pending(), Duration::from_millis(10), &panics).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.extensions().get::<Problem>().unwrap().kind, Kind::Busy);
    }

    #[test]
    fn only_a_configured_proxy_is_believed_and_only_its_own_word() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (proxy, other) = (ip("10.0.0.1"), ip("10.0.0.2"));
        let told = |peer: IpAddr, lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for &line in lines {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_static(line));
            }
            origin(&[proxy], peer, &headers)
        };
        assert_eq!(told(other, &["192.0.2.1"]), other);
        assert_eq!(told(proxy, &["192.0.2.1"]), ip("192.0.2.1"));
        assert_eq!(told(proxy, &["192.0.2.1, 192.0.2.2"]), ip("192.0.2.2"));
        assert_eq!(told(proxy, &["192.0.2.1", "192.0.2.2,192.0.2.3"]), ip("192.0.2.3"));
        assert_eq!(told(proxy, &[]), proxy);
        assert_eq!(told(proxy, &["192.0.2.1, unknown"]), proxy);
    }
}

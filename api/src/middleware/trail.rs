//! What is known of one request while it runs: its id, its peer, and, as soon as they are known, its route, its
//! caller and the caller's rate. Made by the front, filled by the extractors, read by the front at the end.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use auth::RateState;
use axum::extract::Request;
use http::request::Parts;
use http::{HeaderMap, Method, Uri};
use identity::{Principal, RequestId};

use crate::problem::Problem;
use crate::router::Entry;

/// The trail of one request; shared between the front and the handler.
pub struct Trail {
    pub id: RequestId,
    pub started: Instant,
    pub peer: IpAddr,
    pub method: Method,
    pub uri: Uri,
    pub trace: Option<String>,
    route: OnceLock<&'static Entry>,
    caller: OnceLock<Arc<Principal>>,
    rate: OnceLock<RateState>,
}

impl Trail {
    /// Starts the trail of a request that came from `peer`.
    pub fn start<B>(request: &Request<B>, peer: IpAddr) -> Self {
        Self {
            id: RequestId::new(),
            started: Instant::now(),
            peer,
            method: request.method().clone(),
            uri: request.uri().clone(),
            trace: trace_id(request.headers()),
            route: OnceLock::new(),
            caller: OnceLock::new(),
            rate: OnceLock::new(),
        }
    }

    /// Notes the route that was taken.
    pub fn took(&self, route: &'static Entry) {
        let _ = self.route.set(route);
    }

    /// Notes who calls.
    pub fn called_by(&self, caller: &Arc<Principal>) {
        let _ = self.caller.set(Arc::clone(caller));
    }

    /// Notes what the caller may still do after this call.
    pub fn rated(&self, rate: RateState) {
        let _ = self.rate.set(rate);
    }

    pub fn route(&self) -> Option<&'static Entry> {
        self.route.get().copied()
    }

    pub fn caller(&self) -> Option<&Arc<Principal>> {
        self.caller.get()
    }

    pub fn rate(&self) -> Option<RateState> {
        self.rate.get().copied()
    }
}

/// The trail of the request whose head this is. Errors: 500 where no front made one.
pub fn of(parts: &Parts) -> Result<Arc<Trail>, Problem> {
    let trail = parts.extensions.get::<Arc<Trail>>();
    trail.cloned().ok_or_else(|| Problem::internal("a request without a trail"))
}

/// The trace id of a valid `traceparent` (W3C Trace Context), for the log.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let hex =
        |s: &str, len| s.len() == len && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let valid = hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && hex(parent, 16)
        && trace.bytes().any(|b| b != b'0');
    valid.then(|| trace.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_taken_only_when_it_is_one() {
        let trace = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", http::HeaderValue::from_static(text));
            trace_id(&headers)
        };
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(trace(good).as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(trace("00-00000000000000000000000000000000-b7ad6b7169203331-01"), None);
        assert_eq!(trace("00-\u{41}af7-b7ad6b7169203331-01"), None);
    }
}

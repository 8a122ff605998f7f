//! An address that alerts are told to: it refuses the first calls and takes those after.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use crate::stub::serve;

/// One call as it came.
#[derive(Clone, Debug)]
pub struct HookCall {
    headers: HeaderMap,
    pub body: String,
}

impl HookCall {
    /// A header's text; empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The running address.
pub struct HookStub {
    pub url: String,
    called: Arc<Called>,
}

struct Called {
    refused: usize,
    calls: Mutex<Vec<HookCall>>,
}

impl HookStub {
    /// Answers 500 to the first `refused` calls, on a thread of its own until the test process ends.
    /// Errors: no port or no thread is to be had.
    pub fn start(refused: usize) -> std::io::Result<Self> {
        let called = Arc::new(Called { refused, calls: Mutex::default() });
        let router = Router::new().route("/hook", post(take)).with_state(called.clone());
        Ok(Self { url: serve(router)?, called })
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<HookCall> {
        self.called.calls.lock().map(|calls| calls.clone()).unwrap_or_default()
    }

    /// The calls once there are so many; fails after half a minute.
    pub async fn until(&self, calls: usize) -> Vec<HookCall> {
        let since = Instant::now();
        while self.calls().len() < calls {
            assert!(since.elapsed() < Duration::from_secs(30), "{} calls", self.calls().len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.calls()
    }
}

async fn take(State(called): State<Arc<Called>>, headers: HeaderMap, body: String) -> StatusCode {
    let Ok(mut calls) = called.calls.lock() else { return StatusCode::INTERNAL_SERVER_ERROR };
    calls.push(HookCall { headers, body });
    if calls.len() > called.refused { StatusCode::NO_CONTENT } else { StatusCode::INTERNAL_SERVER_ERROR }
}

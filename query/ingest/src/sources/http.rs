//! What all sources over HTTP share: a client that goes only to allowed addresses, and what its errors mean.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode, redirect};
use url::Url;

use super::SourceError;
use super::weather::guard::Guard;
use crate::words::chain;

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(5);

/// A client that follows no redirect, asks no proxy, unpacks nothing, and reaches only what the guard allows.
/// - `timeout`: from the request to the last byte of its answer.
/// - Errors: [`SourceError::Refused`] when the system gives none.
pub fn client(guard: &Guard, timeout: Duration) -> Result<Client, SourceError> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .dns_resolver(Arc::new(guard.clone()))
        .no_proxy()
        .gzip(false) // the raw area keeps the bytes as they came
        .timeout(timeout)
        .connect_timeout(CONNECT)
        .user_agent(concat!("lakefront/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| SourceError::refused(format!("no HTTP client: {e}")))
}

/// An address of the lake's declaration.
/// - Errors: [`SourceError::NotAllowed`] for text that is no URL.
pub fn parse(url: &str) -> Result<Url, SourceError> {
    let wrong =
        |e: url::ParseError| SourceError::NotAllowed { address: url.to_string(), reason: e.to_string() };
    Url::parse(url).map_err(wrong)
}

/// A request that gave no answer, or not a whole one.
pub fn unavailable(error: reqwest::Error) -> SourceError {
    // Only the host of the URL: a query may hold a key.
    let host = error.url().and_then(Url::host_str).unwrap_or("the service").to_owned();
    let reason = format!("{host}: {}", chain(&error.without_url()));
    SourceError::Unavailable { reason, retry_after_secs: None }
}

/// What an answer without success means: later, or never.
pub fn judged(status: StatusCode, retry_after_secs: Option<u64>, reason: String) -> SourceError {
    let later = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    if later {
        SourceError::Unavailable { reason, retry_after_secs }
    } else {
        SourceError::Refused { reason }
    }
}

/// The patience that an answer asks for, in seconds.
pub fn retry_after(response: &Response) -> Option<u64> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

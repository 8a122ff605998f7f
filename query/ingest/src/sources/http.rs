//! What all sources over HTTP share: a client that goes only to allowed addresses, and what its errors mean.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use reqwest::header::{CONTENT_ENCODING, DATE, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use url::Url;

use super::SourceError;
use super::secret::Secret;
use super::weather::guard::Guard;
use crate::lakefile::SecretSpec;
use crate::words::chain;

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// The most patience that an answer can ask for: who says a date that is far off does not silence a source for years.
const LONGEST_SECS: u64 = 86_400;

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

/// The patience that an answer asks for, in seconds: as it says, or until the instant that it names, by its own clock.
pub fn retry_after(response: &Response) -> Option<u64> {
    let text = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    let sent = text(DATE).and_then(instant).unwrap_or_else(Utc::now);
    patience(text(RETRY_AFTER)?, sent)
}

fn patience(asked: &str, sent: DateTime<Utc>) -> Option<u64> {
    let until = || u64::try_from((instant(asked)? - sent).num_seconds().max(0)).ok();
    asked.trim().parse().ok().or_else(until).map(|seconds: u64| seconds.min(LONGEST_SECS))
}

/// An instant as HTTP or RFC 3339 writes it.
pub fn instant(text: &str) -> Option<DateTime<Utc>> {
    let http = || DateTime::parse_from_rfc2822(&text.replace("GMT", "+0000")).ok().map(|at| at.to_utc());
    text.parse().ok().or_else(http)
}

/// An answer's bytes as they came.
#[derive(Clone, Debug)]
pub struct Body {
    pub bytes: Bytes,
    /// Whether the service packed them.
    pub gzip: bool,
}

impl Body {
    /// Reads an answer through.
    /// - Errors: [`SourceError::Refused`] where it is longer than `limit` bytes; [`SourceError::Unavailable`] where it breaks off.
    pub async fn read(mut response: Response, limit: usize) -> Result<Self, SourceError> {
        let gzip = response.headers().get(CONTENT_ENCODING).is_some_and(|v| v == "gzip");
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
            if bytes.len() + chunk.len() > limit {
                return Err(SourceError::refused(format!("the answer is longer than {limit} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Self { bytes: bytes.freeze(), gzip })
    }

    /// The text of the answer.
    /// - Errors: [`SourceError::Refused`] for broken packing, or more than `limit` bytes once unpacked.
    pub fn unpack(&self, limit: usize) -> Result<Bytes, SourceError> {
        if !self.gzip {
            return Ok(self.bytes.clone());
        }
        let mut text = Vec::new();
        let mut reader = GzDecoder::new(self.bytes.as_ref()).take(limit as u64 + 1);
        reader.read_to_end(&mut text).map_err(|e| SourceError::refused(format!("broken gzip: {e}")))?;
        if text.len() > limit {
            return Err(SourceError::refused(format!("the answer unpacks to more than {limit} bytes")));
        }
        Ok(text.into())
    }
}

/// A request with the token of a lake's declaration, as a bearer or alone in a header of that name.
/// - Errors: [`SourceError::Refused`] where the token is not there, or cannot stand in a header.
pub fn with_token(
    request: RequestBuilder,
    token: Option<&SecretSpec>,
    header: Option<&str>,
) -> Result<RequestBuilder, SourceError> {
    let Some(token) = token.map(Secret::read).transpose()? else { return Ok(request) };
    let Some(header) = header else { return Ok(request.bearer_auth(token.reveal())) };
    let unnamed = |_| SourceError::refused(format!("`{header}` is no name of a header"));
    let name = HeaderName::try_from(header).map_err(unnamed)?;
    let unfit = |_| SourceError::refused("the token cannot stand in a header");
    let mut value = HeaderValue::try_from(token.reveal()).map_err(unfit)?;
    value.set_sensitive(true);
    Ok(request.header(name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_asked_for_in_seconds_or_until_an_instant() {
        let sent = instant("Mon, 04 Oct 2021 06:00:00 GMT").unwrap();
        assert_eq!(sent.to_rfc3339(), "2021-10-04T06:00:00+00:00");
        for (asked, seconds) in [
            ("120", Some(120)),
            ("Mon, 04 Oct 2021 06:01:30 GMT", Some(90)),
            ("Mon, 04 Oct 2021 05:00:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(LONGEST_SECS)),
            ("18446744073709551615", Some(LONGEST_SECS)),
            ("soon", None),
            ("-5", None),
        ] {
            assert_eq!(patience(asked, sent), seconds, "{asked}");
        }
    }
}

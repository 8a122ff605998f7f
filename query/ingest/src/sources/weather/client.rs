//! The HTTP client of a weather service: polite, bounded in size and time, and patient for a moment.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::GzDecoder;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, RETRY_AFTER};
use reqwest::{Response, StatusCode, redirect};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::answer;
use super::guard::Guard;
use crate::lakefile::WeatherSpec;
use crate::sources::SourceError;

/// How often one call is tried, the first time included.
const TRIES: u32 = 3;
/// A service that wants more patience than this is asked again at the source's next turn.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// An answer's bytes as they came.
#[derive(Clone, Debug)]
pub struct Body {
    pub bytes: Bytes,
    /// Whether the service packed them.
    pub gzip: bool,
}

/// A client of one weather service.
pub struct Client {
    http: reqwest::Client,
    guard: Guard,
    pub forecast: Url,
    pub archive: Url,
    limit: usize,
    pause: Duration,
    /// When the next request may go out.
    next: Mutex<Instant>,
}

impl Client {
    /// A client by the lake's declaration.
    /// - Errors: [`SourceError::NotAllowed`] for an address that is no URL or must not be asked.
    pub fn new(spec: &WeatherSpec) -> Result<Self, SourceError> {
        let (forecast, archive) = (parse(&spec.forecast_url)?, parse(&spec.archive_url)?);
        let guard = Guard::new(&[&forecast, &archive], spec.allow_private);
        guard.check(&forecast)?;
        guard.check(&archive)?;
        let http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .dns_resolver(Arc::new(guard.clone()))
            .no_proxy()
            .gzip(false) // the raw area keeps the bytes as they came; they are unpacked here
            .timeout(spec.timeout.0)
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("lakefront/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| SourceError::refused(format!("no HTTP client: {e}")))?;
        let limit = usize::try_from(spec.answer_limit_bytes).unwrap_or(usize::MAX);
        let pause = Duration::from_millis(spec.pause_ms);
        Ok(Self { http, guard, forecast, archive, limit, pause, next: Mutex::new(Instant::now()) })
    }

    /// The answer to one call.
    /// - Errors: [`SourceError::Unavailable`] after [`TRIES`] tries, or when the service asks for more patience;
    ///   [`SourceError::Refused`] when it says that the call is wrong, or the answer is too long.
    pub async fn get(&self, url: &Url) -> Result<Body, SourceError> {
        self.guard.check(url)?;
        let mut tried = 1;
        loop {
            self.be_polite().await;
            let failed = match self.once(url).await {
                Err(e @ SourceError::Unavailable { .. }) if tried < TRIES => e,
                answered => return answered,
            };
            let wait = wait(&failed, tried);
            if wait > LONGEST_WAIT {
                return Err(failed);
            }
            tracing::debug!(%url, tried, ?wait, "the weather service is asked again: {failed}");
            tokio::time::sleep(wait).await;
            tried += 1;
        }
    }

    async fn once(&self, url: &Url) -> Result<Body, SourceError> {
        let response = self.http.get(url.clone()).header(ACCEPT_ENCODING, "gzip").send().await;
        let response = response.map_err(unavailable)?;
        let (status, patience) = (response.status(), retry_after(&response));
        let gzip = response.headers().get(CONTENT_ENCODING).is_some_and(|v| v == "gzip");
        let body = Body { bytes: self.read(response).await?, gzip };
        if status == StatusCode::OK {
            return Ok(body);
        }
        let reason = self.unpack(&body).ok().and_then(|text| answer::reason(&text));
        let reason = reason.unwrap_or_else(|| format!("status {status}"));
        let reason = format!("{}: {reason}", url.host_str().unwrap_or("the service"));
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(SourceError::Unavailable { reason, retry_after_secs: patience });
        }
        Err(SourceError::Refused { reason })
    }

    async fn read(&self, mut response: Response) -> Result<Bytes, SourceError> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
            if bytes.len() + chunk.len() > self.limit {
                return Err(SourceError::refused(format!("the answer is longer than {} bytes", self.limit)));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// The text of an answer.
    /// - Errors: [`SourceError::Refused`] for broken packing, or more than the limit once unpacked.
    pub fn unpack(&self, body: &Body) -> Result<Bytes, SourceError> {
        if !body.gzip {
            return Ok(body.bytes.clone());
        }
        let mut text = Vec::new();
        let mut reader = GzDecoder::new(body.bytes.as_ref()).take(self.limit as u64 + 1);
        reader.read_to_end(&mut text).map_err(|e| SourceError::refused(format!("broken gzip: {e}")))?;
        if text.len() > self.limit {
            return Err(SourceError::refused(format!(
                "the answer unpacks to more than {} bytes",
                self.limit
            )));
        }
        Ok(text.into())
    }

    async fn be_polite(&self) {
        let mut next = self.next.lock().await;
        tokio::time::sleep_until(*next).await;
        *next = Instant::now() + self.pause;
    }
}

fn parse(url: &str) -> Result<Url, SourceError> {
    let wrong =
        |e: url::ParseError| SourceError::NotAllowed { address: url.to_string(), reason: e.to_string() };
    Url::parse(url).map_err(wrong)
}

fn unavailable(error: reqwest::Error) -> SourceError {
    // Only the host of the URL: a query may hold a key.
    let host = error.url().and_then(Url::host_str).unwrap_or("the service").to_owned();
    let error = error.without_url();
    let mut reason = format!("{host}: {error}");
    let mut cause = std::error::Error::source(&error);
    while let Some(behind) = cause {
        reason = format!("{reason}: {behind}");
        cause = behind.source();
    }
    SourceError::Unavailable { reason, retry_after_secs: None }
}

fn retry_after(response: &Response) -> Option<u64> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

/// What the service asks for; else half a second, two, … each with up to half of it on top.
fn wait(failed: &SourceError, tried: u32) -> Duration {
    match failed {
        SourceError::Unavailable { retry_after_secs: Some(seconds), .. } => Duration::from_secs(*seconds),
        _ => Duration::from_millis(500 * 4_u64.pow(tried - 1)).mul_f64(1.0 + rand::random::<f64>() / 2.0),
    }
}

//! The HTTP client of a weather service: polite, bounded in size and time, and patient for a moment.

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::ACCEPT_ENCODING;
use url::Url;

use super::answer;
use super::guard::Guard;
use crate::lakefile::WeatherSpec;
use crate::sources::SourceError;
pub use crate::sources::http::Body;
use crate::sources::http::{self, parse, retry_after, unavailable};
use crate::sources::patience::Patience;

/// A client of one weather service.
pub struct Client {
    http: reqwest::Client,
    guard: Guard,
    pub forecast: Url,
    pub archive: Url,
    limit: usize,
    patience: Patience,
}

impl Client {
    /// A client by the lake's declaration.
    /// - Errors: [`SourceError::NotAllowed`] for an address that is no URL or must not be asked.
    pub fn new(spec: &WeatherSpec) -> Result<Self, SourceError> {
        let (forecast, archive) = (parse(&spec.forecast_url)?, parse(&spec.archive_url)?);
        let guard = Guard::new(&[&forecast, &archive], spec.allow_private);
        guard.check(&forecast)?;
        guard.check(&archive)?;
        let http = http::client(&guard, spec.timeout.0)?;
        let limit = usize::try_from(spec.answer_limit_bytes).unwrap_or(usize::MAX);
        let patience = Patience::new(Duration::from_millis(spec.pause_ms));
        Ok(Self { http, guard, forecast, archive, limit, patience })
    }

    /// The answer to one call.
    /// - Errors: [`SourceError::Unavailable`] after some tries, or when the service asks for more patience;
    ///   [`SourceError::Refused`] when it says that the call is wrong, or the answer is too long.
    pub async fn get(&self, url: &Url) -> Result<Body, SourceError> {
        self.guard.check(url)?;
        self.patience.call(|| self.once(url)).await
    }

    async fn once(&self, url: &Url) -> Result<Body, SourceError> {
        let response = self.http.get(url.clone()).header(ACCEPT_ENCODING, "gzip").send().await;
        let response = response.map_err(unavailable)?;
        let (status, patience) = (response.status(), retry_after(&response));
        let body = Body::read(response, self.limit).await?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        let reason = self.unpack(&body).ok().and_then(|text| answer::reason(&text));
        let reason = reason.unwrap_or_else(|| format!("status {status}"));
        let reason = format!("{}: {reason}", url.host_str().unwrap_or("the service"));
        Err(http::judged(status, patience, reason))
    }

    /// The text of an answer.
    /// - Errors: as [`Body::unpack`].
    pub fn unpack(&self, body: &Body) -> Result<Bytes, SourceError> {
        body.unpack(self.limit)
    }
}

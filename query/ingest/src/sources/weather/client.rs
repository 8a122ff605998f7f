//! The HTTP client of a weather service: polite, bounded in size and time, and patient for a moment.

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::ACCEPT_ENCODING;
use url::Url;

use super::guard::Guard;
use super::service::Service;
use crate::lakefile::{SecretSpec, WeatherSpec};
use crate::sources::SourceError;
pub use crate::sources::http::Body;
use crate::sources::http::{self, retry_after, unavailable, with_token};
use crate::sources::patience::Patience;

/// A client of one weather service.
pub struct Client {
    http: reqwest::Client,
    guard: Guard,
    pub service: Service,
    /// The token that is sent, and the header it stands in alone.
    token: Option<(SecretSpec, Option<String>)>,
    limit: usize,
    patience: Patience,
}

impl Client {
    /// A client by the lake's declaration.
    /// - Errors: [`SourceError::NotAllowed`] for an address that is no URL or must not be asked.
    pub fn new(spec: &WeatherSpec) -> Result<Self, SourceError> {
        let service = Service::new(spec)?;
        let addresses = service.addresses()?;
        let guard = Guard::new(&addresses.iter().collect::<Vec<_>>(), spec.allow_private);
        addresses.iter().try_for_each(|address| guard.check(address))?;
        let http = http::client(&guard, spec.timeout.0)?;
        let limit = usize::try_from(spec.answer_limit_bytes).unwrap_or(usize::MAX);
        let patience = Patience::new(Duration::from_millis(spec.pause_ms));
        let own = spec.service.as_ref();
        let token = own.and_then(|own| Some((own.token.clone()?, own.token_header.clone())));
        Ok(Self { http, guard, service, token, limit, patience })
    }

    /// The answer to one call.
    /// - Errors: [`SourceError::Unavailable`] after some tries, or when the service asks for more patience;
    ///   [`SourceError::Refused`] when it says that the call is wrong, or the answer is too long.
    pub async fn get(&self, url: &Url) -> Result<Body, SourceError> {
        self.guard.check(url)?;
        self.patience.call(|| self.once(url)).await
    }

    async fn once(&self, url: &Url) -> Result<Body, SourceError> {
        let request = self.http.get(url.clone()).header(ACCEPT_ENCODING, "gzip");
        let (token, header) = self.token.as_ref().map(|(token, header)| (token, header.as_deref())).unzip();
        let request = with_token(request, token, header.flatten())?;
        let response = request.send().await.map_err(unavailable)?;
        let (status, patience) = (response.status(), retry_after(&response));
        let body = Body::read(response, self.limit).await?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        let reason = self.unpack(&body).ok().and_then(|text| self.service.reason(&text));
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

//! The HTTP client of a service of events: polite, bounded in size and time, and patient for a moment.

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, ETAG, IF_NONE_MATCH};
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::lakefile::PollSpec;
use crate::sources::SourceError;
use crate::sources::http::{Body, client, judged, parse, retry_after, unavailable, with_token};
use crate::sources::patience::Patience;
use crate::sources::weather::guard::Guard;

/// A page as it came.
pub struct Answer {
    pub text: Bytes,
    pub tag: Option<String>,
}

/// A client of one service.
pub struct Client {
    spec: PollSpec,
    http: reqwest::Client,
    guard: Guard,
    limit: usize,
    patience: Patience,
}

impl Client {
    /// A client by the lake's declaration.
    /// - Errors: [`SourceError::NotAllowed`] for an address that is no URL or must not be asked.
    pub fn new(spec: &PollSpec) -> Result<Self, SourceError> {
        let url = address(&spec.url, &spec.first)?;
        let guard = Guard::new(&[&url], spec.allow_private);
        guard.check(&url)?;
        Ok(Self {
            http: client(&guard, spec.timeout.0)?,
            guard,
            limit: usize::try_from(spec.answer_limit_bytes).unwrap_or(usize::MAX),
            patience: Patience::new(Duration::from_millis(spec.pause_ms)),
            spec: spec.clone(),
        })
    }

    /// The page at a position; `None` where it is the one with this tag.
    /// - Errors: [`SourceError::Unavailable`] after some tries, or when the service asks for more patience;
    ///   [`SourceError::Refused`] when it leads elsewhere, says that the call is wrong, or answers too long.
    pub async fn page(&self, position: &str, tag: Option<&str>) -> Result<Option<Answer>, SourceError> {
        let url = address(&self.spec.url, position)?;
        self.guard.check(&url)?;
        self.patience.call(|| self.once(&url, tag)).await
    }

    async fn once(&self, url: &Url, tag: Option<&str>) -> Result<Option<Answer>, SourceError> {
        let request = self.http.get(url.clone()).header(ACCEPT_ENCODING, "gzip");
        let mut request = request.header(ACCEPT, "application/json");
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let request = with_token(request, self.spec.token.as_ref(), self.spec.token_header.as_deref())?;
        let response = request.send().await.map_err(unavailable)?;
        match response.status() {
            StatusCode::NOT_MODIFIED => Ok(None),
            StatusCode::OK => {
                let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
                let text = Body::read(response, self.limit).await?.unpack(self.limit)?;
                Ok(Some(Answer { text, tag }))
            }
            status => {
                let reason = format!("{}: status {status}", url.host_str().unwrap_or("the service"));
                Err(judged(status, retry_after(&response), reason))
            }
        }
    }
}

/// The address of a request.
fn address(template: &str, position: &str) -> Result<Url, SourceError> {
    let position: String = byte_serialize(position.as_bytes()).collect();
    parse(&template.replace("{position}", &position))
}

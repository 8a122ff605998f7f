//! `Idempotency-Key` on calls with a JSON body: the same key and body again is answered with the first answer, for
//! 24 h, a workspace and route. Uploads have it in `ingest`, where it ends in the same transaction as the commit.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use catalog::{Begin, Keyed};
use chrono::Utc;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::request::Parts;
use identity::WorkspaceId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::problem::{Kind, Problem};
use crate::state::App;

const LEASE: Duration = Duration::from_secs(60);

/// The header of a call, if it has one.
pub struct OnceKey(pub Option<String>);

impl FromRequestParts<App> for OnceKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let text = value.to_str().ok().filter(|text| (1..=255).contains(&text.len()));
        let wrong = || {
            Problem::because(
                Kind::InvalidParameter,
                "`Idempotency-Key` has 1 to 255 visible ASCII characters",
            )
        };
        Ok(Self(Some(text.ok_or_else(wrong)?.to_owned())))
    }
}

/// An answer that can be told again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    pub status: u16,
    pub location: Option<String>,
    pub body: Value,
}

impl Told {
    /// An answer with `body`.
    pub fn new(status: StatusCode, location: Option<String>, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_value(body).map_err(Problem::internal)?;
        Ok(Self { status: status.as_u16(), location, body })
    }
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let mut response = (status, json, self.body.to_string()).into_response();
        if let Some(location) = self.location.and_then(|text| HeaderValue::try_from(text).ok()) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}

/// One call of a route by a workspace.
pub struct Call<'a> {
    pub app: &'a App,
    pub workspace: WorkspaceId,
    pub route: &'static str,
    pub key: OnceKey,
    pub bytes: &'a [u8],
}

impl Call<'_> {
    /// Does `work` once. `kept` makes from its answer what a repetition is told (secrets are left out there).
    pub async fn once<W>(self, work: W, kept: impl FnOnce(&Told) -> Told) -> Result<Told, Problem>
    where
        W: Future<Output = Result<Told, Problem>>,
    {
        let Some(key) = self.key.0.clone() else { return work.await };
        let hash = digest(self.bytes);
        let request = Keyed { route: self.route, key: &key, body_hash: &hash };
        if let Some(told) = self.begin(request).await? {
            return Ok(told);
        }
        let records = self.app.catalog.idempotency();
        match work.await {
            Ok(told) => {
                let value = serde_json::to_value(kept(&told)).map_err(Problem::internal)?;
                records.complete(self.workspace, request, &value, Utc::now()).await?;
                Ok(told)
            }
            Err(problem) => {
                records.release(self.workspace, request).await?;
                Err(problem)
            }
        }
    }

    async fn begin(&self, request: Keyed<'_>) -> Result<Option<Told>, Problem> {
        let records = self.app.catalog.idempotency();
        match records.begin(self.workspace, request, LEASE, Utc::now()).await? {
            Begin::New => Ok(None),
            Begin::Replay(value) => serde_json::from_value(value).map(Some).map_err(Problem::internal),
            Begin::Mismatch => Err(Problem::new(Kind::IdempotencyMismatch)),
            Begin::InFlight => Err(Problem::new(Kind::IdempotencyInFlight).retry_after(1)),
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

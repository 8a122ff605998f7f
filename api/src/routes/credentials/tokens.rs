//! `POST /v1/tokens`: an API key becomes a token of 15 min. Answer as in RFC 6749, section 5.1.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue, PRAGMA};
use identity::Scopes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::extract::{Caller, Known, parse_json, whole_body};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::json;
use crate::state::App;

/// More is no request for a token.
const BYTES: usize = 4096;

/// Fewer scopes than the key has; may be absent, and so may the body.
#[derive(Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// `client_credentials`, if given.
    #[serde(default)]
    #[schema(example = "client_credentials")]
    grant_type: Option<String>,
    /// Scopes with spaces between.
    #[serde(default)]
    #[schema(example = "read")]
    scope: Option<String>,
}

/// A token.
#[derive(Serialize, ToSchema)]
pub struct TokenBody {
    #[schema(example = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhY21lIn0.c2lnbmF0dXJl")]
    access_token: String,
    #[schema(example = "Bearer")]
    token_type: String,
    /// Seconds.
    #[schema(example = 900)]
    expires_in: i64,
    #[schema(example = "read")]
    scope: String,
}

/// Exchanges an API key for a short-lived token
///
/// The key stands in `Authorization`; the body is empty, `{}`, or the form of RFC 6749 (`grant_type`, `scope`).
#[utoipa::path(post, path = "/v1/tokens", tag = "credentials", request_body = Option<TokenRequest>,
    responses((status = 200, body = TokenBody)))]
pub async fn create_token(
    caller: Caller<Known>,
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.spend(&app, 1)?;
    let request = read(&headers, &whole_body(&headers, body, BYTES).await?)?;
    if request.grant_type.as_deref().is_some_and(|grant| grant != "client_credentials") {
        return Err(Problem::because(Kind::InvalidBody, "`grant_type` is client_credentials"));
    }
    let scopes = request.scope.as_deref().map(str::parse::<Scopes>).transpose();
    let scopes = scopes.map_err(|error| Problem::because(Kind::InvalidBody, error.to_string()))?;
    let token = app.auth.issue_token(&caller.principal, scopes, Utc::now())?;
    let body = TokenBody {
        access_token: token.access_token,
        token_type: token.token_type.to_string(),
        expires_in: token.expires_in,
        scope: token.scope.to_string(),
    };
    let mut response = json(StatusCode::OK, &body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn read(headers: &HeaderMap, bytes: &[u8]) -> Result<TokenRequest, Problem> {
    if bytes.is_empty() {
        return Ok(TokenRequest::default());
    }
    let kind = headers
        .get(http::header::CONTENT_TYPE)
        .map(|value| value.as_bytes().to_ascii_lowercase())
        .unwrap_or_default();
    if kind.starts_with(b"application/x-www-form-urlencoded") {
        return form(bytes);
    }
    if kind.is_empty() || kind.starts_with(b"application/json") {
        return parse_json(bytes);
    }
    Err(Problem::because(Kind::UnsupportedMediaType, "the body is JSON or a form"))
}

fn form(bytes: &[u8]) -> Result<TokenRequest, Problem> {
    let mut request = TokenRequest::default();
    for (name, value) in url::form_urlencoded::parse(bytes) {
        let field = match &*name {
            "grant_type" => &mut request.grant_type,
            "scope" => &mut request.scope,
            _ => return Err(Problem::because(Kind::InvalidBody, "the form has `grant_type` and `scope`")),
        };
        if field.replace(value.into_owned()).is_some() {
            return Err(Problem::because(Kind::InvalidBody, "a field of the form stands there twice"));
        }
    }
    Ok(request)
}

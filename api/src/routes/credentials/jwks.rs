//! `GET /.well-known/jwks.json`

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use serde_json::Value;
use utoipa::ToSchema;

use crate::extract::Anyone;
use crate::routes::bodies::json;
use crate::state::App;

/// Public keys (RFC 7517).
#[derive(ToSchema)]
#[expect(dead_code, reason = "auth writes the answer; this type describes it")]
pub struct Jwks {
    #[schema(value_type = Vec<Object>, example = json!([{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig"}]))]
    keys: Vec<Value>,
}

/// The public keys that tokens are signed with
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "credentials", responses((status = 200, body = Jwks)))]
pub async fn jwks(_: Anyone, State(app): State<App>) -> Response {
    let mut response = json(StatusCode::OK, &app.auth.jwks());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

//! `GET`, `POST` and `DELETE /v1/keys`: the caller's own API keys.

use auth::{AuthError, KeyInfo, KeyOrder, KeyRefusal, NewKey};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use identity::{KeyId, Scopes, WorkspaceId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::extract::{At, Caller, Json, Query, Read, Write, plain};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::{List, One};
use crate::routes::once::{Call, OnceKey, Told};
use crate::state::App;

/// A key to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// `read`, `write`; `admin` for the operator only. No more than the caller has.
    #[schema(value_type = Vec<String>, example = json!(["read"]))]
    pub scopes: Scopes,
    /// Up to 128 characters, all of them to be seen.
    #[serde(default)]
    #[schema(example = "dashboard")]
    pub label: Option<String>,
    /// No later than the end of the key that makes it; the same, if absent. Never, where that has no end.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key as it is told once.
#[derive(Serialize, ToSchema)]
pub struct MadeKey {
    #[schema(example = "aB3dE6gH")]
    id: String,
    /// Shown this once; null when an idempotent call is told again.
    #[schema(required = true)]
    key: Option<String>,
    #[schema(value_type = Vec<String>, example = json!(["read"]))]
    scopes: Scopes,
    #[schema(required = true)]
    expires_at: Option<DateTime<Utc>>,
}

/// A key without its secret.
#[derive(Serialize, ToSchema)]
pub struct KeyBody {
    #[schema(example = "aB3dE6gH")]
    id: String,
    #[schema(value_type = Vec<String>, example = json!(["read"]))]
    scopes: Scopes,
    #[schema(example = "dashboard")]
    label: String,
    #[schema(example = "2026-02-01T06:00:00Z")]
    created_at: DateTime<Utc>,
    #[schema(required = true)]
    expires_at: Option<DateTime<Utc>>,
    #[schema(required = true)]
    revoked_at: Option<DateTime<Utc>>,
    #[schema(required = true, example = "2026-02-01T06:00:00Z")]
    last_used_at: Option<DateTime<Utc>>,
}

impl From<KeyInfo> for KeyBody {
    fn from(key: KeyInfo) -> Self {
        Self {
            id: key.id.to_string(),
            scopes: key.scopes,
            label: key.label,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// The caller's keys, newest first
#[utoipa::path(get, path = "/v1/keys", tag = "credentials", responses((status = 200, body = List<KeyBody>)))]
pub async fn list_keys(caller: Caller<Read>, State(app): State<App>) -> Result<Response, Problem> {
    let keys = app.auth.list_keys(caller.workspace()).await?;
    Ok(List::new(keys.into_iter().map(KeyBody::from).collect(), None).ok())
}

/// Makes a key
///
/// The answer shows it once; it is stored hashed. A token makes no keys. The new key has no more scopes than the key that makes
/// it, ends no later, and is revoked with it. At most 100 keys of a workspace work at once (else `conflict`); all together have
/// four times the calls a minute of one.
#[utoipa::path(post, path = "/v1/keys", tag = "credentials", request_body = KeyRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "Names this call for 24 h", example = "a-call-of-today")),
    responses((status = 201, body = One<MadeKey>)))]
pub async fn create_key(
    caller: Caller<Write>,
    State(app): State<App>,
    key: OnceKey,
    request: Json<KeyRequest>,
) -> Result<Response, Problem> {
    caller.spend(&app, 1)?;
    caller.must_show_key(&app).await?;
    if !caller.principal.scopes.contains_all(request.body.scopes) {
        return Err(caller.denied(&app, "a key cannot have more scopes than its maker").await);
    }
    let call = Call { app: &app, workspace: caller.workspace(), route: "keys", key, bytes: &request.bytes };
    let work = make(&app, caller.principal.key, caller.workspace(), request.body);
    Ok(call.once(work, without_secret).await?.into_response())
}

/// Makes a key of a workspace. Errors: `invalid-body` for an empty scope list, an odd label, an end in the past;
/// `unprocessable` for an end after the maker's; `conflict` where the workspace has all the keys it may have.
pub async fn make(
    app: &App,
    maker: KeyId,
    workspace: WorkspaceId,
    request: KeyRequest,
) -> Result<Told, Problem> {
    let KeyRequest { scopes, label, expires_at } = request;
    let label = label.unwrap_or_default();
    let order = KeyOrder { workspace, scopes, label: &label, expires_at, made_by: Some(maker) };
    let made = app.auth.make_key(order, Utc::now()).await.map_err(refused)?;
    Told::new(StatusCode::CREATED, None, &One::new(shown(&made)))
}

fn refused(error: KeyRefusal) -> Problem {
    match error {
        KeyRefusal::OutlivesMaker { .. } => Problem::because(Kind::Unprocessable, error.to_string()),
        KeyRefusal::TooManyKeys => Problem::because(Kind::Conflict, error.to_string()),
        KeyRefusal::MakerEnded => AuthError::Invalid.into(),
        KeyRefusal::Other(error) => error.into(),
    }
}

fn shown(made: &NewKey) -> MadeKey {
    let key = Some(made.key.expose().to_owned());
    MadeKey { id: made.id.to_string(), key, scopes: made.scopes, expires_at: made.expires_at }
}

/// The answer as it is kept for repetitions.
pub fn without_secret(told: &Told) -> Told {
    let mut kept = told.clone();
    if let Some(key) = kept.body.pointer_mut("/data/key") {
        *key = serde_json::Value::Null;
    }
    kept
}

/// What becomes of the keys that a revoked one made.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// `keep`: the keys that it made stay; without it they end too.
    #[param(inline)]
    made: Option<Made>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Made {
    Keep,
}

/// Revokes a key
///
/// It stops working within 5 s everywhere, and so do its tokens, the keys that it made and those that they made. To change
/// one key for the next, make the new one with the old and revoke the old with `made=keep`. A key with scopes that the
/// caller lacks is not the caller's to revoke.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "credentials",
    params(("id" = String, Path, description = "Id of the key", example = "aB3dE6gH"), Revocation),
    responses((status = 204, description = "Revoked")))]
pub async fn revoke_key(
    caller: Caller<Write>,
    State(app): State<App>,
    At(id): At<String>,
    Query(revocation): Query<Revocation>,
) -> Result<StatusCode, Problem> {
    caller.spend(&app, 1)?;
    let key = key_of(&app, caller.workspace(), &id).await?;
    if !caller.principal.scopes.contains_all(key.scopes) {
        return Err(caller.denied(&app, "a key revokes none that has scopes it lacks").await);
    }
    if revocation.made.is_none() {
        return revoke(&app, caller.workspace(), &id).await;
    }
    app.auth.retire_key(caller.workspace(), &key.id, Utc::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A workspace's key. Errors: `unknown-key`, also for another's.
async fn key_of(app: &App, workspace: WorkspaceId, id: &str) -> Result<KeyInfo, Problem> {
    let key = KeyId::parse(id).map_err(|_| unknown(id))?;
    let found = app.auth.find_key(&key).await?.filter(|key| key.workspace_id == workspace);
    found.ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Problem {
    Problem::because(Kind::UnknownKey, format!("no key `{}`", plain(id)))
}

/// Revokes a workspace's key. Errors: `unknown-key`, also for another's.
pub async fn revoke(app: &App, workspace: WorkspaceId, id: &str) -> Result<StatusCode, Problem> {
    let key = KeyId::parse(id).map_err(|_| unknown(id))?;
    let revoked = app.auth.revoke_key(workspace, &key, Utc::now()).await?;
    if revoked { Ok(StatusCode::NO_CONTENT) } else { Err(unknown(id)) }
}

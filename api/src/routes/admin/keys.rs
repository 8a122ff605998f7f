//! `/v1/admin/customers/{id}/keys`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use identity::Scope;

use crate::extract::{Admin, At, Caller, Json};
use crate::problem::Problem;
use crate::routes::bodies::{List, One};
use crate::routes::credentials::keys::{KeyBody, KeyRequest, MadeKey, make, revoke, without_secret};
use crate::routes::once::{Call, OnceKey};
use crate::state::App;

/// A customer's keys, newest first
#[utoipa::path(get, path = "/v1/admin/customers/{id}/keys", tag = "admin",
    params(("id" = String, Path, description = "Id of the customer", example = "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10")),
    responses((status = 200, body = List<KeyBody>)))]
pub async fn list_customer_keys(
    _: Caller<Admin>,
    State(app): State<App>,
    At(id): At<String>,
) -> Result<Response, Problem> {
    let customer = super::customer(&app, &id).await?;
    let keys = app.auth.list_keys(customer.workspace).await?;
    Ok(List::new(keys.into_iter().map(KeyBody::from).collect(), None).ok())
}

/// Makes a key for a customer
///
/// A token makes no keys, and a key with scope `admin` is made in the operator's own workspace only. Of that workspace, it ends
/// no later than the key that makes it and is revoked with it; keys of other customers go on without.
#[utoipa::path(post, path = "/v1/admin/customers/{id}/keys", tag = "admin", request_body = KeyRequest,
    params(("id" = String, Path, description = "Id of the customer", example = "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10"),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this call for 24 h", example = "a-call-of-today")),
    responses((status = 201, body = One<MadeKey>)))]
pub async fn create_customer_key(
    caller: Caller<Admin>,
    State(app): State<App>,
    At(id): At<String>,
    key: OnceKey,
    request: Json<KeyRequest>,
) -> Result<Response, Problem> {
    caller.spend(&app, 1)?;
    caller.must_show_key(&app).await?;
    let customer = super::customer(&app, &id).await?;
    if request.body.scopes.contains(Scope::Admin) && customer.workspace != caller.workspace() {
        return Err(caller.denied(&app, "the scope `admin` stays in the operator's workspace").await);
    }
    let hashed = [id.as_bytes(), &request.bytes[..]].concat();
    let work = async {
        let told = make(&app, caller.principal.key, customer.workspace, request.body).await?;
        super::note(&app, &caller, "key.create", &id).await?;
        Ok(told)
    };
    let call = Call { app: &app, workspace: caller.workspace(), route: "admin.keys", key, bytes: &hashed };
    Ok(call.once(work, without_secret).await?.into_response())
}

/// Revokes a customer's key
///
/// And with it the keys of the customer that it made, and those that they made.
#[utoipa::path(delete, path = "/v1/admin/customers/{id}/keys/{key}", tag = "admin",
    params(("id" = String, Path, description = "Id of the customer", example = "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10"),
        ("key" = String, Path, description = "Id of the key", example = "aB3dE6gH")),
    responses((status = 204, description = "Revoked")))]
pub async fn revoke_customer_key(
    caller: Caller<Admin>,
    State(app): State<App>,
    At((id, key)): At<(String, String)>,
) -> Result<StatusCode, Problem> {
    caller.spend(&app, 1)?;
    let customer = super::customer(&app, &id).await?;
    let done = revoke(&app, customer.workspace, &key).await?;
    super::note(&app, &caller, "key.revoke", &key).await?;
    Ok(done)
}

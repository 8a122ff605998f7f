//! `/v1/admin/customers`

use auth::{Customer, Status};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use identity::Slug;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::extract::{Admin, At, Caller, Json};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::{List, One};
use crate::routes::once::{Call, OnceKey, Told};
use crate::state::App;

/// A customer to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerRequest {
    /// Printable characters, all of them to be seen.
    #[schema(min_length = 1, max_length = 128, example = "Initech Ltd.")]
    name: String,
    /// Schema name of the workspace.
    #[schema(pattern = "^[a-z][a-z0-9_]{1,62}$", example = "initech")]
    workspace: String,
}

/// A customer.
#[derive(Serialize, ToSchema)]
pub struct CustomerBody {
    #[schema(example = "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10")]
    id: String,
    #[schema(example = "Initech Ltd.")]
    name: String,
    #[schema(example = "initech")]
    workspace: String,
    /// `active` or `suspended`.
    #[schema(example = "active")]
    status: &'static str,
    #[schema(example = "2026-02-01T06:00:00Z")]
    created_at: DateTime<Utc>,
}

impl From<&Customer> for CustomerBody {
    fn from(customer: &Customer) -> Self {
        Self {
            id: customer.id.to_string(),
            name: customer.name.clone(),
            workspace: customer.slug.to_string(),
            status: match customer.status {
                Status::Active => "active",
                Status::Suspended => "suspended",
            },
            created_at: customer.created_at,
        }
    }
}

/// All customers, oldest first
#[utoipa::path(get, path = "/v1/admin/customers", tag = "admin", responses((status = 200, body = List<CustomerBody>)))]
pub async fn list_customers(_: Caller<Admin>, State(app): State<App>) -> Result<Response, Problem> {
    let customers = app.auth.list_customers().await?;
    Ok(List::new(customers.iter().map(CustomerBody::from).collect(), None).ok())
}

/// Adds a customer with a workspace
#[utoipa::path(post, path = "/v1/admin/customers", tag = "admin", request_body = CustomerRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "Names this call for 24 h", example = "a-call-of-today")),
    responses((status = 201, body = One<CustomerBody>)))]
pub async fn add_customer(
    caller: Caller<Admin>,
    State(app): State<App>,
    key: OnceKey,
    request: Json<CustomerRequest>,
) -> Result<Response, Problem> {
    caller.spend(&app, 1)?;
    let slug = Slug::parse(&request.body.workspace)?;
    let work = async {
        let customer = app.auth.add_customer(&request.body.name, slug, Utc::now()).await?;
        super::note(&app, &caller, "customer.add", &customer.id.to_string()).await?;
        let location = format!("/v1/admin/customers/{}", customer.id);
        Told::new(StatusCode::CREATED, Some(location), &One::new(CustomerBody::from(&customer)))
    };
    let call = Call {
        app: &app,
        workspace: caller.workspace(),
        route: "admin.customers",
        key,
        bytes: &request.bytes,
    };
    Ok(call.once(work, Told::clone).await?.into_response())
}

/// One customer
#[utoipa::path(get, path = "/v1/admin/customers/{id}", tag = "admin",
    params(("id" = String, Path, description = "Id of the customer", example = "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10")),
    responses((status = 200, body = One<CustomerBody>)))]
pub async fn get_customer(
    _: Caller<Admin>,
    State(app): State<App>,
    At(id): At<String>,
) -> Result<Response, Problem> {
    Ok(One::new(CustomerBody::from(&super::customer(&app, &id).await?)).ok())
}

/// Suspends a customer
///
/// All its keys and tokens stop working within 5 s; its data stays. `lakefront customer reinstate` lets it in again. Not for the
/// caller's own customer.
#[utoipa::path(delete, path = "/v1/admin/customers/{id}", tag = "admin",
    params(("id" = String, Path, description = "Id of the customer", example = "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10")),
    responses((status = 204, description = "Suspended")))]
pub async fn suspend_customer(
    caller: Caller<Admin>,
    State(app): State<App>,
    At(id): At<String>,
) -> Result<StatusCode, Problem> {
    caller.spend(&app, 1)?;
    let customer = super::customer(&app, &id).await?;
    if customer.id == caller.principal.customer {
        return Err(Problem::because(Kind::Conflict, "the operator's own customer cannot be suspended"));
    }
    app.auth.suspend(customer.id, Utc::now()).await?;
    super::note(&app, &caller, "customer.suspend", &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

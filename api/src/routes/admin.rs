//! The operator's side: customers and their keys. Every act is audited before it is answered.

pub mod customers;
pub mod events;
pub mod keys;

use auth::{AuditEvent, Customer, Outcome};
use chrono::Utc;
use identity::CustomerId;

use crate::extract::{Admin, Caller, plain};
use crate::problem::{Kind, Problem};
use crate::state::App;

/// Writes down what the operator did.
async fn note(app: &App, caller: &Caller<Admin>, action: &str, target: &str) -> Result<(), Problem> {
    let event = AuditEvent {
        at: Utc::now(),
        workspace: Some(caller.workspace()),
        key: Some(caller.principal.key),
        action: action.to_owned(),
        target: target.to_owned(),
        outcome: Outcome::Done,
        request_id: Some(caller.trail.id),
    };
    Ok(app.auth.audit(event).await?)
}

/// The customer of that id. Errors: `unknown-customer`.
async fn customer(app: &App, id: &str) -> Result<Customer, Problem> {
    let unknown = || Problem::because(Kind::UnknownCustomer, format!("no customer `{}`", plain(id)));
    let known: CustomerId = id.parse().map_err(|_| unknown())?;
    app.auth.find_customer(known).await?.ok_or_else(unknown)
}

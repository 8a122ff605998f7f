//! `customer list`, `customer add`: a customer with a workspace and a first key, shown once; and `customer reinstate`.

use anyhow::Context;
use auth::{AuditEvent, Customer, Outcome, Status};
use chrono::Utc;
use identity::{Scopes, Slug};
use serde_json::json;

use crate::cli::CustomerVerb;
use crate::config::Config;
use crate::node::Ground;
use crate::verbs::{print, read, runtime};

/// Runs the verb. Errors: a name that is taken or cannot be one.
pub fn run(verb: CustomerVerb) -> anyhow::Result<()> {
    match verb {
        CustomerVerb::List { config } => list(&read(&config)?),
        CustomerVerb::Add { name, workspace, scopes, config } => {
            let config = read(&config)?;
            let slug = slug(workspace.as_deref().unwrap_or(&name))?;
            add(&config, &name, slug, scopes_of(&scopes)?)
        }
        CustomerVerb::Reinstate { name, config } => reinstate(&read(&config)?, &Slug::parse(&name)?),
    }
}

fn list(config: &Config) -> anyhow::Result<()> {
    runtime(1)?.block_on(async {
        let ground = Ground::open(config).await?;
        let customers = ground.auth.list_customers().await?;
        let one = |customer: &Customer| {
            json!({"id": customer.id, "name": customer.name, "workspace": customer.slug,
                   "suspended": customer.status == Status::Suspended, "created_at": customer.created_at})
        };
        print(&json!({"customers": customers.iter().map(one).collect::<Vec<_>>()}))?;
        ground.db.close().await;
        Ok(())
    })
}

fn add(config: &Config, name: &str, slug: Slug, scopes: Scopes) -> anyhow::Result<()> {
    runtime(1)?.block_on(async {
        let ground = Ground::open(config).await?;
        let now = Utc::now();
        let customer = ground.auth.add_customer(name, slug, now).await?;
        let key = ground.auth.create_key(customer.workspace, scopes, "first key", None, now).await?;
        print(&json!({"id": customer.id, "name": customer.name, "workspace": customer.slug, "api_key": key.key.expose()}))?;
        ground.db.close().await;
        Ok(())
    })
}

/// Repeatable: a customer that is not suspended stays as it is.
fn reinstate(config: &Config, slug: &Slug) -> anyhow::Result<()> {
    runtime(1)?.block_on(async {
        let ground = Ground::open(config).await?;
        let found = ground.auth.customer_by_slug(slug).await?;
        let customer = found.with_context(|| format!("there is no workspace {slug}"))?;
        ground.auth.reinstate(customer.id).await?;
        ground.auth.audit(reinstated(&customer)).await?;
        print(&json!({"id": customer.id, "name": customer.name, "workspace": slug, "suspended": false}))?;
        ground.db.close().await;
        Ok(())
    })
}

/// The audit's line; a verb has no credential, so its caller is nobody known.
fn reinstated(customer: &Customer) -> AuditEvent {
    AuditEvent {
        at: Utc::now(),
        workspace: None,
        key: None,
        action: "customer.reinstate".to_owned(),
        target: customer.id.to_string(),
        outcome: Outcome::Done,
        request_id: None,
    }
}

fn slug(text: &str) -> anyhow::Result<Slug> {
    Slug::parse(text).map_err(|error| match &error.suggestion {
        Some(near) => anyhow::anyhow!("{error}; `--workspace {near}` would do"),
        None => anyhow::anyhow!("{error}; choose one with --workspace"),
    })
}

/// Reads `read,write`.
pub fn scopes_of(text: &str) -> anyhow::Result<Scopes> {
    let words = text.replace(',', " ");
    words.parse::<Scopes>().with_context(|| format!("--scopes {text}"))
}

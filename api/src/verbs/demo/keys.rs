//! The demo's customers and their keys, kept in `demo.json`: made once, and made again where the file is lost.

use std::net::SocketAddr;
use std::path::Path;

use auth::Auth;
use chrono::Utc;
use identity::{Scope, Scopes, Slug};
use serde::{Deserialize, Serialize};

use super::files;

const FILE: &str = "demo.json";

/// `demo.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Written {
    pub url: String,
    pub admin_key: String,
    pub customers: Vec<DemoCustomer>,
}

/// A customer of the demo.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DemoCustomer {
    pub name: String,
    pub workspace: String,
    pub api_key: String,
}

/// Writes `demo.json` of a server at `address`. Keys that still work are kept.
pub async fn write(auth: &Auth, folder: &Path, address: SocketAddr) -> anyhow::Result<Written> {
    let before = read(folder);
    let both = Scopes::from([Scope::Read, Scope::Write]);
    let old = before.as_ref().map(|old| old.admin_key.as_str());
    let admin_key = key(auth, ("Operator", "operator"), Scopes::from([Scope::Admin]), old).await?;
    let mut customers = Vec::new();
    for (name, workspace) in [("Acme", "acme"), ("Globex", "globex")] {
        let known = before.iter().flat_map(|old| &old.customers).find(|old| old.workspace == workspace);
        let api_key = key(auth, (name, workspace), both, known.map(|old| old.api_key.as_str())).await?;
        customers.push(DemoCustomer { name: name.into(), workspace: workspace.into(), api_key });
    }
    let written = Written { url: format!("http://{address}"), admin_key, customers };
    files::save(&folder.join(FILE), serde_json::to_string_pretty(&written)?.as_bytes())?;
    Ok(written)
}

fn read(folder: &Path) -> Option<Written> {
    serde_json::from_slice(&std::fs::read(folder.join(FILE)).ok()?).ok()
}

/// The key of a workspace: the old one while it works, else a new one.
async fn key(
    auth: &Auth,
    (name, slug): (&str, &str),
    scopes: Scopes,
    old: Option<&str>,
) -> anyhow::Result<String> {
    let (slug, now) = (Slug::parse(slug)?, Utc::now());
    let workspace = match auth.workspace_by_slug(&slug).await? {
        Some(workspace) => workspace,
        None => auth.add_customer(name, slug, now).await?.workspace,
    };
    if let Some(old) = old
        && auth.authenticate(old, now).await.is_ok_and(|principal| principal.workspace == workspace)
    {
        return Ok(old.to_owned());
    }
    Ok(auth.create_key(workspace, scopes, "demo", None, now).await?.key.expose().to_owned())
}

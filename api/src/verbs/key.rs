//! `key list`, `key create`, `key revoke` and `key signing`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use auth::KeyInfo;
use chrono::Utc;
use identity::{KeyId, Slug, WorkspaceId};
use serde_json::{Value, json};

use super::customer::scopes_of;
use crate::cli::KeyVerb;
use crate::node::Ground;
use crate::verbs::{print, read, runtime};

/// Runs the verb.
pub fn run(verb: KeyVerb) -> anyhow::Result<()> {
    match verb {
        KeyVerb::Signing { file } => {
            write_signing_key(&file)?;
            print(&json!({"file": file}))
        }
        KeyVerb::List { workspace, config } => {
            let config = read(&config)?;
            runtime(1)?.block_on(async {
                let ground = Ground::open(&config).await?;
                let keys = ground.auth.list_keys(find(&ground, &workspace).await?).await?;
                let told = keys.iter().map(told).collect::<Vec<_>>();
                print(&json!({"workspace": workspace, "keys": told}))
            })
        }
        KeyVerb::Create { workspace, scopes, label, expires_at, config } => {
            let (config, scopes) = (read(&config)?, scopes_of(&scopes)?);
            runtime(1)?.block_on(async {
                let ground = Ground::open(&config).await?;
                let workspace = find(&ground, &workspace).await?;
                let key = ground.auth.create_key(workspace, scopes, &label, expires_at, Utc::now()).await?;
                print(&json!({"id": key.id, "key": key.key.expose(), "scopes": key.scopes, "expires_at": key.expires_at}))
            })
        }
        KeyVerb::Revoke { id, workspace, config } => {
            let (config, id) = (read(&config)?, KeyId::parse(&id)?);
            runtime(1)?.block_on(async {
                let ground = Ground::open(&config).await?;
                let workspace = find(&ground, &workspace).await?;
                let revoked = ground.auth.revoke_key(workspace, &id, Utc::now()).await?;
                anyhow::ensure!(revoked, "the workspace has no key {id}");
                print(&json!({"id": id, "revoked": true}))
            })
        }
    }
}

fn told(key: &KeyInfo) -> Value {
    json!({"id": key.id, "label": key.label, "scopes": key.scopes, "created_at": key.created_at,
           "expires_at": key.expires_at, "revoked_at": key.revoked_at, "last_used_at": key.last_used_at})
}

async fn find(ground: &Ground, slug: &str) -> anyhow::Result<WorkspaceId> {
    let slug = Slug::parse(slug)?;
    ground.auth.workspace_by_slug(&slug).await?.with_context(|| format!("there is no workspace {slug}"))
}

/// Makes a signing key that only its owner can read. Errors: the file is there already.
pub fn write_signing_key(file: &Path) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(file);
    let mut opened = opened.with_context(|| format!("make {}", file.display()))?;
    opened.write_all(auth::generate_signing_key_pem().as_bytes())?;
    opened.sync_all()?;
    Ok(())
}

//! API keys: made, listed, revoked. The text of a key is told once, when it is made.

use chrono::{DateTime, Utc};
use database::{Run, on, reading};
use identity::{KeyId, Scopes, Secret, WorkspaceId};
use uuid::Uuid;

use crate::customers::is_label;
use crate::{Auth, Error, api_key};

/// A key as it is told once.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub id: KeyId,
    /// The whole text; nobody can tell it again.
    pub key: Secret,
    pub scopes: Scopes,
    pub expires_at: Option<DateTime<Utc>>,
}

database::row! {
    /// What is known of a key ever after.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct KeyInfo {
        pub id: KeyId as String,
        pub workspace_id: WorkspaceId as Uuid,
        pub scopes: Scopes as String,
        pub label: String,
        pub created_at: DateTime<Utc>,
        pub expires_at: Option<DateTime<Utc>>,
        pub revoked_at: Option<DateTime<Utc>>,
        /// To the minute.
        pub last_used_at: Option<DateTime<Utc>>,
    }
}

impl Auth {
    /// Makes a key of a workspace.
    /// Errors: [`Error::NoScopes`], [`Error::InvalidLabel`], [`Error::AlreadyExpired`], [`Error::UnknownWorkspace`].
    pub async fn create_key(
        &self,
        workspace: WorkspaceId,
        scopes: Scopes,
        label: &str,
        expires_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<NewKey, Error> {
        const ADD: &str =
            "INSERT INTO api_keys (id, workspace_id, key_hash, scopes, label, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        check_key(scopes, label, expires_at, now)?;
        let (fresh, expires_at) = (api_key::generate(), expires_at.map(database::instant));
        on!(self.db(), |pool| sqlx::query(ADD)
            .bind(fresh.id.to_string())
            .bind(workspace.as_uuid())
            .bind(&fresh.hash[..])
            .bind(scopes.to_string())
            .bind(label)
            .bind(database::instant(now))
            .bind(expires_at)
            .run(pool))
        .map_err(|e| e.on_constraint("foreign_key", Error::UnknownWorkspace))?;
        Ok(NewKey { id: fresh.id, key: fresh.text, scopes, expires_at })
    }

    /// All keys of a workspace, also the ended ones, the newest first.
    pub async fn list_keys(&self, workspace: WorkspaceId) -> Result<Vec<KeyInfo>, Error> {
        const LIST: &str =
            "SELECT id, workspace_id, scopes, label, created_at, expires_at, revoked_at, last_used_at
            FROM api_keys WHERE workspace_id = $1 ORDER BY created_at DESC, id";
        Ok(reading!(self.db(), |pool| sqlx::query_as(LIST).bind(workspace.as_uuid()).fetch_all(pool))?)
    }

    /// A key of any workspace: for the operator.
    pub async fn find_key(&self, key: &KeyId) -> Result<Option<KeyInfo>, Error> {
        const FIND: &str =
            "SELECT id, workspace_id, scopes, label, created_at, expires_at, revoked_at, last_used_at
            FROM api_keys WHERE id = $1";
        Ok(reading!(self.db(), |pool| sqlx::query_as(FIND).bind(key.to_string()).fetch_optional(pool))?)
    }

    /// Ends a key and all tokens made with it: here at once, on other nodes within 5 s. `false` where the workspace has
    /// no such key; to revoke twice is to revoke.
    pub async fn revoke_key(
        &self,
        workspace: WorkspaceId,
        key: &KeyId,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        const REVOKE: &str = "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $3)
            WHERE id = $1 AND workspace_id = $2";
        let revoked = on!(self.db(), |pool| sqlx::query(REVOKE)
            .bind(key.to_string())
            .bind(workspace.as_uuid())
            .bind(database::instant(now))
            .run(pool))?;
        if revoked > 0 {
            self.0.denied.deny_key(*key);
        }
        Ok(revoked > 0)
    }
}

fn check_key(
    scopes: Scopes,
    label: &str,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if scopes.is_empty() {
        return Err(Error::NoScopes);
    }
    if !label.is_empty() && !is_label(label) {
        return Err(Error::InvalidLabel);
    }
    if expires_at.is_some_and(|end| end <= now) {
        return Err(Error::AlreadyExpired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use identity::Scope;

    use super::*;
    use crate::testing::{READ, customer, each};

    #[tokio::test]
    async fn a_key_is_told_once_and_stored_as_a_hash() {
        for at in each().await {
            let (acme, now) = (customer(&at.auth, "acme").await, Utc::now());
            let made = at.auth.create_key(acme.workspace, READ, "laptop", None, now).await.unwrap();
            assert!(!format!("{made:?}").contains(made.key.expose()));
            let hashes: Vec<Vec<u8>> =
                reading!(at.db, |pool| sqlx::query_scalar("SELECT key_hash FROM api_keys").fetch_all(pool))
                    .unwrap();
            assert_eq!(hashes, [api_key::hash(made.key.expose()).to_vec()]);
            let listed = at.auth.list_keys(acme.workspace).await.unwrap();
            assert_eq!((listed[0].id, listed[0].scopes, listed[0].label.as_str()), (made.id, READ, "laptop"));
            assert_eq!(at.auth.find_key(&made.id).await.unwrap().as_ref(), listed.first());
        }
    }

    #[tokio::test]
    async fn keys_that_make_no_sense_are_refused() {
        for at in each().await {
            let (acme, now) = (customer(&at.auth, "acme").await.workspace, Utc::now());
            let past = Some(now - TimeDelta::seconds(1));
            let none = at.auth.create_key(acme, Scopes::NONE, "", None, now).await;
            assert!(matches!(none, Err(Error::NoScopes)));
            let ended = at.auth.create_key(acme, READ, "", past, now).await;
            assert!(matches!(ended, Err(Error::AlreadyExpired)));
            let label = at.auth.create_key(acme, READ, "a\nb", None, now).await;
            assert!(matches!(label, Err(Error::InvalidLabel)));
            let nobody =
                at.auth.create_key(WorkspaceId::new(), Scopes::from([Scope::Admin]), "", None, now).await;
            assert!(matches!(nobody, Err(Error::UnknownWorkspace)), "{nobody:?}");
        }
    }

    #[tokio::test]
    async fn anothers_key_looks_like_no_key() {
        for at in each().await {
            let (acme, globex) = (customer(&at.auth, "acme").await, customer(&at.auth, "globex").await);
            let key = at.auth.create_key(acme.workspace, READ, "", None, Utc::now()).await.unwrap();
            assert!(!at.auth.revoke_key(globex.workspace, &key.id, Utc::now()).await.unwrap());
            assert!(at.auth.list_keys(globex.workspace).await.unwrap().is_empty());
            at.auth.authenticate(key.key.expose(), Utc::now()).await.unwrap();
            assert!(at.auth.revoke_key(acme.workspace, &key.id, Utc::now()).await.unwrap());
            assert!(at.auth.revoke_key(acme.workspace, &key.id, Utc::now()).await.unwrap(), "twice is once");
        }
    }
}

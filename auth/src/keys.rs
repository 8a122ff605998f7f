//! API keys: made, listed, revoked. The text of a key is told once, when it is made.

use chrono::{DateTime, Utc};
use database::{Run, Tx, reading, within};
use identity::{KeyId, Scopes, Secret, WorkspaceId};
use uuid::Uuid;

use crate::api_key::FreshKey;
use crate::customers::is_label;
use crate::{Auth, Error, KeyRefusal, api_key};

/// Keys of a workspace that work at the same time.
pub(crate) const MAX_LIVE_KEYS: i64 = 100;

/// A key to make.
#[derive(Clone, Copy, Debug)]
pub struct KeyOrder<'a> {
    pub workspace: WorkspaceId,
    pub scopes: Scopes,
    pub label: &'a str,
    /// Its maker's end, if absent; no end, where that has none.
    pub expires_at: Option<DateTime<Utc>>,
    /// The key that makes it; none on the command line.
    pub made_by: Option<KeyId>,
}

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

database::row! {
    /// What a key hands on to those it makes.
    struct Maker {
        workspace_id: WorkspaceId as Uuid,
        expires_at: Option<DateTime<Utc>>,
        revoked_at: Option<DateTime<Utc>>,
    }
}

impl Auth {
    /// Makes a key of a workspace that no other key made. Errors: those of [`Auth::make_key`].
    pub async fn create_key(
        &self,
        workspace: WorkspaceId,
        scopes: Scopes,
        label: &str,
        expires_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<NewKey, KeyRefusal> {
        self.make_key(KeyOrder { workspace, scopes, label, expires_at, made_by: None }, now).await
    }

    /// Makes a key. One that another key of the workspace makes ends no later than that, and is revoked with it.
    /// Errors: [`Error::NoScopes`], [`Error::InvalidLabel`], [`Error::AlreadyExpired`], [`Error::UnknownWorkspace`], and
    /// the kinds of [`KeyRefusal`].
    pub async fn make_key(&self, order: KeyOrder<'_>, now: DateTime<Utc>) -> Result<NewKey, KeyRefusal> {
        check(&order, now)?;
        let mut tx = self.db().begin().await?;
        if !lock_keys(&mut tx, order.workspace).await? {
            return Err(Error::UnknownWorkspace.into());
        }
        let expires_at = end(&mut tx, &order, now).await?;
        if live_keys(&mut tx, order.workspace, now).await? >= MAX_LIVE_KEYS {
            return Err(KeyRefusal::TooManyKeys);
        }
        let fresh = api_key::generate();
        add(&mut tx, &order, &fresh, expires_at, now).await?;
        tx.commit().await?;
        Ok(NewKey { id: fresh.id, key: fresh.text, scopes: order.scopes, expires_at })
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

    /// Ends a key, the keys of the workspace that it made, those that they made, and all tokens of them: here at once, on
    /// other nodes within 5 s. `false` where the workspace has no such key; to revoke twice is to revoke. Keys that an
    /// operator's key made for customers stay: they are the customers'.
    pub async fn revoke_key(
        &self,
        workspace: WorkspaceId,
        key: &KeyId,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        const REVOKE: &str = "WITH RECURSIVE ended (id) AS (
                SELECT id FROM api_keys WHERE id = $1 AND workspace_id = $2
                UNION SELECT k.id FROM api_keys k JOIN ended e ON k.made_by = e.id WHERE k.workspace_id = $2)
            UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $3) WHERE id IN (SELECT id FROM ended)
            RETURNING id";
        self.end_keys(REVOKE, workspace, key, now).await
    }

    /// Ends a key and its tokens alone: the keys that it made stay, for whoever changes one key for the next.
    pub async fn retire_key(
        &self,
        workspace: WorkspaceId,
        key: &KeyId,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        const RETIRE: &str = "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $3)
            WHERE id = $1 AND workspace_id = $2 RETURNING id";
        self.end_keys(RETIRE, workspace, key, now).await
    }

    async fn end_keys(
        &self,
        sql: &'static str,
        workspace: WorkspaceId,
        key: &KeyId,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let mut tx = self.db().begin().await?;
        lock_keys(&mut tx, workspace).await?;
        let ended: Vec<String> = within!(tx, |conn| sqlx::query_scalar(sql)
            .bind(key.to_string())
            .bind(workspace.as_uuid())
            .bind(database::instant(now))
            .fetch_all(conn))?;
        tx.commit().await?;
        self.0.denied.deny_keys(ended.iter().filter_map(|id| KeyId::parse(id).ok()));
        Ok(!ended.is_empty())
    }
}

fn check(order: &KeyOrder<'_>, now: DateTime<Utc>) -> Result<(), Error> {
    if order.scopes.is_empty() {
        return Err(Error::NoScopes);
    }
    if !order.label.is_empty() && !is_label(order.label) {
        return Err(Error::InvalidLabel);
    }
    if order.expires_at.is_some_and(|end| end <= now) {
        return Err(Error::AlreadyExpired);
    }
    Ok(())
}

/// Whoever makes or revokes keys of a workspace waits here for the others: no key is made by one that is just being
/// revoked, and the count holds. `false` where there is no such workspace.
async fn lock_keys(tx: &mut Tx, workspace: WorkspaceId) -> Result<bool, database::Error> {
    const LOCK: &str = "UPDATE workspaces SET created_at = created_at WHERE id = $1";
    Ok(within!(tx, |conn| sqlx::query(LOCK).bind(workspace.as_uuid()).run(conn))? > 0)
}

/// When a key is to end. An operator's key that makes one for a customer sets no bound.
async fn end(
    tx: &mut Tx,
    order: &KeyOrder<'_>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, KeyRefusal> {
    const FIND: &str = "SELECT workspace_id, expires_at, revoked_at FROM api_keys WHERE id = $1";
    let asked = order.expires_at.map(database::instant);
    let Some(maker) = order.made_by else { return Ok(asked) };
    let maker: Option<Maker> =
        within!(tx, |conn| sqlx::query_as(FIND).bind(maker.to_string()).fetch_optional(conn))?;
    let works = |maker: &Maker| maker.revoked_at.is_none() && maker.expires_at.is_none_or(|end| now < end);
    let maker = maker.filter(works).ok_or(KeyRefusal::MakerEnded)?;
    match (asked, maker.expires_at.filter(|_| maker.workspace_id == order.workspace)) {
        (Some(asked), Some(end)) if asked > end => Err(KeyRefusal::OutlivesMaker { end }),
        (asked, end) => Ok(asked.or(end)),
    }
}

async fn live_keys(tx: &mut Tx, workspace: WorkspaceId, now: DateTime<Utc>) -> Result<i64, database::Error> {
    const COUNT: &str = "SELECT COUNT(*) FROM api_keys
        WHERE workspace_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)";
    let now = database::instant(now);
    within!(tx, |conn| sqlx::query_scalar(COUNT).bind(workspace.as_uuid()).bind(now).fetch_one(conn))
}

async fn add(
    tx: &mut Tx,
    order: &KeyOrder<'_>,
    fresh: &FreshKey,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), database::Error> {
    const ADD: &str =
        "INSERT INTO api_keys (id, workspace_id, key_hash, scopes, label, made_by, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    within!(tx, |conn| sqlx::query(ADD)
        .bind(fresh.id.to_string())
        .bind(order.workspace.as_uuid())
        .bind(fresh.hash.to_vec())
        .bind(order.scopes.to_string())
        .bind(order.label.to_owned())
        .bind(order.made_by.map(|key| key.to_string()))
        .bind(database::instant(now))
        .bind(expires_at)
        .run(conn))?;
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
            assert!(matches!(none, Err(KeyRefusal::Other(Error::NoScopes))));
            let ended = at.auth.create_key(acme, READ, "", past, now).await;
            assert!(matches!(ended, Err(KeyRefusal::Other(Error::AlreadyExpired))));
            for label in ["a\nb", "a\u{202e}b", "\u{200b}"] {
                let label = at.auth.create_key(acme, READ, label, None, now).await;
                assert!(matches!(label, Err(KeyRefusal::Other(Error::InvalidLabel))));
            }
            let nobody =
                at.auth.create_key(WorkspaceId::new(), Scopes::from([Scope::Admin]), "", None, now).await;
            assert!(matches!(nobody, Err(KeyRefusal::Other(Error::UnknownWorkspace))), "{nobody:?}");
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

    #[tokio::test]
    async fn a_key_made_by_a_key_ends_with_it_at_the_latest() {
        for at in each().await {
            let (acme, globex) = (customer(&at.auth, "acme").await, customer(&at.auth, "globex").await);
            let now = Utc::now();
            let end = database::instant(now + TimeDelta::days(1));
            let maker = at.auth.create_key(acme.workspace, READ, "", Some(end), now).await.unwrap().id;
            let make = |workspace, expires_at, now| {
                let order = KeyOrder { workspace, scopes: READ, label: "", expires_at, made_by: Some(maker) };
                at.auth.make_key(order, now)
            };
            assert_eq!(make(acme.workspace, None, now).await.unwrap().expires_at, Some(end));
            let later = make(acme.workspace, Some(end + TimeDelta::seconds(1)), now).await;
            assert!(
                matches!(later, Err(KeyRefusal::OutlivesMaker { end: told }) if told == end),
                "{later:?}"
            );
            let sooner = end - TimeDelta::seconds(1);
            assert_eq!(make(acme.workspace, Some(sooner), now).await.unwrap().expires_at, Some(sooner));
            assert_eq!(make(globex.workspace, None, now).await.unwrap().expires_at, None, "an operator's");
            assert!(matches!(make(acme.workspace, None, end).await, Err(KeyRefusal::MakerEnded)));
            at.auth.revoke_key(acme.workspace, &maker, now).await.unwrap();
            assert!(matches!(make(acme.workspace, None, now).await, Err(KeyRefusal::MakerEnded)));
        }
    }

    #[tokio::test]
    async fn no_more_than_a_hundred_keys_of_a_workspace_work_also_when_many_are_made_at_once() {
        for at in each().await {
            let (acme, now) = (customer(&at.auth, "acme").await.workspace, Utc::now());
            let soon = Some(now + TimeDelta::seconds(60));
            let mut keys = vec![at.auth.create_key(acme, READ, "", soon, now).await.unwrap()];
            while keys.len() < 96 {
                keys.push(at.auth.create_key(acme, READ, "", None, now).await.unwrap());
            }
            let make = || at.auth.create_key(acme, READ, "", None, now);
            let made = tokio::join!(make(), make(), make(), make(), make(), make());
            let made = [made.0, made.1, made.2, made.3, made.4, made.5];
            assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 4);
            assert!(made.iter().all(|made| matches!(made, Ok(_) | Err(KeyRefusal::TooManyKeys))));
            let later = now + TimeDelta::seconds(61);
            at.auth.create_key(acme, READ, "", None, later).await.expect("ended ones do not count");
            at.auth.revoke_key(acme, &keys[1].id, now).await.unwrap();
            assert!(make().await.is_err(), "by its clock the first still works");
            assert!(at.auth.create_key(acme, READ, "", None, later).await.is_ok());
        }
    }
}

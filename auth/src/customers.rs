//! Customers and their workspaces: one each.

use chrono::{DateTime, Utc};
use database::{Run, on, reading, within};
use identity::{CustomerId, Slug, WorkspaceId, is_hidden};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Auth, Error};

/// May a customer come in?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Active,
    Suspended,
}

impl TryFrom<String> for Status {
    type Error = UnknownStatus;

    fn try_from(text: String) -> Result<Self, UnknownStatus> {
        match text.as_str() {
            "active" => Ok(Self::Active),
            "suspended" => Ok(Self::Suspended),
            _ => Err(UnknownStatus),
        }
    }
}

/// The database holds a word that this binary does not know.
#[derive(Debug, thiserror::Error)]
#[error("unknown status of a customer")]
pub struct UnknownStatus;

database::row! {
    /// Whom we deal with, and the one workspace they have.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Customer {
        pub id: CustomerId as Uuid,
        pub name: String,
        pub workspace: WorkspaceId as Uuid,
        pub slug: Slug as String,
        pub status: Status as String,
        pub created_at: DateTime<Utc>,
    }
}

/// 1 to 128 characters, all of them to be seen.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=128).contains(&text.chars().count()) && !text.contains(is_hidden) && text.trim() == text
}

impl Auth {
    /// Adds a customer with a workspace. Errors: [`Error::SlugTaken`], [`Error::InvalidLabel`].
    pub async fn add_customer(&self, name: &str, slug: Slug, now: DateTime<Utc>) -> Result<Customer, Error> {
        const ADD: &str =
            "INSERT INTO customers (id, name, status, created_at) VALUES ($1, $2, 'active', $3)";
        const ADD_WORKSPACE: &str =
            "INSERT INTO workspaces (id, customer_id, slug, created_at) VALUES ($1, $2, $3, $4)";
        if !is_label(name) {
            return Err(Error::InvalidLabel);
        }
        let (id, workspace, created_at) = (CustomerId::new(), WorkspaceId::new(), database::instant(now));
        let mut tx = self.db().begin().await?;
        within!(tx, |conn| sqlx::query(ADD).bind(id.as_uuid()).bind(name).bind(created_at).run(conn))?;
        within!(tx, |conn| sqlx::query(ADD_WORKSPACE)
            .bind(workspace.as_uuid())
            .bind(id.as_uuid())
            .bind(slug.as_str())
            .bind(created_at)
            .run(conn))
        .map_err(|e| e.on_constraint("workspaces_slug", Error::SlugTaken))?;
        tx.commit().await?;
        Ok(Customer { id, name: name.to_owned(), workspace, slug, status: Status::Active, created_at })
    }

    /// All customers, the oldest first.
    pub async fn list_customers(&self) -> Result<Vec<Customer>, Error> {
        const LIST: &str = "SELECT c.id, c.name, w.id AS workspace, w.slug, c.status, c.created_at
            FROM customers c JOIN workspaces w ON w.customer_id = c.id ORDER BY c.created_at, c.id";
        Ok(reading!(self.db(), |pool| sqlx::query_as(LIST).fetch_all(pool))?)
    }

    pub async fn find_customer(&self, id: CustomerId) -> Result<Option<Customer>, Error> {
        const FIND: &str = "SELECT c.id, c.name, w.id AS workspace, w.slug, c.status, c.created_at
            FROM customers c JOIN workspaces w ON w.customer_id = c.id WHERE c.id = $1";
        Ok(reading!(self.db(), |pool| sqlx::query_as(FIND).bind(id.as_uuid()).fetch_optional(pool))?)
    }

    /// The customer whose workspace is called so.
    pub async fn customer_by_slug(&self, slug: &Slug) -> Result<Option<Customer>, Error> {
        const FIND: &str = "SELECT c.id, c.name, w.id AS workspace, w.slug, c.status, c.created_at
            FROM customers c JOIN workspaces w ON w.customer_id = c.id WHERE w.slug = $1";
        Ok(reading!(self.db(), |pool| sqlx::query_as(FIND).bind(slug.as_str()).fetch_optional(pool))?)
    }

    pub async fn workspace_by_slug(&self, slug: &Slug) -> Result<Option<WorkspaceId>, Error> {
        Ok(self.customer_by_slug(slug).await?.map(|customer| customer.workspace))
    }

    /// Shuts a customer out: here at once, on other nodes within 5 s. `false` where there is no such customer.
    pub async fn suspend(&self, customer: CustomerId, now: DateTime<Utc>) -> Result<bool, Error> {
        const SUSPEND: &str = "UPDATE customers
            SET status = 'suspended', suspended_at = COALESCE(suspended_at, $2) WHERE id = $1";
        let done = on!(self.db(), |pool| sqlx::query(SUSPEND)
            .bind(customer.as_uuid())
            .bind(database::instant(now))
            .run(pool))?;
        if done > 0 {
            self.0.denied.deny_customer(customer);
        }
        Ok(done > 0)
    }

    /// Lets a suspended customer in again; other nodes follow within 5 s. `false` where there is no such customer.
    pub async fn reinstate(&self, customer: CustomerId) -> Result<bool, Error> {
        const REINSTATE: &str = "UPDATE customers SET status = 'active', suspended_at = NULL WHERE id = $1";
        let done = on!(self.db(), |pool| sqlx::query(REINSTATE).bind(customer.as_uuid()).run(pool))?;
        if done > 0 {
            self.0.denied.allow_customer(customer);
        }
        Ok(done > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::each;

    #[tokio::test]
    async fn a_customer_has_one_workspace_under_a_name_of_its_own() {
        for at in each().await {
            let slug = Slug::parse("acme").unwrap();
            let acme = at.auth.add_customer("Acme Ltd.", slug.clone(), Utc::now()).await.unwrap();
            assert_eq!(at.auth.find_customer(acme.id).await.unwrap().as_ref(), Some(&acme));
            assert_eq!(at.auth.workspace_by_slug(&slug).await.unwrap(), Some(acme.workspace));
            let again = at.auth.add_customer("Other", slug, Utc::now()).await;
            assert!(matches!(again, Err(Error::SlugTaken)), "{again:?}");
            assert_eq!(at.auth.list_customers().await.unwrap(), [acme], "nothing is left of the refused one");
        }
    }

    #[tokio::test]
    async fn a_customer_needs_a_printable_name() {
        let at = each().await.remove(0);
        for bad in ["", " ", " acme", "a\0b", "a\u{202e}b", "\u{200b}", &"x".repeat(129)] {
            let refused = at.auth.add_customer(bad, Slug::parse("acme").unwrap(), Utc::now()).await;
            assert!(matches!(refused, Err(Error::InvalidLabel)), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn whom_nobody_knows_cannot_be_suspended() {
        for at in each().await {
            assert!(!at.auth.suspend(CustomerId::new(), Utc::now()).await.unwrap());
            assert!(!at.auth.reinstate(CustomerId::new()).await.unwrap());
            assert_eq!(at.auth.find_customer(CustomerId::new()).await.unwrap(), None);
        }
    }
}

//! The audit: every denial and every act of an operator, written before the answer.

use chrono::{DateTime, Utc};
use database::{Run, on, reading};
use identity::{KeyId, RequestId, WorkspaceId};
use uuid::Uuid;

use crate::{Auth, Error};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Denied,
    Failed,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Denied => "denied",
            Outcome::Failed => "failed",
        }
    }
}

/// Who did what to what, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    pub at: DateTime<Utc>,
    /// `None` where the caller is not known.
    pub workspace: Option<WorkspaceId>,
    pub key: Option<KeyId>,
    /// `key.revoke`, `dataset.read`
    pub action: String,
    /// What it was done to, by name or id; never its content.
    pub target: String,
    pub outcome: Outcome,
    pub request_id: Option<RequestId>,
}

database::row! {
    /// A line of the audit as it was written.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct AuditLine {
        pub at: DateTime<Utc>,
        pub workspace_id: Option<Uuid>,
        pub key_id: Option<String>,
        pub action: String,
        pub target: String,
        pub outcome: String,
        pub request_id: Option<Uuid>,
    }
}

impl Auth {
    /// Writes one event. An error means that it is not written; the caller decides whether the act may go on.
    pub async fn audit(&self, event: AuditEvent) -> Result<(), Error> {
        const ADD: &str =
            "INSERT INTO audit (id, at, workspace_id, key_id, action, target, outcome, request_id)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        on!(self.db(), |pool| sqlx::query(ADD)
            .bind(Uuid::now_v7())
            .bind(database::instant(event.at))
            .bind(event.workspace.map(Uuid::from))
            .bind(event.key.map(|key| key.to_string()))
            .bind(&event.action)
            .bind(&event.target)
            .bind(event.outcome.as_str())
            .bind(event.request_id.map(Uuid::from))
            .run(pool))?;
        Ok(())
    }

    /// The latest lines about a workspace, or about all (`None`), the newest first.
    pub async fn audit_lines(
        &self,
        workspace: Option<WorkspaceId>,
        limit: u32,
    ) -> Result<Vec<AuditLine>, Error> {
        const LIST: &str = "SELECT at, workspace_id, key_id, action, target, outcome, request_id FROM audit
            WHERE ($1 = 1 OR workspace_id = $2) ORDER BY at DESC, id DESC LIMIT $3";
        let of_all = i64::from(workspace.is_none());
        Ok(reading!(self.db(), |pool| sqlx::query_as(LIST)
            .bind(of_all)
            .bind(workspace.map(Uuid::from))
            .bind(i64::from(limit))
            .fetch_all(pool))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{customer, each};

    #[tokio::test]
    async fn what_was_denied_can_be_read_later() {
        for at in each().await {
            let (acme, now) = (customer(&at.auth, "acme").await, database::instant(Utc::now()));
            let denied = AuditEvent {
                at: now,
                workspace: Some(acme.workspace),
                key: None,
                action: "dataset.read".to_owned(),
                target: "my.sales".to_owned(),
                outcome: Outcome::Denied,
                request_id: Some(RequestId::new()),
            };
            let unknown = AuditEvent { workspace: None, action: "login".to_owned(), ..denied.clone() };
            at.auth.audit(denied.clone()).await.unwrap();
            at.auth.audit(unknown).await.unwrap();
            let lines = at.auth.audit_lines(Some(acme.workspace), 10).await.unwrap();
            assert_eq!(lines.len(), 1);
            assert_eq!((lines[0].action.as_str(), lines[0].outcome.as_str()), ("dataset.read", "denied"));
            assert_eq!((lines[0].at, lines[0].request_id), (now, denied.request_id.map(Uuid::from)));
            assert_eq!(at.auth.audit_lines(None, 10).await.unwrap().len(), 2);
        }
    }
}

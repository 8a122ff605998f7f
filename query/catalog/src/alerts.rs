//! Alerts: what went wrong and whether whoever must know was told; what could not be told stays, as `dead`.
//!
//! ```text
//! raise ─▶ waiting ─ due ─▶ sent
//!             ▲        └──▶ later, and after too many attempts: dead
//! ```

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use database::{Db, Run as _, instant, on, reading};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::Error;
use crate::sql::storable;

/// Something to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAlert {
    /// The same key is the same alert: it is told once.
    pub key: String,
    pub kind: String,
    /// The source or table it is about.
    pub subject: String,
    pub body: Value,
}

/// Something to be told, and how far that is.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub id: Uuid,
    pub kind: String,
    pub subject: String,
    pub body: Value,
    pub attempts: i64,
    /// Why it could not be told the last time.
    pub error: Option<String>,
    pub raised_at: DateTime<Utc>,
}

database::row! {
    struct Row {
        id: Uuid,
        kind: String,
        subject: String,
        body: Json<Value>,
        attempts: i64,
        error: Option<String>,
        raised_at: DateTime<Utc>,
    }
}

impl From<Row> for Alert {
    fn from(row: Row) -> Self {
        let (body, raised_at) = (row.body.0, row.raised_at);
        let Row { id, kind, subject, attempts, error, .. } = row;
        Self { id, kind, subject, body, attempts, error, raised_at }
    }
}

macro_rules! alert_columns {
    () => {
        "id, kind, subject, body, attempts, error, raised_at"
    };
}

/// All alerts; cheap to clone.
#[derive(Clone, Debug)]
pub struct Alerts {
    db: Db,
}

impl Alerts {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Raises an alert. False where that key was raised before. Errors: [`Error::Database`].
    pub async fn raise(&self, new: &NewAlert, now: DateTime<Utc>) -> Result<bool, Error> {
        const RAISE: &str =
            "INSERT INTO alerts (id, unique_key, kind, subject, body, status, attempts, next_at, raised_at)
             VALUES ($1, $2, $3, $4, $5, 'waiting', 0, $6, $6) ON CONFLICT (unique_key) DO NOTHING";
        let raised = on!(self.db, |pool| sqlx::query(RAISE)
            .bind(Uuid::now_v7())
            .bind(new.key.replace('\0', "\u{fffd}"))
            .bind(&new.kind)
            .bind(new.subject.replace('\0', "\u{fffd}"))
            .bind(Json(storable(new.body.clone())))
            .bind(instant(now))
            .run(pool))?;
        Ok(raised == 1)
    }

    /// Takes what is to be told now, oldest first; nobody else gets it for `patience`. Errors: [`Error::Database`].
    pub async fn due(&self, limit: i64, patience: Duration, now: DateTime<Utc>) -> Result<Vec<Alert>, Error> {
        const LOOK: &str = "SELECT id FROM alerts WHERE status = 'waiting' AND next_at <= $1 LIMIT 1";
        const TAKE: &str = concat!(
            "UPDATE alerts SET attempts = attempts + 1, next_at = $3 WHERE status = 'waiting' AND next_at <= $1
               AND id IN (SELECT id FROM alerts WHERE status = 'waiting' AND next_at <= $1 ORDER BY id LIMIT $2)
             RETURNING ",
            alert_columns!()
        );
        let any: Option<Uuid> =
            reading!(self.db, |pool| sqlx::query_scalar(LOOK).bind(instant(now)).fetch_optional(pool))?;
        if any.is_none() {
            return Ok(Vec::new());
        }
        let until = now + TimeDelta::from_std(patience).unwrap_or(TimeDelta::minutes(1));
        let rows: Vec<Row> = on!(self.db, |pool| sqlx::query_as(TAKE)
            .bind(instant(now))
            .bind(limit)
            .bind(instant(until))
            .fetch_all(pool))?;
        Ok(rows.into_iter().map(Alert::from).collect())
    }

    /// It was told. Errors: [`Error::Database`].
    pub async fn sent(&self, id: Uuid, now: DateTime<Utc>) -> Result<(), Error> {
        const SENT: &str = "UPDATE alerts SET status = 'sent', error = NULL, ended_at = $2 WHERE id = $1";
        on!(self.db, |pool| sqlx::query(SENT).bind(id).bind(instant(now)).run(pool))?;
        Ok(())
    }

    /// It could not be told: again at `next`, or never (`None`), and then it is dead. Errors: [`Error::Database`].
    pub async fn failed(
        &self,
        id: Uuid,
        error: &str,
        next: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        const LATER: &str = "UPDATE alerts SET error = $2, next_at = $3 WHERE id = $1 AND status = 'waiting'";
        const DEAD: &str = "UPDATE alerts SET error = $2, status = 'dead', ended_at = $3 WHERE id = $1 AND status = 'waiting'";
        let (sql, at) = next.map_or((DEAD, now), |next| (LATER, next));
        on!(self.db, |pool| sqlx::query(sql)
            .bind(id)
            .bind(error.replace('\0', "\u{fffd}"))
            .bind(instant(at))
            .run(pool))?;
        Ok(())
    }

    /// What could not be told, newest first. Errors: [`Error::Database`].
    pub async fn dead(&self, limit: i64) -> Result<Vec<Alert>, Error> {
        const LIST: &str = concat!(
            "SELECT ",
            alert_columns!(),
            " FROM alerts WHERE status = 'dead' ORDER BY id DESC LIMIT $1"
        );
        let rows: Vec<Row> = reading!(self.db, |pool| sqlx::query_as(LIST).bind(limit).fetch_all(pool))?;
        Ok(rows.into_iter().map(Alert::from).collect())
    }

    /// Forgets what was raised before `horizon`, told or not. Errors: [`Error::Database`].
    pub async fn forget(&self, horizon: DateTime<Utc>) -> Result<u64, Error> {
        const FORGET: &str = "DELETE FROM alerts WHERE raised_at < $1";
        Ok(on!(self.db, |pool| sqlx::query(FORGET).bind(instant(horizon)).run(pool))?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{each, minute};

    const PATIENCE: Duration = Duration::from_secs(60);

    fn alert(key: &str) -> NewAlert {
        let (kind, subject) = ("source-overdue".to_owned(), "c".to_owned());
        NewAlert { key: key.into(), kind, subject, body: json!({"source": "c"}) }
    }

    #[tokio::test]
    async fn an_alert_is_told_once_by_one() {
        for node in each().await {
            let alerts = node.alerts();
            assert!(alerts.raise(&alert("x"), minute(0)).await.unwrap());
            assert!(!alerts.raise(&alert("x"), minute(1)).await.unwrap());
            let due = alerts.due(9, PATIENCE, minute(1)).await.unwrap();
            assert_eq!((due.len(), due[0].attempts, &due[0].body), (1, 1, &json!({"source": "c"})));
            assert!(alerts.due(9, PATIENCE, minute(1)).await.unwrap().is_empty());
            // Whoever took it died: another does it.
            assert_eq!(alerts.due(9, PATIENCE, minute(2)).await.unwrap()[0].attempts, 2);
            alerts.sent(due[0].id, minute(2)).await.unwrap();
            assert!(alerts.due(9, PATIENCE, minute(9)).await.unwrap().is_empty());
            assert_eq!(alerts.forget(minute(3)).await.unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_told_is_dead_at_last_and_stays() {
        for node in each().await {
            let alerts = node.alerts();
            alerts.raise(&alert("x"), minute(0)).await.unwrap();
            let id = alerts.due(9, PATIENCE, minute(0)).await.unwrap()[0].id;
            alerts.failed(id, "500", Some(minute(5)), minute(0)).await.unwrap();
            assert!(alerts.due(9, PATIENCE, minute(4)).await.unwrap().is_empty());
            assert_eq!(alerts.due(9, PATIENCE, minute(5)).await.unwrap().len(), 1);
            alerts.failed(id, "still 500", None, minute(5)).await.unwrap();
            assert!(alerts.due(9, PATIENCE, minute(99)).await.unwrap().is_empty());
            let dead = alerts.dead(9).await.unwrap();
            assert_eq!((dead.len(), dead[0].error.as_deref()), (1, Some("still 500")));
        }
    }
}

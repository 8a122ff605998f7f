//! The history of a table: every version readers have been served, and when.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use database::{instant, reading};
use identity::{TableId, WorkspaceId};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::platform::{Changes, Moment, Platform, Stamp};
use crate::{Catalog, Error, Table};

database::row! {
    /// One version readers have been served.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct VersionRow {
        pub version: i64,
        pub published_at: DateTime<Utc>,
        pub rows: i64,
        pub bytes: i64,
        pub rejects: i64,
        /// What made it: `append`, `overwrite`, `compact`, …
        pub operation: String,
    }
}

/// The rows one version's write set aside.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejects {
    pub version: i64,
    pub at: DateTime<Utc>,
    /// How many there were.
    pub count: i64,
    /// The first of them.
    pub rows: Value,
}

macro_rules! version_columns {
    () => {
        "version, published_at, row_count AS rows, byte_count AS bytes, reject_count AS rejects, operation"
    };
}

/// A table and its version at an instant, in the order of [`version_columns`].
type Then = (Uuid, i64, DateTime<Utc>, i64, i64, i64, String);

fn as_it_was((table, version, published_at, rows, bytes, rejects, operation): Then) -> (TableId, VersionRow) {
    (TableId::from_uuid(table), VersionRow { version, published_at, rows, bytes, rejects, operation })
}

impl Catalog {
    /// Checks that `at` is not longer ago than versions are kept. Errors: [`Error::AsOfExpired`].
    pub(crate) fn within_horizon(&self, at: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), Error> {
        let horizon = now - self.config.retention;
        if at < horizon { Err(Error::AsOfExpired { horizon }) } else { Ok(()) }
    }

    /// The version readers were served at `at`; `None` before the first. Errors: [`Error::AsOfExpired`], [`Error::Database`].
    pub async fn version_at(
        &self,
        table: TableId,
        at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>, Error> {
        self.within_horizon(at, now)?;
        Ok(self.version_row_at(table, at).await?.map(|row| row.version))
    }

    pub(crate) async fn version_row_at(
        &self,
        table: TableId,
        at: DateTime<Utc>,
    ) -> Result<Option<VersionRow>, Error> {
        const AT: &str = concat!(
            "SELECT ",
            version_columns!(),
            " FROM table_versions WHERE table_id = $1 AND published_at <= $2
             ORDER BY published_at DESC, version DESC LIMIT 1"
        );
        Ok(reading!(self.db, |pool| sqlx::query_as(AT)
            .bind(table.as_uuid())
            .bind(instant(at))
            .fetch_optional(pool))?)
    }

    /// The platform's tables as they were served at `at`; a region's stamp is its table's version then.
    /// Errors: [`Error::AsOfExpired`], [`Error::Database`].
    pub async fn moment_at(&self, at: DateTime<Utc>, now: DateTime<Utc>) -> Result<Moment, Error> {
        const ALL_AT: &str = concat!(
            "SELECT v.table_id, ",
            version_columns!(),
            " FROM table_versions v
             WHERE v.table_id IN (SELECT t.id FROM tables t WHERE t.workspace_id IS NULL)
               AND v.version = (SELECT w.version FROM table_versions w
                                WHERE w.table_id = v.table_id AND w.published_at <= $1
                                ORDER BY w.published_at DESC, w.version DESC LIMIT 1)"
        );
        self.within_horizon(at, now)?;
        let rows: Vec<Then> =
            reading!(self.db, |pool| sqlx::query_as(ALL_AT).bind(instant(at)).fetch_all(pool))?;
        let then = rows.into_iter().map(as_it_was).collect();
        Ok(as_they_were(&self.moment(), &then))
    }

    /// The history of a table, newest first, from the version before `before` on. Errors: [`Error::Database`].
    pub async fn versions(
        &self,
        table: TableId,
        limit: i64,
        before: Option<i64>,
    ) -> Result<Vec<VersionRow>, Error> {
        const HISTORY: &str = concat!(
            "SELECT ",
            version_columns!(),
            " FROM table_versions WHERE table_id = $1 AND version < $2
             ORDER BY version DESC LIMIT $3"
        );
        let before = before.unwrap_or(i64::MAX);
        Ok(reading!(self.db, |pool| sqlx::query_as(HISTORY)
            .bind(table.as_uuid())
            .bind(before)
            .bind(limit)
            .fetch_all(pool))?)
    }

    /// The versions that `as_of` still reaches, the visible one among them: whatever vacuums a table keeps their files.
    /// Errors: [`Error::Database`].
    pub async fn live_versions(&self, table: TableId, now: DateTime<Utc>) -> Result<Vec<i64>, Error> {
        const LIVE: &str = "SELECT version FROM table_versions WHERE table_id = $1
             AND (published_at > $2
                  OR version = (SELECT w.version FROM table_versions w WHERE w.table_id = $1 AND w.published_at <= $2
                                ORDER BY w.published_at DESC, w.version DESC LIMIT 1))
             ORDER BY version";
        let horizon = instant(now - self.config.retention);
        Ok(reading!(self.db, |pool| sqlx::query_scalar(LIVE)
            .bind(table.as_uuid())
            .bind(horizon)
            .fetch_all(pool))?)
    }

    /// What the last writes set aside, newest first. Errors: [`Error::Database`].
    pub async fn rejects(
        &self,
        workspace: WorkspaceId,
        table: TableId,
        limit: i64,
    ) -> Result<Vec<Rejects>, Error> {
        const REJECTS: &str = "SELECT v.version, v.published_at, v.reject_count, v.rejected FROM table_versions v
             WHERE v.table_id = $2 AND v.reject_count > 0
               AND EXISTS (SELECT 1 FROM tables t WHERE t.id = $2 AND t.workspace_id = $1 AND t.deleted_at IS NULL)
             ORDER BY v.version DESC LIMIT $3";
        let rows: Vec<(i64, DateTime<Utc>, i64, Json<Value>)> =
            reading!(self.db, |pool| sqlx::query_as(REJECTS)
                .bind(workspace.as_uuid())
                .bind(table.as_uuid())
                .bind(limit)
                .fetch_all(pool))?;
        let rejects = |(version, at, count, Json(rows))| Rejects { version, at, count, rows };
        Ok(rows.into_iter().map(rejects).collect())
    }
}

fn as_they_were(now: &Moment, then: &HashMap<TableId, VersionRow>) -> Moment {
    let tables = now.platform_tables().into_iter().map(|table| {
        let row = then.get(&table.id);
        let stamp = row.map(|row| Stamp { version: row.version, updated_at: row.published_at });
        (Arc::new(at_version(&table, row)), stamp)
    });
    let changes = Changes { ticks: 0, tables: tables.collect(), stamps: Vec::new() };
    Moment::new(Arc::new(Platform::default().after(changes)))
}

fn at_version(table: &Table, row: Option<&VersionRow>) -> Table {
    let table = table.clone();
    match row {
        Some(row) => {
            let (version, updated_at) = (Some(row.version), row.published_at);
            Table { version, updated_at, rows: row.rows, bytes: row.bytes, rejects: row.rejects, ..table }
        }
        None => Table { version: None, updated_at: table.created_at, rows: 0, bytes: 0, rejects: 0, ..table },
    }
}

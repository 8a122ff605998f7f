//! Migrations: embedded in the binary, equal numbers for both databases, run at every start.

use std::sync::LazyLock;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{ConnectOptions, Connection, PgPool, SqlSafeStr as _, SqlitePool};

use crate::{Db, Error};

/// `(version, description, text)` of each file in a folder, in order.
type Files = &'static [(i64, &'static str, &'static str)];

pub(crate) static SQLITE: LazyLock<Migrator> =
    LazyLock::new(|| migrator(include!(concat!(env!("OUT_DIR"), "/sqlite.rs"))));
pub(crate) static POSTGRES: LazyLock<Migrator> =
    LazyLock::new(|| migrator(include!(concat!(env!("OUT_DIR"), "/postgres.rs"))));

fn migrator(files: Files) -> Migrator {
    let migration = |&(version, description, sql): &(i64, &'static str, &'static str)| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(files.iter().map(migration).collect())
}

/// Why the database is not at the version this binary needs.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Database(#[from] Error),
    /// A migration failed, was changed after it ran, or comes from a newer binary.
    #[error("the database cannot be brought to this version: {0}")]
    Refused(#[source] sqlx::migrate::MigrateError),
}

impl From<sqlx::migrate::MigrateError> for MigrateError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(source) => Self::Database(source.into()),
            other => Self::Refused(other),
        }
    }
}

impl Db {
    /// Brings the database to this binary's version: all missing migrations, in order. Several starters at once are
    /// safe: one does the work, the others wait for it and find nothing to do.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        match self {
            Db::Sqlite { write, .. } => migrate_sqlite(write).await,
            Db::Postgres(pool) => migrate_postgres(pool).await,
        }
    }
}

/// All in one transaction that holds the file's write lock, as SQLite has no lock of another kind.
async fn migrate_sqlite(write: &SqlitePool) -> Result<(), MigrateError> {
    let mut tx = write.begin_with("BEGIN IMMEDIATE").await.map_err(Error::from)?;
    SQLITE.run_direct(None, &mut *tx, false).await?;
    tx.commit().await.map_err(Error::from)?;
    Ok(())
}

/// On a connection without the pool's timeouts, as the migrator waits for its advisory lock.
async fn migrate_postgres(pool: &PgPool) -> Result<(), MigrateError> {
    let options =
        pool.connect_options().as_ref().clone().options([("lock_timeout", "0"), ("statement_timeout", "0")]);
    let mut connection = options.connect().await.map_err(Error::from)?;
    let done = POSTGRES.run_direct(None, &mut connection, false).await;
    connection.close().await.map_err(Error::from)?;
    Ok(done?)
}

#[cfg(test)]
mod tests {
    use crate::testing;

    #[tokio::test]
    async fn starting_again_changes_nothing() {
        for db in testing::each().await {
            db.migrate().await.unwrap();
            db.migrate().await.unwrap();
        }
    }

    #[tokio::test]
    async fn several_starters_at_once_are_safe() {
        for scratch in testing::each_empty().await {
            let starters = (0..4).map(|_| scratch.connect_again());
            let mut running = Vec::new();
            for starter in starters {
                let db = starter.await;
                running.push(tokio::spawn(async move { db.migrate().await }));
            }
            for starter in running {
                starter.await.unwrap().unwrap();
            }
        }
    }
}

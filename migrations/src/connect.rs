//! From a URL to pools: `sqlite:///var/lib/lakefront/catalog.db`, `sqlite::memory:`, `postgres://…`.

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _};

use crate::{Db, Error};

/// Where the catalog is kept.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `sqlite:…` or `postgres:…`; may hold a password, so it is never shown.
    pub url: String,
    /// Connections of the PostgreSQL pool, or readers of the SQLite file.
    pub max_connections: u32,
    /// How long a statement waits for a lock or a connection before it fails as busy.
    pub busy_timeout_ms: u64,
    /// Survive power loss as well as `kill -9` (SQLite; PostgreSQL has its own settings).
    pub fsync: bool,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: "sqlite://lakefront.db".to_owned(),
            max_connections: 8,
            busy_timeout_ms: 3_000,
            fsync: false,
        }
    }
}

impl DatabaseConfig {
    /// This URL with all else by default.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    fn busy_timeout(&self) -> Duration {
        Duration::from_millis(self.busy_timeout_ms)
    }
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.split(':').next().unwrap_or_default();
        f.debug_struct("DatabaseConfig")
            .field("url", &format_args!("{scheme}:…"))
            .field("max_connections", &self.max_connections)
            .field("busy_timeout_ms", &self.busy_timeout_ms)
            .field("fsync", &self.fsync)
            .finish()
    }
}

impl Db {
    /// Opens the database, making the SQLite file (readable by its owner alone) where it is absent.
    /// Errors: [`Error::Unavailable`] where nothing answers, [`Error::Sqlx`] for a URL that cannot be read.
    pub async fn connect(config: &DatabaseConfig) -> Result<Db, Error> {
        match config.url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => sqlite(config).await,
            Some("postgres" | "postgresql") => postgres(config).await,
            _ => Err(unreadable("a database URL begins with `sqlite:` or `postgres:`")),
        }
    }
}

fn unreadable(reason: &str) -> Error {
    Error::Sqlx(sqlx::Error::Configuration(reason.into()))
}

async fn sqlite(config: &DatabaseConfig) -> Result<Db, Error> {
    let options = SqliteConnectOptions::from_str(&config.url)
        .map_err(|_| unreadable("the SQLite URL cannot be read"))?
        .busy_timeout(config.busy_timeout())
        .foreign_keys(true)
        .disable_statement_logging();
    if config.url.contains(":memory:") || config.url.contains("mode=memory") {
        return in_memory(options, config.busy_timeout()).await;
    }
    make_private_file(options.get_filename()).map_err(|e| Error::Unavailable(sqlx::Error::Io(e)))?;
    let safety = if config.fsync { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
    let writing = options
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(safety)
        .pragma("journal_size_limit", "67108864");
    let write = sqlite_pool()
        .max_connections(1)
        .acquire_timeout(config.busy_timeout())
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(writing)
        .await?;
    let read = SqlitePoolOptions::new()
        .max_connections(config.max_connections.max(1))
        .acquire_timeout(config.busy_timeout())
        .max_lifetime(None)
        .connect_with(options.pragma("query_only", "ON"))
        .await?;
    Ok(Db::Sqlite { write, read })
}

/// A pool that parts with a connection whose transaction did not end. When the disk is full SQLite rolls back by itself, the
/// driver's own rollback fails then, and the connection would refuse to begin another transaction ever after.
pub fn sqlite_pool() -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}

/// A database that lives in one connection, so readers and the writer share it.
async fn in_memory(options: SqliteConnectOptions, patience: Duration) -> Result<Db, Error> {
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(patience)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await?;
    Ok(Db::Sqlite { write: pool.clone(), read: pool })
}

fn make_private_file(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}

async fn postgres(config: &DatabaseConfig) -> Result<Db, Error> {
    // A pool only tells that it waited in vain; a connection of one's own tells why.
    let first = tokio::time::timeout(config.busy_timeout(), postgres_options(&config.url)?.connect()).await;
    let late = |_| Error::Unavailable(sqlx::Error::Io(io::ErrorKind::TimedOut.into()));
    first.map_err(late)??.close().await?;
    let lock_timeout = config.busy_timeout_ms.to_string();
    let options = postgres_options(&config.url)?
        .options([("lock_timeout", lock_timeout.as_str()), ("statement_timeout", "10000")]);
    let pool = PgPoolOptions::new()
        .max_connections(config.max_connections.max(1))
        .acquire_timeout(config.busy_timeout())
        .connect_with(options)
        .await?;
    Ok(Db::Postgres(pool))
}

pub(crate) fn postgres_options(url: &str) -> Result<PgConnectOptions, Error> {
    // The parser's own error may repeat the URL with its password: it is not passed on.
    let options =
        PgConnectOptions::from_str(url).map_err(|_| unreadable("the PostgreSQL URL cannot be read"))?;
    Ok(options.application_name("lakefront").disable_statement_logging())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading;

    #[test]
    fn debug_hides_the_password() {
        let shown = format!("{:?}", DatabaseConfig::at("postgres://me:hunter2@db/lake"));
        assert!(shown.contains("postgres:") && !shown.contains("hunter2"), "{shown}");
    }

    #[tokio::test]
    async fn a_url_that_cannot_be_read_is_refused_without_repeating_it() {
        for bad in ["mysql://x:hunter2@y", "", "postgres://u:hunter2@host:notaport/x"] {
            let error = Db::connect(&DatabaseConfig::at(bad)).await.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_database_in_memory_works_like_one_on_disk() {
        let db = Db::connect(&DatabaseConfig::at("sqlite::memory:")).await.unwrap();
        db.migrate().await.unwrap();
        db.ping().await.unwrap();
        let customers: i64 = reading!(db, |pool| sqlx::query_scalar("SELECT count(*) FROM customers")
            .fetch_one(pool))
        .unwrap();
        assert_eq!(customers, 0);
    }

    #[tokio::test]
    async fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = crate::testing::Scratch::sqlite().await;
        let path = scratch.config().url.trim_start_matches("sqlite://").to_owned();
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn nobody_listening_is_unavailable() {
        let mut config = DatabaseConfig::at("postgres://127.0.0.1:1/none");
        config.busy_timeout_ms = 300;
        let error = Db::connect(&config).await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        let Error::Unavailable(cause) = error else { panic!("{error:?}") };
        assert!(cause.to_string().contains("refused"), "{cause}");
    }
}

//! Databases for tests: made for one test, gone with it. Every test of a statement runs on [`each`] of them.
//!
//! SQLite is always there; PostgreSQL at the server that `LAKEFRONT_TEST_POSTGRES` names (then it must answer), or at
//! `postgres://postgres@127.0.0.1:5432`; else those tests are skipped with a message, or fail where
//! `LAKEFRONT_TEST_REQUIRE` is set.

#![expect(clippy::expect_used, reason = "a test without its database has nothing better to do than to stop")]

use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use uuid::Uuid;

use crate::connect::postgres_options;
use crate::{DatabaseConfig, Db};

const LOCAL_POSTGRES: &str = "postgres://postgres@127.0.0.1:5432";

/// Removes what tests that were killed left behind an hour ago and before: a schema's name begins with its time.
const SWEEP: &str = "DO $$ DECLARE old text; BEGIN
    FOR old IN SELECT nspname FROM pg_namespace WHERE nspname ~ '^test_[0-9a-f]{32}$' AND nspname < 'test_' ||
        lpad(to_hex((extract(epoch FROM now() - interval '1 hour') * 1000)::bigint), 12, '0')
    LOOP EXECUTE 'DROP SCHEMA IF EXISTS ' || quote_ident(old) || ' CASCADE'; END LOOP; END $$;";

/// A database of one test; it is removed when this is dropped.
pub struct Scratch {
    db: Db,
    config: DatabaseConfig,
    place: Place,
}

enum Place {
    Folder(PathBuf),
    Schema { url: String, name: String },
}

/// A fresh database of each kind that is at hand, migrated.
pub async fn each() -> Vec<Scratch> {
    let all = each_empty().await;
    for scratch in &all {
        scratch.migrate().await.expect("migrations run on an empty database");
    }
    all
}

/// A fresh database of each kind that is at hand, without any table.
pub async fn each_empty() -> Vec<Scratch> {
    let mut all = vec![Scratch::sqlite().await];
    all.extend(Scratch::postgres().await);
    all
}

impl Scratch {
    /// An empty SQLite file in a folder of its own.
    pub async fn sqlite() -> Scratch {
        let folder = std::env::temp_dir().join(format!("lakefront-test-{}", Uuid::now_v7()));
        let config = DatabaseConfig::at(format!("sqlite://{}/catalog.db", folder.display()));
        Self::open(config, Place::Folder(folder)).await
    }

    /// An empty schema in the PostgreSQL at hand, if there is one.
    pub async fn postgres() -> Option<Scratch> {
        let named = std::env::var("LAKEFRONT_TEST_POSTGRES").ok();
        let server = named.as_deref().unwrap_or(LOCAL_POSTGRES).trim_end_matches('/');
        let url = format!("{server}/postgres");
        let name = format!("test_{}", Uuid::now_v7().simple());
        if let Err(error) = run(&url, format!("{SWEEP} CREATE SCHEMA {name}")).await {
            let required = named.is_some() || std::env::var_os("LAKEFRONT_TEST_REQUIRE").is_some();
            assert!(!required, "no PostgreSQL answers at {server}: {error}");
            skip_postgres(server);
            return None;
        }
        let joint = if url.contains('?') { '&' } else { '?' };
        let config = DatabaseConfig::at(format!("{url}{joint}options=-csearch_path%3D{name}"));
        Some(Self::open(config, Place::Schema { url, name }).await)
    }

    async fn open(mut config: DatabaseConfig, place: Place) -> Scratch {
        config.max_connections = 3;
        let db = Db::connect(&config).await.expect("a scratch database opens");
        Scratch { db, config, place }
    }

    /// The same database over pools of its own, as another process would open it.
    pub async fn connect_again(&self) -> Db {
        Db::connect(&self.config).await.expect("a scratch database opens again")
    }

    /// How it was opened.
    pub fn config(&self) -> &DatabaseConfig {
        &self.config
    }
}

impl Deref for Scratch {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        match &self.place {
            Place::Folder(folder) => drop(std::fs::remove_dir_all(folder)),
            Place::Schema { url, name } => {
                let (url, drop_all) = (url.clone(), format!("DROP SCHEMA IF EXISTS {name} CASCADE"));
                // A thread with a runtime of its own, as a drop cannot wait in the test's.
                let cleaner = std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                    runtime.block_on(run(&url, drop_all)).map_err(std::io::Error::other)
                });
                drop(cleaner.join());
            }
        }
    }
}

#[expect(clippy::print_stderr, reason = "this is what the test's reader sees")]
fn skip_postgres(server: &str) {
    eprintln!("skipped on PostgreSQL: none answers at {server}");
}

async fn run(url: &str, statement: String) -> Result<(), sqlx::Error> {
    let options = postgres_options(url).map_err(|_| sqlx::Error::Configuration("unreadable URL".into()))?;
    let options = options.options([("lock_timeout", "5000")]);
    let connecting = tokio::time::timeout(Duration::from_secs(2), options.connect());
    let mut connection: PgConnection = connecting.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

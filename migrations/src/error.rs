//! What can go wrong with the database, named for what the caller can do.

use sqlx::error::{DatabaseError, ErrorKind};

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Others hold the lock or all connections; the same call may work in a moment.
    #[error("the database is busy")]
    Busy,
    /// A named rule of the schema refused it: `table_column_column` for unique keys, the constraint's own name for
    /// checks, `table_column_not_null`, or `foreign_key`; equal on both databases.
    #[error("`{name}` does not hold")]
    Constraint { name: String },
    /// A row was asked for that is not there.
    #[error("there is no such row")]
    NotFound,
    /// The database cannot be reached, or is not taking writes now.
    #[error("the database cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// The disk under the database is full.
    #[error("the database has no space left")]
    Full(#[source] sqlx::Error),
    /// A mistake of ours: a statement or a type that does not fit.
    #[error("the database refused a statement")]
    Sqlx(#[source] sqlx::Error),
}

impl Error {
    /// Turns a broken constraint into the error it stands for; any other error passes through.
    ///
    /// `.map_err(|e| e.on_constraint("datasets_workspace_id_name", Error::NameTaken))`
    pub fn on_constraint<E: From<Error>>(self, name: &str, replacement: E) -> E {
        match &self {
            Error::Constraint { name: broken } if broken == name => replacement,
            _ => self.into(),
        }
    }

    /// Could the same call work a little later, with nothing changed?
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Busy | Error::Unavailable(_) | Error::Full(_))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => Error::NotFound,
            sqlx::Error::PoolTimedOut => Error::Busy,
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Error::Unavailable(error),
            sqlx::Error::Database(inner) => match Refusal::of(inner.as_ref()) {
                Refusal::Busy => Error::Busy,
                Refusal::Unavailable => Error::Unavailable(error),
                Refusal::Full => Error::Full(error),
                Refusal::Constraint(name) => Error::Constraint { name },
                Refusal::Other => Error::Sqlx(error),
            },
            _ => Error::Sqlx(error),
        }
    }
}

/// What a database's own error says, in words that both share.
enum Refusal {
    Busy,
    Unavailable,
    Full,
    Constraint(String),
    Other,
}

impl Refusal {
    fn of(error: &dyn DatabaseError) -> Self {
        if let Some(name) = broken_constraint(error) {
            return Refusal::Constraint(name);
        }
        let code = error.code().unwrap_or_default();
        match code.parse::<u32>() {
            // SQLite's codes are numbers, their low byte is the family; PostgreSQL's have five places.
            Ok(number) if code.len() < 5 => Self::of_sqlite(number & 0xff),
            _ => Self::of_postgres(&code),
        }
    }

    /// <https://www.sqlite.org/rescode.html>
    fn of_sqlite(family: u32) -> Self {
        match family {
            5 | 6 => Refusal::Busy,              // BUSY, LOCKED
            8 | 10 | 14 => Refusal::Unavailable, // READONLY, IOERR, CANTOPEN
            13 => Refusal::Full,
            _ => Refusal::Other,
        }
    }

    /// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
    fn of_postgres(code: &str) -> Self {
        match code {
            // serialization failure, deadlock, lock timeout, statement timeout
            "40001" | "40P01" | "55P03" | "57014" => Refusal::Busy,
            "53100" => Refusal::Full,
            "25006" => Refusal::Unavailable, // a read-only server
            _ if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => Refusal::Unavailable,
            _ => Refusal::Other,
        }
    }
}

fn broken_constraint(error: &dyn DatabaseError) -> Option<String> {
    match error.kind() {
        ErrorKind::ForeignKeyViolation => return Some("foreign_key".to_owned()), // SQLite does not name them
        ErrorKind::UniqueViolation | ErrorKind::CheckViolation | ErrorKind::NotNullViolation => {}
        _ => return None,
    }
    if let Some(name) = error.constraint() {
        return Some(name.to_owned());
    }
    if let Some(postgres) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        let place = (postgres.table().unwrap_or_default(), postgres.column().unwrap_or_default());
        return Some(format!("{}_{}_not_null", place.0, place.1));
    }
    Some(name_in_sqlite_message(error.message()))
}

/// `UNIQUE constraint failed: keys.workspace_id, keys.label` is `keys_workspace_id_label`.
fn name_in_sqlite_message(message: &str) -> String {
    let (what, place) = message.split_once(" constraint failed: ").unwrap_or(("", message));
    if let Some(index) = place.strip_prefix("index '") {
        return index.trim_end_matches('\'').to_owned();
    }
    let mut columns = place.split(", ").map(|column| column.split_once('.').unwrap_or(("", column)));
    let Some((table, first)) = columns.next() else { return place.to_owned() };
    let mut name = [table, first].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_");
    for (_, column) in columns {
        name.push('_');
        name.push_str(column);
    }
    if what == "NOT NULL" {
        name.push_str("_not_null");
    }
    name
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::name_in_sqlite_message as name;
    use super::*;
    use crate::{DatabaseConfig, Db, Run, on, reading, testing, within};

    #[test]
    fn sqlite_names_a_constraint_by_its_columns() {
        assert_eq!(name("UNIQUE constraint failed: keys.id"), "keys_id");
        assert_eq!(name("UNIQUE constraint failed: d.workspace_id, d.name"), "d_workspace_id_name");
        assert_eq!(name("UNIQUE constraint failed: index 'jobs_open_key'"), "jobs_open_key");
        assert_eq!(name("NOT NULL constraint failed: keys.label"), "keys_label_not_null");
        assert_eq!(name("CHECK constraint failed: keys_scopes_known"), "keys_scopes_known");
    }

    #[test]
    fn a_named_constraint_becomes_the_named_error() {
        let taken = || Error::Constraint { name: "a_b".to_owned() };
        assert!(matches!(taken().on_constraint("a_b", Error::NotFound), Error::NotFound));
        assert!(matches!(taken().on_constraint("a_c", Error::NotFound), Error::Constraint { .. }));
    }

    const CREATE: &str = "CREATE TABLE pots (
        name TEXT NOT NULL, lid TEXT NOT NULL, size BIGINT NOT NULL, parent TEXT REFERENCES pots (name),
        CONSTRAINT pots_name PRIMARY KEY (name), CONSTRAINT pots_lid_size UNIQUE (lid, size),
        CONSTRAINT pots_size_small CHECK (size < 100))";
    const ADD: &str = "INSERT INTO pots (name, lid, size, parent) VALUES ($1, $2, $3, $4)";

    async fn add(
        db: &Db,
        name: &str,
        lid: Option<&str>,
        size: i64,
        parent: Option<&str>,
    ) -> Result<u64, Error> {
        on!(db, |pool| sqlx::query(ADD)
            .bind(name.to_owned())
            .bind(lid.map(str::to_owned))
            .bind(size)
            .bind(parent.map(str::to_owned))
            .run(pool))
    }

    #[tokio::test]
    async fn a_broken_rule_has_the_same_name_on_both() {
        for db in testing::each_empty().await {
            on!(db, |pool| sqlx::query(CREATE).run(pool)).unwrap();
            assert_eq!(add(&db, "a", Some("x"), 1, None).await.unwrap(), 1);
            for (added, rule) in [
                (add(&db, "a", Some("y"), 2, None).await, "pots_name"),
                (add(&db, "b", Some("x"), 1, None).await, "pots_lid_size"),
                (add(&db, "b", Some("y"), 100, None).await, "pots_size_small"),
                (add(&db, "b", None, 2, None).await, "pots_lid_not_null"),
                (add(&db, "b", Some("y"), 2, Some("z")).await, "foreign_key"),
            ] {
                assert!(
                    matches!(&added, Err(Error::Constraint { name }) if name == rule),
                    "{rule}: {added:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn one_who_waits_too_long_for_a_lock_is_told_that_it_is_busy() {
        const TOUCH: &str = "UPDATE pots SET size = size + 1";
        for scratch in testing::each_empty().await {
            on!(scratch, |pool| sqlx::query(CREATE).run(pool)).unwrap();
            add(&scratch, "a", Some("x"), 1, None).await.unwrap();
            let config = DatabaseConfig { busy_timeout_ms: 900, ..scratch.config().clone() };
            let other = Db::connect(&config).await.unwrap();
            let mut tx = scratch.begin().await.unwrap();
            within!(tx, |conn| sqlx::query(TOUCH).run(conn)).unwrap();
            let start = Instant::now();
            let refused = on!(other, |pool| sqlx::query(TOUCH).run(pool));
            assert!(matches!(refused, Err(Error::Busy)), "{refused:?}");
            assert!(start.elapsed() < Duration::from_secs(3));
            let size: i64 =
                reading!(other, |pool| sqlx::query_scalar("SELECT size FROM pots").fetch_one(pool)).unwrap();
            assert_eq!(size, 1, "readers do not wait, and see what was committed");
            tx.commit().await.unwrap();
            assert_eq!(on!(other, |pool| sqlx::query(TOUCH).run(pool)).unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn a_transaction_that_is_dropped_leaves_nothing() {
        for db in testing::each_empty().await {
            on!(db, |pool| sqlx::query(CREATE).run(pool)).unwrap();
            let mut tx = db.begin().await.unwrap();
            within!(tx, |conn| sqlx::query("INSERT INTO pots (name, lid, size) VALUES ('a', 'x', 1)")
                .run(conn))
            .unwrap();
            drop(tx);
            let pots: i64 =
                on!(db, |pool| sqlx::query_scalar("SELECT count(*) FROM pots").fetch_one(pool)).unwrap();
            assert_eq!(pots, 0);
        }
    }
}

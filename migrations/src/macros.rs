//! One SQL text, expanded once for each database.

/// Runs a statement that may write: `on!(db, |pool| sqlx::query(SQL).bind(x).execute(pool))?`.
/// Gives `Result<_, database::Error>`; awaits inside.
#[macro_export]
macro_rules! on {
    ($db:expr, |$pool:ident| $run:expr) => {
        match $crate::Db::of(&$db) {
            $crate::Db::Sqlite { write: $pool, .. } => $run.await.map_err($crate::Error::from),
            $crate::Db::Postgres($pool) => $run.await.map_err($crate::Error::from),
        }
    };
}

/// Runs a statement that only reads; on SQLite it does not wait for the writer.
#[macro_export]
macro_rules! reading {
    ($db:expr, |$pool:ident| $run:expr) => {
        match $crate::Db::of(&$db) {
            $crate::Db::Sqlite { read: $pool, .. } => $run.await.map_err($crate::Error::from),
            $crate::Db::Postgres($pool) => $run.await.map_err($crate::Error::from),
        }
    };
}

/// Runs a statement in a transaction, of a `Tx` or `&mut Tx`: `within!(tx, |conn| sqlx::query(SQL).execute(conn))?`.
#[macro_export]
macro_rules! within {
    ($tx:expr, |$conn:ident| $run:expr) => {
        match $tx.connection() {
            $crate::Connection::Sqlite($conn) => $run.await.map_err($crate::Error::from),
            $crate::Connection::Postgres($conn) => $run.await.map_err($crate::Error::from),
        }
    };
}

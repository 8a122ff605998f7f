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

/// Declares a struct that is read from a row: each field from the column of its name. `field: Type as Stored` goes by
/// `Type: TryFrom<Stored>`, where `Stored` is what the database gives. The same as sqlx's derive, without compiling both
/// drivers a second time for a procedural macro.
#[macro_export]
macro_rules! row {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty $(as $stored:ty)?),* $(,)?
    }) => {
        $(#[$meta])* $vis struct $name { $($(#[$field_meta])* $field_vis $field: $type),* }
        $crate::row!(@read $crate::sqlx::sqlite::SqliteRow, $name { $($field: $type $(as $stored)?),* });
        $crate::row!(@read $crate::sqlx::postgres::PgRow, $name { $($field: $type $(as $stored)?),* });
    };
    (@read $row:ty, $name:ident { $($field:ident: $type:ty $(as $stored:ty)?),* }) => {
        impl<'r> $crate::sqlx::FromRow<'r, $row> for $name {
            fn from_row(row: &'r $row) -> Result<Self, $crate::sqlx::Error> {
                Ok(Self { $($field: $crate::row!(@field row, $field: $type $(as $stored)?)),* })
            }
        }
    };
    (@field $row:ident, $field:ident: $type:ty) => {
        $crate::sqlx::Row::try_get::<$type, _>($row, stringify!($field))?
    };
    (@field $row:ident, $field:ident: $type:ty as $stored:ty) => {
        <$type>::try_from($crate::sqlx::Row::try_get::<$stored, _>($row, stringify!($field))?).map_err(|source| {
            let index = stringify!($field).to_owned();
            $crate::sqlx::Error::ColumnDecode { index, source: source.into() }
        })?
    };
}

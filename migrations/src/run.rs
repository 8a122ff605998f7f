//! Statements without rows: the two databases tell how many rows were affected in types of their own; here it is a number.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Executor, Postgres, Sqlite};

/// `on!(db, |pool| sqlx::query(SQL).bind(x).run(pool))` gives the number of rows affected.
pub trait Run<DB: sqlx::Database> {
    /// Errors: those of the statement.
    fn run<'c, E>(self, executor: E) -> impl Future<Output = Result<u64, sqlx::Error>> + Send
    where
        E: Executor<'c, Database = DB>;
}

impl Run<Sqlite> for Query<'static, Sqlite, SqliteArguments> {
    async fn run<'c, E: Executor<'c, Database = Sqlite>>(self, executor: E) -> Result<u64, sqlx::Error> {
        Ok(self.execute(executor).await?.rows_affected())
    }
}

impl Run<Postgres> for Query<'static, Postgres, PgArguments> {
    async fn run<'c, E: Executor<'c, Database = Postgres>>(self, executor: E) -> Result<u64, sqlx::Error> {
        Ok(self.execute(executor).await?.rows_affected())
    }
}

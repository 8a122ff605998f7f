//! Transactions: all statements on one connection, all or none of them.

use std::fmt;

use sqlx::{PgConnection, Postgres, Sqlite, SqliteConnection, Transaction};

use crate::{Error, Kind};

/// An open transaction; dropped without [`Tx::commit`] it is rolled back.
pub enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// The connection under a transaction, for `within!`.
pub enum Connection<'tx> {
    Sqlite(&'tx mut SqliteConnection),
    Postgres(&'tx mut PgConnection),
}

impl Tx {
    pub fn connection(&mut self) -> Connection<'_> {
        match self {
            Tx::Sqlite(tx) => Connection::Sqlite(tx),
            Tx::Postgres(tx) => Connection::Postgres(tx),
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Tx::Sqlite(_) => Kind::Sqlite,
            Tx::Postgres(_) => Kind::Postgres,
        }
    }

    /// Makes everything done so far hold. An error may also mean "committed, but the answer was lost".
    pub async fn commit(self) -> Result<(), Error> {
        let done = match self {
            Tx::Sqlite(tx) => tx.commit().await,
            Tx::Postgres(tx) => tx.commit().await,
        };
        done.map_err(Error::from)
    }

    pub async fn rollback(self) -> Result<(), Error> {
        let done = match self {
            Tx::Sqlite(tx) => tx.rollback().await,
            Tx::Postgres(tx) => tx.rollback().await,
        };
        done.map_err(Error::from)
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tx({:?})", self.kind())
    }
}

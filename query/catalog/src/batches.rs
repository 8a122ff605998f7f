//! How far each source has come: a batch's row is written before its data, and published with it.

use chrono::{DateTime, Utc};
use database::{Db, Run as _, Tx, instant, on, reading, within};
use serde_json::Value;
use sqlx::types::Json;

use crate::Error;
use crate::publish::BatchMark;
use crate::sql::storable;

/// One batch of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub source: String,
    /// Counts from 1.
    pub n: i64,
    /// Where the source goes on after it.
    pub position: Value,
    /// The raw objects it consists of.
    pub objects: Value,
    pub began_at: DateTime<Utc>,
    pub published_at: Option<DateTime<Utc>>,
}

database::row! {
    pub(crate) struct Row {
        source: String,
        n: i64,
        position: Json<Value>,
        objects: Json<Value>,
        began_at: DateTime<Utc>,
        published_at: Option<DateTime<Utc>>,
    }
}

impl From<Row> for Batch {
    fn from(row: Row) -> Self {
        let (position, objects) = (row.position.0, row.objects.0);
        Self {
            source: row.source,
            n: row.n,
            position,
            objects,
            began_at: row.began_at,
            published_at: row.published_at,
        }
    }
}

macro_rules! batch_columns {
    () => {
        "source, n, position, objects, began_at, published_at"
    };
}

pub(crate) use batch_columns;

/// The batches of all sources; cheap to clone.
#[derive(Clone, Debug)]
pub struct Batches {
    pub(crate) db: Db,
}

impl Batches {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Notes a batch and its raw objects before its data is written; one fetched again replaces what it was.
    /// Errors: [`Error::BatchPublished`], [`Error::Database`].
    pub async fn begin(
        &self,
        source: &str,
        n: i64,
        position: &Value,
        objects: &Value,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        const BEGIN: &str =
            "INSERT INTO batches (source, n, position, objects, began_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (source, n) DO UPDATE
               SET position = excluded.position, objects = excluded.objects, began_at = excluded.began_at
               WHERE batches.published_at IS NULL";
        let begun = on!(self.db, |pool| sqlx::query(BEGIN)
            .bind(source)
            .bind(n)
            .bind(Json(storable(position.clone())))
            .bind(Json(storable(objects.clone())))
            .bind(instant(now))
            .run(pool))?;
        if begun == 1 { Ok(()) } else { Err(Error::BatchPublished { source_name: source.to_owned(), n }) }
    }

    /// Notes that a batch without data is through; its objects stay. Doing it again changes nothing. Errors: [`Error::Database`].
    pub async fn done(&self, source: &str, n: i64, at: DateTime<Utc>) -> Result<(), Error> {
        const DONE: &str =
            "UPDATE batches SET published_at = $3 WHERE source = $1 AND n = $2 AND published_at IS NULL";
        on!(self.db, |pool| sqlx::query(DONE).bind(source).bind(n).bind(instant(at)).run(pool))?;
        Ok(())
    }

    /// Publishes a batch as a commit would that carries its mark: also one that was never begun; its objects stay.
    /// Doing it again changes nothing. Errors: [`Error::Database`].
    pub async fn publish(&self, mark: &BatchMark, at: DateTime<Utc>) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        done(&mut tx, mark, instant(at)).await?;
        Ok(tx.commit().await?)
    }

    /// The number after the last published batch; 1 for a new source. Errors: [`Error::Database`].
    pub async fn next_n(&self, source: &str) -> Result<i64, Error> {
        Ok(self.last(source).await?.map_or(1, |batch| batch.n + 1))
    }

    /// The last published batch. Errors: [`Error::Database`].
    pub async fn last(&self, source: &str) -> Result<Option<Batch>, Error> {
        const LAST: &str = concat!(
            "SELECT ",
            batch_columns!(),
            " FROM batches WHERE source = $1 AND published_at IS NOT NULL ORDER BY n DESC LIMIT 1"
        );
        let row: Option<Row> =
            reading!(self.db, |pool| sqlx::query_as(LAST).bind(source).fetch_optional(pool))?;
        Ok(row.map(Batch::from))
    }

    /// Where the source goes on; `None` for a new one. Errors: [`Error::Database`].
    pub async fn last_position(&self, source: &str) -> Result<Option<Value>, Error> {
        Ok(self.last(source).await?.map(|batch| batch.position))
    }

    /// The batches after `n`, ascending, published or not. Errors: [`Error::Database`].
    pub async fn after(&self, source: &str, n: i64, limit: i64) -> Result<Vec<Batch>, Error> {
        const AFTER: &str = concat!(
            "SELECT ",
            batch_columns!(),
            " FROM batches WHERE source = $1 AND n > $2 ORDER BY n LIMIT $3"
        );
        let rows: Vec<Row> =
            reading!(self.db, |pool| sqlx::query_as(AFTER).bind(source).bind(n).bind(limit).fetch_all(pool))?;
        Ok(rows.into_iter().map(Batch::from).collect())
    }

    /// The batches that have begun and are not published, ascending: to be written again from their raw objects.
    /// Errors: [`Error::Database`].
    pub async fn open(&self, source: &str) -> Result<Vec<Batch>, Error> {
        const OPEN: &str = concat!(
            "SELECT ",
            batch_columns!(),
            " FROM batches WHERE source = $1 AND published_at IS NULL ORDER BY n"
        );
        let rows: Vec<Row> = reading!(self.db, |pool| sqlx::query_as(OPEN).bind(source).fetch_all(pool))?;
        Ok(rows.into_iter().map(Batch::from).collect())
    }
}

/// Publishes a batch inside the transaction that publishes its data, also one that was never begun. Its position is that of the mark.
pub(crate) async fn done(tx: &mut Tx, mark: &BatchMark, at: DateTime<Utc>) -> Result<(), Error> {
    const DONE: &str = "INSERT INTO batches (source, n, position, objects, began_at, published_at) VALUES ($1, $2, $3, $4, $5, $5)
         ON CONFLICT (source, n) DO UPDATE SET position = excluded.position, published_at = excluded.published_at
           WHERE batches.published_at IS NULL";
    within!(tx, |conn| sqlx::query(DONE)
        .bind(&mark.source)
        .bind(mark.n)
        .bind(Json(storable(mark.position.clone())))
        .bind(Json(Value::Array(Vec::new())))
        .bind(at)
        .run(conn))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{each, minute};

    #[tokio::test]
    async fn a_batch_is_replaced_until_it_is_published() {
        for node in each().await {
            let batches = node.batches();
            assert_eq!(
                (batches.next_n("d").await.unwrap(), batches.last_position("d").await.unwrap()),
                (1, None)
            );
            batches.begin("d", 1, &json!(5), &json!(["one"]), minute(0)).await.unwrap();
            batches.begin("d", 1, &json!(6), &json!(["two"]), minute(1)).await.unwrap();
            assert_eq!(batches.next_n("d").await.unwrap(), 1);
            assert_eq!(batches.open("d").await.unwrap()[0].objects, json!(["two"]));
            batches.done("d", 1, minute(2)).await.unwrap();
            batches.done("d", 1, minute(3)).await.unwrap();
            let refused = batches.begin("d", 1, &json!(7), &json!([]), minute(3)).await;
            assert!(matches!(refused, Err(Error::BatchPublished { n: 1, .. })));
            let last = batches.last("d").await.unwrap().unwrap();
            assert_eq!((last.position, last.published_at), (json!(6), Some(minute(2))));
            assert_eq!((batches.next_n("d").await.unwrap(), batches.next_n("c").await.unwrap()), (2, 1));
        }
    }

    #[tokio::test]
    async fn a_mark_publishes_what_has_begun_and_what_has_not() {
        for node in each().await {
            let batches = node.batches();
            batches.begin("d", 1, &json!(5), &json!(["one"]), minute(0)).await.unwrap();
            for n in [1, 1, 2] {
                let mark = BatchMark { source: "d".into(), n, position: json!(n * 10) };
                batches.publish(&mark, minute(n)).await.unwrap();
            }
            let all = batches.after("d", 0, 9).await.unwrap();
            assert_eq!(
                all.iter().map(|batch| batch.position.clone()).collect::<Vec<_>>(),
                [json!(10), json!(20)]
            );
            assert_eq!(all[0].objects, json!(["one"]));
        }
    }

    #[tokio::test]
    async fn batches_are_read_on_from_any_of_them() {
        for node in each().await {
            let batches = node.batches();
            for n in 1..=3 {
                batches.begin("d", n, &json!(n), &json!([]), minute(n)).await.unwrap();
            }
            let after: Vec<_> =
                batches.after("d", 1, 9).await.unwrap().into_iter().map(|batch| batch.n).collect();
            assert_eq!(after, [2, 3]);
            assert!(batches.after("c", 0, 9).await.unwrap().is_empty());
        }
    }
}

//! The days of a platform table: which write made each last, and which batches of sources are about it.
//!
//! ```text
//! publish ─▶ table_days (day ─▶ version, time, inputs)      in the transaction that makes the version visible
//!        └─▶ batches (first_day, last_day, version)         ─▶ about(sources, days): the raw objects behind a day
//! ```
//! A day is a UTC day of the column by which the table is ordered, or the first of a month where it has one row a month.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use database::{Run as _, Tx, reading, within};
use identity::{TableId, TableName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;

use crate::batches::{Batch, Batches, Row as BatchRow, batch_columns};
use crate::sql::{elements, text_for};
use crate::{Catalog, Error, Publish};

/// The days that a write brings rows of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    /// Rows by day.
    pub rows: BTreeMap<NaiveDate, u64>,
    /// The first and the last day that its batch is about, which may have no row.
    pub span: Option<(NaiveDate, NaiveDate)>,
    /// The versions of the tables that the rows were computed from.
    pub inputs: BTreeMap<TableName, i64>,
    /// The first day that is kept; what was noted of days before it goes.
    #[serde(default)]
    pub first: Option<NaiveDate>,
}

/// The last write of one day.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    pub day: NaiveDate,
    pub version: i64,
    pub at: DateTime<Utc>,
    /// Rows that it brought.
    pub rows: i64,
    /// The versions of the tables that it was computed from, by name.
    pub inputs: Value,
}

/// Where the next page of batches goes on: after this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    pub source: String,
    pub n: i64,
}

type Row = (String, i64, DateTime<Utc>, i64, Json<Value>);

fn partition((day, version, at, rows, Json(inputs)): Row) -> Option<Partition> {
    Some(Partition { day: day.parse().ok()?, version, at, rows, inputs })
}

/// A day as it is kept: in an order that is that of its text, whatever year it is of.
fn text(day: NaiveDate) -> String {
    const FIRST: NaiveDate = NaiveDate::from_ymd_opt(1, 1, 1).expect("a day");
    const LAST: NaiveDate = NaiveDate::from_ymd_opt(9999, 12, 31).expect("a day");
    day.clamp(FIRST, LAST).format("%Y-%m-%d").to_string()
}

impl Catalog {
    /// The days of a table with their last writes, newest day first, from before `before` on. Errors: [`Error::Database`].
    pub async fn partitions(
        &self,
        table: TableId,
        limit: i64,
        before: Option<NaiveDate>,
    ) -> Result<Vec<Partition>, Error> {
        const LIST: &str = "SELECT day, version, written_at, row_count, inputs FROM table_days
             WHERE table_id = $1 AND day < $2 ORDER BY day DESC LIMIT $3";
        let before = before.map_or_else(|| "a".to_owned(), text);
        let rows: Vec<Row> = reading!(self.db, |pool| sqlx::query_as(LIST)
            .bind(table.as_uuid())
            .bind(&before)
            .bind(limit)
            .fetch_all(pool))?;
        Ok(rows.into_iter().filter_map(partition).collect())
    }

    /// One day of a table; `None` where no write brought rows of it. Errors: [`Error::Database`].
    pub async fn partition(&self, table: TableId, day: NaiveDate) -> Result<Option<Partition>, Error> {
        const ONE: &str = "SELECT day, version, written_at, row_count, inputs FROM table_days
             WHERE table_id = $1 AND day = $2";
        let row: Option<Row> = reading!(self.db, |pool| sqlx::query_as(ONE)
            .bind(table.as_uuid())
            .bind(text(day))
            .fetch_optional(pool))?;
        Ok(row.and_then(partition))
    }
}

macro_rules! about_text {
    ($database:ident) => {
        concat!(
            "SELECT ",
            batch_columns!(),
            " FROM batches
             WHERE source IN (SELECT value FROM ",
            elements!($database, "$1"),
            ")
               AND published_at IS NOT NULL AND first_day <= $2 AND last_day >= $3
               AND (source > $4 OR (source = $4 AND n < $5))
             ORDER BY source, n DESC LIMIT $6"
        )
    };
}

impl Batches {
    /// The published batches of these sources that are about one of the days `from..=to`: by source, the newest first.
    /// Errors: [`Error::Database`].
    pub async fn about(
        &self,
        sources: &[String],
        (from, to): (NaiveDate, NaiveDate),
        after: Option<&After>,
        limit: i64,
    ) -> Result<Vec<Batch>, Error> {
        let sql = text_for!(self.db.kind(), about_text);
        let (source, n) = after.map_or(("", i64::MAX), |after| (after.source.as_str(), after.n));
        let rows: Vec<BatchRow> = reading!(self.db, |pool| sqlx::query_as(sql)
            .bind(Json(sources))
            .bind(text(to))
            .bind(text(from))
            .bind(source)
            .bind(n)
            .bind(limit)
            .fetch_all(pool))?;
        Ok(rows.into_iter().map(Batch::from).collect())
    }
}

macro_rules! note_text {
    ($database:ident) => {
        concat!(
            "INSERT INTO table_days (table_id, day, version, written_at, row_count, inputs)
             SELECT $1, substr(value, 1, 10), $2, $3, CAST(substr(value, 12) AS BIGINT), $4 FROM ",
            elements!($database, "$5"), " WHERE TRUE
             ON CONFLICT (table_id, day) DO UPDATE
               SET version = excluded.version, written_at = excluded.written_at, row_count = excluded.row_count,
                   inputs = excluded.inputs
               WHERE excluded.version > table_days.version"
        )
    };
}

/// Notes the days of a write inside the transaction that publishes it.
pub(crate) async fn note(tx: &mut Tx, publish: &Publish, at: DateTime<Utc>) -> Result<(), Error> {
    const EMPTY: &str = "DELETE FROM table_days WHERE table_id = $1";
    const BEFORE: &str = "DELETE FROM table_days WHERE table_id = $1 AND day < $2";
    const SPAN: &str =
        "UPDATE batches SET first_day = $3, last_day = $4, version = $5 WHERE source = $1 AND n = $2";
    if publish.operation == "overwrite" {
        within!(tx, |conn| sqlx::query(EMPTY).bind(publish.table.as_uuid()).run(conn))?;
    }
    let Some(days) = &publish.days else { return Ok(()) };
    if let Some(first) = days.first {
        within!(tx, |conn| sqlx::query(BEFORE).bind(publish.table.as_uuid()).bind(text(first)).run(conn))?;
    }
    if let (Some(batch), Some((first, last))) = (&publish.batch, days.span) {
        within!(tx, |conn| sqlx::query(SPAN)
            .bind(&batch.source)
            .bind(batch.n)
            .bind(text(first))
            .bind(text(last))
            .bind(publish.version)
            .run(conn))?;
    }
    let rows: Vec<String> = days.rows.iter().map(|(day, rows)| format!("{} {rows}", text(*day))).collect();
    let inputs: BTreeMap<String, i64> =
        days.inputs.iter().map(|(name, version)| (name.to_string(), *version)).collect();
    let sql = text_for!(tx.kind(), note_text);
    within!(tx, |conn| sqlx::query(sql)
        .bind(publish.table.as_uuid())
        .bind(publish.version)
        .bind(at)
        .bind(Json(&inputs))
        .bind(Json(&rows))
        .run(conn))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{each, intend, minute};
    use crate::{BatchMark, Table};

    fn day(d: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 3, d).unwrap()
    }

    async fn write(node: &Catalog, table: &Table, version: i64, days: &[(u32, u64)]) {
        let intent = intend(node, table, minute(version)).await;
        let rows: BTreeMap<_, _> = days.iter().map(|(d, rows)| (day(*d), *rows)).collect();
        let span = rows.keys().next().copied().zip(rows.keys().last().copied());
        let inputs = BTreeMap::from([(TableName::new("weather", "hourly"), version * 10)]);
        let mark = BatchMark { source: "a".into(), n: version, position: json!(version) };
        node.batches()
            .begin("a", version, &json!(version), &json!([version]), minute(version))
            .await
            .unwrap();
        let publish = Publish {
            days: Some(Days { rows, span, inputs, first: None }),
            batch: Some(mark),
            ..Publish::new(intent, table.id, version, minute(version))
        };
        node.publish(publish).await.unwrap();
    }

    #[tokio::test]
    async fn a_day_knows_its_last_write_and_the_batches_about_it() {
        for node in each().await {
            let daily = node.platform("weather.daily").await;
            write(&node, &daily, 1, &[(1, 5), (2, 5), (3, 5)]).await;
            write(&node, &daily, 2, &[(2, 7)]).await;
            let of = |partition: &Partition| (partition.day, partition.version, partition.rows);
            let all = node.partitions(daily.id, 9, None).await.unwrap();
            assert_eq!(
                all.iter().map(of).collect::<Vec<_>>(),
                [(day(3), 1, 5), (day(2), 2, 7), (day(1), 1, 5)]
            );
            assert_eq!(all[1].inputs, json!({"weather.hourly": 20}));
            let page = node.partitions(daily.id, 1, Some(day(3))).await.unwrap();
            assert_eq!(page.iter().map(of).collect::<Vec<_>>(), [(day(2), 2, 7)]);
            assert_eq!(node.partition(daily.id, day(4)).await.unwrap(), None);
            let (batches, sources) = (node.batches(), ["a".to_owned(), "b".to_owned()]);
            let numbers = async |days, after: Option<&After>, limit| {
                let found = batches.about(&sources, days, after, limit).await.unwrap();
                found.into_iter().map(|batch| batch.n).collect::<Vec<_>>()
            };
            assert_eq!(numbers((day(2), day(2)), None, 9).await, [2, 1]);
            assert_eq!(numbers((day(3), day(9)), None, 9).await, [1]);
            assert!(numbers((day(4), day(9)), None, 9).await.is_empty());
            let after = After { source: "a".into(), n: 2 };
            assert_eq!(numbers((NaiveDate::MIN, NaiveDate::MAX), Some(&after), 9).await, [1]);
        }
    }

    #[tokio::test]
    async fn an_overwritten_table_has_no_days_of_before() {
        for node in each().await {
            let daily = node.platform("weather.daily").await;
            write(&node, &daily, 1, &[(1, 5)]).await;
            let intent = intend(&node, &daily, minute(2)).await;
            let emptied =
                Publish { operation: "overwrite".into(), ..Publish::new(intent, daily.id, 2, minute(2)) };
            node.publish(emptied).await.unwrap();
            assert!(node.partitions(daily.id, 9, None).await.unwrap().is_empty());
        }
    }
}

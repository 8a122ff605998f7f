//! Landing a batch: its row first, then one commit with rows, number and position.
//!
//! ```text
//! next ─▶ raw objects ─▶ batch row ─▶ commit (txn = (source, n)) + position, in one catalog transaction
//!              after-raw     after-row        … the points of `publish`            (failpoints `source.…`)
//! ```
//! A batch whose row is there and whose commit is not was cut short by a kill: it is made again from its row.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use catalog::{Catalog, Days};
use chrono::{DateTime, Utc};
use identity::TableName;
use parking_lot::Mutex;
use serde_json::Value;

use super::{Batch, Source, SourceError, Touched};
use crate::lakefile::{Lakefile, TableSpec};
use crate::publish::{Mode, Publisher, Regions, Rows, SourceBatch, Write};

/// A batch that is in its table.
#[derive(Clone, Debug, PartialEq)]
pub struct Landed {
    pub source: String,
    pub table: TableName,
    pub n: i64,
    pub rows: u64,
    /// What came could not be used, and is told as that.
    pub set_aside: bool,
    pub touched: Touched,
}

/// Lands the batches of sources.
#[derive(Clone)]
pub struct Intake {
    lakefile: Arc<Lakefile>,
    catalog: Catalog,
    publisher: Publisher,
    /// Sources that were looked at since the start: only before that can a batch be cut short.
    resumed: Arc<Mutex<HashSet<String>>>,
}

impl Intake {
    pub fn new(lakefile: Arc<Lakefile>, catalog: Catalog, publisher: Publisher) -> Self {
        Self { lakefile, catalog, publisher, resumed: Arc::default() }
    }

    /// Looks at every source once more for a batch that was cut short: another process may have left one.
    pub fn look_again(&self) {
        self.resumed.lock().clear();
    }

    /// Lands the next batch of a source, or the one that a kill cut short.
    /// - Shape: `None` when the source has nothing new at `now`.
    /// - Errors: [`SourceError`]; the position stays where it was, the same batch comes again.
    /// - The caller sees to it that a source is asked by one task at a time.
    pub async fn land(&self, source: &dyn Source, now: DateTime<Utc>) -> Result<Option<Landed>, SourceError> {
        if let Some(landed) = self.resume(source, now).await? {
            return Ok(Some(landed));
        }
        let last = self.catalog.batches().last(source.name()).await?;
        let (n, after) = last.map_or((1, None), |last| (last.n + 1, Some(last.position)));
        let Some(batch) = source.next(n, after.as_ref(), now).await? else { return Ok(None) };
        lake::failpoint("source.after-raw");
        self.catalog.batches().begin(source.name(), n, &batch.position, &batch.objects, now).await?;
        lake::failpoint("source.after-row");
        let landed = self.commit(source, n, batch, now).await;
        if landed.as_ref().is_err_and(SourceError::is_transient) {
            // Its commit may be there all the same: the next turn makes this very batch again and not another one.
            self.resumed.lock().remove(source.name());
        }
        landed.map(Some)
    }

    /// The batch that has a row and no commit that the catalog knows of.
    pub async fn resume(
        &self,
        source: &dyn Source,
        now: DateTime<Utc>,
    ) -> Result<Option<Landed>, SourceError> {
        if self.resumed.lock().contains(source.name()) {
            return Ok(None);
        }
        let open = self.catalog.batches().open(source.name()).await?.into_iter().next();
        let Some(open) = open else {
            self.resumed.lock().insert(source.name().to_string());
            return Ok(None);
        };
        tracing::info!(source = source.name(), n = open.n, "a batch that was cut short lands again");
        let batch = source.replay(open.position, open.objects).await?;
        self.commit(source, open.n, batch, now).await.map(Some)
    }

    async fn commit(
        &self,
        source: &dyn Source,
        n: i64,
        batch: Batch,
        now: DateTime<Utc>,
    ) -> Result<Landed, SourceError> {
        let name = source.table();
        let unknown = || SourceError::Unknown { name: name.to_string() };
        let rows: u64 = batch.rows.iter().map(|b| b.num_rows() as u64).sum();
        // Only a file has it in its position.
        let set_aside = !batch.position["refused"].is_null();
        // A mapping without a row empties its table.
        if rows == 0 && source.mode().0 != Mode::Overwrite {
            self.catalog.batches().done(source.name(), n, now).await?;
        } else {
            let table = self.catalog.moment().table(name).ok_or_else(unknown)?;
            let spec = self.lakefile.table(name).ok_or_else(unknown)?;
            let days = days(spec, &batch.rows, &batch.touched)?;
            let rows = in_their_columns(spec.schema(), batch.rows);
            let mut write = write(source, n, rows, batch.position, &batch.touched, now);
            write.days = Some(days);
            self.publisher.write(&table, write).await?;
        }
        metrics::counter!("lakefront_source_rows_total", "source" => source.name().to_string())
            .increment(rows);
        let (source, table) = (source.name().to_string(), name.clone());
        Ok(Landed { source, table, n, rows, set_aside, touched: batch.touched })
    }
}

/// The days of rows, and those that their batch is about.
/// - Errors: the column they are ordered by is no date.
pub fn days(spec: &TableSpec, rows: &[RecordBatch], touched: &Touched) -> Result<Days, ArrowError> {
    Ok(Days { rows: spec.rows_by_day(rows)?, span: touched.hull(), ..Days::default() })
}

/// Rows of a source in columns of their own, which a source that widens its table has more of than are declared.
pub fn in_their_columns(declared: SchemaRef, rows: Vec<RecordBatch>) -> Rows {
    Rows::Batches(rows.first().map_or(declared, RecordBatch::schema), rows)
}

fn write(
    source: &dyn Source,
    n: i64,
    rows: Rows,
    position: Value,
    touched: &Touched,
    now: DateTime<Utc>,
) -> Write {
    let (mode, split) = source.mode();
    let mut write = Write::new(rows, mode, now);
    write.split = split;
    write.widen = source.widens();
    write.txn = Some((format!("source:{}", source.name()), n));
    write.regions = Regions::These(touched.regions());
    write.batch = Some(SourceBatch { source: source.name().to_string(), n, position });
    write
}

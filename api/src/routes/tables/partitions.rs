//! `GET /v1/tables/{schema}/{table}/partitions`, `…/partitions/{day}`: which write made each day, and from which raw files.

use axum::extract::State;
use axum::response::Response;
use catalog::After;
use chrono::{DateTime, NaiveDate, Utc};
use identity::TableName;
use ingest::sources::Origin;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::extract::{At, Caller, Query, Read, TableAt};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::{List, ListMeta, json};
use crate::routes::page::{Page, cut};
use crate::state::App;

/// The last write of a day.
#[derive(Serialize, ToSchema)]
pub struct Partition {
    /// UTC day of the column by which the table is ordered; the first of a month in a table by month.
    #[schema(example = "2026-01-31")]
    day: NaiveDate,
    /// The version that the write made.
    #[schema(example = 812)]
    version: i64,
    #[schema(example = "2026-02-01T06:00:00Z")]
    at: DateTime<Utc>,
    /// Rows that it brought of the day.
    #[schema(example = 2)]
    rows: i64,
    /// The versions of the tables that a model computed it from; empty for a source's table.
    #[schema(value_type = Object, example = json!({}))]
    inputs: Value,
}

/// A raw object: bytes as they came.
#[derive(Serialize, ToSchema)]
pub struct RawFile {
    #[schema(example = "raw/c/forecast/day=2026-02-01/00000012-0000.json")]
    path: String,
    #[schema(example = 1507)]
    size: u64,
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    sha256: String,
    /// When it came.
    #[schema(example = "2026-02-01T06:00:00Z")]
    at: DateTime<Utc>,
}

/// A batch of a source that is about the day, or about one that it rests on.
#[derive(Serialize, ToSchema)]
pub struct Batch {
    #[schema(example = "c.backfill")]
    source: String,
    #[schema(example = 1)]
    batch: i64,
    /// When it became visible.
    #[schema(example = "2026-02-01T06:00:00Z")]
    at: DateTime<Utc>,
    #[schema(example = json!([]))]
    files: Vec<RawFile>,
    /// Of a stream: the positions of its events. They lie in files by the hour of their arrival.
    #[schema(required = true, value_type = Option<Object>, example = json!(null))]
    log: Option<Value>,
}

/// One day with what made it.
#[derive(Serialize, ToSchema)]
pub struct PartitionWithOrigins {
    #[schema(example = "2026-01-31")]
    day: NaiveDate,
    #[schema(example = 812)]
    version: i64,
    #[schema(example = "2026-02-01T06:00:00Z")]
    at: DateTime<Utc>,
    #[schema(example = 2)]
    rows: i64,
    #[schema(value_type = Object, example = json!({}))]
    inputs: Value,
    /// A page of the batches, by source, the newest first.
    batches: Vec<Batch>,
}

/// One day; `meta.next` leads to further batches.
#[derive(Serialize, ToSchema)]
pub struct OnePartition {
    data: PartitionWithOrigins,
    meta: ListMeta,
}

/// A cursor of batches: `<number>.<source>`.
fn after(text: &str) -> Option<After> {
    let (n, source) = text.split_once('.')?;
    Some(After { source: source.to_owned(), n: n.parse().ok()? })
}

/// Days of a platform table with the write that made each, newest day first
#[utoipa::path(get, path = "/v1/tables/{schema}/{table}/partitions", tag = "tables",
    params(("schema" = String, Path, description = "Schema", example = "weather"),
        ("table" = String, Path, description = "Name", example = "daily"), Page),
    responses((status = 200, body = List<Partition>)))]
pub async fn list_partitions(
    caller: Caller<Read>,
    State(app): State<App>,
    At(name): TableAt,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let (limit, before) = (page.limit()?, page.cursor(|text| text.parse().ok())?);
    let table = super::platform(&app, &caller.principal, &name).await?;
    let mut found = app.catalog.partitions(table.id, i64::from(limit) + 1, before).await?;
    let next = cut(&mut found, limit, |last| last.day.to_string());
    Ok(List::new(found.into_iter().map(Partition::from).collect(), next).ok())
}

/// One day of a platform table: the write that made it, and the raw files that it rests on
///
/// Through all models between. A batch of a source may be about more days than this one.
#[utoipa::path(get, path = "/v1/tables/{schema}/{table}/partitions/{day}", tag = "tables",
    params(("schema" = String, Path, description = "Schema", example = "weather"),
        ("table" = String, Path, description = "Name", example = "daily"),
        ("day" = String, Path, description = "As the list tells it", example = "2026-01-31"), Page),
    responses((status = 200, body = OnePartition)))]
pub async fn get_partition(
    caller: Caller<Read>,
    State(app): State<App>,
    At((name, day)): At<(TableName, NaiveDate)>,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let (limit, after) = (page.limit()? as usize, page.cursor(after)?);
    let table = super::platform(&app, &caller.principal, &name).await?;
    let partition = app.catalog.partition(table.id, day).await?;
    let missing = || Problem::because(Kind::NotFound, format!("no write brought rows of {day} to {name}"));
    let partition = Partition::from(partition.ok_or_else(missing)?);
    let (origins, next) = app.arrivals.origins(&name, day, after, limit).await?;
    let batches: Vec<Batch> = origins.into_iter().map(Batch::from).collect();
    let meta = ListMeta {
        rows: batches.len() as u64,
        next: next.map(|after| format!("{}.{}", after.n, after.source)),
    };
    let Partition { day, version, at, rows, inputs } = partition;
    let body = OnePartition { data: PartitionWithOrigins { day, version, at, rows, inputs, batches }, meta };
    Ok(json(http::StatusCode::OK, &body))
}

impl From<catalog::Partition> for Partition {
    fn from(partition: catalog::Partition) -> Self {
        let catalog::Partition { day, version, at, rows, inputs } = partition;
        Self { day, version, at, rows, inputs }
    }
}

impl From<Origin> for Batch {
    fn from(origin: Origin) -> Self {
        let Origin { source, batch, at, objects, log } = origin;
        // Where the bytes came from is the operator's.
        let file = |object: ingest::sources::RawObject| RawFile {
            path: object.path,
            size: object.size,
            sha256: object.sha256,
            at: object.at,
        };
        Self { source, batch, at, files: objects.into_iter().map(file).collect(), log }
    }
}

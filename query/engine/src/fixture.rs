//! A small lake in memory with a catalog in a scratch file: what the tests of this crate ask.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use catalog::{Catalog, Config, IntentKind, NewIntent, NewPlatformTable, Publish, Table, Touched};
use chrono::{DateTime, Utc};
use database::testing::Scratch;
use identity::TableName;
use lake::{Commit, Lake, LakeConfig, Location, Remove, WriterOptions};

/// A lake and its catalog.
pub(crate) struct World {
    pub lake: Lake,
    pub catalog: Catalog,
    _database: Scratch,
}

impl World {
    pub async fn new() -> Self {
        let database = Scratch::sqlite().await;
        database.migrate().await.unwrap();
        let catalog = Catalog::open((*database).clone(), Config::default()).await.unwrap();
        Self { lake: Lake::open(LakeConfig::default()).await.unwrap(), catalog, _database: database }
    }

    /// Declares a platform table called `schema.table`.
    pub async fn table(
        &self,
        name: &str,
        sort: &[&str],
        promise_secs: Option<i64>,
        now: DateTime<Utc>,
    ) -> Arc<Table> {
        let name: TableName = name.parse().unwrap();
        let location = format!("aggregated/{}/{}", name.schema, name.table);
        let sort = sort.iter().map(|column| (*column).to_owned()).collect();
        let new = NewPlatformTable { sort, promise_secs, ..NewPlatformTable::new(name, location) };
        self.catalog.register_platform(new, now).await.unwrap()
    }

    /// Replaces (or adds to) the rows of a table and lets readers see it.
    pub async fn write(
        &self,
        table: &Table,
        rows: &RecordBatch,
        remove: Remove,
        touched: Touched,
        at: DateTime<Utc>,
    ) -> i64 {
        let location: Location = table.location.parse().unwrap();
        if self.lake.latest(&location).await.unwrap().is_none() {
            self.lake.create(&location, rows.schema(), &[]).await.unwrap();
        }
        let (kind, workspace) = (IntentKind::Write, table.workspace);
        let new = NewIntent {
            kind,
            table: table.id,
            workspace,
            location: table.location.clone(),
            base_version: table.version,
        };
        let intent = self.catalog.intend(new, at).await.unwrap();
        let options = WriterOptions { sort: table.sort.clone(), ..WriterOptions::default() };
        let mut writer = self.lake.writer(&location, rows.schema(), options).unwrap();
        writer.write(rows).await.unwrap();
        let add = writer.finish().await.unwrap();
        let mut commit = Commit::new(intent, "WRITE");
        (commit.add, commit.remove) = (add, remove);
        let version = self.lake.commit(&location, commit).await.unwrap().version;
        let rows = rows.num_rows() as i64;
        let publish = Publish { rows, touched, ..Publish::new(intent, table.id, version, at) };
        self.catalog.publish(publish).await.unwrap();
        version
    }
}

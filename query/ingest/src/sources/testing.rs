//! A whole small lake in a temporary folder, for the tests of sources and models.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use catalog::Catalog;
use chrono::{DateTime, Utc};
use database::{DatabaseConfig, Db};
use datafusion::prelude::SessionContext;
use lake::{Lake, LakeConfig, Location};
use serde_json::Value;
use tempfile::TempDir;

use super::{Arrivals, ArrivalsConfig, Workers};
use crate::demo::http::{Answers, Service};
use crate::lakefile::{Lakefile, SourceSpec};
use crate::publish::Publisher;

pub struct TestLake {
    pub arrivals: Arrivals,
    pub catalog: Catalog,
    pub lake: Lake,
    pub lakefile: Arc<Lakefile>,
    pub folder: TempDir,
    _service: Service,
}

/// The default lake over other places, with a weather service that gives these answers.
pub async fn lake(regions: &str, answers: Arc<Answers>) -> TestLake {
    made(regions, answers, |_| ()).await
}

/// A lake without a weather service, and with a definition that is changed.
pub async fn changed_lake(regions: &str, change: impl FnOnce(&mut Lakefile)) -> TestLake {
    made(regions, Arc::new(|_: &str| Err("nobody answers".to_string())), change).await
}

/// A lake with a weather service that gives these answers, and with a definition that is changed.
pub async fn made(regions: &str, answers: Arc<Answers>, change: impl FnOnce(&mut Lakefile)) -> TestLake {
    let service = Service::start(answers).await.unwrap();
    let mut lakefile = Lakefile::clone(&Lakefile::builtin().unwrap().with_regions(regions).unwrap());
    for source in lakefile.sources.values_mut() {
        match source {
            SourceSpec::Weather(weather) => {
                weather.forecast_url = Some(format!("{}/v1/forecast", service.url()));
                weather.archive_url = Some(format!("{}/v1/archive", service.url()));
                weather.allow_private = true;
                weather.pause_ms = 0;
            }
            SourceSpec::Files(files) => files.settle_ms = 0,
            SourceSpec::Events(_) => {}
        }
    }
    change(&mut lakefile);
    let folder = tempfile::tempdir().unwrap();
    let (arrivals, catalog, lake, lakefile) = open(Arc::new(lakefile), folder.path()).await;
    TestLake { arrivals, catalog, lake, lakefile, folder, _service: service }
}

/// A lake without a weather service.
pub async fn quiet_lake(regions: &str) -> TestLake {
    lake(regions, Arc::new(|_: &str| Err("nobody answers".to_string()))).await
}

/// Opens the lake of a folder, as a start of the program does.
pub async fn open(lakefile: Arc<Lakefile>, folder: &Path) -> (Arrivals, Catalog, Lake, Arc<Lakefile>) {
    let url = format!("sqlite://{}", folder.join("catalog.db").display());
    let db = Db::connect(&DatabaseConfig { url, ..DatabaseConfig::default() }).await.unwrap();
    db.migrate().await.unwrap();
    let catalog = Catalog::open(db, catalog::Config::default()).await.unwrap();
    let objects = folder.join("lake");
    std::fs::create_dir_all(&objects).unwrap();
    let url = format!("file://{}", objects.display());
    let lake = Lake::open(LakeConfig { url, ..LakeConfig::default() }).await.unwrap();
    lakefile.register(&lake, &catalog, Utc::now()).await.unwrap();
    let publisher = Publisher::new(lake.clone(), catalog.clone());
    let config = ArrivalsConfig {
        lakefile: lakefile.clone(),
        folder: folder.join("sources"),
        heavy: tokio::runtime::Handle::current(),
        workers: Workers::here(),
    };
    let arrivals = Arrivals::open(config, lake.clone(), catalog.clone(), publisher).await.unwrap();
    (arrivals, catalog, lake, lakefile)
}

impl TestLake {
    /// The same lake after the process was killed.
    pub async fn restart(&mut self) {
        let (arrivals, catalog, lake, _) = open(self.lakefile.clone(), self.folder.path()).await;
        (self.arrivals, self.catalog, self.lake) = (arrivals, catalog, lake);
    }

    /// All rows of a platform table, as readers are served them.
    pub async fn rows(&self, table: &str) -> RecordBatch {
        let name = table.parse().unwrap();
        let schema = self.lakefile.table(&name).unwrap().schema();
        let table = self.catalog.moment().table(&name).unwrap();
        let Some(version) = table.version else { return RecordBatch::new_empty(schema) };
        let location: Location = table.location.parse().unwrap();
        let snapshot = self.lake.snapshot(&location, version).await.unwrap();
        let provider = self.lake.provider(snapshot, &table.sort).unwrap();
        let order = table.sort.iter().map(|c| datafusion::logical_expr::col(c).sort(true, false)).collect();
        let rows = SessionContext::new().read_table(provider).unwrap().sort(order).unwrap();
        let batches = rows.collect().await.unwrap();
        batches
            .first()
            .map_or(RecordBatch::new_empty(schema), |b| concat_batches(&b.schema(), &batches).unwrap())
    }

    /// A table as lines of text, `columns` joined by a space.
    pub async fn lines(&self, table: &str, columns: &[&str]) -> Vec<String> {
        let rows = self.rows(table).await;
        let columns: Vec<_> = columns
            .iter()
            .map(|c| {
                arrow::compute::cast(rows.column_by_name(c).unwrap(), &arrow::datatypes::DataType::Utf8)
                    .unwrap()
            })
            .collect();
        let cell = |column: &arrow::array::ArrayRef, row: usize| {
            use arrow::array::{Array, AsArray};
            if column.is_null(row) {
                "-".to_string()
            } else {
                column.as_string::<i32>().value(row).to_string()
            }
        };
        (0..rows.num_rows())
            .map(|row| columns.iter().map(|c| cell(c, row)).collect::<Vec<_>>().join(" "))
            .collect()
    }
}

/// A query string as a map.
pub fn query(target: &str) -> BTreeMap<String, String> {
    url::Url::parse(&format!("http://x{target}")).unwrap().query_pairs().into_owned().collect()
}

/// An answer with every variable that was asked for; those it does not speak of have no value at any time.
pub fn whole(mut answer: Value, query: &BTreeMap<String, String>) -> Value {
    for part in ["hourly", "daily"] {
        let Some(lists) = answer[part].as_object_mut() else { continue };
        let times = lists["time"].as_array().map_or(0, Vec::len);
        for name in query[part].split(',') {
            lists.entry(name).or_insert_with(|| vec![Value::Null; times].into());
        }
    }
    answer
}

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

//! The thin scan: a list of files becomes a Parquet plan.
//!
//! ```text
//! filters ─▶ PruningPredicate over the log ─▶ files ─▶ groups (ordered where they do not overlap) ─▶ DataSourceExec
//! ```
//! The same provider serves the gateway (checked bytes of our own store) and a worker (a store it was handed).
//! Filters are a hint only: the engine keeps its own above, and pushes them into the Parquet reader itself.

mod prepared;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::ObjectStore;
use object_store::path::Path;

pub(crate) use prepared::Prepared;

use crate::Error;
use crate::file::DataFile;

/// Read first of each file: most footers fit, so that one request gets them.
const FOOTER_BYTES: usize = 64 << 10;
/// Fewer bytes than these are read by one thread.
const SMALL_SCAN_BYTES: u64 = 4 << 20;
/// Streams merged to keep an order that overlapping files break; with more, sorting is left to the engine.
const MERGED_STREAMS: usize = 16;

/// What a worker scans: the files of one table, described by the gateway.
pub struct ScanFiles {
    /// The stored schema, partition columns included.
    pub schema: SchemaRef,
    pub partition_columns: Vec<String>,
    pub files: Vec<DataFile>,
    /// Serves `<prefix>/<file.path>`. Footers are remembered by that path: a path must never mean another file.
    pub store: Arc<dyn ObjectStore>,
    /// Tells this store from the others of the process.
    pub store_url: ObjectStoreUrl,
    pub prefix: Path,
    /// The order the writers keep; declared where every file vouches for it.
    pub sort: Vec<String>,
}

/// A provider over files that are read from the given store as they are.
pub fn scan_files(scan: ScanFiles) -> std::result::Result<Arc<dyn TableProvider>, Error> {
    let files = scan.files.into_iter().map(Arc::new).collect();
    let locate =
        |file: &DataFile| scan.prefix.parts().chain(Path::from(file.path.as_str()).parts()).collect();
    let prepared = Prepared::new(&scan.schema, scan.partition_columns, files, scan.store, locate);
    Ok(provider(Arc::new(prepared), scan.store_url, &scan.sort))
}

pub(crate) fn provider(
    prepared: Arc<Prepared>,
    url: ObjectStoreUrl,
    sort: &[String],
) -> Arc<dyn TableProvider> {
    let ordering = prepared.ordering(sort);
    Arc::new(ThinScan { prepared, url, ordering })
}

struct ThinScan {
    prepared: Arc<Prepared>,
    url: ObjectStoreUrl,
    ordering: Option<LexOrdering>,
}

impl fmt::Debug for ThinScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThinScan({} files)", self.prepared.files.len())
    }
}

#[async_trait]
impl TableProvider for ThinScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.prepared.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut chosen = self.prepared.prune(state, filters)?;
        let limit = limit.filter(|_| filters.is_empty());
        if let Some(limit) = limit {
            chosen.truncate(enough(&self.prepared.files, &chosen, limit));
        }
        if chosen.is_empty() {
            let schema = projection
                .map_or(Ok(self.schema()), |columns| self.schema().project(columns).map(Arc::new))?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let files = chosen.into_iter().map(|index| self.prepared.planned[index].clone()).collect();
        let (groups, ordering) = self.groups(files, state.config_options().execution.target_partitions);
        self.plan(state, projection, limit, groups, ordering)
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(self.prepared.table_schema());
        let rows: u64 = self.prepared.files.iter().map(|file| file.rows).sum();
        statistics.num_rows = Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX));
        Some(statistics)
    }
}

impl ThinScan {
    /// Files a stream each where order asks for it, otherwise spread evenly.
    fn groups(&self, files: Vec<PartitionedFile>, target: usize) -> (Vec<FileGroup>, Option<LexOrdering>) {
        let bytes: u64 = files.iter().map(|file| file.object_meta.size).sum();
        let target = if bytes < SMALL_SCAN_BYTES { 1 } else { target.clamp(1, files.len()) };
        if let Some(ordering) = &self.ordering
            && let Some(groups) = self.ordered(&files, ordering, target)
        {
            return (groups, Some(ordering.clone()));
        }
        let size = files.len().div_ceil(target).max(1);
        (files.chunks(size).map(|files| FileGroup::new(files.to_vec())).collect(), None)
    }

    fn ordered(
        &self,
        files: &[PartitionedFile],
        ordering: &LexOrdering,
        target: usize,
    ) -> Option<Vec<FileGroup>> {
        let one_each = || files.iter().map(|file| FileGroup::new(vec![file.clone()])).collect::<Vec<_>>();
        let groups = if files.len() == 1 || !self.bounded(files, ordering) {
            one_each()
        } else {
            let all = [FileGroup::new(files.to_vec())];
            FileScanConfig::split_groups_by_statistics_with_target_partitions(
                self.prepared.table_schema(),
                &all,
                ordering,
                target,
            )
            .unwrap_or_else(|_| one_each())
        };
        (groups.len() <= target.max(MERGED_STREAMS)).then_some(groups)
    }

    /// Bounds order files only if no NULLs lie outside of them.
    fn bounded(&self, files: &[PartitionedFile], ordering: &LexOrdering) -> bool {
        let columns: Vec<usize> = ordering
            .iter()
            .filter_map(|sort| sort.expr.downcast_ref::<Column>())
            .map(Column::index)
            .collect();
        columns.len() == ordering.len()
            && files.iter().all(|file| {
                let statistics = file.statistics.as_ref();
                statistics.is_some_and(|all| {
                    columns.iter().all(|at| all.column_statistics[*at].null_count == Precision::Exact(0))
                })
            })
    }

    /// Statistics of each group and of all.
    fn summed(&self, groups: Vec<FileGroup>) -> Result<(Vec<FileGroup>, Statistics)> {
        let schema = self.prepared.table_schema();
        let all = merged(groups.iter().flat_map(FileGroup::iter), schema)?;
        let each = groups.into_iter().map(|group| {
            let statistics = merged(group.iter(), schema)?;
            Ok(group.with_statistics(Arc::new(statistics)))
        });
        Ok((each.collect::<Result<_>>()?, all))
    }

    fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
        groups: Vec<FileGroup>,
        ordering: Option<LexOrdering>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let runtime = state.runtime_env();
        runtime.register_object_store(self.url.as_ref(), Arc::clone(&self.prepared.store));
        let footers = runtime.cache_manager.get_file_metadata_cache();
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..Default::default()
        };
        let source = ParquetSource::new(self.prepared.schema.clone())
            .with_table_parquet_options(options)
            .with_metadata_size_hint(FOOTER_BYTES)
            .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(
                Arc::clone(&self.prepared.store),
                footers,
            )));
        let (groups, statistics) = self.summed(groups)?;
        let config = FileScanConfigBuilder::new(self.url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_output_ordering(ordering.into_iter().collect())
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

fn merged<'a>(files: impl Iterator<Item = &'a PartitionedFile>, schema: &Schema) -> Result<Statistics> {
    let known: Vec<&Statistics> = files.filter_map(|file| file.statistics.as_deref()).collect();
    Statistics::try_merge_iter(known, schema)
}

/// How many of the chosen files hold `limit` rows.
fn enough(files: &[Arc<DataFile>], chosen: &[usize], limit: usize) -> usize {
    let mut rows = 0;
    let before = chosen.iter().take_while(|index| {
        let open = rows < limit as u64;
        rows += files[**index].rows;
        open
    });
    before.count()
}

#[cfg(test)]
mod tests {
    use crate::Lake;
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::testing::{
        append, by_region_and_day, files, in_folder, lakes, place, plan, query, rows, schema,
    };
    use crate::{Commit, LocalWriter, WriterOptions, corrupt_path, ranged_store};
    use identity::IntentId;

    async fn three_regions(lake: &Lake) -> crate::Location {
        let at = place("daily");
        lake.create(&at, schema(), &[]).await.unwrap();
        for region in ["a", "b", "c"] {
            append(lake, &at, rows(region, 0..100)).await;
        }
        at
    }

    #[tokio::test]
    async fn answers_are_right_and_files_without_rows_are_not_opened() {
        let (_folder, lakes) = lakes().await;
        for lake in lakes {
            let at = three_regions(&lake).await;
            let sum = query(&lake, &at, 3, "SELECT sum(n) AS s, count(value) AS c FROM t WHERE region_id = 'b' AND day >= DATE '1970-03-01'").await;
            assert!(sum.contains("| 3239 | 35 |"), "{sum}");
            let seen = plan(&lake, &at, 3, "SELECT n FROM t WHERE region_id = 'b'").await;
            assert_eq!(seen.matches(".parquet").count(), 1, "{seen}");
            let none = plan(&lake, &at, 3, "SELECT n FROM t WHERE n > 1000").await;
            assert!(none.contains("EmptyExec"), "{none}");
            assert!(query(&lake, &at, 2, "SELECT count(*) AS c FROM t").await.contains("| 200 |"));
        }
    }

    #[tokio::test]
    async fn order_is_declared_where_it_holds() {
        let (_folder, lakes) = lakes().await;
        for lake in lakes {
            let at = three_regions(&lake).await;
            let sql = "SELECT region_id, day FROM t ORDER BY region_id, day LIMIT 3";
            let seen = plan(&lake, &at, 3, sql).await;
            assert!(seen.contains("output_ordering") && !seen.contains("SortExec"), "{seen}");
            assert!(query(&lake, &at, 3, sql).await.contains("| a         | 1970-01-03 |"));
            let unsorted = files(&lake, &at, &[rows("a", 5..6)], WriterOptions::default()).await;
            lake.commit(&at, Commit { add: unsorted, ..Commit::new(IntentId::new(), "WRITE") })
                .await
                .unwrap();
            let seen = plan(&lake, &at, 4, sql).await;
            assert!(seen.contains("SortExec"), "{seen}");
        }
    }

    #[tokio::test]
    async fn overlapping_files_are_merged_in_order() {
        let (_folder, lakes) = lakes().await;
        for lake in lakes {
            let at = place("overlap");
            lake.create(&at, schema(), &[]).await.unwrap();
            for i in 0..5 {
                append(&lake, &at, rows(if i % 2 == 0 { "a" } else { "b" }, i..i + 20)).await;
            }
            let sql = "SELECT n FROM t WHERE region_id = 'a' ORDER BY region_id, day";
            let ordered = query(&lake, &at, 5, sql).await;
            let numbers: Vec<i64> =
                ordered.lines().filter_map(|line| line.trim_matches(['|', ' ']).parse().ok()).collect();
            assert!(numbers.is_sorted() && numbers.len() == 60, "{ordered}");
        }
    }

    #[tokio::test]
    async fn a_damaged_file_is_an_error_and_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let lake = in_folder(folder.path(), false).await;
        let at = three_regions(&lake).await;
        let snapshot = lake.snapshot(&at, 3).await.unwrap();
        let file = &snapshot.files()[1];
        let path = lake.objects().local_path(at.file(&file.path).as_ref()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at_byte in (0..whole.len()).step_by(whole.len() / 50) {
            let mut bytes = whole.clone();
            bytes[at_byte] ^= 0x10;
            std::fs::write(&path, bytes).unwrap();
            let context = SessionContext::new();
            context.register_table("t", lake.provider(Arc::clone(&snapshot), &[]).unwrap()).unwrap();
            let answer = context
                .sql("SELECT sum(n), sum(value), max(region_id) FROM t WHERE n >= 0")
                .await
                .unwrap()
                .collect()
                .await;
            let error = answer.expect_err("the damage is seen");
            assert!(corrupt_path(&error).is_some_and(|path| path.ends_with(&file.path)), "{error}");
            assert!(matches!(Error::from(error), Error::Corrupt { .. }));
            assert!(lake.read_range(&at, file, at_byte as u64..at_byte as u64 + 1).await.is_err());
        }
    }

    #[derive(Debug)]
    struct Folder(std::path::PathBuf);

    #[async_trait]
    impl crate::Ranged for Folder {
        fn size(&self, path: &str) -> std::io::Result<u64> {
            Ok(std::fs::metadata(self.0.join(path))?.len())
        }

        async fn read(&self, path: &str, range: std::ops::Range<u64>) -> std::io::Result<bytes::Bytes> {
            let bytes = bytes::Bytes::from(std::fs::read(self.0.join(path))?);
            Ok(bytes.slice(range.start as usize..range.end as usize))
        }
    }

    #[tokio::test]
    async fn a_worker_writes_and_reads_the_same_files() {
        let (folder, lakes) = lakes().await;
        let options =
            WriterOptions { sort: by_region_and_day(), target_bytes: 2_000, ..WriterOptions::default() };
        let scratch = folder.path().join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        let mut writer = LocalWriter::create(&scratch, &schema(), options).unwrap();
        for region in ["b", "a"] {
            writer.write(&rows(region, 0..100)).unwrap();
        }
        let described = writer.finish().unwrap();
        let scan = ScanFiles {
            schema: schema(),
            partition_columns: Vec::new(),
            files: serde_json::from_str(&serde_json::to_string(&described).unwrap()).unwrap(),
            store: ranged_store(Arc::new(Folder(scratch.clone()))),
            store_url: ObjectStoreUrl::parse("worker://files").unwrap(),
            prefix: Path::default(),
            sort: by_region_and_day(),
        };
        let context = SessionContext::new();
        let table = context.read_table(scan_files(scan).unwrap()).unwrap();
        assert_eq!(table.clone().count().await.unwrap(), 200);
        let lake = &lakes[1];
        let at = place("adopted");
        lake.create(&at, schema(), &[]).await.unwrap();
        std::os::unix::fs::symlink("/etc/hostname", scratch.join("link")).unwrap();
        let link = DataFile { path: "link".to_owned(), ..DataFile::default() };
        assert!(matches!(
            lake.adopt(&at, &scratch.join("link"), link, "x").await,
            Err(Error::Corrupt { .. })
        ));
        let mut add = Vec::new();
        for file in described {
            let wrong = DataFile { sha256: Some("0".repeat(64)), ..file.clone() };
            assert!(matches!(
                lake.adopt(&at, &scratch.join(&file.path), wrong, "x").await,
                Err(Error::Corrupt { .. })
            ));
            add.push(lake.adopt(&at, &scratch.join(&file.path), file, "intent").await.unwrap());
        }
        assert!(add.iter().all(|file| file.path.starts_with("intent-")));
        lake.commit(&at, Commit { add, ..Commit::new(IntentId::new(), "WRITE") }).await.unwrap();
        assert!(
            query(lake, &at, 1, "SELECT count(*) AS c, sum(n) AS s FROM t").await.contains("| 200 | 9900 |")
        );
    }
}

//! What all scans of one snapshot share, made once.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use object_store::ObjectStore;
use object_store::path::Path;

use super::FOOTER_BYTES;
use crate::Lake;
use crate::file::DataFile;
use crate::snapshot::Snapshot;
use crate::stats::{self, FileStatistics};
use crate::types::with_views;
use crate::verify::{self, Verified};

/// The files of a snapshot as a plan needs them.
pub(crate) struct Prepared {
    pub(super) schema: TableSchema,
    partition_columns: Vec<String>,
    pub(super) files: Vec<Arc<DataFile>>,
    pub(super) planned: Vec<PartitionedFile>,
    pub(super) store: Arc<dyn ObjectStore>,
}

impl Prepared {
    /// Files of a snapshot in the lake's store, read with their checksums.
    pub fn verified(snapshot: &Snapshot, store: Arc<dyn ObjectStore>) -> Self {
        let store = Arc::new(Verified::new(store, Lake::paths(snapshot)));
        let locate = |file: &DataFile| snapshot.location().file(&file.path);
        Self::new(
            snapshot.schema(),
            snapshot.partition_columns().to_vec(),
            snapshot.files().to_vec(),
            store,
            locate,
        )
    }

    /// Some files of a snapshot only.
    pub fn of(snapshot: &Snapshot, files: Vec<Arc<DataFile>>, store: Arc<dyn ObjectStore>) -> Self {
        let store = Arc::new(Verified::new(store, Lake::paths(snapshot)));
        let locate = |file: &DataFile| snapshot.location().file(&file.path);
        Self::new(snapshot.schema(), snapshot.partition_columns().to_vec(), files, store, locate)
    }

    pub(super) fn new(
        schema: &Schema,
        partition_columns: Vec<String>,
        files: Vec<Arc<DataFile>>,
        store: Arc<dyn ObjectStore>,
        locate: impl Fn(&DataFile) -> Path,
    ) -> Self {
        let (parts, kept): (Vec<FieldRef>, Vec<FieldRef>) = with_views(schema)
            .fields()
            .iter()
            .cloned()
            .partition(|field| partition_columns.contains(field.name()));
        let schema =
            TableSchema::builder(Arc::new(Schema::new(kept))).with_table_partition_cols(parts).build();
        let planned = files.iter().map(|file| planned(file, locate(file), &schema)).collect();
        Self { schema, partition_columns, files, planned, store }
    }

    pub(super) fn table_schema(&self) -> &SchemaRef {
        self.schema.table_schema()
    }

    /// The longest beginning of `sort` that every file vouches for.
    pub(super) fn ordering(&self, sort: &[String]) -> Option<LexOrdering> {
        let kept = |column: usize| self.files.iter().all(|file| file.sort.get(column) == sort.get(column));
        let columns = sort.iter().enumerate().take_while(|(index, _)| kept(*index)).map(|(_, name)| name);
        let ascending = SortOptions { descending: false, nulls_first: false };
        LexOrdering::new(columns.map_while(|name| {
            let index = self.table_schema().index_of(name).ok()?;
            Some(PhysicalSortExpr::new(Arc::new(Column::new(name, index)), ascending))
        }))
    }

    /// The files that may hold rows for which all filters are true.
    pub(super) fn prune(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<usize>> {
        let all = || (0..self.files.len()).collect();
        let Some(filter) = conjunction(filters.to_vec()) else { return Ok(all()) };
        let schema = DFSchema::try_from(self.table_schema().as_ref().clone())?;
        let expr = state.create_physical_expr(filter, &schema)?;
        let rewritten =
            PruningPredicateBuilder::new().with_file_schema(Arc::clone(self.table_schema())).try_build(expr);
        let Ok(predicate) = rewritten else { return Ok(all()) };
        let (files, partition_columns) = (&self.files[..], &self.partition_columns[..]);
        let keep =
            predicate.prune(&FileStatistics { files, schema: self.table_schema(), partition_columns })?;
        Ok(keep.iter().enumerate().filter(|(_, keep)| **keep).map(|(index, _)| index).collect())
    }
}

fn planned(file: &DataFile, path: Path, schema: &TableSchema) -> PartitionedFile {
    let columns = schema.file_schema().fields().iter();
    let partition = schema.table_partition_cols().iter();
    let statistics = Statistics {
        num_rows: Precision::Exact(usize::try_from(file.rows).unwrap_or(usize::MAX)),
        total_byte_size: Precision::Inexact(usize::try_from(file.size).unwrap_or(usize::MAX)),
        column_statistics: columns
            .map(|field| stats::column_statistics(file, field.name(), field.data_type()))
            .collect(),
    };
    let values = partition.filter_map(|field| stats::partition_value(file, field.name(), field.data_type()));
    PartitionedFile::new_from_meta(verify::meta(path, file))
        .with_partition_values(values.collect())
        .with_statistics(Arc::new(statistics))
        .with_metadata_size_hint(FOOTER_BYTES)
}

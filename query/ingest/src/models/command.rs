//! A model whose rows a program makes: what its statement gives goes in as an Arrow IPC stream, and one comes back.
//!
//! ```text
//! statement ─▶ Arrow on standard input ─▶ program ─▶ Arrow on standard output ─▶ the touched partitions of it ─▶ tests
//! ```
//! For what SQL cannot say. The program stands beside the model's file, gets no environment, and runs under limits.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::{DataFrame, SessionContext};
use worker::{Limits, Program};

use super::Model;

/// A run longer than this is none.
const DEADLINE: Duration = Duration::from_secs(600);
/// Rows of one portion are held in memory twice while the program works.
const OUTPUT_BYTES: u64 = 256 << 20;

impl Model {
    /// The program behind the model, in the folder of its file; `None` for one of SQL alone.
    pub(super) fn program(&self) -> Option<Program> {
        let command = self.command.clone()?;
        let folder = Path::new(&self.file).parent().filter(|folder| folder.is_dir());
        let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
        let limits = Limits { cpu_secs: DEADLINE.as_secs(), ..Limits::default() };
        Some(Program { command, folder, limits, deadline: DEADLINE, output_bytes: OUTPUT_BYTES })
    }
}

/// The rows that a program makes of these.
/// - Errors: the program's, or what it wrote is no Arrow stream.
pub async fn through(
    program: &Program,
    rows: DataFrame,
    session: &SessionContext,
) -> Result<DataFrame, DataFusionError> {
    let schema: SchemaRef = Arc::new(rows.schema().as_arrow().clone());
    let input = encoded(&schema, &rows.collect().await?)?;
    let output = program.run(input).await.map_err(|e| DataFusionError::External(Box::new(e)))?;
    let (schema, batches) = decoded(&output)?;
    session.read_table(Arc::new(MemTable::try_new(schema, vec![batches])?))
}

fn encoded(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Bytes, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    Ok(Bytes::from(writer.into_inner()?))
}

fn decoded(bytes: &[u8]) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    let reader = StreamReader::try_new(bytes, None)?;
    let schema = reader.schema();
    Ok((schema, reader.collect::<Result<Vec<_>, _>>()?))
}

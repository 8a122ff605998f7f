//! The tables of a task: Parquet files read over the gateway's hands.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::catalog::TableProvider;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use worker::{FileClient, Refusal};

use super::plan::{Files, Object, Plan};

const URL: &str = "task://files";

/// Every file of the task by its path, over one client.
#[derive(Clone)]
pub(super) struct TaskFiles(Arc<ByPath>);

struct ByPath {
    client: FileClient,
    /// Number and size.
    files: HashMap<String, (usize, u64)>,
}

impl std::fmt::Debug for ByPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} files", self.files.len())
    }
}

impl TaskFiles {
    pub(super) fn new(plan: &Plan, client: FileClient) -> Self {
        let tables = plan.objects.values().filter_map(|object| match object {
            Object::Table(table) => Some(&table.files),
            Object::View { .. } => None,
        });
        // The same bytes have the same path everywhere: stored names are made of random ids.
        let files =
            tables.flatten().map(|file| (file.file.path.clone(), (file.index, file.file.size))).collect();
        Self(Arc::new(ByPath { client, files }))
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.0.files.values().map(|(_, size)| size).sum()
    }

    /// Lets `runtime` read the files, and nothing else.
    pub(super) fn register(&self, runtime: &RuntimeEnv) -> Result<(), Refusal> {
        let url = url()?;
        runtime.register_object_store(url.as_ref(), lake::ranged_store(self.0.clone()));
        Ok(())
    }

    /// A table over some of the files. Errors: `internal` for a schema the gateway should not have sent.
    pub(super) fn table(&self, table: &Files) -> Result<Arc<dyn TableProvider>, Refusal> {
        let partition_columns: BTreeSet<String> =
            table.files.iter().flat_map(|file| file.file.partition.keys().cloned()).collect();
        let scan = lake::ScanFiles {
            schema: table.schema.clone(),
            partition_columns: partition_columns.into_iter().collect(),
            files: table.files.iter().map(|file| file.file.clone()).collect(),
            store: lake::ranged_store(self.0.clone()),
            store_url: url()?,
            prefix: Default::default(),
            sort: table.sort.clone(),
        };
        lake::scan_files(scan).map_err(|error| {
            tracing::error!(%error, "a table cannot be scanned");
            Refusal::new("internal", "a table cannot be scanned")
        })
    }
}

fn url() -> Result<ObjectStoreUrl, Refusal> {
    ObjectStoreUrl::parse(URL).map_err(|_| Refusal::new("internal", "a table cannot be scanned"))
}

#[async_trait]
impl lake::Ranged for ByPath {
    fn size(&self, path: &str) -> io::Result<u64> {
        self.files.get(path).map(|(_, size)| *size).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    async fn read(&self, path: &str, range: Range<u64>) -> io::Result<Bytes> {
        let (index, _) = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        self.client.read(*index, range).await
    }
}

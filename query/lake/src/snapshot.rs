//! A table at one version: immutable, shared, and the base of the next.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use datafusion::common::DFSchema;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use identity::IntentId;

use crate::file::DataFile;
use crate::log::{Entry, Metadata, Protocol, Transaction, columns};
use crate::scan::Prepared;
use crate::stats::FileStatistics;
use crate::{Error, Location, Version};

/// Intents remembered in memory; older ones are looked for in the log itself.
const INTENTS: usize = 1024;
const INTENT: &str = "lakefront/";

/// The application id under which an intent stands in the log; its number is the version it made.
pub(crate) fn intent_app(intent: IntentId) -> String {
    format!("{INTENT}{intent}")
}

/// A table at one version. Readers keep it as long as they like: files it names outlive it by the retention of `vacuum`.
pub struct Snapshot {
    location: Location,
    version: Version,
    schema: SchemaRef,
    partition_columns: Vec<String>,
    files: Vec<Arc<DataFile>>,
    txns: HashMap<String, i64>,
    intents: Vec<(IntentId, Version)>,
    metadata: Metadata,
    protocol: Protocol,
    last_data_change: Version,
    prepared: OnceLock<Arc<Prepared>>,
}

impl Snapshot {
    pub fn location(&self) -> &Location {
        &self.location
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// The stored schema, partition columns included. Queries see text as views: ask the provider for theirs.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn partition_columns(&self) -> &[String] {
        &self.partition_columns
    }

    pub fn files(&self) -> &[Arc<DataFile>] {
        &self.files
    }

    /// Exact.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// The last number an application has committed (`source:c` and the like).
    pub fn txn(&self, app: &str) -> Option<i64> {
        self.txns.get(app).copied()
    }

    /// The version that carried an intent, if it is among the last thousand.
    pub(crate) fn intent(&self, intent: IntentId) -> Option<Version> {
        self.intents.iter().rev().find(|(known, _)| *known == intent).map(|(_, version)| *version)
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub(crate) fn last_data_change(&self) -> Version {
        self.last_data_change
    }

    pub(crate) fn prepared(&self, make: impl FnOnce() -> Arc<Prepared>) -> Arc<Prepared> {
        Arc::clone(self.prepared.get_or_init(make))
    }

    /// The files that may hold rows for which all `filters` are true, judged by their statistics alone.
    /// Filters that cannot be judged keep everything. Columns are named without a table.
    pub fn prune(&self, filters: &[Expr]) -> Vec<Arc<DataFile>> {
        let keep = self.judge(filters).unwrap_or_else(|| vec![true; self.files.len()]);
        self.files.iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| Arc::clone(file)).collect()
    }

    fn judge(&self, filters: &[Expr]) -> Option<Vec<bool>> {
        let schema = DFSchema::try_from(self.schema.as_ref().clone()).ok()?;
        let filter = conjunction(filters.to_vec())?;
        let expr = create_physical_expr(
            &filter,
            &schema,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        )
        .ok()?;
        let predicate =
            PruningPredicateBuilder::new().with_file_schema(Arc::clone(&self.schema)).try_build(expr).ok()?;
        let (files, partition_columns) = (&self.files[..], &self.partition_columns[..]);
        predicate.prune(&FileStatistics { files, schema: &self.schema, partition_columns }).ok()
    }

    /// Puts entries together; the first has protocol and metadata.
    pub(crate) fn replay(location: Location, entries: Vec<Entry>) -> Result<Self, Error> {
        let mut entries = entries.into_iter();
        let first = entries.next().ok_or(Error::NotFound)?;
        let (Some(metadata), Some(protocol)) = (first.metadata.clone(), first.protocol.clone()) else {
            return Err(Error::VersionGone { version: first.version });
        };
        let mut snapshot = Self {
            location,
            version: first.version,
            schema: Arc::new(arrow::datatypes::Schema::empty()),
            partition_columns: Vec::new(),
            files: Vec::new(),
            txns: HashMap::new(),
            intents: Vec::new(),
            metadata,
            protocol,
            last_data_change: first.version,
            prepared: OnceLock::new(),
        };
        snapshot.take(first)?;
        entries.try_for_each(|entry| snapshot.take(entry))?;
        Ok(snapshot)
    }

    /// The next version: this one and one entry more.
    pub(crate) fn next(&self, entry: Entry) -> Result<Self, Error> {
        if entry.version != self.version + 1 {
            return Err(Error::VersionGone { version: entry.version });
        }
        let mut next = Self {
            location: self.location.clone(),
            schema: Arc::clone(&self.schema),
            partition_columns: self.partition_columns.clone(),
            files: self.files.clone(),
            txns: self.txns.clone(),
            intents: self.intents.clone(),
            metadata: self.metadata.clone(),
            protocol: self.protocol.clone(),
            prepared: OnceLock::new(),
            version: self.version,
            last_data_change: self.last_data_change,
        };
        next.take(entry)?;
        Ok(next)
    }

    fn take(&mut self, entry: Entry) -> Result<(), Error> {
        self.version = entry.version;
        if let Some(protocol) = entry.protocol {
            check(&protocol)?;
            self.protocol = protocol;
        }
        if let Some(metadata) = entry.metadata {
            self.schema = Arc::new(columns::from_text(&metadata.schema_string)?);
            self.partition_columns = metadata.partition_columns.clone();
            self.metadata = metadata;
        }
        if !entry.remove.is_empty() || !self.files.is_empty() {
            // an add of a known path replaces it
            let gone: HashSet<&str> = entry
                .remove
                .iter()
                .map(|removed| removed.path.as_str())
                .chain(entry.add.iter().map(|f| f.path.as_str()))
                .collect();
            self.files.retain(|file| !gone.contains(file.path.as_str()));
        }
        self.files.extend(entry.add.into_iter().map(Arc::new));
        if entry.changes_data {
            self.last_data_change = entry.version;
        }
        entry.txn.into_iter().for_each(|txn| self.note(txn));
        Ok(())
    }

    fn note(&mut self, txn: Transaction) {
        let Some(intent) = txn.app_id.strip_prefix(INTENT) else {
            self.txns.insert(txn.app_id, txn.version);
            return;
        };
        if self.intents.len() == INTENTS {
            self.intents.remove(0);
        }
        self.intents.extend(intent.parse().ok().map(|intent| (intent, txn.version)));
    }

    /// Memory it takes, roughly; files shared with other versions count in each.
    pub(crate) fn weight(&self) -> u32 {
        let file = |file: &Arc<DataFile>| 400 + 90 * (file.min.len() + file.max.len() + file.nulls.len());
        let bytes = 4096
            + self.files.iter().map(file).sum::<usize>()
            + 100 * (self.intents.len() + self.schema.fields().len());
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

/// Refuses tables whose files do not mean what they say.
fn check(protocol: &Protocol) -> Result<(), Error> {
    let known = |name: &&String| matches!(name.as_str(), "timestampNtz" | "vacuumProtocolCheck");
    let unknown = protocol.reader_features.iter().flatten().find(|name| !known(name));
    match (unknown, protocol.min_reader_version) {
        (Some(name), _) => Err(Error::Unsupported(format!("tables with {name}"))),
        (None, 1 | 3) => Ok(()),
        (None, 2) => Err(Error::Unsupported("tables with column mapping".to_owned())),
        (None, version) => Err(Error::Unsupported(format!("tables of reader version {version}"))),
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({}@{}, {} files)", self.location, self.version, self.files.len())
    }
}

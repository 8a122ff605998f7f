//! From pinned tables to the task a worker is given: numbered files, views with scopes of their own, and no path.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use catalog::{Kind, Table};
use identity::{Principal, TableName};
use lake::{DataFile, Lake, Location};
use serde_json::Value;

use super::names::{Pinned, VIEW_DEPTH, canonical, upstream};
use crate::QueryError;
use crate::error::of_snapshot;
use crate::sandbox::{Files, Object, PlannedFile};

/// The scope and objects of a plan, and the files behind their numbers.
#[derive(Default)]
pub(crate) struct Laid {
    pub scope: BTreeMap<String, String>,
    pub objects: BTreeMap<String, Object>,
    pub files: Vec<(Location, Arc<DataFile>)>,
}

/// Lays out the names of a statement and everything behind them. Errors: `query-too-complex` for views nested deeper than 16 or in a circle,
/// `as-of-expired` for a version that is gone, `lake-unavailable`.
pub(crate) async fn lay(pinned: &Pinned, principal: &Principal, lake: &Lake) -> Result<Laid, QueryError> {
    check_depth(pinned, principal)?;
    let mut laid = Laid::default();
    let mut ids = BTreeMap::new();
    for (at, (name, table)) in pinned.tables.iter().enumerate() {
        let letter = if table.kind == Kind::View { 'v' } else { 't' };
        ids.insert(name.clone(), format!("{letter}{at}"));
    }
    for (name, table) in &pinned.tables {
        let object = match table.kind {
            Kind::View => view(table, &ids, principal)?,
            _ => laid.table(table, lake).await?,
        };
        if let Some(id) = ids.get(name) {
            laid.objects.insert(id.clone(), object);
        }
    }
    let roots: Vec<TableName> = pinned.names.iter().map(|name| canonical(name, principal)).collect();
    laid.scope = scope(&roots, &ids, principal);
    Ok(laid)
}

/// Each name in every spelling the caller may use for it.
fn scope(
    names: &[TableName],
    ids: &BTreeMap<TableName, String>,
    principal: &Principal,
) -> BTreeMap<String, String> {
    let mut scope = BTreeMap::new();
    for name in names {
        let Some(id) = ids.get(name) else { continue };
        scope.insert(name.to_string(), id.clone());
        if name.is_my() {
            scope.insert(TableName::new(principal.slug.as_str(), &*name.table).to_string(), id.clone());
        }
    }
    scope
}

fn view(
    table: &Table,
    ids: &BTreeMap<TableName, String>,
    principal: &Principal,
) -> Result<Object, QueryError> {
    let sql = table.sql.clone().ok_or_else(|| QueryError::engine(NoStatement(table.name.to_string())))?;
    let params = match &table.params {
        Value::Array(params) => params.clone(),
        _ => Vec::new(),
    };
    Ok(Object::View { sql, scope: scope(&upstream(table, principal), ids, principal), params })
}

#[derive(Debug, thiserror::Error)]
#[error("the view {0} has no statement")]
struct NoStatement(String);

impl Laid {
    async fn table(&mut self, table: &Table, lake: &Lake) -> Result<Object, QueryError> {
        let location: Location = table.location.parse().map_err(QueryError::engine)?;
        let version = table.version.ok_or_else(|| QueryError::unknown_table(&table.name))?;
        let snapshot = lake.snapshot(&location, version).await.map_err(of_snapshot)?;
        let mut files = Vec::with_capacity(snapshot.files().len());
        for file in snapshot.files() {
            // The gateway checks what it reads; the worker needs no checksums.
            let told = DataFile { sha256: None, blocks: None, ..file.as_ref().clone() };
            files.push(PlannedFile { index: self.files.len(), file: told });
            self.files.push((location.clone(), Arc::clone(file)));
        }
        Ok(Object::Table(Files { schema: snapshot.schema().clone(), sort: table.sort.clone(), files }))
    }
}

/// Walks from each name down to the tables. A circle is deeper than any limit.
fn check_depth(pinned: &Pinned, principal: &Principal) -> Result<(), QueryError> {
    let mut level: BTreeSet<TableName> = pinned.names.iter().map(|name| canonical(name, principal)).collect();
    for _ in 0..=VIEW_DEPTH {
        let views =
            level.iter().filter_map(|name| pinned.tables.get(name)).filter(|table| table.kind == Kind::View);
        level = views.flat_map(|view| upstream(view, principal)).collect();
        if level.is_empty() {
            return Ok(());
        }
    }
    Err(QueryError::TooDeep { depth: VIEW_DEPTH })
}

/// The files of one task, read from the lake on the worker's behalf.
pub(crate) struct TaskFiles {
    lake: Lake,
    files: Vec<(Location, Arc<DataFile>)>,
}

impl TaskFiles {
    pub fn new(lake: Lake, files: Vec<(Location, Arc<DataFile>)>) -> Arc<Self> {
        Arc::new(Self { lake, files })
    }

    fn file(&self, index: usize) -> io::Result<&(Location, Arc<DataFile>)> {
        self.files.get(index).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

#[async_trait]
impl worker::Files for TaskFiles {
    async fn size(&self, index: usize) -> io::Result<u64> {
        Ok(self.file(index)?.1.size)
    }

    async fn read(&self, index: usize, range: Range<u64>) -> io::Result<Bytes> {
        let (location, file) = self.file(index)?;
        self.lake.read_range(location, file, range).await.map_err(told)
    }
}

/// Damaged bytes are told apart from a store that is away.
fn told(error: lake::Error) -> io::Error {
    match error {
        lake::Error::Corrupt { .. } => io::Error::new(io::ErrorKind::InvalidData, error),
        _ => io::Error::other(error),
    }
}

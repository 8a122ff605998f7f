//! From a statement's text to the tables behind it.
//!
//! ```text
//! text ─ worker, remembered ─▶ names ─ one catalog read ─▶ tables ─ views name more ─▶ … ─▶ Pinned
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use catalog::{Catalog, Kind, Table};
use chrono::{DateTime, Utc};
use identity::{Principal, TableName};

use super::missing::Missing;
use crate::cache::TagBuilder;
use crate::error::of_catalog;
use crate::{QueryError, TableMeta};

/// Views may stand on views this deep.
pub const VIEW_DEPTH: usize = 16;

/// All tables and views a statement rests on, at one moment. Own tables are called `my.…` here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pinned {
    /// The names of the statement itself, in the caller's spelling.
    pub names: Vec<TableName>,
    pub tables: BTreeMap<TableName, Arc<Table>>,
    /// The answer is about the past, where nothing is overdue or failing.
    past: bool,
}

/// Who asks, and about when.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub principal: &'a Principal,
    pub as_of: Option<DateTime<Utc>>,
    pub now: DateTime<Utc>,
}

/// The one spelling of a name: the caller's own schema is `my`.
pub(crate) fn canonical(name: &TableName, principal: &Principal) -> TableName {
    match name.schema == principal.slug.as_str() {
        true => TableName::new(TableName::MY, &*name.table),
        false => name.clone(),
    }
}

/// The names of a statement as tables. Errors: the text that no table can be called, shortened.
pub(crate) fn table_names(texts: &[String]) -> Result<Vec<TableName>, String> {
    texts.iter().map(|text| text.parse().map_err(|_| shortened(text))).collect()
}

/// Enough of a name to recognise it.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(130).collect()
}

impl Pinned {
    /// Pins `names` and all that the views among them read, in one catalog read (repeated while views name tables not yet in it, so that
    /// the last read holds them all). Errors: `unknown-table` for what is not there or not visible, in the caller's spelling; `conflict` for
    /// an analysis that has no result yet.
    pub async fn of(names: &[TableName], asker: Asker<'_>, catalog: &Catalog) -> Result<Self, QueryError> {
        if asker.as_of.is_some_and(|at| at > asker.now) {
            return Err(QueryError::parameter("as_of", "`as_of` lies in the future"));
        }
        let mut wanted: BTreeSet<TableName> =
            names.iter().map(|name| canonical(name, asker.principal)).collect();
        for _ in 0..=VIEW_DEPTH {
            let tables = read(&wanted, asker, catalog).await?;
            let before = wanted.len();
            wanted.extend(
                tables
                    .values()
                    .filter(|table| table.kind == Kind::View)
                    .flat_map(|view| upstream(view, asker.principal)),
            );
            if wanted.len() == before {
                let pinned = Self { names: names.to_vec(), tables, past: asker.as_of.is_some() };
                return match pinned.check(names, asker.principal) {
                    Ok(()) => Ok(pinned),
                    Err(missing) => Err(missing.explained(asker.principal, catalog).await),
                };
            }
        }
        Err(QueryError::TooDeep { depth: VIEW_DEPTH })
    }

    fn check(&self, names: &[TableName], principal: &Principal) -> Result<(), Missing> {
        for name in names {
            self.readable(&canonical(name, principal), name)?;
        }
        for view in self.tables.values().filter(|table| table.kind == Kind::View) {
            for name in upstream(view, principal) {
                self.readable(&name, &name)?;
            }
        }
        Ok(())
    }

    /// Errors: what is missing under the name `spelled`.
    fn readable(&self, name: &TableName, spelled: &TableName) -> Result<(), Missing> {
        match self.tables.get(name) {
            Some(table) if table.kind == Kind::View || table.version.is_some() => Ok(()),
            Some(table) if table.kind == Kind::Materialised => {
                Err(Missing::Result(spelled.clone(), Arc::clone(table)))
            }
            _ => Err(Missing::Table(spelled.clone())),
        }
    }

    /// Whether a customer's table is among them: then an answer belongs to its workspace.
    pub fn private(&self) -> bool {
        self.tables.values().any(|table| table.workspace.is_some())
    }

    /// Adds all that the answer depends on.
    pub fn write(&self, principal: &Principal, now: DateTime<Utc>, tag: &mut TagBuilder) {
        if self.private() {
            tag.bytes(principal.workspace.as_uuid().as_bytes());
        }
        for table in self.tables.values() {
            tag.bytes(table.id.as_uuid().as_bytes()).version(table.version).number(table.revision);
            tag.number(i64::from(self.overdue(table, now))).number(i64::from(self.failing(table)));
        }
    }

    /// `meta.tables`, by name. Views are listed too, without a version.
    pub fn meta(&self, now: DateTime<Utc>) -> Vec<TableMeta> {
        let entry = |(name, table): (&TableName, &Arc<Table>)| TableMeta {
            name: name.to_string(),
            version: table.version,
            updated_at: Some(table.updated_at),
            overdue: self.overdue(table, now),
            failing: self.failing(table),
        };
        self.tables.iter().map(entry).collect()
    }

    fn overdue(&self, table: &Table, now: DateTime<Utc>) -> bool {
        !self.past && table.overdue(now)
    }

    fn failing(&self, table: &Table) -> bool {
        !self.past && table.failing()
    }

    /// The same tables at the versions `pins` names. Errors: `conflict` where a table is not the one it was.
    pub fn at_versions(mut self, pins: &BTreeMap<TableName, Pin>) -> Result<Self, QueryError> {
        for (name, table) in &mut self.tables {
            match pins.get(name) {
                Some(pin) if pin.table == table.id => {
                    if pin.version != table.version {
                        *table = Arc::new(Table { version: pin.version, ..table.as_ref().clone() });
                    }
                }
                _ => return Err(changed(name)),
            }
        }
        Ok(self)
    }

    /// What [`Pinned::at_versions`] needs to find the same content again.
    pub fn pins(&self) -> BTreeMap<TableName, Pin> {
        self.tables
            .iter()
            .map(|(name, table)| {
                (name.clone(), Pin { table: table.id, version: table.version, revision: table.revision })
            })
            .collect()
    }
}

/// One table at one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Pin {
    pub table: identity::TableId,
    pub version: Option<i64>,
    pub revision: i64,
}

pub(crate) fn changed(name: &TableName) -> QueryError {
    let detail = format!("`{name}` was replaced since; ask anew");
    QueryError::Refused { code: "conflict".to_owned(), detail, errors: Vec::new() }
}

/// The names a view reads, where `my` is the view's owner, who is the caller.
pub(crate) fn upstream(view: &Table, principal: &Principal) -> Vec<TableName> {
    view.upstream.iter().map(|name| canonical(name, principal)).collect()
}

async fn read(
    wanted: &BTreeSet<TableName>,
    asker: Asker<'_>,
    catalog: &Catalog,
) -> Result<BTreeMap<TableName, Arc<Table>>, QueryError> {
    let Asker { principal, as_of, now } = asker;
    let names: Vec<TableName> = wanted.iter().cloned().collect();
    let tables = match as_of {
        None => catalog.pin(principal.workspace, &principal.slug, &names).await,
        Some(at) => catalog.pin_at(principal.workspace, &principal.slug, &names, at, now).await,
    };
    let tables = tables.map_err(|error| of_catalog(error, as_of.unwrap_or(now)))?;
    Ok(names.into_iter().zip(tables).filter_map(|(name, table)| Some((name, table?))).collect())
}

//! Which dataset an upload goes to, and how.

use std::sync::Arc;

use catalog::{Column, Kind, NewTable, Table};
use chrono::{DateTime, Utc};
use identity::Principal;

use super::decode::request::{Decoded, TableColumn};
use super::decode::types::Type;
use super::{Error, NewUpload, StagedFile, UploadMode, Uploads};

/// The dataset as it is before the upload.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// `None`: it has to be made.
    pub table: Option<Arc<Table>>,
    /// Key columns, as the caller or the dataset names them.
    pub key: Vec<String>,
}

impl Target {
    /// Columns that the file's rows must have: those of a dataset that rows are added to.
    pub fn columns(&self, mode: UploadMode) -> Option<Vec<TableColumn>> {
        let table =
            self.table.as_ref().filter(|_| matches!(mode, UploadMode::Append | UploadMode::Upsert))?;
        let column = |column: &Column| TableColumn {
            name: column.name.clone(),
            of: column.r#type.parse().unwrap_or(Type::Text),
        };
        Some(table.columns.iter().map(column).collect())
    }
}

impl Uploads {
    /// The dataset that `new` names. Errors: [`Error::NameTaken`], [`Error::UnknownDataset`], [`Error::Refused`] for an analysis and for an
    /// upsert without a key.
    pub(super) async fn target(&self, file: &StagedFile, new: &NewUpload) -> Result<Target, Error> {
        let table = self.publisher.catalog().find(file.workspace, &new.name).await?;
        let name = || new.name.to_string();
        if table.as_ref().is_some_and(|table| table.kind != Kind::Dataset) {
            return Err(Error::NameTaken(name()));
        }
        match (new.mode, &table) {
            (UploadMode::Create, Some(_)) => return Err(Error::NameTaken(name())),
            (UploadMode::Append | UploadMode::Upsert, None) => return Err(Error::UnknownDataset(name())),
            _ => {}
        }
        let stored = table.as_ref().map(|table| table.key.clone()).unwrap_or_default();
        let key = if new.key.is_empty() && new.mode == UploadMode::Upsert { stored } else { new.key.clone() };
        if new.mode == UploadMode::Upsert && key.is_empty() {
            let detail = "mode upsert needs `key`, the columns that tell rows apart".to_owned();
            return Err(Error::Refused { code: "invalid-parameter".to_owned(), detail, errors: Vec::new() });
        }
        Ok(Target { table, key })
    }

    /// The dataset to publish to; a new one takes its name now. Errors: [`Error::NameTaken`], [`Error::Catalog`].
    pub(super) async fn take_name(
        &self,
        principal: &Principal,
        new: &NewUpload,
        target: &Target,
        decoded: &Decoded,
        now: DateTime<Utc>,
    ) -> Result<Arc<Table>, Error> {
        if let Some(table) = &target.table {
            return Ok(Arc::clone(table));
        }
        let table = NewTable {
            columns: columns(decoded, None),
            key: decoded.key.clone(),
            description: new.description.clone(),
            ..NewTable::new(principal.slug.clone(), new.name.clone())
        };
        Ok(self.publisher.catalog().create_table(principal.workspace, table, now).await?)
    }
}

/// The dataset's columns after the upload; `before` are those of the dataset that rows are added to.
pub(super) fn columns(decoded: &Decoded, before: Option<&Table>) -> Vec<Column> {
    let found = decoded.columns.iter().map(|column| {
        let old = before.and_then(|table| table.columns.iter().find(|old| old.name == column.name));
        let nulls = i64::try_from(column.nulls).ok();
        match old {
            Some(old) => Column { nulls: old.nulls.zip(nulls).map(|(old, new)| old + new), ..old.clone() },
            None => {
                let label = (column.label != column.name).then(|| column.label.clone());
                Column { label, nulls, ..Column::new(&column.name, column.of.to_string()) }
            }
        }
    });
    found.collect()
}

//! A lake is data, not code: one folder with `lake.toml`, `regions.csv` and SQL models (query/ingest/src/lakefile).
//!
//! ```text
//! deploy/lakes/weather-market/          built into the binary, or another folder by configuration
//!   lake.toml      areas, currency, sources, tables with columns, units and freshness promises
//!   regions.csv    the gazetteer: known places with their points
//!   models/<area>/<schema>.<table>.sql
//! ```
//! Absent on purpose: anything about where the bytes lie (that is `lake`'s) and about customers' tables.

mod builtin;
mod files;
mod gazetteer;
mod period;
mod register;
mod sources;
mod table;
mod zone;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use identity::TableName;
use serde::Deserialize;

pub use files::{Drift, FilesFrom, FilesSpec, FtpSpec, HttpSpec, SecretSpec, StoreSpec};
pub use gazetteer::{Gazetteer, KnownPlace};
pub use period::Period;
pub use register::RegisterError;
pub use sources::{EventsSpec, SourceSpec, WeatherSpec};
pub use table::{ColumnSpec, ColumnType, TableSpec};
pub use zone::{UnknownPoint, zone_at};

use crate::models::{Model, in_order};

/// A lake's declaration, checked: every table's area exists, every source's table exists, every model has its table.
#[derive(Clone, Debug)]
pub struct Lakefile {
    pub name: String,
    pub description: String,
    /// ISO 4217 code of every price in the lake.
    pub currency: String,
    /// The lake's own words for its areas, by what they are: `raw`, `curated`, `operational`, `aggregated`.
    pub areas: BTreeMap<String, String>,
    pub tables: Vec<TableSpec>,
    pub sources: BTreeMap<String, SourceSpec>,
    pub gazetteer: Gazetteer,
    pub models: Vec<Model>,
}

/// `lake.toml` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    description: String,
    currency: String,
    areas: BTreeMap<String, String>,
    sources: BTreeMap<String, SourceSpec>,
    tables: Vec<TableSpec>,
    /// Places that are regions from the start: the first of `regions.csv`, and beyond it simulated ones. Absent: all.
    regions: Option<usize>,
}

/// Why a lake cannot be used as it is written.
#[derive(Debug, thiserror::Error)]
pub enum LakefileError {
    #[error("the lake's file {file} cannot be read")]
    Unreadable {
        file: String,
        #[source]
        source: std::io::Error,
    },
    /// The reader's own words, which tell line and reason.
    #[error("lake.toml: {0}")]
    Toml(Box<toml::de::Error>),
    #[error("regions.csv, line {line}: {reason}")]
    Region { line: u64, reason: String },
    #[error("lake.toml: {0}")]
    Wrong(String),
    #[error("model {file}: {reason}")]
    Model { file: String, reason: String },
}

impl Lakefile {
    /// The default lake `weather-market`, as built into this binary.
    pub fn builtin() -> Result<Arc<Self>, LakefileError> {
        Self::assemble(builtin::LAKE, builtin::REGIONS, builtin_models()).map(Arc::new)
    }

    /// Writes the default lake into a folder, with a definition that is changed: what [`Lakefile::read`] reads.
    /// - Errors: those of the file system.
    pub fn write_builtin(folder: &Path, change: impl FnOnce(&mut toml::Table)) -> std::io::Result<()> {
        let mut lake: toml::Table = builtin::LAKE.parse().map_err(std::io::Error::other)?;
        change(&mut lake);
        let own = [("lake.toml", lake.to_string()), ("regions.csv", builtin::REGIONS.to_string())];
        let files = own.into_iter().map(|(file, text)| (file.to_string(), text)).chain(builtin_models());
        for (file, text) in files {
            let path = folder.join(file);
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            std::fs::write(path, text)?;
        }
        Ok(())
    }

    /// A lake from a folder of its own, or from the `lake.toml` in it. Without `models/` it has the built-in models.
    /// - Errors: [`LakefileError`] with the file and, where there is one, the line.
    pub fn read(path: &Path) -> Result<Arc<Self>, LakefileError> {
        let file = if path.is_dir() { path.join("lake.toml") } else { path.to_path_buf() };
        let folder = file.parent().unwrap_or(Path::new("."));
        let lake = read(&file)?;
        let regions = read(&folder.join("regions.csv"))?;
        let models = folder.join("models");
        let models = if models.is_dir() { model_files(&models)? } else { builtin_models() };
        Self::assemble(&lake, &regions, models).map(Arc::new)
    }

    /// The same lake over other places, from the text of a `regions.csv`.
    pub fn with_regions(&self, csv: &str) -> Result<Arc<Self>, LakefileError> {
        Ok(Arc::new(Self { gazetteer: Gazetteer::parse(csv)?, ..self.clone() }))
    }

    /// The same lake with the first `n` places chosen; beyond the gazetteer, simulated places near known ones.
    pub fn with_first_regions(&self, n: usize) -> Arc<Self> {
        Arc::new(Self { gazetteer: self.gazetteer.first(n), ..self.clone() })
    }

    fn assemble(lake: &str, regions: &str, models: Vec<(String, String)>) -> Result<Self, LakefileError> {
        let written: Written = toml::from_str(lake).map_err(|error| LakefileError::Toml(Box::new(error)))?;
        let known = Gazetteer::parse(regions)?;
        let models = models
            .into_iter()
            .map(|(file, text)| Model::parse(&file, &text))
            .collect::<Result<Vec<_>, _>>()?;
        let lakefile = Self {
            name: written.name,
            description: written.description,
            currency: written.currency,
            areas: written.areas,
            tables: written.tables,
            sources: written.sources,
            gazetteer: written.regions.map_or_else(|| known.clone(), |n| known.first(n)),
            models: in_order(models)?,
        };
        lakefile.check()?;
        Ok(lakefile)
    }

    /// The declaration of a table, by name.
    pub fn table(&self, name: &TableName) -> Option<&TableSpec> {
        self.tables.iter().find(|t| &t.name == name)
    }

    /// The folder of an area, in the lake's own words.
    pub fn area(&self, kind: &str) -> &str {
        self.areas.get(kind).map_or("raw", String::as_str)
    }

    fn check(&self) -> Result<(), LakefileError> {
        self.check_tables()?;
        for (name, source) in &self.sources {
            for table in source.tables() {
                if self.table(table).is_none() {
                    return Err(LakefileError::Wrong(format!(
                        "source `{name}` fills an unknown table `{table}`"
                    )));
                }
            }
            if let SourceSpec::Files(files) = source
                && let Some(table) = self.table(&files.table)
            {
                files.check(table).map_err(|why| LakefileError::Wrong(format!("source `{name}`: {why}")))?;
            }
        }
        for model in &self.models {
            if self.table(&model.table).is_none() {
                let reason = format!("no table `{}` in lake.toml", model.table);
                return Err(LakefileError::Model { file: model.file.clone(), reason });
            }
        }
        Ok(())
    }

    fn check_tables(&self) -> Result<(), LakefileError> {
        let mut seen = HashMap::new();
        for table in &self.tables {
            if seen.insert(&table.name, ()).is_some() {
                return Err(LakefileError::Wrong(format!("table `{}` is declared twice", table.name)));
            }
            if !self.areas.contains_key(&table.area) {
                return Err(LakefileError::Wrong(format!(
                    "table `{}`: no area `{}`",
                    table.name, table.area
                )));
            }
            table.check().map_err(LakefileError::Wrong)?;
        }
        Ok(())
    }
}

fn builtin_models() -> Vec<(String, String)> {
    builtin::MODELS.iter().map(|(file, text)| (file.to_string(), text.to_string())).collect()
}

fn read(file: &Path) -> Result<String, LakefileError> {
    std::fs::read_to_string(file)
        .map_err(|source| LakefileError::Unreadable { file: file.display().to_string(), source })
}

/// Every `*.sql` two levels below `models/`, by name, so that the order is the same on every machine.
fn model_files(folder: &Path) -> Result<Vec<(String, String)>, LakefileError> {
    let unreadable = |source| LakefileError::Unreadable { file: folder.display().to_string(), source };
    let mut files = Vec::new();
    for area in std::fs::read_dir(folder).map_err(unreadable)? {
        let area = area.map_err(unreadable)?.path();
        if !area.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&area).map_err(unreadable)? {
            let file = file.map_err(unreadable)?.path();
            if file.extension().is_some_and(|e| e == "sql") {
                files.push((file.display().to_string(), read(&file)?));
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_lake_is_whole_and_equals_its_folder() {
        let builtin = Lakefile::builtin().unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/lakes/weather-market");
        let read = Lakefile::read(&folder).unwrap();
        assert_eq!(builtin.tables, read.tables);
        assert_eq!(builtin.models.len(), read.models.len());
        assert_eq!(builtin.currency, "EUR");
        assert!(builtin.gazetteer.places().len() >= 100);
    }

    #[test]
    fn a_written_lake_is_read_as_the_built_in_one_with_its_changes() {
        let folder = tempfile::tempdir().unwrap();
        let few = |lake: &mut toml::Table| drop(lake.insert("regions".into(), 3.into()));
        Lakefile::write_builtin(folder.path(), few).unwrap();
        let (builtin, read) = (Lakefile::builtin().unwrap(), Lakefile::read(folder.path()).unwrap());
        assert_eq!((&builtin.tables, &builtin.sources), (&read.tables, &read.sources));
        assert_eq!(builtin.models.len(), read.models.len());
        assert_eq!(read.gazetteer, builtin.gazetteer.first(3));
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let text = builtin::LAKE.replacen("currency", "curency", 1);
        let refused = Lakefile::assemble(&text, builtin::REGIONS, Vec::new()).unwrap_err();
        assert!(refused.to_string().contains("curency"), "{refused}");
    }
}

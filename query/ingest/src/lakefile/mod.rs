//! A lake is data, not code: one folder with `lake.toml`, `regions.csv` and SQL models (query/ingest/src/lakefile).
//!
//! ```text
//! deploy/lakes/weather-market/          built into the binary, or another folder by configuration
//!   lake.toml      areas, currency, sources, tables with columns, units and freshness promises
//!   regions.csv    the gazetteer: known places with their points
//!   models/<area>/<schema>.<table>.sql
//!   mappings/<schema>.<table>.csv        tables that say what sources call otherwise
//! ```
//! Absent on purpose: anything about where the bytes lie (that is `lake`'s) and about customers' tables.

mod builtin;
mod examine;
mod gazetteer;
mod mapping;
mod period;
mod register;
mod sources;
mod table;
mod zone;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity::TableName;
use serde::Deserialize;

pub use examine::Fault;
pub use gazetteer::{Gazetteer, KnownPlace};
pub use mapping::Mapping;
pub use period::Period;
pub use register::RegisterError;
pub use sources::{EventsSpec, FilesSpec, SourceSpec, WeatherSpec};
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
    pub mappings: Vec<Mapping>,
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
    #[error("lake.toml: {error}")]
    Toml { line: usize, error: Box<toml::de::Error> },
    #[error("regions.csv, line {line}: {reason}")]
    Region { line: u64, reason: String },
    #[error("lake.toml, line {line}: {reason}")]
    Wrong { line: usize, reason: String },
    #[error("model {file}, line {line}: {reason}")]
    Model { file: String, line: usize, reason: String },
    #[error("mapping {file}, line {line}: {reason}")]
    Mapping { file: String, line: usize, reason: String },
}

impl Lakefile {
    /// The default lake `weather-market`, as built into this binary.
    pub fn builtin() -> Result<Arc<Self>, LakefileError> {
        Self::assemble(&Texts::builtin()).map(Arc::new)
    }

    /// Writes the default lake into a folder, with a definition that is changed: what [`Lakefile::read`] reads.
    /// - Errors: those of the file system.
    pub fn write_builtin(folder: &Path, change: impl FnOnce(&mut toml::Table)) -> std::io::Result<()> {
        let mut lake: toml::Table = builtin::LAKE.parse().map_err(std::io::Error::other)?;
        change(&mut lake);
        let own = [("lake.toml", lake.to_string()), ("regions.csv", builtin::REGIONS.to_string())];
        let files = own.into_iter().map(|(file, text)| (file.to_string(), text)).chain(builtin_models());
        let files =
            files.chain(builtin::MAPPINGS.iter().map(|(file, text)| (file.to_string(), text.to_string())));
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
        Self::assemble(&Texts::read(path)?).map(Arc::new)
    }

    /// The same lake over other places, from the text of a `regions.csv`.
    pub fn with_regions(&self, csv: &str) -> Result<Arc<Self>, LakefileError> {
        Ok(Arc::new(Self { gazetteer: Gazetteer::parse(csv)?, ..self.clone() }))
    }

    /// The same lake with the first `n` places chosen; beyond the gazetteer, simulated places near known ones.
    pub fn with_first_regions(&self, n: usize) -> Arc<Self> {
        Arc::new(Self { gazetteer: self.gazetteer.first(n), ..self.clone() })
    }

    fn assemble(texts: &Texts) -> Result<Self, LakefileError> {
        let written = Written::parse(&texts.lake)?;
        let known = Gazetteer::parse(&texts.regions)?;
        let models = texts.models.iter().map(|(file, text)| Model::parse(file, text));
        let models = in_order(models.collect::<Result<Vec<_>, _>>()?)?;
        let mappings = texts.mappings.iter().map(Mapping::of).collect::<Result<Vec<_>, _>>()?;
        let lakefile = written.with(known, models, mappings);
        match lakefile.wrongs(&texts.lake).into_iter().next() {
            Some(wrong) => Err(wrong),
            None => Ok(lakefile),
        }
    }

    /// The declaration of a table, by name.
    pub fn table(&self, name: &TableName) -> Option<&TableSpec> {
        self.tables.iter().find(|t| &t.name == name)
    }

    /// The folder of an area, in the lake's own words.
    pub fn area(&self, kind: &str) -> &str {
        self.areas.get(kind).map_or("raw", String::as_str)
    }

    /// Every name that does not fit another. `text`: the `lake.toml` it was read from, for the lines.
    fn wrongs(&self, text: &str) -> Vec<LakefileError> {
        let wrong =
            |place: String, reason: String| LakefileError::Wrong { line: line_of(text, &place), reason };
        let mut wrongs = self.wrong_tables(text);
        for (name, source) in &self.sources {
            let unknown = source.tables().into_iter().filter(|table| self.table(table).is_none());
            wrongs.extend(unknown.map(|table| {
                let reason = format!("source `{name}` fills an unknown table `{table}`");
                wrong(format!("[sources.{name}]"), reason)
            }));
        }
        for model in self.models.iter().filter(|model| self.table(&model.table).is_none()) {
            let (file, line) = (model.file.clone(), model.line_of("table"));
            let reason = format!("no table `{}` in lake.toml", model.table);
            wrongs.push(LakefileError::Model { file, line, reason });
        }
        wrongs.extend(self.mappings.iter().filter_map(|mapping| self.wrong_mapping(mapping)));
        wrongs
    }

    fn wrong_mapping(&self, mapping: &Mapping) -> Option<LakefileError> {
        let Some(spec) = self.table(&mapping.table) else {
            let reason = format!("no table `{}` in lake.toml", mapping.table);
            return Some(LakefileError::Mapping { file: mapping.file.clone(), line: 1, reason });
        };
        mapping.rows(&mapping.text, spec).err()
    }

    fn wrong_tables(&self, text: &str) -> Vec<LakefileError> {
        let (mut seen, mut wrongs) = (HashSet::new(), Vec::new());
        for table in &self.tables {
            let twice = !seen.insert(&table.name);
            let line = line_of(text, &format!("name = \"{}\"", table.name));
            let mut wrong = |reason| wrongs.push(LakefileError::Wrong { line, reason });
            if twice {
                wrong(format!("table `{}` is declared twice", table.name));
            }
            if !self.areas.contains_key(&table.area) {
                wrong(format!("table `{}`: no area `{}`", table.name, table.area));
            }
            table.check().err().into_iter().for_each(wrong);
        }
        wrongs
    }
}

impl Written {
    fn parse(text: &str) -> Result<Self, LakefileError> {
        let told = |error: toml::de::Error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            LakefileError::Toml { line, error: Box::new(error) }
        };
        toml::from_str(text).map_err(told)
    }

    fn with(self, known: Gazetteer, models: Vec<Model>, mappings: Vec<Mapping>) -> Lakefile {
        Lakefile {
            name: self.name,
            description: self.description,
            currency: self.currency,
            areas: self.areas,
            tables: self.tables,
            sources: self.sources,
            gazetteer: self.regions.map_or_else(|| known.clone(), |n| known.first(n)),
            models,
            mappings,
        }
    }
}

/// The line on which `word` first stands; the first one if it stands nowhere.
fn line_of(text: &str, word: &str) -> usize {
    text.lines().position(|line| line.contains(word)).map_or(1, |n| n + 1)
}

/// A lake's files as they are written.
struct Texts {
    /// The path of `lake.toml`, for messages.
    file: String,
    lake: String,
    regions: String,
    /// (file, text)
    models: Vec<(String, String)>,
    mappings: Vec<(String, Option<PathBuf>, String)>,
}

impl Texts {
    fn builtin() -> Self {
        let (lake, regions) = (builtin::LAKE.into(), builtin::REGIONS.into());
        let mappings = builtin_mappings();
        Self { file: "lake.toml".into(), lake, regions, models: builtin_models(), mappings }
    }

    /// Errors: [`LakefileError::Unreadable`].
    fn read(path: &Path) -> Result<Self, LakefileError> {
        let file = if path.is_dir() { path.join("lake.toml") } else { path.to_path_buf() };
        let folder = file.parent().unwrap_or(Path::new("."));
        let (lake, regions) = (read(&file)?, read(&folder.join("regions.csv"))?);
        let (models, mappings) = (folder.join("models"), folder.join("mappings"));
        let own = models.is_dir();
        let models = if own { model_files(&models)? } else { builtin_models() };
        let mappings = match mappings.is_dir() {
            true => mapping_files(&mappings)?,
            false if own => Vec::new(),
            false => builtin_mappings(),
        };
        Ok(Self { file: file.display().to_string(), lake, regions, models, mappings })
    }
}

fn builtin_models() -> Vec<(String, String)> {
    builtin::MODELS.iter().map(|(file, text)| (file.to_string(), text.to_string())).collect()
}

fn builtin_mappings() -> Vec<(String, Option<PathBuf>, String)> {
    builtin::MAPPINGS.iter().map(|(file, text)| (file.to_string(), None, text.to_string())).collect()
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

/// Every `*.csv` of `mappings/`, by name.
fn mapping_files(folder: &Path) -> Result<Vec<(String, Option<PathBuf>, String)>, LakefileError> {
    let unreadable = |source| LakefileError::Unreadable { file: folder.display().to_string(), source };
    let mut files = Vec::new();
    for file in std::fs::read_dir(folder).map_err(unreadable)? {
        let file = file.map_err(unreadable)?.path();
        if file.extension().is_some_and(|e| e == "csv") {
            let text = read(&file)?;
            files.push((file.display().to_string(), Some(file), text));
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
        let lake = builtin::LAKE.replacen("currency", "curency", 1);
        let texts = Texts { lake, models: Vec::new(), ..Texts::builtin() };
        let refused = Lakefile::assemble(&texts).unwrap_err();
        assert!(refused.to_string().contains("curency"), "{refused}");
    }
}

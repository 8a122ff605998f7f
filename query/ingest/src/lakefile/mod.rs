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
mod events;
mod examine;
mod files;
mod gazetteer;
mod mapping;
mod path;
mod period;
mod register;
mod retention;
mod schedule;
mod sources;
mod table;
mod weather;
mod zone;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity::TableName;
use serde::Deserialize;

pub use events::{AfterGap, EventsSpec, KafkaSpec, Paging, PollSpec, Security, TimeFormat};
pub use examine::Fault;
pub use files::{Drift, FilesFrom, FilesSpec, FtpSpec, HttpSpec, SecretSpec, StoreSpec};
pub use gazetteer::{Gazetteer, KnownPlace};
pub use mapping::Mapping;
pub use path::JsonPath;
pub use period::Period;
pub use register::RegisterError;
pub use retention::Retention;
pub use schedule::{ScheduleSpec, Times};
pub use sources::SourceSpec;
pub use table::{ColumnSpec, ColumnType, TableSpec};
pub use weather::{OF_DAYS, OF_HOURS, PLACEHOLDERS, RowsSpec, ServiceSpec, UnitSpec, WeatherSpec};
pub use zone::{UnknownPoint, zone_at};

use crate::jobs::MAINTENANCE;
use crate::models::{Model, in_order};

/// A lake's declaration, checked: every table's area exists, every source's table exists, every model has its table.
#[derive(Clone, Debug)]
pub struct Lakefile {
    pub name: String,
    pub description: String,
    /// ISO 4217 code of every price in the lake.
    pub currency: String,
    /// The mapping's table that says what sources call a region otherwise than by its id. Absent: they send ids.
    pub spellings: Option<TableName>,
    /// The lake's own words for its areas, by what they are: `raw`, `curated`, `operational`, `aggregated`.
    pub areas: BTreeMap<String, String>,
    pub retention: Retention,
    pub tables: Vec<TableSpec>,
    pub sources: BTreeMap<String, SourceSpec>,
    /// What runs by the clock: as declared, and `source.<name>` and `model.<table>` of those that have times of their own.
    pub schedules: BTreeMap<String, ScheduleSpec>,
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
    spellings: Option<TableName>,
    areas: BTreeMap<String, String>,
    #[serde(default)]
    retention: Retention,
    sources: BTreeMap<String, SourceSpec>,
    #[serde(default)]
    schedules: BTreeMap<String, ScheduleSpec>,
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

    /// The sources that fill a table by themselves, as they are asked: `a`, `c.current`. None for a model's table.
    pub fn sources_of(&self, table: &TableName) -> Vec<String> {
        let parts = self.sources.iter().flat_map(|(name, source)| source.parts(name));
        parts.filter(|(_, fills)| *fills == table).map(|(part, _)| part).collect()
    }

    /// All sources as they are asked.
    pub fn parts(&self) -> Vec<String> {
        let parts = self.sources.iter().flat_map(|(name, source)| source.parts(name));
        parts.map(|(part, _)| part).collect()
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
        wrongs.extend(self.wrong_schedules(text));
        wrongs.extend(self.retention.wrongs(&self.areas).map(|reason| wrong("[retention]".into(), reason)));
        for (name, source) in &self.sources {
            let unknown = source.tables().into_iter().filter(|table| self.table(table).is_none());
            wrongs.extend(unknown.map(|table| {
                let reason = format!("source `{name}` fills an unknown table `{table}`");
                wrong(format!("[sources.{name}]"), reason)
            }));
            if let SourceSpec::Files(files) = source
                && let Some(table) = self.table(&files.table)
                && let Err(why) = files.check(table)
            {
                wrongs.push(wrong(format!("[sources.{name}]"), format!("source `{name}`: {why}")));
            }
            if let SourceSpec::Weather(weather) = source
                && let Err(why) = weather.check()
            {
                wrongs.push(wrong(format!("[sources.{name}]"), format!("source `{name}`: {why}")));
            }
            if let SourceSpec::Events(events) = source
                && let Err((part, why)) = events.check()
            {
                wrongs.push(wrong(format!("[sources.{name}.{part}]"), format!("source `{name}`: {why}")));
            }
            if let SourceSpec::Events(events) = source
                && let Some(table) = self.table(&events.table)
                && let Err(why) = events.check_table(table)
            {
                wrongs.push(wrong(format!("[sources.{name}]"), format!("source `{name}`: {why}")));
            }
        }
        for model in self.models.iter().filter(|model| self.table(&model.table).is_none()) {
            let (file, line) = (model.file.clone(), model.line_of("table"));
            let reason = format!("no table `{}` in lake.toml", model.table);
            wrongs.push(LakefileError::Model { file, line, reason });
        }
        let spellings = self.wrong_spellings();
        wrongs.extend(spellings.map(|reason| wrong("spellings =".into(), format!("`spellings`: {reason}"))));
        wrongs.extend(self.mappings.iter().filter_map(|mapping| self.wrong_mapping(mapping)));
        wrongs
    }

    fn wrong_schedules(&self, text: &str) -> Vec<LakefileError> {
        let wrong = |(name, schedule): (&String, &ScheduleSpec)| {
            let place = name
                .strip_prefix("source.")
                .map_or(format!("[schedules.{name}]"), |s| format!("[sources.{s}]"));
            let reason = schedule.timetable().err().or_else(|| self.unknown_run(&schedule.run))?;
            Some(LakefileError::Wrong {
                line: line_of(text, &place),
                reason: format!("schedule `{name}`: {reason}"),
            })
        };
        let dotted = |name: &String| name.contains('.') && !self.own_times(name);
        let dots = self.schedules.keys().filter(|name| dotted(name)).map(|name| LakefileError::Wrong {
            line: line_of(text, &format!("[schedules.\"{name}\"]")),
            reason: format!("schedule `{name}`: a schedule's name has no dot"),
        });
        let both = self.sources.iter().filter_map(|(name, source)| {
            let reason = format!("source `{name}`: {}", source.times().err()?);
            Some(LakefileError::Wrong { line: line_of(text, &format!("[sources.{name}]")), reason })
        });
        self.schedules.iter().filter_map(wrong).chain(dots).chain(both).collect()
    }

    /// Whether a schedule's name is that of a source or a model with times of its own.
    fn own_times(&self, name: &str) -> bool {
        let source = name.strip_prefix("source.").is_some_and(|name| self.sources.contains_key(name));
        let model = name.strip_prefix("model.");
        source || model.is_some_and(|name| self.models.iter().any(|m| m.table.to_string() == name))
    }

    fn unknown_run(&self, run: &str) -> Option<String> {
        let source = run.split('.').next().unwrap_or(run);
        let known = self.sources.contains_key(run)
            || matches!(self.sources.get(source), Some(SourceSpec::Weather(_)))
            || self.models.iter().any(|model| model.table.to_string() == run)
            || run == MAINTENANCE;
        (!known).then(|| format!("`{run}` is no source, no model's table and not `{MAINTENANCE}`"))
    }

    fn wrong_spellings(&self) -> Option<String> {
        let table = self.spellings.as_ref()?;
        let Some(spec) = self.table(table) else { return Some(format!("no table `{table}`")) };
        if !self.mappings.iter().any(|mapping| mapping.table == *table) {
            return Some(format!("no mapping fills `{table}`: there is no mappings/{table}.csv"));
        }
        let has =
            |name: &str| spec.columns.iter().any(|c| c.name == name && matches!(c.r#type, ColumnType::Text));
        let lacks = [mapping::ALIAS, mapping::PLACE].into_iter().find(|name| !has(name))?;
        Some(format!("`{table}` has no column `{lacks}` of type text"))
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

    fn with(self, known: Gazetteer, models: Vec<Model>, mut mappings: Vec<Mapping>) -> Lakefile {
        for mapping in &mut mappings {
            mapping.spells = self.spellings.as_ref() == Some(&mapping.table);
        }
        Lakefile {
            name: self.name,
            description: self.description,
            currency: self.currency,
            spellings: self.spellings,
            areas: self.areas,
            retention: self.retention,
            tables: self.tables,
            schedules: schedules(self.schedules, &self.sources, &models),
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

/// The declared schedules, and those of sources and models with times of their own.
fn schedules(
    declared: BTreeMap<String, ScheduleSpec>,
    sources: &BTreeMap<String, SourceSpec>,
    models: &[Model],
) -> BTreeMap<String, ScheduleSpec> {
    let mut all = declared;
    for (name, source) in sources {
        let times = source.times().ok().flatten();
        all.extend(times.map(|times| (format!("source.{name}"), times.of(name))));
    }
    for model in models {
        let table = model.table.to_string();
        all.extend(model.schedule.clone().map(|times| (format!("model.{table}"), times.of(&table))));
    }
    all
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
    fn a_schedule_names_what_there_is_and_times_there_are() {
        let with = |more: &str| {
            let text = format!("{}\n[schedules.early]\ncron = \"15 6 * * *\"\n{more}\n", builtin::LAKE);
            Lakefile::assemble(&Texts { lake: text, ..Texts::builtin() })
        };
        for run in ["a", "c", "c.current", "weather.daily", "maintenance"] {
            let lake = with(&format!("run = \"{run}\"\ntimezone = \"Europe/Rome\"")).unwrap();
            assert_eq!(lake.schedules["early"].run, run);
        }
        for (more, said) in [
            ("run = \"nothing\"", "`nothing` is no source"),
            ("run = \"a.b\"", "`a.b` is no source"),
            ("run = \"a\"\ntimezone = \"Rome\"", "no IANA time zone"),
            ("run = \"a\"\ncatchup = \"each\"", "catchup"),
        ] {
            let refused = with(more).unwrap_err().to_string();
            assert!(refused.contains(said), "{more}: {refused}");
        }
    }

    #[test]
    fn a_source_and_a_model_may_have_times_of_their_own() {
        let text = builtin::LAKE.replacen("every = \"1m\"", "cron = \"15 6 * * *\"", 1);
        let models = builtin_models().into_iter().map(|(file, text)| {
            let scheduled = text.replacen(
                "/*---\n",
                "/*---\nschedule = { cron = \"0 7 * * *\", timezone = \"Asia/Tokyo\" }\n",
                1,
            );
            if file.ends_with("weather.daily.sql") { (file, scheduled) } else { (file, text) }
        });
        let texts = Texts { lake: text, models: models.collect(), ..Texts::builtin() };
        let lake = Lakefile::assemble(&texts).unwrap();
        let named: Vec<_> =
            lake.schedules.iter().map(|(name, spec)| (name.as_str(), spec.run.as_str())).collect();
        assert_eq!(named, [("model.weather.daily", "weather.daily"), ("source.a", "a")]);
        let both = builtin::LAKE.replacen("every = \"1m\"", "every = \"1m\"\ncron = \"15 6 * * *\"", 1);
        let refused = Lakefile::assemble(&Texts { lake: both, ..Texts::builtin() }).unwrap_err().to_string();
        assert!(refused.contains("source `a`: `every` or `cron`, not both"), "{refused}");
    }

    #[test]
    fn spellings_are_a_table_of_aliases_and_places_that_are_regions() {
        let with = |named: &str, csv: &str| {
            let lake = builtin::LAKE.replacen("spellings = \"geo.aliases\"", named, 1);
            let mappings = vec![("mappings/geo.aliases.csv".to_string(), None, csv.to_string())];
            Lakefile::assemble(&Texts { lake, mappings, ..Texts::builtin() })
        };
        let (named, good) = ("spellings = \"geo.aliases\"", "alias,place\nLombardy,it-lombardia\n");
        let lake = with(named, good).unwrap();
        assert_eq!(lake.spellings, Some(TableName::new("geo", "aliases")));
        assert!(lake.mappings[0].spells);
        let wrong = "alias,place\nLombardy,../x\n";
        assert_eq!(with("", wrong).unwrap().spellings, None, "without the key it is any mapping");
        for (named, csv, said) in [
            ("spellings = \"geo.nothing\"", good, "no table `geo.nothing`"),
            ("spellings = \"market.daily\"", good, "no mapping fills `market.daily`"),
            (named, wrong, "geo.aliases.csv, line 2: `place`"),
            (named, "alias,place\nLombardy,\n", "line 2: it has no place"),
            (named, "alias,place\na,it-lazio\na,it-molise\n", "line 3: `a` is already on line 2"),
        ] {
            let refused = with(named, csv).unwrap_err().to_string();
            assert!(refused.contains(said), "{named}: {refused}");
        }
        let other = builtin::LAKE.replacen(
            "{ name = \"place\", type = \"text\"",
            "{ name = \"spot\", type = \"text\"",
            1,
        );
        let refused = Lakefile::assemble(&Texts { lake: other, ..Texts::builtin() }).unwrap_err().to_string();
        assert!(refused.contains("`geo.aliases` has no column `place`"), "{refused}");
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let lake = builtin::LAKE.replacen("currency", "curency", 1);
        let texts = Texts { lake, models: Vec::new(), ..Texts::builtin() };
        let refused = Lakefile::assemble(&texts).unwrap_err();
        assert!(refused.to_string().contains("curency"), "{refused}");
    }
}

//! From a lake's declaration to its running sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use catalog::{Catalog, SourceFiles};
use chrono::TimeDelta;
use identity::TableName;
use lake::Lake;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::arrivals::{Arrivals, Entry, Inner, Service};
use super::events::{Keeper, Log, Stream};
use super::files::{Files, FilesParts, Folder, Ftp, Http, Names, Origin, Store};
use super::mappings::Mapped;
use super::marks::Marks;
use super::states::States;
use super::weather::{Client, Current, Forecast, Shared};
use super::{Intake, Places, RawStore, Source, SourceError, Workers};
use crate::lakefile::{EventsSpec, FilesFrom, FilesSpec, Lakefile, Mapping, SourceSpec, WeatherSpec};
use crate::models::Models;
use crate::publish::Publisher;

/// How often a weather source looks whether an hour, or a forecast, is due; looking costs one small read.
const LOOK: Duration = Duration::from_secs(2);
/// How often a mapping file is looked at.
const MAPPINGS: Duration = Duration::from_secs(60);

/// What the sources need of the machine.
pub struct ArrivalsConfig {
    pub lakefile: Arc<Lakefile>,
    /// Folder of their own state: `<source>.db` is a durable log, `inbox/<folder>/` is watched for files.
    pub folder: PathBuf,
    /// Where their work runs: not the runtime that serves HTTP.
    pub heavy: Handle,
    /// Where the bytes of files are read.
    pub workers: Workers,
}

/// Why the sources could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the sources' folder {folder} cannot be made")]
    Folder {
        folder: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the log {file} cannot be opened")]
    Log {
        file: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("source `{name}`: {source}")]
    Source {
        name: String,
        #[source]
        source: Box<SourceError>,
    },
    #[error("the models' session cannot be made")]
    Models(#[from] datafusion::error::DataFusionError),
}

/// What every source is made with.
struct Opening<'a> {
    lakefile: &'a Arc<Lakefile>,
    folder: &'a Path,
    raw: RawStore,
    places: Places,
    workers: Workers,
    known: SourceFiles,
}

impl Arrivals {
    /// Opens every source that the lake declares; nothing is fetched yet.
    /// - Errors: [`OpenError`] with the source that is wrong.
    pub async fn open(
        config: ArrivalsConfig,
        lake: Lake,
        catalog: Catalog,
        publisher: Publisher,
    ) -> Result<Self, OpenError> {
        let ArrivalsConfig { lakefile, folder, heavy, workers } = config;
        let raw = RawStore::new(lake.objects().clone(), lakefile.area("raw"));
        let places = Places::new(lake.clone(), catalog.clone());
        let (known, places_too) = (catalog.source_files(), places.clone());
        let opening =
            Opening { lakefile: &lakefile, folder: &folder, raw, places: places_too, workers, known };
        let (mut entries, mut services, mut logs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (name, spec) in &lakefile.sources {
            match spec {
                SourceSpec::Files(spec) => opening.files(name, spec, &mut entries)?,
                SourceSpec::Events(spec) => {
                    let keeper = opening.events(name, spec, &mut entries).await?;
                    logs.insert(name.clone(), keeper);
                }
                SourceSpec::Weather(spec) => {
                    services.insert(name.clone(), opening.weather(name, spec, &mut entries)?);
                }
            }
        }
        for mapping in &lakefile.mappings {
            opening.mapping(mapping, &mut entries);
        }
        let models = Models::new(lakefile.clone(), lake, catalog.clone(), publisher.clone(), heavy.clone())?;
        let intake = Intake::new(lakefile.clone(), catalog.clone(), publisher.clone());
        let marks = Marks::new(catalog.clone());
        let (owed, held) = (parking_lot::Mutex::default(), AtomicBool::new(false));
        let streams = logs.keys().cloned().collect();
        let states = States::new(catalog.clone(), entries.keys().cloned().collect(), streams);
        let inner = Inner {
            lakefile,
            catalog,
            places,
            intake,
            publisher,
            models,
            marks,
            entries,
            services,
            logs,
            owed,
            states,
            held,
            heavy,
        };
        Ok(Self(Arc::new(inner)))
    }
}

fn entry(source: impl Source + 'static, every: Option<Duration>) -> Entry {
    Entry { source: Arc::new(source), every, turn: Mutex::new(()) }
}

impl Opening<'_> {
    fn schema(&self, name: &str, table: &TableName) -> Result<SchemaRef, OpenError> {
        let unknown = || OpenError::Source {
            name: name.to_string(),
            source: Box::new(SourceError::Unknown { name: table.to_string() }),
        };
        Ok(self.lakefile.table(table).ok_or_else(unknown)?.schema())
    }

    fn make_folder(&self, folder: &Path) -> Result<(), OpenError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| OpenError::Folder { folder: folder.display().to_string(), source })
    }

    fn files(
        &self,
        name: &str,
        spec: &FilesSpec,
        entries: &mut BTreeMap<String, Entry>,
    ) -> Result<(), OpenError> {
        let wrong = |source| OpenError::Source { name: name.to_string(), source: Box::new(source) };
        let Some(table) = self.lakefile.table(&spec.table).cloned() else { return Ok(()) };
        let parts = FilesParts {
            name: name.to_string(),
            spec: spec.clone(),
            table,
            origin: self.origin(name, spec)?,
            raw: self.raw.clone(),
            workers: self.workers.clone(),
            catalog: self.known.clone(),
        };
        let files = Files::new(parts).map_err(wrong)?;
        entries.insert(name.to_string(), entry(files, spec.every.map(|every| every.0)));
        Ok(())
    }

    fn mapping(&self, mapping: &Mapping, entries: &mut BTreeMap<String, Entry>) {
        let Some(table) = self.lakefile.table(&mapping.table).cloned() else { return };
        let mapped = Mapped::new(mapping.clone(), table, self.raw.clone(), self.places.clone());
        entries.insert(mapped.name().to_string(), entry(mapped, Some(MAPPINGS)));
    }

    fn origin(&self, name: &str, spec: &FilesSpec) -> Result<Box<dyn Origin>, OpenError> {
        let (names, settle_ms) = (Names::new(spec.names.clone()), spec.settle_ms);
        let wrong = |source| OpenError::Source { name: name.to_string(), source: Box::new(source) };
        Ok(match &spec.from {
            FilesFrom::Folder(folder) => {
                let folder = self.folder.join("inbox").join(folder);
                self.make_folder(&folder)?;
                Box::new(Folder { folder, names, settle_ms })
            }
            FilesFrom::Store(store) => Box::new(Store::new(store, names, settle_ms)),
            FilesFrom::Http(http) => Box::new(Http::new(http, names, settle_ms).map_err(wrong)?),
            FilesFrom::Ftp(ftp) => Box::new(Ftp::new(ftp, names, settle_ms).map_err(wrong)?),
        })
    }

    async fn events(
        &self,
        name: &str,
        spec: &EventsSpec,
        entries: &mut BTreeMap<String, Entry>,
    ) -> Result<Keeper, OpenError> {
        self.make_folder(self.folder)?;
        let file = self.folder.join(format!("{name}.db"));
        let failed = |source| OpenError::Log { file: file.display().to_string(), source };
        let log = Log::open(&file).await.map_err(failed)?;
        let stream = Stream {
            name: name.to_string(),
            log: log.clone(),
            table: spec.table.clone(),
            schema: self.schema(name, &spec.table)?,
            events_per_batch: spec.events_per_batch,
            places: self.places.clone(),
        };
        entries.insert(name.to_string(), entry(stream, spec.every.map(|every| every.0)));
        let remembered = TimeDelta::from_std(spec.remember.0).unwrap_or(TimeDelta::days(8));
        Ok(Keeper { name: name.to_string(), log, raw: self.raw.clone(), remembered })
    }

    fn weather(
        &self,
        name: &str,
        spec: &WeatherSpec,
        entries: &mut BTreeMap<String, Entry>,
    ) -> Result<Service, OpenError> {
        let wrong = |source| OpenError::Source { name: name.to_string(), source: Box::new(source) };
        let client = Arc::new(Client::new(spec).map_err(wrong)?);
        let shared = |table: &TableName| -> Result<Shared, OpenError> {
            Ok(Shared {
                source: name.to_string(),
                client: Arc::clone(&client),
                raw: self.raw.clone(),
                schema: self.schema(name, table)?,
                locations_per_request: spec.locations_per_request,
            })
        };
        let (hourly, archive) = (shared(&spec.hourly)?, shared(&spec.archive)?);
        let places = self.places.clone();
        let current = Current::new(hourly.clone(), places.clone(), spec.hourly.clone());
        let every = TimeDelta::from_std(spec.forecast_every.0).unwrap_or(TimeDelta::hours(1));
        let forecast = Forecast::new(
            shared(&spec.forecast)?,
            places,
            spec.forecast.clone(),
            every,
            spec.locations_per_issue,
        );
        let look = spec.cron.is_none().then_some(LOOK);
        entries.insert(current.name().to_string(), entry(current, look));
        entries.insert(forecast.name().to_string(), entry(forecast, look));
        Ok(Service { hourly, archive, spec: spec.clone(), turn: Mutex::new(()) })
    }
}

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
#[cfg(feature = "kafka")]
use super::events::kafka::{Consumer, ConsumerParts, Ids, Producer};
use super::events::poll::{Poller, PollerParts};
use super::events::{Front, Keeper, Log, Shelf, Stream};
use super::files::{Files, FilesParts, Folder, Ftp, Http, Names, Origin, Store};
use super::lead::Lead;
use super::mappings::Mapped;
use super::marks::Marks;
use super::states::States;
use super::weather::{Client, Current, Forecast, Shared};
use super::{Intake, Places, RawStore, Source, SourceError, Spellings, Workers};
use crate::lakefile::{
    EventsSpec, FilesFrom, FilesSpec, KafkaSpec, Lakefile, Mapping, SourceSpec, WeatherSpec,
};
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

impl OpenError {
    fn of(name: &str, source: SourceError) -> Self {
        Self::Source { name: name.to_string(), source: Box::new(source) }
    }
}

/// What every source is made with.
struct Opening<'a> {
    lakefile: &'a Arc<Lakefile>,
    folder: &'a Path,
    raw: RawStore,
    places: Places,
    spellings: Spellings,
    workers: Workers,
    known: SourceFiles,
    #[cfg(feature = "kafka")]
    lake: Lake,
    catalog: Catalog,
}

/// The streams of a lake.
#[derive(Default)]
struct Streams {
    fronts: BTreeMap<String, Arc<dyn Front>>,
    logs: BTreeMap<String, Keeper>,
    shelves: BTreeMap<String, Shelf>,
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
        let spellings = Spellings::new(Arc::clone(&lakefile), lake.clone(), catalog.clone());
        let (known, places_too) = (catalog.source_files(), places.clone());
        let opening = Opening {
            lakefile: &lakefile,
            folder: &folder,
            raw: raw.clone(),
            places: places_too,
            spellings: spellings.clone(),
            workers,
            known,
            #[cfg(feature = "kafka")]
            lake: lake.clone(),
            catalog: catalog.clone(),
        };
        let (mut entries, mut services) = (BTreeMap::new(), BTreeMap::new());
        let mut streams = Streams::default();
        for (name, spec) in &lakefile.sources {
            match spec {
                SourceSpec::Files(spec) => opening.files(name, spec, &mut entries)?,
                SourceSpec::Events(spec) => opening.events(name, spec, &mut entries, &mut streams).await?,
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
        let Streams { fronts, logs, shelves } = streams;
        let streaming = fronts.keys().cloned().collect();
        let states = States::new(catalog.clone(), entries.keys().cloned().collect(), streaming);
        let lead = Lead::new(&catalog, heavy.clone());
        let inner = Inner {
            raw,
            lead,
            lakefile,
            catalog,
            places,
            spellings,
            intake,
            publisher,
            models,
            marks,
            entries,
            services,
            fronts,
            logs,
            shelves,
            owed,
            states,
            held,
            heavy,
        };
        Ok(Self(Arc::new(inner)))
    }
}

fn remembered(spec: &EventsSpec) -> TimeDelta {
    TimeDelta::from_std(spec.remember.0).unwrap_or(TimeDelta::days(8))
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
            spellings: self.spellings.clone(),
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
        streams: &mut Streams,
    ) -> Result<(), OpenError> {
        let front: Arc<dyn Front> = match &spec.kafka {
            Some(topic) => self.topic(name, spec, topic, entries, streams)?,
            None => self.log(name, spec, entries, streams).await?,
        };
        if let Some(poll) = &spec.poll {
            let parts = PollerParts {
                shelf: self.shelf(name, "poll"),
                front: Arc::clone(&front),
                catalog: self.catalog.clone(),
                spellings: self.spellings.clone(),
            };
            let poller = Poller::new(name, &spec.table, poll, parts);
            let poller = poller.map_err(|source| OpenError::of(name, source))?;
            entries.insert(poller.name().to_string(), entry(poller, Some(poll.every.0)));
        }
        streams.fronts.insert(name.to_string(), front);
        Ok(())
    }

    /// A stream behind a log of this node.
    async fn log(
        &self,
        name: &str,
        spec: &EventsSpec,
        entries: &mut BTreeMap<String, Entry>,
        streams: &mut Streams,
    ) -> Result<Arc<dyn Front>, OpenError> {
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
            spellings: self.spellings.clone(),
        };
        entries.insert(name.to_string(), entry(stream, spec.every.map(|every| every.0)));
        let (raw, remembered) = (self.raw.clone(), remembered(spec));
        let keeper = Keeper { name: name.to_string(), log: log.clone(), raw, remembered };
        streams.logs.insert(name.to_string(), keeper);
        Ok(Arc::new(log))
    }

    /// A stream behind a topic.
    #[cfg(feature = "kafka")]
    fn topic(
        &self,
        name: &str,
        spec: &EventsSpec,
        topic: &KafkaSpec,
        entries: &mut BTreeMap<String, Entry>,
        streams: &mut Streams,
    ) -> Result<Arc<dyn Front>, OpenError> {
        let (lake, catalog, table) = (self.lake.clone(), self.catalog.clone(), spec.table.clone());
        let parts = ConsumerParts {
            name: name.to_string(),
            spec: topic.clone(),
            table: spec.table.clone(),
            schema: self.schema(name, &spec.table)?,
            events_per_batch: spec.events_per_batch,
            remembered: remembered(spec),
            places: self.places.clone(),
            spellings: self.spellings.clone(),
            shelf: self.shelf(name, &topic.topic),
            ids: Ids { lake, catalog, table },
            catalog: self.catalog.clone(),
        };
        entries.insert(name.to_string(), entry(Consumer::new(parts), spec.every.map(|every| every.0)));
        streams.shelves.insert(name.to_string(), self.shelf(name, &topic.topic));
        Ok(Arc::new(Producer::new(topic).map_err(|source| OpenError::of(name, source))?))
    }

    #[cfg(not(feature = "kafka"))]
    fn topic(
        &self,
        name: &str,
        _spec: &EventsSpec,
        _topic: &KafkaSpec,
        _entries: &mut BTreeMap<String, Entry>,
        _streams: &mut Streams,
    ) -> Result<Arc<dyn Front>, OpenError> {
        // The lake's declaration was refused before; this is for a lake that was made in the program.
        Err(OpenError::of(name, SourceError::refused("this program was built without Kafka")))
    }

    fn shelf(&self, name: &str, origin: &str) -> Shelf {
        Shelf { name: name.to_string(), raw: self.raw.clone(), origin: format!("{name}:{origin}") }
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

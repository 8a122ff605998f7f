//! The demo's world: simulated sources that fill the default lake through its real write path, and keep arriving.
//!
//! ```text
//! World (deterministic weather and market of every place)
//!   ├─▶ Service: a weather service on loopback, Open-Meteo's format ─▶ source c
//!   ├─▶ Producer: an event a second ─▶ source d
//!   └─▶ inbox/{a,b,market_history}: files, as a partner would drop them ─▶ sources a, b, market_history
//! ```
//! What is loaded is remembered in the sources' folder, so a restart goes on where it was. Absent on purpose: any
//! way into the tables that the real sources do not take.

mod drop;
pub(crate) mod http;
mod load;
mod producer;
mod service;
mod state;
mod world;

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use toml::{Table, Value};

pub use world::World;

use crate::lakefile::{Lakefile, LakefileError};
use crate::sources::{Arrivals, PushError, SourceError};
use http::Service;
use state::State;

/// More places than this share the minutes: each issue covers this many of them in turn.
const PLACES_PER_ISSUE: usize = 100;

/// The size of the demo.
#[derive(Clone, Debug)]
pub struct DemoConfig {
    /// The sources' folder: the same as of [`crate::sources::ArrivalsConfig`].
    pub folder: PathBuf,
    /// Where the demo's lake is written at every start, as [`Lakefile::read`] reads it.
    pub definition: PathBuf,
    pub regions: usize,
    pub years: u32,
    pub events_per_second: u32,
}

/// A running simulation.
pub struct Demo {
    config: DemoConfig,
    world: Arc<World>,
    lakefile: Arc<Lakefile>,
    _service: Service,
}

/// Why the demo cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("the demo's lake is broken")]
    Lakefile(#[from] LakefileError),
    #[error("{what} fails")]
    Io {
        what: String,
        #[source]
        source: std::io::Error,
    },
    #[error("a source fails")]
    Source(#[from] SourceError),
    #[error("the events are not taken")]
    Push(#[from] PushError),
}

impl DemoError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}

impl Demo {
    /// Starts the simulated weather service on loopback and declares a lake that uses it.
    /// - Errors: no port is free, or the folder cannot be made.
    pub async fn open(config: DemoConfig) -> Result<Self, DemoError> {
        std::fs::create_dir_all(&config.folder).map_err(DemoError::io("making the demo's folder"))?;
        let places = Lakefile::builtin()?.with_first_regions(config.regions);
        let world = Arc::new(World::new(places.gazetteer.chosen()));
        let served = Arc::clone(&world);
        let answers = Arc::new(move |target: &str| service::body(&served, target, Utc::now()));
        let service = Service::start(answers).await.map_err(DemoError::io("the weather service"))?;
        let url = service.url();
        let simulated = |lake: &mut Table| simulated(lake, config.regions, &url);
        Lakefile::write_builtin(&config.definition, simulated)
            .map_err(DemoError::io("writing the demo's lake"))?;
        let lakefile = Lakefile::read(&config.definition)?;
        Ok(Self { config, world, lakefile, _service: service })
    }

    /// The default lake with the simulated service behind source C.
    pub fn lakefile(&self) -> Arc<Lakefile> {
        Arc::clone(&self.lakefile)
    }

    /// Starts what keeps arriving by itself: events each second, the files of A and B when they are due.
    pub fn start(&self, arrivals: &Arrivals, stop: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let rate = self.config.events_per_second.max(1);
        tasks.spawn(producer::run(Arc::clone(&self.world), arrivals.clone(), rate, stop.clone()));
        tasks.spawn(drop::run(Arc::clone(&self.world), self.config.folder.clone(), stop.clone()));
        tasks
    }

    /// The day the demo began: history lies before it, hours and events lead up to it.
    fn began(&self, now: DateTime<Utc>) -> Result<State, DemoError> {
        State::open(&self.config.folder, now.date_naive()).map_err(DemoError::io("the demo's memory"))
    }

    /// The first day of its history.
    fn first_day(&self, began: NaiveDate) -> NaiveDate {
        let months = chrono::Months::new(12 * self.config.years);
        began.checked_sub_months(months).unwrap_or(began)
    }
}

/// The default lake's definition with the simulated service behind source C, under a name of its own: other regions and
/// sources must not be taken for these.
fn simulated(lake: &mut Table, regions: usize, url: &str) {
    lake.insert("name".into(), "weather-market-demo".into());
    lake.insert("regions".into(), Value::Integer(regions.try_into().unwrap_or(i64::MAX)));
    let sources = lake.get_mut("sources").and_then(Value::as_table_mut);
    for source in sources.into_iter().flatten().filter_map(|(_, source)| source.as_table_mut()) {
        // The simulated service speaks Open-Meteo's format.
        source.remove("service");
        let kind = source.get("kind").and_then(Value::as_str).unwrap_or_default();
        for (key, value) in settings(kind, regions, url) {
            source.insert(key.into(), value);
        }
    }
}

/// What a simulated source of a kind is declared with.
fn settings(kind: &str, regions: usize, url: &str) -> Vec<(&'static str, Value)> {
    let issue = i64::try_from(PLACES_PER_ISSUE).ok().filter(|_| regions > PLACES_PER_ISSUE);
    match kind {
        "weather" => [
            Some(("forecast_url", Value::String(format!("{url}/v1/forecast")))),
            Some(("archive_url", Value::String(format!("{url}/v1/archive")))),
            Some(("allow_private", true.into())),
            Some(("pause_ms", 0.into())),
            Some(("forecast_every", "60s".into())),
            issue.map(|places| ("locations_per_issue", places.into())),
        ]
        .into_iter()
        .flatten()
        .collect(),
        // The simulated partner renames whole files into place.
        "files" => vec![("settle_ms", 0.into())],
        _ => Vec::new(),
    }
}

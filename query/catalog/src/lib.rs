//! Crate `catalog`: which tables, analyses, jobs and batches exist, whose they are, and which version of them readers are served.
//!
//! ```text
//! intend ─▶ (Parquet, Delta commit: crate `lake`) ─▶ publish: one transaction, only forward
//!                                                      │
//!    platform tables ─▶ memory ─▶ Moment   (region routes: no database call)
//!    customers' tables ─▶ pin, one SQL read (statements and rows)
//! ```
//! The Delta log is the truth of a table's content; this crate is the truth of its name and of its visible version.
//! Absent on purpose: anything that opens the lake, and any rule of rights beyond "the workspace is the first argument".

mod alerts;
mod analyses;
mod batches;
mod error;
mod follow;
mod idempotency;
mod intents;
mod jobs;
mod leases;
mod model_runs;
mod names;
mod owner;
mod partitions;
mod pin;
mod platform;
mod publish;
mod register;
mod removals;
mod schedules;
mod source_files;
mod source_states;
mod sql;
mod table;
#[cfg(test)]
mod testing;
mod upkeep;
mod versions;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arc_swap::ArcSwap;
use chrono::TimeDelta;
use database::Db;

pub use alerts::{Alert, Alerts, NewAlert};
pub use analyses::{Put, PutAnalysis};
pub use batches::{Batch, Batches};
pub use error::Error;
pub use idempotency::{Begin, Idempotency, Keyed};
pub use intents::{Intent, IntentKind, NewIntent};
pub use jobs::{Beat, Job, Jobs, NewJob, Outcome, Run, Status};
pub use leases::{Lease, Leases};
pub use model_runs::ModelRun;
pub use names::{NewTable, Patch};
pub use owner::Owner;
pub use partitions::{After, Days, Partition};
pub use platform::{Moment, Platform, Stamp};
pub use publish::{Answer, BatchMark, JobOutcome, Publish, Touched};
pub use register::NewPlatformTable;
pub use removals::Removal;
pub use schedules::{CatchUp, Schedule, Schedules};
pub use source_files::{SourceFile, SourceFiles};
pub use source_states::{SourceState, SourceStates};
pub use table::{Column, Kind, Table, UnknownKind};
pub use upkeep::{FINE, Upkeep};
pub use versions::{Rejects, VersionRow};

/// How long things are kept, and who this process is.
#[derive(Clone, Debug)]
pub struct Config {
    /// The process that writes; see [`Owner`].
    pub owner: Owner,
    /// How far back `as_of` reaches.
    pub retention: TimeDelta,
    /// How long a first answer is repeated.
    pub idempotency: TimeDelta,
    /// How long a deleted location stays for readers that have pinned it.
    pub removal_grace: TimeDelta,
    /// How long ended jobs and published batches are kept.
    pub job_history: TimeDelta,
    /// How long a table that was never published may hold its name while its process may still be at work.
    pub pending: TimeDelta,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            owner: Owner::new("local"),
            retention: TimeDelta::days(7),
            idempotency: TimeDelta::hours(24),
            removal_grace: TimeDelta::minutes(15),
            job_history: TimeDelta::days(30),
            pending: TimeDelta::minutes(15),
        }
    }
}

/// The catalog; cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    db: Db,
    config: Arc<Config>,
    platform: Arc<ArcSwap<Platform>>,
    jobs: Jobs,
    /// Held while the state is read from the database, so that an older reading never replaces a newer one.
    refreshing: Arc<tokio::sync::Mutex<()>>,
    /// The quarter hours up to here hold no more versions than they shall; a number since 1970.
    thinned: Arc<AtomicI64>,
}

impl Catalog {
    /// Opens the catalog of a migrated database and reads the platform's state. Errors: [`Error::Database`].
    pub async fn open(db: Db, config: Config) -> Result<Self, Error> {
        let catalog = Self {
            jobs: Jobs::new(db.clone()),
            db,
            config: Arc::new(config),
            platform: Arc::default(),
            refreshing: Arc::default(),
            thinned: Arc::default(),
        };
        catalog.refresh().await?;
        Ok(catalog)
    }

    /// Who this process is to the others that share the database.
    pub fn owner(&self) -> &Owner {
        &self.config.owner
    }

    /// How long an alert is remembered at least, so that the same cause raises no second one.
    pub fn alert_memory(&self) -> TimeDelta {
        self.config.job_history
    }

    /// Long work.
    pub fn jobs(&self) -> Jobs {
        self.jobs.clone()
    }

    /// First answers of repeated requests.
    pub fn idempotency(&self) -> Idempotency {
        Idempotency::new(self.db.clone(), self.owner().clone(), self.config.idempotency)
    }

    /// How far each source has come.
    pub fn batches(&self) -> Batches {
        Batches::new(self.db.clone())
    }

    /// What runs by the clock.
    pub fn schedules(&self) -> Schedules {
        Schedules::new(self.db.clone())
    }

    /// How each source fares.
    pub fn source_states(&self) -> SourceStates {
        SourceStates::new(self.db.clone())
    }

    /// Whom to tell of what.
    pub fn alerts(&self) -> Alerts {
        Alerts::new(self.db.clone())
    }

    /// What one process at a time may do.
    pub fn leases(&self) -> Leases {
        Leases::new(self.db.clone(), self.owner().clone())
    }

    /// What is known of the files of each source.
    pub fn source_files(&self) -> SourceFiles {
        SourceFiles::new(self.db.clone())
    }
}

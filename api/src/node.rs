//! Puts the rooms together, from the ground up; each step is what the next needs.
//!
//! ```text
//! Config ─▶ Ground (database, auth) ─▶ Store (lake, catalog, lake file, publisher, sources) ─▶ Node (workers, engine,
//!            `customer`, `key`           `run`, `backfill`, `rebuild`, `status`                 uploads, jobs, HTTP)
//! ```

mod ground;
mod jobs;
mod serving;
mod store;
mod upkeep;
mod workers;

pub use ground::{Ground, connect, folder_of, is_transient, words};
pub use jobs::pipelines_config;
pub use serving::Node;
pub use store::{Store, catalog_settings, same_lake};

//! Areas, object stores and Delta tables: open, read, the one `commit`, compact.
//!
//! ```text
//! ingest ─▶ FileWriter | adopt ─▶ Parquet in the store ─▶ commit ─▶ _delta_log/N.json ─▶ version N
//! engine ─▶ snapshot(N) ─▶ provider ─▶ files pruned by the log ─▶ checked bytes ─▶ batches
//! worker ─▶ scan_files over a store it was handed · LocalWriter into its scratch folder
//! ```
//! A version is never changed and the catalog says which one readers see, so nothing here asks the store twice for
//! the same. Absent on purpose: names of tables, rights, who sees which version; and any way to read a file that no
//! commit names.

mod adopt;
mod commit;
mod error;
mod failpoint;
mod file;
mod lake;
mod location;
mod log;
mod maintain;
mod months;
mod objects;
mod ranged;
mod scan;
mod snapshot;
mod stats;
mod store;
#[cfg(test)]
mod testing;
mod types;
mod verify;
mod writer;

/// A version of a table; 0 is its creation.
pub type Version = i64;

pub use commit::{Commit, Committed, Remove};
pub use error::{CommitError, Error, corrupt_path};
pub use failpoint::failpoint;
pub use file::DataFile;
pub use lake::Lake;
pub use location::Location;
pub use maintain::{Checkpointed, CompactOptions, Compacted, Vacuumed};
pub use months::month_of;
pub use objects::{ObjectInfo, Objects, Put};
pub use ranged::{Ranged, ranged_store};
pub use scan::{ScanFiles, scan_files};
pub use snapshot::Snapshot;
pub use store::LakeConfig;
pub use types::{normalise_batch, normalise_schema, stored_schema};
pub use verify::Blocks;
pub use writer::{FileWriter, LocalWriter, WriterOptions};

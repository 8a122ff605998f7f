//! Who is asking, and the names of things: typed, parsed once at the door, no I/O.
//!
//! ```text
//! text from outside ─▶ Slug, Name, RegionId, TableName, KeyId ─▶ everything below speaks types
//! credential ─▶ auth ─▶ Principal { workspace, scopes, … } ─▶ every right is asked of it
//! ```
//! Absent on purpose: any database or HTTP type. Ids cross into SQL as their [`uuid::Uuid`].

mod ids;
mod likeness;
mod names;
mod place;
mod principal;
mod scopes;
mod secret;

pub use ids::{CustomerId, IntentId, JobId, KeyId, RequestId, TableId, WorkspaceId};
pub use likeness::{normalize_name, similarity};
pub use names::{Name, NameError, RegionId, Slug, TableName, is_hidden};
pub use place::WORKSPACES;
pub use principal::Principal;
pub use scopes::{Scope, Scopes};
pub use secret::Secret;

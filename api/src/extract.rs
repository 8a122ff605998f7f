//! What a handler can ask for: the caller with a right, and the parts of the request as types. Every refusal is a
//! [`Problem`](crate::problem::Problem).

mod accept;
mod caller;
mod describe;
mod form;
mod json;
mod path;
mod prefer;
mod query;

pub use accept::Accepted;
pub use caller::{Admin, Anyone, Caller, Known, Read, STORES, Steer, Watch, Write, credential};
pub use describe::description;
pub use form::{Form, Part};
pub use json::{Json, NoBody, parse as parse_json, whole as whole_body};
pub use path::{At, RegionAt, TableAt, plain};
pub use prefer::Prefer;
pub use query::{Pairs, Query};

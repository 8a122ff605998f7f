//! Worker processes: where customers' SQL and customers' files are handled (query/worker).
//!
//! ```text
//!  gateway                                              worker (same binary, verb `worker`)
//!  Pool ── lease(workspace) ─▶ Lease ── run(kind, json) ─▶ stdin  socket ─▶ handler(Task)
//!   │  spares, one workspace each       Files ◀─ ranged reads ── stdout socket ◀─ FileClient
//!   └─ kills at the deadline, replaces, explains a death          scratch folder ◀─ written files
//! ```
//! The gateway side is [`Pool`], [`Lease`] and [`Files`]; the worker side is [`serve`]. Both sockets carry
//! plain HTTP. A worker is walled in before it reads the first customer byte: resource limits, nice,
//! landlock and seccomp where the kernel offers them, and an environment without secrets.
//! Absent on purpose: what a task means. This crate knows neither SQL nor file formats.

mod death;
mod files;
mod limits;
mod pool;
mod program;
mod serve;

pub use death::Death;
pub use files::{FileClient, Files, NoFiles};
pub use limits::Limits;
pub use pool::{Admission, Class, Lease, Pool, PoolConfig, PoolState, Promoter, TaskError};
pub use program::{Program, ProgramError};
pub use serve::{Refusal, Reply, ServeError, Task, serve};

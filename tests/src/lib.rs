//! The harness: what a test needs to meet Lakefront as its users do, over HTTP on a real socket.
//!
//! ```text
//! TestApp::shared(Stack::Sqlite) ─▶ one `lakefront` process a configuration, a customer a test
//! TestApp::start(options)        ─▶ a process of its own, for kill, fault and configuration tests
//! app.customer("acme")           ─▶ Customer ─▶ get / post / upload / sql ─▶ Answer ─▶ .ok() .problem(404, "…")
//! ```
//! It links none of the project's crates: the built binary is all it knows.

mod answer;
mod app;
mod archive_stub;
mod contents;
mod customer;
mod fault_proxy;
mod file_stub;
mod ftp_server;
mod hook_stub;
mod kafka;
mod poll_stub;
mod postgres;
pub mod process;
mod python;
mod random;
mod reaper;
mod redis;
mod require;
mod s3;
mod stub;
mod weather_stub;

pub use answer::{Answer, Problem};
pub use app::{Options, Stack, TestApp};
pub use archive_stub::ArchiveStub;
pub use contents::Contents;
pub use customer::{Customer, Upload};
pub use fault_proxy::{CallFault, FaultProxy};
pub use file_stub::{Fault, FileStub};
pub use ftp_server::FtpServer;
pub use hook_stub::{HookCall, HookStub};
pub use kafka::{Kafka, Sender};
pub use poll_stub::{PollFault, PollStub};
pub use postgres::Postgres;
pub use python::Python;
pub use random::Random;
pub use redis::Redis;
pub use require::{faults, project_root, required, shared_data, skip};
pub use s3::S3;
pub use weather_stub::{Hour, Station, WeatherStub, read_stations};

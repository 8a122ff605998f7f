//! One file an endpoint: its types, its documentation, its handler. The list of them is `router.rs`.

pub mod admin;
pub mod analyses;
pub mod bodies;
pub mod credentials;
pub mod datasets;
pub mod jobs;
pub mod once;
pub mod operations;
pub mod page;
pub mod regions;
pub mod sql;
pub mod tables;

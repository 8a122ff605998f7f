//! The product as its users meet it: one file a resource, names that are sentences, HTTP over a real socket.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod alerts;
mod analyses;
mod backfill;
mod bad_input;
mod bad_sources;
mod caching;
mod clients;
mod dashboard;
mod datasets;
mod deploy;
mod drift;
mod examples;
mod faults;
mod feed;
mod four_cases;
mod house;
#[cfg(feature = "kafka")]
mod kafka;
mod keys;
mod kill;
mod kill_sources;
mod lakes;
mod lineage;
mod models;
mod notices;
mod nyc;
mod object_store;
mod operator;
mod polling;
mod readers;
mod rebuild;
mod repeats;
mod rights;
mod schedules;
mod shared;
mod shared_cache;
mod sources_files;
mod spellings;
mod sql;
mod store_faults;
mod tables;
mod two_nodes;
mod upkeep;
mod weather;
#[cfg(not(feature = "kafka"))]
mod without_kafka;

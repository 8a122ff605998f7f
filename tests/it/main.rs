//! The product as its users meet it: one file a resource, names that are sentences, HTTP over a real socket.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod alerts;
mod analyses;
mod backfill;
mod bad_input;
mod caching;
mod clients;
mod dashboard;
mod datasets;
mod deploy;
mod examples;
mod faults;
mod four_cases;
mod house;
mod keys;
mod kill;
mod lakes;
mod models;
mod nyc;
mod object_store;
mod operator;
mod readers;
mod rebuild;
mod rights;
mod schedules;
mod shared;
mod shared_cache;
mod sources_files;
mod sql;
mod tables;
mod weather;

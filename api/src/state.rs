//! What handlers share: the rooms below, and the few things of the gateway itself. One for the process.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use auth::Auth;
use bytes::Bytes;
use catalog::Catalog;
use database::Db;
use engine::Engine;
use ingest::sources::Arrivals;
use ingest::upload::Uploads;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::repeats::Repeats;
use crate::router::Table;

/// The shared state; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of [`App`].
pub struct Parts {
    pub db: Db,
    pub auth: Auth,
    pub catalog: Catalog,
    pub engine: Engine,
    pub uploads: Uploads,
    pub arrivals: Arrivals,
    pub table: Table,
    pub repeats: Repeats,
    pub limits: Limits,
    pub metrics: PrometheusHandle,
    pub openapi: Bytes,
    pub readiness: Readiness,
}

/// Limits that handlers apply.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub body_bytes: usize,
}

impl App {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Whether the server can do its work; off until everything is put together.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

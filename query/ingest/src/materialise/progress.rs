//! How many rows of a run are written so far.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use catalog::Run;
use serde_json::Value;
use worker::Files;

const EVERY: Duration = Duration::from_secs(1);

/// Rows written so far: the worker tells, the job's row is told.
#[derive(Clone, Default)]
pub struct Counted {
    rows: Arc<AtomicI64>,
}

impl Counted {
    pub fn rows(&self) -> i64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, rows: u64) {
        self.rows.store(i64::try_from(rows).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// The same files; what the worker tells beside reading them is counted.
    pub(super) fn over(&self, files: Arc<dyn Files>) -> Arc<dyn Files> {
        Arc::new(Told { files, counted: self.clone() })
    }

    /// Keeps telling a job until the run has ended, or the process no longer holds it.
    pub(super) async fn tell(&self, run: &Run) {
        while !run.is_lost() {
            tokio::time::sleep(EVERY).await;
            run.progress(0.0, self.rows());
        }
    }
}

struct Told {
    files: Arc<dyn Files>,
    counted: Counted,
}

#[async_trait]
impl Files for Told {
    async fn size(&self, index: usize) -> io::Result<u64> {
        self.files.size(index).await
    }

    async fn read(&self, index: usize, range: Range<u64>) -> io::Result<Bytes> {
        self.files.read(index, range).await
    }

    fn progress(&self, told: Value) {
        if let Some(rows) = told.get("rows").and_then(Value::as_u64) {
            self.counted.set(rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use worker::NoFiles;

    use super::*;

    #[test]
    fn rows_the_worker_tells_of_are_counted() {
        let counted = Counted::default();
        let files = counted.over(Arc::new(NoFiles));
        files.progress(json!({"rows": 200_000}));
        assert_eq!(counted.rows(), 200_000);
        files.progress(json!({"percent": 5}));
        assert_eq!(counted.rows(), 200_000);
    }
}

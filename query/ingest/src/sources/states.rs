//! Keeps in the catalog how each source fares, and raises what somebody must know.
//!
//! None of it may fail a source: what the catalog does not take is noted the next time.

use std::collections::{BTreeSet, HashMap};

use catalog::{Catalog, SourceState};
use chrono::{DateTime, TimeDelta, Utc};
use identity::TableName;
use parking_lot::Mutex;

use super::arrivals::Ran;
use super::{Landed, SourceError};
use crate::alerts::{self, Raised};
use crate::health::upkeep_of;
use crate::models::{ModelError, broken};
use crate::words::chain;

/// A success is written at most this often while nothing else changes.
const EVERY: TimeDelta = TimeDelta::seconds(30);
/// Batches before a source has a usual volume.
const BATCHES: i64 = 10;
/// Files set aside that are looked at in one go, the newest first.
const TOLD: i64 = 1_000;
/// How many times more, or fewer, rows than usual are a jump,
const JUMP: f64 = 5.0;
/// where a usual batch has at least so many.
const LEAST_ROWS: f64 = 100.0;

/// The states of a lake's sources.
pub struct States {
    catalog: Catalog,
    sources: BTreeSet<String>,
    /// Their batches are as long as a turn of the clock: none is usual.
    streams: BTreeSet<String>,
    /// When each was last written as well; absent after a failure.
    well: Mutex<HashMap<String, DateTime<Utc>>>,
    /// How many files of each had been set aside when it was last looked whom to tell; absent before the first look.
    aside: Mutex<HashMap<String, u64>>,
}

impl States {
    pub fn new(catalog: Catalog, sources: BTreeSet<String>, streams: BTreeSet<String>) -> Self {
        Self { catalog, sources, streams, well: Mutex::default(), aside: Mutex::default() }
    }

    /// How a call at `now` ended, and when the source is asked again, where that is known.
    pub async fn note(
        &self,
        source: &str,
        ended: &Result<Ran, SourceError>,
        next: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        let written = match ended {
            Err(SourceError::Stopped | SourceError::Elsewhere { .. }) => return,
            Err(error) => {
                self.well.lock().remove(source);
                if let SourceError::Gap { reason } = error {
                    alerts::raise(&self.catalog, Raised::gap(source, reason), now).await;
                }
                self.catalog.source_states().failed(source, &chain(error), next, now).await
            }
            Ok(_) if self.is_fresh(source, now) => return,
            Ok(_) => {
                let written = self.catalog.source_states().succeeded(source, next, now).await;
                self.well.lock().insert(source.to_string(), now);
                written
            }
        };
        if let Err(error) = written {
            tracing::warn!(source, %error, "the source's state could not be noted");
        }
    }

    fn is_fresh(&self, source: &str, now: DateTime<Utc>) -> bool {
        self.well.lock().get(source).is_some_and(|at| now - *at < EVERY)
    }

    /// How the upkeep of a table ended: `failure`, or well. Written when it fails, and once when it does no longer.
    pub async fn kept(&self, table: &TableName, failure: Option<&str>, now: DateTime<Utc>) {
        let (states, name) = (self.catalog.source_states(), upkeep_of(table));
        let written = match failure {
            Some(error) => {
                self.well.lock().remove(&name);
                states.failed(&name, error, None, now).await
            }
            None if self.well.lock().contains_key(&name) => return,
            None => {
                let written = states.succeeded(&name, None, now).await;
                if written.is_ok() {
                    self.well.lock().insert(name, now);
                }
                written
            }
        };
        if let Err(error) = written {
            tracing::warn!(%table, %error, "how the table's upkeep ended could not be noted");
        }
    }

    /// Notes the volume of what landed, and raises a jump. That nothing landed is one too, but no measure of what is usual.
    pub async fn landed(&self, source: &str, landed: &[Landed], now: DateTime<Utc>) {
        if !self.sources.contains(source) || self.streams.contains(source) {
            return;
        }
        let states = self.catalog.source_states();
        for batch in landed.iter().filter(|batch| !batch.set_aside) {
            let before = match batch.rows {
                0 => states.get(source).await,
                rows => states.landed(source, rows).await,
            };
            match before {
                Ok(Some(before)) if is_jump(&before, batch.rows) => {
                    let raised = Raised::volume_jump(source, batch.n, batch.rows, before.usual_rows);
                    alerts::raise(&self.catalog, raised, now).await;
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(source, %error, "the source's volume could not be noted"),
            }
        }
    }

    /// Raises each file that was set aside. `count`: how many were since the start; `noted`: the catalog knows them all.
    pub async fn set_aside(&self, source: &str, count: u64, noted: bool, now: DateTime<Utc>) {
        if self.aside.lock().get(source) == Some(&count) {
            return;
        }
        let files = match self.catalog.source_files().set_aside(source, TOLD).await {
            Ok(files) => files,
            Err(error) => return tracing::warn!(source, %error, "what was set aside is told later"),
        };
        // An alert that is forgotten would be raised again, so what came before then is not looked at.
        let since = now - self.catalog.alert_memory();
        for file in files.iter().filter(|file| file.came_at > since) {
            alerts::raise(&self.catalog, Raised::set_aside(source, file), now).await;
        }
        if noted {
            self.aside.lock().insert(source.to_string(), count);
        }
    }

    /// Raises a model that failed.
    pub async fn model_failed(&self, error: &ModelError, now: DateTime<Utc>) {
        if let ModelError::Test { model, verdicts } = error {
            let broken = broken(verdicts).unwrap_or("a test does not hold");
            alerts::raise(&self.catalog, Raised::model_test(model, broken, now), now).await;
        }
    }
}

/// Five times more rows than a usual batch has, or a fifth of them, once ten batches have shown what is usual; batches of
/// fewer than a hundred rows may be of any size.
fn is_jump(before: &SourceState, rows: u64) -> bool {
    let (rows, usual) = (rows as f64, before.usual_rows);
    before.batch_count >= BATCHES && usual >= LEAST_ROWS && (rows > usual * JUMP || rows * JUMP < usual)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::models::Verdict;
    use crate::sources::Touched;
    use crate::sources::testing::{at, quiet_lake};

    const REGIONS: &str =
        "region_id,name,country,lon,lat,population\nit-lombardia,Lombardia,IT,9.93,45.57,9976509\n";

    async fn raised(catalog: &Catalog, now: DateTime<Utc>) -> Vec<(String, String)> {
        let due = catalog.alerts().due(99, Duration::from_secs(999_999), now).await.unwrap();
        due.into_iter().map(|alert| (alert.kind, alert.subject)).collect()
    }

    #[tokio::test]
    async fn a_jump_of_a_sources_volume_is_raised_and_a_streams_is_not() {
        let lake = quiet_lake(REGIONS).await;
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let states = States::new(lake.catalog.clone(), names(&["a", "d"]), names(&["d"]));
        let now = at("2026-03-10T12:00:00Z");
        for source in ["a", "d"] {
            for n in 1..=12 {
                let rows = if n == 11 { 9_000 } else { 1_000 };
                let (table, touched) = ("source_a.activity".parse().unwrap(), Touched::default());
                let batch = Landed { source: source.into(), table, n, rows, set_aside: false, touched };
                states.landed(source, &[batch], now).await;
            }
        }
        assert_eq!(raised(&lake.catalog, now).await, [("volume-jump".to_string(), "a".to_string())]);
    }

    #[tokio::test]
    async fn a_broken_test_of_a_model_is_raised_once_a_day() {
        let lake = quiet_lake(REGIONS).await;
        let states = States::new(lake.catalog.clone(), BTreeSet::new(), BTreeSet::new());
        let model = || "weather.daily".parse().unwrap();
        let failed = || ModelError::Test {
            model: model(),
            verdicts: vec![Verdict::of("unique", ["day"], Some("twice".into()))],
        };
        for now in ["2026-03-10T12:00:00Z", "2026-03-10T18:00:00Z", "2026-03-11T12:00:00Z"].map(at) {
            states.model_failed(&failed(), now).await;
        }
        let both = vec![("model-test-failed".to_string(), "weather.daily".to_string()); 2];
        assert_eq!(raised(&lake.catalog, at("2026-03-11T12:00:00Z")).await, both);
    }

    #[tokio::test]
    async fn a_source_is_written_as_well_now_and_then_and_as_failing_at_once() {
        let lake = quiet_lake(REGIONS).await;
        let states = States::new(lake.catalog.clone(), BTreeSet::new(), BTreeSet::new());
        let state = || async { lake.catalog.source_states().get("a").await.unwrap().unwrap() };
        let (now, well) = (at("2026-03-10T12:00:00Z"), || Ok(Ran::default()));
        states.note("a", &well(), None, now).await;
        states.note("a", &well(), None, now + TimeDelta::seconds(2)).await;
        assert_eq!(state().await.succeeded_at, Some(now));
        states.note("a", &Err(SourceError::refused("no")), None, now + TimeDelta::seconds(4)).await;
        assert_eq!((state().await.failures, state().await.succeeded_at), (1, Some(now)));
        let later = now + TimeDelta::seconds(6);
        states.note("a", &well(), None, later).await;
        assert_eq!((state().await.failures, state().await.succeeded_at), (0, Some(later)));
    }

    #[test]
    fn a_jump_is_five_times_what_is_usual() {
        let state = |batch_count, usual_rows| SourceState {
            source: "a".into(),
            succeeded_at: None,
            failed_at: None,
            error: None,
            failures: 0,
            next_at: None,
            batch_count,
            usual_rows,
        };
        for (before, rows, expected) in [
            (state(10, 1_000.0), 5_001, true),
            (state(10, 1_000.0), 5_000, false),
            (state(10, 1_000.0), 199, true),
            (state(10, 1_000.0), 200, false),
            (state(9, 1_000.0), 9_000, false),
            (state(10, 99.0), 9_000, false),
        ] {
            assert_eq!(is_jump(&before, rows), expected, "{before:?} {rows}");
        }
    }
}

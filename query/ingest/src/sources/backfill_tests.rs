//! What a backfill asks for while regions come and the last days are not over.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use identity::JobId;
use parking_lot::Mutex;

use super::Source;
use super::arrivals_tests::{REGIONS, event, ten_degrees};
use super::testing::{TestLake, at, lake, query};
use super::weather::{Grain, Range, Wanted};

const NOW: &str = "2026-03-10T12:30:00Z";

/// The calls of a lake's weather: latitude, first and last day.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    fn note(&self, target: &str) {
        let query = query(target);
        let call = format!("{} {} {}", query["latitude"], query["start_date"], query["end_date"]);
        self.0.lock().push(call);
    }

    /// Those since the last look. They go out together, so their order is told by nothing.
    fn taken(&self) -> Vec<String> {
        let mut calls = std::mem::take(&mut *self.0.lock());
        calls.sort();
        calls
    }
}

async fn noted() -> (TestLake, Calls) {
    let calls = Calls::default();
    let notes = calls.clone();
    let answers = move |target: &str| {
        notes.note(target);
        ten_degrees(target)
    };
    (lake(REGIONS, Arc::new(answers)).await, calls)
}

fn days(from: &str, to: &str) -> Range {
    Range { from: from.parse().unwrap(), to: to.parse().unwrap() }
}

#[tokio::test]
async fn a_region_that_becomes_active_in_the_middle_has_its_history_from_the_same_backfill() {
    let ((lake, calls), now) = (noted().await, at(NOW));
    lake.arrivals.catch_up(now).await.unwrap();
    let archives = lake.arrivals.archives(days("2026-01-01", "2026-02-28"));
    let hours = archives.iter().find(|archive| archive.name() == "c.backfill").unwrap();
    let land = async || lake.arrivals.0.intake.land(hours, now).await.unwrap();
    assert!(land().await.is_some());
    assert_eq!(hours.progress().await, (1, 1));
    let point = r#","lon":14.6,"lat":41.6"#;
    let born = event("born", "2026-03-10T11:00:00Z", "it-molise", 1.0, point);
    lake.arrivals.push("d", born.as_bytes(), now).await.unwrap();
    lake.arrivals.run_once("d", now).await.unwrap();
    while land().await.is_some() {}
    let both = [
        "41.6 2026-01-01 2026-01-31",
        "41.6 2026-02-01 2026-02-28",
        "45.57 2026-01-01 2026-01-31",
        "45.57 2026-02-01 2026-02-28",
    ];
    assert_eq!(calls.taken(), both);
    assert_eq!(hours.progress().await, (4, 0));
}

#[tokio::test]
async fn a_day_that_was_not_over_is_asked_for_again_by_another_backfill_until_it_is() {
    let (lake, calls) = noted().await;
    let backfill = async |run: JobId, now: DateTime<Utc>| {
        let range = days("2026-03-01", "2026-03-10");
        let wanted = Wanted { range, run: Some(run), again: false };
        lake.arrivals.backfill_for("c", wanted, &[Grain::Hour], &(), now).await.unwrap();
        calls.taken()
    };
    let (job, now, tomorrow) = (JobId::new(), at(NOW), at(NOW) + TimeDelta::days(1));
    assert_eq!(backfill(job, now).await, ["45.57 2026-03-01 2026-03-10"]);
    assert_eq!(backfill(job, now).await, Vec::<String>::new(), "the same job, begun anew");
    assert_eq!(backfill(JobId::new(), tomorrow).await, ["45.57 2026-03-10 2026-03-10"]);
    assert_eq!(backfill(JobId::new(), tomorrow).await, Vec::<String>::new());
    assert_eq!(lake.rows("weather.hourly").await.num_rows(), 10 * 24);
}

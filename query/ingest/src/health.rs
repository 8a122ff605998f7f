//! How the lake fares: what is late against its promise, why, and what to do (query/ingest/src/health.rs).
//!
//! ```text
//! tables (promise, last commit) ┐
//! states of sources             ├─▶ assess(now) ─▶ Health { well, sources, tables, … }
//! schedules, alerts             ┘
//! ```
//! Read from the catalog alone, so it can be asked beside a server and without one.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{Alert, Catalog, Schedule, SourceFile, SourceState, Table};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use identity::TableName;
use serde::Serialize;

use crate::lakefile::Lakefile;

/// Failures in a row after which a source is said to fail: one or two pass by themselves.
const FAILURES: i64 = 3;
/// An alert that could not be told is news for so long.
const NEWS: TimeDelta = TimeDelta::days(1);
/// Dead letters that are shown.
const LETTERS: i64 = 100;
/// Files set aside that are shown of a source.
const FILES: i64 = 20;

/// The state of a lake.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    /// Nothing is late, nothing fails, and whoever must know was told.
    pub well: bool,
    pub sources: Vec<SourceHealth>,
    pub tables: Vec<TableHealth>,
    pub schedules: Vec<ScheduleHealth>,
    /// Files that are set aside, the newest of each source; how many there are, its source tells.
    pub set_aside: Vec<Aside>,
    /// Alerts that could not be told, newest first.
    pub dead_letters: Vec<Letter>,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceHealth {
    pub source: String,
    pub well: bool,
    pub succeeded_at: Option<DateTime<Utc>>,
    pub failed_at: Option<DateTime<Utc>>,
    /// In a row.
    pub failures: i64,
    /// The words of the last failure.
    pub error: Option<String>,
    /// When it is asked again.
    pub next_at: Option<DateTime<Utc>>,
    /// Files that are set aside.
    pub set_aside: i64,
    pub why: Option<String>,
    pub todo: Option<String>,
}

/// One platform table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableHealth {
    pub table: TableName,
    pub version: Option<i64>,
    pub rows: i64,
    pub bytes: i64,
    pub updated_at: DateTime<Utc>,
    pub overdue: bool,
    /// Its model failed: it keeps the version it had.
    pub failing: bool,
    /// Why its upkeep (compaction, checkpoint, vacuum) failed the last time; `None` when it went well.
    pub upkeep: Option<String>,
    pub why: Option<String>,
    pub todo: Option<String>,
}

/// One file that is set aside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Aside {
    pub source: String,
    /// The batch it came with.
    pub batch: i64,
    pub file: String,
    pub came_at: DateTime<Utc>,
    pub why: String,
    pub todo: String,
}

/// One schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScheduleHealth {
    pub schedule: String,
    pub run: String,
    pub cron: String,
    pub timezone: String,
    pub enabled: bool,
    pub fired_at: Option<DateTime<Utc>>,
    pub next_run_at: Option<DateTime<Utc>>,
}

/// One alert that could not be told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Letter {
    pub kind: String,
    pub subject: String,
    pub detail: String,
    pub raised_at: DateTime<Utc>,
    pub attempts: i64,
    pub error: Option<String>,
}

/// What an assessment rests on.
#[derive(Default)]
pub struct Facts {
    pub tables: Vec<Arc<Table>>,
    pub states: Vec<SourceState>,
    pub schedules: Vec<Schedule>,
    pub dead: Vec<Alert>,
    /// How many files of each source are set aside, and the newest of them.
    pub aside: BTreeMap<String, (i64, Vec<SourceFile>)>,
    /// Why the models of failing tables fail.
    pub failures: BTreeMap<TableName, String>,
}

impl Facts {
    /// Reads them. Errors: the catalog's.
    pub async fn read(catalog: &Catalog) -> Result<Self, catalog::Error> {
        let tables = catalog.moment().platform_tables();
        Ok(Self {
            states: catalog.source_states().all().await?,
            schedules: catalog.schedules().all().await?,
            dead: catalog.alerts().dead(LETTERS).await?,
            aside: aside(catalog).await?,
            failures: failures(catalog, &tables).await?,
            tables,
        })
    }

    /// What they say of this lake at `now`.
    pub fn assess(&self, lakefile: &Lakefile, now: DateTime<Utc>) -> Health {
        let states: BTreeMap<&str, &SourceState> =
            self.states.iter().map(|state| (state.source.as_str(), state)).collect();
        let one = |name: &String| SourceHealth {
            set_aside: self.aside.get(name).map_or(0, |(count, _)| *count),
            ..source(name, states.get(name.as_str()).copied(), self.next(name))
        };
        let sources: Vec<SourceHealth> = lakefile.parts().iter().map(one).collect();
        let kept = |table: &Table| states.get(upkeep_of(&table.name).as_str()).copied();
        let one = |table: &Arc<Table>| self.table(lakefile, table, &sources, now).kept(kept(table));
        let tables: Vec<TableHealth> = self.tables.iter().map(one).collect();
        let spoilt = |table: &Arc<Table>| kept(table).is_some_and(|state| state.failures >= FAILURES);
        let told = !self.dead.iter().any(|alert| now - alert.raised_at < NEWS);
        Health {
            well: told
                && sources.iter().all(|s| s.well)
                && tables.iter().all(|t| !t.overdue && !t.failing)
                && !self.tables.iter().any(spoilt),
            sources,
            tables,
            schedules: self.schedules.iter().map(schedule).collect(),
            set_aside: self
                .aside
                .iter()
                .flat_map(|(name, (_, files))| files.iter().map(|f| set_aside(name, f)))
                .collect(),
            dead_letters: self.dead.iter().map(letter).collect(),
        }
    }

    /// When a schedule asks a source next.
    fn next(&self, source: &str) -> Option<DateTime<Utc>> {
        let whole = source.split('.').next().unwrap_or(source);
        let asks = |s: &&Schedule| s.enabled && (s.pipeline == source || s.pipeline == whole);
        self.schedules.iter().filter(asks).filter_map(|s| s.next_run_at).min()
    }

    fn table(
        &self,
        lakefile: &Lakefile,
        table: &Table,
        sources: &[SourceHealth],
        now: DateTime<Utc>,
    ) -> TableHealth {
        let overdue = table.overdue(now);
        let failing = table.failing();
        let (why, todo) = match (failing, overdue) {
            (true, _) => refused(table, self.failures.get(&table.name)),
            (false, true) => self.reason(lakefile, table, sources, now),
            (false, false) => (None, None),
        };
        TableHealth {
            table: table.name.clone(),
            version: table.version,
            rows: table.rows,
            bytes: table.bytes,
            updated_at: table.updated_at,
            overdue,
            failing,
            upkeep: None,
            why,
            todo,
        }
    }

    /// Why a table is late, and what to do.
    fn reason(
        &self,
        lakefile: &Lakefile,
        table: &Table,
        sources: &[SourceHealth],
        now: DateTime<Utc>,
    ) -> (Option<String>, Option<String>) {
        let feeding = lakefile.sources_of(&table.name);
        let feeding: Vec<&SourceHealth> = sources.iter().filter(|s| feeding.contains(&s.source)).collect();
        if let Some(late) = feeding.iter().find(|s| !s.well || s.failures > 0).or(feeding.first()) {
            return (Some(quiet(late)), Some(todo(late)));
        }
        let model = lakefile.models.iter().find(|model| model.table == table.name);
        let inputs = model.into_iter().flat_map(|model| &model.upstream);
        let late = inputs.filter(|input| self.is_overdue(input, now)).map(ToString::to_string);
        let late = late.collect::<Vec<_>>().join(", ");
        if late.is_empty() {
            return (Some("its model has not run".into()), Some(format!("`lakefront run {}`", table.name)));
        }
        (
            Some(format!("its input is late: {late}")),
            Some(format!("see to {late}; the model follows by itself")),
        )
    }

    fn is_overdue(&self, name: &TableName, now: DateTime<Utc>) -> bool {
        self.tables.iter().any(|table| table.name == *name && table.overdue(now))
    }
}

impl TableHealth {
    /// The same with how its last upkeep ended.
    fn kept(mut self, state: Option<&SourceState>) -> Self {
        let Some(state) = state.filter(|state| state.failures > 0) else { return self };
        let error = state.error.as_deref().unwrap_or("it is not said why");
        self.upkeep = Some(format!("its upkeep failed {} times in a row: {error}", state.failures));
        if self.why.is_none() {
            self.why = self.upkeep.clone();
            self.todo = Some("mend what the error names, then `lakefront run maintenance`".to_owned());
        }
        self
    }
}

/// Under which name the upkeep of a table has its state among those of the sources, whose names have no colon.
pub(crate) fn upkeep_of(table: &TableName) -> String {
    format!("upkeep:{table}")
}

async fn aside(catalog: &Catalog) -> Result<BTreeMap<String, (i64, Vec<SourceFile>)>, catalog::Error> {
    let mut aside = BTreeMap::new();
    for (source, count) in catalog.source_files().count_set_aside().await? {
        let files = catalog.source_files().set_aside(&source, FILES).await?;
        aside.insert(source, (count, files));
    }
    Ok(aside)
}

async fn failures(
    catalog: &Catalog,
    tables: &[Arc<Table>],
) -> Result<BTreeMap<TableName, String>, catalog::Error> {
    let mut failures = BTreeMap::new();
    for table in tables.iter().filter(|table| table.failing()) {
        let failure = catalog.model_run(table.id).await?.and_then(|run| run.failure);
        failures.extend(failure.map(|failure| (table.name.clone(), failure)));
    }
    Ok(failures)
}

fn set_aside(source: &str, file: &SourceFile) -> Aside {
    Aside {
        source: source.to_owned(),
        batch: file.n,
        file: file.name.clone(),
        came_at: file.came_at,
        why: file.refused.clone().unwrap_or_default(),
        todo: format!(
            "have it sent again as the table declares it, under the same name; or say `drift = \"widen\"` in [sources.{source}]"
        ),
    }
}

/// Why a table keeps the version it has, and what to do.
fn refused(table: &Table, failure: Option<&String>) -> (Option<String>, Option<String>) {
    let why = match failure {
        Some(failure) => format!("its model fails: {failure}"),
        None => "its model fails: the statement, or a test of its rows".to_string(),
    };
    let name = &table.name;
    let todo = format!(
        "`GET /v1/tables/{}/{}` names the test; mend it, then `lakefront run {name}`",
        name.schema, name.table
    );
    (Some(why), Some(todo))
}

fn source(name: &str, state: Option<&SourceState>, planned: Option<DateTime<Utc>>) -> SourceHealth {
    let failures = state.map_or(0, |state| state.failures);
    let mut health = SourceHealth {
        source: name.to_string(),
        well: failures < FAILURES,
        succeeded_at: state.and_then(|state| state.succeeded_at),
        failed_at: state.and_then(|state| state.failed_at),
        failures,
        error: state.and_then(|state| state.error.clone()),
        next_at: planned.or_else(|| state.and_then(|state| state.next_at)),
        set_aside: 0,
        why: None,
        todo: None,
    };
    if failures > 0 {
        (health.why, health.todo) = (Some(quiet(&health)), Some(todo(&health)));
    }
    health
}

/// Why nothing comes from a source.
fn quiet(source: &SourceHealth) -> String {
    let name = &source.source;
    match (source.failures, source.succeeded_at) {
        (0, None) => format!("source {name} has not been asked"),
        (0, Some(at)) => format!("source {name} had nothing new, last at {}", instant(at)),
        (n, at) => {
            let since =
                at.map_or_else(|| "it never went well".into(), |at| format!("last well at {}", instant(at)));
            let error = source.error.as_deref().unwrap_or("it is not said why");
            format!("source {name} failed {n} times in a row, {since}: {error}")
        }
    }
}

fn todo(source: &SourceHealth) -> String {
    let name = &source.source;
    let next =
        source.next_at.map_or_else(String::new, |at| format!("; it is asked again at {}", instant(at)));
    match (source.failures, source.succeeded_at) {
        (0, None) => format!("start a server with lake.sources = true, or `lakefront run {name}`"),
        (0, Some(_)) => format!("ask whoever sends it, then `lakefront run {name}`{next}"),
        _ => format!("mend what the error names, then `lakefront run {name}`{next}"),
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn schedule(schedule: &Schedule) -> ScheduleHealth {
    let Schedule { name, cron, timezone, pipeline, enabled, next_run_at, fired_at, .. } = schedule.clone();
    ScheduleHealth { schedule: name, run: pipeline, cron, timezone, enabled, fired_at, next_run_at }
}

fn letter(alert: &Alert) -> Letter {
    Letter {
        kind: alert.kind.clone(),
        subject: alert.subject.clone(),
        detail: alert.body["detail"].as_str().unwrap_or_default().to_string(),
        raised_at: alert.raised_at,
        attempts: alert.attempts,
        error: alert.error.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::testing::{at, quiet_lake};

    const REGIONS: &str =
        "region_id,name,country,lon,lat,population\nit-lombardia,Lombardia,IT,9.93,45.57,9976509\n";

    #[tokio::test]
    async fn what_is_late_says_why_and_what_to_do() {
        let lake = quiet_lake(REGIONS).await;
        let states = lake.catalog.source_states();
        let soon = Utc::now();
        let fresh = Facts::read(&lake.catalog).await.unwrap().assess(&lake.lakefile, soon);
        assert!(fresh.well && fresh.tables.iter().all(|table| !table.overdue), "{fresh:?}");
        let later = soon + TimeDelta::hours(4);
        states.failed("c.current", "no answer", Some(later), later).await.unwrap();
        states.succeeded("c.forecast", None, soon).await.unwrap();
        let facts = Facts::read(&lake.catalog).await.unwrap();
        let late = facts.assess(&lake.lakefile, later);
        let table = |name: &str| late.tables.iter().find(|table| table.table.to_string() == name).unwrap();
        assert!(!late.well);
        let (hourly, forecast, daily) =
            (table("weather.hourly"), table("weather.forecast"), table("weather.daily"));
        assert!(
            hourly.why.as_ref().unwrap().contains("failed 1 times in a row, it never went well: no answer")
        );
        assert!(hourly.todo.as_ref().unwrap().contains("`lakefront run c.current`; it is asked again at"));
        assert!(forecast.why.as_ref().unwrap().starts_with("source c.forecast had nothing new"));
        assert_eq!(daily.why.as_deref(), Some("its input is late: weather.hourly"));
        assert!(!table("source_a.activity").overdue);
    }

    #[tokio::test]
    async fn a_source_that_keeps_failing_is_not_well_although_nothing_is_late() {
        let lake = quiet_lake(REGIONS).await;
        let now = at("2026-03-10T12:00:00Z");
        for failures in 1..=FAILURES {
            lake.catalog.source_states().failed("a", "the folder is gone", None, now).await.unwrap();
            let health = Facts::read(&lake.catalog).await.unwrap().assess(&lake.lakefile, now);
            assert_eq!(health.well, failures < FAILURES);
        }
    }
}

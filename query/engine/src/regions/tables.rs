//! The platform tables region routes rest on, and what an answer says of them.

use std::sync::{Arc, LazyLock};

use catalog::{Moment, Stamp, Table};
use chrono::{DateTime, TimeDelta, Utc};
use identity::{RegionId, TableName};

use crate::cache::TagBuilder;
use crate::{QueryError, TableMeta};

pub(super) static REGIONS: LazyLock<TableName> = LazyLock::new(|| TableName::new("geo", "regions"));
pub(super) static WEATHER_DAILY: LazyLock<TableName> = LazyLock::new(|| TableName::new("weather", "daily"));
pub(super) static WEATHER_HOURLY: LazyLock<TableName> = LazyLock::new(|| TableName::new("weather", "hourly"));
pub(super) static FORECAST: LazyLock<TableName> = LazyLock::new(|| TableName::new("weather", "forecast"));
pub(super) static MARKET_DAILY: LazyLock<TableName> = LazyLock::new(|| TableName::new("market", "daily"));

/// One table under an answer: which version of it is read, and the last version that changed the rows asked for.
#[derive(Clone, Debug)]
pub(super) struct Footing {
    pub name: &'static TableName,
    pub table: Option<Arc<Table>>,
    /// The stamp of the region, or the newest among several regions'.
    pub stamp: Option<Stamp>,
    overdue: bool,
    failing: bool,
}

impl Footing {
    /// The footing of `regions` in table `name`; adds all it depends on to `tag`.
    pub fn of_regions<'a>(
        name: &'static TableName,
        regions: impl Iterator<Item = &'a RegionId>,
        moment: &Moment,
        now: Option<DateTime<Utc>>,
        tag: &mut TagBuilder,
    ) -> Self {
        let table = moment.table(name);
        let mut newest: Option<Stamp> = None;
        for region in regions {
            let stamp = table.as_ref().and_then(|table| moment.stamp(table.id, region));
            tag.version(stamp.map(|stamp| stamp.version));
            newest = newest.into_iter().chain(stamp).max_by_key(|stamp| stamp.version);
        }
        Self::standing(name, table, newest, now, tag)
    }

    /// The footing of an answer that depends on the whole table.
    pub fn of_table(
        name: &'static TableName,
        moment: &Moment,
        now: Option<DateTime<Utc>>,
        tag: &mut TagBuilder,
    ) -> Self {
        let table = moment.table(name);
        let stamp = table
            .as_ref()
            .and_then(|table| Some(Stamp { version: table.version?, updated_at: table.updated_at }));
        tag.version(stamp.map(|stamp| stamp.version));
        Self::standing(name, table, stamp, now, tag)
    }

    /// `now` is absent for an answer about the past: it is what it is, and never overdue or failing.
    fn standing(
        name: &'static TableName,
        table: Option<Arc<Table>>,
        stamp: Option<Stamp>,
        now: Option<DateTime<Utc>>,
        tag: &mut TagBuilder,
    ) -> Self {
        let overdue = table.as_ref().zip(now).is_some_and(|(table, now)| table.overdue(now));
        tag.bytes(table.as_ref().map(|table| table.id.as_uuid()).unwrap_or_default().as_bytes());
        let failing = now.is_some() && table.as_ref().is_some_and(|table| table.failing());
        tag.number(i64::from(overdue)).number(i64::from(failing));
        Self { name, table, stamp, overdue, failing }
    }

    /// When it becomes overdue unless a commit comes before; `None` where it is already, or never will be.
    pub fn turns_overdue(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // It is overdue after that instant, not at it.
        let turns = self.table.as_ref()?.overdue_at()?.checked_add_signed(TimeDelta::nanoseconds(1))?;
        (turns > now).then_some(turns)
    }

    /// The table and the version of it to read; `None` where nothing was ever committed.
    pub fn pinned(&self) -> Option<(&Arc<Table>, i64)> {
        let table = self.table.as_ref()?;
        Some((table, table.version?))
    }

    /// Its entry in `meta.tables`.
    pub fn meta(&self) -> TableMeta {
        TableMeta {
            name: self.name.to_string(),
            version: self.stamp.map(|stamp| stamp.version),
            updated_at: self.stamp.map(|stamp| stamp.updated_at),
            overdue: self.overdue,
            failing: self.failing,
        }
    }
}

/// All footings of an answer, in the order of `meta.tables`.
#[derive(Clone, Debug, Default)]
pub(super) struct Footings(pub Vec<Footing>);

impl Footings {
    /// The footing in `name`. Errors: internal, where the question was not composed with it.
    pub fn get(&self, name: &TableName) -> Result<&Footing, QueryError> {
        self.0
            .iter()
            .find(|footing| footing.name == name)
            .ok_or_else(|| QueryError::engine(NoFooting(name.to_string())))
    }

    pub fn meta(&self) -> Vec<TableMeta> {
        self.0.iter().map(Footing::meta).collect()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the answer does not rest on {0}")]
struct NoFooting(String);

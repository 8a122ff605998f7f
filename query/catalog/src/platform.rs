//! The platform's tables and the stamps of their regions, in memory.
//!
//! ```text
//! publish (here) ─┐
//!                 ├▶ refresh ─▶ Arc<Platform> ─▶ Moment (a request's consistent read; no database call)
//! clock (others) ─┘
//! ```
//! A `Platform` never changes: a newer state is a new one that shares what did not change.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use identity::{RegionId, TableId, TableName};

use crate::table::Table;

/// The last version that changed a region's rows in one table, and when that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub version: i64,
    pub updated_at: DateTime<Utc>,
}

/// One platform table with its stamps.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub table: Arc<Table>,
    /// The last version that may have changed every region.
    pub floor: Option<Stamp>,
    pub stamps: Arc<HashMap<RegionId, Stamp>>,
}

impl Entry {
    fn stamp(&self, region: &RegionId) -> Option<Stamp> {
        let own = self.stamps.get(region).copied();
        own.into_iter().chain(self.floor).max_by_key(|stamp| stamp.version)
    }
}

/// All platform tables at one tick of the clock.
#[derive(Clone, Debug, Default)]
pub struct Platform {
    pub(crate) ticks: i64,
    entries: Vec<Entry>,
    // Places in `entries`.
    by_name: HashMap<TableName, usize>,
    by_id: HashMap<TableId, usize>,
}

/// What changed since a known tick.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub ticks: i64,
    pub tables: Vec<(Arc<Table>, Option<Stamp>)>,
    pub stamps: Vec<(TableId, RegionId, Stamp)>,
}

impl Platform {
    /// The state after `changes`; tables without a change are shared with this one.
    pub(crate) fn after(&self, changes: Changes) -> Self {
        let mut next = self.clone();
        next.ticks = changes.ticks;
        for (table, floor) in changes.tables {
            next.put(table, floor);
        }
        for (table, stamps) in by_table(changes.stamps) {
            next.stamp_all(table, stamps);
        }
        next
    }

    fn put(&mut self, table: Arc<Table>, floor: Option<Stamp>) {
        if let Some(&place) = self.by_id.get(&table.id) {
            let entry = &mut self.entries[place];
            (entry.table, entry.floor) = (table, floor);
            return;
        }
        self.by_id.insert(table.id, self.entries.len());
        self.by_name.insert(table.name.clone(), self.entries.len());
        self.entries.push(Entry { table, floor, stamps: Arc::default() });
    }

    fn stamp_all(&mut self, table: TableId, stamps: Vec<(RegionId, Stamp)>) {
        if let Some(&place) = self.by_id.get(&table) {
            Arc::make_mut(&mut self.entries[place].stamps).extend(stamps);
        }
    }

    fn named(&self, name: &TableName) -> Option<&Entry> {
        self.by_name.get(name).map(|&place| &self.entries[place])
    }

    fn entry(&self, table: TableId) -> Option<&Entry> {
        self.by_id.get(&table).map(|&place| &self.entries[place])
    }
}

fn by_table(stamps: Vec<(TableId, RegionId, Stamp)>) -> HashMap<TableId, Vec<(RegionId, Stamp)>> {
    let mut tables: HashMap<_, Vec<_>> = HashMap::new();
    for (table, region, stamp) in stamps {
        tables.entry(table).or_default().push((region, stamp));
    }
    tables
}

/// A consistent read of all platform tables: whatever is asked of one moment belongs together. Cheap to make and to clone.
#[derive(Clone, Debug)]
pub struct Moment {
    at: Arc<Platform>,
}

impl Moment {
    pub(crate) fn new(at: Arc<Platform>) -> Self {
        Self { at }
    }

    /// The tick of the clock it was read at: moments of one tick are equal.
    pub fn tick(&self) -> i64 {
        self.at.ticks
    }

    /// The table of that full name; its version is `None` before the first commit.
    pub fn table(&self, name: &TableName) -> Option<Arc<Table>> {
        self.table_ref(name).cloned()
    }

    /// The same without touching its reference count.
    pub fn table_ref(&self, name: &TableName) -> Option<&Arc<Table>> {
        self.at.named(name).map(|entry| &entry.table)
    }

    /// The last version that changed the region's rows; `None` where none ever did.
    pub fn stamp(&self, table: TableId, region: &RegionId) -> Option<Stamp> {
        self.at.entry(table)?.stamp(region)
    }

    /// Table and stamp in one look-up.
    pub fn region(&self, name: &TableName, region: &RegionId) -> Option<(&Arc<Table>, Option<Stamp>)> {
        let entry = self.at.named(name)?;
        Some((&entry.table, entry.stamp(region)))
    }

    /// All platform tables, ordered by name.
    pub fn platform_tables(&self) -> Vec<Arc<Table>> {
        let mut tables: Vec<_> = self.at.entries.iter().map(|entry| entry.table.clone()).collect();
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        tables
    }

    /// Whether a schema is the platform's.
    pub fn has_schema(&self, schema: &str) -> bool {
        self.at.by_name.keys().any(|name| name.schema == schema)
    }

    /// The clock's tick this moment belongs to; a later moment has an equal or a higher one. 0 for a moment of the past.
    pub fn ticks(&self) -> i64 {
        self.at.ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::testing::{minute, region, table};

    fn daily() -> Arc<Table> {
        Arc::new(Table::empty(Kind::Platform, table("weather.daily"), minute(0)))
    }

    fn stamp(version: i64) -> Stamp {
        Stamp { version, updated_at: minute(version) }
    }

    fn changes(ticks: i64, table: &Arc<Table>, floor: Option<i64>, regions: &[(&str, i64)]) -> Changes {
        let stamps = regions.iter().map(|(name, version)| (table.id, region(name), stamp(*version)));
        Changes { ticks, tables: vec![(table.clone(), floor.map(stamp))], stamps: stamps.collect() }
    }

    #[test]
    fn a_regions_stamp_is_the_newer_of_its_own_and_the_tables_floor() {
        let daily = daily();
        let first = Platform::default().after(changes(1, &daily, Some(2), &[("rome", 1), ("oslo", 3)]));
        let moment = Moment::new(Arc::new(first));
        let version = |name| moment.stamp(daily.id, &region(name)).map(|stamp| stamp.version);
        assert_eq!((version("rome"), version("oslo"), version("bonn")), (Some(2), Some(3), Some(2)));
    }

    #[test]
    fn a_newer_state_leaves_the_older_one_as_it_was() {
        let daily = daily();
        let first = Platform::default().after(changes(1, &daily, None, &[("rome", 1)]));
        let second = first.after(changes(2, &daily, None, &[("rome", 2), ("oslo", 2)]));
        let (then, now) = (Moment::new(Arc::new(first)), Moment::new(Arc::new(second)));
        assert_eq!(then.stamp(daily.id, &region("rome")), Some(stamp(1)));
        assert_eq!(then.stamp(daily.id, &region("oslo")), None);
        assert_eq!(now.region(&daily.name, &region("rome")), Some((&daily, Some(stamp(2)))));
        assert_eq!((then.ticks(), now.ticks(), now.platform_tables().len()), (1, 2, 1));
        assert!(now.has_schema("weather") && !now.has_schema("my"));
    }
}

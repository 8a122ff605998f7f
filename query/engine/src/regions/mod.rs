//! Region routes: what is asked most, answered here in the gateway on a runtime of its own.
//!
//! ```text
//! RegionQuery ─▶ basis: which regions, which stamps ─▶ Tag ─▶ cache
//!                                                       └ miss ─▶ Directory, Store (days in memory) ─▶ body
//! ```
//! A tag costs a few look-ups in memory: no query, no database. Absent on purpose: customers' tables and customers' SQL.

mod answer;
mod basis;
mod body;
mod directory;
mod forecast;
mod lasting;
mod list;
mod measures;
mod parse;
mod pieces;
mod reader;
mod request;
mod series;
mod store;
mod summary;
mod tables;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

use catalog::{Catalog, Moment};
use chrono::{DateTime, Utc};
use lake::Lake;

pub use lasting::Lasting;
pub use list::REGIONS as LIST_ROWS;
pub use parse::{WINDOW_DAYS, instant, limit};
pub use request::{
    Bound, BoundingBox, Grain, ListRegions, Of, Pick, Point, RegionQuery, SeriesQuery, Window,
};

use crate::cache::{Cache, TagBuilder};
use crate::cursor::Seal;
use crate::{Answer, Format, Page, QueryError};
pub(crate) use basis::Asked;
use basis::Basis;
use directory::{Directories, Directory};
use reader::Reader;
use store::Store;

/// Answers region routes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Regions {
    catalog: Catalog,
    reader: Reader,
    directories: Directories,
    /// Moments of the past that were asked for: they never change.
    past: moka::sync::Cache<i64, Moment>,
    store: Store,
    seal: Seal,
    currency: Arc<str>,
}

impl Regions {
    pub fn new(catalog: Catalog, lake: Lake, store_bytes: u64, seal: Seal, currency: &str) -> Self {
        let reader = Reader::new(lake);
        Self {
            catalog,
            store: Store::new(reader.clone(), store_bytes),
            reader,
            directories: Directories::default(),
            past: moka::sync::Cache::new(64),
            seal,
            currency: currency.into(),
        }
    }

    /// The tag of an answer from what is in memory; `None` where that does not do.
    pub fn tag(&self, query: &RegionQuery, asked: Asked<'_>) -> Option<Lasting> {
        let moment = match query.as_of() {
            Some(at) => self.past.get(&at.timestamp_micros())?,
            None => self.catalog.moment(),
        };
        let directory = match query.cursor() {
            None => self.directories.known(&moment)?,
            Some(_) => return None,
        };
        let basis = Basis::of(query, &moment, &directory, &self.seal, asked).ok()?;
        // Whether a moment of the past may still be asked for is found out each time.
        let until = if query.as_of().is_some() { Some(asked.now) } else { basis.until };
        Some(Lasting::new(basis.tag, moment.tick(), asked.now, until))
    }

    /// Whether a tag is still that of its question.
    pub fn lasts(&self, tag: &Lasting, now: DateTime<Utc>) -> bool {
        tag.lasts(self.catalog.tick(), now)
    }

    /// The answer, from `cache` or made on `runtime`.
    pub async fn answer(
        &self,
        query: RegionQuery,
        asked: Asked<'_>,
        cache: &Cache,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Answer, QueryError> {
        let (moment, directory) = self.scene(&query, asked.now, runtime).await?;
        let basis = match Basis::of(&query, &moment, &directory, &self.seal, asked) {
            Ok(basis) => basis,
            // Comparing with all regions takes a while: not on the threads of HTTP.
            Err(error) => {
                let explained = runtime.spawn_blocking(move || directory.explained(error));
                return Err(explained.await.map_err(QueryError::engine)?);
            }
        };
        if let Some(page) = cache.get(&basis.tag) {
            return Ok(Answer { page, hit: true });
        }
        let (tag, me) = (basis.tag.clone(), self.clone());
        let (format, now) = (asked.format, asked.now);
        let fill = async move { me.fill(&query, basis, &directory, format, now).await };
        cache.answer(&tag, runtime, fill).await
    }

    /// The moment a question is about and the regions known then.
    async fn scene(
        &self,
        query: &RegionQuery,
        now: DateTime<Utc>,
        runtime: &tokio::runtime::Handle,
    ) -> Result<(Moment, Arc<Directory>), QueryError> {
        let moment = match query.as_of() {
            Some(at) => self.moment_at(at, now).await?,
            None => self.catalog.moment(),
        };
        let mark = query.mark(&self.seal, now)?;
        let known = if mark.is_none() { self.directories.known(&moment) } else { None };
        if let Some(directory) = known {
            return Ok((moment, directory));
        }
        let (me, of) = (self.clone(), moment.clone());
        let load = async move {
            match mark {
                Some(mark) => me.directories.at(&of, mark.version, &me.reader).await,
                None => me.directories.of(&of, &me.reader).await,
            }
        };
        let directory = runtime.spawn(load).await.map_err(QueryError::engine)??;
        Ok((moment, directory))
    }

    async fn moment_at(&self, at: DateTime<Utc>, now: DateTime<Utc>) -> Result<Moment, QueryError> {
        if at > now {
            return Err(QueryError::parameter("as_of", "`as_of` lies in the future"));
        }
        // Always asked anew: what was within the horizon a day ago may have left it.
        let moment =
            self.catalog.moment_at(at, now).await.map_err(|error| crate::error::of_catalog(error, at))?;
        self.past.insert(at.timestamp_micros(), moment.clone());
        Ok(moment)
    }

    /// Reads the daily tables of all regions into memory ahead of the first question. Shape: regions read.
    pub async fn warm(&self) -> Result<usize, QueryError> {
        let moment = self.catalog.moment();
        self.directories.of(&moment, &self.reader).await?;
        let mut regions = 0;
        for name in [&*tables::WEATHER_DAILY, &*tables::MARKET_DAILY, &*tables::WEATHER_HOURLY] {
            let Some(table) = moment.table(name) else { continue };
            let mut unused = TagBuilder::new("", "", Format::Json);
            let footing = tables::Footing::of_table(name, &moment, None, &mut unused);
            let stamp_of = |region: &identity::RegionId| Some(moment.stamp(table.id, region)?.version);
            match name == &*tables::WEATHER_HOURLY {
                true => self.store.warm_hours(&footing, stamp_of).await?,
                false => regions += self.store.warm(&footing, stamp_of).await?,
            }
        }
        Ok(regions)
    }
}

/// Pages of region routes hold at most as many rows and bytes as any other.
fn within_limits(page: Page) -> Result<Page, QueryError> {
    match page.facts.rows <= crate::PAGE_ROWS && page.body.len() as u64 <= crate::PAGE_BYTES {
        true => Ok(page),
        false => Err(too_large()),
    }
}

fn too_large() -> QueryError {
    let detail = format!(
        "an answer has at most {} rows and {} MiB: ask for a shorter period or fewer regions",
        crate::PAGE_ROWS,
        crate::PAGE_BYTES >> 20
    );
    QueryError::TooLarge { detail }
}

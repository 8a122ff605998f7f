//! What an answer depends on, found without reading a table: the regions it is about, their stamps, and the tag made of them.

use std::fmt::Write;

use catalog::Moment;
use chrono::{DateTime, Utc};
use identity::{RegionId, TableName};

use super::directory::Directory;
use super::list::{self, Mark};
use super::measures::{MARKET, WEATHER};
use super::request::{Grain, ListRegions, Of, Pick, RegionQuery, SeriesQuery, Window};
use super::series;
use super::tables::{FORECAST, Footing, Footings, MARKET_DAILY, REGIONS, WEATHER_DAILY, WEATHER_HOURLY};
use crate::cache::{Tag, TagBuilder};
use crate::cursor::Seal;
use crate::{Format, QueryError};

const HOUR_SECS: i64 = 3600;

/// The grounds of one answer.
pub(super) struct Basis {
    pub tag: Tag,
    /// When time alone makes another tag of the same moment: a promise breaks, or cursors are made anew. Before it, not at it.
    pub until: Option<DateTime<Utc>>,
    pub footings: Footings,
    pub moment: Moment,
    /// The regions of a summary or series, in the order of the answer.
    pub regions: Vec<RegionId>,
    /// Cursor of the next page.
    pub next: Option<String>,
}

impl RegionQuery {
    pub(super) fn as_of(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Summary { as_of, .. } | Self::Summaries { as_of, .. } | Self::Forecast { as_of, .. } => {
                *as_of
            }
            Self::Weather(series) | Self::Market(series) => series.as_of,
            Self::List(_) | Self::Find { .. } => None,
        }
    }

    pub(super) fn cursor(&self) -> Option<&str> {
        match self {
            Self::List(list) => list.cursor.as_deref(),
            Self::Summaries { pick, .. } => pick.cursor.as_deref(),
            _ => None,
        }
    }

    /// Where its page goes on. Errors: `invalid-cursor` for one that is not of this question.
    pub(super) fn mark(&self, seal: &Seal, now: DateTime<Utc>) -> Result<Option<Mark>, QueryError> {
        let Some(cursor) = self.cursor() else {
            return Ok(None);
        };
        let question = match self {
            Self::List(list) => list::question(list),
            Self::Summaries { pick, window, .. } => list::question_of(pick, &about(*window)),
            _ => return Ok(None),
        };
        Mark::open(cursor, &question, seal, now).map(Some)
    }
}

pub(super) fn about(window: Window) -> String {
    format!("summaries {}d", window.length())
}

/// How a question is put: all that decides its answer beside the question itself and the rows.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub format: Format,
    /// Fingerprint of the policies that hold for the caller.
    pub policy: &'a str,
    pub now: DateTime<Utc>,
}

/// Collects footings while they are written into the tag.
struct Grounds<'a> {
    tag: TagBuilder,
    moment: &'a Moment,
    directory: &'a Directory,
    seal: &'a Seal,
    now: DateTime<Utc>,
    /// An answer about the past is never overdue.
    past: bool,
    until: Option<DateTime<Utc>>,
    footings: Footings,
}

impl Grounds<'_> {
    fn regions(&mut self, name: &'static TableName, regions: &[RegionId]) {
        let footing = Footing::of_regions(name, regions.iter(), self.moment, self.at(), &mut self.tag);
        self.rest_on(footing);
    }

    fn rest_on(&mut self, footing: Footing) {
        if let Some(turns) = self.at().and_then(|now| footing.turns_overdue(now)) {
            self.until_before(turns);
        }
        self.footings.0.push(footing);
    }

    fn until_before(&mut self, end: DateTime<Utc>) {
        self.until = Some(self.until.map_or(end, |until| until.min(end)));
    }

    /// An answer that holds a cursor is made anew each hour, so that no cursor is handed out when it is about to expire.
    fn cursors(&mut self) {
        let hour = self.now.timestamp() / HOUR_SECS;
        self.tag.number(hour);
        if let Some(end) = DateTime::from_timestamp((hour + 1) * HOUR_SECS, 0) {
            self.until_before(end);
        }
    }

    fn at(&self) -> Option<DateTime<Utc>> {
        (!self.past).then_some(self.now)
    }

    fn table(&mut self, name: &'static TableName) {
        let footing = Footing::of_table(name, self.moment, self.at(), &mut self.tag);
        self.rest_on(footing);
    }
}

impl Basis {
    /// Errors: `unknown-region`, and `invalid-parameter` or `invalid-period` where the question cannot be answered.
    pub fn of(
        query: &RegionQuery,
        moment: &Moment,
        directory: &Directory,
        seal: &Seal,
        asked: Asked<'_>,
    ) -> Result<Self, QueryError> {
        let tag = TagBuilder::new(&question(query)?, asked.policy, asked.format);
        let (now, past, footings) = (asked.now, query.as_of().is_some(), Footings::default());
        let mut grounds = Grounds { tag, moment, directory, seal, now, past, until: None, footings };
        let (regions, next) = grounds.about(query)?;
        for region in &regions {
            directory.find(region)?;
            grounds.tag.text(region.as_str());
        }
        match query {
            RegionQuery::List(_) => {}
            RegionQuery::Find { .. } => grounds.regions(&REGIONS, &regions),
            RegionQuery::Summary { .. } | RegionQuery::Summaries { .. } => {
                for table in [&*REGIONS, &*WEATHER_DAILY, &*WEATHER_HOURLY, &*MARKET_DAILY] {
                    grounds.regions(table, &regions);
                }
            }
            RegionQuery::Weather(SeriesQuery { grain: Grain::Hour, .. }) => {
                // Days are turned into hours by the region's time zone.
                grounds.regions(&WEATHER_HOURLY, &regions);
                grounds.regions(&REGIONS, &regions);
            }
            RegionQuery::Weather(_) => grounds.regions(&WEATHER_DAILY, &regions),
            RegionQuery::Market(_) => grounds.regions(&MARKET_DAILY, &regions),
            RegionQuery::Forecast { .. } => grounds.regions(&FORECAST, &regions),
        }
        Ok(Self {
            tag: grounds.tag.finish(),
            until: grounds.until,
            footings: grounds.footings,
            moment: moment.clone(),
            regions,
            next,
        })
    }
}

impl Grounds<'_> {
    /// The regions a question is about, and the cursor of those that follow.
    fn about(&mut self, query: &RegionQuery) -> Result<(Vec<RegionId>, Option<String>), QueryError> {
        let one = |region: &RegionId| Ok((vec![region.clone()], None));
        match query {
            RegionQuery::List(_) => {
                self.table(&REGIONS);
                self.cursors();
                Ok((Vec::new(), None))
            }
            RegionQuery::Find { region }
            | RegionQuery::Summary { region, .. }
            | RegionQuery::Forecast { region, .. } => one(region),
            RegionQuery::Weather(series) | RegionQuery::Market(series) => match &series.regions {
                Of::One(region) => one(region),
                Of::Many(regions) => Ok((named(regions)?, None)),
            },
            RegionQuery::Summaries { pick, window, .. } => match &pick.regions {
                Some(regions) => Ok((named(regions)?, None)),
                None => self.picked(pick, *window, query.mark(self.seal, self.now)?),
            },
        }
    }

    fn picked(
        &mut self,
        pick: &Pick,
        window: Window,
        mark: Option<Mark>,
    ) -> Result<(Vec<RegionId>, Option<String>), QueryError> {
        let current = self.moment.table_ref(&REGIONS).and_then(|table| table.version);
        let version = mark.as_ref().map(|mark| mark.version).or(current);
        let about = about(window);
        let found =
            list::of_country(self.directory, pick, &about, mark.as_ref(), version.unwrap_or_default());
        // Whether more regions follow is part of the answer.
        self.tag.version(version).number(i64::from(found.next.is_some()));
        if found.next.is_some() {
            self.cursors();
        }
        let next = found.next.map(|mark| self.seal.close(&mark, self.now)).transpose()?;
        Ok((found.regions.into_iter().map(|(region, _)| region.region_id.clone()).collect(), next))
    }
}

/// Regions given by name, each once.
fn named(regions: &[RegionId]) -> Result<Vec<RegionId>, QueryError> {
    if regions.is_empty() || regions.len() > list::REGIONS as usize {
        return Err(QueryError::parameter(
            "regions",
            format!("`regions` is 1 to {} regions, separated by commas", list::REGIONS),
        ));
    }
    let mut seen = std::collections::HashSet::new();
    Ok(regions.iter().filter(|region| seen.insert(*region)).cloned().collect())
}

/// The question in one spelling, regions left to [`Basis::of`]. Errors: what is wrong with its parameters.
fn question(query: &RegionQuery) -> Result<String, QueryError> {
    let mut text = String::with_capacity(96);
    // Writing to a string cannot fail.
    let _ = match query {
        RegionQuery::List(list) => write_list(&mut text, list),
        RegionQuery::Find { .. } => write!(text, "region"),
        RegionQuery::Summary { window, .. } => write!(text, "summary {}", window.length()),
        RegionQuery::Summaries { window, pick, .. } => {
            write!(text, "summaries {} {:?}", window.length(), pick.cursor)
        }
        RegionQuery::Weather(series) => {
            check(series, true)?;
            write!(text, "weather {}", spelled(series))
        }
        RegionQuery::Market(series) => {
            check(series, false)?;
            write!(text, "market {}", spelled(series))
        }
        RegionQuery::Forecast { fields, .. } => {
            series::pick(fields.as_deref(), &series::HOURLY)?;
            write!(text, "forecast {fields:?}")
        }
    };
    if let Some(at) = query.as_of() {
        let _ = write!(text, " as of {}", at.timestamp_micros());
    }
    Ok(text)
}

fn write_list(text: &mut String, list: &ListRegions) -> std::fmt::Result {
    write!(text, "{} {:?}", list::question(list), list.cursor)
}

fn spelled(series: &SeriesQuery) -> String {
    let SeriesQuery { regions, from, to, grain, fields, as_of: _ } = series;
    let many = matches!(regions, Of::Many(_));
    format!("{many} {from:?} {to:?} {grain:?} {fields:?}")
}

fn check(series: &SeriesQuery, weather: bool) -> Result<(), QueryError> {
    if series.grain == Grain::Hour && !weather {
        return Err(Grain::not_of_market());
    }
    if series.grain != Grain::Hour {
        series::days_between(series.from, series.to)?;
    }
    let known = series::columns(series.grain, if weather { &WEATHER } else { &MARKET });
    series::pick(series.fields.as_deref(), &known).map(|_| ())
}

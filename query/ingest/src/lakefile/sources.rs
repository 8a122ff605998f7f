//! Sources as the lake's TOML declares them: where they are, which tables they fill, how often they are asked.

use catalog::CatchUp;
use identity::TableName;
use serde::Deserialize;

use super::{EventsSpec, FilesSpec, Times, WeatherSpec};

/// One source.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum SourceSpec {
    Weather(WeatherSpec),
    Events(EventsSpec),
    Files(FilesSpec),
}

impl SourceSpec {
    /// The times it is asked at, where it has no rhythm of its own. Errors: words for the operator.
    pub fn times(&self) -> Result<Option<Times>, String> {
        // Current hours have a rhythm by nature, which times of its own replace.
        let (cron, timezone, every) = match self {
            Self::Weather(w) => (&w.cron, &w.timezone, w.cron.is_none()),
            Self::Events(e) => (&e.cron, &e.timezone, e.every.is_some()),
            Self::Files(f) => (&f.cron, &f.timezone, f.every.is_some()),
        };
        match cron {
            Some(_) if every => Err("`every` or `cron`, not both".to_string()),
            Some(cron) => {
                let timezone = timezone.clone().unwrap_or_else(|| "UTC".to_string());
                Ok(Some(Times { cron: cron.clone(), timezone, catch_up: CatchUp::default() }))
            }
            None if !every => Err("`every` or `cron` is needed".to_string()),
            None if timezone.is_some() => Err("`timezone` goes with `cron`".to_string()),
            None => Ok(None),
        }
    }

    /// What of it is asked by itself, and the table that fills; an archive is asked by a backfill alone.
    pub fn parts(&self, name: &str) -> Vec<(String, &TableName)> {
        match self {
            Self::Weather(w) => {
                vec![(format!("{name}.current"), &w.hourly), (format!("{name}.forecast"), &w.forecast)]
            }
            Self::Events(e) => {
                let poll = e.poll.as_ref().map(|_| (format!("{name}.poll"), &e.table));
                std::iter::once((name.to_string(), &e.table)).chain(poll).collect()
            }
            Self::Files(f) => vec![(name.to_string(), &f.table)],
        }
    }

    /// The tables it fills.
    pub fn tables(&self) -> Vec<&TableName> {
        match self {
            Self::Weather(w) => vec![&w.hourly, &w.forecast, &w.archive],
            Self::Events(e) => vec![&e.table],
            Self::Files(f) => vec![&f.table],
        }
    }
}

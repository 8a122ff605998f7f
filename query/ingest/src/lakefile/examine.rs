//! Everything that is wrong with a lake's folder, not only what is found first: for whoever writes one.
//!
//! ```text
//! lake.toml, regions.csv, models/**.sql ─▶ read ─▶ names and columns ─▶ every statement planned over empty tables
//! ```

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::{Gazetteer, Lakefile, LakefileError, Mapping, Texts, Written};
use crate::models::{Model, in_order, plan};

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub file: String,
    /// Counts from 1; absent where the file itself is the matter.
    pub line: Option<usize>,
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.reason),
            None => write!(f, "{}: {}", self.file, self.reason),
        }
    }
}

impl Lakefile {
    /// What is wrong with the lake in a folder (`None`: the built-in one): syntax, names, columns, cycles, and statements
    /// that cannot be planned against the declared tables. Empty for a lake in order.
    pub async fn examine(path: Option<&Path>) -> Vec<Fault> {
        match path.map_or_else(|| Ok(Texts::builtin()), Texts::read) {
            Ok(texts) => examine(&texts).await,
            Err(error) => vec![fault(error, "lake.toml")],
        }
    }
}

async fn examine(texts: &Texts) -> Vec<Fault> {
    let told = |error| fault(error, &texts.file);
    let (models, mut faults) = models(&texts.models);
    let known = Gazetteer::parse(&texts.regions).map_err(|e| faults.push(told(e))).ok();
    let written = Written::parse(&texts.lake).map_err(|e| faults.push(told(e))).ok();
    let (Some(known), Some(written)) = (known, written) else { return faults };
    let ordered = in_order(models.clone()).map_err(|e| faults.push(told(e)));
    let mappings =
        texts.mappings.iter().filter_map(|m| Mapping::of(m).map_err(|e| faults.push(told(e))).ok());
    let mappings = mappings.collect();
    let lakefile = written.with(known, ordered.unwrap_or(models), mappings);
    faults.extend(lakefile.wrongs(&texts.lake).into_iter().map(told));
    for model in &lakefile.models {
        faults.extend(plan::faults(model, &lakefile).await);
    }
    faults
}

/// The models that can be read, and what is wrong with the others.
fn models(files: &[(String, String)]) -> (Vec<Model>, Vec<Fault>) {
    let (mut models, mut faults) = (Vec::new(), Vec::new());
    for (file, text) in files {
        match Model::parse(file, text) {
            Ok(model) => models.push(model),
            Err(error) => faults.push(fault(error, file)),
        }
    }
    (models, faults)
}

/// An error with its place. `lake`: the path of `lake.toml`.
fn fault(error: LakefileError, lake: &str) -> Fault {
    match error {
        LakefileError::Model { file, line, reason } | LakefileError::Mapping { file, line, reason } => {
            Fault { file, line: Some(line), reason }
        }
        LakefileError::Wrong { line, reason } => Fault { file: lake.into(), line: Some(line), reason },
        LakefileError::Toml { line, error } => {
            Fault { file: lake.into(), line: Some(line), reason: error.message().into() }
        }
        LakefileError::Region { line, reason } => {
            let file = Path::new(lake).with_file_name("regions.csv").display().to_string();
            Fault { file, line: usize::try_from(line).ok(), reason }
        }
        LakefileError::Unreadable { file, source } => {
            Fault { file, line: None, reason: format!("it cannot be read: {source}") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "/*---\ntable = \"weather.daily\"\nkey = [\"region_id\", \"day\"]\nwindow = \"region_day\"\n\
                         [tests]\nnot_null = [\"day\"]\n---*/\n";

    /// The built-in lake with one more model, or one in another's place.
    async fn with(file: &str, text: &str) -> Vec<String> {
        let mut texts = Texts::builtin();
        texts.models.retain(|(known, _)| known != file);
        texts.models.push((file.to_string(), text.to_string()));
        examine(&texts).await.iter().map(Fault::to_string).collect()
    }

    #[tokio::test]
    async fn the_built_in_lake_is_in_order() {
        assert_eq!(Lakefile::examine(None).await, Vec::new());
    }

    #[tokio::test]
    async fn every_fault_has_its_file_and_line() {
        let daily = "models/aggregated/weather.daily.sql";
        let all = "air_temperature_mean, air_temperature_min, air_temperature_max, precipitation_sum, wind_speed_mean, \
                   relative_humidity_mean, hours, 'x' AS origin\nFROM market.history JOIN";
        let columns = |from: &str| format!("{MODEL}SELECT region_id, day,\n{all} {from}");
        for (text, line, words) in [
            (MODEL.replace("window", "windwo") + "SELECT 1", 4, "windwo"),
            (format!("{MODEL}SELECT region_id,\n  dya\nFROM weather.archive"), 9, "dya"),
            (format!("{MODEL}SELECT *\nFROM weather.archiv"), 9, "weather.archiv"),
            (format!("{MODEL}SELECT region_id, day\nFROM weather.archive"), 8, "`hours`"),
            (columns("weather.archive USING (region_id, day)"), 9, "hours"),
            (MODEL.replace("[\"day\"]", "[\"dya\"]") + "SELECT * FROM weather.archive", 6, "`dya`"),
            (
                MODEL.replace("not_null", "relationship = { region_id = \"geo.regions.id\" }\nnot_null"),
                6,
                "`id`",
            ),
            (
                MODEL.replace("not_null", "relationship = { region_id = \"geo.region.id\" }\nnot_null"),
                6,
                "geo.region",
            ),
        ] {
            let text = if text.contains("SELECT") { text } else { text + "SELECT * FROM weather.archive" };
            let faults = with(daily, &text).await;
            let place = format!("{daily}:{line}: ");
            let found = faults.iter().any(|f| f.starts_with(&place) && f.contains(words));
            assert!(found, "{place}{words} is not in {faults:#?}");
        }
    }

    #[tokio::test]
    async fn a_table_that_events_do_not_fit_is_told_at_its_source() {
        let mut texts = Texts::builtin();
        texts.lake = texts.lake.replacen(
            "name = \"price\", type = \"double\"",
            "name = \"price\", type = \"text\"",
            1,
        );
        let line = 1 + texts.lake.lines().position(|line| line == "[sources.d]").unwrap();
        let faults: Vec<_> = examine(&texts).await.iter().map(Fault::to_string).collect();
        let told = format!("lake.toml:{line}: source `d`: column 4 of `market.events` is `price` (text)");
        assert!(faults.iter().any(|fault| fault.starts_with(&told)), "{told} is not in {faults:#?}");
    }

    #[tokio::test]
    async fn a_cycle_and_a_model_without_a_table_are_told_at_once() {
        let cycle = MODEL.to_string() + "SELECT * FROM\nweather.monthly";
        let faults = with("models/aggregated/weather.daily.sql", &cycle).await;
        assert!(faults.iter().any(|f| f.contains("depends on itself")), "{faults:#?}");
        let stray = MODEL.replace("weather.daily", "weather.yearly") + "SELECT 1";
        let faults = with("models/x/weather.yearly.sql", &stray).await;
        assert!(
            faults.iter().any(|f| f.starts_with("models/x/weather.yearly.sql:2: no table")),
            "{faults:#?}"
        );
    }
}

//! A weather service as the lake's TOML declares it: in Open-Meteo's format, or in one that the declaration describes.
//!
//! ```toml
//! [sources.c]
//! kind = "weather"
//! forecast_url = "…"       # Open-Meteo's format
//! archive_url = "…"
//! [sources.c.service]      # instead: any other
//! ```

use std::collections::BTreeMap;

use identity::TableName;
use serde::Deserialize;

use super::files::is_url;
use super::{Period, SecretSpec, TimeFormat};

/// A weather service.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeatherSpec {
    /// Of a service in Open-Meteo's format: address of the forecast call, which also gives the current hours,
    pub forecast_url: Option<String>,
    /// and of the archive call, by range of days.
    pub archive_url: Option<String>,
    /// A service in another format.
    pub service: Option<ServiceSpec>,
    /// Tables of the hourly values, the forecasts, and the archive's daily values.
    pub hourly: TableName,
    pub forecast: TableName,
    pub archive: TableName,
    /// Places in one request.
    pub locations_per_request: usize,
    /// How often a forecast is asked for; current hours are asked for at each full hour.
    pub forecast_every: Period,
    /// How many places one forecast issue covers; the others have their turn in the next. Absent: all.
    pub locations_per_issue: Option<usize>,
    /// Least time between two requests.
    #[serde(default)]
    pub pause_ms: u64,
    pub timeout: Period,
    /// The longest answer that is read.
    pub answer_limit_bytes: u64,
    /// Whether addresses of this machine and of private networks may be asked: only for a service of one's own.
    #[serde(default)]
    pub allow_private: bool,
    /// Asked at these times instead of each hour.
    pub cron: Option<String>,
    pub timezone: Option<String>,
}

/// A service that gives JSON: where it is asked, and where in its answers the values stand.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// Addresses with `{lat}`, `{lon}`, `{from}`, `{to}` (days, both included), `{days}`, `{timezone}`, `{cursor}`: of the hours
    /// of the last days,
    pub current: String,
    /// of the hours of the next `{days}` days,
    pub forecast: String,
    /// of the hours of days of the past,
    pub archive: String,
    /// and of local days of the past. Absent: it has none.
    pub daily: Option<String>,
    pub hours: RowsSpec,
    pub days: Option<RowsSpec>,
    /// Where the places stand in an answer about several, in the order in which they were asked for.
    pub places: Option<String>,
    /// Where an answer says what `{cursor}` is in the request for its next page. Absent: an answer is whole.
    pub cursor: Option<String>,
    /// Most pages of one answer.
    #[serde(default = "hundred")]
    pub pages: u32,
    /// How the service writes instants.
    #[serde(default)]
    pub time: TimeFormat,
    /// Sent as `Authorization: Bearer …`, or alone in the header named by `token_header`.
    pub token: Option<SecretSpec>,
    pub token_header: Option<String>,
}

/// Where rows stand in an answer, and their fields in each.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowsSpec {
    /// An array of rows, or an object of one array a field; absent: the answer itself.
    #[serde(default)]
    pub rows: String,
    /// Our field, and where it stands: `air_temperature = "temp.value"`; `time` or `day` among them.
    pub fields: BTreeMap<String, String>,
    /// The unit of each measure.
    pub units: BTreeMap<String, UnitSpec>,
}

/// A unit, or where an answer says it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum UnitSpec {
    Unit(String),
    Told { at: String },
}

/// Measures of an hour, in the order of `weather.hourly`.
pub const OF_HOURS: [&str; 4] =
    ["air_temperature", "precipitation_amount", "wind_speed", "relative_humidity"];
/// Measures of a day, in the order of `weather.archive`.
pub const OF_DAYS: [&str; 6] = [
    "air_temperature_mean",
    "air_temperature_min",
    "air_temperature_max",
    "precipitation_sum",
    "wind_speed_mean",
    "relative_humidity_mean",
];
/// What an address may hold.
pub const PLACEHOLDERS: [&str; 7] = ["{lat}", "{lon}", "{from}", "{to}", "{days}", "{timezone}", "{cursor}"];

fn hundred() -> u32 {
    100
}

impl WeatherSpec {
    /// Errors: what is wrong, in words for the operator.
    pub(super) fn check(&self) -> Result<(), String> {
        match (&self.forecast_url, &self.archive_url, &self.service) {
            (Some(forecast), Some(archive), None) => {
                is_url(forecast, &["http", "https"])?;
                is_url(archive, &["http", "https"])
            }
            (None, None, Some(service)) => service.check(self.locations_per_request),
            _ => Err("either `forecast_url` and `archive_url` of Open-Meteo's format, or `service`".into()),
        }
    }
}

impl ServiceSpec {
    fn check(&self, locations_per_request: usize) -> Result<(), String> {
        if self.daily.is_some() != self.days.is_some() {
            return Err("`daily` and `days` go together".into());
        }
        if locations_per_request > 1 && self.places.is_none() {
            return Err("more than one of `locations_per_request` needs `places`".into());
        }
        let all = [(&self.current, ["{from}", "{to}"]), (&self.archive, ["{from}", "{to}"])];
        let daily = self.daily.iter().map(|daily| (daily, ["{from}", "{to}"]));
        for (template, needed) in all.into_iter().chain(daily).chain([(&self.forecast, ["{lat}", "{lon}"])]) {
            self.check_address(template, &needed)?;
        }
        self.hours.check("time", &OF_HOURS)?;
        self.days.as_ref().map_or(Ok(()), |days| days.check("day", &OF_DAYS))
    }

    fn check_address(&self, template: &str, needed: &[&str]) -> Result<(), String> {
        let bare = PLACEHOLDERS.iter().fold(template.to_owned(), |text, holder| text.replace(holder, "0"));
        is_url(&bare, &["http", "https"])?;
        if let Some(rest) = bare.find('{') {
            let unknown: String = bare[rest..].chars().take(20).collect();
            return Err(format!("an address holds `{unknown}`; it may hold {}", PLACEHOLDERS.join(", ")));
        }
        let cursor = self.cursor.as_ref().map(|_| "{cursor}");
        let missing = ["{lat}", "{lon}"].iter().chain(needed).copied().chain(cursor);
        match missing.into_iter().find(|holder| !template.contains(holder)) {
            Some(missing) => Err(format!("an address holds no `{missing}`")),
            None => Ok(()),
        }
    }
}

impl RowsSpec {
    fn check(&self, time: &str, measures: &[&str]) -> Result<(), String> {
        if !self.fields.contains_key(time) {
            return Err(format!("`fields` does not say where `{time}` stands"));
        }
        let strange = |name: &&String| name.as_str() != time && !measures.contains(&name.as_str());
        if let Some(unknown) = self.fields.keys().chain(self.units.keys()).find(strange) {
            return Err(format!("`{unknown}` is no measure; there are {}", measures.join(", ")));
        }
        let unitless = |name: &&String| name.as_str() != time && !self.units.contains_key(*name);
        match self.fields.keys().find(unitless) {
            Some(name) => Err(format!("`units` does not say the unit of `{name}`")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "hourly = \"weather.hourly\"\nforecast = \"weather.forecast\"\narchive = \"weather.archive\"\n\
                        locations_per_request = 1\nforecast_every = \"1h\"\ntimeout = \"5s\"\nanswer_limit_bytes = 1000\n";
    const URLS: &str = "forecast_url = \"https://x.test/f\"\narchive_url = \"https://x.test/a\"\n";
    const SERVICE: &str = "[service]\ncurrent = \"https://x.test/c?at={lat},{lon}&from={from}&to={to}\"\n\
        forecast = \"https://x.test/f?at={lat},{lon}&days={days}\"\narchive = \"https://x.test/a?at={lat},{lon}&from={from}&to={to}\"\n\
        hours = { rows = \"data\", fields = { time = \"ts\", air_temperature = \"t\" }, units = { air_temperature = \"degF\" } }\n";

    fn judged(more: &str) -> Result<(), String> {
        let spec: WeatherSpec = toml::from_str(&format!("{HEAD}{more}")).map_err(|e| e.to_string())?;
        spec.check()
    }

    #[test]
    fn a_service_speaks_a_known_format_or_one_that_is_described() {
        judged(URLS).unwrap();
        judged(SERVICE).unwrap();
        let days = "daily = \"https://x.test/d?at={lat},{lon}&from={from}&to={to}&tz={timezone}\"\n\
                    days = { fields = { day = \"d\", precipitation_sum = \"p\" }, units = { precipitation_sum = { at = \"u.p\" } } }\n";
        judged(&format!("{SERVICE}{days}")).unwrap();
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_reason() {
        for (text, words) in [
            (String::new(), "either"),
            (format!("{URLS}{SERVICE}"), "either"),
            (SERVICE.replace("{days}", "{hours}"), "`{hours}`"),
            (SERVICE.replace("&from={from}", ""), "no `{from}`"),
            (SERVICE.replace("at={lat},{lon}&days", "days"), "no `{lat}`"),
            (SERVICE.replace("https:", "ftp:"), "begins with `ftp:`"),
            (format!("{SERVICE}cursor = \"next\"\n"), "no `{cursor}`"),
            (format!("{SERVICE}daily = \"https://x.test/d\"\n"), "go together"),
            (SERVICE.replace("time = ", "tmie = "), "`time` stands"),
            (SERVICE.replace("{ air_temperature = \"degF\" }", "{}"), "the unit of `air_temperature`"),
            (SERVICE.replace("air_temperature", "colour"), "`colour` is no measure"),
            (SERVICE.replace("[service]", "[service]\nplace = \"x\""), "place"),
        ] {
            let told = judged(&text).unwrap_err();
            assert!(told.contains(words), "{words} is not in: {told}");
        }
        let many = format!("{HEAD}{SERVICE}").replace("request = 1", "request = 9");
        assert!(toml::from_str::<WeatherSpec>(&many).unwrap().check().unwrap_err().contains("places"));
    }
}

//! A service in a format that the lake's TOML describes: addresses with places to fill in, and where values stand in answers.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde_json::Value;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::answer::{Answer, Told, Values};
use super::archive::Grain;
use super::call::{Asked, Endpoint};
use super::units::{Conversion, Quantity};
use crate::lakefile::{OF_DAYS, OF_HOURS, PLACEHOLDERS, RowsSpec, ServiceSpec, TimeFormat, UnitSpec};
use crate::sources::http::parse;
use crate::sources::json::{at, text};
use crate::sources::{Place, SourceError};

const HOURS: [Quantity; 4] = [Quantity::Temperature, Quantity::Length, Quantity::Speed, Quantity::Share];
const DAYS: [Quantity; 6] = [
    Quantity::Temperature,
    Quantity::Temperature,
    Quantity::Temperature,
    Quantity::Length,
    Quantity::Speed,
    Quantity::Share,
];

/// How such a service is asked and read.
pub struct Mapped(ServiceSpec);

impl Mapped {
    /// - Errors: [`SourceError::NotAllowed`] for an address that is no URL.
    pub fn new(spec: &ServiceSpec) -> Result<Self, SourceError> {
        let mapped = Self(spec.clone());
        mapped.addresses()?;
        Ok(mapped)
    }

    /// Its addresses with nothing filled in.
    pub fn addresses(&self) -> Result<Vec<Url>, SourceError> {
        let spec = &self.0;
        let all = [&spec.current, &spec.forecast, &spec.archive].into_iter().chain(&spec.daily);
        all.map(|template| filled(template, &BTreeMap::new())).collect()
    }

    /// The address of one call for these places, or of its page at `cursor`.
    /// - Errors: [`SourceError::Refused`] for days of a service that has none.
    pub fn url(
        &self,
        endpoint: Endpoint,
        places: &[Place],
        asked: Asked,
        cursor: &str,
    ) -> Result<Url, SourceError> {
        let none = || SourceError::refused("the service has no days: `daily` and `days` are not declared");
        let template = match (asked, endpoint) {
            (Asked::Forecast { .. }, _) => &self.0.forecast,
            (Asked::Hours { .. }, Endpoint::Forecast) => &self.0.current,
            (Asked::Hours { .. }, Endpoint::Archive) => &self.0.archive,
            (Asked::Days { .. }, _) => self.0.daily.as_ref().ok_or_else(none)?,
        };
        let list = |get: fn(&Place) -> String| places.iter().map(get).collect::<Vec<_>>().join(",");
        let mut values = BTreeMap::from([
            ("{lat}", list(|place| place.lat.to_string())),
            ("{lon}", list(|place| place.lon.to_string())),
            ("{timezone}", list(|place| place.timezone.to_string())),
            ("{cursor}", cursor.to_owned()),
        ]);
        match asked {
            Asked::Forecast { days } => {
                values.insert("{days}", days.to_string());
            }
            Asked::Hours { from, to } | Asked::Days { from, to } => {
                values.extend([("{from}", from.to_string()), ("{to}", to.to_string())]);
                values.insert("{days}", ((to - from).num_days() + 1).to_string());
            }
        }
        filled(template, &values)
    }

    /// What `{cursor}` is in the request for the next page; `None` behind the last one.
    /// - Errors: [`SourceError::Refused`] for an answer that is no JSON, or a page too many.
    pub fn next(&self, answer: &[u8], page: u32) -> Result<Option<String>, SourceError> {
        let Some(path) = &self.0.cursor else { return Ok(None) };
        match at(&json(answer)?, path).and_then(text) {
            Some(_) if page + 1 >= self.0.pages => {
                Err(SourceError::refused(format!("the answer has more than {} pages", self.0.pages)))
            }
            next => Ok(next),
        }
    }

    /// The places of an answer.
    /// - Errors: [`SourceError::Refused`] where something does not stand where it was declared, or cannot be read.
    pub fn read(&self, answer: &[u8], grain: Grain) -> Result<Vec<Answer>, SourceError> {
        let answer = json(answer)?;
        let none =
            |path: &String| SourceError::refused(format!("the answer has no array of places at `{path}`"));
        let places: Vec<&Value> = match &self.0.places {
            Some(path) => {
                at(&answer, path).and_then(Value::as_array).ok_or_else(|| none(path))?.iter().collect()
            }
            None => vec![&answer],
        };
        places.into_iter().map(|place| self.place(place, grain)).collect()
    }

    fn place(&self, place: &Value, grain: Grain) -> Result<Answer, SourceError> {
        match (grain, &self.0.days) {
            (Grain::Hour, _) => {
                let rows = Rows::of(place, &self.0.hours)?;
                let times = rows.times("time", |time| instant(time, self.0.time))?;
                let values = rows.measures(&OF_HOURS, &HOURS, times.len())?;
                Ok(Answer { hours: Some(Told { times, values }), days: None })
            }
            (Grain::Day, Some(spec)) => {
                let rows = Rows::of(place, spec)?;
                let times = rows.times("day", day)?;
                let values = rows.measures(&OF_DAYS, &DAYS, times.len())?;
                Ok(Answer { hours: None, days: Some(Told { times, values }) })
            }
            (Grain::Day, None) => Ok(Answer::default()),
        }
    }
}

/// The rows of one place.
struct Rows<'a> {
    place: &'a Value,
    rows: &'a Value,
    spec: &'a RowsSpec,
}

impl<'a> Rows<'a> {
    fn of(place: &'a Value, spec: &'a RowsSpec) -> Result<Self, SourceError> {
        let rows = at(place, &spec.rows).filter(|rows| rows.is_array() || rows.is_object());
        let none = || SourceError::refused(format!("the answer has no rows at `{}`", spec.rows));
        Ok(Self { place, rows: rows.ok_or_else(none)?, spec })
    }

    /// The cells of a field, row by row; `None` where a row has none.
    /// - Errors: no row has it: the service has changed its words.
    fn cells(&self, path: &str) -> Result<Vec<Option<&'a Value>>, SourceError> {
        let missing = || SourceError::refused(format!("the answer has no `{path}`"));
        match self.rows {
            Value::Array(rows) => {
                let cells: Vec<_> = rows.iter().map(|row| at(row, path)).collect();
                let told = cells.is_empty() || cells.iter().any(Option::is_some);
                told.then_some(cells).ok_or_else(missing)
            }
            columns => {
                let cells = at(columns, path).and_then(Value::as_array).ok_or_else(missing)?;
                Ok(cells.iter().map(Some).collect())
            }
        }
    }

    fn times<T>(&self, field: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, SourceError> {
        let path = self.spec.fields.get(field).map_or("", String::as_str);
        let wrong = |cell: Option<&Value>| {
            let cell = cell.map_or_else(|| "nothing".to_owned(), ToString::to_string);
            SourceError::refused(format!("`{path}` is {}, which is no {field}", short(&cell)))
        };
        self.cells(path)?.into_iter().map(|cell| cell.and_then(&read).ok_or_else(|| wrong(cell))).collect()
    }

    /// The values of all measures, in the lake's units.
    fn measures<const N: usize>(
        &self,
        names: &[&str; N],
        quantities: &[Quantity; N],
        rows: usize,
    ) -> Result<[Values; N], SourceError> {
        let mut values = std::array::from_fn(|_| Values::new());
        for ((name, quantity), values) in names.iter().zip(quantities).zip(&mut values) {
            *values = self.measure(name, *quantity, rows)?;
        }
        Ok(values)
    }

    fn measure(&self, name: &str, quantity: Quantity, rows: usize) -> Result<Values, SourceError> {
        let Some(path) = self.spec.fields.get(name) else { return Ok(vec![None; rows]) };
        let cells = self.cells(path)?;
        if cells.len() != rows {
            return Err(SourceError::refused(format!(
                "`{path}` has {} values for {rows} times",
                cells.len()
            )));
        }
        let given = cells.into_iter().map(|cell| number(cell, path)).collect::<Result<Values, _>>()?;
        // Without a single value no unit is needed, and services leave it out then.
        if given.iter().all(Option::is_none) {
            return Ok(given);
        }
        let conversion: Conversion = quantity.in_unit(&self.unit(name)?)?;
        Ok(given.into_iter().map(|value| value.map(|value| conversion.apply(value))).collect())
    }

    fn unit(&self, name: &str) -> Result<String, SourceError> {
        match self.spec.units.get(name) {
            Some(UnitSpec::Unit(unit)) => Ok(unit.clone()),
            Some(UnitSpec::Told { at: path }) => at(self.place, path)
                .and_then(text)
                .ok_or_else(|| SourceError::refused(format!("the answer tells no unit at `{path}`"))),
            None => Err(SourceError::refused(format!("no unit is declared for `{name}`"))),
        }
    }
}

fn json(answer: &[u8]) -> Result<Value, SourceError> {
    serde_json::from_slice(answer).map_err(|e| SourceError::refused(format!("the answer is no JSON: {e}")))
}

/// An address with its places filled in; those without a value are 0.
fn filled(template: &str, values: &BTreeMap<&str, String>) -> Result<Url, SourceError> {
    let mut address = template.to_owned();
    for holder in PLACEHOLDERS {
        let value = values.get(holder).map_or("0", String::as_str);
        let value: String = byte_serialize(value.as_bytes()).collect();
        address = address.replace(holder, &value);
    }
    parse(&address)
}

/// A number, a text that is one, or nothing. Errors: anything else.
fn number(cell: Option<&Value>, path: &str) -> Result<Option<f64>, SourceError> {
    let number = match cell {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    let cell = cell.map(ToString::to_string).unwrap_or_default();
    let wrong = || SourceError::refused(format!("`{path}` is {}, which is no number", short(&cell)));
    number.filter(|number: &f64| number.is_finite()).map(Some).ok_or_else(wrong)
}

/// An instant; one without an offset is in UTC.
fn instant(value: &Value, format: TimeFormat) -> Option<DateTime<Utc>> {
    match format {
        TimeFormat::Unix => DateTime::from_timestamp_millis((value.as_f64()? * 1_000.0).round() as i64),
        TimeFormat::UnixMs => DateTime::from_timestamp_millis(value.as_i64()?),
        TimeFormat::Rfc3339 => {
            let text = value.as_str()?.trim();
            let naive = |format| NaiveDateTime::parse_from_str(text, format).ok().map(|at| at.and_utc());
            let formats =
                ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];
            let offset = DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
            offset.or_else(|| formats.into_iter().find_map(naive))
        }
    }
}

/// A calendar day, alone or at the head of a longer text.
fn day(value: &Value) -> Option<NaiveDate> {
    value.as_str()?.get(..10)?.parse().ok()
}

fn short(text: &str) -> String {
    format!("`{}`", text.chars().take(40).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = r#"
        current = "https://x.test/{lat}/{lon}/hours?from={from}&to={to}&tz={timezone}"
        forecast = "https://x.test/f?lat={lat}&lon={lon}&days={days}&page={cursor}"
        archive = "https://x.test/a?lat={lat}&lon={lon}&from={from}&to={to}"
        time = "unix"
        cursor = "meta.next"
        pages = 3
        hours = { rows = "data", fields = { time = "ts", air_temperature = "t.value", wind_speed = "w" }, units = { air_temperature = { at = "units.t" }, wind_speed = "knots" } }
    "#;
    const ANSWER: &str = r#"{"units": {"t": "degF"}, "meta": {"next": "p2"}, "data": [
        {"ts": 1772362800, "t": {"value": "32"}, "w": 10}, {"ts": 1772366400.0, "t": {}, "w": null}]}"#;

    fn mapped(spec: &str) -> Mapped {
        Mapped::new(&toml::from_str(spec).unwrap()).unwrap()
    }

    fn hours(spec: &str, answer: &str) -> Result<Told<DateTime<Utc>, 4>, String> {
        let read = mapped(spec).read(answer.as_bytes(), Grain::Hour).map_err(|e| e.to_string())?;
        Ok(read[0].hours.clone().unwrap())
    }

    #[test]
    fn rows_are_read_where_the_declaration_says_in_the_units_it_names() {
        let told = hours(SPEC, ANSWER).unwrap();
        assert_eq!(told.times[1].to_rfc3339(), "2026-03-01T12:00:00+00:00");
        let [temperature, rain, wind, humidity] = told.values;
        assert!(temperature[0].unwrap().abs() < 1e-12 && temperature[1].is_none());
        assert!((wind[0].unwrap() - 5.144_444).abs() < 1e-5);
        assert_eq!((rain, humidity), (vec![None; 2], vec![None; 2]));
    }

    #[test]
    fn columns_beside_each_other_are_rows_too() {
        let answer =
            r#"{"units": {"t": "K"}, "data": {"ts": [1772362800], "t": {"value": [273.15]}, "w": [null]}}"#;
        let told = hours(SPEC, answer).unwrap();
        assert_eq!((told.values[0][0], told.values[2][0]), (Some(0.0), None));
    }

    #[test]
    fn several_places_stand_where_the_declaration_says() {
        let spec = format!("places = \"all\"\n{SPEC}");
        let answer = format!(r#"{{"all": [{ANSWER}, {ANSWER}]}}"#);
        assert_eq!(mapped(&spec).read(answer.as_bytes(), Grain::Hour).unwrap().len(), 2);
    }

    #[test]
    fn what_does_not_stand_there_or_cannot_be_read_is_refused() {
        for (from, to, words) in [
            ("\"data\"", "\"date\"", "no rows at `data`"),
            ("\"w\"", "\"wind\"", "no `w`"),
            ("\"degF\"", "\"cubit\"", "unknown unit `cubit`"),
            ("\"units\"", "\"unit\"", "no unit at `units.t`"),
            ("\"32\"", "\"warm\"", "which is no number"),
            ("1772362800", "\"noon\"", "which is no time"),
            ("{\"units\"", "{\"units", "no JSON"),
        ] {
            let told = hours(SPEC, &ANSWER.replace(from, to)).unwrap_err();
            assert!(told.contains(words), "{words} is not in: {told}");
        }
    }

    #[test]
    fn addresses_are_filled_and_pages_end() {
        let mapped = mapped(SPEC);
        let region = identity::RegionId::parse("a").unwrap();
        let place = Place { region, lon: -73.5, lat: 40.25, timezone: chrono_tz::America::New_York };
        let day = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
        let url = |asked, cursor| {
            mapped
                .url(Endpoint::Forecast, std::slice::from_ref(&place), asked, cursor)
                .map(|url| url.to_string())
        };
        let hours = Asked::Hours { from: day, to: day };
        let address = "https://x.test/40.25/-73.5/hours?from=2026-03-01&to=2026-03-01&tz=America%2FNew_York";
        assert_eq!(url(hours, "").unwrap(), address);
        let address = "https://x.test/f?lat=40.25&lon=-73.5&days=7&page=p%262";
        assert_eq!(url(Asked::Forecast { days: 7 }, "p&2").unwrap(), address);
        assert!(url(Asked::Days { from: day, to: day }, "").unwrap_err().to_string().contains("no days"));
        assert_eq!(mapped.next(ANSWER.as_bytes(), 0).unwrap().as_deref(), Some("p2"));
        assert_eq!(mapped.next(b"{}", 0).unwrap(), None);
        assert!(mapped.next(ANSWER.as_bytes(), 2).unwrap_err().to_string().contains("more than 3 pages"));
    }
}

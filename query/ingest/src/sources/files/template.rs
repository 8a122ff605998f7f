//! An address with the day in it: `https://host/{date:%Y/%m}/a-{date}.csv`.

use chrono::NaiveDate;
use chrono::format::{Item, StrftimeItems};

/// How a day is written where nothing else is said.
const PLAIN: &str = "%Y-%m-%d";

/// A text with places for the day.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Date(String),
}

impl Template {
    /// The template in a text; `None` for a text without a place.
    /// - Errors: a place that is no `{date}` or `{date:FORMAT}`, or is not closed.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (place, behind) = after.split_once('}').ok_or("a `{` without its `}`")?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Date(format_of(place)?.to_owned()));
            rest = behind;
        }
        if parts.is_empty() {
            return Ok(None);
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Some(Self(parts)))
    }

    /// The text of a day.
    pub fn of(&self, day: NaiveDate) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Date(format) => day.format(format).to_string(),
        };
        self.0.iter().map(part).collect()
    }
}

/// The format of a place. A time of day is none: a file is of a day.
fn format_of(place: &str) -> Result<&str, String> {
    let format = match place.split_once(':') {
        None if place == "date" => PLAIN,
        Some(("date", format)) => format,
        _ => return Err(format!("`{{{place}}}` is no `{{date}}` or `{{date:%Y%m%d}}`")),
    };
    let midnight = NaiveDate::default();
    let written = StrftimeItems::new(format).all(|item| !matches!(item, Item::Error));
    let mut out = String::new();
    match written && std::fmt::write(&mut out, format_args!("{}", midnight.format(format))).is_ok() {
        true => Ok(format),
        false => Err(format!("`{format}` is no format of a date")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_fills_every_place() {
        let day = NaiveDate::from_ymd_opt(2021, 10, 4).unwrap();
        let template = Template::parse("https://x/{date:%Y/%m}/a-{date}-{date:%Y%m%d}.csv").unwrap().unwrap();
        assert_eq!(template.of(day), "https://x/2021/10/a-2021-10-04-20211004.csv");
        assert_eq!(Template::parse("https://x/a/").unwrap(), None);
        for wrong in ["{day}", "{date", "{date:%Q}", "{date:%H}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! Names in paths, parsed at the door: an impossible name is a 404 before any I/O, in the words of a missing one.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::extract::rejection::PathRejection;
use chrono::NaiveDate;
use http::request::Parts;
use identity::{JobId, Name, RegionId, TableName};
use serde::de::DeserializeOwned;

use crate::problem::{Kind, Problem};
use crate::state::App;

/// Something that stands in a path and knows which 404 its absence is.
pub trait Place: Sized {
    type Raw: DeserializeOwned + Send;

    /// Reads the segments. Errors: the 404 of this kind.
    fn read(raw: Self::Raw) -> Result<Self, Problem>;
}

/// One path's names.
pub struct At<T>(pub T);

/// `{region}`.
pub type RegionAt = At<RegionId>;
/// `{schema}/{table}`.
pub type TableAt = At<TableName>;

impl<T: Place> FromRequestParts<App> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let raw = axum::extract::Path::<T::Raw>::from_request_parts(parts, app).await;
        let axum::extract::Path(raw) = raw.map_err(|_: PathRejection| Problem::new(Kind::NotFound))?;
        T::read(raw).map(At)
    }
}

impl Place for RegionId {
    type Raw = String;

    fn read(raw: String) -> Result<Self, Problem> {
        RegionId::from_str(&raw)
            .map_err(|_| Problem::because(Kind::UnknownRegion, format!("no region `{}`", plain(&raw))))
    }
}

impl Place for TableName {
    type Raw = (String, String);

    fn read((schema, table): Self::Raw) -> Result<Self, Problem> {
        let unknown = || {
            Problem::because(Kind::UnknownTable, format!("no table `{}.{}`", plain(&schema), plain(&table)))
        };
        TableName::from_str(&format!("{schema}.{table}")).map_err(|_| unknown())
    }
}

/// A day of a table.
impl Place for (TableName, NaiveDate) {
    type Raw = (String, String, String);

    fn read((schema, table, day): Self::Raw) -> Result<Self, Problem> {
        let table = TableName::read((schema, table))?;
        let wrong = |_| Problem::because(Kind::NotFound, format!("`{}` is no day", plain(&day)));
        Ok((table, day.parse().map_err(wrong)?))
    }
}

impl Place for JobId {
    type Raw = String;

    fn read(raw: String) -> Result<Self, Problem> {
        JobId::from_str(&raw)
            .map_err(|_| Problem::because(Kind::UnknownJob, format!("no job `{}`", plain(&raw))))
    }
}

/// A dataset's or analysis' name; the route says which 404 it is when it is missing.
impl Place for Name {
    type Raw = String;

    fn read(raw: String) -> Result<Self, Problem> {
        Name::parse(&raw)
            .map_err(|_| Problem::because(Kind::NotFound, format!("nothing is named `{}`", plain(&raw))))
    }
}

/// Any one segment of at most 128 characters, judged by the handler.
impl Place for String {
    type Raw = String;

    fn read(raw: String) -> Result<Self, Problem> {
        if raw.len() > 128 { Err(Problem::new(Kind::NotFound)) } else { Ok(raw) }
    }
}

/// Two free segments.
impl Place for (String, String) {
    type Raw = (String, String);

    fn read(raw: Self::Raw) -> Result<Self, Problem> {
        Ok(raw)
    }
}

/// A name as it may be repeated in an answer: short, and without control characters.
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// The same for a sentence.
pub fn plain_long(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

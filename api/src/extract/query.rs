//! The query string as a type. A parameter that the route does not know is refused, so that a misspelt filter never
//! answers more than was asked for.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::{Kind, Problem};
use crate::state::App;

/// Parameters of a struct with `#[serde(deny_unknown_fields)]`.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|query| Self(query.0)).map_err(|error| refusal(&source(&error)))
    }
}

/// Parameters as they stand, decoded and in order: for routes whose parameters are a table's columns.
pub struct Pairs(pub Vec<(String, String)>);

impl FromRequestParts<App> for Pairs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        pairs.map(|pairs| Self(pairs.0)).map_err(|error| refusal(&source(&error)))
    }
}

fn source(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(inner) = last.source() {
        last = inner;
    }
    last.to_string()
}

fn refusal(text: &str) -> Problem {
    let text = super::path::plain_long(text);
    let unknown = text.contains("unknown field");
    Problem::because(if unknown { Kind::UnknownParameter } else { Kind::InvalidParameter }, text)
}

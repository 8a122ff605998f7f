//! `PATCH /v1/datasets/{name}`

use axum::extract::State;
use axum::response::Response;
use catalog::Patch;
use chrono::Utc;
use identity::Name;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::extract::{At, Caller, Json, Write, description};
use crate::problem::Problem;
use crate::routes::bodies::{Dataset, One};
use crate::state::App;

/// What changes; absent keys stay.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetPatch {
    /// A new name.
    #[serde(default)]
    name: Option<String>,
    /// A new description; null removes it.
    #[serde(default, deserialize_with = "told")]
    #[schema(value_type = Option<String>, example = "Sales by region and day")]
    description: Option<Option<String>>,
}

/// Tells null from absent.
fn told<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Renames or describes a dataset
#[utoipa::path(patch, path = "/v1/datasets/{name}", tag = "datasets",
    params(("name" = String, Path, description = "Name of the dataset", example = "sales")),
    request_body = DatasetPatch, responses((status = 200, body = One<Dataset>)))]
pub async fn patch_dataset(
    caller: Caller<Write>,
    State(app): State<App>,
    At(name): At<Name>,
    patch: Json<DatasetPatch>,
) -> Result<Response, Problem> {
    caller.spend(&app, 1)?;
    super::find(&app, caller.workspace(), &name).await?;
    let rename = patch.body.name.as_deref().map(Name::parse).transpose()?;
    let description = patch.body.description.map(description).transpose()?;
    let patch = Patch { name: rename, description };
    let table = app.catalog.patch(caller.workspace(), &name, patch, Utc::now()).await?;
    let table = table.ok_or_else(|| super::unknown(&name))?;
    Ok(One::new(Dataset::from(&*table)).ok())
}

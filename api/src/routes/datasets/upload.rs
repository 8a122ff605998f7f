//! `POST /v1/datasets`: a multipart form becomes a dataset.
//!
//! The fields come in any order, so the file is stored as it streams in, and judged when the form is complete; a form
//! that turns out wrong leaves nothing behind.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use http::{HeaderMap, StatusCode};
use identity::Name;
use ingest::upload::{DecimalMark, Digest, Format, NewUpload, OnBadRows, Staged, UploadMode, Uploaded};
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::extract::{Caller, Form, Part, Prefer, STORES, Write, description};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::{Dataset, Job, One};
use crate::routes::once::OnceKey;
use crate::state::App;

// Fields that may be left out have no examples of their own: the documentation page would fill them in.
/// The form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form is read part by part; this type describes it")]
pub struct UploadForm {
    /// Of the dataset.
    #[schema(pattern = "^[a-z][a-z0-9_]{1,62}$", example = "sales")]
    name: String,
    /// CSV, NDJSON, a JSON array or Parquet; plain, gzip or zstd.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream",
        example = "region_id,day,sold\nit-lombardia,2026-01-30,120\nit-lombardia,2026-01-31,95\nit-lombardia,2026-02-01,many\n")]
    file: Vec<u8>,
    #[schema(value_type = Option<Mode>, inline)]
    mode: Option<String>,
    /// Columns that tell rows apart, with commas between; for `upsert`.
    key: Option<String>,
    #[schema(value_type = Option<FileFormat>, inline)]
    format: Option<String>,
    /// JSON object of column and type, where the inferred type is not wanted.
    types: Option<String>,
    #[schema(value_type = Option<Decimal>, inline)]
    decimal: Option<String>,
    #[schema(value_type = Option<BadRows>, inline)]
    on_bad_rows: Option<String>,
    description: Option<String>,
}

/// `create` if absent.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "the words are read by `ingest`; this type describes them")]
enum Mode {
    Create,
    Append,
    Replace,
    Upsert,
}

/// Told by content if absent.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "the words are read by `ingest`; this type describes them")]
enum FileFormat {
    Csv,
    Ndjson,
    Json,
    Parquet,
}

/// What stands before the decimals of a CSV file's numbers; told by the whole file if absent.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "the words are read by `ingest`; this type describes them")]
enum Decimal {
    Point,
    Comma,
}

/// `fail` if absent; `reject` sets bad rows aside and goes on.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "the words are read by `ingest`; this type describes them")]
enum BadRows {
    Fail,
    Reject,
}

/// Uploads a file
///
/// 201 with the dataset, 200 where it existed, or 202 with a job when it takes longer. Types come from the whole
/// file. The commit is atomic, and the same `Idempotency-Key` again does not double it.
#[utoipa::path(post, path = "/v1/datasets", tag = "datasets",
    params(("Idempotency-Key" = Option<String>, Header, description = "Names this upload for 24 h", example = "sales-of-january"),
        ("Prefer" = Option<String>, Header, description = "`respond-async` or `wait=n`: when to answer with a job", example = "wait=30")),
    request_body(content = UploadForm, content_type = "multipart/form-data",
        example = json!({"name": "sales", "mode": "create", "format": "csv", "types": "{\"sold\": \"bigint\"}", "on_bad_rows": "reject",
            "description": "Sales by region and day",
            "file": "region_id,day,sold\nit-lombardia,2026-01-30,120\nit-lombardia,2026-01-31,95\nit-lombardia,2026-02-01,many\n"})),
    responses((status = 201, body = One<Dataset>, description = "A new dataset"), (status = 200, body = One<Dataset>, description = "An existing dataset, changed"),
        (status = 202, body = One<Job>, description = "Still at work")))]
pub async fn upload_dataset(
    caller: Caller<Write>,
    State(app): State<App>,
    OnceKey(key): OnceKey,
    prefer: Prefer,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Problem> {
    caller.spend(&app, STORES)?;
    let mut fields = Fields::default();
    let staged = match read(&app, &caller, &headers, form, &mut fields).await {
        Ok(staged) => staged,
        Err(problem) => return Err(fields.give_up(&app, problem).await),
    };
    let upload = match fields.upload(key, prefer) {
        Ok(upload) => upload,
        Err(problem) => {
            app.uploads.discard(staged).await;
            return Err(problem);
        }
    };
    let uploaded = app.uploads.finish(&caller.principal, upload, staged, Utc::now()).await?;
    Ok(answer(uploaded))
}

fn answer(uploaded: Uploaded) -> Response {
    match uploaded {
        Uploaded::Created(table, notes) => {
            let location = format!("/v1/datasets/{}", table.name.table);
            One::new(Dataset::from(&*table).noted(notes)).at(StatusCode::CREATED, &location)
        }
        Uploaded::Updated(table, notes) => One::new(Dataset::from(&*table).noted(notes)).ok(),
        Uploaded::Job(job) => Job::accepted(&job),
    }
}

/// Text fields of the form, and the file once it is stored.
#[derive(Default)]
struct Fields {
    texts: BTreeMap<String, String>,
    staged: Option<Staged>,
}

const NAMES: &[&str] = &["name", "mode", "key", "format", "types", "decimal", "on_bad_rows", "description"];

/// Reads the whole form. Errors: the first thing wrong with it.
async fn read(
    app: &App,
    caller: &Caller<Write>,
    headers: &HeaderMap,
    mut form: Form,
    fields: &mut Fields,
) -> Result<Staged, Problem> {
    let digest = digest(headers)?;
    while let Some(part) = form.next().await? {
        match part {
            Part::Text { name, value } => fields.text(name, value)?,
            Part::File { name, .. } if name != "file" => {
                return Err(wrong(format!("the file belongs into the field `file`, not `{name}`")));
            }
            Part::File { .. } if fields.staged.is_some() => return Err(wrong("one upload has one file")),
            Part::File { file_name, content, .. } => {
                let bytes = content.into_stream();
                let stored = app.uploads.stage(&caller.principal, file_name, digest, bytes, Utc::now()).await;
                fields.staged = Some(stored.map_err(Problem::from)?);
            }
        }
    }
    fields.staged.take().ok_or_else(|| wrong("the field `file` is missing"))
}

fn digest(headers: &HeaderMap) -> Result<Option<Digest>, Problem> {
    let text = headers.get("repr-digest").or_else(|| headers.get("content-digest"));
    let Some(text) = text.and_then(|value| value.to_str().ok()) else { return Ok(None) };
    Digest::parse(text).map_err(|error| wrong(error.to_string()))
}

impl Fields {
    fn text(&mut self, name: String, value: String) -> Result<(), Problem> {
        if !NAMES.contains(&name.as_str()) {
            return Err(wrong(format!("there is no field `{}`", crate::extract::plain(&name))));
        }
        match self.texts.insert(name, value) {
            None => Ok(()),
            Some(_) => Err(wrong("a field is given twice")),
        }
    }

    /// Leaves nothing behind of a form that went wrong.
    async fn give_up(&mut self, app: &App, problem: Problem) -> Problem {
        if let Some(staged) = self.staged.take() {
            app.uploads.discard(staged).await;
        }
        problem
    }

    fn upload(mut self, idempotency_key: Option<String>, prefer: Prefer) -> Result<NewUpload, Problem> {
        let name = self.texts.remove("name").ok_or_else(|| wrong("the field `name` is missing"))?;
        Ok(NewUpload {
            name: Name::parse(name.trim())?,
            mode: self.word::<UploadMode>("mode")?.unwrap_or_default(),
            key: list(self.texts.remove("key")),
            format: self.word::<Format>("format")?,
            types: self.types()?,
            decimal: self.word::<DecimalMark>("decimal")?,
            on_bad_rows: self.word::<OnBadRows>("on_bad_rows")?.unwrap_or_default(),
            description: description(self.texts.remove("description"))?,
            idempotency_key,
            wait: prefer.wait,
        })
    }

    /// A field that is one of a few words.
    fn word<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.texts.remove(name) else { return Ok(None) };
        let word = serde_json::Value::String(text.trim().to_ascii_lowercase());
        serde_json::from_value(word).map(Some).map_err(|error| wrong(format!("`{name}`: {error}")))
    }

    fn types(&mut self) -> Result<BTreeMap<String, String>, Problem> {
        let Some(text) = self.texts.remove("types") else { return Ok(BTreeMap::new()) };
        serde_json::from_str(&text)
            .map_err(|error| wrong(format!("`types` is a JSON object of column and type: {error}")))
    }
}

fn list(text: Option<String>) -> Vec<String> {
    let text = text.unwrap_or_default();
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::because(Kind::InvalidBody, detail)
}

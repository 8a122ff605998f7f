//! `GET /v1/tables/{schema}/{table}/rows`

use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use engine::rows::{Count, RowsAnswer, RowsRequest};
use serde_json::Value;
use utoipa::ToSchema;

use crate::caching;
use crate::extract::{Accepted, At, Caller, Pairs, Prefer, Read, TableAt};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::{RowFormat, TableVersion};
use crate::routes::sql::ResultColumn;
use crate::state::App;

/// Rows as objects keyed by column.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the engine encodes the answer; this type describes it")]
pub struct RowsBody {
    #[schema(value_type = Vec<HashMap<String, Value>>,
        example = json!([{"region_id": "it-lombardia", "day": "2026-01-31", "air_temperature_mean": 7.5, "hours": 24, "origin": "hours"}]))]
    data: Vec<Value>,
    meta: RowsMeta,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "the engine encodes the answer; this type describes it")]
pub struct RowsMeta {
    #[schema(example = 62)]
    rows: u64,
    /// Whether a limit cut the answer.
    #[schema(example = false)]
    truncated: bool,
    /// Cursor of the next page; null at the end.
    #[schema(required = true)]
    next: Option<String>,
    /// Rows of all pages, where that was asked for.
    #[schema(required = false)]
    count: u64,
    columns: Vec<ResultColumn>,
    tables: Vec<TableVersion>,
}

/// How exactly rows are to be counted.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "the words are read by the engine; this type describes them")]
enum Counted {
    None,
    Exact,
    Estimated,
}

/// Rows of a table
///
/// Any further parameter is a filter on a column: `price=gte.5`, `region_id=in.(a,b)`, `note=is.null`,
/// `name=not.like.A%`, `or=(a.eq.1,b.gt.2)`; a column named like a parameter is `col.<name>`. Filters all hold
/// together. `meta.next` and `Link` lead to the next page, which belongs to the version the first began with.
#[utoipa::path(get, path = "/v1/tables/{schema}/{table}/rows", tag = "tables",
    params(("schema" = String, Path, description = "Schema; `my` for the caller's own", example = "weather"),
        ("table" = String, Path, description = "Name", example = "daily"),
        ("select" = Option<String>, Query, description = "Columns, with commas between", example = "region_id,day,air_temperature_mean"),
        ("order" = Option<String>, Query, description = "`column.asc` or `column.desc`, with commas between", example = "day.desc"),
        ("limit" = Option<u32>, Query, description = "1000 if absent", minimum = 1, maximum = 100_000, example = 3),
        ("cursor" = Option<String>, Query, description = "`meta.next` of the page before"),
        ("as_of" = Option<DateTime<Utc>>, Query, description = "The table as it was then"),
        ("count" = inline(Option<Counted>), Query, description = "Also `Prefer: count=`", example = "exact"),
        ("or" = Option<String>, Query, description = "Alternatives: `(a.eq.1,b.gt.2)`", example = "(hours.lt.20,air_temperature_max.gte.10)"),
        ("filters" = Option<HashMap<String, String>>, Query, style = Form, explode, description = "Conditions on columns, each a parameter of its own",
            example = json!({"region_id": "eq.it-lombardia", "day": "gte.2026-01-30"})),
        ("format" = Option<RowFormat>, Query, description = "Goes before `Accept`", example = "csv"),
        ("bom" = Option<bool>, Query, description = "Whether CSV begins with a byte order mark, as Excel needs it")),
    responses((status = 200, body = RowsBody), (status = 304, description = "What the caller has is still right")))]
pub async fn table_rows(
    caller: Caller<Read>,
    State(app): State<App>,
    At(name): TableAt,
    accepted: Accepted,
    prefer: Prefer,
    Pairs(pairs): Pairs,
) -> Result<Response, Problem> {
    let named = pairs.iter().find(|(name, _)| name == "format").map(|(_, word)| word.as_str());
    let format = accepted.format(named)?;
    let accepted = accepted.with_bom(bom(&pairs)?, format);
    let mut request = RowsRequest::from_pairs(pairs)?;
    request.format = format;
    match prefer.count.as_deref() {
        Some("exact") => request.count = Count::Exact,
        Some("estimated") => request.count = Count::Estimated,
        _ => {}
    }
    caller.spend(&app, 1)?;
    let (known, file) = (accepted.known(), name.to_string());
    let answer = app.engine.rows(&caller.principal, name, request, known.as_deref(), Utc::now()).await;
    let answer = match answer? {
        RowsAnswer::NotModified { etag } => {
            caller.give_back(&app, 1);
            return Ok(caching::not_modified(&accepted, &etag));
        }
        RowsAnswer::Page(answer) => answer,
    };
    if answer.hit {
        caller.give_back(&app, 1);
    }
    if caching::has(&accepted, &answer.page.etag) {
        return Ok(caching::not_modified(&accepted, &answer.page.etag));
    }
    let mut response = caching::page(&accepted, &answer).await;
    caching::named(&mut response, format, &file);
    if let Some(next) = &answer.page.facts.next {
        caching::link_next(&mut response, &caller.trail.uri, next);
    }
    Ok(response)
}

fn bom(pairs: &[(String, String)]) -> Result<Option<bool>, Problem> {
    let named = pairs.iter().find(|(name, _)| name == "bom").map(|(_, word)| word.parse());
    named.transpose().map_err(|_| Problem::because(Kind::InvalidParameter, "`bom` is true or false"))
}

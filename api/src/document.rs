//! The OpenAPI 3.1 document: its frame, and what every operation says beside its own words (security and problems),
//! taken from the router's page. `lakefront openapi` prints it; `openapi/openapi.json` is the same text.

mod examples;
mod finish;

use std::collections::BTreeMap;

use http::Method;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::info::{InfoBuilder, LicenseBuilder};
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::server::Server;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, OpenApi, OpenApiBuilder, Ref, RefOr};

use crate::problem::{self, Kind, Kind::*};
use crate::router::Need;
use identity::Scope;

pub use finish::finish;

/// Stands for any request in examples.
const REQUEST_ID: &str = "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10";
const BEARER: &str = "bearer";
const API_KEY: &str = "api_key";

const DESCRIPTION: &str = "Region weather and market aggregates, and a private workspace in which to upload data, join it \
    with the lake in SQL, and read the result back. Errors are `application/problem+json` with a stable `code`; \
    every answer carries `X-Request-Id`.";

const TAGS: &[(&str, &str)] = &[
    ("regions", "Weather and market of regions: metadata, summaries, series, forecasts."),
    ("datasets", "The caller's own files as tables."),
    ("tables", "Every table the caller may see, by name."),
    ("sql", "One read-only statement over the visible tables."),
    ("analyses", "Saved statements, as views or as stored tables."),
    ("jobs", "Work that takes longer than a call."),
    ("credentials", "Keys and tokens."),
    ("admin", "Customers and their keys, for the operator."),
    ("operations", "Health, metrics and this document."),
];

/// The document before any route is in it.
pub fn frame() -> OpenApi {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Lakefront")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license))
        .build();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of `POST /v1/tokens`, or an API key."))
        .build();
    let key = ApiKey::Header(ApiKeyValue::with_description("X-API-Key", "An API key."));
    let components = ComponentsBuilder::new()
        .security_scheme(BEARER, SecurityScheme::Http(bearer))
        .security_scheme(API_KEY, SecurityScheme::ApiKey(key))
        .schema_from::<problem::Body<'static>>()
        .build();
    let tags = TAGS.iter().map(|(name, text)| TagBuilder::new().name(*name).description(Some(*text)).build());
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([Server::new("/")]))
        .components(Some(components))
        .tags(Some(tags))
        .build()
}

/// The operations of a path with their methods.
pub fn operations(item: &mut PathItem) -> Vec<(Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?))).collect()
}

/// Adds security and problems to an operation.
pub fn complete(operation: &mut Operation, template: &str, need: Need, own: &[Kind]) {
    operation.security = Some(requirements(need));
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in common(operation, template, need, own).into_iter().chain(own.iter().copied()) {
        let kinds = by_status.entry(kind.status().as_u16()).or_default();
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    for (status, kinds) in by_status {
        operation.responses.responses.entry(status.to_string()).or_insert_with(|| RefOr::T(response(&kinds)));
    }
}

/// Whether an operation has parameters in its query.
pub fn takes_query(operation: &Operation) -> bool {
    let mut parameters = operation.parameters.iter().flatten();
    parameters.any(
        |parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query),
    )
}

/// Compares an operation's security with its rule.
pub fn secured(operation: &Operation, need: Need) -> Result<(), String> {
    let expected = requirements(need);
    match &operation.security {
        Some(security) if *security == expected => Ok(()),
        _ => Err(format!("its security is not what the rule {need:?} asks for")),
    }
}

fn requirements(need: Need) -> Vec<SecurityRequirement> {
    let ways: Vec<Vec<String>> = match need {
        Need::Nothing => return Vec::new(),
        Need::Known => vec![Vec::new()],
        Need::Scope(scope) => vec![vec![scope.to_string()]],
        Need::OrAdmin(scope) => vec![vec![scope.to_string()], vec![Scope::Admin.to_string()]],
    };
    let both = |scopes: Vec<String>| {
        [SecurityRequirement::new(BEARER, scopes.clone()), SecurityRequirement::new(API_KEY, scopes)]
    };
    ways.into_iter().flat_map(both).collect()
}

/// The problems that follow from what an operation takes and needs.
fn common(operation: &Operation, template: &str, need: Need, own: &[Kind]) -> Vec<Kind> {
    let mut kinds = vec![UnknownParameter, Internal, Busy];
    if need != Need::Nothing {
        kinds.extend([Unauthenticated, TooManyFailures, DatabaseUnavailable]);
    }
    if matches!(need, Need::Scope(_) | Need::OrAdmin(_)) {
        kinds.extend([Forbidden, RateLimited]);
    }
    if takes_query(operation) {
        kinds.push(InvalidParameter);
    }
    if template.contains('{') && !own.iter().any(|kind| kind.status().as_u16() == 404) {
        kinds.push(NotFound);
    }
    if operation.request_body.is_some() {
        kinds.extend([InvalidBody, RequestTimeout, PayloadTooLarge, UnsupportedMediaType]);
    }
    kinds
}

fn response(kinds: &[Kind]) -> utoipa::openapi::Response {
    let lines: Vec<String> =
        kinds.iter().map(|kind| format!("`{}`: {}", kind.code(), kind.title())).collect();
    let example = kinds
        .first()
        .and_then(|kind| serde_json::to_value(problem::Problem::new(*kind).body(REQUEST_ID)).ok());
    let content =
        ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).example(example).build();
    ResponseBuilder::new().description(lines.join("; ")).content(problem::MEDIA_TYPE, content).build()
}

/// The document as text, as it is printed, served and committed.
pub fn text(document: &OpenApi) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With LAKEFRONT_REWRITE set the file is written instead.
    #[test]
    fn the_committed_document_is_the_one_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/openapi.json");
        let (_, _, document) = crate::router::build();
        let made = text(&document).unwrap();
        if std::env::var_os("LAKEFRONT_REWRITE").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == made,
            "openapi/openapi.json is not what the code says: `lakefront openapi > openapi/openapi.json`"
        );
    }

    #[test]
    fn every_operation_says_what_it_is_for() {
        let (_, _, document) = crate::router::build();
        for (template, item) in &document.paths.paths {
            for (method, operation) in operations(&mut item.clone()) {
                assert!(
                    operation.summary.as_ref().is_some_and(|text| !text.is_empty()),
                    "{method} {template}"
                );
            }
        }
    }
}

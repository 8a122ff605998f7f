//! Every route on one page. Deny by default: a route stands here with the right it needs, or it does not exist; the
//! handler's signature must ask for the same right, or it answers nobody.

use std::collections::HashMap;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use http::Method;
use identity::{Scope, Scopes};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::document;
use crate::middleware::meters::RouteMeters;
use crate::problem::{Kind, Kind::*, Problem};
use crate::routes as r;
use crate::state::App;

/// What a caller must have to be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: the route tells nothing that is anybody's.
    Nothing,
    /// Any valid credential.
    Known,
    Scope(Scope),
    /// This scope for one's own, `admin` for the platform's.
    OrAdmin(Scope),
}

/// One row of the page: right, handler, and the problems that are its own (the common ones are added).
type Row = (Need, UtoipaMethodRouter<App>, &'static [Kind]);

const OPEN: Need = Need::Nothing;
const KNOWN: Need = Need::Known;
const READ: Need = Need::Scope(Scope::Read);
const WRITE: Need = Need::Scope(Scope::Write);
/// Of jobs: a customer's own, or the platform's.
const WATCH: Need = Need::OrAdmin(Scope::Read);
const STEER: Need = Need::OrAdmin(Scope::Write);
const ADMIN: Need = Need::Scope(Scope::Admin);

const SERIES: &[Kind] =
    &[InvalidPeriod, UnknownRegion, AsOfExpired, NotAcceptable, QueryTooLarge, LakeUnavailable];
const QUERY: &[Kind] = &[
    InvalidSql,
    InvalidCursor,
    SqlNotReadOnly,
    UnknownFunction,
    UnknownColumn,
    UnknownTable,
    Conflict,
    NotAcceptable,
    AsOfExpired,
    QueryTooLarge,
    QueryTooComplex,
    QueryTimeout,
    QueryFailed,
    LakeUnavailable,
    DataCorrupt,
];
const MADE_KEY: &[Kind] = &[Conflict, Unprocessable, IdempotencyInFlight, IdempotencyMismatch];
const UPLOAD: &[Kind] = &[
    InvalidName,
    NameTaken,
    UnknownDataset,
    Conflict,
    SchemaMismatch,
    PayloadTooLarge,
    UnsupportedMediaType,
    UnsupportedFormat,
    FileMalformed,
    IdempotencyInFlight,
    IdempotencyMismatch,
    RequestTimeout,
    QuotaExceeded,
    LakeUnavailable,
    StorageFull,
];

fn page() -> Vec<Row> {
    vec![
        // regions
        (READ, routes!(r::regions::list::list_regions), &[InvalidCursor]),
        (READ, routes!(r::regions::get::get_region), &[UnknownRegion]),
        (READ, routes!(r::regions::summary::region_summary), &[UnknownRegion, AsOfExpired, LakeUnavailable]),
        (
            READ,
            routes!(r::regions::summaries::list_summaries),
            &[UnknownRegion, AsOfExpired, LakeUnavailable],
        ),
        (READ, routes!(r::regions::weather::region_weather), SERIES),
        (READ, routes!(r::regions::weather::regions_weather), SERIES),
        (READ, routes!(r::regions::market::region_market), SERIES),
        (READ, routes!(r::regions::market::regions_market), SERIES),
        (READ, routes!(r::regions::forecast::region_forecast), SERIES),
        // datasets
        (WRITE, routes!(r::datasets::upload::upload_dataset).layer(DefaultBodyLimit::disable()), UPLOAD),
        (READ, routes!(r::datasets::list::list_datasets), &[InvalidCursor]),
        (READ, routes!(r::datasets::get::get_dataset), &[UnknownDataset]),
        (WRITE, routes!(r::datasets::patch::patch_dataset), &[UnknownDataset, InvalidName, NameTaken]),
        (WRITE, routes!(r::datasets::delete::delete_dataset), &[UnknownDataset]),
        (READ, routes!(r::datasets::versions::list_versions), &[UnknownDataset]),
        (READ, routes!(r::datasets::rejects::list_rejects), &[UnknownDataset]),
        // tables and SQL
        (READ, routes!(r::tables::list::list_tables), &[]),
        (READ, routes!(r::tables::get::get_table), &[UnknownTable]),
        (READ, routes!(r::tables::partitions::list_partitions), &[UnknownTable, InvalidCursor]),
        (READ, routes!(r::tables::partitions::get_partition), &[UnknownTable, InvalidCursor]),
        (WATCH, routes!(r::tables::quality::table_quality), &[UnknownTable]),
        (READ, routes!(r::tables::rows::table_rows), QUERY),
        (READ, routes!(r::sql::run_sql), QUERY),
        // analyses
        (READ, routes!(r::analyses::list::list_analyses), &[InvalidCursor]),
        (
            WRITE,
            routes!(r::analyses::put::put_analysis),
            &[
                InvalidName,
                NameTaken,
                Conflict,
                InvalidSql,
                SqlNotReadOnly,
                UnknownTable,
                UnknownFunction,
                UnknownColumn,
                QueryTooComplex,
                QueryFailed,
            ],
        ),
        (READ, routes!(r::analyses::get::get_analysis), &[UnknownAnalysis]),
        (WRITE, routes!(r::analyses::delete::delete_analysis), &[UnknownAnalysis]),
        (
            WRITE,
            routes!(r::analyses::runs::run_analysis),
            &[UnknownAnalysis, Conflict, IdempotencyInFlight, IdempotencyMismatch],
        ),
        (READ, routes!(r::analyses::runs::list_runs), &[UnknownAnalysis]),
        // jobs
        (WATCH, routes!(r::jobs::list::list_jobs), &[InvalidCursor]),
        (WATCH, routes!(r::jobs::get::get_job), &[UnknownJob]),
        (STEER, routes!(r::jobs::cancel::cancel_job), &[UnknownJob]),
        (
            WATCH,
            routes!(r::jobs::result::job_result),
            &[UnknownJob, JobNotFinished, JobFailed, NotAcceptable, LakeUnavailable],
        ),
        // credentials
        (KNOWN, routes!(r::credentials::tokens::create_token), &[]),
        (READ, routes!(r::credentials::keys::list_keys), &[]),
        (WRITE, routes!(r::credentials::keys::create_key), MADE_KEY),
        (WRITE, routes!(r::credentials::keys::revoke_key), &[UnknownKey]),
        (OPEN, routes!(r::credentials::jwks::jwks), &[]),
        // operator
        (ADMIN, routes!(r::admin::customers::list_customers), &[]),
        (
            ADMIN,
            routes!(r::admin::customers::add_customer),
            &[InvalidName, NameTaken, IdempotencyInFlight, IdempotencyMismatch],
        ),
        (ADMIN, routes!(r::admin::customers::get_customer), &[UnknownCustomer]),
        (ADMIN, routes!(r::admin::customers::suspend_customer), &[UnknownCustomer, Conflict]),
        (ADMIN, routes!(r::admin::keys::list_customer_keys), &[UnknownCustomer]),
        (
            ADMIN,
            routes!(r::admin::keys::create_customer_key),
            &[UnknownCustomer, Conflict, Unprocessable, IdempotencyInFlight, IdempotencyMismatch],
        ),
        (ADMIN, routes!(r::admin::keys::revoke_customer_key), &[UnknownCustomer, UnknownKey]),
        (ADMIN, routes!(r::admin::events::push_events), &[UnknownSource, InvalidEvent, LakeUnavailable]),
        (ADMIN, routes!(r::operations::metrics::metrics), &[]),
        // operations
        (OPEN, routes!(r::operations::health::healthz), &[]),
        (OPEN, routes!(r::operations::health::readyz), &[NotReady]),
        (OPEN, routes!(r::operations::document::openapi_json), &[]),
        (OPEN, routes!(r::operations::document::problem_page), &[]),
        (OPEN, routes!(r::operations::docs::docs_index), &[]),
        (OPEN, routes!(r::operations::docs::docs_file), &[]),
        (OPEN, routes!(r::operations::landing::landing), &[]),
    ]
}

/// One method of one address.
pub struct Entry {
    pub method: Method,
    pub template: &'static str,
    pub need: Need,
    /// Without parameters, a query string is refused.
    pub takes_query: bool,
    pub meters: RouteMeters,
}

impl Need {
    /// Whether these scopes are enough.
    pub fn holds(self, scopes: Scopes) -> bool {
        match self {
            Need::Nothing | Need::Known => true,
            Need::Scope(scope) => scopes.contains(scope),
            Need::OrAdmin(scope) => scopes.contains(scope) || scopes.contains(Scope::Admin),
        }
    }

    /// The scope in words, for a refusal.
    pub fn scope_name(self) -> String {
        match self {
            Need::Scope(scope) => scope.to_string(),
            Need::OrAdmin(scope) => format!("{scope}` or `{}", Scope::Admin),
            Need::Known | Need::Nothing => String::new(),
        }
    }
}

/// The policy: which right each method of each address needs.
pub struct Table {
    entries: HashMap<&'static str, Vec<&'static Entry>>,
}

impl Table {
    /// The rule of a request. `HEAD` follows `GET`.
    pub fn find(&self, template: &str, method: &Method) -> Option<&'static Entry> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.entries.get(template)?.iter().find(|entry| entry.method == *method).copied()
    }

    /// Every rule, in no order.
    pub fn all(&self) -> impl Iterator<Item = &'static Entry> {
        self.entries.values().flatten().copied()
    }

    fn add(&mut self, method: Method, template: &str, need: Need, takes_query: bool) {
        // The page is read once a process; its entries live as long as it does.
        let template: &'static str = Box::leak(template.to_owned().into_boxed_str());
        let meters = RouteMeters::new(method.as_str(), template);
        let entry: &'static Entry =
            Box::leak(Box::new(Entry { method, template, need, takes_query, meters }));
        self.entries.entry(template).or_default().push(entry);
    }
}

/// The router, its policy table and its document: three views of the one page.
pub fn build() -> (Router<App>, Table, OpenApi) {
    let mut table = Table { entries: HashMap::new() };
    let mut api = OpenApiRouter::with_openapi(document::frame());
    for (need, (schemas, mut paths, methods), problems) in page() {
        for (template, item) in &mut paths.paths {
            for (method, operation) in document::operations(item) {
                document::complete(operation, template, need, problems);
                table.add(method, template, need, document::takes_query(operation));
            }
        }
        api = api.routes((schemas, paths, methods));
    }
    let (router, mut document) = api.split_for_parts();
    document::finish(&mut document);
    let router = router.route("/docs/", axum::routing::get(r::operations::docs::docs_slash));
    let router = router.fallback(missing).method_not_allowed_fallback(other_method);
    (router, table, document)
}

async fn missing() -> Problem {
    Problem::new(NotFound)
}

async fn other_method() -> Problem {
    Problem::new(MethodNotAllowed)
}

/// Compares the document with the policy. Errors: the first operation that only one of them has, or whose security
/// differs from its rule.
pub fn agree(table: &Table, document: &OpenApi) -> Result<(), String> {
    let mut seen = 0;
    for (template, item) in &document.paths.paths {
        for (method, operation) in document::operations(&mut item.clone()) {
            let entry =
                table.find(template, &method).ok_or_else(|| format!("{method} {template} has no rule"))?;
            document::secured(operation, entry.need).map_err(|why| format!("{method} {template}: {why}"))?;
            seen += 1;
        }
    }
    let rules = table.all().count();
    if rules == seen { Ok(()) } else { Err(format!("{rules} rules for {seen} documented operations")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_and_the_policy_agree() {
        let (_, table, document) = build();
        assert_eq!(agree(&table, &document), Ok(()));
    }

    #[test]
    fn every_operation_has_an_id_of_its_own() {
        let (_, _, document) = build();
        let mut ids = std::collections::HashSet::new();
        for (template, item) in &document.paths.paths {
            for (method, operation) in document::operations(&mut item.clone()) {
                let id = operation.operation_id.clone().unwrap_or_default();
                assert!(!id.is_empty() && ids.insert(id.clone()), "{method} {template}: `{id}`");
            }
        }
    }
}

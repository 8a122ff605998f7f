//! The one table of problem kinds: code, status, title. A code never changes its meaning; each has a heading in
//! `openapi/problems.md`, which a test at the foot of `problem.rs` looks for.

use http::StatusCode;

macro_rules! kinds {
    ($($kind:ident $status:literal $code:literal $title:literal;)*) => {
        /// What went wrong, named for what the caller can do about it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($kind,)* }

        impl Kind {
            /// Every kind, in the order of the table.
            #[cfg(test)]
            pub const ALL: &'static [Kind] = &[$(Kind::$kind,)*];

            /// The stable code, as in `openapi/problems.md`.
            pub const fn code(self) -> &'static str {
                match self { $(Kind::$kind => $code,)* }
            }

            /// The short text that is the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Kind::$kind => $title,)* }
            }

            const fn number(self) -> u16 {
                match self { $(Kind::$kind => $status,)* }
            }

            /// The kind behind a code that another room or a worker named.
            pub fn of(code: &str) -> Option<Kind> {
                match code { $($code => Some(Kind::$kind),)* _ => None }
            }
        }
    };
}

kinds! {
    InvalidBody 400 "invalid-body" "The body cannot be read";
    InvalidParameter 400 "invalid-parameter" "A parameter has a value that cannot be used";
    UnknownParameter 400 "unknown-parameter" "There is no such parameter";
    InvalidPeriod 400 "invalid-period" "The period cannot be used";
    InvalidCursor 400 "invalid-cursor" "The cursor cannot be used";
    InvalidSql 400 "invalid-sql" "The SQL text cannot be run";
    SqlNotReadOnly 400 "sql-not-read-only" "Only one reading statement is allowed";
    UnknownFunction 400 "unknown-function" "There is no such function";
    UnknownColumn 400 "unknown-column" "There is no such column";
    Unauthenticated 401 "unauthenticated" "Valid credentials are needed";
    Forbidden 403 "forbidden" "The credentials lack the scope for this";
    NotFound 404 "not-found" "There is nothing here";
    UnknownRegion 404 "unknown-region" "There is no such region";
    UnknownTable 404 "unknown-table" "There is no such table";
    UnknownDataset 404 "unknown-dataset" "There is no such dataset";
    UnknownAnalysis 404 "unknown-analysis" "There is no such analysis";
    UnknownJob 404 "unknown-job" "There is no such job";
    UnknownKey 404 "unknown-key" "There is no such key";
    UnknownCustomer 404 "unknown-customer" "There is no such customer";
    UnknownSource 404 "unknown-source" "There is no such source";
    InvalidHead 400 "invalid-head" "The head of the request can be read in two ways";
    MethodNotAllowed 405 "method-not-allowed" "This method is not for this address";
    NotAcceptable 406 "not-acceptable" "None of the accepted formats can be given";
    RequestTimeout 408 "request-timeout" "The request did not arrive in time";
    NameTaken 409 "name-taken" "The name is in use";
    Conflict 409 "conflict" "The state of things does not allow this";
    IdempotencyInFlight 409 "idempotency-in-flight" "The first request with this key is still running";
    JobNotFinished 409 "job-not-finished" "The job has not ended yet";
    AsOfExpired 410 "as-of-expired" "That time is older than what is kept";
    CursorExpired 410 "cursor-expired" "The cursor is too old";
    PayloadTooLarge 413 "payload-too-large" "The body is too large";
    UnsupportedMediaType 415 "unsupported-media-type" "The body has a type that is not read here";
    UnsupportedFormat 422 "unsupported-format" "The file has a format that is not read here";
    FileMalformed 422 "file-malformed" "The file cannot be read";
    SchemaMismatch 422 "schema-mismatch" "The columns do not fit the table";
    InvalidEvent 422 "invalid-event" "An event of the batch cannot be used";
    InvalidName 422 "invalid-name" "The name cannot be used";
    QueryTooLarge 422 "query-too-large" "The query needs more than it may use";
    QueryTooComplex 422 "query-too-complex" "The query is built too deep or too wide";
    QueryTimeout 422 "query-timeout" "The query takes longer than it may";
    QueryFailed 422 "query-failed" "The query stopped with an error in its data";
    JobFailed 422 "job-failed" "The job ended without a result";
    IdempotencyMismatch 422 "idempotency-mismatch" "The key was used with another body";
    Unprocessable 422 "unprocessable" "The request is understood and cannot be done";
    RateLimited 429 "rate-limited" "Too many calls";
    QuotaExceeded 429 "quota-exceeded" "A quota of the workspace is used up";
    TooManyFailures 429 "too-many-failures" "Too many failed credentials";
    HeadTooLarge 431 "head-too-large" "The head of the request is too large";
    Internal 500 "internal" "Something failed on this side";
    Busy 503 "busy" "All places are taken";
    LakeUnavailable 503 "lake-unavailable" "The lake cannot be read now";
    DatabaseUnavailable 503 "database-unavailable" "The catalog cannot be read now";
    DataCorrupt 503 "data-corrupt" "Stored data of this table fails its checksum";
    NotReady 503 "not-ready" "The server is still starting";
    StorageFull 507 "storage-full" "There is no room left to store this";
}

impl Kind {
    /// The HTTP status of this kind.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.number()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

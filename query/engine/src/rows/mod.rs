//! Rows of any table the caller sees, by name: filters, order and pages in PostgREST's manner.
//!
//! ```text
//! URL pairs ─▶ RowsRequest ─▶ pin the table ─▶ one parametrised statement ─▶ tag ─▶ cache ─▶ worker
//! ```
//! The statement is ours and the values are bound, but its cost is the caller's choice: it runs in a worker like any other.

mod filter;
mod request;
mod statement;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;

use catalog::{Kind, Table};
use chrono::{DateTime, Utc};
use identity::{Principal, TableName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use worker::Class;

pub use request::{Count, Filter, PARAMETERS, RowsAnswer, RowsRequest};

use crate::cursor::Seal;
use crate::sql::{Asker, Envelope, Pinned, Pins, Promotion, Ready, Seat, Sql, Statement};
use crate::{Answer, QueryError};
use statement::{Built, Place};

/// Rows of a page where no limit is given.
const LIMIT: u64 = 1_000;

/// What a cursor of rows holds.
#[derive(Serialize, Deserialize)]
struct Mark {
    question: String,
    pins: Pins,
    place: Place,
}

/// Answers a rows call; see [`crate::Engine::rows`].
pub(crate) async fn answer(
    sql: &Sql,
    principal: &Principal,
    name: TableName,
    request: RowsRequest,
    known: Option<&str>,
    now: DateTime<Utc>,
) -> Result<RowsAnswer, QueryError> {
    let question = statement::question(&name, &request);
    let mark = open(&sql.seal, request.cursor.as_deref(), &question, now)?;
    let asker = Asker { principal, as_of: request.as_of, now };
    let mut pinned = Pinned::of(std::slice::from_ref(&name), asker, &sql.catalog).await?;
    if let Some(mark) = &mark {
        // A cursor of another's table of the same name, or of one that was replaced since.
        pinned = pinned.at_versions(&mark.pins).map_err(|_| QueryError::InvalidCursor)?;
    }
    let call = Call { sql, name, request, question, place: mark.map(|mark| mark.place), now };
    call.answer(principal, pinned, known).await
}

fn open(
    seal: &Seal,
    cursor: Option<&str>,
    question: &str,
    now: DateTime<Utc>,
) -> Result<Option<Mark>, QueryError> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    let mark: Mark = seal.open(cursor, now)?;
    if mark.question == question { Ok(Some(mark)) } else { Err(QueryError::InvalidCursor) }
}

/// One call on its way.
struct Call<'a> {
    sql: &'a Sql,
    name: TableName,
    request: RowsRequest,
    question: String,
    place: Option<Place>,
    now: DateTime<Utc>,
}

impl Call<'_> {
    async fn answer(
        self,
        principal: &Principal,
        pinned: Pinned,
        known: Option<&str>,
    ) -> Result<RowsAnswer, QueryError> {
        let Some(table) = pinned.table(&self.name, principal) else {
            return Err(QueryError::unknown_table(&self.name));
        };
        let limit = self.request.limit.unwrap_or(LIMIT);
        let built = statement::rows(&self.name, &table, &self.request, limit, self.place.as_ref())?;
        let mut seat = Seat::new(principal.workspace, Class::Inline, self.sql.limits.inline);
        let ready = self.ready(principal, pinned, &built, limit, &mut seat).await?;
        if known.is_some_and(|known| !ready.volatile && ready.tag.known_by(known)) {
            return Ok(RowsAnswer::NotModified { etag: ready.tag.etag });
        }
        if let Some(page) = self.sql.cache.get(&ready.tag).filter(|_| !ready.volatile) {
            return Ok(RowsAnswer::Page(Answer { page, hit: true }));
        }
        let counted = self.count(&table, &ready, &mut seat).await?;
        let flight = self.start(ready, seat, counted);
        let limits = self.sql.limits;
        let page = tokio::time::timeout(limits.inline, flight).await;
        let page = page.map_err(|_| QueryError::Timeout { limit_secs: limits.inline.as_secs() })??;
        Ok(RowsAnswer::Page(Answer { page, hit: false }))
    }

    async fn ready(
        &self,
        principal: &Principal,
        pinned: Pinned,
        built: &Built,
        limit: u64,
        seat: &mut Seat,
    ) -> Result<Ready, QueryError> {
        let RowsRequest { format, as_of, count, .. } = &self.request;
        // A page holds a cursor, so it is made anew each hour: none is handed out when it is about to expire.
        let shape = format!("rows {count:?} {} {}", self.question, self.now.timestamp() / 3600);
        let statement = Statement {
            sql: built.sql.clone(),
            params: built.params.clone(),
            limit,
            hidden: built.hidden,
            sequential: built.stored,
            format: *format,
            as_of: *as_of,
            shape,
        };
        self.sql.ready_with(principal, statement, pinned, self.now, seat).await
    }

    /// The number of rows behind all pages, where it was asked for.
    async fn count(&self, table: &Table, ready: &Ready, seat: &mut Seat) -> Result<Option<u64>, QueryError> {
        let stored = table.kind != Kind::View && self.request.filters.is_empty();
        match self.request.count {
            Count::None => Ok(None),
            Count::Estimated if stored => Ok(u64::try_from(table.rows).ok()),
            Count::Exact | Count::Estimated => {
                let built = statement::count(&self.name, table, &self.request)?;
                let statement = Statement {
                    sql: built.sql,
                    params: built.params,
                    limit: 1,
                    hidden: built.hidden,
                    sequential: false,
                    ..ready.statement.clone()
                };
                let counting = Ready { statement, ..ready.clone() };
                let (answered, _) = self.sql.run_on(&counting, seat, &Promotion::default()).await?;
                Ok(answered.last.first().and_then(number))
            }
        }
    }

    fn start(&self, ready: Ready, mut seat: Seat, count: Option<u64>) -> crate::cache::Flight {
        let (sql, place, question, now) =
            (self.sql.clone(), self.place.clone(), self.question.clone(), self.now);
        let (tag, shared) = (ready.tag.clone(), !ready.volatile);
        let fill = async move {
            let (answered, rows) = sql.run_on(&ready, &mut seat, &Promotion::default()).await?;
            drop(seat);
            let next = answered
                .truncated
                .then(|| statement::next(place.as_ref(), answered.rows, &answered.last, answered.repeats));
            let mark = next.map(|place| Mark { question, pins: ready.pinned.pins(), place });
            let next = mark.map(|mark| sql.seal.close(&mark, now)).transpose()?;
            crate::sql::page(&ready, &answered, rows, Envelope::Rows { next, count }, now)
        };
        self.sql.cache.fly(&tag, shared, fill)
    }
}

/// A count as the worker writes it: a number, or text beyond 2^53.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

impl Pinned {
    /// The table of a name in the caller's spelling.
    fn table(&self, name: &TableName, principal: &Principal) -> Option<Arc<Table>> {
        self.tables.get(&crate::sql::canonical(name, principal)).cloned()
    }
}

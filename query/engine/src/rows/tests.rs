//! Rows of tables through the real plan and the real sandbox, without a process in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use catalog::{Column, NewTable, PutAnalysis, Table, Touched};
use chrono::Utc;
use identity::{CustomerId, KeyId, Name, Principal, Scopes, Slug, TableName, WorkspaceId};
use lake::Remove;
use serde_json::{Value, json};
use worker::{Class, FileClient, Pool, PoolConfig, Task};

use super::request::RowsRequest;
use super::statement::{self, Place};
use crate::QueryError;
use crate::cache::Cache;
use crate::cursor::Seal;
use crate::fixture::World;
use crate::sandbox::{Answered, Sandbox};
use crate::sql::{Asker, Pinned, Ready, Seat, Sql, SqlLimits, Statement};

struct Lab {
    world: World,
    sql: Sql,
    sandbox: Sandbox,
    principal: Principal,
    scratch: tempfile::TempDir,
}

fn principal(slug: &str) -> Principal {
    Principal {
        customer: CustomerId::new(),
        workspace: WorkspaceId::new(),
        slug: Slug::parse(slug).unwrap(),
        key: KeyId::parse("aB3dE6gH").unwrap(),
        scopes: Scopes::READ,
        policy: Principal::DEFAULT_POLICY.to_owned(),
        expires_at: None,
    }
}

fn columns() -> Vec<Column> {
    vec![Column::new("a", "bigint"), Column::new("b", "text"), Column::new("limit", "bigint")]
}

/// Many equal rows and nulls: what paging by key gets wrong when it is done carelessly.
fn rows(count: i64) -> RecordBatch {
    let a = (0..count).map(|n| (n % 5 != 0).then_some(n % 3));
    let b = (0..count).map(|n| (n % 7 != 0).then(|| format!("b{}", n % 2)));
    let columns: [(&str, ArrayRef, bool); 3] = [
        ("a", Arc::new(a.collect::<Int64Array>()), true),
        ("b", Arc::new(b.collect::<StringArray>()), true),
        ("limit", Arc::new((0..count).map(Some).map(|n| n.map(|n| n / 50)).collect::<Int64Array>()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

impl Lab {
    async fn new() -> Self {
        let (world, scratch) = (World::new().await, tempfile::tempdir().unwrap());
        let config =
            PoolConfig { workers: 0, ..PoolConfig::new("/nonexistent".into(), scratch.path().join("pool")) };
        let pool = Pool::start(config).unwrap();
        let (cache, limits) = (Cache::new(1 << 20, 1 << 20), SqlLimits::default());
        let (catalog, lake) = (world.catalog.clone(), world.lake.clone());
        let sql = Sql::new(catalog, lake, pool, cache, limits, Seal::new([5; 32]));
        Self { world, sql, sandbox: Sandbox::new(), principal: principal("acme"), scratch }
    }

    async fn dataset(&self, name: &str, rows: &RecordBatch) -> Arc<Table> {
        let (slug, name) = (self.principal.slug.clone(), Name::parse(name).unwrap());
        let new = NewTable { columns: columns(), ..NewTable::new(slug, name.clone()) };
        let table = self.world.catalog.create_table(self.principal.workspace, new, Utc::now()).await.unwrap();
        self.world.write(&table, rows, Remove::All, Touched::Everything, Utc::now()).await;
        self.world.catalog.find(self.principal.workspace, &name).await.unwrap().unwrap()
    }

    async fn view(&self, name: &str, sql: &str, upstream: &[&str]) {
        self.view_of(name, sql, upstream, columns()).await;
    }

    async fn view_of(&self, name: &str, sql: &str, upstream: &[&str], columns: Vec<Column>) {
        let put = PutAnalysis {
            slug: self.principal.slug.clone(),
            name: Name::parse(name).unwrap(),
            sql: sql.to_owned(),
            params: json!([]),
            upstream: upstream.iter().map(|name| name.parse().unwrap()).collect(),
            columns,
            refresh: None,
            tests: Value::Null,
            description: None,
        };
        self.world.catalog.put_view(self.principal.workspace, put, Utc::now()).await.unwrap();
    }

    async fn pinned(&self, name: &str) -> Result<Pinned, QueryError> {
        let asker = Asker { principal: &self.principal, as_of: None, now: Utc::now() };
        Pinned::of(&[name.parse::<TableName>().unwrap()], asker, &self.sql.catalog).await
    }

    async fn ready(&self, pinned: Pinned, statement: Statement) -> Ready {
        let tag = crate::cache::TagBuilder::new("", "", crate::Format::Json).finish();
        let (principal, now) = (Arc::new(self.principal.clone()), Utc::now());
        Ready { statement, principal, pinned, volatile: false, tag, now }
    }

    async fn run(&self, ready: &Ready) -> (Answered, Vec<Value>) {
        let (plan, files) = self.sql.plan(ready).await.unwrap();
        let task = Task {
            kind: "query".to_owned(),
            request: serde_json::to_value(&plan).unwrap(),
            files: FileClient::here(files),
            scratch: self.scratch.path().to_owned(),
            deadline: Instant::now() + Duration::from_secs(20),
            limits: Arc::new(worker::Limits { threads: 2, ..worker::Limits::default() }),
        };
        let reply = self.sandbox.handle(task).await.unwrap();
        (serde_json::from_value(reply.head).unwrap(), serde_json::from_slice(&reply.body).unwrap())
    }

    /// All pages of a call, one after the other.
    async fn pages(&self, name: &str, pairs: &[(&str, &str)], limit: u64) -> Vec<Value> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let request = RowsRequest::from_pairs(pairs).unwrap();
        let name: TableName = name.parse().unwrap();
        let (mut place, mut all): (Option<Place>, Vec<Value>) = (None, Vec::new());
        loop {
            let pinned = self.pinned(&name.to_string()).await.unwrap();
            let table = pinned.table(&name, &self.principal).unwrap();
            let built = statement::rows(&name, &table, &request, limit, place.as_ref()).unwrap();
            let (hidden, sequential) = (built.hidden, built.stored);
            let statement = Statement {
                sql: built.sql,
                params: built.params,
                limit,
                hidden,
                sequential,
                format: crate::Format::Json,
                as_of: None,
                shape: "rows".to_owned(),
            };
            let (answered, rows) = self.run(&self.ready(pinned, statement).await).await;
            all.extend(rows);
            if !answered.truncated {
                return all;
            }
            let next = statement::next(place.as_ref(), answered.rows, &answered.last, answered.repeats);
            assert_ne!(Some(&next), place.as_ref(), "a page that does not move on");
            place = Some(next);
        }
    }
}

fn counted(rows: &[Value]) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for row in rows {
        *counted.entry(row.to_string()).or_default() += 1;
    }
    counted
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_every_row_once_however_often_keys_repeat() {
    let lab = Lab::new().await;
    lab.dataset("sales", &rows(211)).await;
    lab.view("same", "select * from my.sales", &["my.sales"]).await;
    let whole = lab.pages("my.sales", &[], 1_000).await;
    assert_eq!(whole.len(), 211);
    let stored: Vec<_> = whole.iter().map(|row| row["limit"].as_i64().unwrap()).collect();
    assert!(stored.is_sorted(), "rows without an order come as they were stored");
    for order in ["", "a", "a.desc,b", "b.desc.nullslast", "limit.desc,a.asc.nullsfirst", "b,a,limit"] {
        for (name, limit) in [("my.sales", 10), ("acme.sales", 33), ("my.same", 50), ("my.sales", 211)] {
            let pairs: Vec<(&str, &str)> = if order.is_empty() { vec![] } else { vec![("order", order)] };
            let paged = lab.pages(name, &pairs, limit).await;
            assert_eq!(counted(&paged), counted(&whole), "{order} of {name} by {limit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_select_what_they_say() {
    let lab = Lab::new().await;
    lab.dataset("sales", &rows(211)).await;
    let whole = lab.pages("my.sales", &[], 1_000).await;
    let count = |fits: &dyn Fn(&Value) -> bool| whole.iter().filter(|row| fits(row)).count();
    let a = |row: &Value| row["a"].as_i64();
    let cases: [(&[(&str, &str)], usize); 6] = [
        (&[("a", "gte.1")], count(&|row| a(row).is_some_and(|a| a >= 1))),
        (&[("a", "is.null")], count(&|row| a(row).is_none())),
        (
            &[("b", "like.b*"), ("a", "in.(0,2)")],
            count(&|row| row["b"].is_string() && matches!(a(row), Some(0 | 2))),
        ),
        (&[("or", "(a.eq.1,b.is.null)")], count(&|row| a(row) == Some(1) || row["b"].is_null())),
        (&[("col.limit", "lt.2")], count(&|row| row["limit"].as_i64().unwrap() < 2)),
        (&[("b", "not.eq.b1")], count(&|row| row["b"].as_str().is_some_and(|b| b != "b1"))),
    ];
    for (pairs, expected) in cases {
        assert!(expected > 0);
        assert_eq!(lab.pages("my.sales", pairs, 40).await.len(), expected, "{pairs:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_orders_and_lists_stay_within_what_a_statement_may_hold() {
    let lab = Lab::new().await;
    let names: Vec<String> = (0..9).map(|n| format!("c{n}")).collect();
    let column =
        |salt: i64| Arc::new((0..60).map(|n| Some(n % (salt + 1))).collect::<Int64Array>()) as ArrayRef;
    let columns = names.iter().zip(0..).map(|(name, salt)| (name, column(salt), true));
    let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let table = lab.dataset("wide", &rows).await;
    let view = names.iter().map(|name| Column::new(name, "bigint")).collect();
    lab.view_of("all", "select * from my.wide", &["my.wide"], view).await;
    assert_eq!(table.rows, 60);
    assert_eq!(lab.pages("my.all", &[("order", &names[..8].join(","))], 7).await.len(), 60);
    let values: Vec<String> = (0..800).map(|n| n.to_string()).collect();
    let list = format!("in.({})", values.join(","));
    assert_eq!(lab.pages("my.all", &[("c8", &list)], 50).await.len(), 60);
    let many = vec![("c8", "gte.0"); 100];
    assert_eq!(lab.pages("my.all", &many, 50).await.len(), 60);
}

#[tokio::test]
async fn what_is_not_mine_is_not_there() {
    let mut lab = Lab::new().await;
    lab.dataset("sales", &rows(5)).await;
    assert!(lab.pinned("my.sales").await.is_ok());
    lab.principal = principal("globex");
    for name in ["my.sales", "acme.sales", "globex.sales", "weather.daily"] {
        let error = lab.pinned(name).await.unwrap_err();
        assert_eq!(error.to_string(), format!("no table `{name}`"));
    }
}

#[tokio::test]
async fn views_nest_sixteen_deep_and_never_in_a_circle() {
    let lab = Lab::new().await;
    lab.dataset("v0", &rows(5)).await;
    for n in 1..=17 {
        let below = format!("my.v{}", n - 1);
        lab.view(&format!("v{n}"), &format!("select * from {below}"), &[&below]).await;
    }
    assert_eq!(lab.pages("my.v16", &[], 10).await.len(), 5);
    let deep = lab.pinned("my.v17").await;
    let too_deep = match deep {
        Ok(pinned) => {
            let statement = Statement {
                sql: String::new(),
                params: Vec::new(),
                limit: 1,
                hidden: 0,
                sequential: false,
                format: crate::Format::Json,
                as_of: None,
                shape: String::new(),
            };
            let ready = lab.ready(pinned, statement).await;
            lab.sql.plan(&ready).await.map(|_| ())
        }
        Err(error) => Err(error),
    };
    assert!(matches!(too_deep, Err(QueryError::TooDeep { .. })));
    lab.view("round", "select * from my.trip", &["my.trip"]).await;
    lab.view("trip", "select * from my.round", &["my.round"]).await;
    let pinned = lab.pinned("my.round").await.unwrap();
    assert!(crate::sql::lay(&pinned, &lab.principal, &lab.world.lake).await.is_err());
}

#[tokio::test]
async fn a_caller_waits_for_a_worker_only_so_long() {
    let lab = Lab::new().await;
    let limits = SqlLimits { inline: Duration::from_millis(50), ..SqlLimits::default() };
    let mut sql = lab.sql.clone();
    sql.limits = limits;
    let mut seat = Seat::new(lab.principal.workspace, Class::Inline, limits.inline);
    let busy = sql.resolve(lab.principal.workspace, "select 1", &mut seat).await;
    assert!(matches!(busy, Err(QueryError::Busy { .. })));
}

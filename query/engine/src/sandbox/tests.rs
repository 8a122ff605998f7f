//! Statements through the whole sandbox, over real Parquet files, without a process around it.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use serde_json::{Value, json};
use worker::{FileClient, Refusal, Reply, Task};

use super::Sandbox;

/// Files of one folder by their number.
struct Folder(Vec<PathBuf>);

#[async_trait::async_trait]
impl worker::Files for Folder {
    async fn size(&self, index: usize) -> io::Result<u64> {
        Ok(self.0.get(index).ok_or(io::ErrorKind::NotFound)?.metadata()?.len())
    }

    async fn read(&self, index: usize, range: Range<u64>) -> io::Result<Bytes> {
        let whole = std::fs::read(self.0.get(index).ok_or(io::ErrorKind::NotFound)?)?;
        Ok(Bytes::from(whole).slice(range.start as usize..range.end as usize))
    }
}

/// Two tables: `my.sales` (region, day, amount, note: 2 000 rows) and `weather.daily` (200 rows).
struct Lab {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
    files: Vec<PathBuf>,
    objects: serde_json::Map<String, Value>,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut lab =
            Self { sandbox: Sandbox::new(), folder, files: Vec::new(), objects: serde_json::Map::new() };
        lab.table("t0", sales(2_000));
        lab.table("t1", sales(200));
        lab
    }

    fn table(&mut self, id: &str, batch: RecordBatch) {
        let folder = self.folder.path().join(id);
        std::fs::create_dir(&folder).unwrap();
        let options = lake::WriterOptions {
            prefix: id.to_owned(),
            sort: vec!["region_id".into(), "day".into()],
            ..Default::default()
        };
        let mut writer = lake::LocalWriter::create(&folder, &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        let schema = writer.schema().clone();
        let files: Vec<Value> = writer
            .finish()
            .unwrap()
            .into_iter()
            .map(|file| {
                self.files.push(folder.join(&file.path));
                let mut value = serde_json::to_value(&file).unwrap();
                value["index"] = json!(self.files.len() - 1);
                value
            })
            .collect();
        let schema = lake::stored_schema::serialize(&schema, serde_json::value::Serializer).unwrap();
        let object = json!({"kind": "table", "schema": schema, "sort": ["region_id", "day"], "files": files});
        self.objects.insert(id.to_owned(), object);
    }

    fn view(&mut self, id: &str, sql: &str, scope: Value) {
        self.objects.insert(id.to_owned(), json!({"kind": "view", "sql": sql, "scope": scope}));
    }

    fn plan(&self, sql: &str) -> Value {
        json!({
            "sql": sql, "now": "2026-11-20T12:00:00Z", "objects": self.objects,
            "scope": {"my.sales": "t0", "weather.daily": "t1", "my.v": "v0"},
        })
    }

    async fn task(&self, kind: &str, request: Value) -> Result<Reply, Refusal> {
        let scratch = self.folder.path().join("scratch");
        std::fs::create_dir_all(&scratch).unwrap();
        let task = Task {
            kind: kind.to_owned(),
            request,
            files: FileClient::here(Arc::new(Folder(self.files.clone()))),
            scratch,
            deadline: Instant::now() + Duration::from_secs(10),
            limits: Arc::new(worker::Limits { threads: 2, ..worker::Limits::default() }),
        };
        self.sandbox.handle(task).await
    }

    async fn query(&self, plan: Value) -> Result<(Value, Value), Refusal> {
        let reply = self.task("query", plan).await?;
        Ok((reply.head, serde_json::from_slice(&reply.body).unwrap()))
    }

    async fn rows(&self, sql: &str) -> Value {
        self.query(self.plan(sql)).await.unwrap().1
    }

    async fn code(&self, sql: &str) -> String {
        let began = Instant::now();
        let refusal = match self.query(self.plan(sql)).await {
            Ok((head, _)) => panic!("{sql}: answered {head}"),
            Err(refusal) => refusal,
        };
        assert!(began.elapsed() < Duration::from_secs(30), "{sql} took {:?}", began.elapsed());
        assert!(sql.contains('/') || !refusal.detail.contains('/'), "{refusal}");
        refusal.code
    }
}

fn sales(rows: i64) -> RecordBatch {
    let regions: Vec<String> = (0..rows).map(|n| format!("r{}", n / 100)).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("region_id", Arc::new(StringArray::from(regions))),
        ("day", Arc::new(Date32Array::from_iter_values((0..rows).map(|n| (n % 100) as i32 + 20_000)))),
        ("amount", Arc::new(Int64Array::from_iter_values(0..rows))),
        ("note", Arc::new(StringArray::from_iter_values((0..rows).map(|n| format!("note {n}"))))),
        ("price", Arc::new(Float64Array::from_iter_values((0..rows).map(|n| n as f64 / 4.0)))),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, c)| c).collect()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_is_answered_with_its_types() {
    let lab = Lab::new();
    let sql = "select s.region_id, date_trunc('month', s.day) as month, sum(s.amount) as total, avg(w.price) as price
               from my.sales s join weather.daily w on s.region_id = w.region_id and s.day = w.day
               group by 1, 2 order by 1, 2 limit 2";
    let (head, rows) = lab.query(lab.plan(sql)).await.unwrap();
    assert_eq!(head["rows"], 2);
    assert_eq!(head["truncated"], false);
    assert_eq!(head["columns"][2], json!({"name": "total", "type": "bigint"}));
    assert_eq!(rows[0]["region_id"], "r0");
}

#[tokio::test(flavor = "multi_thread")]
async fn ordinary_functions_work() {
    let lab = Lab::new();
    let sql = "select repeat('ab', 3) a, lpad('7', 3, '0') b, 'x' || 1 || null c, 'x' || 1 d, replace('aaa', 'a', 'b') e,
               cardinality(range(0, 10)) f, to_char(date '2026-11-20', '%Y') g, string_agg(note, ',') h,
               array_agg(amount) i, count(distinct region_id) j, local_day(timestamp '2026-03-28T23:30:00Z', 'Europe/Rome') k,
               extract(year from date '2026-11-20') l, substr('hello', 2, 3) m, position('l' in 'hello') n,
               approx_distinct(region_id) o, percentile_cont(0.5) within group (order by amount) p
               from (select * from my.sales order by amount limit 2)";
    let rows = lab.rows(sql).await;
    let row = &rows[0];
    assert_eq!(
        (&row["a"], &row["b"], &row["c"], &row["d"]),
        (&json!("ababab"), &json!("007"), &Value::Null, &json!("x1"))
    );
    assert_eq!(
        (&row["e"], &row["f"], &row["g"], &row["h"]),
        (&json!("bbb"), &json!(10), &json!("2026"), &json!("note 0,note 1"))
    );
    assert_eq!((&row["i"], &row["j"], &row["k"]), (&json!([0, 1]), &json!(1), &json!("2026-03-29")));
    let rows = lab.rows("select approx_percentile_cont(0.5, 1000) within group (order by amount) a,
        approx_percentile_cont(0.5) within group (order by amount desc) b, approx_percentile_cont_with_weight(1, 0.5) within group (order by amount) c
        from (select * from my.sales order by amount limit 3)").await;
    assert_eq!((&rows[0]["a"], &rows[0]["b"], &rows[0]["c"]), (&json!(1.0), &json!(1.0), &json!(1.0)));
    let rows = lab.rows("select row_number() over (order by amount desc) n, lag(amount) over (order by amount) l from my.sales order by n limit 1").await;
    assert_eq!(rows, json!([{"n": 1, "l": 1_998}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn now_is_what_the_task_says() {
    let lab = Lab::new();
    let rows = lab.rows("select now() as t, current_date as d").await;
    assert_eq!(rows, json!([{"t": "2026-11-20T12:00:00Z", "d": "2026-11-20"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_bound_not_pasted() {
    let lab = Lab::new();
    let mut plan = lab
        .plan("select count(*) n from my.sales where region_id = $1 and amount >= $2 and day >= $3 limit 5");
    plan["params"] = json!(["r1", 150, "2024-10-04"]);
    assert_eq!(lab.query(plan.clone()).await.unwrap().1, json!([{"n": 50}]));
    plan["params"] = json!(["r1' or '1'='1", 0, "2024-01-01"]);
    assert_eq!(lab.query(plan.clone()).await.unwrap().1, json!([{"n": 0}]));
    for wrong in
        [json!([]), json!(["a", 1]), json!(["a", 1, "2024-01-01", 4]), json!([{"a": 1}, 1, "2024-01-01"])]
    {
        plan["params"] = wrong.clone();
        assert_eq!(lab.query(plan.clone()).await.unwrap_err().code, "invalid-parameter", "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_cut_and_says_so() {
    let lab = Lab::new();
    let mut plan = lab.plan("select * from my.sales order by amount");
    plan["limit"] = json!(10);
    let (head, rows) = lab.query(plan.clone()).await.unwrap();
    assert_eq!(
        (head["rows"].as_u64(), head["truncated"].as_bool(), rows.as_array().unwrap().len()),
        (Some(10), Some(true), 10)
    );
    plan["limit"] = json!(2_000);
    assert_eq!(lab.query(plan.clone()).await.unwrap().0["truncated"], false);
    plan["limits"] = json!({"bytes": 1_000});
    let (head, rows) = lab.query(plan.clone()).await.unwrap();
    assert!(head["truncated"].as_bool().unwrap() && rows.as_array().unwrap().len() < 16);
    plan["limits"] = json!({"bytes": 20});
    assert_eq!(lab.query(plan.clone()).await.unwrap_err().code, "query-too-large");
    plan["limits"] = json!({});
    plan["limit"] = json!(0);
    let (head, rows) = lab.query(plan).await.unwrap();
    assert_eq!((rows, head["columns"].as_array().unwrap().len()), (json!([]), 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_columns_tell_where_a_page_ends() {
    let lab = Lab::new();
    let mut plan = lab.plan("select note, day, region_id from my.sales order by day, region_id");
    (plan["hidden"], plan["limit"]) = (json!(1), json!(3));
    let (head, rows) = lab.query(plan).await.unwrap();
    assert_eq!(rows[0], json!({"note": "note 0", "day": "2024-10-04"}));
    assert_eq!((&head["last"], &head["repeats"]), (&json!(["r10"]), &json!(1)));
    let mut plan = lab.plan("select note, day, amount from my.sales order by day, note");
    (plan["hidden"], plan["limit"]) = (json!(2), json!(3));
    let (head, _) = lab.query(plan).await.unwrap();
    assert_eq!(head["last"][0], json!("2024-10-04"));
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_columns_are_numbered() {
    let lab = Lab::new();
    for (sql, names) in [
        ("select amount, amount from my.sales limit 1", vec!["amount", "amount_2"]),
        ("select amount as x, price as x from my.sales order by x limit 1", vec!["x", "x_2"]),
        ("select 1, 1", vec!["1", "1_2"]),
        (
            "select a.day, b.day from my.sales a join weather.daily b using (region_id) limit 1",
            vec!["day", "day_2"],
        ),
        ("select *, day from my.sales limit 1", vec!["region_id", "day", "amount", "note", "price", "day_2"]),
    ] {
        let (head, _) = lab.query(lab.plan(sql)).await.unwrap();
        let found: Vec<&str> =
            head["columns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(found, names, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_without_a_name_is_called_as_it_is_written() {
    let lab = Lab::new();
    for (sql, names) in [
        ("select 1, 'A b', -1, (1)", vec!["1", "'a b'", "-1", "1_2"]),
        ("SELECT count(*), SUM(s.amount) FROM my.sales s", vec!["count(*)", "sum(s.amount)"]),
        ("select replace(note, 'n', '.') from my.sales limit 1", vec!["replace(note, 'n', '.')"]),
        ("select (note), s.day from my.sales s limit 1", vec!["note", "day"]),
        ("select * from (select max(amount) from my.sales) m", vec!["max(amount)"]),
        ("with m as (select amount::text from my.sales) select * from m limit 1", vec!["amount::text"]),
        ("select 1 + 1 union all select 3", vec!["1 + 1"]),
        (
            "select region_id, sum(amount) from my.sales group by 1 having sum(amount) > 1 order by sum(amount) limit 1",
            vec!["region_id", "sum(amount)"],
        ),
        ("select $1", vec!["$1"]),
        (
            "select coalesce(note, 'a very long text that goes on and on, far beyond sixty characters') from my.sales limit 1",
            vec!["coalesce(note, 'a very long text that goes on and on, far be"],
        ),
    ] {
        let mut plan = lab.plan(sql);
        plan["params"] = if sql.contains('$') { json!([1]) } else { json!([]) };
        let (head, _) = lab.query(plan).await.unwrap_or_else(|refusal| panic!("{sql}: {refusal}"));
        let found: Vec<&str> =
            head["columns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(found, names, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_read_under_the_names_that_its_answer_shows() {
    let mut lab = Lab::new();
    let scope = json!({"my.sales": "t0", "weather.daily": "t1"});
    let joined =
        "select * from my.sales s join weather.daily w on s.region_id = w.region_id and s.day = w.day";
    lab.view("v0", joined, scope.clone());
    let rows = lab.rows("select day, day_2, amount_2 from my.v order by amount_2 limit 1").await;
    assert_eq!(rows, json!([{"day": "2024-10-04", "day_2": "2024-10-04", "amount_2": 0}]));
    assert_eq!(lab.rows("select count(*) as n from my.v").await, json!([{"n": 200}]));
    lab.view("v0", "select 1 as a, 2 as a", scope.clone());
    assert_eq!(lab.rows("select * from my.v").await, json!([{"a": 1, "a_2": 2}]));
    assert_eq!(lab.rows("select a_2 from my.v").await, json!([{"a_2": 2}]));
    lab.view("v0", "select count(*), max(amount) from my.sales", scope);
    assert_eq!(lab.rows("select \"max(amount)\" as m from my.v").await, json!([{"m": 1_999}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_sees_its_own_scope_and_no_other() {
    let mut lab = Lab::new();
    // The owner's `my.sales` is the small table; the reader's is the large one.
    lab.view("v0", "select count(*) n from my.sales", json!({"my.sales": "t1"}));
    let rows = lab.rows("select v.n as theirs, (select count(*) from my.sales) as mine from my.v v").await;
    assert_eq!(rows, json!([{"theirs": 200, "mine": 2_000}]));
    lab.view("v0", "select * from weather.daily", json!({}));
    assert_eq!(lab.code("select * from my.v").await, "unknown-table");
    lab.view("v0", "select * from my.v", json!({"my.v": "v0"}));
    assert_eq!(lab.code("select * from my.v").await, "query-too-complex");
    lab.view("v0", "drop table x", json!({}));
    assert_eq!(lab.code("select * from my.v").await, "sql-not-read-only");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_that_double_are_counted() {
    let mut lab = Lab::new();
    lab.view("w0", "select * from my.sales", json!({"my.sales": "t0"}));
    for n in 1..12 {
        let scope = json!({"my.w": format!("w{}", n - 1)});
        lab.view(&format!("w{n}"), "select a.* from my.w a join my.w b using (region_id)", scope);
    }
    lab.view("v0", "select * from my.w", json!({"my.w": "w11"}));
    assert_eq!(lab.code("select * from my.v").await, "query-too-complex");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_in_scope_exists() {
    let lab = Lab::new();
    for name in [
        "my.other",
        "sales",
        "globex.sales",
        "lake.my.sales",
        "information_schema.tables",
        "\"my.sales\"",
        "pg_catalog.pg_class",
        "'/etc/passwd'",
        "\"/etc/passwd\"",
        "\"t0\"",
        "df_settings",
    ] {
        let code = lab.code(&format!("select * from {name}")).await;
        assert!(["unknown-table", "invalid-sql"].contains(&code.as_str()), "{name}: {code}");
    }
    for call in [
        "read_csv('/etc/passwd')",
        "generate_series(1, 10)",
        "range(1, 10)",
        "parquet_metadata('x')",
        "glob('*')",
    ] {
        let code = lab.code(&format!("select * from {call}")).await;
        assert!(
            ["unknown-table", "invalid-sql", "unknown-function"].contains(&code.as_str()),
            "{call}: {code}"
        );
    }
    for call in [
        "version()",
        "input_file_name()",
        "arrow_metadata(1)",
        "file_row_index()",
        "nothing_like_it(1)",
        "pg_sleep(10)",
    ] {
        assert_eq!(lab.code(&format!("select {call}")).await, "unknown-function", "{call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_make_size_are_capped() {
    let lab = Lab::new();
    for sql in [
        "select repeat('x', 1500000000)",
        "select length(repeat('x', 1500000000))",
        "select count(*) from my.sales where length(repeat(note, 100000000)) > 0",
        "select max(lpad('x', cast(amount * 1000000 as int), 'y')) from my.sales",
        "select rpad('x', 2000000000)",
        "select array_repeat(array_repeat(array_repeat(1, 100000), 100000), 1000)",
        "select cardinality(range(0, 200000000))",
        "select generate_series(0, 200000000)",
        "select cardinality(range(date '1900-01-01', date '2100-01-01', interval '1 second'))",
        "select array_resize([1], 1000000000)",
        "select replace(repeat('a', 1000000), 'a', repeat('b', 1000000))",
        "select regexp_replace(repeat('a', 1000000), 'a', repeat('b', 1000000), 'g')",
        "select translate(repeat('a', 100000000), 'a', 'b')",
        "select approx_distinct(repeat('x', 100000000)) from my.sales",
        "select string_agg(repeat(note, 20000), ',') from my.sales",
        "select levenshtein(repeat('a', 10000000), repeat('b', 10000000))",
        "select array_to_string(range(0, 1000000), repeat('x', 100000))",
        "select concat_ws(repeat('x', 1000000), note, note, note) from my.sales",
        "select approx_percentile_cont(0.5, 2000000000) within group (order by amount) from my.sales",
        "select approx_percentile_cont(0.5, 9223372036854775807) within group (order by amount) from my.sales",
        "select approx_percentile_cont(0.5, 100000 * 100000) within group (order by amount) from my.sales group by note",
        "select approx_percentile_cont_with_weight(1, 0.5, 2000000000) within group (order by amount) from my.sales",
    ] {
        assert_eq!(lab.code(sql).await, "query-too-large", "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doubling_step_by_step_is_capped_too() {
    let lab = Lab::new();
    let chain = |first: &str, step: &str| {
        let steps: Vec<String> =
            (1..30).map(|n| format!("c{n} as (select {step} as x from c{})", n - 1)).collect();
        format!(
            "with c0 as (select {first} as x), {} select length(cast(x as text)) from c29",
            steps.join(", ")
        )
    };
    for step in ["x || x", "concat(x, x)", "x || '-' || x", "replace(x, 'x', 'xx')", "concat_ws(x, x, x)"] {
        assert_eq!(lab.code(&chain("'xxxxxxxx'", step)).await, "query-too-large", "{step}");
        let column = chain("'xxxx' || note", step).replacen("as x)", "as x from my.sales)", 1);
        assert_eq!(lab.code(&column).await, "query-too-large", "{step}");
    }
    for step in ["array_concat(x, x, x, x)", "x || x"] {
        assert_eq!(
            lab.code(&chain("[1, 2, 3, 4]", step).replace("cast(x as text)", "array_to_string(x, '')")).await,
            "query-too-large",
            "{step}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_of_everything_with_everything_are_refused() {
    let lab = Lab::new();
    for sql in [
        "select sum(a.amount + b.amount + c.amount) from my.sales a cross join my.sales b cross join my.sales c",
        "select sum(a.amount + b.amount + c.amount) from my.sales a, my.sales b, my.sales c",
    ] {
        assert_eq!(lab.code(sql).await, "query-too-large", "{sql}");
    }
    let rows = lab.rows("select count(*) n from weather.daily a cross join weather.daily b").await;
    assert_eq!(rows, json!([{"n": 40_000}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_of_operators_is_capped() {
    let lab = Lab::new();
    let mut plan = lab.plan("select array_agg(repeat(note, 1000)) from my.sales");
    plan["limits"] = json!({"memory": 1 << 20});
    let refusal = lab.query(plan).await.unwrap_err();
    assert_eq!(refusal.code, "query-too-large");
    assert!(refusal.detail.contains("memory"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_the_callers_and_are_explained() {
    let lab = Lab::new();
    for (sql, code) in [
        ("select nope from my.sales", "unknown-column"),
        ("select amount + from my.sales", "invalid-sql"),
        ("select 1 / 0", "query-failed"),
        ("select amount / (amount - amount) from my.sales", "query-failed"),
        ("select cast('abc' as int)", "query-failed"),
        ("select cast(note as int) from my.sales", "query-failed"),
        ("select 1; select 2", "sql-not-read-only"),
        ("select * from my.sales limit -1", "invalid-sql"),
        ("select sum(note) from my.sales", "invalid-sql"),
        ("select amount from my.sales group by region_id", "invalid-sql"),
    ] {
        assert_eq!(lab.code(sql).await, code, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_in_the_words_of_answers() {
    let lab = Lab::new();
    for (sql, told) in [
        ("select sum(note) from my.sales", "sum(text)"),
        ("select note + 1 from my.sales", "text + bigint"),
        ("select cast(note as int) from my.sales", "'note 0'"),
        ("select amuont from my.sales", "no column `amuont`. Did you mean amount?"),
        ("select s.amuont from my.sales s", "no column `s.amuont`. Did you mean amount?"),
        ("select nothing_like_it from my.sales", "There is amount, day, note, price, region_id."),
        ("select 1 from my.sales where note = \"2026-11-01\"", "Text stands in single quotes: '2026-11-01'"),
        (
            "select day from my.sales s join weather.daily w on true",
            "`day` is a column of more than one table",
        ),
        ("select summ(amount) from my.sales", "no function `summ`. Did you mean sum?"),
        ("select nothing_like_it(1)", "no function `nothing_like_it`"),
    ] {
        let detail = lab.query(lab.plan(sql)).await.err().map(|refusal| refusal.detail).unwrap_or_default();
        assert!(detail.contains(told), "{sql}: {detail}");
        for word in ["Int64", "Utf8", "Date32", "rror:", "DataFusion", "lake."] {
            assert!(!detail.contains(word), "{sql}: {detail}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_written_as_sorted_files() {
    let lab = Lab::new();
    let plan =
        lab.plan("select region_id, count(*), max(day) as day, sum(amount) from my.sales group by region_id");
    let request = json!({"op": "materialise", "plan": plan, "sort": ["region_id"]});
    let written = lab.task("files", request).await.unwrap().head;
    assert_eq!(written["rows"], 20);
    let names: Vec<&str> =
        written["columns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["region_id", "count", "day", "sum_amount"]);
    let file = &written["files"][0];
    assert_eq!(
        (&file["rows"], &file["min"]["region_id"], &file["nulls"]["day"]),
        (&json!(20), &json!("r0"), &json!(0))
    );
    assert!(lab.folder.path().join("scratch").join(file["path"].as_str().unwrap()).exists());
    let mut plan = lab.plan("select * from my.sales");
    plan["limits"] = json!({"rows": 100});
    let refused = lab.task("files", json!({"op": "materialise", "plan": plan})).await.unwrap_err();
    assert_eq!(refused.code, "query-too-large");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_resolved_without_a_plan() {
    let lab = Lab::new();
    let asked = json!({"sql": "select now() from my.sales where a = $1"});
    let resolved = lab.task("resolve", asked).await.unwrap().head;
    assert_eq!(resolved, json!({"tables": ["my.sales"], "params": 1, "volatile": true}));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_comes_out() {
    let lab = Lab::new();
    for format in crate::encode::Format::ALL {
        let mut plan = lab.plan("select * from my.sales order by amount limit 3");
        plan["format"] = json!(format.word());
        let reply = lab.task("query", plan).await.unwrap();
        assert_eq!(
            (reply.head["rows"].as_u64(), reply.head["content_type"].as_str()),
            (Some(3), Some(format.content_type()))
        );
        assert_eq!(reply.head["sha256"].as_str().unwrap().len(), 64);
        assert!(!reply.body.is_empty());
    }
}

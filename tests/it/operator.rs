//! What those who run a server meet: folders and addresses that are taken, configurations that are refused, verbs beside
//! a server, and what is told to monitors and browsers.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use harness::Stack::Sqlite;
use harness::{Options, TestApp};
use serde_json::Value;

use crate::demo::Demo;
use crate::shared::{PROGRAM, app, customer, options};

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits for the end of a process that should not live long.
fn ended(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let since = Instant::now();
    while child.try_wait().unwrap().is_none() && since.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    child.wait_with_output().unwrap()
}

fn told(output: &Output) -> Value {
    assert!(output.status.success(), "{}", errors(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn regions(demo: &Demo) -> i64 {
    let status = told(&demo.verb(&["status"]));
    let tables = status["tables"].as_array().unwrap();
    tables.iter().find(|table| table["table"] == "geo.regions").unwrap()["rows"].as_i64().unwrap()
}

#[tokio::test]
async fn a_demos_folder_has_one_server_and_verbs_leave_its_regions_as_they_are() {
    let demo = Demo::start().await;
    let keys = std::fs::read(demo.path("demo.json")).unwrap();
    let second = ended(&mut Demo::command(demo.folder.path(), "127.0.0.1:0"));
    assert_eq!(second.status.code(), Some(75), "{}", errors(&second));
    assert!(
        errors(&second).contains(&format!("in use by process {}", demo.child.id())),
        "{}",
        errors(&second)
    );
    assert_eq!(std::fs::read(demo.path("demo.json")).unwrap(), keys);
    assert_eq!(regions(&demo), 3);
    assert_eq!(told(&demo.verb(&["run", "geo.regions"]))["models"][0], "geo.regions");
    let days = ["--from", "2026-01-01", "--to", "2026-01-02"];
    told(&demo.verb(&[&["backfill", "c"], &days[..]].concat()));
    told(&demo.verb(&["rebuild"]));
    assert_eq!(regions(&demo), 3);
    let other = Command::new(PROGRAM)
        .args(["rebuild"])
        .env("LAKEFRONT__DATABASE__URL", format!("sqlite://{}", demo.path("catalog.db").display()))
        .env("LAKEFRONT__STORAGE__URL", demo.path("lake"))
        .env("LAKEFRONT__LAKE__STATE", demo.path("sources"))
        .env("LAKEFRONT__AUTH__SIGNING_KEY_FILE", demo.path("signing-key.pem"))
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(1));
    assert!(errors(&other).contains("was made as `weather-market-demo`"), "{}", errors(&other));
    assert_eq!(regions(&demo), 3);
}

#[tokio::test]
async fn a_catalog_or_a_folder_of_sources_has_one_server_and_verbs_work_beside_it() {
    let Some(app) = TestApp::start(options(Sqlite)).await else { return };
    let user = format!("in use by process {}", app.pid().unwrap());
    let other_catalog = format!("sqlite://{}", app.folder.join("other/catalog.db").display());
    for (name, value) in [
        ("LAKEFRONT__LAKE__STATE", app.folder.join("other").display().to_string()),
        ("LAKEFRONT__DATABASE__URL", other_catalog),
    ] {
        let mut second = Command::new(PROGRAM);
        second.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(app.folder.join("lakefront.toml"));
        let second = ended(second.env(name, value));
        assert_eq!(second.status.code(), Some(75), "{name}: {}", errors(&second));
        assert!(errors(&second).contains(&user), "{name}: {}", errors(&second));
    }
    assert_eq!(told(&app.verb(&["run", "a"]))["source"], "a");
    let customers = told(&app.verb(&["customer", "list"]));
    assert_eq!(customers["customers"][0]["workspace"], "operator");
    let keys = told(&app.verb(&["key", "list", "--workspace", "operator"]));
    assert_eq!(keys["keys"][0]["label"], "first key");
    let unknown = errors(&app.verb(&["run", "weather"]));
    assert!(unknown.contains("sources: a, b, c, d, market_history; models: "), "{unknown}");
}

#[tokio::test]
async fn a_suspended_customer_comes_in_again_when_the_operator_reinstates_it() {
    let Some(app) = app(Sqlite).await else { return };
    let (acme, globex) = (app.customer("acme").await, app.customer("globex").await);
    for other in [&acme, &globex] {
        app.operator.delete(&format!("/v1/admin/customers/{}", other.id)).await.status(204);
    }
    acme.get("/v1/datasets").await.problem(401, "unauthenticated");
    for _ in 0..2 {
        let said = told(&app.verb(&["customer", "reinstate", &acme.workspace]));
        assert_eq!((&said["id"], &said["suspended"]), (&acme.id.as_str().into(), &false.into()));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    acme.get("/v1/datasets").await.status(200);
    globex.get("/v1/datasets").await.problem(401, "unauthenticated");
    let unknown = errors(&app.verb(&["customer", "reinstate", "nobody_here"]));
    assert!(unknown.contains("there is no workspace nobody_here"), "{unknown}");
}

#[tokio::test]
async fn a_taken_port_is_told_before_anything_is_made() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let refused = ended(&mut Demo::command(&data, &address));
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors(&refused).contains("--listen HOST:PORT"), "{}", errors(&refused));
    assert!(!data.exists());
    let refused = ended(Command::new(PROGRAM).args(["serve", "--listen", &address]).current_dir(&folder));
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors(&refused).contains(&format!("cannot listen on {address}")), "{}", errors(&refused));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

/// What `check` says of a configuration and one more variable.
fn check(text: &str, variable: (&str, &str)) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lakefront.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .current_dir(&folder)
        .env(variable.0, variable.1)
        .args(["check", "--config"])
        .arg(file)
        .output()
        .unwrap()
}

#[test]
fn a_refused_configuration_names_line_and_key_or_the_variable() {
    for (text, expected) in [
        ("[server]\n\nlisten = \"8080\"", "lakefront.toml, line 3: server.listen: is an address and a port"),
        ("[server]\nhead_bytes = \"x\"", "lakefront.toml, line 2: server.head_bytes: invalid type"),
        ("[server]\nhead_bytes = 1", "lakefront.toml, line 2: server.head_bytes must be between"),
        ("\n[server\n", "lakefront.toml, line 2: "),
        ("[storage]\nurl = \"s4://x\"", "lakefront.toml, line 2: storage.url names no store"),
        ("[log]\nfilter = \"lalala=foo\"", "lakefront.toml, line 2: log.filter is no filter"),
        (
            "[database]\nurl = \"postgres://a:postgres@localhost/b\"",
            "lakefront.toml, line 2: database.url (password) is a well-known word",
        ),
        (
            "[cache]\nredis_url = \"redis://:changeme1@cache\"",
            "lakefront.toml, line 2: cache.redis_url (password) is a well-known word",
        ),
        (
            "[storage.options]\naws_access_key_id = \"minioadmin\"\naws_secret_access_key = \"minioadmin\"",
            "storage.options `aws_secret_access_key` is a well-known word",
        ),
        ("[storage.options]\nazure_storage_account_key = \"x7Kw\"", "is shorter than 12 characters"),
    ] {
        let said = errors(&check(text, ("LAKEFRONT_TEST_X", "")));
        assert!(said.contains(expected), "{text}: {said}");
    }
    let said = errors(&check("", ("LAKEFRONT__SERVER__LISTEN", "8080")));
    assert!(said.starts_with("lakefront: LAKEFRONT__SERVER__LISTEN: is an address"), "{said}");
    let said = errors(&check("", ("LAKEFRONT_SERVER_LISTEN", "127.0.0.1:1")));
    assert!(said.contains("LAKEFRONT_SERVER_LISTEN") && said.contains("ignored"), "{said}");
    let absent = Command::new(PROGRAM).args(["check", "--config", "/nowhere/x.toml"]).output().unwrap();
    assert_eq!(errors(&absent).matches("No such file").count(), 1, "{}", errors(&absent));
}

#[test]
fn a_database_that_is_not_there_is_called_so() {
    let migrate = Command::new(PROGRAM)
        .arg("migrate")
        .env("LAKEFRONT__DATABASE__URL", "postgres://127.0.0.1:1/none")
        .output()
        .unwrap();
    assert_eq!(migrate.status.code(), Some(75));
    assert_eq!(errors(&migrate).matches("Connection refused").count(), 1, "{}", errors(&migrate));
}

#[tokio::test]
async fn every_family_of_metrics_is_ours_and_explained() {
    let Some(app) = app(Sqlite).await else { return };
    let text = app.operator.get("/metrics").await.status(200).text();
    let named = |mark: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(mark));
        lines.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
    };
    let (helped, families) = (named("# HELP "), named("# TYPE "));
    assert!(families.iter().all(|name| name.starts_with("lakefront_") && helped.contains(name)), "{text}");
    for name in
        ["lakefront_build_info{version=", "lakefront_process_resident_bytes ", "lakefront_worker_processes{"]
    {
        assert!(text.contains(name), "{name}: {text}");
    }
}

#[tokio::test]
async fn a_server_begins_with_few_arenas_of_memory_unless_told_how_many() {
    let arenas = |pid: u32| {
        let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
        environment.split('\0').find_map(|line| Some(line.strip_prefix("MALLOC_ARENA_MAX=")?.to_owned()))
    };
    let Some(app) = app(Sqlite).await else { return };
    let cores = std::thread::available_parallelism().unwrap().get().max(2);
    assert_eq!(arenas(app.pid().unwrap()), Some(cores.to_string()));
    let env = vec![("MALLOC_ARENA_MAX".to_owned(), "7".to_owned())];
    let Some(told) = TestApp::start(Options { env, ..options(Sqlite) }).await else { return };
    assert_eq!(arenas(told.pid().unwrap()).as_deref(), Some("7"));
}

#[tokio::test]
async fn a_server_says_when_it_has_stopped() {
    let Some(mut app) = TestApp::start(Options { ..options(Sqlite) }).await else { return };
    let stopped = Command::new("kill").arg(app.pid().unwrap().to_string()).status().unwrap();
    assert!(stopped.success() && app.ended(Duration::from_secs(30)).await);
    let log = app.log();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["message"], "stopped", "{log}");
    assert!(log.lines().all(|line| line.contains("\"timestamp\":")), "{log}");
}

#[tokio::test]
async fn csv_for_excel_begins_with_a_mark_and_a_table_is_saved_under_its_name() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.upload("prices", "region,price\nx,1\n").await.created();
    let path = "/v1/tables/my/prices/rows?format=csv";
    let plain = acme.get(path).await.status(200);
    assert_eq!(plain.header("content-disposition"), "attachment; filename=\"my.prices.csv\"");
    let marked = acme.get(&format!("{path}&bom=true")).await.status(200);
    assert_eq!(marked.body, [b"\xef\xbb\xbf", plain.body.as_slice()].concat());
    assert_ne!(marked.header("etag"), plain.header("etag"));
    let again = acme.get_if_changed(&format!("{path}&bom=true"), marked.header("etag")).await.status(304);
    assert_eq!(again.header("etag"), marked.header("etag"));
    acme.get_if_changed(&format!("{path}&bom=true"), plain.header("etag")).await.status(200);
    acme.get_if_changed(path, marked.header("etag")).await.status(200);
    acme.get(&format!("{path}&bom=maybe")).await.problem(400, "invalid-parameter");
    let json = acme.get("/v1/tables/my/prices/rows?bom=true").await.ok();
    assert_eq!(json["data"][0]["region"], "x");
    let sql = serde_json::json!({"sql": "SELECT 1 AS one"});
    let marked = acme.post("/v1/sql?format=csv&bom=true", sql).await.status(200);
    assert_eq!(marked.body, b"\xef\xbb\xbfone\r\n1\r\n");
    let series = acme.get("/v1/regions/it-lombardia/weather?format=csv&bom=true").await.status(200);
    assert!(series.body.starts_with(b"\xef\xbb\xbf"));
}

#[tokio::test]
async fn a_browser_finds_its_way_from_the_first_page() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let page = acme.get("/").await.status(200).text();
    assert!(page.contains(&format!("\"{}/v1/regions?limit=5\"", acme.url)), "{page}");
    assert!(acme.get("/docs/").await.status(200).text().contains("swagger"));
}

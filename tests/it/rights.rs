//! What one customer has, the other cannot list, read, guess, time or join.

use harness::Stack::{self, Postgres, Sqlite};
use harness::{Answer, Customer, Upload};
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};

use crate::shared::{app, customer};

const CANARY: &str = "canary-5d1f";

/// Acme with a dataset, a view and a stored table, all holding the canary; and globex, who has nothing.
async fn acme_and_globex(stack: Stack) -> Option<(Customer, Customer)> {
    let (acme, globex) = (customer(stack, "acme").await?, customer(stack, "globex").await?);
    acme.upload("secret", &format!("id,word\n1,{CANARY}\n")).await.created();
    let view = json!({"sql": "SELECT word FROM my.secret", "kind": "view"});
    assert!(acme.put("/v1/analyses/secret_view", view).await.status.is_success());
    Some((acme, globex))
}

#[rstest]
#[tokio::test]
async fn anothers_objects_answer_like_objects_that_do_not_exist(#[values(Sqlite, Postgres)] stack: Stack) {
    let Some((_, globex)) = acme_and_globex(stack).await else { return };
    for (hidden, absent) in [
        ("/v1/datasets/secret", "/v1/datasets/absent"),
        ("/v1/datasets/secret/versions", "/v1/datasets/absent/versions"),
        ("/v1/tables/my/secret", "/v1/tables/my/absent"),
        ("/v1/tables/my/secret/rows", "/v1/tables/my/absent/rows"),
        ("/v1/analyses/secret_view", "/v1/analyses/absent_view"),
        ("/v1/tables/my/secret_view/rows", "/v1/tables/my/absent_view/rows"),
    ] {
        let (one, other) = (globex.get(hidden).await.status(404), globex.get(absent).await.status(404));
        assert_eq!(without_names(&one.json()), without_names(&other.json()), "{hidden}");
    }
}

/// A problem without what differs rightly: the name that was asked for and the request's id.
fn without_names(problem: &Value) -> String {
    let mut problem = problem.clone();
    problem["request_id"] = Value::Null;
    problem["instance"] = Value::Null;
    problem.to_string().replace("secret", "X").replace("absent", "X")
}

#[rstest]
#[tokio::test]
async fn no_spelling_of_anothers_table_reads_it(#[values(Sqlite, Postgres)] stack: Stack) {
    let Some((acme, globex)) = acme_and_globex(stack).await else { return };
    let slug = &acme.workspace;
    for name in [
        "my.secret".to_owned(),
        format!("{slug}.secret"),
        format!("\"{slug}\".\"secret\""),
        format!("{}.SECRET", slug.to_uppercase()),
        format!("lakefront.{slug}.secret"),
        format!("datafusion.{slug}.secret"),
        format!("\"{slug}.secret\""),
        format!("workspaces.\"{slug}\".secret"),
        "secret".to_owned(),
        "public.secret".to_owned(),
        "\"../secret\"".to_owned(),
    ] {
        for sql in [
            format!("SELECT * FROM {name}"),
            format!("WITH x AS (SELECT * FROM {name}) SELECT * FROM x"),
            format!("SELECT (SELECT max(word) FROM {name}) AS w"),
            format!("SELECT 1 WHERE EXISTS (SELECT 1 FROM {name})"),
            format!("SELECT 1 UNION ALL SELECT 1 FROM {name}"),
            format!("SELECT * FROM geo.regions r JOIN {name} s ON true"),
        ] {
            let answer = globex.sql(&sql).await;
            assert!(
                matches!(answer.status.as_u16(), 400 | 404),
                "{sql}: {} {}",
                answer.status,
                answer.text()
            );
            assert!(!answer.text().contains(CANARY), "{sql}");
        }
    }
}

#[tokio::test]
async fn lists_show_only_ones_own() {
    let Some((_, globex)) = acme_and_globex(Sqlite).await else { return };
    for path in ["/v1/datasets", "/v1/tables", "/v1/jobs", "/v1/keys"] {
        let text = globex.get(path).await.status(200).text();
        assert!(!text.contains("secret"), "{path}: {text}");
    }
}

#[tokio::test]
async fn anothers_job_is_no_job() {
    let Some((acme, globex)) = acme_and_globex(Sqlite).await else { return };
    let asked = acme.request(reqwest::Method::POST, "/v1/sql").header("prefer", "respond-async");
    let job = acme.send(asked.json(&json!({"sql": "SELECT * FROM my.secret"}))).await.status(202).json();
    let id = job["data"]["id"].as_str().unwrap();
    assert_eq!(acme.finished(id).await["status"], "succeeded");
    assert!(acme.get(&format!("/v1/jobs/{id}/result")).await.status(200).text().contains(CANARY));
    for path in [format!("/v1/jobs/{id}"), format!("/v1/jobs/{id}/result")] {
        globex.get(&path).await.problem(404, "unknown-job");
    }
    globex.delete(&format!("/v1/jobs/{id}")).await.problem(404, "unknown-job");
}

#[tokio::test]
async fn anothers_idempotency_key_is_ones_own() {
    let Some((acme, globex)) = acme_and_globex(Sqlite).await else { return };
    let form = |csv: &'static str| Upload::new("once", csv).idempotency_key("the-same-key");
    acme.upload_form(form("a\n1\n")).await.created();
    let made = globex.upload_form(form("a\n2\n")).await.created();
    assert_eq!(made["data"]["name"], "once");
    assert_eq!(globex.sql("SELECT a FROM my.once").await.data(), json!([{"a": 2}]));
    assert_eq!(acme.sql("SELECT a FROM my.once").await.data(), json!([{"a": 1}]));
}

#[tokio::test]
async fn the_same_private_question_has_another_tag_for_each() {
    let Some((acme, globex)) = acme_and_globex(Sqlite).await else { return };
    globex.upload("secret", "id,word\n1,other\n").await.created();
    let path = "/v1/tables/my/secret/rows";
    let (one, other) = (acme.get(path).await.status(200), globex.get(path).await.status(200));
    assert_ne!(one.header("etag"), other.header("etag"));
    globex.get_if_changed(path, one.header("etag")).await.status(200);
    assert!(!other.text().contains(CANARY));
}

#[tokio::test]
async fn anothers_cursor_is_refused() {
    let Some((acme, globex)) = acme_and_globex(Sqlite).await else { return };
    for who in [&acme, &globex] {
        who.upload("list", "n\n1\n2\n3\n").await.created();
    }
    let first = acme.get("/v1/tables/my/list/rows?order=n&limit=1").await.ok();
    let next = first["meta"]["next"].as_str().unwrap();
    let stolen = format!("/v1/tables/my/list/rows?order=n&limit=1&cursor={next}");
    globex.get(&stolen).await.problem(400, "invalid-cursor");
}

#[tokio::test]
async fn a_key_without_the_scope_is_refused_before_anything_happens() {
    let Some(app) = app(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    let reader = acme.with_key(&app.key(&acme, &["read"]).await);
    reader.upload("x", "a\n1\n").await.problem(403, "forbidden");
    reader.put("/v1/analyses/v1", json!({"sql": "SELECT 1", "kind": "view"})).await.problem(403, "forbidden");
    let writer = acme.with_key(&app.key(&acme, &["write"]).await);
    writer.get("/v1/datasets").await.problem(403, "forbidden");
    acme.get("/v1/admin/customers").await.problem(403, "forbidden");
    acme.get("/metrics").await.problem(403, "forbidden");
}

/// Every operation of the OpenAPI document refuses a stranger, but for the few that are open to all.
#[tokio::test]
async fn every_documented_route_refuses_a_stranger() {
    let Some(app) = app(Sqlite).await else { return };
    let open = ["/healthz", "/readyz", "/openapi.json", "/docs", "/", "/.well-known/jwks.json"];
    let stranger = app.operator.with_key("");
    let document = stranger.http.get(format!("{}/openapi.json", app.url)).send().await.unwrap();
    let document: Value = document.json().await.unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 20, "only {} paths are documented", paths.len());
    for (path, operations) in paths.iter().filter(|(path, _)| {
        !open.contains(&path.as_str()) && !path.starts_with("/docs") && !path.starts_with("/problems")
    }) {
        for method in operations.as_object().unwrap().keys().filter(|m| *m != "parameters") {
            let url = format!("{}{}", app.url, path.replace(['{', '}'], ""));
            let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = stranger.send(stranger.http.request(method.clone(), url)).await;
            assert_eq!(answer.status.as_u16(), 401, "{method} {path}: {}", answer.text());
            answer.problem(401, "unauthenticated");
        }
    }
}

/// What is to be done to an object, hidden or absent.
fn deeds(name: &str) -> [(Method, String, Option<Value>); 5] {
    let (dataset, view) = (format!("/v1/datasets/{name}"), format!("/v1/analyses/{name}_view"));
    [
        (Method::PATCH, dataset.clone(), Some(json!({"description": "mine now"}))),
        (Method::PATCH, dataset.clone(), Some(json!({"name": "taken_over"}))),
        (Method::DELETE, dataset, None),
        (Method::DELETE, view.clone(), None),
        (Method::POST, format!("{view}/runs"), None),
    ]
}

#[rstest]
#[tokio::test]
async fn anothers_objects_cannot_be_changed_and_answer_like_absent_ones(
    #[values(Sqlite, Postgres)] stack: Stack,
) {
    let Some((acme, globex)) = acme_and_globex(stack).await else { return };
    for (hidden, absent) in deeds("secret").into_iter().zip(deeds("absent")) {
        let what = format!("{} {}", hidden.0, hidden.1);
        let (one, other) = (done(&globex, hidden).await.status(404), done(&globex, absent).await.status(404));
        assert_eq!(without_names(&one.json()), without_names(&other.json()), "{what}");
    }
    assert!(acme.sql("SELECT word FROM my.secret_view").await.status(200).text().contains(CANARY));
}

async fn done(who: &Customer, (method, path, body): (Method, String, Option<Value>)) -> Answer {
    let request = who.request(method, &path);
    who.send(body.iter().fold(request, |request, body| request.json(body))).await
}

#[tokio::test]
async fn anothers_tag_confirms_nothing() {
    let Some((acme, globex)) = acme_and_globex(Sqlite).await else { return };
    let mut tags = 0;
    for (hidden, absent) in [
        ("/v1/datasets/secret", "/v1/datasets/absent"),
        ("/v1/tables/my/secret", "/v1/tables/my/absent"),
        ("/v1/tables/my/secret/rows", "/v1/tables/my/absent/rows"),
        ("/v1/tables/my/secret_view/rows", "/v1/tables/my/absent_view/rows"),
    ] {
        let tag = acme.get(hidden).await.status(200).header("etag").to_owned();
        if tag.is_empty() {
            continue;
        }
        tags += 1;
        acme.get_if_changed(hidden, &tag).await.status(304);
        let one = globex.get_if_changed(hidden, &tag).await.status(404);
        let other = globex.get_if_changed(absent, &tag).await.status(404);
        assert_eq!(without_names(&one.json()), without_names(&other.json()), "{hidden}");
    }
    assert!(tags >= 2, "tables and views have tags");
}

#[tokio::test]
async fn a_key_revokes_none_that_may_do_more() {
    let Some(app) = app(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    let writer = acme.with_key(&app.key(&acme, &["write"]).await);
    let made = acme.post("/v1/keys", json!({"scopes": ["read", "write"]})).await.created();
    let path = format!("/v1/keys/{}", made["data"]["id"].as_str().unwrap());
    writer.delete(&path).await.problem(403, "forbidden");
    acme.with_key(made["data"]["key"].as_str().unwrap()).get("/v1/datasets").await.status(200);
    let globex = app.customer("globex").await;
    globex.delete(&path).await.problem(404, "unknown-key");
    let equal = acme.post("/v1/keys", json!({"scopes": ["write"]})).await.created();
    writer.delete(&format!("/v1/keys/{}", equal["data"]["id"].as_str().unwrap())).await.status(204);
    acme.delete(&path).await.status(204);
}

#[tokio::test]
async fn the_operator_cannot_shut_itself_out() {
    let Some(app) = app(Sqlite).await else { return };
    let customers = app.operator.get("/v1/admin/customers").await.data();
    let own = customers.as_array().unwrap().iter().find(|one| one["workspace"] == "operator").unwrap();
    let path = format!("/v1/admin/customers/{}", own["id"].as_str().unwrap());
    let refused = app.operator.delete(&path).await.problem(409, "conflict");
    assert!(refused.detail.contains("own"), "{refused:?}");
    app.operator.get(&path).await.status(200);
}

#[tokio::test]
async fn the_operators_right_stays_in_the_operators_workspace() {
    let Some(app) = app(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    let path = format!("/v1/admin/customers/{}/keys", acme.id);
    for scopes in [json!(["admin"]), json!(["read", "admin"])] {
        app.operator.post(&path, json!({ "scopes": scopes })).await.problem(403, "forbidden");
    }
}

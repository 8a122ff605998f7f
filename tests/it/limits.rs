//! Limits of bodies, waiting and connections, as configured: what goes beyond is told, and the next call is served.

use std::pin::pin;
use std::time::Duration;

use futures::future::join_all;
use futures::stream;
use harness::Stack::Sqlite;
use harness::{Options, TestApp};
use reqwest::{Body, Method};
use serde_json::json;

use crate::shared::options;
use crate::wire::{Wire, statuses};

/// A server of its own with these settings.
async fn server(settings: &[(&str, &str)]) -> Option<TestApp> {
    let setting = |(key, value): &(&str, &str)| (format!("LAKEFRONT__{key}"), (*value).to_owned());
    let env = settings.iter().map(setting).collect();
    TestApp::start(Options { env, ..options(Sqlite) }).await
}

#[tokio::test]
async fn a_file_over_the_limit_is_a_413_that_tells_it_and_leaves_nothing() {
    let Some(app) = server(&[("UPLOADS__FILE_BYTES", "1000")]).await else { return };
    let acme = app.customer("acme").await;
    let csv = |rows: usize| format!("n\n{}", "1\n".repeat(rows));
    let problem = acme.upload("large", &csv(500)).await.problem(413, "payload-too-large");
    assert_eq!(problem.detail, "the file is larger than 1000 bytes");
    assert_eq!(acme.get("/v1/datasets").await.data(), json!([]));
    acme.upload("full", &csv(499)).await.created();
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_413_whether_its_length_is_told_or_not() {
    let Some(app) = server(&[("SERVER__BODY_BYTES", "1000")]).await else { return };
    let acme = app.customer("acme").await;
    let statement = |bytes: usize| json!({"sql": format!("{:<bytes$}", "SELECT 1 AS n")}).to_string();
    let long = statement(1000);
    let pieces = stream::iter([Ok::<_, std::io::Error>(long.clone())]);
    for body in [Body::from(long), Body::wrap_stream(pieces)] {
        let request = acme.request(Method::POST, "/v1/sql").header("content-type", "application/json");
        let problem = acme.send(request.body(body)).await.problem(413, "payload-too-large");
        assert_eq!(problem.detail, "the body may have 1000 bytes");
    }
    assert_eq!(acme.sql(&format!("{:<900}", "SELECT 1 AS n")).await.data(), json!([{"n": 1}]));
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_a_408_and_a_head_that_does_has_no_answer() {
    let settings = [("SERVER__BODY_IDLE_TIMEOUT_MS", "2000"), ("SERVER__HEAD_TIMEOUT_MS", "2000")];
    let Some(app) = server(&settings).await else { return };
    let acme = app.customer("acme").await;
    let start = |path: &str, kind: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: {kind}\r\nContent-Length: \
             1000\r\n\r\n{body}",
            acme.key
        )
    };
    let form = |part: &str| {
        let body = format!("--X\r\nContent-Disposition: form-data; name={part}");
        start("/v1/datasets", "multipart/form-data; boundary=X", &body)
    };
    let bodies = [
        start("/v1/sql", "application/json", "{\"sql\":"),
        form("\"name\"\r\n\r\nsta"),
        form("\"file\"; filename=\"stalled.csv\"\r\n\r\na,b\n1,2\n"),
    ];
    let wait = async |text: &str| Wire::to(&acme.url).await.send(text).await.closed().await;
    for heard in join_all(bodies.iter().map(|text| wait(text))).await {
        assert_eq!(statuses(&heard), ["408 Request Timeout"], "{heard}");
        assert!(heard.contains("\"code\":\"request-timeout\""), "{heard}");
    }
    assert_eq!(wait("GET /healthz HTTP/1.1\r\nHo").await, "");
    assert_eq!(acme.get("/v1/datasets").await.data(), json!([]));
    acme.upload("next", "a\n1\n").await.created();
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_until_another_has_ended() {
    let settings = [("SERVER__MAX_CONNECTIONS", "1"), ("SERVER__HEAD_TIMEOUT_MS", "60000")];
    let Some(app) = server(&settings).await else { return };
    let ask = async |more: &str| {
        Wire::to(&app.url).await.send(&format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{more}\r\n")).await
    };
    let mut first = ask("").await;
    first.answered().await;
    let mut second = pin!(ask("Connection: close\r\n").await.closed());
    let early = tokio::time::timeout(Duration::from_millis(500), second.as_mut()).await;
    assert!(early.is_err(), "{early:?}");
    drop(first);
    assert_eq!(statuses(&second.await), ["200 OK"]);
}

//! Scripts of other origins: they call and read where the configuration names their origin, and nowhere else.

use harness::Stack::Sqlite;
use harness::{Answer, Customer, Options, TestApp};
use reqwest::Method;

use crate::shared::{customer, options};

const APP: &str = "https://app.example";
const ALLOWED: &str = "access-control-allow-origin";

/// What a browser asks before a script's upload.
async fn preflight(who: &Customer, origin: &str) -> Answer {
    let request = who.http.request(Method::OPTIONS, format!("{}/v1/datasets", who.url));
    let request = request.header("origin", origin).header("access-control-request-method", "POST");
    who.send(request.header("access-control-request-headers", "authorization,idempotency-key")).await
}

async fn call(who: &Customer, origin: &str) -> Answer {
    who.send(who.request(Method::GET, "/v1/datasets").header("origin", origin)).await
}

/// Whether a header that is a list has these words.
fn has(answer: &Answer, header: &str, words: &[&str]) -> bool {
    let listed: Vec<&str> = answer.header(header).split(", ").collect();
    words.iter().all(|word| listed.contains(word))
}

async fn nothing_is_told(who: &Customer, origin: &str) {
    for answer in [preflight(who, origin).await.status(405), call(who, origin).await.status(200)] {
        let told = answer.headers.keys().any(|name| name.as_str().starts_with("access-control-"));
        assert!(!told, "{origin}: {:?}", answer.headers);
    }
}

#[tokio::test]
async fn a_configured_origin_may_call_and_read_and_no_other_may() {
    let env = vec![("LAKEFRONT__SERVER__CORS_ORIGINS".to_owned(), format!("[{APP:?}]"))];
    let Some(app) = TestApp::start(Options { env, ..options(Sqlite) }).await else { return };
    let acme = app.customer("acme").await;
    let asked = preflight(&acme, APP).await.status(204);
    assert_eq!(asked.header(ALLOWED), APP);
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    assert!(has(&asked, "access-control-allow-methods", &methods), "{:?}", asked.headers);
    let headers =
        ["authorization", "x-api-key", "content-type", "idempotency-key", "if-none-match", "prefer"];
    assert!(has(&asked, "access-control-allow-headers", &headers), "{:?}", asked.headers);
    let read = call(&acme, APP).await.status(200);
    assert_eq!(read.header(ALLOWED), APP);
    let exposed = ["etag", "location", "retry-after", "x-request-id"];
    assert!(has(&read, "access-control-expose-headers", &exposed), "{:?}", read.headers);
    assert!(read.headers.get_all("vary").iter().any(|value| value == "Origin"), "{:?}", read.headers);
    for other in ["https://app.example.evil", "http://app.example", "null"] {
        nothing_is_told(&acme, other).await;
    }
    // A script reads also why it is refused.
    let refused = call(&acme.with_key("wrong"), APP).await;
    assert_eq!(refused.header(ALLOWED), APP);
    refused.problem(401, "unauthenticated");
}

#[tokio::test]
async fn without_configured_origins_no_script_is_told_anything() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    nothing_is_told(&acme, APP).await;
}

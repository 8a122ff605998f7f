//! Questions that come again in the same words: answered as the first time, and to nobody who may not ask.

use std::time::Duration;

use harness::Stack::{self, Postgres, Sqlite};
use harness::{Customer, TestApp, WeatherStub, project_root};
use reqwest::Method;
use rstest::rstest;

use crate::nyc;

const PATH: &str = "/v1/regions/us-jfk/weather?fields=air_temperature_mean";

/// A server, and a customer who asked for [`PATH`] often.
async fn often_asked(stack: Stack) -> Option<(TestApp, WeatherStub, Customer)> {
    let stations = nyc::stations(&project_root().join("tests/data/nyc-hours.csv"));
    let (app, stub) = nyc::start(stack, stations, "2013-03-01", "2013-03-20").await?;
    let acme = app.customer("acme").await;
    for _ in 0..4 {
        acme.get(PATH).await.status(200);
    }
    Some((app, stub, acme))
}

#[tokio::test]
async fn each_format_of_a_question_is_answered_in_its_own_whatever_was_asked_before() {
    let Some((_app, _stub, acme)) = often_asked(Sqlite).await else { return };
    let ask = async |accept: &str, path: &str| {
        let request = acme.request(Method::GET, path).header("accept", accept);
        acme.send(request).await.status(200)
    };
    let bom = format!("{PATH}&bom=true");
    let asks = [
        ("application/json", PATH, "application/json", &b"{"[..]),
        ("text/csv", PATH, "text/csv", b"day"),
        ("text/csv", bom.as_str(), "text/csv", b"\xef\xbb\xbf"),
        ("application/x-ndjson", PATH, "application/x-ndjson", b"{"),
        ("application/vnd.apache.parquet", PATH, "application/vnd.apache.parquet", b"PAR1"),
    ];
    let mut first = Vec::new();
    for round in 0..4 {
        for (n, (accept, path, media, head)) in asks.into_iter().enumerate() {
            let answer = ask(accept, path).await;
            assert!(answer.header("content-type").starts_with(media), "{accept}: {:?}", answer.headers);
            assert!(answer.body.starts_with(head), "{accept}: {:?}", answer.body);
            match round {
                0 => first.push((answer.body.clone(), answer.header("etag").to_owned())),
                _ => assert_eq!((&answer.body, answer.header("etag")), (&first[n].0, first[n].1.as_str())),
            }
        }
    }
}

#[rstest]
#[tokio::test]
async fn who_may_not_ask_gets_no_repeated_answer(#[values(Sqlite, Postgres)] stack: Stack) {
    let Some((app, _stub, acme)) = often_asked(stack).await else { return };
    acme.with_key("lf_live_nobody").get(PATH).await.problem(401, "unauthenticated");
    let writer = acme.with_key(&app.key(&acme, &["write"]).await);
    for _ in 0..3 {
        writer.get(PATH).await.problem(403, "forbidden");
    }
    let key = app.key(&acme, &["read"]).await;
    let reader = acme.with_key(&key);
    for _ in 0..3 {
        reader.get(PATH).await.status(200);
    }
    let id = key.split('_').nth(2).unwrap_or_else(|| panic!("a key of another form"));
    let revoked = app.operator.delete(&format!("/v1/admin/customers/{}/keys/{id}", acme.id)).await;
    assert!(revoked.status.is_success(), "{}", revoked.text());
    tokio::time::sleep(Duration::from_secs(5)).await;
    reader.get(PATH).await.problem(401, "unauthenticated");
    acme.get(PATH).await.status(200);
}

#[tokio::test]
async fn a_repeated_answer_is_counted_and_logged_and_headed_like_the_first() {
    let Some((app, _stub, acme)) = often_asked(Sqlite).await else { return };
    let answer = acme.get(PATH).await.status(200);
    for name in
        ["etag", "cache-control", "vary", "x-request-id", "ratelimit", "ratelimit-policy", "cache-status"]
    {
        assert!(!answer.header(name).is_empty(), "{name}: {:?}", answer.headers);
    }
    acme.get_if_changed(PATH, answer.header("etag")).await.status(304);
    let head = acme.send(acme.request(Method::HEAD, PATH)).await.status(200);
    assert_eq!((head.body.len(), head.header("etag")), (0, answer.header("etag")));
    acme.get(&format!("{PATH}&unheard=of")).await.problem(400, "unknown-parameter");
    let id = answer.header("x-request-id").to_owned();
    for _ in 0..50 {
        if let Some(line) = app.log().lines().find(|line| line.contains(&id)) {
            assert!(
                line.contains("/v1/regions/{region}/weather") && line.contains(&acme.workspace),
                "{line}"
            );
            assert!(!line.contains("fields="), "the query is nobody's business: {line}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no line of request {id}");
}

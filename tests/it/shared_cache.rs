//! Redis before the engine: another process's pages are found there, and whatever happens to Redis, answers stay right.

use std::time::{Duration, Instant};

use harness::{Customer, Options, Redis, Stack, TestApp};
use serde_json::Value;

use crate::shared::options;

const SUMMARIES: [&str; 2] = ["/v1/regions/it-lombardia/summary", "/v1/regions/it-lazio/summary"];

async fn server(redis: &Redis) -> Option<TestApp> {
    let config = format!("[cache]\nredis_url = {:?}\n", redis.url());
    TestApp::start(Options { config, ..options(Stack::Sqlite) }).await
}

/// Both summaries and a statement over the customer's own table.
async fn answers(acme: &Customer) -> Vec<Value> {
    let mut bodies = Vec::new();
    for path in SUMMARIES {
        bodies.push(acme.get(path).await.ok());
    }
    bodies.push(acme.sql("SELECT sum(n) AS n FROM my.numbers").await.ok());
    bodies
}

async fn reads(app: &TestApp, outcome: &str) -> f64 {
    let metrics = app.operator.get("/metrics").await.status(200).text();
    let name = format!("lakefront_shared_cache_reads_total{{outcome=\"{outcome}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0.0)
}

/// A server with answers in Redis, restarted, so that it has none of its own.
async fn restarted(redis: &Redis) -> Option<(TestApp, Customer, Vec<Value>)> {
    let mut app = server(redis).await?;
    let acme = app.customer("acme").await;
    acme.upload("numbers", "n\n1\n2\n").await.created();
    let before = answers(&acme).await;
    for _ in 0..50 {
        if redis.ask(&["DBSIZE"]).trim() == "3" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(redis.ask(&["DBSIZE"]).trim(), "3");
    app.kill();
    app.resume().await;
    Some((app, acme, before))
}

#[tokio::test]
async fn a_page_made_before_a_restart_is_read_from_redis() {
    let Some(redis) = Redis::start() else { return };
    let Some((app, acme, before)) = restarted(&redis).await else { return };
    assert_eq!(answers(&acme).await, before);
    assert_eq!(reads(&app, "hit").await, 3.0);
}

#[tokio::test]
async fn what_others_write_into_redis_is_never_served() {
    const RUBBISH: &str =
        "for _, k in ipairs(redis.call('KEYS', '*')) do redis.call('SET', k, 'rubbish') end";
    const SWAPPED: &str = "local ks = redis.call('KEYS', '*') local first = redis.call('GET', ks[1])
        for i = 1, #ks - 1 do redis.call('SET', ks[i], redis.call('GET', ks[i + 1])) end
        redis.call('SET', ks[#ks], first)";
    for poison in [RUBBISH, SWAPPED] {
        let Some(redis) = Redis::start() else { return };
        let Some((app, acme, before)) = restarted(&redis).await else { return };
        redis.ask(&["EVAL", poison, "0"]);
        assert_eq!(answers(&acme).await, before);
        assert_eq!((reads(&app, "hit").await, reads(&app, "refused").await), (0.0, 3.0));
    }
}

#[tokio::test]
async fn a_redis_that_freezes_or_goes_away_is_not_missed() {
    let Some(redis) = Redis::start() else { return };
    let Some((_app, acme, before)) = restarted(&redis).await else { return };
    redis.freeze();
    let began = Instant::now();
    for n in 0..20 {
        acme.sql(&format!("SELECT n + {n} AS n FROM my.numbers")).await.status(200);
    }
    assert_eq!(answers(&acme).await, before);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    drop(redis);
    acme.sql("SELECT n + 99 AS n FROM my.numbers").await.status(200);
    assert_eq!(answers(&acme).await, before);
}

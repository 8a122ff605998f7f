//! Statements that want much, and the worker process that is at them.

use std::time::Duration;

use harness::process::{cpu, family};
use harness::{Customer, TestApp, Upload};

/// Rows of `my.wide`: all of one `k`, numbered by `n`, each with a short text `t` and a long one `w`.
pub const WIDE_ROWS: usize = 2_000;

/// Eight thousand million rows in little memory. A join without a key would be refused.
pub const ENDLESS: &str = "SELECT sum((a.n * b.n + c.n) % 7) AS s \
                           FROM my.wide a JOIN my.wide b ON a.k = b.k JOIN my.wide c ON b.k = c.k";

/// Makes the dataset `wide`, however little patience the server has.
pub async fn upload_wide(customer: &Customer) {
    let rows: String = (0..WIDE_ROWS).map(|n| format!("1,{n},t{n},w{n:0>499}\n")).collect();
    let upload = Upload::new("wide", format!("k,n,t,w\n{rows}")).prefer("wait=30");
    customer.upload_form(upload).await.created();
}

/// The worker process that a statement keeps busy: it has had a second of a processor more than any other.
pub async fn busy_worker(app: &TestApp) -> u32 {
    let server = app.pid().unwrap();
    for _ in 0..600 {
        let workers = family(server).into_iter().filter(|pid| *pid != server);
        let mut spent: Vec<(Duration, u32)> = workers.map(|pid| (cpu(pid), pid)).collect();
        spent.sort_unstable();
        if let [.., (next, _), (most, pid)] = spent[..]
            && most > next + Duration::from_secs(1)
        {
            return pid;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no worker was busy within a minute");
}

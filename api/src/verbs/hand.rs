//! A verb's work as a job: the same row that a schedule makes, done by whoever has the folder.
//!
//! ```text
//! verb ─▶ job row ─┬─ a server has the folder ─▶ it does the job, the verb waits for its end
//!                  └─ nobody has it ───────────▶ the verb takes it and does the job
//! ```
//! A verb that is killed leaves its job behind: the next server, or the same verb again, goes on with it.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use catalog::{Catalog, Job, Jobs, Status};
use chrono::Utc;
use ingest::jobs::{Pipelines, Request, Runner};
use ingest::sources::{Progress, is_led, is_served};
use serde_json::{Value, json};

use crate::config::Config;
use crate::node::{Ground, Store, catalog_settings, pipelines_config, same_lake};
use crate::verbs::progress::Bar;
use crate::verbs::{Transient, hold, print, runtime};

/// Worker processes of a verb: one file is read after the other, and a pool has three at least.
const WORKERS: usize = 3;
/// How often a verb looks at its job.
const LOOK: Duration = Duration::from_millis(250);

/// Asks for a job, sees it through, and prints what it did.
/// Errors: its own failure, [`Transient`] where trying again may mend it.
pub fn over(config: &Config, request: &Request, key: Option<String>) -> anyhow::Result<()> {
    let config = beside_a_server(config);
    let lakefile = Store::lakefile(&config)?;
    same_lake(&config.lake.state, &lakefile.name)?;
    if request.needs_the_lake_alone() && hold::take_folders(&config)?.is_none() {
        return Err(taken().into());
    }
    runtime(2)?.block_on(async {
        let ground = Ground::open(&config).await?;
        let catalog = Catalog::open(ground.db.clone(), catalog_settings(&config)).await.context("catalog")?;
        if request.needs_the_lake_alone() && is_served(&catalog, Utc::now()).await.context("catalog")? {
            return Err(taken().into());
        }
        let bar = Bar::new();
        let ended = match ask(&catalog.jobs(), request, key).await {
            Ok(job) => see_through(&config, &catalog, job, &bar).await,
            Err(error) => Err(error),
        };
        bar.finish();
        ground.db.close().await;
        tell(&ended?)
    })
}

fn taken() -> Transient {
    Transient("a server has the lake, and this work needs it alone: stop the server first".into())
}

/// The job of a request: the one of its key, queued anew where it had failed.
async fn ask(jobs: &Jobs, request: &Request, key: Option<String>) -> anyhow::Result<Job> {
    let job = jobs.enqueue(request.job(key.clone(), Utc::now()), Utc::now()).await?;
    if !request.is_of(&job) {
        anyhow::bail!("--idempotency-key {} belongs to another run", key.unwrap_or_default());
    }
    Ok(jobs.again(job.id, Utc::now()).await?.unwrap_or(job))
}

/// Waits for a job's end; where nobody has the folder, does it.
async fn see_through(config: &Config, catalog: &Catalog, mut job: Job, bar: &Bar) -> anyhow::Result<Job> {
    let jobs = &catalog.jobs();
    while !job.status.is_final() {
        show(&job, bar);
        match is_at_work(&job) {
            true => tokio::time::sleep(LOOK).await,
            // Whichever node works at the sources takes it, wherever it is.
            false if is_led(catalog, Utc::now()).await.context("catalog")? => tokio::time::sleep(LOOK).await,
            false => match hold::take_folders(config)? {
                Some(_locks) => do_it(config, jobs, &job, bar).await?,
                None => tokio::time::sleep(LOOK).await,
            },
        }
        job = jobs.find(job.id).await?.context("the job is gone")?;
    }
    Ok(job)
}

/// Whether a living process has it.
fn is_at_work(job: &Job) -> bool {
    job.status == Status::Running && job.lease_until.is_some_and(|until| until >= Utc::now())
}

/// Does a job in this process, which has the folder.
async fn do_it(config: &Config, jobs: &Jobs, job: &Job, bar: &Bar) -> anyhow::Result<()> {
    let store = Store::open(config, Store::lakefile(config)?).await?;
    let caught_up = store.arrivals.catch_up(Utc::now()).await;
    caught_up.map_err(|error| Transient(error.to_string()))?;
    let handlers = Pipelines::handlers(&store.arrivals);
    let working = Runner::do_one(&store.catalog, handlers, pipelines_config(), job.id);
    let done = tokio::select! {
        done = working => done?,
        never = follow(jobs, job, bar) => never,
    };
    store.arrivals.leave().await;
    store.ground.db.close().await;
    if !done {
        // Another process is at it, or at one that must not run beside it.
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Shows how far a job is, of a hundred.
fn show(job: &Job, bar: &Bar) {
    bar.step(&job.kind, job.percent as u64, 100);
}

async fn follow(jobs: &Jobs, job: &Job, bar: &Bar) -> bool {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Ok(Some(now)) = jobs.find(job.id).await {
            show(&now, bar);
        }
    }
}

/// The same under a name of its own: a process of the server's name would count as its successor, and the server's
/// recovery would clear this one's open writes.
fn beside_a_server(config: &Config) -> Config {
    let mut config = config.clone();
    config.server.node = format!("{}-cli-{}", config.server.node, std::process::id());
    config.workers.count = WORKERS;
    config
}

/// Prints what a job did; its failure is the verb's.
fn tell(job: &Job) -> anyhow::Result<()> {
    match job.status {
        Status::Succeeded => done(job),
        Status::Cancelled => anyhow::bail!("job {} was cancelled", job.id),
        _ => Err(failure(job)),
    }
}

fn done(job: &Job) -> anyhow::Result<()> {
    let mut body = job.result.clone().unwrap_or_else(|| json!({}));
    if let Some(fields) = body.as_object_mut() {
        fields.insert("job".into(), json!(job.id));
    }
    if std::io::stdout().is_terminal() {
        return words(&body);
    }
    print(&body)
}

#[expect(clippy::print_stdout, reason = "the answer of a verb")]
fn words(body: &Value) -> anyhow::Result<()> {
    for (key, value) in body.as_object().into_iter().flatten() {
        match value {
            Value::Array(items) => {
                let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                println!("{key}: {}", items.join(", "));
            }
            Value::String(text) => println!("{key}: {text}"),
            other => println!("{key}: {other}"),
        }
    }
    Ok(())
}

fn failure(job: &Job) -> anyhow::Error {
    let problem = job.problem.as_ref();
    let detail =
        problem.and_then(|problem| problem["detail"].as_str()).unwrap_or("the job failed").to_owned();
    match problem.is_some_and(|problem| problem["transient"] == true) {
        true => Transient(detail).into(),
        false => anyhow::anyhow!(detail),
    }
}

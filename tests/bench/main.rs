//! Benchmarks: each figure is a ratio against a named peer in the same run (`cargo bench-all`).
//!
//! ```text
//! bench [--small] [NAME…]    all, or those named, as a Markdown table; small sizes to try the program itself
//! bench bare FILE PORT       the peer of the cached reads (started by the bench itself)
//! ```
//! Ours and the peer take turns, so that a machine that is busy for a moment is busy for both. Everything is made in
//! the system's temporary folder (at most 10 GB) and removed in the end.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench talks to the person who runs it")]

mod bare;
mod bombs;
mod cached;
mod dashboard;
mod duckdb;
mod kafka;
mod lake;
mod load;
mod mixed;
mod process;
mod sales;
mod server;
mod sizes;
mod start;
mod table;
mod uncached;
mod upload;
mod years;

use lake::Lake;
use sizes::Sizes;
use table::Figure;

type Failure = Box<dyn std::error::Error>;

/// The names a run can be narrowed to.
const NAMES: [&str; 10] =
    ["cached", "not-modified", "bombs", "select", "uncached", "upload", "start", "mixed", "kafka", "years"];
/// Those that make a lake of their own.
const ALONE: [&str; 3] = ["mixed", "kafka", "years"];

fn main() -> Result<(), Failure> {
    // `cargo bench` says `--bench` to every bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let [verb, file, port] = arguments.as_slice()
        && verb == "bare"
    {
        let body = std::fs::read(file)?;
        return Ok(runtime.block_on(bare::serve(body.into(), port.parse()?))?);
    }
    let (flags, names): (Vec<_>, Vec<_>) = arguments.into_iter().partition(|a| a.starts_with("--"));
    let sizes = if flags.iter().any(|f| f == "--small") { Sizes::SMALL } else { Sizes::FULL };
    if let Some(unknown) = names.iter().find(|n| !NAMES.contains(&n.as_str())) {
        return Err(format!("no bench is called {unknown}; there are {NAMES:?}").into());
    }
    let figures = runtime.block_on(run(&names, &sizes))?;
    print!("{}", table::markdown(&figures));
    Ok(())
}

async fn run(names: &[String], sizes: &Sizes) -> Result<Vec<Figure>, Failure> {
    let wanted = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
    let mut figures = Vec::new();
    if NAMES.iter().any(|name| !ALONE.contains(name) && wanted(name)) {
        let lake = Lake::loaded(sizes.regions, sizes.years).await?;
        figures.extend(on_one_lake(&lake, sizes, wanted).await?);
    }
    if wanted("mixed") {
        figures.extend(mixed::under_commits(sizes).await?);
    }
    if wanted("kafka") {
        figures.extend(kafka::through_a_topic(sizes).await?);
    }
    if wanted("years") {
        figures.extend(years::of_hours(sizes).await?);
    }
    Ok(figures)
}

async fn on_one_lake(
    lake: &Lake,
    sizes: &Sizes,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    if wanted("cached") {
        figures.extend(cached::summary(lake, sizes).await?);
    }
    if wanted("not-modified") {
        figures.extend(cached::not_modified(lake, sizes).await?);
    }
    if wanted("bombs") {
        figures.extend(bombs::beside(lake, sizes).await?);
    }
    if wanted("uncached") {
        figures.extend(uncached::against_duckdb(lake).await?);
    }
    if wanted("select") {
        figures.extend(uncached::select_one(lake).await?);
    }
    if wanted("upload") {
        figures.extend(upload::and_join(lake, sizes).await?);
    }
    if wanted("start") {
        figures.extend(start::with_datasets(lake, sizes).await?);
    }
    Ok(figures)
}

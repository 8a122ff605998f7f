//! Benchmarks: each figure is a ratio against a named peer in the same run (`cargo bench-all`).
//!
//! ```text
//! bench                      all of them, as a Markdown table
//! bench cached not-modified  those named
//! bench bare FILE PORT       the peer of the cached reads (started by the bench itself)
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench talks to the person who runs it")]

mod bare;
mod cached;
mod demo;
mod load;
mod uncached;

type Failure = Box<dyn std::error::Error>;

/// One line of the table.
pub struct Figure {
    pub what: String,
    pub ours: String,
    pub peer: String,
    pub ratio: f64,
    pub goal: String,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let [verb, file, port] = arguments.as_slice()
        && verb == "bare"
    {
        let body = std::fs::read(file)?;
        return Ok(runtime.block_on(bare::serve(body.into(), port.parse()?))?);
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|a| a == name);
    runtime.block_on(async {
        let demo = demo::Demo::start().await?;
        let mut figures = Vec::new();
        if wanted("cached") {
            figures.extend(cached::summary(&demo).await?);
        }
        if wanted("not-modified") {
            figures.extend(cached::not_modified(&demo).await?);
        }
        if wanted("uncached") {
            figures.extend(uncached::against_duckdb(&demo).await?);
        }
        if wanted("sql") {
            figures.extend(uncached::select_one(&demo).await?);
        }
        print(&figures);
        Ok(())
    })
}

fn print(figures: &[Figure]) {
    println!("| what | ours | peer | ratio | goal |\n|---|---|---|---|---|");
    for f in figures {
        println!("| {} | {} | {} | {:.2} | {} |", f.what, f.ours, f.peer, f.ratio, f.goal);
    }
}

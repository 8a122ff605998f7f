//! The lake under test: made by `demo` in a folder of its own, then served by `serve` with the settings of each bench.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::Failure;
use crate::server::{Server, free_address};

/// Credentials, limits, metrics and access log are on; only the limit itself is out of the way.
const SETTINGS: &str = "[auth]\ncalls_per_minute = 1000000000\n";

/// A loaded lake. Its folder goes with the value.
pub struct Lake {
    folder: TempDir,
}

impl Lake {
    /// Loads regions and years, and ends the simulation: nothing moves in this lake any more.
    pub async fn loaded(regions: usize, years: usize) -> Result<Self, Failure> {
        let (lake, demo) = Self::live(regions, years).await?;
        demo.stop().await?;
        Ok(lake)
    }

    /// The same with the simulated sources still arriving.
    pub async fn live(regions: usize, years: usize) -> Result<(Self, Server), Failure> {
        let lake = Self { folder: tempfile::Builder::new().prefix("lakefront-bench-").tempdir()? };
        let (address, config) = (free_address()?, lake.path("demo.toml"));
        std::fs::write(&config, SETTINGS)?;
        let (listen, data, config) = (address.to_string(), text(lake.folder.path()), text(&config));
        let (regions_text, years_text) = (regions.to_string(), years.to_string());
        let size = ["--regions", &regions_text, "--years", &years_text];
        let place = ["--listen", &listen, "--data", &data, "--config", &config];
        let arguments = [&["demo"], &size[..], &place[..]].concat();
        let server = Server::start(&arguments, address, &lake.path("server.log")).await?;
        eprintln!("{regions} regions, {years} years: ready after {:.1} s", server.ready_after.as_secs_f64());
        let server = lake.with_keys(server)?;
        Ok((lake, server))
    }

    /// Serves the lake without its sources; `more` is TOML.
    pub async fn serve(&self, more: &str) -> Result<Server, Failure> {
        self.serve_as(|settings| settings + more).await
    }

    /// The same with the limits of calls that a server has by default.
    pub async fn serve_limited(&self, more: &str) -> Result<Server, Failure> {
        self.serve_as(|settings| settings.replace(SETTINGS, "[auth]\n") + more).await
    }

    /// Serves the lake with its sources, and one more: a section of its definition.
    pub async fn serve_with(&self, source: &str) -> Result<Server, Failure> {
        self.define(|definition| format!("{definition}\n{source}"))?;
        self.serve_as(|settings| settings.replace("sources = false", "sources = true")).await
    }

    /// Serves the lake with another weather service behind source C, which nobody asks by itself.
    pub async fn serve_asking(&self, url: &str) -> Result<Server, Failure> {
        let line = |line: &str| match line.starts_with("archive_url") {
            true => format!("archive_url = \"{url}/v1/archive\"\n"),
            false => format!("{line}\n"),
        };
        self.define(|definition| definition.lines().map(line).collect())?;
        self.serve("").await
    }

    fn define(&self, change: impl FnOnce(&str) -> String) -> Result<(), Failure> {
        let file = self.path("definition/lake.toml");
        Ok(std::fs::write(&file, change(&std::fs::read_to_string(&file)?))?)
    }

    /// The statement of a model.
    pub fn model(&self, area: &str, table: &str) -> Result<String, Failure> {
        let file = self.path("definition/models").join(area).join(format!("{table}.sql"));
        let text = std::fs::read_to_string(file)?;
        Ok(text.split_once("---*/").ok_or("a model has a header")?.1.to_owned())
    }

    async fn serve_as(&self, change: impl FnOnce(String) -> String) -> Result<Server, Failure> {
        let (address, file) = (free_address()?, self.settings_file());
        std::fs::write(&file, change(self.settings(address)))?;
        let arguments = ["serve", "--config", &text(&file)];
        self.with_keys(Server::start(&arguments, address, &self.path("server.log")).await?)
    }

    /// What the server was started with last.
    pub fn settings_file(&self) -> PathBuf {
        self.path("serve.toml")
    }

    fn settings(&self, address: SocketAddr) -> String {
        format!(
            "[server]\nlisten = \"{address}\"\n[database]\nurl = \"sqlite://{}\"\n[storage]\nurl = {:?}\nscratch = {:?}\n\
             {SETTINGS}signing_key_file = {:?}\n[lake]\nfile = {:?}\nstate = {:?}\nsources = false\n",
            self.path("catalog.db").display(),
            self.path("lake"),
            self.path("scratch"),
            self.path("signing-key.pem"),
            self.path("definition"),
            self.path("sources"),
        )
    }

    fn with_keys(&self, mut server: Server) -> Result<Server, Failure> {
        let demo: Value = serde_json::from_slice(&std::fs::read(self.path("demo.json"))?)?;
        let key = |value: &Value| value.as_str().map(str::to_owned).ok_or("demo.json has no key");
        server.key = key(&demo["customers"][0]["api_key"])?;
        server.admin_key = key(&demo["admin_key"])?;
        Ok(server)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Folder of a table of the platform.
    pub fn table(&self, area: &str, schema: &str, table: &str) -> PathBuf {
        self.path("lake").join(area).join(schema).join(table)
    }

    /// Folder of the customers' table that was committed last.
    pub fn newest_table(&self) -> Option<PathBuf> {
        let inside = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
        let tables = inside(self.path("lake/workspaces")).flat_map(|workspace| inside(workspace.path()));
        let committed = |table: &PathBuf| table.join("_delta_log").metadata()?.modified();
        let dated = tables.filter_map(|entry| Some((committed(&entry.path()).ok()?, entry.path())));
        dated.max().map(|(_, table)| table)
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

//! The server under test: the demo lake, 100 regions and 15 years, in a folder of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Failure;

/// A running demo; it ends with the value.
pub struct Demo {
    pub folder: PathBuf,
    pub address: SocketAddr,
    pub key: String,
    pub http: reqwest::Client,
    child: Child,
}

impl Demo {
    pub async fn start() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("lakefront-bench-").tempdir()?.keep();
        let address = free_address()?;
        let log = std::fs::File::create(folder.with_extension("log"))?;
        let program = std::env::current_exe()?.with_file_name("lakefront");
        let mut command = Command::new(program);
        command.args(["demo", "--listen", &address.to_string(), "--data"]).arg(&folder);
        command.env("LAKEFRONT__AUTH__CALLS_PER_MINUTE", "100000000");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let mut demo = Self { folder, address, key: String::new(), http: reqwest::Client::new(), child };
        demo.ready().await?;
        Ok(demo)
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        let started = Instant::now();
        let url = self.url("/readyz");
        while !self.http.get(&url).send().await.is_ok_and(|a| a.status().is_success()) {
            if started.elapsed() > Duration::from_secs(300) {
                return Err("the demo was not ready within five minutes".into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        eprintln!("demo ready after {:.1} s", started.elapsed().as_secs_f64());
        let file = std::fs::read(self.folder.join("demo.json"))?;
        let demo: Value = serde_json::from_slice(&file)?;
        self.key = demo["customers"][0]["api_key"].as_str().ok_or("demo.json has no key")?.to_owned();
        Ok(())
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> Result<reqwest::Response, Failure> {
        let answer = self.http.get(self.url(path)).bearer_auth(&self.key).send().await?;
        Ok(answer.error_for_status()?)
    }

    /// The `Authorization` header of the first customer.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.key)
    }

    /// Names of the lake's regions.
    pub async fn regions(&self) -> Result<Vec<String>, Failure> {
        let body: Value = self.get("/v1/regions?limit=1000").await?.json().await?;
        let list = body["data"].as_array().ok_or("no regions")?;
        Ok(list.iter().filter_map(|r| r["region_id"].as_str().map(str::to_owned)).collect())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub fn free_address() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

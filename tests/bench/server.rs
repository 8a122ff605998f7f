//! A process of the product, and the calls that the benches make.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::Failure;

/// A running server; it ends with the value.
pub struct Server {
    pub address: SocketAddr,
    /// From the start of the process to the first 200 of `/readyz`.
    pub ready_after: Duration,
    /// Of a customer.
    pub key: String,
    pub admin_key: String,
    pub http: Client,
    child: Child,
}

impl Server {
    /// Runs the binary with these arguments and waits until it is ready. Its log goes to a file.
    pub async fn start(arguments: &[&str], address: SocketAddr, log: &Path) -> Result<Self, Failure> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_lakefront"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let began = Instant::now();
        let mut server = Self {
            address,
            ready_after: Duration::ZERO,
            key: String::new(),
            admin_key: String::new(),
            http: Client::new(),
            child: command.spawn()?,
        };
        while !server.is_ready().await {
            if server.child.try_wait()?.is_some() || began.elapsed() > Duration::from_secs(300) {
                return Err(format!("`lakefront {}` did not get ready", arguments.join(" ")).into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.ready_after = began.elapsed();
        Ok(server)
    }

    async fn is_ready(&self) -> bool {
        self.http.get(self.url("/readyz")).send().await.is_ok_and(|a| a.status().is_success())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The `Authorization` header of the customer.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.key)
    }

    pub fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path)).bearer_auth(&self.key)
    }

    pub async fn get(&self, path: &str) -> Result<Response, Failure> {
        good(self.call(Method::GET, path).send().await?).await
    }

    /// A call of the operator with a JSON body: the `data` of its answer.
    pub async fn admin(&self, path: &str, body: Value) -> Result<Value, Failure> {
        let request = self.http.post(self.url(path)).bearer_auth(&self.admin_key).json(&body);
        let mut answer: Value = good(request.send().await?).await?.json().await?;
        Ok(answer["data"].take())
    }

    /// Runs a statement to its end, also where it becomes a job: the rows.
    pub async fn sql(&self, sql: &str) -> Result<Value, Failure> {
        let request = self.call(Method::POST, "/v1/sql").json(&json!({ "sql": sql }));
        let mut answer: Value = self.to_the_end(good(request.send().await?).await?).await?.json().await?;
        Ok(answer["data"].take())
    }

    /// The answer itself, or the result of the job that it has become.
    pub async fn to_the_end(&self, answer: Response) -> Result<Response, Failure> {
        if answer.status() != 202 {
            return Ok(answer);
        }
        let accepted: Value = answer.json().await?;
        let job = format!("/v1/jobs/{}", accepted["data"]["id"].as_str().ok_or("a job has an id")?);
        loop {
            let state: Value = self.get(&job).await?.json().await?;
            match state["data"]["status"].as_str() {
                Some("queued" | "running") => tokio::time::sleep(Duration::from_millis(20)).await,
                Some("succeeded") => {
                    let result = state["data"]["result"].as_str().ok_or("a job has a result")?;
                    return self.get(result).await;
                }
                _ => return Err(state.to_string().into()),
            }
        }
    }

    /// A new customer's key.
    pub async fn customer(&self, slug: &str) -> Result<String, Failure> {
        let customer = json!({"name": slug, "workspace": slug});
        let made = self.admin("/v1/admin/customers", customer).await?;
        let keys = format!("/v1/admin/customers/{}/keys", made["id"].as_str().ok_or("a customer has an id")?);
        let key = self.admin(&keys, json!({"scopes": ["read", "write"]})).await?;
        Ok(key["key"].as_str().ok_or("a key is shown once")?.to_owned())
    }

    /// Names of the lake's regions.
    pub async fn regions(&self) -> Result<Vec<String>, Failure> {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let page: Value = self.get(&format!("/v1/regions?limit=1000{cursor}")).await?.json().await?;
            let rows = page["data"].as_array().ok_or("regions are a list")?;
            names.extend(rows.iter().filter_map(|r| r["region_id"].as_str().map(str::to_owned)));
            match page["meta"]["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(names),
            }
        }
    }

    /// Ends it as an operator would, and waits.
    pub async fn stop(mut self) -> Result<(), Failure> {
        let pid = i32::try_from(self.pid())?;
        let pid = rustix::process::Pid::from_raw(pid).ok_or("a process has an id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        for _ in 0..600 {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("the server did not stop within 30 s".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer, unless it is a problem.
pub async fn good(answer: Response) -> Result<Response, Failure> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let (url, status) = (answer.url().clone(), answer.status());
    Err(format!("{url}: {status} {}", answer.text().await?).into())
}

pub fn free_address() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

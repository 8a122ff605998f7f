//! One `lakefront serve` process, its folder, and the operator who makes customers in it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};

use crate::customer::Customer;
use crate::postgres::Postgres;
use crate::reaper::reap;

/// What a server stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stack {
    /// SQLite file and a folder of objects: the embedded default.
    Sqlite,
    /// PostgreSQL and a folder of objects.
    Postgres,
    /// SQLite file and objects in memory.
    Memory,
}

/// How to start a server of one's own.
#[derive(Clone, Debug)]
pub struct Options {
    pub program: PathBuf,
    pub stack: Stack,
    /// The lake's definition; the built-in one without.
    pub lake_file: Option<PathBuf>,
    /// The keys of `[storage]`; by default a folder, or memory, as the stack says.
    pub storage: Option<String>,
    /// Where the server keeps everything; by default a folder that goes with it.
    pub folder: Option<PathBuf>,
    /// Whether the server polls the lake's sources.
    pub sources: bool,
    /// More sections of configuration, TOML.
    pub config: String,
    /// Environment of the process, e.g. failpoints.
    pub env: Vec<(String, String)>,
}

impl Options {
    pub fn new(program: &str, stack: Stack) -> Self {
        Self {
            program: program.into(),
            stack,
            lake_file: None,
            storage: None,
            folder: None,
            sources: false,
            config: String::new(),
            env: Vec::new(),
        }
    }
}

/// A running server. Its process ends with the value, and with the test process at the latest.
pub struct TestApp {
    pub url: String,
    pub operator: Customer,
    pub folder: PathBuf,
    options: Options,
    child: Option<Child>,
    port: u16,
    database: String,
}

#[expect(clippy::panic, reason = "a test without a server has failed")]
impl TestApp {
    /// Starts a server in a fresh folder; `None` (said by `skip`) where its database is not to be had.
    pub async fn start(options: Options) -> Option<Self> {
        let folder = match &options.folder {
            Some(folder) => folder.clone(),
            None => tempfile::Builder::new().prefix("lakefront-it-").tempdir().ok()?.keep(),
        };
        let port = free_port();
        let database = database_url(options.stack, &folder)?;
        write_config(&options, &folder, port, &database);
        let url = format!("http://127.0.0.1:{port}");
        let operator = Customer {
            url: url.clone(),
            id: String::new(),
            workspace: String::new(),
            key: String::new(),
            http: fresh_client(),
        };
        let mut app = Self { url, operator, folder, options, child: None, port, database };
        app.bootstrap();
        app.resume().await;
        Some(app)
    }

    /// A second server on the same database and objects, in a folder of its own and under another name.
    pub async fn second(&self) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("lakefront-it-").tempdir().ok()?.keep();
        let key = "signing-key.pem";
        std::fs::copy(self.folder.join(key), folder.join(key)).ok()?;
        let (port, mut options) = (free_port(), self.options.clone());
        options.storage.get_or_insert_with(|| storage_of(&self.options, &self.folder));
        options.env.push(("LAKEFRONT__SERVER__NODE".into(), "second".into()));
        write_config(&options, &folder, port, &self.database);
        let url = format!("http://127.0.0.1:{port}");
        let operator = Customer { url: url.clone(), ..self.operator.clone() };
        let database = self.database.clone();
        let mut app = Self { url, operator, folder, options, child: None, port, database };
        app.resume().await;
        Some(app)
    }

    /// Makes the operator by the command line, before the server runs.
    fn bootstrap(&mut self) {
        write_signing_key(&self.folder);
        let output =
            self.verb(&["customer", "add", "operator", "--workspace", "operator", "--scopes", "admin"]);
        let made = json_line(&output);
        self.operator.key = made["api_key"].as_str().unwrap_or_default().to_owned();
        self.operator.workspace = "operator".into();
    }

    /// Runs a verb of the binary with this server's configuration, and waits for its end.
    pub fn verb(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap_or_else(|e| panic!("{arguments:?}: {e}"))
    }

    /// A verb of the binary with this server's configuration, to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.options.program);
        command.args(arguments).arg("--config").arg(self.folder.join("lakefront.toml"));
        command.envs(self.options.env.clone()).current_dir(&self.folder);
        command
    }

    /// Starts the process (again) and waits until it is ready.
    pub async fn resume(&mut self) {
        self.launch();
        self.ready().await;
    }

    /// Starts the process (again); it may not be ready yet.
    pub fn launch(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("server.log"));
        let log = log.unwrap_or_else(|e| panic!("no log file: {e}"));
        let child = self.command(&["serve"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let child = child.unwrap_or_else(|e| panic!("cannot start the server: {e}"));
        reap(child.id(), &self.folder);
        self.child = Some(child);
    }

    async fn ready(&mut self) {
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(60) {
            let answer = self.operator.http.get(format!("{}/readyz", self.url)).send().await;
            if answer.is_ok_and(|a| a.status().is_success()) {
                return;
            }
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                panic!("the server ended with {status}:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("not ready after a minute:\n{}", self.log());
    }

    /// Everything the process has logged.
    pub fn log(&self) -> String {
        let mut text = String::new();
        let _ = std::fs::File::open(self.folder.join("server.log")).map(|mut f| f.read_to_string(&mut text));
        text
    }

    /// The gateway's process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether the process still runs.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kill -9, and wait for the end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits for the process to end by itself (a failpoint); false after the time is over.
    pub async fn ended(&mut self, within: Duration) -> bool {
        let since = Instant::now();
        while since.elapsed() < within {
            if !self.runs() {
                self.child = None;
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// The environment of the next [`TestApp::resume`].
    pub fn set_env(&mut self, env: Vec<(String, String)>) {
        self.options.env = env;
    }

    /// A new customer with a key of scopes `read` and `write`; its slug begins with this name.
    pub async fn customer(&self, name: &str) -> Customer {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let slug = format!("{name}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let made = self.operator.post("/v1/admin/customers", json!({"name": name, "workspace": slug})).await;
        let id = text(&made.created(), "id");
        let customer = Customer { id, workspace: slug, ..self.operator.clone() };
        let key = self.key(&customer, &["read", "write"]).await;
        customer.with_key(&key)
    }

    /// A further key of a customer, of these scopes.
    pub async fn key(&self, customer: &Customer, scopes: &[&str]) -> String {
        let path = format!("/v1/admin/customers/{}/keys", customer.id);
        text(&self.operator.post(&path, json!({ "scopes": scopes })).await.created(), "key")
    }

    /// The port that the server listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Each test has a runtime of its own, so no connection may outlive the call that opened it.
fn fresh_client() -> Client {
    Client::builder().pool_max_idle_per_host(0).no_gzip().build().unwrap_or_default()
}

fn text(body: &Value, key: &str) -> String {
    body["data"][key].as_str().unwrap_or_default().to_owned()
}

/// An Ed25519 key from the machine's OpenSSL, so that tests can sign what the server would.
fn write_signing_key(folder: &Path) {
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "ed25519", "-out"])
        .arg(folder.join("signing-key.pem"))
        .output();
    assert!(made.as_ref().is_ok_and(|o| o.status.success()), "openssl genpkey: {made:?}");
}

#[expect(clippy::panic, reason = "a verb that prints no JSON has failed")]
fn json_line(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        let errors = String::from_utf8_lossy(&output.stderr);
        panic!("no JSON on stdout ({e}), {}: {errors}", output.status)
    })
}

#[expect(clippy::panic, reason = "without a port there is no test")]
fn free_port() -> u16 {
    let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    address.unwrap_or_else(|e| panic!("no free port: {e}")).port()
}

fn database_url(stack: Stack, folder: &Path) -> Option<String> {
    match stack {
        Stack::Postgres => {
            let name = folder.file_name()?.to_str()?.to_lowercase();
            Postgres::shared()?.database(&name).ok()
        }
        Stack::Sqlite | Stack::Memory => Some(format!("sqlite://{}", folder.join("catalog.db").display())),
    }
}

/// The keys of `[storage]`.
fn storage_of(options: &Options, folder: &Path) -> String {
    options.storage.clone().unwrap_or_else(|| match options.stack {
        Stack::Memory => "url = \"memory:///\"\n".to_owned(),
        Stack::Sqlite | Stack::Postgres => format!("url = \"file://{}\"\n", folder.join("objects").display()),
    })
}

#[expect(clippy::panic, reason = "without a configuration there is no server")]
fn write_config(options: &Options, folder: &Path, port: u16, database: &str) {
    let storage = storage_of(options, folder);
    let lake_file = options.lake_file.as_ref().map(|f| format!("file = {:?}\n", f.display().to_string()));
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\n\n[database]\nurl = {database:?}\nbusy_timeout_ms = 20000\n\n\
         [auth]\nsigning_key_file = {key:?}\ncalls_per_minute = 60000\nfailures_per_minute = 60000\n\n\
         [storage]\n{storage}\n{more}\n[lake]\nstate = {state:?}\n{lake_file}sources = {sources}\n",
        key = folder.join("signing-key.pem").display().to_string(),
        state = folder.join("sources").display().to_string(),
        lake_file = lake_file.unwrap_or_default(),
        more = options.config,
        sources = options.sources,
    );
    std::fs::write(folder.join("lakefront.toml"), text).unwrap_or_else(|e| panic!("no configuration: {e}"));
}

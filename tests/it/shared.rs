//! The servers that tests share: one a configuration, started by the first test that asks.

use harness::{Customer, Options, Stack, TestApp};
use tokio::sync::OnceCell;

static SQLITE: OnceCell<Option<TestApp>> = OnceCell::const_new();
static POSTGRES: OnceCell<Option<TestApp>> = OnceCell::const_new();
static MEMORY: OnceCell<Option<TestApp>> = OnceCell::const_new();

/// The built binary.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_lakefront");

/// How a test starts a server of its own.
pub fn options(stack: Stack) -> Options {
    Options::new(PROGRAM, stack)
}

/// The shared server of that stack; `None`, and said, where its database is not to be had.
pub async fn app(stack: Stack) -> Option<&'static TestApp> {
    let cell = match stack {
        Stack::Sqlite => &SQLITE,
        Stack::Postgres => &POSTGRES,
        Stack::Memory => &MEMORY,
    };
    cell.get_or_init(|| TestApp::start(options(stack))).await.as_ref()
}

/// A customer of its own on the shared server.
pub async fn customer(stack: Stack, name: &str) -> Option<Customer> {
    Some(app(stack).await?.customer(name).await)
}

/// What a server has said, requests aside.
pub fn spoken(app: &TestApp) -> String {
    let log = app.log();
    log.lines().filter(|line| !line.contains("\"request_id\"")).collect::<Vec<_>>().join("\n")
}

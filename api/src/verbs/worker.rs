//! `lakefront worker`: one task after another for one workspace, inside walls. Nothing may run before the walls stand,
//! and nothing may be printed: standard input and output are sockets.

use std::process::ExitCode;

use engine::sandbox::Sandbox;
use worker::{Refusal, Reply, Task};

/// Serves tasks until the gateway closes the socket.
pub fn run() -> ExitCode {
    let sandbox = Sandbox::new();
    let served = worker::serve(move |task| {
        let sandbox = sandbox.clone();
        async move { dispatch(&sandbox, task).await }
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A file to decode goes to `ingest`, everything else to the engine's sandbox.
async fn dispatch(sandbox: &Sandbox, task: Task) -> Result<Reply, Refusal> {
    let op = task.request.get("op").and_then(serde_json::Value::as_str);
    match (task.kind.as_str(), op) {
        ("files", Some("decode")) => ingest::upload::decode::decode(task).await,
        _ => sandbox.handle(task).await,
    }
}

//! A Redis server for a test, from the machine's own binaries: one that the test may stop, freeze and fill with nonsense.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::require::skip;

/// A server that ends with the value.
pub struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// Starts an empty server; `None`, and said, where there is no `redis-server`.
    pub fn start() -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            skip("no redis-server was found");
            return None;
        };
        let server = Self { child, port };
        let answers = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            server.ask(&["PING"]).contains("PONG")
        });
        answers.then_some(server)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// What `redis-cli` prints for a command.
    pub fn ask(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(command).output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
    }

    /// Stops the process without ending it: it takes connections and never answers.
    pub fn freeze(&self) {
        let _ = Command::new("kill").args(["-STOP", &self.child.id().to_string()]).status();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! An S3-compatible object store for a test: the `moto` server from PyPI, in memory, on loopback.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::python::Python;

/// A store with one empty bucket, `lake`. It ends with the value.
pub struct S3 {
    child: Child,
    port: u16,
}

impl S3 {
    /// Starts it; `None`, and said, where the package cannot be installed.
    pub async fn start() -> Option<Self> {
        let python = Python::with(&["moto[server]==5.2.5"])?;
        let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let child = Command::new(python.program("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let store = Self { child, port };
        let (http, bucket) = (reqwest::Client::new(), format!("{}/lake", store.url()));
        for _ in 0..200 {
            let made = http.put(&bucket).header("host", "s3.amazonaws.com").send().await;
            if made.is_ok_and(|answer| answer.status().is_success()) {
                return Some(store);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        None
    }

    /// Puts an object into the bucket, or another content in its place. Errors: the store refuses.
    pub async fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) -> reqwest::Result<()> {
        // The store looks whether a request is signed, not by whom.
        let signed = "AWS4-HMAC-SHA256 Credential=tests/20260101/us-east-1/s3/aws4_request, \
                      SignedHeaders=host, Signature=0";
        let request = reqwest::Client::new().put(format!("{}/lake/{key}", self.url()));
        let request = request.header("host", "s3.amazonaws.com").header("authorization", signed);
        request.body(bytes.into()).send().await?.error_for_status().map(drop)
    }

    /// Its address, without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The keys of `[storage]` that name it.
    pub fn storage(&self) -> String {
        Self::storage_at(&self.url())
    }

    /// The same where it is reached by another address.
    pub fn storage_at(url: &str) -> String {
        format!(
            "url = \"s3://lake/objects\"\n[storage.options]\nallow_http = true\naws_endpoint = {url:?}\n\
             aws_region = \"us-east-1\"\naws_access_key_id = \"lakefront-tests\"\n\
             aws_secret_access_key = \"correct-horse-battery\"\n"
        )
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

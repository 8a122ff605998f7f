//! An FTP server for a test: `pyftpdlib` from PyPI, on loopback, with or without TLS.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::python::Python;

/// Serves a folder to one user; connections without TLS are refused where there is a certificate.
const PROGRAM: &str = r#"
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.servers import FTPServer
folder, port, password, certificate = sys.argv[1:5]
handler = TLS_FTPHandler if certificate else FTPHandler
if certificate:
    handler.certfile = certificate
    handler.tls_control_required = handler.tls_data_required = True
handler.authorizer = DummyAuthorizer()
handler.authorizer.add_user("partner", password, folder, perm="elr")
FTPServer(("127.0.0.1", int(port)), handler).serve_forever()
"#;

/// A running server. It ends with the value.
pub struct FtpServer {
    child: Child,
    port: u16,
    /// What it serves.
    pub folder: PathBuf,
    _kept: tempfile::TempDir,
}

impl FtpServer {
    /// The password of its user, `partner`.
    pub const PASSWORD: &'static str = "correct-horse-battery";

    /// Starts it; `None`, and said, where the packages cannot be installed.
    /// - `certificate`: a PEM file of key and certificate, for TLS.
    pub async fn start(certificate: Option<&Path>) -> Option<Self> {
        let python = Python::with(&["pyftpdlib==2.2.0", "pyOpenSSL==26.4.0"])?;
        let kept = tempfile::Builder::new().prefix("lakefront-ftp-").tempdir().ok()?;
        let folder = kept.path().to_owned();
        let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let child = Command::new(python.program("python"))
            .args(["-c", PROGRAM])
            .arg(&folder)
            .args([&port.to_string(), Self::PASSWORD])
            .arg(certificate.unwrap_or(Path::new("")))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let server = Self { child, port, folder, _kept: kept };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    /// Its host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A key and a certificate for 127.0.0.1, in one PEM file of that folder; `None` without the machine's OpenSSL.
    pub fn certificate(folder: &Path) -> Option<PathBuf> {
        let (key, certificate, both) =
            (folder.join("key.pem"), folder.join("cert.pem"), folder.join("both.pem"));
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        command.args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        let made = command.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().ok()?;
        if !made.status.success() {
            return None;
        }
        let text = std::fs::read_to_string(&key).ok()? + &std::fs::read_to_string(&certificate).ok()?;
        std::fs::write(&both, text).ok()?;
        Some(both)
    }
}

impl Drop for FtpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

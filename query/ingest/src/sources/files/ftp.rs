//! A folder of an FTP server, with or without TLS.
//!
//! Each look and each file is a connection of its own, in passive mode, binary. The data connection goes to the address
//! of the control connection, whatever the server says: it cannot send us to another machine.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use parking_lot::Mutex;
use suppaftp::list::{File, ListParser};
use suppaftp::tokio::{AsyncRustlsConnector, AsyncRustlsFtpStream, AsyncRustlsStream, TransferStream};
use suppaftp::tokio_rustls::TlsConnector;
use suppaftp::tokio_rustls::rustls::pki_types::CertificateDer;
use suppaftp::tokio_rustls::rustls::pki_types::pem::PemObject as _;
use suppaftp::tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use suppaftp::types::FileType;
use suppaftp::{FtpError, Mode, Status};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::listing::decoded;
use super::origin::{Ask, Content, Found, Names, Opened, Origin, Stamp};
use crate::lakefile::FtpSpec;
use crate::sources::SourceError;
use crate::sources::http::parse;
use crate::sources::patience::Patience;
use crate::sources::secret::Secret;
use crate::sources::weather::guard::Guard;

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of one read.
const PIECE_BYTES: usize = 256 << 10;
/// Where systems keep the certificates that they trust.
const TRUSTED: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// The longest pause between the two looks at a file's size.
const LONGEST_SETTLE: Duration = Duration::from_secs(30);

/// A server's folder.
pub struct Ftp {
    spec: FtpSpec,
    url: Url,
    host: String,
    folder: String,
    names: Names,
    settle: Duration,
    guard: Guard,
    patience: Patience,
    /// The files of earlier looks, and since when they have been as they are.
    seen: Mutex<HashMap<String, (Stamp, Instant)>>,
}

impl Ftp {
    /// A folder by the lake's declaration; nothing is asked yet.
    /// - Errors: [`SourceError::NotAllowed`] for text that is no URL.
    pub fn new(spec: &FtpSpec, names: Names, settle_ms: u64) -> Result<Self, SourceError> {
        let url = parse(&spec.url)?;
        Ok(Self {
            host: url.host_str().unwrap_or_default().to_owned(),
            folder: decoded(url.path()).trim_end_matches('/').to_owned(),
            names,
            settle: Duration::from_millis(settle_ms),
            guard: Guard::new(&[&url], spec.allow_private),
            patience: Patience::new(Duration::from_millis(spec.pause_ms)),
            seen: Mutex::default(),
            url,
            spec: spec.clone(),
        })
    }

    /// A connection that is logged in.
    async fn connect(&self) -> Result<AsyncRustlsFtpStream, SourceError> {
        let address = self.guard.addresses(&self.host, self.url.port().unwrap_or(21)).await?;
        let stream = self.reach(&address).await?;
        let mode =
            if stream.peer_addr().is_ok_and(|a| a.is_ipv6()) { Mode::ExtendedPassive } else { Mode::Passive };
        let mut ftp = AsyncRustlsFtpStream::connect_with_stream(stream).await.map_err(|e| self.failed(&e))?;
        if self.url.scheme() == "ftps" {
            ftp = ftp.into_secure(self.tls()?, &self.host).await.map_err(|e| self.failed(&e))?;
        }
        ftp.set_mode(mode);
        ftp.set_passive_nat_workaround(true);
        self.login(&mut ftp).await?;
        ftp.transfer_type(FileType::Binary).await.map_err(|e| self.failed(&e))?;
        Ok(ftp)
    }

    async fn reach(&self, addresses: &[SocketAddr]) -> Result<TcpStream, SourceError> {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let tried = tokio::time::timeout(CONNECT, TcpStream::connect(addresses)).await.map_err(late);
        tried.and_then(|done| done).map_err(|e| self.failed(&FtpError::ConnectionError(e)))
    }

    /// A server may repeat what it was told, so nothing of its answer is.
    async fn login(&self, ftp: &mut AsyncRustlsFtpStream) -> Result<(), SourceError> {
        let password = self.spec.password.as_ref().map(Secret::read).transpose()?;
        let user = self.spec.user.as_deref().unwrap_or("anonymous");
        let password = password.as_ref().map_or("anonymous@", Secret::reveal);
        if user.contains(['\r', '\n']) || password.contains(['\r', '\n']) {
            return Err(SourceError::refused("user or password holds a line end"));
        }
        match ftp.login(user, password).await {
            Err(FtpError::UnexpectedResponse(answer)) if answer.status.code() >= 500 => {
                Err(SourceError::refused(format!("{} does not let `{user}` in", self.host)))
            }
            Err(FtpError::UnexpectedResponse(answer)) => {
                Err(self.later(format!("the login was answered with {}", answer.status.code())))
            }
            other => other.map_err(|e| self.failed(&e)),
        }
    }

    fn tls(&self) -> Result<AsyncRustlsConnector, SourceError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            // One that this library does not know is none that a server can be trusted by.
            let _ = roots.add(certificate);
        }
        let wrong = |e: suppaftp::tokio_rustls::rustls::Error| SourceError::refused(format!("no TLS: {e}"));
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)).into())
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, SourceError> {
        let own = self.spec.ca_file.as_deref();
        let file = own.or_else(|| TRUSTED.iter().map(Path::new).find(|path| path.exists()));
        let file = file
            .ok_or_else(|| SourceError::refused("the system trusts nobody: `ca_file` names certificates"))?;
        let wrong = |e: &dyn std::error::Error| SourceError::refused(format!("{}: {e}", file.display()));
        let found = CertificateDer::pem_file_iter(file).map_err(|e| wrong(&e))?;
        found.collect::<Result<_, _>>().map_err(|e| wrong(&e))
    }

    /// The files of the folder as the server tells them now.
    async fn files(&self) -> Result<Vec<(String, Stamp)>, SourceError> {
        let once = || async move {
            let deadline = Instant::now() + self.spec.timeout.0;
            let work = async {
                let mut ftp = self.connect().await?;
                let folder = (!self.folder.is_empty()).then_some(self.folder.as_str());
                let lines = match ftp.mlsd(folder).await {
                    // A server that does not know the command.
                    Err(FtpError::UnexpectedResponse(answer))
                        if matches!(answer.status.code(), 500..=504) =>
                    {
                        let listed = ftp.list(folder).await.map_err(|e| self.failed(&e))?;
                        listed.iter().filter_map(|line| line.parse().ok()).collect()
                    }
                    Err(FtpError::UnexpectedResponse(answer)) if answer.status == Status::FileUnavailable => {
                        Vec::new()
                    }
                    Err(e) => return Err(self.failed(&e)),
                    Ok(lines) => lines.iter().filter_map(|line| ListParser::parse_mlsd(line).ok()).collect(),
                };
                let _ = ftp.quit().await;
                Ok(lines)
            };
            timeout_at(deadline, work).await.unwrap_or_else(|_| Err(self.later("it takes too long")))
        };
        let files: Vec<File> = self.patience.call(once).await?;
        let takes =
            |file: &File| file.is_file() && !file.name().contains('/') && self.names.take(file.name());
        Ok(files.into_iter().filter(takes).map(|file| (file.name().to_owned(), stamp(&file))).collect())
    }

    /// The files that have been as they are since long enough, told by this look and earlier ones.
    fn settled(&self, files: Vec<(String, Stamp)>) -> (Vec<(String, Stamp)>, bool) {
        let (now, mut seen) = (Instant::now(), self.seen.lock());
        let before = std::mem::take(&mut *seen);
        let (mut settled, mut moving) = (Vec::new(), false);
        for (name, stamp) in files {
            let since = before.get(&name).filter(|(was, _)| *was == stamp).map_or(now, |(_, since)| *since);
            seen.insert(name.clone(), (stamp.clone(), since));
            if now.duration_since(since) >= self.settle {
                settled.push((name, stamp));
            } else {
                moving = true;
            }
        }
        (settled, moving)
    }

    async fn retrieve(&self, name: &str) -> Result<Option<Transfer>, SourceError> {
        let path = &format!("{}/{name}", self.folder);
        let deadline = Instant::now() + self.spec.timeout.0;
        let once = || async move {
            let work = async {
                let mut ftp = self.connect().await?;
                match ftp.retr_as_stream(path).await {
                    Ok(data) => Ok(Some(Transfer { ftp, data, deadline })),
                    Err(FtpError::UnexpectedResponse(answer)) if answer.status == Status::FileUnavailable => {
                        Ok(None)
                    }
                    Err(e) => Err(self.failed(&e)),
                }
            };
            timeout_at(deadline, work).await.unwrap_or_else(|_| Err(self.later("it takes too long")))
        };
        self.patience.call(once).await
    }

    fn failed(&self, error: &FtpError) -> SourceError {
        self.later(match error {
            FtpError::UnexpectedResponse(answer) => format!("it answers {}", answer.status.code()),
            other => other.to_string(),
        })
    }

    fn later(&self, reason: impl Into<String>) -> SourceError {
        SourceError::Unavailable {
            reason: format!("{}: {}", self.host, reason.into()),
            retry_after_secs: None,
        }
    }
}

#[async_trait]
impl Origin for Ftp {
    async fn list(&self, _now: DateTime<Utc>) -> Result<Vec<Found>, SourceError> {
        let (mut settled, moving) = self.settled(self.files().await?);
        if moving && self.settle <= LONGEST_SETTLE {
            tokio::time::sleep(self.settle).await;
            (settled, _) = self.settled(self.files().await?);
        }
        let origin = |name: &str| format!("{}/{name}", self.url.as_str().trim_end_matches('/'));
        let found =
            |(name, stamp): (String, Stamp)| Found { origin: origin(&name), name, stamp, ask: Ask::Never };
        Ok(settled.into_iter().map(found).collect())
    }

    async fn open(&self, found: &Found, _known: Option<&Stamp>) -> Result<Opened, SourceError> {
        Ok(match self.retrieve(&found.name).await? {
            Some(transfer) => {
                let (bytes, stamp) = (transfer.pieces(), found.stamp.clone());
                Opened::Content(Content { bytes, stamp })
            }
            None => Opened::Absent,
        })
    }
}

/// A file on its way.
struct Transfer {
    ftp: AsyncRustlsFtpStream,
    data: TransferStream<AsyncRustlsStream>,
    deadline: Instant,
}

impl Transfer {
    /// Its bytes. The end of the data is the end of the file only if the server says so too.
    fn pieces(self) -> BoxStream<'static, io::Result<Bytes>> {
        let next = |transfer: Option<Self>| async {
            let Some(mut transfer) = transfer else { return Ok(None) };
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            let deadline = transfer.deadline;
            if timeout_at(deadline, transfer.data.read_buf(&mut piece)).await.map_err(late)?? > 0 {
                return Ok(Some((piece.freeze(), Some(transfer))));
            }
            let Self { mut ftp, data, .. } = transfer;
            let refused = |_| io::Error::other("the server does not confirm that it is whole");
            timeout_at(deadline, data.finish()).await.map_err(late)?.map_err(refused)?;
            let _ = timeout_at(deadline, ftp.quit()).await;
            Ok(None)
        };
        stream::try_unfold(Some(self), next).boxed()
    }
}

fn stamp(file: &File) -> Stamp {
    let since = file.modified().duration_since(SystemTime::UNIX_EPOCH).ok();
    Stamp {
        size: i64::try_from(file.size()).ok(),
        modified_ms: since.and_then(|since| i64::try_from(since.as_millis()).ok()),
        tag: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ftp(settle_ms: u64) -> Ftp {
        let spec: FtpSpec = toml::from_str("url = \"ftp://127.0.0.1:1/pub%20lic/\"").unwrap();
        Ftp::new(&spec, Names::new(None), settle_ms).unwrap()
    }

    #[tokio::test]
    async fn a_server_of_a_private_network_must_be_allowed() {
        let refused = ftp(0).list(Utc::now()).await.unwrap_err();
        assert!(matches!(refused, SourceError::NotAllowed { .. }), "{refused}");
        assert_eq!(ftp(0).folder, "/pub lic");
    }

    #[tokio::test]
    async fn a_file_is_settled_when_two_looks_see_the_same_size() {
        let (ftp, stamp) = (ftp(5), |size| Stamp { size: Some(size), ..Stamp::default() });
        let look = |a, b| ftp.settled(vec![("a.csv".into(), stamp(a)), ("b.csv".into(), stamp(b))]);
        assert_eq!(look(1, 1), (vec![], true));
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(look(1, 2), (vec![("a.csv".into(), stamp(1))], true));
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(look(1, 2).0.len(), 2);
    }
}

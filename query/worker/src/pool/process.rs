//! One worker process as the gateway holds it: its sockets, its folder, its end.
//!
//! A keeper task owns the child: it kills it when the [`Process`] is dropped, waits for it, and removes
//! its folder. So nothing is leaked whatever path led there, and nothing here blocks.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::process::Pid;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use super::PoolConfig;
use super::state::{Numbered, Waits};
use super::stderr::LastWords;
use crate::files::{Served, answer};
use crate::serve::{SETTINGS, Settings};

/// A process must be ready within this time, or another one is tried.
const START: Duration = Duration::from_secs(20);

/// A live worker. Dropping it kills it.
pub(crate) struct Process {
    pid: u32,
    scratch: PathBuf,
    pub(super) control: http1::SendRequest<Full<Bytes>>,
    pub(super) served: Served,
    pub(super) last_words: LastWords,
    exit: watch::Receiver<Option<ExitStatus>>,
    /// Its end, by word or by drop, makes the keeper kill.
    kill: Option<oneshot::Sender<()>>,
    tasks: [AbortHandle; 2],
}

impl Process {
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Sends one request; the connection carries one at a time.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.control.ready().await?;
        self.control.send_request(request).await
    }

    /// Kills it with SIGKILL; its end is seen through [`Process::exited`].
    pub(super) fn kill(&mut self) {
        self.kill = None;
    }

    /// Resolves with the exit status once the process is gone and waited for.
    pub(super) fn exited(&self) -> impl Future<Output = Option<ExitStatus>> + Send + use<> {
        let mut exit = self.exit.clone();
        async move { exit.wait_for(Option::is_some).await.ok().and_then(|status| *status) }
    }

    /// Bytes of memory it occupies now; zero when it is gone.
    pub(super) fn resident_bytes(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.pid)).unwrap_or_default();
        let pages: u64 = text.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or_default();
        pages * rustix::param::page_size() as u64
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Numbered for Process {
    fn number(&self) -> u32 {
        self.pid
    }

    fn alive(&self) -> bool {
        self.exit.borrow().is_none() && !self.control.is_closed()
    }
}

impl<T> Waits for oneshot::Sender<T> {
    fn waits(&self) -> bool {
        !self.is_closed()
    }
}

/// Starts a process and waits until it is walled in and answers. Errors: what the system says, or
/// `TimedOut`; then nothing is left of it.
pub(super) async fn start(config: &PoolConfig) -> io::Result<Process> {
    let mut process = spawn(config).await?;
    let hello = Request::get("/ready").body(Full::default()).map_err(io::Error::other)?;
    match tokio::time::timeout(START, process.send(hello)).await {
        Ok(Ok(_)) => Ok(process),
        Ok(Err(error)) => Err(io::Error::other(format!("{error}: {}", process.last_words.text()))),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn spawn(config: &PoolConfig) -> io::Result<Process> {
    let scratch = make_scratch(&config.scratch_root)?;
    let (control, their_control) = StdUnixStream::pair()?;
    let (files, their_files) = StdUnixStream::pair()?;
    let mut child = command(config, &scratch)?
        .stdin(OwnedFd::from(their_control))
        .stdout(OwnedFd::from(their_files))
        .spawn()
        .inspect_err(|_| remove(&scratch))?;
    let pid = child.id().unwrap_or_default();
    be_nice(pid, config.limits.nice);
    let last_words = LastWords::listen(pid, child.stderr.take());
    let served = Served::default();
    let (kill, exit) = keep(child, scratch.clone(), last_words.clone());
    let (control, speaking) =
        http1::handshake(TokioIo::new(ours(control)?)).await.map_err(io::Error::other)?;
    let serving = tokio::spawn(answer(ours(files)?, served.clone()));
    let tasks = [serving.abort_handle(), tokio::spawn(speaking).abort_handle()];
    Ok(Process { pid, scratch, control, served, last_words, exit, kill: Some(kill), tasks })
}

/// Starting costs processor time too, and bombs make many start: the gateway goes first from the beginning.
fn be_nice(pid: u32, nice: i32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // Where the system refuses, the worker tries itself, and says so.
    let _ = pid.map(|pid| rustix::process::setpriority_process(Some(pid), nice));
}

fn command(config: &PoolConfig, scratch: &Path) -> io::Result<Command> {
    let settings = Settings { scratch: scratch.to_owned(), limits: config.limits.clone() };
    let mut command = Command::new(&config.program);
    command.args(&config.args).env_clear();
    // Nothing of the gateway's environment but how to log and where to fail on purpose: it may hold secrets.
    let kept = ["RUST_LOG", "LAKEFRONT_FAILPOINTS"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var(name).ok()?)));
    command.envs(kept).env(SETTINGS, serde_json::to_string(&settings)?).env("TMPDIR", scratch);
    // Arenas reserve address space by the thread; two are enough and keep the limit honest.
    command.env("MALLOC_ARENA_MAX", "2");
    command.current_dir(scratch).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    Ok(command)
}

fn ours(socket: StdUnixStream) -> io::Result<UnixStream> {
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

type Kill = (oneshot::Sender<()>, watch::Receiver<Option<ExitStatus>>);

/// The keeper: waits for the child, kills it when told or forgotten, cleans up behind it.
fn keep(mut child: Child, scratch: PathBuf, last_words: LastWords) -> Kill {
    let (kill, killed) = oneshot::channel::<()>();
    let (ended, exit) = watch::channel(None);
    tokio::spawn(async move {
        let status = tokio::select! {
            status = child.wait() => status,
            _ = killed => match child.start_kill() {
                Ok(()) => child.wait().await,
                Err(error) => Err(error),
            },
        };
        last_words.ended().await;
        ended.send_replace(status.ok().or(Some(ExitStatus::default())));
        let _removed = tokio::task::spawn_blocking(move || remove(&scratch)).await;
    });
    (kill, exit)
}

/// Makes a folder only this user may enter, named after this gateway so that a later one can clear it.
fn make_scratch(root: &Path) -> io::Result<PathBuf> {
    let scratch = root.join(format!("{}-{}", std::process::id(), uuid::Uuid::new_v4().simple()));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&scratch)?;
    scratch.canonicalize()
}

/// Removes the folders of gateways that no longer run.
pub(super) fn sweep(root: &Path) -> io::Result<()> {
    std::fs::create_dir_all(root)?;
    for entry in std::fs::read_dir(root)?.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split_once('-')?.0.parse::<u32>().ok());
        let lives =
            owner.is_some_and(|pid| pid != std::process::id() && Path::new(&format!("/proc/{pid}")).exists());
        if owner.is_some() && !lives {
            remove(&entry.path());
        }
    }
    Ok(())
}

fn remove(folder: &Path) {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, folder = %folder.display(), "a scratch folder stays behind");
        }
        _ => {}
    }
}

/// Empties the folder of a process that goes on. Errors: what the system says.
pub(super) fn empty(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

//! A program of the operator, run once: bytes in on its standard input, bytes back on its standard output, under limits.
//!
//! ```text
//! spawn (no environment, its own group) ─▶ limits set from outside ─▶ input ─▶ output, at most so long ─▶ exit code 0
//! ```
//! It is trusted with what it is given, unlike a worker's task: there is no wall around the file system. Limits are set
//! before it gets its first byte, so that a wrong program costs a failed run and not the machine.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::Limits;

/// Of what it complains about, so much is told.
const COMPLAINT_BYTES: u64 = 2_000;

/// Which program, and how long it may take and how much it may say.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub folder: PathBuf,
    pub limits: Limits,
    pub deadline: Duration,
    /// The longest output that is read.
    pub output_bytes: u64,
}

/// Why a program gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("`{program}` cannot be started")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("`{program}` is not done after {secs} seconds")]
    Late { program: String, secs: u64 },
    #[error("`{program}` says more than {limit_bytes} bytes")]
    TooMuch { program: String, limit_bytes: u64 },
    #[error("`{program}` ended with {status}: {complaint}")]
    Failed { program: String, status: String, complaint: String },
    #[error("`{program}` cannot be spoken with")]
    Pipe {
        program: String,
        #[source]
        source: io::Error,
    },
}

impl Program {
    /// Runs it over `input`; gives what it writes, once it has ended well.
    /// - Errors: [`ProgramError`]; the process and whatever it holds are gone then.
    pub async fn run(&self, input: Bytes) -> Result<Bytes, ProgramError> {
        let mut child = self.spawn()?;
        let group = id(&child);
        let spoken = tokio::time::timeout(self.deadline, self.speak(&mut child, input)).await;
        let done = spoken.unwrap_or_else(|_| {
            Err(ProgramError::Late { program: self.name(), secs: self.deadline.as_secs() })
        });
        if done.is_err() {
            // With whatever it started; it may all have ended already.
            let _ = group.map(|group| rustix::process::kill_process_group(group, Signal::KILL));
            let _ = child.kill().await;
        }
        done
    }

    fn name(&self) -> String {
        self.command.first().cloned().unwrap_or_default()
    }

    fn spawn(&self) -> Result<Child, ProgramError> {
        let failed = |source| ProgramError::Start { program: self.name(), source };
        let mut command = Command::new(self.name());
        command.args(self.command.iter().skip(1)).current_dir(&self.folder);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.process_group(0).kill_on_drop(true).spawn().map_err(failed)?;
        limit(&child, &self.limits).map_err(failed)?;
        Ok(child)
    }

    /// Writes and reads at once, as either side may wait for the other.
    async fn speak(&self, child: &mut Child, input: Bytes) -> Result<Bytes, ProgramError> {
        let pipe = |source| ProgramError::Pipe { program: self.name(), source };
        let none = || pipe(io::Error::other("a pipe is not there"));
        let mut stdin = child.stdin.take().ok_or_else(none)?;
        let stdout = child.stdout.take().ok_or_else(none)?;
        let stderr = child.stderr.take().ok_or_else(none)?;
        let write = async move {
            // A program that does not read all of its input says so by its exit code.
            let _ = stdin.write_all(&input).await;
        };
        let (output, complaint, ()) =
            tokio::join!(read(stdout, self.output_bytes + 1), complaint(stderr), write);
        let (output, complaint) = (output.map_err(pipe)?, complaint.map_err(pipe)?);
        if output.len() as u64 > self.output_bytes {
            return Err(ProgramError::TooMuch { program: self.name(), limit_bytes: self.output_bytes });
        }
        let status = child.wait().await.map_err(pipe)?;
        if !status.success() {
            let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
            return Err(ProgramError::Failed { program: self.name(), status: status.to_string(), complaint });
        }
        Ok(Bytes::from(output))
    }
}

/// Reads up to `limit` bytes; the pipe closes behind them.
async fn read(pipe: impl AsyncRead + Unpin, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(limit).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// The first words of a complaint; the others are read and forgotten, so that who complains at length is not cut off.
async fn complaint(mut pipe: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut pipe).take(COMPLAINT_BYTES).read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    Ok(bytes)
}

fn id(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

fn limit(child: &Child, limits: &Limits) -> io::Result<()> {
    let Some(id) = id(child) else { return Ok(()) }; // it has ended
    for (resource, value) in [
        (Resource::As, limits.memory_bytes),
        (Resource::Cpu, limits.cpu_secs),
        (Resource::Fsize, limits.file_bytes),
        (Resource::Nofile, limits.open_files),
        (Resource::Core, 0),
    ] {
        let new = Rlimit { current: Some(value), maximum: Some(value) };
        rustix::process::prlimit(Some(id), resource, new)?;
    }
    // Where the system refuses, the work is done all the same.
    let _ = rustix::process::setpriority_process(Some(id), limits.nice);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(script: &str) -> Program {
        Program {
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            folder: std::env::temp_dir(),
            limits: Limits { cpu_secs: 5, memory_bytes: 256 << 20, ..Limits::default() },
            deadline: Duration::from_secs(3),
            output_bytes: 1 << 20,
        }
    }

    async fn told(script: &str) -> String {
        program(script).run(Bytes::from(vec![b'x'; 300_000])).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn bytes_go_through_a_program_whatever_it_reads_first() {
        let input = Bytes::from(vec![b'x'; 900_000]);
        assert_eq!(program("cat").run(input.clone()).await.unwrap(), input);
        assert_eq!(program("echo early; cat >/dev/null").run(input).await.unwrap(), "early\n");
        assert_eq!(program("cat; echo $LAKEFRONT_X; ulimit -n").run(Bytes::new()).await.unwrap(), "\n256\n");
    }

    #[tokio::test]
    async fn a_program_that_fails_hangs_or_babbles_is_told_apart() {
        assert!(told("echo no such luck >&2; exit 3").await.contains("exit status: 3: no such luck"));
        assert!(told("sleep 60").await.contains("not done after 3 seconds"));
        assert!(told("yes").await.contains("more than 1048576 bytes"));
        let mut absent = program("");
        absent.command = vec!["/nowhere/at/all".into()];
        assert!(absent.run(Bytes::new()).await.unwrap_err().to_string().contains("cannot be started"));
    }
}

//! Takes the two sockets off stdin and stdout, and leaves harmless things in their place.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// The worker's ends: `control` is served, `files` is read from.
pub(super) struct Sockets {
    pub control: UnixStream,
    pub files: UnixStream,
}

/// Errors: stdin or stdout is not open.
pub(super) fn take() -> io::Result<Sockets> {
    let control = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let files = UnixStream::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    control.set_nonblocking(true)?;
    files.set_nonblocking(true)?;
    // A stray print must not land in a socket.
    rustix::stdio::dup2_stdout(std::io::stderr().as_fd())?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?.as_fd())?;
    Ok(Sockets { control, files })
}

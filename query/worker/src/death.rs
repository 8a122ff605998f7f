//! Why a worker process died, told from its exit status and its last words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::Signal;

/// The limit or fault that ended a worker. Shown to the customer as the reason of a 4xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Death {
    /// The memory limit: an allocation failed, or the kernel's own out-of-memory killer came.
    Memory,
    /// The CPU limit.
    Cpu,
    /// A file in the scratch folder grew over its limit.
    Disk,
    /// The stack ran out: the input nests too deep.
    Stack,
    /// A panic in the task; the process is replaced.
    Panic,
    /// Any other signal or early exit.
    Signal,
}

impl Death {
    /// A short phrase that says which limit it was, for the `detail` of a problem.
    pub fn limit(self) -> &'static str {
        match self {
            Self::Memory => "it needs more memory than a task may use",
            Self::Cpu => "it needs more CPU time than a task may use",
            Self::Disk => "it writes a larger file than a task may write",
            Self::Stack => "it nests deeper than a task may",
            Self::Panic | Self::Signal => "it ended its worker process",
        }
    }

    /// A stable word for logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Disk => "disk",
            Self::Stack => "stack",
            Self::Panic => "panic",
            Self::Signal => "signal",
        }
    }

    /// Tells the reason from how the process ended and from the end of its stderr.
    pub(crate) fn explain(status: ExitStatus, last_words: &str) -> Self {
        if last_words.contains("memory allocation of") || last_words.contains("Cannot allocate memory") {
            return Self::Memory;
        }
        if last_words.contains("has overflowed its stack") {
            return Self::Stack;
        }
        match status.signal() {
            Some(n) if n == Signal::XCPU.as_raw() => Self::Cpu,
            Some(n) if n == Signal::XFSZ.as_raw() => Self::Disk,
            // The pool explains its own kills before it asks here: this one came from the kernel.
            Some(n) if n == Signal::KILL.as_raw() => Self::Memory,
            _ => Self::Signal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(raw: i32, words: &str) -> Death {
        Death::explain(ExitStatus::from_raw(raw), words)
    }

    #[test]
    fn an_abort_is_told_from_its_last_words() {
        assert_eq!(explain(6, "memory allocation of 12 bytes failed"), Death::Memory);
        assert_eq!(explain(6, "thread 'task' has overflowed its stack"), Death::Stack);
        assert_eq!(explain(6, ""), Death::Signal);
    }

    #[test]
    fn a_limit_is_told_from_its_signal() {
        assert_eq!(explain(24, ""), Death::Cpu);
        assert_eq!(explain(25, ""), Death::Disk);
        assert_eq!(explain(9, ""), Death::Memory);
        assert_eq!(explain(256, ""), Death::Signal);
    }
}

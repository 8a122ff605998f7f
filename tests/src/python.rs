//! Programs of others from PyPI, as independent witnesses: each set of packages in a virtual environment, made once.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use crate::require::skip;

/// A Python with packages.
pub struct Python {
    interpreter: PathBuf,
    folder: PathBuf,
}

impl Python {
    /// An interpreter that has these packages; `None`, and said, where they cannot be installed.
    /// The environment is kept under the system's temporary folder by the packages' names.
    pub fn with(packages: &[&str]) -> Option<Self> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock();
        let name: String = packages.join("-").replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let folder = std::env::temp_dir().join(format!("lakefront-python-{name}"));
        let python = Self { interpreter: folder.join("bin/python"), folder };
        if python.complete() || python.install(packages) {
            return Some(python);
        }
        skip(&format!("Python with {packages:?} cannot be installed"));
        None
    }

    fn complete(&self) -> bool {
        self.folder.join("complete").exists()
    }

    fn install(&self, packages: &[&str]) -> bool {
        let done = |command: &mut Command| command.output().is_ok_and(|o| o.status.success());
        done(Command::new("python3").args(["-m", "venv"]).arg(&self.folder))
            && done(Command::new(&self.interpreter).args(["-m", "pip", "install", "-q"]).args(packages))
            && std::fs::write(self.folder.join("complete"), "").is_ok()
    }

    /// Runs a program text with arguments.
    pub fn run(&self, program: &str, arguments: &[&str]) -> std::io::Result<Output> {
        Command::new(&self.interpreter).arg("-c").arg(program).args(arguments).output()
    }

    /// A program that a package has installed, e.g. a generator.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// A call of such a program, which finds the programs of the other packages.
    pub fn command(&self, name: &str) -> Command {
        let own = self.folder.join("bin");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(own).chain(std::env::split_paths(&path));
        let mut command = Command::new(self.program(name));
        command.env("PATH", std::env::join_paths(folders).unwrap_or(path));
        command
    }

    /// Runs a script file with arguments in a folder.
    pub fn script(&self, script: &Path, arguments: &[&str], folder: &Path) -> std::io::Result<Output> {
        Command::new(&self.interpreter).arg(script).args(arguments).current_dir(folder).output()
    }
}

//! What one server has for itself: its folders and its address. Both are taken before anything is made or loaded, and
//! the system takes them back however the process ends.
//!
//! Verbs that work in a lake take its folders for as long as they do; beside a server they hand their work to it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::config::Config;
use crate::middleware::listener::Door;
use crate::node::folder_of;

const FILE: &str = "lock";
/// A killed server's folder may be held a moment longer, by a worker that was just being started.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Another server works on the folder.
#[derive(Debug, thiserror::Error)]
#[error("{folder} is in use by {user}")]
pub struct InUse {
    folder: String,
    user: String,
}

/// Locks on folders, held as long as the value lives.
#[derive(Default)]
pub struct Locks(BTreeMap<PathBuf, File>);

/// Takes what a server of this configuration needs for itself: first the folders that are there, so that the first
/// server is named rather than its port; then the address; then folders that are to be made.
/// Errors: [`InUse`], or the address cannot be had.
pub async fn take(config: &Config) -> anyhow::Result<(Door, Locks)> {
    let (there, absent): (Vec<_>, Vec<_>) = folders(config).into_iter().partition(|folder| folder.is_dir());
    let mut locks = Locks::default();
    for folder in &there {
        locks.add(folder).await?;
    }
    let listen = &config.server.listen;
    let door = Door::take(listen).await.with_context(|| {
        format!("cannot listen on {listen} (another address: --listen HOST:PORT, or server.listen)")
    })?;
    for folder in &absent {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        locks.add(folder).await?;
    }
    Ok((door, locks))
}

/// Takes the folders for a verb; `None` while a server, or another verb, has them.
/// Errors: a folder cannot be made.
pub fn take_folders(config: &Config) -> anyhow::Result<Option<Locks>> {
    let mut locks = Locks::default();
    for folder in folders(config) {
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let folder = std::fs::canonicalize(&folder).with_context(|| folder.display().to_string())?;
        if let Entry::Vacant(place) = locks.0.entry(folder) {
            let mut file = open(place.key())?;
            match file.try_lock() {
                Ok(()) => {
                    let _ = sign(&mut file);
                    place.insert(file);
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error).context("lock a folder"),
            }
        }
    }
    Ok(Some(locks))
}

/// The folder of an SQLite catalog, and that of the sources' own state. A database of many nodes needs no lock.
fn folders(config: &Config) -> Vec<PathBuf> {
    folder_of(config.database.url.reveal()).into_iter().chain([config.lake.state.clone()]).collect()
}

impl Locks {
    /// Adds a folder; one that is held already stays held once.
    async fn add(&mut self, folder: &Path) -> anyhow::Result<()> {
        let folder = std::fs::canonicalize(folder).with_context(|| folder.display().to_string())?;
        if let Entry::Vacant(place) = self.0.entry(folder) {
            let file = lock(place.key()).await?;
            place.insert(file);
        }
        Ok(())
    }
}

async fn lock(folder: &Path) -> anyhow::Result<File> {
    let mut file = open(folder)?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => {
                let _ = sign(&mut file); // a full disk does not keep a server from starting
                return Ok(file);
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", folder.display()));
            }
        }
    }
    Err(InUse { folder: folder.display().to_string(), user: user(&mut file) }.into())
}

fn open(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join(FILE);
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    opened.with_context(|| format!("open {}", path.display()))
}

/// Writes who holds the lock.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn user(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.read_to_string(&mut text).map(|_| text.trim());
    read.ok()
        .filter(|id| !id.is_empty())
        .map_or_else(|| "another process".into(), |id| format!("process {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_of(folder: &Path) -> Config {
        let mut config = Config::default();
        config.database.url = crate::config::Hidden::new("postgres://x@localhost/y".into());
        config.lake.state = folder.to_owned();
        config
    }

    #[tokio::test]
    async fn a_folder_is_held_once_and_free_again_with_the_value() {
        let folder = tempfile::tempdir().unwrap();
        let mut locks = Locks::default();
        locks.add(folder.path()).await.unwrap();
        locks.add(&folder.path().join(".")).await.unwrap();
        let refused = Locks::default().add(folder.path()).await.unwrap_err();
        assert!(refused.downcast_ref::<InUse>().is_some());
        assert!(
            refused.to_string().ends_with(&format!("in use by process {}", std::process::id())),
            "{refused}"
        );
        assert!(take_folders(&config_of(folder.path())).unwrap().is_none());
        drop(locks);
        assert!(take_folders(&config_of(folder.path())).unwrap().is_some());
        Locks::default().add(folder.path()).await.unwrap();
    }
}

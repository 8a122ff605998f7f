//! Files of the demo that hold secrets.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

/// Writes a file whole or not at all, readable by its owner only.
pub fn save(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let draft = path.with_added_extension("new");
    let _ = std::fs::remove_file(&draft); // of a start that was cut short
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
    let mut file = opened.with_context(|| format!("make {}", draft.display()))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path).with_context(|| format!("write {}", path.display()))
}

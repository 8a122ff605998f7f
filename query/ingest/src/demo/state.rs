//! What a demo remembers between starts.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// Kept as `demo-sources.json` in the sources' folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The day the demo was first started.
    pub began: NaiveDate,
    /// Sizes that are loaded whole: (regions, years).
    pub loaded: Vec<(usize, u32)>,
    #[serde(skip)]
    file: PathBuf,
}

impl State {
    /// What is remembered in a folder; a new memory that begins `today` where there is none.
    pub fn open(folder: &Path, today: NaiveDate) -> std::io::Result<Self> {
        let file = folder.join("demo-sources.json");
        match std::fs::read(&file) {
            Ok(text) => Ok(Self { file, ..serde_json::from_slice(&text)? }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let state = Self { began: today, loaded: Vec::new(), file };
                state.save()?;
                Ok(state)
            }
            Err(e) => Err(e),
        }
    }

    /// Whether a size is loaded whole.
    pub fn has(&self, regions: usize, years: u32) -> bool {
        self.loaded.iter().any(|(r, y)| *r >= regions && *y >= years)
    }

    /// Remembers that a size is loaded whole.
    pub fn add(&mut self, regions: usize, years: u32) -> std::io::Result<()> {
        self.loaded.push((regions, years));
        self.save()
    }

    fn save(&self) -> std::io::Result<()> {
        put(&self.file, &serde_json::to_vec_pretty(self)?)
    }
}

/// Writes a file whole or not at all.
pub fn put(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = file.with_extension("part");
    std::fs::write(&beside, bytes)?;
    std::fs::rename(&beside, file)
}

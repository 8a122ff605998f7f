//! What a test may need from the machine, and what happens where it is absent.

use std::path::PathBuf;

/// Whether an absent service or file fails the test: `LAKEFRONT_TEST_REQUIRE` is set by `.ci/run`.
pub fn required() -> bool {
    std::env::var_os("LAKEFRONT_TEST_REQUIRE").is_some_and(|v| !v.is_empty())
}

/// Says that a test is skipped, or fails where nothing may be skipped.
#[expect(clippy::print_stderr, clippy::panic, reason = "this is what the test's reader sees")]
pub fn skip(what: &str) {
    if required() {
        panic!("required by LAKEFRONT_TEST_REQUIRE, but {what}");
    }
    eprintln!("skipped: {what}");
}

/// The project's root folder, where `Cargo.toml` and the rooms stand.
pub fn project_root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}

/// A file of real data beside the project (`../shared/data`); `None` in a plain clone, which is then said.
pub fn shared_data(file: &str) -> Option<PathBuf> {
    let path = project_root().join("../shared/data").join(file);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("../shared/data/{file} is absent"));
    None
}

/// How many faults a test makes: a share of them in regular runs, all in the full one (`cargo faults`, which sets
/// `LAKEFRONT_FAULTS`).
pub fn faults(share: usize, all: usize) -> usize {
    if std::env::var_os("LAKEFRONT_FAULTS").is_some_and(|v| v == "all") { all } else { share }
}

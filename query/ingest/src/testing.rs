//! What unit tests of several modules need.

use std::path::Path;

/// A file of real data beside the project (`../shared/data`). `None` in a plain clone, which is then said; where
/// `LAKEFRONT_TEST_REQUIRE` is set, the test fails.
pub fn shared_data(name: &str) -> Option<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    let bytes = std::fs::read(&file).ok();
    if bytes.is_none() {
        let required = std::env::var_os("LAKEFRONT_TEST_REQUIRE").is_some_and(|what| !what.is_empty());
        assert!(!required, "required by LAKEFRONT_TEST_REQUIRE, but {} is absent", file.display());
        eprintln!("skipped: {} is absent", file.display());
    }
    bytes
}

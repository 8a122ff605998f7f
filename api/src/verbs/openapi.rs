//! `lakefront openapi`: the document, made from the code.

use std::io::Write;
use std::process::ExitCode;

use crate::{document, router};

/// Prints the document. A reader that stops early is no error.
pub fn run() -> ExitCode {
    let (_, _, document) = router::build();
    let Ok(text) = document::text(&document) else { return ExitCode::FAILURE };
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

//! An uploaded file becomes Parquet (query/ingest/src/upload/decode). Runs in a worker process: task `files`, `op` = `decode`.
//!
//! ```text
//! source ─▶ sniff ─┬▶ text ─▶ pieces ─▶ cells ─▶ facts (types of the whole file) ─┐
//!                  │                      └────▶ build (arrays of those types) ◀──┘─▶ LocalWriter ─▶ scratch
//!                  └▶ parquet: limits, page checksums, then decoded and encoded anew ─┘
//! ```
//! One pass where the types of the first piece stand for all, three otherwise. Absent on purpose: any I/O but the task's files and its
//! scratch folder; names of tables; rights.

mod build;
mod cells;
mod convert;
mod csv_split;
mod dates;
mod dialect;
mod encoders;
mod facts;
mod fault;
mod json_cells;
mod json_split;
mod layout;
mod marks;
mod merge;
pub mod names;
mod notes;
mod number;
mod numerals;
mod output;
mod pages;
mod parquet_in;
mod pieces;
mod plan;
pub mod request;
mod sniff;
mod source;
mod tail;
mod tally;
mod text;
pub mod types;

use std::path::PathBuf;
use std::thread;

use bytes::Bytes;
use tokio::runtime::Handle;
use worker::{FileClient, Refusal, Reply, Task};

use self::fault::{Fault, Stop};
use self::output::Outcome;
use self::request::DecodeRequest;
use self::source::Source;
use crate::upload::{DecimalMark, Format};

/// Bytes that tell what a file is.
const HEAD_BYTES: u64 = 64 << 10;

/// Everything a conversion works with.
pub(crate) struct Work {
    pub request: DecodeRequest,
    pub source: Source,
    pub files: FileClient,
    pub handle: Handle,
    pub scratch: PathBuf,
    pub threads: usize,
}

/// Handler of the task. The reply's head is [`request::Decoded`], its body the first rows set aside, one JSON line each.
/// Errors: a [`Refusal`] with code `file-malformed`, `unsupported-format`, `invalid-parameter`, `storage-full` or `internal`.
pub async fn decode(task: Task) -> Result<Reply, Refusal> {
    let request: DecodeRequest = serde_json::from_value(task.request).map_err(|error| {
        Refusal::new("internal", format!("the worker was asked for what it does not know: {error}"))
    })?;
    let source = Source::open(task.files.clone(), 0, request.caps).await.map_err(Stop::Io)?;
    let (files, handle, threads) = (task.files, Handle::current(), task.limits.threads.clamp(1, 4));
    let work = Work { request, source, files, handle, scratch: task.scratch, threads };
    // A thread of its own: the conversion blocks on reads that the runtime serves.
    let (tell, told) = tokio::sync::oneshot::channel();
    let builder = thread::Builder::new().name("decode".to_owned()).stack_size(8 << 20);
    builder.spawn(move || drop(tell.send(run(&work)))).map_err(Stop::Io)?;
    match told.await {
        Ok(outcome) => reply(outcome?),
        Err(_) => Err(Refusal::new(
            "file-malformed",
            "the file could not be converted: its content broke the converter",
        )),
    }
}

fn reply(outcome: Outcome) -> Result<Reply, Refusal> {
    let head = serde_json::to_value(&outcome.decoded)
        .map_err(|error| Refusal::new("internal", error.to_string()))?;
    Ok(Reply { head, body: Bytes::from(outcome.reject_lines) })
}

/// The whole conversion; blocking.
fn run(work: &Work) -> Result<Outcome, Stop> {
    let head = work.source.head(HEAD_BYTES)?;
    if head.is_empty() {
        return Err(Fault::malformed("the file is empty").into());
    }
    let packing = sniff::packing(&head);
    if let Some(name) = &work.request.file_name {
        sniff::check_name(name, packing)?;
    }
    let head = unpacked_head(work, packing)?;
    let found = sniff::format(&head, packing)?;
    let format = sniff::agree(found, work.request.format, work.request.file_name.as_deref(), packing)?;
    if work.request.decimal == Some(DecimalMark::Comma) && format != Format::Csv {
        return Err(Fault::parameter(
            "`decimal` is for CSV; the numbers of other formats have a decimal point",
        )
        .into());
    }
    let outcome = match format {
        Format::Parquet => parquet_in::convert(work, packing),
        text => convert::convert(work, packing, text, &head),
    }?;
    merge::merge(work, outcome).inspect_err(|_| clear(work))
}

/// Removes what a refused conversion has written: the next task needs the room.
fn clear(work: &Work) {
    for entry in std::fs::read_dir(&work.scratch).into_iter().flatten().flatten() {
        let _ = std::fs::remove_dir_all(entry.path());
    }
}

fn unpacked_head(work: &Work, packing: sniff::Packing) -> Result<Vec<u8>, Stop> {
    use std::io::Read;
    let mut head = Vec::new();
    work.source.unpacked(packing)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    match head.is_empty() {
        true => Err(Fault::malformed("the file is empty").into()),
        false => Ok(head),
    }
}

#[cfg(test)]
mod tests;

//! A worker's finished file becomes the lake's.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;

use crate::file::DataFile;
use crate::store::{Store, Upload, move_in};
use crate::verify::{Blocks, Digest};
use crate::writer::file_name;
use crate::{Error, Location, failpoint};

const CHUNK: usize = 256 << 10;

type Sums = (u64, String, Blocks);

pub(crate) async fn adopt(
    store: &Store,
    at: &Location,
    local: &FsPath,
    described: DataFile,
    prefix: &str,
) -> Result<DataFile, Error> {
    let path = file_name(prefix);
    let target = at.file(&path);
    let sums = match store.local_path(&target) {
        Some(to) => rename_in(local.to_owned(), to, described.clone(), store.fsync).await?,
        None => upload(store, local, &target, &described).await?,
    };
    failpoint("lake.adopted");
    let (size, sha256, blocks) = sums;
    Ok(DataFile { path, size, sha256: Some(sha256), blocks: Some(blocks), ..described })
}

async fn rename_in(from: PathBuf, to: PathBuf, described: DataFile, fsync: bool) -> Result<Sums, Error> {
    let work = move || {
        let mut file = open(&from)?;
        let sums = digest(&mut file)?;
        compare(&sums, &described)?;
        move_in(&from, file, &to, fsync)?;
        Ok(sums)
    };
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

/// Opens what a worker left. It may be hostile: a link would make some other file of the machine a part of the table.
fn open(path: &FsPath) -> Result<File, Error> {
    let file = File::open(path)?;
    if std::fs::symlink_metadata(path)?.is_file() && file.metadata()?.nlink() == 1 {
        return Ok(file);
    }
    Err(Error::Corrupt { path: path.display().to_string() })
}

fn digest(file: &mut File) -> Result<Sums, Error> {
    let (mut digest, mut chunk) = (Digest::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(digest.finish()),
            read => digest.update(&chunk[..read]),
        }
    }
}

async fn upload(
    store: &Store,
    local: &FsPath,
    target: &object_store::path::Path,
    described: &DataFile,
) -> Result<Sums, Error> {
    let mut file = tokio::fs::File::from_std(open(local)?);
    let mut upload = Upload::new(Arc::clone(&store.objects), target.clone(), store.part_bytes);
    let mut digest = Digest::new();
    loop {
        let mut chunk = vec![0; CHUNK];
        let read = file.read(&mut chunk).await?;
        if read == 0 {
            break;
        }
        chunk.truncate(read);
        digest.update(&chunk);
        upload.write(Bytes::from(chunk)).await?;
    }
    let sums = digest.finish();
    if let Err(error) = compare(&sums, described) {
        upload.abort().await;
        return Err(error);
    }
    upload.finish().await?;
    Ok(sums)
}

/// What the worker said it wrote must be what is there.
fn compare((size, sha256, blocks): &Sums, described: &DataFile) -> Result<(), Error> {
    let same = (described.size == 0 || described.size == *size)
        && described.sha256.as_ref().is_none_or(|told| told == sha256)
        && described.blocks.as_ref().is_none_or(|told| told == blocks);
    if same { Ok(()) } else { Err(Error::Corrupt { path: described.path.clone() }) }
}

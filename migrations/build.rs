//! Embeds the migrations: each folder becomes a list of `(version, description, text)`, in order.
//!
//! A file is `0001_what_it_does.sql`. Done here, as sqlx's own macro compiles both drivers a second time.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    for folder in ["sqlite", "postgres"] {
        println!("cargo:rerun-if-changed={folder}");
        fs::write(Path::new(&out).join(format!("{folder}.rs")), list(Path::new(folder))?)?;
    }
    Ok(())
}

fn list(folder: &Path) -> io::Result<String> {
    let mut files = fs::read_dir(folder)?.map(|file| Ok(file?.path())).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    let entries = files.iter().map(|file| entry(file)).collect::<io::Result<String>>()?;
    Ok(format!("&[{entries}]"))
}

fn entry(file: &Path) -> io::Result<String> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (version, what) =
        name.split_once('_').ok_or_else(|| io::Error::other(format!("{name}: no version")))?;
    let version: i64 = version.parse().map_err(io::Error::other)?;
    // By the crate's own folder: a target directory may outlive the checkout that it was first built from.
    let (what, path) = (what.replace('_', " "), format!("/{}", file.display()));
    Ok(format!("({version}, {what:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))), "))
}

//! When the ground gives way: a full disk is told as such, and ends by itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Customer, Options, Stack, TestApp, skip};
use serde_json::json;

use crate::shared::options;

/// A small file system of its own, gone with the value.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("lakefront-disk-").tempdir().unwrap().keep();
        let size = format!("size={megabytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "lakefront"]).arg(&folder).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { folder });
        }
        skip("a small file system cannot be mounted here");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
        let _ = std::fs::remove_dir(&self.folder);
    }
}

async fn server_on(folder: &Path) -> Option<TestApp> {
    let (objects, scratch) = (folder.join("objects"), folder.join("scratch"));
    let storage = format!("url = \"file://{}\"\nscratch = {:?}\n", objects.display(), scratch.display());
    TestApp::start(Options { storage: Some(storage), ..options(Stack::Sqlite) }).await
}

/// Two megabytes that do not compress well.
fn csv() -> String {
    let mut state = 7u64;
    (0..100_000).fold(String::from("n\n"), |csv, _| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        csv + &format!("{}\n", state)
    })
}

async fn upload_is(acme: &Customer, name: &str, csv: &str, status: u16) {
    let answer = acme.upload(name, csv).await;
    match status {
        507 => drop(answer.problem(507, "storage-full")),
        _ => drop(answer.status(status)),
    }
}

#[tokio::test]
async fn a_full_disk_refuses_uploads_serves_reads_and_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount(48) else { return };
    let Some(mut app) = server_on(&disk.folder).await else { return };
    let (acme, csv) = (app.customer("acme").await, csv());
    upload_is(&acme, "before", &csv, 201).await;
    let filler = disk.folder.join("filler");
    // Leaves less than the raw file needs, then just that much and no more.
    for free in [1 << 20, csv.len() as u64 + 300_000] {
        fill(&disk.folder, &filler, free);
        upload_is(&acme, "refused", &csv, 507).await;
        let rows = acme.sql("SELECT count(*) AS n FROM my.before").await.data();
        assert_eq!(rows, json!([{"n": 100_000}]));
        std::fs::remove_file(&filler).unwrap();
    }
    assert!(app.runs());
    upload_is(&acme, "refused", &csv, 201).await;
    let names = acme.get("/v1/datasets").await.data();
    assert_eq!(names.as_array().unwrap().len(), 2, "{names}");
}

/// Writes a file until only `free` bytes are left.
fn fill(disk: &Path, filler: &Path, free: u64) {
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(disk).output().unwrap();
    let available: u64 =
        String::from_utf8_lossy(&output.stdout).lines().nth(1).unwrap().trim().parse().unwrap();
    let bytes = usize::try_from(available.saturating_sub(free)).unwrap();
    std::fs::write(filler, vec![1u8; bytes]).unwrap();
}

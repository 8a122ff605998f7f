//! When the ground gives way: a full disk is told as such, and ends by itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::{Answer, Customer, Options, Stack, TestApp, skip};
use serde_json::json;

use crate::lakes::{lake, without_weather};
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

/// A server with everything on that disk: objects, scratch, catalog and the log of events.
async fn server_on(disk: &Path) -> Option<TestApp> {
    let folder = disk.join("server");
    std::fs::create_dir(&folder).unwrap();
    let (objects, scratch) = (folder.join("objects"), folder.join("scratch"));
    let storage = format!("url = \"file://{}\"\nscratch = {:?}\n", objects.display(), scratch.display());
    let lake = lake([("us-jfk", "JFK", 40.6398, -73.7789)], without_weather);
    let (storage, lake_file, folder) = (Some(storage), Some(lake), Some(folder));
    TestApp::start(Options { storage, lake_file, folder, sources: true, ..options(Stack::Sqlite) }).await
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

#[tokio::test]
async fn events_are_refused_while_the_disk_is_full_and_arrive_when_it_is_not() {
    let Some(disk) = SmallDisk::mount(48) else { return };
    let Some(mut app) = server_on(&disk.folder).await else { return };
    let (acme, filler) = (app.customer("acme").await, disk.folder.join("filler"));
    fill(&disk.folder, &filler, 0);
    let mut refused = 0;
    for n in 0..40 {
        let answer = push(&app, n).await;
        match answer.status.as_u16() {
            202 => {}
            _ => {
                answer.problem(507, "storage-full");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the disk was not full");
    acme.get("/v1/regions/us-jfk/summary").await.status(200);
    std::fs::remove_file(&filler).unwrap();
    for n in 0..40 {
        push_until_taken(&app, n).await;
    }
    for _ in 0..300 {
        let market = acme.get("/v1/regions/us-jfk/summary").await.data()["market"]["latest"].take();
        if market["events"] == 4_000 {
            return assert!(app.runs());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the events did not arrive:\n{}", app.log());
}

#[tokio::test]
async fn a_flipped_byte_is_found_and_told_and_other_tables_are_read() {
    let Some(mut app) = TestApp::start(options(Stack::Sqlite)).await else { return };
    let acme = app.customer("acme").await;
    acme.upload("good", "n\n1\n").await.created();
    let before = parquet_files(&app.folder.join("objects"));
    acme.upload("bad", &csv()).await.created();
    app.kill();
    let after = parquet_files(&app.folder.join("objects"));
    let file = after.iter().find(|file| !before.contains(file)).unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
    app.resume().await;
    acme.sql("SELECT sum(n) AS s FROM my.bad").await.problem(503, "data-corrupt");
    assert_eq!(acme.sql("SELECT sum(n) AS s FROM my.good").await.data(), json!([{"s": 1}]));
}

fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => open.push(path),
                path if path.extension().is_some_and(|e| e == "parquet") => found.push(path),
                _ => {}
            }
        }
    }
    found
}

/// A hundred events.
async fn push(app: &TestApp, n: usize) -> Answer {
    let time = chrono::Utc::now().to_rfc3339();
    let event = |i: usize| json!({"event_id": format!("e{n}-{i}"), "event_time": time, "region_id": "us-jfk", "price": n});
    app.operator.post("/v1/events/d", (0..100).map(event).collect()).await
}

/// Sends it again and again, for ten seconds at most: an id counts once.
async fn push_until_taken(app: &TestApp, n: usize) {
    for _ in 0..50 {
        if push(app, n).await.status.as_u16() == 202 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("batch {n} was not taken for ten seconds");
}

/// Writes a file until only `free` bytes are left.
fn fill(disk: &Path, filler: &Path, free: u64) {
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(disk).output().unwrap();
    let available: u64 =
        String::from_utf8_lossy(&output.stdout).lines().nth(1).unwrap().trim().parse().unwrap();
    let bytes = usize::try_from(available.saturating_sub(free)).unwrap();
    match std::fs::write(filler, vec![1u8; bytes]) {
        // The server, which notes how its sources fare, has written meanwhile: the disk is as full as it was to be.
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {}
        written => written.unwrap(),
    }
}

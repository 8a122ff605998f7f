//! The house as `README.md` draws it: rooms, one-way imports, one room a technology, one version each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use harness::project_root;

/// Folder, crate, and the crates of the house that it may import.
const ROOMS: &[(&str, &str, &[&str])] = &[
    ("auth/identity", "identity", &[]),
    ("migrations", "database", &[]),
    ("auth", "auth", &["identity", "database"]),
    ("query/lake", "lake", &["identity"]),
    ("query/catalog", "catalog", &["identity", "database"]),
    ("query/worker", "worker", &["identity"]),
    ("query/engine", "engine", &["identity", "database", "lake", "catalog", "auth", "worker"]),
    ("query/ingest", "ingest", &["identity", "database", "lake", "catalog", "auth", "worker", "engine"]),
    ("api", "lakefront", &["identity", "database", "auth", "lake", "catalog", "worker", "engine", "ingest"]),
    ("tests", "harness", &[]),
];

/// A technology and the rooms it may be spoken in.
const TECHNOLOGIES: &[(&str, &[&str])] = &[
    ("axum", &["lakefront", "harness"]),
    ("tower", &["lakefront"]),
    ("tower-http", &["lakefront"]),
    ("utoipa", &["lakefront"]),
    ("utoipa-axum", &["lakefront"]),
    ("jsonwebtoken", &["auth"]),
    ("sqlx", &["database", "catalog", "auth", "ingest"]),
    ("redis", &["database"]),
    ("object_store", &["lake", "ingest"]),
    ("parquet", &["lake", "engine", "ingest"]),
    ("datafusion", &["lake", "engine", "ingest"]),
    ("reqwest", &["auth", "ingest", "harness"]),
    ("suppaftp", &["ingest"]),
    ("rdkafka", &["ingest"]),
    ("hyper", &["worker", "lakefront"]),
];

/// Everything that may stand at the top of the project, tool settings (dot-files) aside.
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "api",
    "query",
    "auth",
    "migrations",
    "openapi",
    "tests",
    "deploy",
    "README.md",
];

#[test]
fn nothing_stands_beside_the_given_top_level() {
    let entries: BTreeSet<String> = std::fs::read_dir(project_root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && name != "target")
        .collect();
    assert_eq!(entries, TOP_LEVEL.iter().map(|s| s.to_string()).collect());
}

#[test]
fn imports_go_one_way_between_the_rooms() {
    for (folder, name, allowed) in ROOMS {
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let used: BTreeSet<String> = dependencies(folder, &["dependencies", "build-dependencies"])
            .into_iter()
            .filter(|d| ROOMS.iter().any(|(_, room, _)| room == d))
            .collect();
        let strange: Vec<_> = used.iter().filter(|d| !allowed.contains(d.as_str())).collect();
        assert!(strange.is_empty(), "{name} imports {strange:?}");
    }
}

#[test]
fn each_technology_is_spoken_in_its_own_room() {
    for (folder, name, _) in ROOMS {
        let used = dependencies(folder, &["dependencies"]);
        for (technology, rooms) in TECHNOLOGIES {
            assert!(!used.contains(*technology) || rooms.contains(name), "{name} uses {technology}");
        }
    }
}

#[test]
fn the_workspace_has_these_rooms_and_two_profiles() {
    let root: toml::Table = manifest("");
    let members: BTreeSet<&str> =
        root["workspace"]["members"].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
    assert_eq!(members, ROOMS.iter().map(|(folder, ..)| *folder).collect());
    let profiles: BTreeSet<&str> = root["profile"].as_table().unwrap().keys().map(String::as_str).collect();
    assert_eq!(profiles, BTreeSet::from(["dev", "release"]));
}

#[test]
fn there_is_one_version_each_of_the_data_crates() {
    let lock: toml::Table =
        toml::from_str(&std::fs::read_to_string(project_root().join("Cargo.lock")).unwrap()).unwrap();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        versions.entry(text("name")).or_default().push(text("version"));
    }
    for name in ["arrow", "parquet", "datafusion", "object_store"] {
        assert_eq!(versions[name].len(), 1, "{name}: {:?}", versions[name]);
    }
}

#[test]
fn tests_link_none_of_the_crates() {
    let used = dependencies("tests", &["dependencies", "dev-dependencies"]);
    for (_, name, _) in ROOMS {
        assert!(!used.contains(*name), "the harness links {name}");
    }
}

/// The one file that writes paths of workspaces' objects (`security.md`, a prefix by a typed tenant in one place).
const PLACE: &str = "auth/identity/src/place.rs";

#[test]
fn paths_of_workspaces_are_written_in_one_place() {
    let files = of_the_product();
    let writes = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        ["\"workspaces\"", "\"workspaces/", "/workspaces/"].iter().any(|path| text.contains(path))
    };
    let found: Vec<PathBuf> = files.into_iter().filter(writes).collect();
    assert_eq!(found, [project_root().join(PLACE)]);
}

/// The one file that says what each metric is.
const METERS: &str = "api/src/middleware/meters.rs";

#[test]
fn every_metric_is_explained_where_the_meters_are() {
    let meters = std::fs::read_to_string(project_root().join(METERS)).unwrap();
    for file in of_the_product() {
        let text = std::fs::read_to_string(&file).unwrap();
        for quoted in text.split("\"lakefront_").skip(1) {
            let name = quoted.split('"').next().unwrap();
            let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let explained = !is_name || meters.contains(&format!("\"lakefront_{name}\""));
            assert!(explained, "lakefront_{name} of {} has no words in {METERS}", file.display());
        }
    }
}

fn of_the_product() -> Vec<PathBuf> {
    let mut files = Vec::new();
    ROOMS.iter().filter(|(folder, ..)| *folder != "tests").for_each(|(folder, ..)| {
        sources(&project_root().join(folder).join("src"), &mut files);
    });
    files
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn manifest(folder: &str) -> toml::Table {
    let path: PathBuf = project_root().join(folder).join("Cargo.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn dependencies(folder: &str, sections: &[&str]) -> BTreeSet<String> {
    let manifest = manifest(folder);
    sections
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .flat_map(|table| table.keys().cloned().collect::<Vec<_>>())
        .collect()
}

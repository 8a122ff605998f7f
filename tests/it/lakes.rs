//! Lakes of a test's own: the default one with other regions and other settings.

use std::path::{Path, PathBuf};

use harness::project_root;

/// The default lake in a folder of its own, with these regions (`region, name, lat, lon`) and its definition changed.
pub fn lake<'a>(
    regions: impl IntoIterator<Item = (&'a str, &'a str, f64, f64)>,
    change: impl FnOnce(String) -> String,
) -> PathBuf {
    let folder = tempfile::Builder::new().prefix("lakefront-lake-").tempdir().unwrap().keep();
    copy(&project_root().join("deploy/lakes/weather-market"), &folder);
    let definition = std::fs::read_to_string(folder.join("lake.toml")).unwrap();
    std::fs::write(folder.join("lake.toml"), change(definition)).unwrap();
    let csv = regions.into_iter().fold(
        String::from("region_id,name,country,lon,lat,population\n"),
        |csv, (region, name, lat, lon)| csv + &format!("{region},{name},US,{lon},{lat},1000000\n"),
    );
    std::fs::write(folder.join("regions.csv"), csv).unwrap();
    folder
}

/// The definition without its source C, so that nothing but what a test does happens in the lake.
pub fn without_weather(definition: String) -> String {
    let (before, rest) = definition.split_once("[sources.c]").unwrap();
    let (_, after) = rest.split_once("[sources.d]").unwrap();
    format!("{before}[sources.d]{after}")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

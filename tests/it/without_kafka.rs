//! A program that was built without Kafka, and a lake that has a topic.

use std::process::Command;

use crate::lakes::lake;

#[test]
fn a_program_without_kafka_says_so_where_a_lake_has_a_topic() {
    let topic =
        "[sources.d.kafka]\nservers = [\"127.0.0.1:9092\"]\ntopic = \"d\"\n\n[sources.market_history]";
    let folder = lake([("us-jfk", "JFK", 40.6398, -73.7789)], |definition| {
        definition.replacen("[sources.market_history]", topic, 1)
    });
    let key = folder.join("signing-key.pem");
    let program = || Command::new(env!("CARGO_BIN_EXE_lakefront"));
    assert!(program().args(["key", "signing"]).arg(&key).status().unwrap().success());
    for verb in ["check", "serve"] {
        let mut command = program();
        command.arg(verb).current_dir(&folder).env("LAKEFRONT__LAKE__FILE", &folder);
        let output = command.env("LAKEFRONT__AUTH__SIGNING_KEY_FILE", &key).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("built without Kafka"), "{verb}: {said}");
    }
}

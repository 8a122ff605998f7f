//! What sources call a region, from the mapping's file to rows and models: by data, without a restart.

use std::path::PathBuf;

use super::PushError;
use super::arrivals_tests::{REGIONS, event};
use super::testing::{TestLake, at, changed_lake};
use crate::lakefile::Lakefile;
use crate::models::Model;

const NOW: &str = "2026-03-10T12:00:00Z";

/// A lake whose mapping is this file.
struct Mapped {
    lake: TestLake,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Mapped {
    async fn new(text: &str, change: impl FnOnce(&mut Lakefile)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("geo.aliases.csv");
        std::fs::write(&file, text).unwrap();
        let path = file.clone();
        let lake = changed_lake(REGIONS, |lakefile| {
            lakefile.mappings[0].path = Some(path);
            change(lakefile);
        })
        .await;
        lake.arrivals.catch_up(at(NOW)).await.unwrap();
        Self { lake, file, _folder: folder }
    }

    /// The file says something else and is looked at: how many rows came, or why it is not taken.
    async fn write(&self, text: &str) -> Result<u64, String> {
        std::fs::write(&self.file, text).unwrap();
        let ran = self.lake.arrivals.run_once("mapping", at(NOW)).await;
        ran.map(|ran| ran.rows).map_err(|e| e.to_string())
    }

    /// Pushes an event of that region. Errors: why it is refused.
    async fn push(&self, id: &str, region: &str) -> Result<(), String> {
        let event = event(id, "2026-03-09T23:30:00Z", region, 1.0, "");
        match self.lake.arrivals.push("d", event.as_bytes(), at(NOW)).await {
            Ok(_) => Ok(()),
            Err(PushError::Invalid(wrongs)) => Err(wrongs[0].reason.clone()),
            Err(other) => panic!("{other}"),
        }
    }

    async fn land(&self, source: &str) {
        self.lake.arrivals.run_once(source, at(NOW)).await.unwrap();
    }
}

#[tokio::test]
async fn another_spelling_is_its_place_as_soon_as_the_mappings_file_says_so() {
    let mut mapped = Mapped::new("alias,place\nLombardy,it-lombardia\n", |_| ()).await;
    for region in ["Lombardy", "LOMBARDIA", "IT_Lombardia", "it-lombardia"] {
        mapped.push(region, region).await.unwrap();
    }
    mapped.land("d").await;
    assert_eq!(mapped.lake.lines("geo.regions", &["region_id", "status"]).await, ["it-lombardia active"]);
    // 23:30 UTC is the next day there.
    let daily = ["region_id", "day", "events"];
    assert_eq!(mapped.lake.lines("market.daily", &daily).await, ["it-lombardia 2026-03-10 4"]);
    let told = mapped.push("late", "Lombardïe").await.unwrap_err();
    assert!(told.contains("`Lombardïe`") && told.contains("`geo.aliases`"), "{told}");
    // A wrong file changes nothing, and its line is told.
    for wrong in ["alias,place\nLombardie,it-lombardia,x\n", "alias,place\nLombardie,Lombardia\n"] {
        let refused = mapped.write(wrong).await.unwrap_err();
        assert!(refused.contains("line 2"), "{refused}");
    }
    mapped.lake.restart().await;
    mapped.lake.arrivals.catch_up(at(NOW)).await.unwrap();
    assert_eq!(mapped.lake.rows("geo.aliases").await.num_rows(), 1);
    let both = "alias,place\nLombardy,it-lombardia\n LOMBARDÏE ,it-lombardia\n";
    assert_eq!(mapped.write(both).await, Ok(2));
    mapped.push("late", "Lombardïe").await.unwrap();
    mapped.land("d").await;
    assert_eq!(mapped.lake.lines("market.daily", &daily).await, ["it-lombardia 2026-03-10 5"]);
    assert_eq!(mapped.write(both).await, Ok(0), "nothing has changed");
    mapped.write("alias,place\n").await.unwrap();
    assert_eq!(mapped.lake.rows("geo.aliases").await.num_rows(), 0);
}

#[tokio::test]
async fn a_rebuild_reads_what_landed_by_the_words_of_today_and_nothing_is_lost_before() {
    let mapped = Mapped::new("alias,place\nMilan Area,it-lombardia\n", |_| ()).await;
    mapped.push("a", "Milan Area").await.unwrap();
    // Its entry goes before it lands.
    mapped.write("alias,place\n").await.unwrap();
    mapped.push("b", "milan").await.unwrap();
    mapped.land("d").await;
    let inbox = mapped.lake.folder.path().join("sources/inbox/a");
    let csv = "region_id,activity_index,visits\nmilan,1.5,7\n";
    std::fs::write(inbox.join("a-2026-03-10.csv"), csv).unwrap();
    mapped.land("a").await;
    let regions = async |table: &str| mapped.lake.lines(table, &["region_id"]).await;
    assert_eq!(
        mapped.lake.lines("geo.regions", &["region_id", "status"]).await,
        ["it-lombardia active", "milan pending", "milan-area pending"]
    );
    mapped.write("alias,place\nMilan,it-lombardia\nMilan Area,it-lombardia\n").await.unwrap();
    assert_eq!(regions("source_a.activity").await, ["milan"], "what has landed stays");
    mapped.lake.arrivals.rebuild_from_raw(&(), at("2026-03-10T15:00:00Z")).await.unwrap();
    assert_eq!(regions("source_a.activity").await, ["it-lombardia"]);
    assert_eq!(regions("market.events").await, ["it-lombardia"; 2]);
    assert_eq!(regions("geo.regions").await, ["it-lombardia"]);
}

#[tokio::test]
async fn what_rests_on_a_mapping_is_computed_again_when_its_file_changes() {
    let mapped = Mapped::new("alias,place\nLombardy,it-lombardia\n", |lakefile| {
        let model = lakefile.models.iter_mut().find(|m| m.table.to_string() == "geo.regions").unwrap();
        let other = "FROM listed\n    CROSS JOIN (SELECT min(alias) AS alias FROM geo.aliases) AS other";
        let text = model.text.replace("FROM listed", other).replace("settled = \"status = 'active'\"\n", "");
        let text = text.replace("coalesce(known.name,", "coalesce(other.alias, known.name,");
        *model = Model::parse(&model.file, &text).unwrap();
    })
    .await;
    assert_eq!(mapped.lake.lines("geo.regions", &["name"]).await, ["Lombardy"]);
    mapped.write("alias,place\nLombardei,it-lombardia\n").await.unwrap();
    assert_eq!(mapped.lake.lines("geo.regions", &["name"]).await, ["Lombardei"]);
}

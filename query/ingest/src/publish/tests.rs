//! The write path over a lake in memory and a catalog on each database.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use catalog::{Catalog, Config, NewPlatformTable, Table};
use chrono::{DateTime, NaiveDate, Utc};
use database::testing::Scratch;
use identity::{RegionId, TableName};
use lake::{Lake, LakeConfig};
use serde_json::json;

use super::settle::Settled;
use super::*;

struct World {
    publisher: Publisher,
    table: Arc<Table>,
    _db: Scratch,
}

async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for db in database::testing::each().await {
        let lake = Lake::open(LakeConfig::default()).await.unwrap();
        let catalog = Catalog::open((*db).clone(), Config::default()).await.unwrap();
        let new = NewPlatformTable {
            key: vec!["region_id".into(), "day".into()],
            sort: vec!["region_id".into(), "day".into()],
            ..NewPlatformTable::new(TableName::new("market", "daily"), "aggregated/market/daily")
        };
        let table = catalog.register_platform(new, now()).await.unwrap();
        worlds.push(World { publisher: Publisher::new(lake, catalog), table, _db: db });
    }
    worlds
}

fn now() -> DateTime<Utc> {
    "2026-11-20T14:00:00Z".parse().unwrap()
}

fn batch(rows: &[(&str, i32, i64)]) -> RecordBatch {
    let region: StringArray = rows.iter().map(|(region, ..)| Some(*region)).collect();
    let day: Date32Array = rows.iter().map(|(_, day, _)| Some(*day)).collect();
    let value: Int64Array = rows.iter().map(|(.., value)| Some(*value)).collect();
    RecordBatch::try_from_iter([
        ("region_id", Arc::new(region) as ArrayRef),
        ("day", Arc::new(day)),
        ("value", Arc::new(value)),
    ])
    .unwrap()
}

fn rows(rows: &[(&str, i32, i64)]) -> Rows {
    let batch = batch(rows);
    Rows::Batches(batch.schema(), vec![batch])
}

fn upsert() -> Mode {
    Mode::Upsert { key: vec!["region_id".into(), "day".into()], unique: false }
}

impl World {
    async fn write(&self, write: Write) -> Result<Published, Error> {
        self.publisher.write(&self.table, write).await
    }

    /// All rows of the visible version, sorted.
    async fn read(&self) -> Vec<(String, i32, i64)> {
        use arrow::array::AsArray;
        use arrow::datatypes::{Date32Type, Int64Type};
        let table = self.publisher.catalog().moment().table(&self.table.name).unwrap();
        let at = table.location.parse().unwrap();
        let snapshot = self.publisher.lake().snapshot(&at, table.version.unwrap()).await.unwrap();
        let context = datafusion::prelude::SessionContext::new();
        let provider = self.publisher.lake().provider(Arc::clone(&snapshot), &[]).unwrap();
        assert_eq!(snapshot.rows(), table.rows as u64);
        let batches = context.read_table(provider).unwrap().collect().await.unwrap();
        let mut all = Vec::new();
        for batch in batches {
            let region = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).unwrap();
            for row in 0..batch.num_rows() {
                let day = batch.column(1).as_primitive::<Date32Type>().value(row);
                let value = batch.column(2).as_primitive::<Int64Type>().value(row);
                all.push((region.as_string::<i32>().value(row).to_owned(), day, value));
            }
        }
        all.sort();
        all
    }

    async fn files(&self) -> usize {
        let at: lake::Location = self.table.location.parse().unwrap();
        let version = self.publisher.lake().latest(&at).await.unwrap().unwrap();
        self.publisher.lake().snapshot(&at, version).await.unwrap().files().len()
    }
}

fn owned(rows: &[(&str, i32, i64)]) -> Vec<(String, i32, i64)> {
    rows.iter().map(|(region, day, value)| ((*region).to_owned(), *day, *value)).collect()
}

#[tokio::test]
async fn rows_are_added_replaced_by_key_and_overwritten() {
    for world in worlds().await {
        let first =
            world.write(Write::new(rows(&[("a", 1, 10), ("b", 1, 20)]), Mode::Append, now())).await.unwrap();
        assert_eq!((first.rows, first.repeated), (2, false));
        let second = world
            .write(Write::new(rows(&[("b", 1, 21), ("c", 2, 30), ("c", 2, 31)]), upsert(), now()))
            .await
            .unwrap();
        assert!(second.version > first.version);
        assert_eq!(world.read().await, owned(&[("a", 1, 10), ("b", 1, 21), ("c", 2, 31)]));
        world.write(Write::new(rows(&[("z", 9, 90)]), Mode::Overwrite, now())).await.unwrap();
        assert_eq!(world.read().await, owned(&[("z", 9, 90)]));
    }
}

#[tokio::test]
async fn only_files_that_hold_the_keys_are_written_anew() {
    for world in worlds().await {
        let split = Some(Split { column: "day".into(), period: Period::Day });
        let write = Write {
            split: split.clone(),
            ..Write::new(rows(&[("a", 1, 1), ("b", 1, 2), ("a", 2, 3), ("b", 3, 4)]), Mode::Append, now())
        };
        world.write(write).await.unwrap();
        assert_eq!(world.files().await, 3);
        let at: lake::Location = world.table.location.parse().unwrap();
        let lake = world.publisher.lake();
        let paths = async || -> Vec<String> {
            let version = lake.latest(&at).await.unwrap().unwrap();
            lake.snapshot(&at, version).await.unwrap().files().iter().map(|file| file.path.clone()).collect()
        };
        let before = paths().await;
        world.write(Write { split, ..Write::new(rows(&[("b", 3, 5)]), upsert(), now()) }).await.unwrap();
        let kept = paths().await.into_iter().filter(|path| before.contains(path)).count();
        assert_eq!((kept, world.files().await), (2, 3));
        assert_eq!(world.read().await, owned(&[("a", 1, 1), ("a", 2, 3), ("b", 1, 2), ("b", 3, 5)]));
    }
}

#[tokio::test]
async fn a_window_is_what_the_new_rows_say_it_is() {
    for world in worlds().await {
        world
            .write(Write::new(
                rows(&[("a", 1, 1), ("a", 2, 2), ("b", 1, 3), ("b", 2, 4)]),
                Mode::Append,
                now(),
            ))
            .await
            .unwrap();
        let day = |n: i64| NaiveDate::default() + chrono::Days::new(n as u64);
        let window = |region: &str, from, to| Window {
            region: Some(RegionId::parse(region).unwrap()),
            from: day(from),
            to: day(to),
        };
        let windows = vec![window("a", 2, 3), window("b", 1, 2)];
        let mode = Mode::ReplaceWindow { column: "day".into(), windows };
        world.write(Write::new(rows(&[("b", 1, 33)]), mode, now())).await.unwrap();
        assert_eq!(world.read().await, owned(&[("a", 1, 1), ("b", 1, 33), ("b", 2, 4)]));
    }
}

#[tokio::test]
async fn a_batch_is_written_once_and_moves_its_source() {
    for world in worlds().await {
        let batch = |n: i64| SourceBatch { source: "d".into(), n, position: json!({ "offset": n }) };
        let write = |n: i64| Write {
            txn: Some(("source:d".into(), n)),
            batch: Some(batch(n)),
            regions: Regions::These([RegionId::parse("a").unwrap()].into()),
            ..Write::new(rows(&[("a", 1, n)]), Mode::Append, now())
        };
        world.write(write(1)).await.unwrap();
        let again = world.write(write(1)).await.unwrap();
        assert!(again.repeated);
        assert_eq!(world.read().await, owned(&[("a", 1, 1)]));
        let empty = Write { rows: rows(&[]), ..write(2) };
        world.write(empty).await.unwrap();
        let batches = world.publisher.catalog().batches();
        assert_eq!(batches.last_position("d").await.unwrap(), Some(json!({ "offset": 2 })));
        assert_eq!(batches.next_n("d").await.unwrap(), 3);
    }
}

#[tokio::test]
async fn many_writers_at_once_lose_nothing() {
    for world in worlds().await {
        // Two publishers are two nodes: only the log and the catalog keep them apart.
        let lake = world.publisher.lake().clone();
        let other = Publisher::new(lake, world.publisher.catalog().clone());
        let write = |n: i64, mode: Mode| Write::new(rows(&[("a", n as i32, n)]), mode, now());
        world.write(write(0, Mode::Append)).await.unwrap();
        let all = (1..13).map(|n| {
            let (publisher, table) =
                (if n % 2 == 0 { world.publisher.clone() } else { other.clone() }, Arc::clone(&world.table));
            let write = write(n, if n % 3 == 0 { upsert() } else { Mode::Append });
            tokio::spawn(async move { publisher.write(&table, write).await })
        });
        for done in futures::future::join_all(all).await {
            done.unwrap().unwrap();
        }
        let days: Vec<_> = world.read().await.into_iter().map(|(_, day, _)| day).collect();
        assert_eq!(days, (0..13).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_leaves_nothing() {
    for world in worlds().await {
        world.write(Write::new(rows(&[("a", 1, 1)]), Mode::Append, now())).await.unwrap();
        let text =
            RecordBatch::try_from_iter([("value", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)])
                .unwrap();
        let refused =
            world.write(Write::new(Rows::Batches(text.schema(), vec![text]), Mode::Append, now())).await;
        assert!(matches!(refused, Err(Error::Schema(_))));
        let twice = Write::new(
            rows(&[("b", 1, 1), ("b", 1, 2)]),
            Mode::Upsert { key: vec!["region_id".into(), "day".into()], unique: true },
            now(),
        );
        assert!(matches!(world.write(twice).await, Err(Error::Key { .. })));
        assert_eq!(world.read().await, owned(&[("a", 1, 1)]));
        assert!(world.publisher.catalog().open_intents_of(world.table.id).await.unwrap().is_empty());
        let objects = world.publisher.lake().objects().list(&world.table.location).await.unwrap();
        assert_eq!(objects.iter().filter(|object| object.path.ends_with(".parquet")).count(), 1);
    }
}

#[tokio::test]
async fn new_columns_widen_the_table() {
    for world in worlds().await {
        world.write(Write::new(rows(&[("a", 1, 1)]), Mode::Append, now())).await.unwrap();
        let wide = RecordBatch::try_from_iter([
            ("region_id", Arc::new(StringArray::from(vec!["b"])) as ArrayRef),
            ("day", Arc::new(Date32Array::from(vec![2]))),
            ("value", Arc::new(Int64Array::from(vec![2]))),
            ("more", Arc::new(Int64Array::from(vec![7]))),
        ])
        .unwrap();
        world.write(Write::new(Rows::Batches(wide.schema(), vec![wide]), upsert(), now())).await.unwrap();
        world.write(Write::new(rows(&[("a", 1, 5)]), upsert(), now())).await.unwrap();
        assert_eq!(world.read().await, owned(&[("a", 1, 5), ("b", 2, 2)]));
    }
}

#[tokio::test]
async fn an_open_intent_is_published_if_its_commit_is_there_and_cleared_if_not() {
    for world in worlds().await {
        world.write(Write::new(rows(&[("a", 1, 1)]), Mode::Append, now())).await.unwrap();
        let (lake, catalog) = (world.publisher.lake().clone(), world.publisher.catalog().clone());
        let at: lake::Location = world.table.location.parse().unwrap();
        let intend = async || {
            let new = catalog::NewIntent {
                kind: catalog::IntentKind::Write,
                table: world.table.id,
                workspace: None,
                location: world.table.location.clone(),
                base_version: Some(1),
            };
            let id = catalog.intend(new, now()).await.unwrap();
            let options = lake::WriterOptions { prefix: id.to_string(), ..Default::default() };
            let rows = batch(&[("k", 5, 5)]);
            let mut writer = lake.writer(&at, rows.schema(), options).unwrap();
            writer.write(&rows).await.unwrap();
            (id, writer.finish().await.unwrap())
        };
        // Killed before the commit.
        let (_, _) = intend().await;
        // Killed between commit and catalog.
        let (id, files) = intend().await;
        let draft = catalog::Publish {
            operation: "append".into(),
            ..catalog::Publish::new(id, world.table.id, 0, now())
        };
        catalog.prepare(id, &json!([]), &draft, now()).await.unwrap();
        let mut commit = lake::Commit::new(id, "APPEND");
        commit.add = files;
        lake.commit(&at, commit).await.unwrap();
        let mut ends = Vec::new();
        for intent in catalog.open_intents_of(world.table.id).await.unwrap() {
            ends.push(matches!(world.publisher.settle(&intent, now()).await.unwrap(), Settled::Published(_)));
        }
        assert_eq!(ends, [false, true]);
        assert_eq!(world.read().await, owned(&[("a", 1, 1), ("k", 5, 5)]));
        let objects = lake.objects().list(&world.table.location).await.unwrap();
        assert_eq!(objects.iter().filter(|object| object.path.ends_with(".parquet")).count(), 2);
    }
}

#[tokio::test]
async fn small_files_are_put_together_without_touching_a_region() {
    for world in worlds().await {
        for n in 0..20 {
            let write = Write {
                regions: Regions::These([RegionId::parse("a").unwrap()].into()),
                ..Write::new(rows(&[("a", n, 1)]), Mode::Append, now())
            };
            world.write(write).await.unwrap();
        }
        let region = RegionId::parse("a").unwrap();
        let stamp = |world: &World| {
            world.publisher.catalog().moment().stamp(world.table.id, &region).map(|stamp| stamp.version)
        };
        let before = stamp(&world);
        let table = world.publisher.catalog().moment().table(&world.table.name).unwrap();
        let compacted = world.publisher.compact(&table, None, now()).await.unwrap().unwrap();
        assert!(compacted.version > table.version.unwrap());
        assert_eq!((world.files().await, stamp(&world)), (1, before));
        assert_eq!(world.read().await.len(), 20);
        assert!(world.publisher.compact(&compacted.table, None, now()).await.unwrap().is_none());
    }
}

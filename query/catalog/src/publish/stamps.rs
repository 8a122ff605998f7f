//! Stamps: the last version that changed each region's rows.
//!
//! A commit of the whole table raises its floor instead of every region's stamp.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use database::{Run as _, Tx, within};
use identity::RegionId;
use sqlx::types::Json;

use super::{Publish, Touched};
use crate::Error;
use crate::sql::{elements, text_for};

/// Moves the stamps of the regions a commit touched. `before` is the version that was visible before it.
pub(super) async fn stamp(
    tx: &mut Tx,
    publish: &Publish,
    before: Option<i64>,
    at: DateTime<Utc>,
    ticks: i64,
) -> Result<(), Error> {
    // What lies between was committed by a write that has not published: its regions are not known here.
    let skipped = publish.version > before.unwrap_or(0) + 1;
    match &publish.touched {
        _ if skipped => raise_floor(tx, publish, at, ticks).await,
        Touched::Everything => raise_floor(tx, publish, at, ticks).await,
        Touched::Regions(regions) if !regions.is_empty() => {
            stamp_regions(tx, publish, regions, at, ticks).await
        }
        Touched::Regions(_) | Touched::Nothing => Ok(()),
    }
}

async fn raise_floor(tx: &mut Tx, publish: &Publish, at: DateTime<Utc>, ticks: i64) -> Result<(), Error> {
    const RAISE: &str = "UPDATE tables SET floor_version = $2, floor_at = $3, changed = $4
         WHERE id = $1 AND (floor_version IS NULL OR floor_version < $2)";
    within!(tx, |conn| sqlx::query(RAISE)
        .bind(publish.table.as_uuid())
        .bind(publish.version)
        .bind(at)
        .bind(ticks)
        .run(conn))?;
    Ok(())
}

macro_rules! stamp_text {
    ($database:ident) => {
        concat!(
            "INSERT INTO region_stamps (table_id, region_id, version, updated_at, changed)
             SELECT $1, value, $2, $3, $4 FROM ", elements!($database, "$5"), " WHERE TRUE
             ON CONFLICT (table_id, region_id) DO UPDATE
               SET version = excluded.version, updated_at = excluded.updated_at, changed = excluded.changed
               WHERE excluded.version > region_stamps.version"
        )
    };
}

async fn stamp_regions(
    tx: &mut Tx,
    publish: &Publish,
    regions: &[RegionId],
    at: DateTime<Utc>,
    ticks: i64,
) -> Result<(), Error> {
    // PostgreSQL refuses to touch one row twice in a statement.
    let distinct: BTreeSet<&RegionId> = regions.iter().collect();
    let sql = text_for!(tx.kind(), stamp_text);
    within!(tx, |conn| sqlx::query(sql)
        .bind(publish.table.as_uuid())
        .bind(publish.version)
        .bind(at)
        .bind(ticks)
        .bind(Json(&distinct))
        .run(conn))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stamp;
    use crate::testing::{each, minute, publish, region, table};

    fn regions(names: &[&str]) -> Touched {
        Touched::Regions(names.iter().map(|name| region(name)).collect())
    }

    #[tokio::test]
    async fn only_the_regions_a_commit_names_get_a_new_stamp() {
        for node in each().await {
            let daily = node.platform("weather.daily").await;
            publish(&node, &daily, 1, Touched::Everything, minute(1)).await;
            let before = node.moment();
            publish(&node, &daily, 2, regions(&["rome", "rome", "oslo"]), minute(2)).await;
            publish(&node, &daily, 3, Touched::Nothing, minute(3)).await;
            let after = node.moment();
            let version = |moment: &crate::Moment, name| {
                moment.stamp(daily.id, &region(name)).map(|stamp| stamp.version)
            };
            assert_eq!(
                (version(&after, "rome"), version(&after, "oslo"), version(&after, "bonn")),
                (Some(2), Some(2), Some(1))
            );
            assert_eq!(after.table(&table("weather.daily")).unwrap().version, Some(3));
            // A moment is what it was, whatever was published after it.
            assert_eq!(
                (version(&before, "rome"), before.table(&table("weather.daily")).unwrap().version),
                (Some(1), Some(1))
            );
        }
    }

    #[tokio::test]
    async fn a_skipped_version_counts_as_a_change_of_every_region() {
        for node in each().await {
            let daily = node.platform("weather.daily").await;
            publish(&node, &daily, 1, Touched::Everything, minute(1)).await;
            publish(&node, &daily, 4, regions(&["rome"]), minute(2)).await;
            assert_eq!(node.moment().stamp(daily.id, &region("bonn")).unwrap().version, 4);
        }
    }

    #[tokio::test]
    async fn another_node_sees_it_at_its_next_look() {
        for node in each().await {
            let daily = node.platform("weather.daily").await;
            let other = node.again("other").await;
            publish(&node, &daily, 1, regions(&["rome"]), minute(1)).await;
            assert_eq!(other.moment().table(&table("weather.daily")).unwrap().version, None);
            other.refresh().await.unwrap();
            let (seen, stamp) = (other.moment(), Stamp { version: 1, updated_at: minute(1) });
            assert_eq!(seen.table(&table("weather.daily")).unwrap().version, Some(1));
            assert_eq!(seen.stamp(daily.id, &region("rome")), Some(stamp));
            assert_eq!(seen.stamp(daily.id, &region("bonn")), None);
        }
    }

    #[tokio::test]
    async fn files_made_fewer_are_no_news() {
        for node in each().await {
            let daily = node.platform("weather.daily").await;
            publish(&node, &daily, 1, Touched::Everything, minute(1)).await;
            let compacted = publish(&node, &daily, 2, Touched::Nothing, minute(5)).await;
            assert_eq!((compacted.version, compacted.updated_at), (Some(2), minute(1)));
            assert_eq!(node.version_at(daily.id, minute(3), minute(9)).await.unwrap(), Some(1));
            // History goes on after the compaction even where a clock went back.
            publish(&node, &daily, 3, Touched::Everything, minute(4)).await;
            assert_eq!(node.version_at(daily.id, minute(5), minute(9)).await.unwrap(), Some(3));
        }
    }
}

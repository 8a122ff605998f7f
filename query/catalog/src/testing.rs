//! A catalog on a fresh database of each kind, and the few steps most tests begin with.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use database::testing::Scratch;
use identity::{IntentId, Name, RegionId, Slug, TableName, WorkspaceId};

use crate::{
    Catalog, Config, IntentKind, NewIntent, NewPlatformTable, NewTable, Owner, Publish, Table, Touched,
};

/// A catalog with the database it stands on.
pub(crate) struct Node {
    pub catalog: Catalog,
    scratch: Scratch,
}

impl std::ops::Deref for Node {
    type Target = Catalog;

    fn deref(&self) -> &Catalog {
        &self.catalog
    }
}

pub(crate) async fn each() -> Vec<Node> {
    let mut nodes = Vec::new();
    for scratch in database::testing::each().await {
        let catalog = Catalog::open((*scratch).clone(), Config::default()).await.unwrap();
        nodes.push(Node { catalog, scratch });
    }
    nodes
}

impl Node {
    /// Another process on the same database, under the name of `node`.
    pub async fn again(&self, node: &str) -> Catalog {
        let config = Config { owner: Owner::new(node), ..Config::default() };
        Catalog::open(self.scratch.connect_again().await, config).await.unwrap()
    }

    pub async fn platform(&self, name: &str) -> Arc<Table> {
        let new = NewPlatformTable::new(table(name), format!("aggregated/{name}"));
        self.register_platform(new, minute(0)).await.unwrap()
    }

    pub async fn dataset(&self, workspace: WorkspaceId, name: &str) -> Arc<Table> {
        self.create_table(workspace, NewTable::new(slug("acme"), self::name(name)), minute(0)).await.unwrap()
    }
}

/// Announces and publishes `version` of a table.
pub(crate) async fn publish(
    catalog: &Catalog,
    table: &Table,
    version: i64,
    touched: Touched,
    at: DateTime<Utc>,
) -> Arc<Table> {
    let intent = intend(catalog, table, at).await;
    let publish = Publish { rows: version * 10, touched, ..Publish::new(intent, table.id, version, at) };
    catalog.publish(publish).await.unwrap()
}

pub(crate) async fn intend(catalog: &Catalog, table: &Table, at: DateTime<Utc>) -> IntentId {
    let new = NewIntent {
        kind: IntentKind::Write,
        table: table.id,
        workspace: table.workspace,
        location: table.location.clone(),
        base_version: table.version,
    };
    catalog.intend(new, at).await.unwrap()
}

/// Minutes after an instant that all tests begin at.
pub(crate) fn minute(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap() + TimeDelta::minutes(minutes)
}

pub(crate) fn table(text: &str) -> TableName {
    text.parse().unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

pub(crate) fn region(text: &str) -> RegionId {
    RegionId::parse(text).unwrap()
}

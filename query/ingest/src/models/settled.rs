//! Regions whose rows of a model are settled: a change of the input does not move them any more.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use catalog::Moment;
use datafusion::error::DataFusionError;
use identity::{RegionId, TableName};
use parking_lot::Mutex;

use super::session::Sessions;
use super::{Model, ModelError};

type Known = (Option<i64>, Arc<BTreeSet<RegionId>>);

/// The settled regions of each model, read again only when the model's table has a new version.
#[derive(Default)]
pub struct Settled {
    known: Mutex<HashMap<TableName, Known>>,
}

impl Settled {
    /// The settled regions of a model at a moment; empty for a model without that rule.
    pub async fn of(
        &self,
        model: &Model,
        sessions: &Sessions,
        moment: &Moment,
    ) -> Result<Arc<BTreeSet<RegionId>>, ModelError> {
        let Some(rule) = &model.settled else { return Ok(Arc::default()) };
        let version = moment.table(&model.table).and_then(|t| t.version);
        if let Some((at, regions)) = self.known.lock().get(&model.table)
            && *at == version
        {
            return Ok(Arc::clone(regions));
        }
        let session = sessions.of_own_table(model, moment).await?;
        let sql = format!("SELECT region_id FROM {} WHERE {rule}", model.table);
        let regions = read(&session, &sql)
            .await
            .map_err(|source| ModelError::Statement { model: model.table.clone(), source })?;
        let regions = Arc::new(regions);
        self.known.lock().insert(model.table.clone(), (version, Arc::clone(&regions)));
        Ok(regions)
    }
}

async fn read(
    session: &datafusion::prelude::SessionContext,
    sql: &str,
) -> Result<BTreeSet<RegionId>, DataFusionError> {
    let mut regions = BTreeSet::new();
    for batch in session.sql(sql).await?.collect().await? {
        let names = cast(batch.column(0), &DataType::Utf8)?;
        regions.extend(names.as_string::<i32>().iter().flatten().filter_map(|n| RegionId::parse(n).ok()));
    }
    Ok(regions)
}

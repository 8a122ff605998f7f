//! Functions that models may use beside those of the engine.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::lakefile::zone_at;

/// `zone_at(lon, lat) -> text`, and the functions of the engine.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    let mut all = engine::functions::all();
    all.push(Arc::new(ScalarUDF::from(ZoneAt::new())));
    all
}

/// The IANA time zone of a point in degrees; null for a null or a point off the globe.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ZoneAt {
    signature: Signature,
}

impl ZoneAt {
    fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Float64; 2], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ZoneAt {
    fn name(&self) -> &str {
        "zone_at"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [lon, lat] = arguments.args.as_slice() else {
            return exec_err!("zone_at takes a longitude and a latitude");
        };
        let (lon, lat) = (lon.to_array(arguments.number_rows)?, lat.to_array(arguments.number_rows)?);
        Ok(ColumnarValue::Array(zones(&lon, &lat)))
    }
}

fn zones(lon: &ArrayRef, lat: &ArrayRef) -> ArrayRef {
    let (lon, lat) = (lon.as_primitive::<Float64Type>(), lat.as_primitive::<Float64Type>());
    let zone = |row| -> Option<&'static str> {
        let point = lon.is_valid(row) && lat.is_valid(row);
        point.then(|| zone_at(lon.value(row), lat.value(row)).ok()).flatten().map(|zone| zone.name())
    };
    Arc::new((0..lon.len()).map(zone).collect::<StringArray>())
}

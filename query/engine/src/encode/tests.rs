use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array,
    Int64Array, ListArray, RecordBatch, StringArray, StringViewArray, StructArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow::datatypes::{Field, Int32Type, Schema, SchemaRef};

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> (SchemaRef, RecordBatch) {
    let fields: Vec<Field> =
        columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, c)| c).collect()).unwrap();
    (schema, batch)
}

fn text(format: Format, columns: Vec<(&str, ArrayRef)>) -> String {
    let (schema, batch) = batch(columns);
    String::from_utf8(encode(format, &schema, &[batch], false).unwrap().to_vec()).unwrap()
}

fn json(column: ArrayRef) -> serde_json::Value {
    let rows: serde_json::Value = serde_json::from_str(&text(Format::Json, vec![("x", column)])).unwrap();
    rows.as_array().unwrap().iter().map(|row| row["x"].clone()).collect()
}

#[test]
fn numbers_are_json_numbers_only_where_a_double_is_exact() {
    let limit = 1_i64 << 53;
    let whole = Int64Array::from(vec![Some(1), Some(limit), Some(limit + 1), Some(-limit - 1), None]);
    assert_eq!(
        json(Arc::new(whole)),
        serde_json::json!([1, limit, "9007199254740993", "-9007199254740993", null])
    );
    assert_eq!(
        json(Arc::new(UInt64Array::from(vec![u64::MAX]))),
        serde_json::json!(["18446744073709551615"])
    );
    let doubles = Float64Array::from(vec![8.1, f64::NAN, f64::INFINITY, -0.5]);
    assert_eq!(json(Arc::new(doubles)), serde_json::json!([8.1, null, null, -0.5]));
    let decimals = Decimal128Array::from(vec![-12_345]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(json(Arc::new(decimals)), serde_json::json!(["-123.45"]));
}

#[test]
fn times_are_rfc_3339_in_utc() {
    let at = 1_795_183_200_000_000_i64;
    let instants = TimestampMicrosecondArray::from(vec![at, at + 5_000, at + 7, -1]).with_timezone("+00:00");
    assert_eq!(
        json(Arc::new(instants)),
        serde_json::json!([
            "2026-11-20T14:00:00Z",
            "2026-11-20T14:00:00.005Z",
            "2026-11-20T14:00:00.000007Z",
            "1969-12-31T23:59:59.999999Z"
        ])
    );
    assert_eq!(
        json(Arc::new(Date32Array::from(vec![0, 20_777]))),
        serde_json::json!(["1970-01-01", "2026-11-20"])
    );
}

#[test]
fn texts_bytes_and_nested_values() {
    let texts = StringViewArray::from(vec!["a\"b\n\u{1}", "é"]);
    assert_eq!(json(Arc::new(texts)), serde_json::json!(["a\"b\n\u{1}", "é"]));
    assert_eq!(json(Arc::new(BinaryArray::from(vec![&b"\xff\x00"[..]]))), serde_json::json!(["/wA="]));
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None]);
    assert_eq!(json(Arc::new(list)), serde_json::json!([[1, null], null]));
    let inner: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let pair = StructArray::from(vec![(Arc::new(Field::new("b", inner.data_type().clone(), true)), inner)]);
    assert_eq!(json(Arc::new(pair)), serde_json::json!([{"b": true}]));
    let words: DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
    assert_eq!(json(Arc::new(words)), serde_json::json!(["a", "b", "a"]));
}

#[test]
fn csv_keeps_spreadsheets_from_running_formulas() {
    let texts = StringArray::from(vec![
        Some("=1+1"),
        Some("+x"),
        Some("-x"),
        Some("@x"),
        Some("\tx"),
        Some("a,\"b\""),
        Some(""),
        None,
    ]);
    let numbers = Int64Array::from(vec![-1; 8]);
    let csv = text(Format::Csv, vec![("=name", Arc::new(texts)), ("n", Arc::new(numbers))]);
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(lines[0], "'=name,n");
    assert_eq!(&lines[1..5], ["'=1+1,-1", "'+x,-1", "'-x,-1", "'@x,-1"]);
    assert_eq!(&lines[5..9], ["\"'\tx\",-1", "\"a,\"\"b\"\"\",-1", "\"\",-1", ",-1"]);
    let decimals = Decimal128Array::from(vec![-5]).with_precision_and_scale(5, 1).unwrap();
    assert_eq!(text(Format::Csv, vec![("d", Arc::new(decimals))]), "d\r\n-0.5\r\n");
}

#[test]
fn a_second_column_of_one_name_is_numbered() {
    let column = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let out = text(Format::Json, vec![("x", column()), ("x_2", column()), ("x", column())]);
    assert_eq!(out, r#"[{"x":1,"x_2":1,"x_3":1}]"#);
    assert_eq!(unique_names(["x", "x", "y", "x"].into_iter()), ["x", "x_2", "y", "x_3"]);
}

#[test]
fn no_rows_are_still_a_whole_body() {
    let column: ArrayRef = Arc::new(Int64Array::from(Vec::<i64>::new()));
    assert_eq!(text(Format::Json, vec![("x", column.clone())]), "[]");
    assert_eq!(text(Format::Ndjson, vec![("x", column.clone())]), "");
    assert_eq!(text(Format::Csv, vec![("x", column.clone())]), "x\r\n");
    let (schema, batch) = batch(vec![("x", column)]);
    for format in [Format::Arrow, Format::Parquet] {
        assert!(!encode(format, &schema, std::slice::from_ref(&batch), false).unwrap().is_empty());
    }
}

#[test]
fn a_body_is_cut_between_rows() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["0123456789"; 100]));
    let (schema, batch) = batch(vec![("x", texts)]);
    for format in Format::ALL {
        let mut encoder = Encoder::new(format, &schema, false).unwrap();
        let rows = encoder.write_within(&batch, 500).unwrap();
        assert!((1..60).contains(&rows), "{format}: {rows}");
        assert!(encoder.len() <= 500, "{format}");
        let again = encoder.write_within(&batch, 10).unwrap();
        assert_eq!(again, 0, "{format}");
    }
}

#[test]
fn arrow_and_parquet_read_back() {
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None]));
    let (schema, batch) = batch(vec![("x", texts.clone()), ("x", texts)]);
    let bytes = encode(Format::Arrow, &schema, std::slice::from_ref(&batch), false).unwrap();
    let read = arrow::ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
    assert_eq!(read.schema().field(1).name(), "x_2");
    assert_eq!(read.map(|b| b.unwrap().num_rows()).sum::<usize>(), 2);
    let bytes = encode(Format::Parquet, &schema, &[batch], false).unwrap();
    let read = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes, 100).unwrap();
    assert_eq!(read.map(|b| b.unwrap().num_rows()).sum::<usize>(), 2);
}

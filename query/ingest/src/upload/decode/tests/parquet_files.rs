//! Parquet files, and files of the table that an upsert reads.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::{TableColumn, file, refused, request, run};

fn parquet(properties: WriterProperties) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter([
        ("Id", Arc::new(Int64Array::from_iter_values(0..5_000)) as ArrayRef),
        ("Name", Arc::new(StringArray::from_iter_values((0..5_000).map(|n| format!("name {n}"))))),
    ])
    .unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// A file of one column and so many rows.
pub fn of_rows(rows: i64) -> Vec<u8> {
    let ids = Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[tokio::test]
async fn parquet_is_encoded_anew() {
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::LZ4_RAW] {
        let bytes = parquet(WriterProperties::builder().set_compression(compression).build());
        let done = file("a.parquet", bytes).await.unwrap();
        assert_eq!(
            (done.names(), done.types(), done.rows.len()),
            (vec!["id", "name"], vec!["bigint".into(), "text".into()], 5_000)
        );
        assert_eq!(done.rows[4_999], ["4999", "name 4999"]);
    }
    let packed = zstd::encode_all(&parquet(WriterProperties::default())[..], 3).unwrap();
    assert_eq!(file("a.parquet.zst", packed).await.unwrap().rows.len(), 5_000);
}

/// Whatever byte is wrong: rows or a refusal, never a panic that gets out, never an endless loop.
#[tokio::test]
async fn damaged_parquet_is_refused_or_read_but_never_breaks_anything() {
    let whole = parquet(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    refused("a.parquet", whole[..whole.len() / 2].to_vec(), "file-malformed", "footer").await;
    refused("a.parquet", b"PAR1".to_vec(), "file-malformed", "cut off").await;
    let mut huge = whole.clone();
    let at = huge.len() - 8;
    huge[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    refused("a.parquet", huge, "file-malformed", "footer").await;
    let mut seed = 7u64;
    for _ in 0..150 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mut broken = whole.clone();
        let at = (seed >> 33) as usize % broken.len();
        broken[at] ^= (seed >> 20) as u8 | 1;
        if let Err(refusal) = file("a.parquet", broken).await {
            assert!(["file-malformed", "unsupported-format"].contains(&refusal.code.as_str()), "{refusal:?}");
        }
    }
}

#[tokio::test]
async fn an_upsert_keeps_the_other_rows_of_the_files_it_touches() {
    let existing = parquet(WriterProperties::default());
    let stats = |low: i64, high: i64| lake::DataFile {
        path: format!("f{low}.parquet"),
        size: existing.len() as u64,
        rows: 5_000,
        min: [("id".to_owned(), low.into())].into(),
        max: [("id".to_owned(), high.into())].into(),
        ..lake::DataFile::default()
    };
    let renamed = {
        let batch = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
            ("name", Arc::new(StringArray::from(vec!["a", "b", "c"]))),
        ])
        .unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    };
    let mut asked = request("a.csv");
    let column = |name: &str, of: &str| TableColumn { name: name.into(), of: of.parse().unwrap() };
    asked.table = Some(vec![column("id", "bigint"), column("name", "text")]);
    asked.key = vec!["id".into()];
    asked.existing =
        vec![lake::DataFile { size: renamed.len() as u64, ..stats(1, 3) }, stats(10_000, 20_000)];
    let done = run(asked, vec![b"id,name\n2,new\n9,nine\n".to_vec(), renamed, existing]).await.unwrap();
    assert_eq!(done.decoded.replaced, ["f1.parquet"]);
    let mut rows = done.rows;
    rows.sort();
    assert_eq!(rows, [["1", "a"], ["2", "new"], ["3", "c"], ["9", "nine"]]);
}

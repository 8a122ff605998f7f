//! Decimal marks and notes, over whole files.

use super::*;
use crate::upload::DecimalMark;

fn notes(done: &Done) -> Vec<&str> {
    done.decoded.columns.iter().map(|column| column.note.as_deref().unwrap_or_default()).collect()
}

async fn by(decimal: DecimalMark, content: &str) -> Result<Done, Refusal> {
    run(DecodeRequest { decimal: Some(decimal), ..request("a.csv") }, vec![content.into()]).await
}

#[tokio::test]
async fn a_decimal_comma_in_one_column_counts_for_all() {
    let done =
        file("a.csv", "p;q;r;s\n12,5;1.234;12,5%;1.5\n1.234,56;2;3%;x\n;12.345.678;;y\n").await.unwrap();
    assert_eq!(done.types(), ["double", "bigint", "text", "text"]);
    assert_eq!(done.rows[0], ["12.5", "1234", "12,5%", "1.5"]);
    assert_eq!(done.rows[1], ["1234.56", "2", "3%", "x"]);
    assert_eq!(done.rows[2][1], "12345678");
}

#[tokio::test]
async fn numbers_that_can_be_read_in_two_ways_stay_text_until_the_mark_is_told() {
    let csv = "a;b;c\n1.234;5;0.5\n500;6;1.234\n";
    let done = file("a.csv", csv).await.unwrap();
    assert_eq!(
        (done.types(), done.rows[0][0].as_str()),
        (["text", "bigint", "double"].map(String::from).to_vec(), "1.234")
    );
    let note = notes(&done)[0];
    assert!(
        note.starts_with("text because row 1 is \"1.234\", which") && note.contains("`decimal`"),
        "{note}"
    );
    let point = by(DecimalMark::Point, csv).await.unwrap();
    assert_eq!((point.types()[0].as_str(), point.rows[0][0].as_str()), ("double", "1.234"));
    let comma = by(DecimalMark::Comma, "a;b\n1.234;5\n500;6\n").await.unwrap();
    assert_eq!((comma.types()[0].as_str(), comma.rows[0][0].as_str()), ("bigint", "1234"));
    assert_eq!(file("a.csv", "a,b\n1.234,5\n").await.unwrap().types()[0], "double");
    assert_eq!(file("a.csv", "a\tb\n1.234\t5\n").await.unwrap().types()[0], "double");
}

#[tokio::test]
async fn columns_that_contradict_each_other_decide_nothing_for_others() {
    let done = file("a.csv", "p;q;r\n12,5;12.5;1.234\n").await.unwrap();
    assert_eq!(done.types(), ["double", "text", "text"]);
    assert!(notes(&done)[1].contains("another column") && notes(&done)[2].contains("`decimal`"));
}

#[tokio::test]
async fn given_types_follow_the_mark_of_the_file() {
    let mut asked = request("a.csv");
    asked.types =
        [("x".to_owned(), "double".to_owned()), ("y".to_owned(), "decimal(10,2)".to_owned())].into();
    let done = run(asked.clone(), vec![b"x;y\n1.234;1.234,50\n".to_vec()]).await.unwrap();
    assert_eq!(done.rows[0], ["1234.0", "1234.50"]);
    let unclear = run(asked.clone(), vec![b"x;y\n1.234;1\n".to_vec()]).await.err().unwrap();
    assert!(unclear.detail.contains("`decimal`"), "{}", unclear.detail);
    asked.decimal = Some(DecimalMark::Point);
    assert_eq!(run(asked, vec![b"x;y\n1.234;1\n".to_vec()]).await.unwrap().rows[0], ["1.234", "1.00"]);
}

#[tokio::test]
async fn other_formats_have_no_decimal_comma() {
    let asked = DecodeRequest { decimal: Some(DecimalMark::Comma), ..request("a.ndjson") };
    assert_eq!(run(asked, vec![b"{\"a\":1}\n".to_vec()]).await.err().unwrap().code, "invalid-parameter");
}

/// The mark is found in the whole file: what its first piece shows is the same in each of these.
#[tokio::test]
async fn the_last_value_of_a_long_file_decides_the_mark() {
    let last = 800_000;
    let with = |end: &str| {
        long("a;b;c", last + 1, |n| {
            if n == last { format!("{end}\n") } else { format!("{}.{:03};7;x y z\n", n % 9 + 1, n % 1000) }
        })
    };
    let types = |done: Done| (done.types(), done.rows[1][0].clone());
    let found = |end: &'static str| async move { types(file("a.csv", with(end)).await.unwrap()) };
    assert_eq!(
        found("1.000;7;x").await,
        (vec!["text".into(), "bigint".into(), "text".into()], "2.001".into())
    );
    assert_eq!(
        found("1.000;7,5;x").await,
        (vec!["bigint".into(), "double".into(), "text".into()], "2001".into())
    );
    assert_eq!(
        found("1.5;7;x").await,
        (vec!["double".into(), "bigint".into(), "text".into()], "2.001".into())
    );
    let mut asked = request("a.csv");
    asked.types.insert("a".into(), "double".into());
    let done = run(asked, vec![with("1.000;7,5;x").into()]).await.unwrap();
    assert_eq!(types(done), (vec!["double".into(), "double".into(), "text".into()], "2001.0".into()));
}

#[tokio::test]
async fn the_value_that_kept_a_long_column_text_is_named_with_its_row() {
    for (breaking, first) in [(60_000, "abc"), (700_000, "late")] {
        let text = long("n,t,d", 800_000, |n| match n {
            n if n == breaking => format!("{first},word,2026-01-01\n"),
            n => format!("{n},word {n},2026-01-{:02}\n", n % 28 + 1),
        });
        let done = file("a.csv", text).await.unwrap();
        assert_eq!(done.types(), ["text", "text", "date"]);
        assert_eq!(
            notes(&done),
            [format!("text because row {} is \"{first}\"", breaking + 1).as_str(), "", ""]
        );
    }
}

#[tokio::test]
async fn json_has_notes_too() {
    let done = file("a.ndjson", "{\"a\":1}\n{\"a\":2}\n{\"b\":1}\n{\"a\":\"x\"}\n").await.unwrap();
    assert_eq!(notes(&done), ["text because row 4 is \"x\"", ""]);
}

#[tokio::test]
async fn a_long_file_of_tabs_notes_what_a_decimal_comma_would_make_of_a_column() {
    let text =
        long("n\tt", 900_000, |n| if n == 800_000 { "x\ty\n".into() } else { format!("{n},5\tword\n") });
    let done = file("a.csv", text).await.unwrap();
    assert_eq!(
        (done.types(), notes(&done)),
        (vec!["text".into(), "text".into()], vec!["text because row 800001 is \"x\"", ""])
    );
    let early = long("n\tt", 900_000, |n| if n == 8 { "x\ty\n".into() } else { format!("{n},5\tword\n") });
    assert_eq!(notes(&file("a.csv", early).await.unwrap()), ["text because row 9 is \"x\"", ""]);
}

//! What a file is, told by its first bytes; never by its name, which must only agree.

use super::fault::Fault;
use crate::upload::Format;

/// How the whole file is packed. One file compressed is no archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    None,
    Gzip,
    Zstd,
}

/// Kinds of file that are refused, by their first bytes, with the reason.
const REFUSED: [(&[u8], &str); 13] = [
    (b"PK\x03\x04", "is a zip archive or an Excel workbook; upload one CSV, JSON or Parquet file"),
    (b"PK\x05\x06", "is an empty zip archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old or encrypted Office document; save it as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive"),
    (b"Rar!\x1a\x07", "is a rar archive"),
    (b"BZh", "is compressed with bzip2; gzip and zstd are taken"),
    (b"\xfd7zXZ\x00", "is compressed with xz; gzip and zstd are taken"),
    (b"ARROW1", "is an Arrow file; Parquet is taken"),
    (b"PARE", "is an encrypted Parquet file"),
    (b"%PDF-", "is a PDF document"),
    (b"SQLite format 3\0", "is a SQLite database"),
    (b"\x7fELF", "is a program"),
    (b"Obj\x01", "is an Avro file"),
];

/// The packing of a file that begins with `head`.
pub fn packing(head: &[u8]) -> Packing {
    match head {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        _ => Packing::None,
    }
}

/// The format of unpacked content that begins with `head`. Errors: a kind that is not taken.
pub fn format(head: &[u8], packing: Packing) -> Result<Format, Fault> {
    for (magic, reason) in REFUSED {
        // `BZh` and `Obj` are also words; only what follows them tells.
        let is_word = magic.is_ascii() && magic.len() < 4 && !head.get(3).is_some_and(u8::is_ascii_digit);
        if head.starts_with(magic) && !is_word {
            return Err(Fault::unsupported(format!("the file {reason}")));
        }
    }
    if head.get(257..262) == Some(b"ustar") {
        return Err(Fault::unsupported("the file is a tar archive; upload one CSV, JSON or Parquet file"));
    }
    if packing != Packing::None && self::packing(head) != Packing::None {
        return Err(Fault::unsupported("the file is compressed twice"));
    }
    if head.starts_with(b"PAR1") {
        return Ok(Format::Parquet);
    }
    Ok(text_format(head))
}

/// JSON begins with a bracket that JSON goes on from; everything else is CSV.
fn text_format(head: &[u8]) -> Format {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = text.trim_ascii_start();
    let next = text.get(1..).unwrap_or_default().trim_ascii_start().first();
    match (text.first(), next) {
        (Some(b'{'), Some(b'"' | b'}')) => Format::Ndjson,
        (Some(b'['), Some(b'{' | b']' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')) => {
            Format::Json
        }
        _ => Format::Csv,
    }
}

/// Checks the format found against the format asked for and the file's name; gives the format to read.
/// Errors: they do not agree.
pub fn agree(
    found: Format,
    asked: Option<Format>,
    file_name: Option<&str>,
    packing: Packing,
) -> Result<Format, Fault> {
    let claims = asked.map(|format| (format, "the format asked for".to_owned()));
    let by_name = file_name.and_then(|name| claimed(name, packing));
    for (claim, source) in claims.into_iter().chain(by_name) {
        let same = claim == found || (claim == Format::Json && found == Format::Ndjson);
        if !same {
            let detail = format!("the file's content is {}, but {source} says {}", word(found), word(claim));
            return Err(Fault::unsupported(detail));
        }
    }
    Ok(found)
}

/// The format that a file's name claims; a name without a known ending claims nothing.
fn claimed(name: &str, packing: Packing) -> Option<(Format, String)> {
    let lower = name.to_ascii_lowercase();
    let bare = match packing {
        Packing::Gzip => lower.trim_end_matches(".gz").trim_end_matches(".gzip"),
        Packing::Zstd => lower.trim_end_matches(".zst").trim_end_matches(".zstd"),
        Packing::None => &lower,
    };
    let format = match bare.rsplit_once('.')?.1 {
        "csv" | "tsv" | "tab" | "psv" => Format::Csv,
        "ndjson" | "jsonl" | "jsonlines" => Format::Ndjson,
        "json" => Format::Json,
        "parquet" | "pq" | "parq" => Format::Parquet,
        _ => return None,
    };
    Some((format, "its name".to_owned()))
}

/// A name that claims a compression the content does not have, or a kind of file that is not taken.
pub fn check_name(name: &str, packing: Packing) -> Result<(), Fault> {
    let lower = name.to_ascii_lowercase();
    let ending = lower.rsplit_once('.').map_or("", |(_, ending)| ending);
    let claims = match ending {
        "gz" | "gzip" => Packing::Gzip,
        "zst" | "zstd" => Packing::Zstd,
        "xlsx" | "xlsm" | "xls" | "xlsb" | "ods" | "zip" | "tar" | "tgz" | "7z" | "rar" | "bz2" | "xz"
        | "pdf" | "avro" | "arrow" => {
            return Err(Fault::unsupported(format!(
                "files that end in `.{ending}` are not taken; CSV, JSON and Parquet are"
            )));
        }
        _ => return Ok(()),
    };
    match claims == packing {
        true => Ok(()),
        false => Err(Fault::unsupported(format!(
            "the file's name ends in `.{ending}`, but its content is not compressed so"
        ))),
    }
}

fn word(format: Format) -> &'static str {
    match format {
        Format::Csv => "CSV",
        Format::Ndjson => "newline-delimited JSON",
        Format::Json => "a JSON array",
        Format::Parquet => "Parquet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(head: &[u8]) -> Result<Format, Fault> {
        format(head, packing(head))
    }

    #[test]
    fn content_tells_the_format() {
        for (head, format) in [
            (&b"a,b\n1,2\n"[..], Format::Csv),
            (b"{\"a\":1}\n", Format::Ndjson),
            (b" \n[ {\"a\":1}]", Format::Json),
            (b"[]", Format::Json),
            (b"PAR1\x15\x04", Format::Parquet),
            (b"\xef\xbb\xbf{\"a\":1}", Format::Ndjson),
            (b"{x},y\n", Format::Csv),
            (b"Object,b\n", Format::Csv),
            (b"", Format::Csv),
        ] {
            assert_eq!(found(head).unwrap(), format, "{head:?}");
        }
    }

    #[test]
    fn what_is_not_taken_is_refused_with_a_reason() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for head in [
            &b"PK\x03\x04\x14"[..],
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            b"PARE",
            b"%PDF-1.7",
            b"BZh9",
            b"7z\xbc\xaf\x27\x1c",
            &tar,
        ] {
            assert_eq!(found(head).unwrap_err().code, "unsupported-format", "{head:?}");
        }
        assert!(format(b"\x1f\x8b", Packing::Gzip).is_err());
    }

    #[test]
    fn the_name_must_agree() {
        assert!(agree(Format::Csv, None, Some("a.parquet"), Packing::None).is_err());
        assert!(agree(Format::Parquet, Some(Format::Csv), None, Packing::None).is_err());
        assert_eq!(agree(Format::Ndjson, None, Some("a.json"), Packing::None).unwrap(), Format::Ndjson);
        assert_eq!(agree(Format::Csv, None, Some("a.csv.gz"), Packing::Gzip).unwrap(), Format::Csv);
        assert_eq!(agree(Format::Csv, None, Some("data"), Packing::None).unwrap(), Format::Csv);
        assert!(agree(Format::Csv, None, Some("a.jsonl"), Packing::None).is_err());
        assert!(
            check_name("a.csv.gz", Packing::None).is_err() && check_name("a.xlsx", Packing::None).is_err()
        );
        assert!(
            check_name("a.csv.gz", Packing::Gzip).is_ok() && check_name("../../a", Packing::None).is_ok()
        );
    }
}

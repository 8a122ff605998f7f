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
const REFUSED: [(&[u8], &str); 36] = [
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
    (b"\x04\x22\x4d\x18", "is compressed with lz4; gzip and zstd are taken"),
    (b"\xff\x06\0\0sNaPpY", "is compressed with snappy; gzip and zstd are taken"),
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
    (b"CDF\x01", "is a NetCDF file"),
    (b"CDF\x02", "is a NetCDF file"),
    (b"\x93NUMPY", "is a NumPy file"),
    (b"SEQ\x06", "is a Hadoop sequence file"),
    (b"\xfe\xed\xfa\xce", "is a program"),
    (b"\xfe\xed\xfa\xcf", "is a program"),
    (b"\xce\xfa\xed\xfe", "is a program"),
    (b"\xcf\xfa\xed\xfe", "is a program"),
    (b"\xca\xfe\xba\xbe", "is a program"),
    (b"\0asm", "is a program"),
    (b"\x89PNG\r\n\x1a\n", "is an image (PNG)"),
    (b"\xff\xd8\xff", "is an image (JPEG)"),
    (b"GIF87a", "is an image (GIF)"),
    (b"GIF89a", "is an image (GIF)"),
    (b"II*\0", "is an image (TIFF)"),
    (b"MM\0*", "is an image (TIFF)"),
    (b"<?xml", "is an XML document"),
    (b"<!DOCTYPE html", "is an HTML page"),
    (b"<!doctype html", "is an HTML page"),
    (b"<html", "is an HTML page"),
];

/// Kinds whose first bytes a text may begin with as well (`ORCID,name`, `MZ;price`): they count only before bytes that no text has.
const BINARY: [(&[u8], &str); 5] = [
    (b"ORC", "is an ORC file; Parquet is taken"),
    (b"FEA1", "is a Feather file; Parquet is taken"),
    (b"MZ", "is a program"),
    (b"BM", "is an image (BMP)"),
    (b"RIFF", "is an image, sound or film (RIFF)"),
];

/// Endings of programs, images and documents: whatever the content, nobody means a table by them.
const FOREIGN: [&str; 46] = [
    "exe", "dll", "so", "dylib", "msi", "bat", "cmd", "ps1", "sh", "jar", "class", "apk", "dmg", "deb",
    "rpm", "wasm", "png", "jpg", "jpeg", "gif", "tif", "tiff", "bmp", "webp", "ico", "svg", "pdf", "doc",
    "docx", "ppt", "pptx", "html", "htm", "xml", "xls", "xlsb", "ods", "zip", "tar", "7z", "rar", "avro",
    "arrow", "feather", "orc", "sqlite",
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
    let binary = BINARY.iter().find(|(magic, _)| head.starts_with(magic) && is_binary(head));
    if let Some((_, reason)) = binary {
        return Err(Fault::unsupported(format!("the file {reason}")));
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

/// Whether the head holds a control character that stands in no text of any encoding that is read.
fn is_binary(head: &[u8]) -> bool {
    head.iter().any(|byte| matches!(byte, 0..=8 | 0x0e..=0x19 | 0x1c..=0x1f))
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
        "xlsx" | "xlsm" | "tgz" | "bz2" | "xz" | "lz4" => return Err(not_taken(ending)),
        foreign if FOREIGN.contains(&foreign) => return Err(not_taken(ending)),
        _ => return Ok(()),
    };
    match claims == packing {
        true => Ok(()),
        false => Err(Fault::unsupported(format!(
            "the file's name ends in `.{ending}`, but its content is not compressed so"
        ))),
    }
}

fn not_taken(ending: &str) -> Fault {
    Fault::unsupported(format!("files that end in `.{ending}` are not taken; CSV, JSON and Parquet are"))
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
            (b"ORCID,name\n1,2\n", Format::Csv),
            (b"MZ;price\r\nBM;1\r\n", Format::Csv),
            (b"RIFF,\x1b,\tx\n", Format::Csv),
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
    fn a_refusal_names_what_the_file_is() {
        for (head, word) in [
            (&b"ORC\n\x0a\x03\0\0"[..], "ORC"),
            (b"MZ\x90\0\x03", "program"),
            (b"\x7fELF\x02", "program"),
            (b"\0asm\x01", "program"),
            (b"BM\x36\0\0\0", "BMP"),
            (b"RIFF\x24\0\0\0WEBP", "RIFF"),
            (b"\x89PNG\r\n\x1a\n", "PNG"),
            (b"\xff\xd8\xff\xe0", "JPEG"),
            (b"GIF89a", "GIF"),
            (b"PK\x03\x04", "zip"),
            (b"%PDF-1.7", "PDF"),
            (b"<!DOCTYPE html><html>", "HTML"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
        ] {
            let refused = found(head).unwrap_err();
            assert_eq!(refused.code, "unsupported-format");
            assert!(refused.detail.contains(word), "{head:?}: {}", refused.detail);
        }
    }

    #[test]
    fn a_name_of_a_program_or_an_image_is_refused() {
        for name in ["setup.exe", "run.SH", "lib.so", "chart.png", "table.orc", "a.csv.exe"] {
            let refused = check_name(name, Packing::None).unwrap_err();
            assert!(refused.detail.contains("are not taken"), "{name}: {}", refused.detail);
        }
        for name in ["sales", "of.example", "a.txt", "a.dat", "exe"] {
            assert!(check_name(name, Packing::None).is_ok(), "{name}");
        }
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

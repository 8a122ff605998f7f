//! What a listing names: the links of an HTML index, or a JSON array of names, URLs or objects.

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::origin::Stamp;
use crate::sources::SourceError;
use crate::sources::http::instant;

/// The most files that a listing may name.
const MOST: usize = 100_000;

/// One file of a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What the listing calls it, where that is not its address.
    pub name: Option<String>,
    /// Relative to the listing's own address.
    pub address: String,
    pub stamp: Stamp,
}

/// One element of a JSON listing.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Address(String),
    File {
        name: Option<String>,
        url: Option<String>,
        size: Option<i64>,
        modified: Option<Value>,
        etag: Option<String>,
    },
}

/// The files that a listing names, in its order.
/// - Errors: [`SourceError::Refused`] for JSON that is no such array, and for too many.
pub fn parse(text: &[u8]) -> Result<Vec<Entry>, SourceError> {
    let json = text.trim_ascii_start().first() == Some(&b'[');
    let entries = if json { of_json(text)? } else { links(&String::from_utf8_lossy(text)) };
    match entries.len() > MOST {
        true => Err(SourceError::refused(format!("the listing names more than {MOST} files"))),
        false => Ok(entries),
    }
}

fn of_json(text: &[u8]) -> Result<Vec<Entry>, SourceError> {
    let wrong = |e: serde_json::Error| SourceError::refused(format!("no listing: {e}"));
    let written: Vec<Written> = serde_json::from_slice(text).map_err(wrong)?;
    let entry = |written: Written| match written {
        Written::Address(address) => Some(Entry { name: None, address, stamp: Stamp::default() }),
        Written::File { name, url, size, modified, etag } => {
            let modified_ms = modified.as_ref().and_then(|at| match at {
                Value::String(text) => instant(text).map(|at| at.timestamp_millis()),
                number => number.as_i64(),
            });
            let stamp = Stamp { size, modified_ms, tag: etag };
            let address = url.or_else(|| name.clone())?;
            Some(Entry { name, address, stamp })
        }
    };
    Ok(written.into_iter().filter_map(entry).collect())
}

/// The targets of the links of a page. An index tells sizes and times in words of each server's own, so they are not read.
fn links(page: &str) -> Vec<Entry> {
    let lower = page.to_ascii_lowercase();
    let mut found = Vec::new();
    for (at, _) in lower.match_indices("href") {
        let Some(rest) = page[at + 4..].trim_start().strip_prefix('=').map(str::trim_start) else { continue };
        let target = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => rest[1..].split(quote).next(),
            _ => rest.split([' ', '>', '\t', '\n', '\r']).next(),
        };
        let target = target.unwrap_or_default().replace("&amp;", "&");
        if !target.is_empty() && !target.starts_with(['?', '#']) {
            found.push(Entry { name: None, address: target, stamp: Stamp::default() });
        }
    }
    found
}

/// A file's name: its path below that of the listing, or its whole path.
pub fn name_below(base: &Url, url: &Url) -> String {
    let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    let below = url.path().strip_prefix(&format!("{folder}/")).unwrap_or(url.path());
    decoded(below.trim_start_matches('/'))
}

/// A path of a URL without its escapes.
pub fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped =
            after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<String> {
        parse(text.as_bytes()).unwrap().into_iter().map(|e| e.address).collect()
    }

    #[test]
    fn the_links_of_an_index_are_its_files() {
        let page = r##"<h1>Index of /a</h1><a href="?C=N;O=D">Name</a> <A HREF='../'>up</A>
            <a href="a-2021-10-04.csv">a</a> 04-Oct-2021 12<br><a class=x href = b%201.csv>b</a><a href="c.csv?x=1&amp;y=2">"##;
        assert_eq!(addresses(page), ["../", "a-2021-10-04.csv", "b%201.csv", "c.csv?x=1&y=2"]);
    }

    #[test]
    fn a_json_listing_holds_names_or_what_is_known_of_the_files() {
        assert_eq!(addresses(r#" ["a.csv", "https://x.test/b.csv"]"#), ["a.csv", "https://x.test/b.csv"]);
        let told = r#"[{"name": "a.csv", "url": "/dl?id=7", "size": 12, "modified": "2021-10-04T06:00:00Z", "x": 1},
            {"name": "b.csv", "etag": "\"q\"", "modified": 1633327200000}, {"size": 1}]"#;
        let entries = parse(told.as_bytes()).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].address.as_str(), entries[0].stamp.size), ("/dl?id=7", Some(12)));
        assert_eq!(entries[0].stamp.modified_ms, entries[1].stamp.modified_ms);
        assert!(parse(b"[1, 2]").is_err() && parse(b"[\"a.csv\"").is_err());
    }

    #[test]
    fn a_name_is_the_path_below_the_listing() {
        let base = Url::parse("https://x.test/data/a/index.html").unwrap();
        for (url, name) in [
            ("https://x.test/data/a/b%201.csv?sig=1", "b 1.csv"),
            ("https://x.test/data/a/2021/b.csv", "2021/b.csv"),
            ("https://x.test/other/b.csv", "other/b.csv"),
            ("https://x.test/data/ab.csv", "data/ab.csv"),
        ] {
            assert_eq!(name_below(&base, &Url::parse(url).unwrap()), name);
        }
    }
}

//! The pages of an uploaded Parquet file, looked at before anything is decoded: sizes that can be, checksums that hold.
//!
//! The Parquet reader skips checksums and believes sizes; both are checked here, on the page headers alone (thrift, compact protocol).

use bytes::Bytes;
use parquet::file::metadata::ParquetMetaData;

use super::fault::{Fault, Stop};
use super::parquet_in::Stored;

/// Unpacked bytes of one page.
const PAGE_BYTES: i64 = 256 << 20;
/// Bytes of one page header, statistics included.
const HEADER_BYTES: u64 = 4 << 20;
/// Bytes fetched to find a header.
const LOOK_BYTES: u64 = 64 << 10;
/// Nesting of thrift structures.
const THRIFT_DEPTH: usize = 16;

/// Checks every page of every column. Errors: a header that cannot be, a wrong checksum.
pub fn check(stored: &Stored, metadata: &ParquetMetaData) -> Result<(), Stop> {
    for group in metadata.row_groups() {
        for column in group.columns() {
            let start = column.dictionary_page_offset().unwrap_or(i64::MAX).min(column.data_page_offset());
            let span = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
            let Some((start, length)) = span else {
                return Err(broken("a column lies at no possible place"));
            };
            let end = start.checked_add(length).filter(|end| *end <= stored.size());
            let Some(end) = end else { return Err(broken("a column ends behind the end of the file")) };
            check_column(stored, start, end)?;
        }
    }
    Ok(())
}

fn check_column(stored: &Stored, mut at: u64, end: u64) -> Result<(), Stop> {
    while at < end {
        let (header, body) = header_at(stored, at, end)?;
        let size = u64::try_from(header.stored_bytes).ok().filter(|size| *size <= end - body);
        let Some(size) = size else { return Err(broken("a page is longer than its column")) };
        if !(0..=PAGE_BYTES).contains(&header.unpacked_bytes) {
            return Err(broken("a page claims a size that cannot be"));
        }
        if let Some(expected) = header.checksum {
            let page = stored.at(body, body + size)?;
            if crc32fast::hash(&page) != expected {
                return Err(broken("a page's checksum is wrong: the file is damaged"));
            }
        }
        at = body + size;
    }
    Ok(())
}

/// The header at `at`, and where its page begins.
fn header_at(stored: &Stored, at: u64, end: u64) -> Result<(Header, u64), Stop> {
    let mut look = LOOK_BYTES;
    loop {
        let window = stored.at(at, end.min(at + look))?;
        match Header::read(&window) {
            Ok((header, length)) => return Ok((header, at + length as u64)),
            Err(Short) if look < HEADER_BYTES && at + look < end => look *= 8,
            Err(_) => return Err(broken("a page's header cannot be read")),
        }
    }
}

fn broken(what: &str) -> Stop {
    Fault::malformed(format!("the Parquet file is refused: {what}")).into()
}

/// What a page says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Header {
    unpacked_bytes: i64,
    stored_bytes: i64,
    checksum: Option<u32>,
}

/// The header is not all there, or is none.
#[derive(Debug)]
struct Short;

impl Header {
    fn read(bytes: &Bytes) -> Result<(Self, usize), Short> {
        let mut thrift = Thrift { bytes, at: 0 };
        let mut header = Self { unpacked_bytes: -1, stored_bytes: -1, checksum: None };
        let mut id = 0;
        while let Some(kind) = thrift.field(&mut id)? {
            match (id, kind) {
                (2, 5) => header.unpacked_bytes = thrift.zigzag()?,
                (3, 5) => header.stored_bytes = thrift.zigzag()?,
                // The 32 bits of the checksum travel as a signed number.
                (4, 5) => header.checksum = Some(thrift.zigzag()? as u32),
                _ => thrift.skip(kind, 0)?,
            }
        }
        Ok((header, thrift.at))
    }
}

/// A reader of the compact protocol: as much of it as a page header needs.
struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Thrift<'_> {
    fn byte(&mut self) -> Result<u8, Short> {
        let byte = self.bytes.get(self.at).copied().ok_or(Short)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, Short> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Short)
    }

    fn zigzag(&mut self) -> Result<i64, Short> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// The next field's type, with its number in `id`; `None` at the end of a structure.
    fn field(&mut self, id: &mut i64) -> Result<Option<u8>, Short> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        *id = if head >> 4 == 0 { self.zigzag()? } else { *id + i64::from(head >> 4) };
        Ok(Some(head & 0x0f))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), Short> {
        if depth > THRIFT_DEPTH {
            return Err(Short);
        }
        match kind {
            1 | 2 => Ok(()),
            3 => self.forward(1),
            4..=6 => self.varint().map(drop),
            7 => self.forward(8),
            8 => {
                let length = self.varint()?;
                self.forward(usize::try_from(length).map_err(|_| Short)?)
            }
            9 | 10 => self.skip_list(depth),
            12 => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth + 1)?;
                }
                Ok(())
            }
            _ => Err(Short),
        }
    }

    fn skip_list(&mut self, depth: usize) -> Result<(), Short> {
        let head = self.byte()?;
        let length = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        (0..length).try_for_each(|_| match head & 0x0f {
            // In a list, a boolean is a byte.
            1 | 2 => self.forward(1),
            kind => self.skip(kind, depth + 1),
        })
    }

    fn forward(&mut self, length: usize) -> Result<(), Short> {
        self.at = self.at.checked_add(length).filter(|at| *at <= self.bytes.len()).ok_or(Short)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_field_by_field() {
        // type 0, 300 unpacked, 20 stored, checksum 0xfffffffe (as -2), then a structure with a string in it, then the end
        let bytes = [
            0x15, 0x00, 0x15, 0xd8, 0x04, 0x15, 0x28, 0x15, 0x03, 0x1c, 0x18, 0x02, b'a', b'b', 0x00, 0x00,
            0xaa,
        ];
        let (header, length) = Header::read(&Bytes::copy_from_slice(&bytes)).unwrap();
        assert_eq!(header, Header { unpacked_bytes: 300, stored_bytes: 20, checksum: Some(0xffff_fffe) });
        assert_eq!(length, bytes.len() - 1);
    }

    #[test]
    fn no_bytes_make_it_run_away() {
        for length in 0..64 {
            for fill in [0x00u8, 0xff, 0x1c, 0x19, 0xf9, 0x80, 0x18] {
                let _ = Header::read(&Bytes::from(vec![fill; length]));
            }
        }
    }
}

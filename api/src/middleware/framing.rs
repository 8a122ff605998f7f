//! One request, one framing (RFC 9112, 6.3): what two servers in a row could read as different requests is refused, and
//! its connection closed.
//!
//! The HTTP library decides before this is asked: it refuses lengths that differ, bad chunks, NUL and folded lines; it
//! takes a bare LF as the end of a line, equal lengths as one, and of a length beside a coding only the coding (and closes
//! the connection afterwards). A proxy in front that does otherwise must refuse those three itself.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Request, Version};

use crate::problem::{Kind, Problem};

/// All names, values and the target of a request at most.
const HEAD_BYTES: usize = 32 << 10;

/// Errors: `invalid-head` for lengths, codings or hosts that are not exactly one; `head-too-large`.
pub fn judge<B>(request: &Request<B>) -> Result<(), Problem> {
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    if fields.sum::<usize>() + request.uri().path().len() > HEAD_BYTES {
        return Err(Problem::new(Kind::HeadTooLarge));
    }
    let count = |name| request.headers().get_all(name).iter().count();
    let lengths = count(CONTENT_LENGTH);
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next();
    if lengths > 1 {
        return refuse("more than one Content-Length");
    }
    if coding.is_some() && lengths > 0 {
        return refuse("a Content-Length beside a Transfer-Encoding");
    }
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        || codings.next().is_some()
    {
        return refuse("a Transfer-Encoding that is not exactly `chunked`");
    }
    match (request.version(), count(HOST)) {
        (_, 2..) => refuse("more than one Host"),
        (Version::HTTP_11, 0) => refuse("no Host"),
        _ => Ok(()),
    }
}

fn refuse(what: &str) -> Result<(), Problem> {
    Err(Problem::because(Kind::InvalidHead, format!("the request has {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_reading_is_let_through() {
        let judged = |headers: &[(&str, &str)]| {
            let request = headers.iter().fold(Request::builder(), |r, (name, value)| r.header(*name, *value));
            judge(&request.body(()).unwrap()).is_ok()
        };
        assert!(judged(&[("host", "a")]));
        assert!(judged(&[("host", "a"), ("content-length", "3")]));
        assert!(judged(&[("host", "a"), ("transfer-encoding", "Chunked")]));
        assert!(!judged(&[]));
        assert!(!judged(&[("host", "a"), ("host", "a")]));
        assert!(!judged(&[("host", "a"), ("content-length", "3"), ("content-length", "3")]));
        assert!(!judged(&[("host", "a"), ("content-length", "3"), ("transfer-encoding", "chunked")]));
        assert!(!judged(&[("host", "a"), ("transfer-encoding", "gzip, chunked")]));
        assert!(!judged(&[
            ("host", "a"),
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "chunked")
        ]));
        assert!(!judged(&[("host", "a"), ("x", &"x".repeat(33 << 10))]));
    }
}

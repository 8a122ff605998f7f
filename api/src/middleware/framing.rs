//! One request, one framing (RFC 9112, 6.3): what two servers in a row could read as different requests is refused, and
//! its connection closed.
//!
//! The HTTP library decides before this is asked. Bare 400: lengths that differ or are no number, NUL, folded lines. Bare
//! 431: more than 100 fields, a head that does not fit. Closed without an answer: a head too late. It takes a bare LF as
//! the end of a line, equal lengths as one, and of a length beside `chunked` only the coding: the length is gone before
//! this is asked, and the connection is closed behind the answer. So nothing about `Content-Length` is left to judge. A
//! proxy in front that reads those three otherwise must refuse them itself.

use http::header::{HOST, TRANSFER_ENCODING};
use http::{Request, Version};

use crate::problem::{Kind, Problem};

/// All names, values and the target of a request at most.
const HEAD_BYTES: usize = 32 << 10;

/// Errors: `invalid-head` for codings or hosts that are not exactly one; `head-too-large`.
pub fn judge<B>(request: &Request<B>) -> Result<(), Problem> {
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    if fields.sum::<usize>() + request.uri().path().len() > HEAD_BYTES {
        return Err(Problem::new(Kind::HeadTooLarge));
    }
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next();
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        || codings.next().is_some()
    {
        return refuse("a Transfer-Encoding that is not exactly `chunked`");
    }
    match (request.version(), request.headers().get_all(HOST).iter().count()) {
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
        assert!(!judged(&[("host", "a"), ("transfer-encoding", "gzip, chunked")]));
        assert!(!judged(&[
            ("host", "a"),
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "chunked")
        ]));
        assert!(!judged(&[("host", "a"), ("x", &"x".repeat(33 << 10))]));
    }
}

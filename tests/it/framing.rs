//! One reading of a request, or none. Behind each request another one is sent: it has an answer where the connection is kept.

use harness::Stack::Sqlite;
use rstest::rstest;

use crate::shared::customer;
use crate::wire::{Wire, statuses};

/// 23 bytes.
const SQL: &str = r#"{"sql":"SELECT 1 AS n"}"#;
const NEXT: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const TOO_LARGE: &str = "431 Request Header Fields Too Large";

/// Everything that comes back to a request, and to the next on the same connection.
async fn heard(url: &str, request: &str) -> String {
    Wire::to(url).await.send(&format!("{request}{NEXT}")).await.closed().await
}

/// The same for a statement whose head and body end like this.
async fn heard_of_statement(rest: &str) -> Option<String> {
    let acme = customer(Sqlite, "acme").await?;
    let head = format!(
        "POST /v1/sql HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
        acme.key
    );
    Some(heard(&acme.url, &format!("{head}{rest}")).await)
}

#[rstest]
#[case::lengths_that_differ("Content-Length: 23\r\nContent-Length: 5\r\n\r\n")]
#[case::a_length_that_is_no_number("Content-Length: five\r\n\r\n")]
#[case::a_length_with_a_sign("Content-Length: +23\r\n\r\n")]
#[case::a_list_of_lengths("Content-Length: 23, 23\r\n\r\n")]
#[case::another_coding_than_chunked_at_the_end("Transfer-Encoding: chunked, gzip\r\n\r\n")]
#[case::a_folded_line("X-A: a\r\n b\r\nContent-Length: 23\r\n\r\n")]
#[case::a_space_before_the_colon("Content-Length : 23\r\n\r\n")]
#[case::a_bare_cr("X-A: a\rb\r\nContent-Length: 23\r\n\r\n")]
#[case::nul("X-A: a\0b\r\nContent-Length: 23\r\n\r\n")]
#[tokio::test]
async fn a_head_that_is_no_http_has_a_bare_400_and_a_closed_connection(#[case] head: &str) {
    let Some(heard) = heard_of_statement(&format!("{head}{SQL}")).await else { return };
    assert_eq!(statuses(&heard), ["400 Bad Request"], "{heard}");
    assert!(heard.ends_with("\r\n\r\n"), "{heard}");
}

#[rstest]
#[case::no_host("GET /healthz HTTP/1.1\r\n\r\n", "400 Bad Request", "invalid-head")]
#[case::two_hosts("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400 Bad Request", "invalid-head")]
#[case::coding_of_a_coding(
    "GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "400 Bad Request",
    "invalid-head"
)]
#[case::two_codings(
    "GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "400 Bad Request",
    "invalid-head"
)]
#[case::a_head_of_34_kb(
    &format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX-Big: {}\r\n\r\n", "x".repeat(34_000)),
    TOO_LARGE,
    "head-too-large"
)]
#[tokio::test]
async fn a_head_that_two_servers_could_read_differently_is_refused_and_the_connection_closed(
    #[case] request: &str,
    #[case] status: &str,
    #[case] code: &str,
) {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let heard = heard(&acme.url, request).await;
    assert_eq!(statuses(&heard), [status], "{heard}");
    assert!(heard.contains(&format!("\"code\":\"{code}\"")), "{heard}");
}

// What `problems.md` tells of the HTTP library: a proxy in front has to agree.
#[rstest]
#[case::equal_lengths("Content-Length: 23\r\nContent-Length: 23\r\n\r\n")]
#[case::a_bare_lf("Content-Length: 23\n\n")]
#[tokio::test]
async fn equal_lengths_are_one_and_a_bare_lf_ends_a_line(#[case] head: &str) {
    let Some(heard) = heard_of_statement(&format!("{head}{SQL}")).await else { return };
    assert_eq!(statuses(&heard), ["200 OK", "200 OK"], "{heard}");
}

#[rstest]
#[case::before_it("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")]
#[case::behind_it("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n")]
#[tokio::test]
async fn a_length_beside_a_coding_does_not_count_and_the_connection_is_closed(#[case] head: &str) {
    let body = format!("17\r\n{SQL}\r\n0\r\n\r\n");
    let Some(heard) = heard_of_statement(&format!("{head}{body}")).await else { return };
    assert_eq!(statuses(&heard), ["200 OK"], "{heard}");
}

#[rstest]
#[case::a_size_that_is_no_number(&format!("zz\r\n{SQL}\r\n0\r\n\r\n"))]
#[case::a_size_before_a_bare_lf(&format!("17\n{SQL}\r\n0\r\n\r\n"))]
#[case::more_than_its_size(&format!("5\r\n{SQL}\r\n0\r\n\r\n"))]
#[tokio::test]
async fn a_chunk_that_is_none_is_told_and_the_connection_closed(#[case] body: &str) {
    let rest = format!("Transfer-Encoding: chunked\r\n\r\n{body}");
    let Some(heard) = heard_of_statement(&rest).await else { return };
    assert_eq!(statuses(&heard), ["400 Bad Request"], "{heard}");
    assert!(heard.contains("\"code\":\"invalid-body\""), "{heard}");
}

#[rstest]
#[case::a_hundred(100, &["200 OK", "200 OK"])]
#[case::one_more(101, &[TOO_LARGE])]
#[tokio::test]
async fn a_head_has_a_hundred_fields_at_most(#[case] fields: usize, #[case] expected: &[&str]) {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let more = "X-A: a\r\n".repeat(fields - 1);
    let heard = heard(&acme.url, &format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{more}\r\n")).await;
    assert_eq!(statuses(&heard), expected, "{heard}");
}

#[tokio::test]
async fn a_head_that_does_not_fit_has_a_bare_431() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let big = "x".repeat(100_000);
    let heard = heard(&acme.url, &format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX-Big: {big}\r\n\r\n")).await;
    assert_eq!(statuses(&heard), [TOO_LARGE], "{heard}");
    assert!(heard.ends_with("\r\n\r\n"), "{heard}");
}

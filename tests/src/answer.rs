//! An HTTP answer, read whole, and what tests say of it.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

/// Status, headers and body of one answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// The body of every error (RFC 9457).
#[derive(Debug, Clone, Deserialize, PartialEq)]
pub struct Problem {
    pub r#type: String,
    pub title: String,
    pub status: u16,
    #[serde(default)]
    pub detail: String,
    pub code: String,
    pub request_id: String,
    #[serde(default)]
    pub errors: Vec<Value>,
}

#[expect(clippy::panic, reason = "a wrong answer fails the test and shows itself")]
impl Answer {
    /// Reads an answer to its end. No call of any test may end in a 500.
    pub async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map(|b| b.to_vec()).unwrap_or_default();
        let answer = Self { status, headers, body };
        assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", answer.text());
        answer
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("not JSON ({e}): {} {}", self.status, self.text()))
    }

    /// The answer itself, which must have this status.
    pub fn status(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{} {:?}", self.text(), self.headers);
        self
    }

    /// The JSON body of a 200.
    pub fn ok(self) -> Value {
        self.status(200).json()
    }

    /// The JSON body of a 201.
    pub fn created(self) -> Value {
        self.status(201).json()
    }

    /// The `data` of a 200.
    pub fn data(self) -> Value {
        self.ok()["data"].take()
    }

    /// The problem that this answer must be.
    pub fn problem(self, status: u16, code: &str) -> Problem {
        let answer = self.status(status);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{}", answer.text());
        let problem: Problem = serde_json::from_slice(&answer.body)
            .unwrap_or_else(|e| panic!("not a problem ({e}): {}", answer.text()));
        assert_eq!(problem.code, code, "{}", answer.text());
        assert_eq!(problem.status, status);
        assert_eq!(problem.request_id, answer.header("x-request-id"));
        problem
    }
}

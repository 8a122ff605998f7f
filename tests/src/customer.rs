//! One customer of a server: its credentials, and the calls that tests make in its name.

use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::answer::Answer;

/// A customer with its own workspace and a key of some scopes.
#[derive(Clone, Debug)]
pub struct Customer {
    pub url: String,
    pub id: String,
    pub workspace: String,
    pub key: String,
    pub http: Client,
}

/// The form of `POST /v1/datasets`.
pub struct Upload {
    fields: Vec<(String, String)>,
    file: Vec<u8>,
    file_name: String,
    /// Beside the credential.
    headers: Vec<(&'static str, String)>,
}

impl Upload {
    pub fn new(name: &str, file: impl Into<Vec<u8>>) -> Self {
        Self {
            fields: vec![("name".into(), name.into())],
            file: file.into(),
            file_name: format!("{name}.csv"),
            headers: Vec::new(),
        }
    }

    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub fn file_name(mut self, name: &str) -> Self {
        self.file_name = name.into();
        self
    }

    pub fn idempotency_key(mut self, key: &str) -> Self {
        self.headers.push(("idempotency-key", key.into()));
        self
    }

    pub fn prefer(mut self, wish: &str) -> Self {
        self.headers.push(("prefer", wish.into()));
        self
    }
}

#[expect(clippy::panic, reason = "a test without an answer has failed")]
impl Customer {
    /// A request with this customer's key; `path` may carry a query.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        match request.send().await {
            Ok(response) => Answer::read(response).await,
            Err(e) => panic!("no answer: {e:?}"),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// A conditional GET: the tag of an earlier answer goes along.
    pub async fn get_if_changed(&self, path: &str, etag: &str) -> Answer {
        self.send(self.request(Method::GET, path).header("if-none-match", etag)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(&body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(&body)).await
    }

    /// Ad-hoc SQL without parameters.
    pub async fn sql(&self, sql: &str) -> Answer {
        self.post("/v1/sql", json!({ "sql": sql })).await
    }

    /// Uploads text as a dataset of that name.
    pub async fn upload(&self, name: &str, csv: &str) -> Answer {
        self.upload_form(Upload::new(name, csv.as_bytes())).await
    }

    pub async fn upload_form(&self, upload: Upload) -> Answer {
        let mut form = Form::new();
        for (name, value) in upload.fields {
            form = form.text(name, value);
        }
        form = form.part("file", Part::bytes(upload.file).file_name(upload.file_name));
        let request = self.request(Method::POST, "/v1/datasets").multipart(form);
        self.send(
            upload.headers.into_iter().fold(request, |request, (name, text)| request.header(name, text)),
        )
        .await
    }

    /// The same customer with another credential (a token, a narrower key, a broken one).
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// Polls a job until it has ended; fails after a minute.
    pub async fn finished(&self, job: &str) -> Value {
        for _ in 0..600 {
            let data = self.get(&format!("/v1/jobs/{job}")).await.data();
            if !matches!(data["status"].as_str(), Some("queued" | "running")) {
                return data;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("job {job} did not end within a minute");
    }
}

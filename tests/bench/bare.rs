//! The peer of the cached reads: an axum handler that does nothing but return the same bytes.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

/// Serves `body` at every path, and 304 to whoever sends a tag, until standard input closes.
pub async fn serve(body: Bytes, port: u16) -> std::io::Result<()> {
    let handler = move |headers: HeaderMap| {
        let body = body.clone();
        async move {
            if headers.contains_key(header::IF_NONE_MATCH) {
                return StatusCode::NOT_MODIFIED.into_response();
            }
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
    };
    let router = Router::new().route("/{*path}", get(handler));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let parent_gone = async move {
        let wait = || std::io::Read::read(&mut std::io::stdin(), &mut [0]);
        let _ = tokio::task::spawn_blocking(wait).await;
    };
    axum::serve(listener, router).with_graceful_shutdown(parent_gone).await
}

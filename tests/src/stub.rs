//! What the stubs stand on.

use axum::Router;

/// Serves a router on a port of loopback, on a thread of its own until the test process ends; gives its URL.
/// Errors: no port or no thread is to be had.
pub(crate) fn serve(router: Router) -> std::io::Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let url = format!("http://{}", listener.local_addr()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await })
    });
    Ok(url)
}

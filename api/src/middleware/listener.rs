//! Accepts connections and speaks HTTP/1.1 on them: one framing, a head of at most 32 KB and 100 fields, a time limit
//! for the head, a cap on connections, TCP_NODELAY, and a shutdown that lets running requests end.
//!
//! What the HTTP library answers by itself (a head that is no HTTP or too large) has a bare status and no problem body,
//! and the connection is closed; a head too late has no answer at all.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::front::Front;
use crate::config::Listen;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Limits of the transport.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    pub head_bytes: usize,
    pub head_fields: usize,
    pub head_time: Duration,
    /// How long running requests may take after the shutdown began.
    pub grace: Duration,
}

/// An address that is this process's own from now on; whoever connects is refused until it is opened.
pub struct Door {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Door {
    /// Takes the first address of the name that is free. Errors: the name is unknown, or the last address's own.
    pub async fn take(listen: &Listen) -> io::Result<Self> {
        let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in lookup_host(listen.as_str()).await? {
            match bound(address) {
                Ok(door) => return Ok(door),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Lets connections in. Errors: another process was faster.
    pub fn open(self) -> io::Result<(TcpListener, SocketAddr)> {
        Ok((self.socket.listen(BACKLOG)?, self.address))
    }
}

fn bound(address: SocketAddr) -> io::Result<Door> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?; // connections of the server before may still be closing
    socket.bind(address)?;
    Ok(Door { address: socket.local_addr()?, socket })
}

/// Serves until `stop` is cancelled, then waits for what is running.
pub async fn serve(listener: TcpListener, front: Arc<Front>, limits: Limits, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let running = TaskTracker::new();
    while let Some((stream, peer, place)) = next(&listener, &places, &stop).await {
        let serving = connection(stream, peer, Arc::clone(&front), limits, stop.clone());
        running.spawn(async move {
            serving.await;
            drop::<OwnedSemaphorePermit>(place);
        });
    }
    running.close();
    if tokio::time::timeout(limits.grace, running.wait()).await.is_err() {
        tracing::warn!("requests were still running at the end of the grace time");
    }
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    loop {
        let accepting = async {
            let place = Arc::clone(places).acquire_owned().await;
            (listener.accept().await, place)
        };
        match stop.run_until_cancelled(accepting).await? {
            (Ok((stream, peer)), Ok(place)) => return Some((stream, peer, place)),
            (Err(error), _) => {
                // Out of descriptors or a peer that left: neither ends the server.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (_, Err(_)) => return None,
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    front: Arc<Front>,
    limits: Limits,
    stop: CancellationToken,
) {
    let _ = stream.set_nodelay(true); // a peer that is gone already is found out by the first read
    front.meters.connections.increment(1.0);
    let meters = Arc::clone(&front);
    let peer = peer.ip().to_canonical(); // A listener for IPv6 tells IPv4 addresses in its own form.
    let service = service_fn(move |request| Arc::clone(&front).answer(peer, request));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_headers(limits.head_fields)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if ended.is_err() {
        meters.meters.refused_connections.increment(1);
    }
    meters.meters.connections.decrement(1.0);
}

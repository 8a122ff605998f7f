//! What happens to every request, whatever its route.
//!
//! ```text
//! listener ─▶ front ─▶ router ─▶ handler
//!              ├ before: trail (request id, peer, start), framing, CORS preflight, patient body
//!              └ after:  problem body, standing headers, RateLimit, metrics, access log, panic ─▶ 500
//! ```
//! One service around the router instead of a tower of layers: a cached answer takes a few microseconds, and each
//! layer of a router boxes the request's future once more.

pub mod access_log;
pub mod cors;
mod framing;
pub mod front;
pub mod listener;
pub mod meters;
pub mod patience;
pub mod trail;

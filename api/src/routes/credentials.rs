//! Keys and tokens.

pub mod jwks;
pub mod keys;
pub mod tokens;

//! Health, metrics, the document and the pages.

pub mod docs;
pub mod document;
pub mod health;
pub mod landing;
pub mod metrics;

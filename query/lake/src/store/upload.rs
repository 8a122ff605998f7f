//! One object being written: small ones in one put, larger ones in parts, in constant memory.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};

use crate::{Error, failpoint};

/// Parts on their way at once.
const IN_FLIGHT: usize = 2;

type Part = BoxFuture<'static, object_store::Result<()>>;

/// An object in the making. It appears whole at [`Upload::finish`] or not at all.
pub(crate) struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    part_bytes: usize,
    waiting: BytesMut,
    parts: Option<Box<dyn MultipartUpload>>,
    in_flight: FuturesUnordered<Part>,
}

impl Upload {
    pub fn new(store: Arc<dyn ObjectStore>, path: Path, part_bytes: usize) -> Self {
        Self {
            store,
            path,
            part_bytes,
            waiting: BytesMut::new(),
            parts: None,
            in_flight: FuturesUnordered::new(),
        }
    }

    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        while !bytes.is_empty() {
            let room = self.part_bytes - self.waiting.len();
            let now = bytes.split_to(room.min(bytes.len()));
            self.waiting.extend_from_slice(&now);
            if self.waiting.len() >= self.part_bytes {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Error> {
        while self.in_flight.len() >= IN_FLIGHT {
            self.landed().await?;
        }
        let part = self.waiting.split().freeze();
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => self.parts.insert(self.store.put_multipart(&self.path).await?),
        };
        self.in_flight.push(parts.put_part(PutPayload::from_bytes(part)));
        failpoint("lake.part");
        Ok(())
    }

    async fn landed(&mut self) -> Result<(), Error> {
        match self.in_flight.next().await {
            Some(Err(error)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Makes the object visible, whole. Errors leave nothing visible; call [`Upload::abort`] then.
    pub async fn finish(mut self) -> Result<(), Error> {
        let outcome = self.complete().await;
        if outcome.is_err() {
            self.abort().await;
        }
        outcome
    }

    async fn complete(&mut self) -> Result<(), Error> {
        if self.parts.is_none() {
            let whole = PutPayload::from_bytes(self.waiting.split().freeze());
            self.store.put(&self.path, whole).await?;
            return Ok(());
        }
        if !self.waiting.is_empty() {
            self.send().await?;
        }
        while !self.in_flight.is_empty() {
            self.landed().await?;
        }
        if let Some(parts) = &mut self.parts {
            parts.complete().await?;
        }
        Ok(())
    }

    /// Gives the parts up. What the store does not take back, its lifecycle rule or the sweep of staging files will.
    pub async fn abort(mut self) {
        self.in_flight.clear();
        if let Some(parts) = &mut self.parts
            && let Err(error) = parts.abort().await
        {
            tracing::warn!(%error, "an unfinished upload could not be aborted");
        }
    }
}

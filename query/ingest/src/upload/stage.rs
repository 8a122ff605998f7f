//! Receiving: the body goes to the object store as it comes, hashed, in constant memory.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt};
use identity::{Principal, WorkspaceId};
use lake::{Objects, failpoint};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Digest, Error, Uploads};

/// A received body: where it lies and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedFile {
    pub workspace: WorkspaceId,
    /// Path of the raw object.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex of the stored bytes.
    pub sha256: String,
    /// Label only; its ending also tells the format the name claims.
    pub file_name: Option<String>,
}

/// A received body that is not yet anybody's dataset. Dropped, it is removed.
pub struct Staged {
    pub file: StagedFile,
    objects: Objects,
    live: Arc<Mutex<HashSet<String>>>,
    kept: bool,
}

/// Characters of a file name that are kept.
const NAME_CHARS: usize = 128;

impl Uploads {
    /// Stores a body as it comes. Nothing of it is visible to anybody, and a failure or a caller who leaves removes it.
    /// Errors: [`Error::TooLarge`], [`Error::Interrupted`], [`Error::Stalled`] (`content` ended with [`io::ErrorKind::TimedOut`]),
    /// [`Error::DigestMismatch`], [`Error::StorageFull`], [`Error::QuotaExceeded`], [`Error::Lake`].
    pub async fn stage<S>(
        &self,
        principal: &Principal,
        file_name: Option<String>,
        digest: Option<Digest>,
        content: S,
        _now: DateTime<Utc>,
    ) -> Result<Staged, Error>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        failpoint("upload.head");
        let workspace = principal.workspace;
        self.admit(workspace, 0).await?;
        let mut staged = self.place(workspace, file_name);
        let fault = Arc::new(Mutex::new(None));
        let counted = counted(content, self.config.file_bytes, Arc::clone(&fault));
        let put = self.publisher.lake().objects().put_stream(&staged.file.path, counted).await;
        let put = put.map_err(|error| fault.lock().take().unwrap_or_else(|| error.into()))?;
        failpoint("upload.after-put");
        (staged.file.size, staged.file.sha256) = (put.size, put.sha256);
        if digest.is_some_and(|digest| !digest.is(&staged.file.sha256)) {
            return Err(Error::DigestMismatch);
        }
        self.admit(workspace, staged.file.size).await?;
        Ok(staged)
    }

    /// Removes a body that is not wanted after all.
    pub async fn discard(&self, staged: Staged) {
        let file = staged.keep();
        self.remove(&file).await;
    }

    /// Removes a raw object; what cannot be removed now is removed by recovery.
    pub(super) async fn remove(&self, file: &StagedFile) {
        if let Err(error) = self.publisher.lake().objects().delete(&file.path).await {
            tracing::warn!(%error, "an upload's raw object is left for recovery");
        }
        self.live.lock().remove(&file.path);
    }

    async fn admit(&self, workspace: WorkspaceId, bytes: u64) -> Result<(), Error> {
        match &self.quota {
            Some(quota) => quota.admit(workspace, bytes).await,
            None => Ok(()),
        }
    }

    /// A place for a new body, held from now on.
    fn place(&self, workspace: WorkspaceId, file_name: Option<String>) -> Staged {
        let path = workspace.place(format_args!("uploads/{}", Uuid::now_v7()));
        let file_name = file_name.map(|name| label(&name)).filter(|name| !name.is_empty());
        self.hold(StagedFile { workspace, path, size: 0, sha256: String::new(), file_name })
    }

    /// A raw object that is there, held from now on.
    pub(super) fn hold(&self, file: StagedFile) -> Staged {
        self.live.lock().insert(file.path.clone());
        let objects = self.publisher.lake().objects().clone();
        Staged { file, objects, live: Arc::clone(&self.live), kept: false }
    }
}

impl Staged {
    /// Gives the duty to remove the object to the caller.
    pub(super) fn keep(mut self) -> StagedFile {
        self.kept = true;
        self.file.clone()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let (path, objects, live) = (self.file.path.clone(), self.objects.clone(), Arc::clone(&self.live));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = objects.delete(&path).await {
                tracing::warn!(%error, "an upload's raw object is left for recovery");
            }
            live.lock().remove(&path);
        });
    }
}

/// The last part of a name, without control and direction characters.
fn label(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let kept: String = last.chars().filter(|c| !identity::is_hidden(*c)).collect();
    // The ending says what the file claims to be: a long name is cut in front of it.
    let skip = kept.chars().count().saturating_sub(NAME_CHARS);
    kept.chars().skip(skip).collect()
}

/// Stops a body over the limit, and remembers why it stopped.
fn counted<S>(
    content: S,
    limit_bytes: u64,
    fault: Arc<Mutex<Option<Error>>>,
) -> impl Stream<Item = io::Result<Bytes>>
where
    S: Stream<Item = io::Result<Bytes>>,
{
    let mut received = 0;
    content.map(move |piece| {
        let piece = piece.inspect_err(|error| *fault.lock() = Some(broken(error)))?;
        received += piece.len() as u64;
        failpoint("upload.half-body");
        if received > limit_bytes {
            *fault.lock() = Some(Error::TooLarge { limit_bytes });
            return Err(io::Error::other("the body is too large"));
        }
        Ok(piece)
    })
}

fn broken(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut => Error::Stalled,
        _ => Error::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_name_without_what_hides() {
        assert_eq!(label("../../etc/passwd"), "passwd");
        assert_eq!(label("C:\\data\\sales.csv"), "sales.csv");
        assert_eq!(label("a\u{202e}b\0.csv"), "ab.csv");
        assert!(label(&format!("{}.csv", "x".repeat(300))).ends_with("x.csv"));
    }

    #[tokio::test]
    async fn a_body_over_the_limit_a_cut_and_a_stalled_one_are_told_apart() {
        let pieces = |broken: Option<io::ErrorKind>| {
            let end = broken.map(|kind| Err(io::Error::from(kind)));
            futures::stream::iter(
                [Ok(Bytes::from_static(b"12345")), Ok(Bytes::from_static(b"67890"))].into_iter().chain(end),
            )
        };
        let run = |limit, broken| async move {
            let fault = Arc::new(Mutex::new(None));
            let all: Vec<_> = counted(pieces(broken), limit, Arc::clone(&fault)).collect().await;
            (all.len(), fault.lock().take())
        };
        assert!(matches!(run(10, None).await, (2, None)));
        assert!(matches!(run(9, None).await, (2, Some(Error::TooLarge { limit_bytes: 9 }))));
        let cut = Some(io::ErrorKind::ConnectionReset);
        assert!(matches!(run(10, cut).await, (3, Some(Error::Interrupted))));
        let stalled = Some(io::ErrorKind::TimedOut);
        assert!(matches!(run(10, stalled).await, (3, Some(Error::Stalled))));
    }
}

//! Work that recurses as deep as its input, on a stack made for it.

use std::panic::resume_unwind;

use worker::Refusal;

/// Enough for the deepest tree that the token cap lets a parser build, and for planning what passes.
pub(super) const STACK_BYTES: usize = 64 << 20;

/// Runs `work` to its end on a thread of its own with a deep stack, on this runtime. Errors: what
/// `work` refuses, `query-too-large` when no thread can be had. A panic in it goes on here.
pub(super) async fn deep<T, W, F>(work: W) -> Result<T, Refusal>
where
    T: Send + 'static,
    W: FnOnce() -> F + Send + 'static,
    F: Future<Output = Result<T, Refusal>>,
{
    let runtime = tokio::runtime::Handle::current();
    let (done, finished) = tokio::sync::oneshot::channel();
    let thread =
        std::thread::Builder::new().name("plan".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            let outcome = runtime.block_on(async move { work().await });
            // Nobody waits any more when the task was dropped.
            drop(done.send(outcome));
        });
    let thread = thread.map_err(|_| Refusal::new("query-too-large", "there is no memory left to plan it"))?;
    match finished.await {
        Ok(outcome) => outcome,
        Err(_) => match thread.join() {
            Err(panic) => resume_unwind(panic),
            Ok(()) => Err(Refusal::new("internal", "planning ended without an answer")),
        },
    }
}

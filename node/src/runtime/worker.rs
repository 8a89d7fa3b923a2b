//! A thread that is asked to do one kind of thing, until its handle is dropped.

use std::thread::{self, JoinHandle};

use anyhow::Context;

/// The thread, and what it is asked through. Dropping this ends it after what it
/// is doing.
#[derive(Debug)]
pub(super) struct Worker<A> {
    asks: Option<A>,
    thread: Option<JoinHandle<()>>,
    what: &'static str,
}

impl<A> Worker<A> {
    /// Starts it. `name` is the thread's, `what` says what it does; `work` ends
    /// when the other end of `asks` is gone.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        name: &str,
        what: &'static str,
        asks: A,
        work: impl FnOnce() + Send + 'static,
    ) -> anyhow::Result<Self> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
        let thread = thread.with_context(|| format!("cannot start the thread that {what}"))?;
        Ok(Self {
            asks: Some(asks),
            thread: Some(thread),
            what,
        })
    }

    /// What it is asked through; there until it is dropped.
    pub(super) fn asks(&self) -> Option<&A> {
        self.asks.as_ref()
    }
}

impl<A> Drop for Worker<A> {
    fn drop(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that {} has panicked", self.what);
        }
    }
}

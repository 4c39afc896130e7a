//! A thread that wakes tasks.

use crate::backend::{Backend, Submission};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

/// Sleeps until a submission has ended, and wakes the task that waits for it.
pub(super) struct Watcher {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Orders {
    next: Mutex<Next>,
    changed: Condvar,
}

#[derive(Default)]
enum Next {
    #[default]
    Nothing,
    Watch(Arc<dyn Backend>, Submission, Duration, Waker),
    End,
}

impl Orders {
    fn next(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let idle = |next: &mut Next| matches!(next, Next::Nothing);
            let next = self.changed.wait_while(self.next(), idle);
            let next = std::mem::take(&mut *next.unwrap_or_else(PoisonError::into_inner));
            match next {
                Next::Nothing => {}
                Next::Watch(backend, submission, timeout, waker) => {
                    // However it ends, the task is to look.
                    let _ = backend.wait(&submission, timeout);
                    waker.wake();
                }
                Next::End => return,
            }
        }
    }
}

impl Watcher {
    pub(super) fn new() -> Self {
        let orders = Arc::new(Orders::default());
        let thread = std::thread::Builder::new().name("slipring-wake".to_owned());
        let theirs = Arc::clone(&orders);
        Self { orders, thread: thread.spawn(move || theirs.run()).ok() }
    }

    /// Wakes the task when the submission has ended; at once, if there is no thread to wait.
    pub(super) fn watch(
        &self,
        backend: &Arc<dyn Backend>,
        submission: Submission,
        timeout: Duration,
        waker: &Waker,
    ) {
        if self.thread.is_none() {
            waker.wake_by_ref();
            return;
        }
        *self.orders.next() = Next::Watch(Arc::clone(backend), submission, timeout, waker.clone());
        self.orders.changed.notify_one();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        *self.orders.next() = Next::End;
        self.orders.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of it has been printed.
            let _ = thread.join();
        }
    }
}

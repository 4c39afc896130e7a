//! Transfers by threads that read and wait, for systems without io_uring.
//!
//! ```text
//!   files    start ─▶ queue ─▶ one of a few threads: pread, pwrite ─▶ ended ─▶ next
//!   streams  start ─▶ waiting ─▶ one thread: poll of all, then read or write ──┘
//! ```

use super::engine::{Ended, Engine, FileRef, LONGEST_WAIT, Op, Transfer};
use crate::arena::Landing;
use rustix::event::{EventfdFlags, eventfd};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Threads for files: a disk serves a few reads at once.
const FILE_THREADS: usize = 4;

pub(crate) struct Threads {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    in_flight: usize,
}

struct Shared {
    landing: Landing,
    state: Mutex<State>,
    /// Wakes a thread for files.
    has_queued: Condvar,
    /// Wakes who waits for an end.
    has_ended: Condvar,
    /// Wakes the thread for streams.
    wake: OwnedFd,
}

/// What is under way; room for as many transfers as the engine was opened for.
struct State {
    queued: VecDeque<(u32, Transfer)>,
    waiting: Vec<(u32, Transfer)>,
    ended: VecDeque<Ended>,
    /// Threads that have begun, and have allocated what a thread allocates.
    begun: usize,
    is_over: bool,
}

impl Threads {
    /// Threads for `depth` transfers at once.
    ///
    /// # Errors
    /// Those of eventfd and of starting threads.
    pub(crate) fn open(landing: Landing, depth: u32) -> io::Result<Self> {
        let depth = depth as usize;
        let state = State {
            queued: VecDeque::with_capacity(depth),
            waiting: Vec::with_capacity(depth),
            ended: VecDeque::with_capacity(depth),
            begun: 0,
            is_over: false,
        };
        let shared = Arc::new(Shared {
            landing,
            state: Mutex::new(state),
            has_queued: Condvar::new(),
            has_ended: Condvar::new(),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        let mut threads = Self { shared, threads: Vec::new(), in_flight: 0 };
        for _ in 0..FILE_THREADS {
            threads.spawn("slipring-files", Shared::serve_files)?;
        }
        let polled = Vec::with_capacity(depth + 1);
        threads.spawn("slipring-streams", move |shared| shared.serve_streams(polled))?;
        let (shared, all) = (&threads.shared, threads.threads.len());
        drop(shared.has_ended.wait_while(shared.state(), |state| state.begun < all));
        Ok(threads)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce(&Shared) + Send + 'static) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(name.to_owned());
        let run = move || {
            shared.state().begun += 1;
            shared.has_ended.notify_one();
            run(&shared);
        };
        self.threads.push(thread.spawn(run)?);
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, token: u32, result: i32) {
        self.state().ended.push_back(Ended { token, result });
        self.has_ended.notify_one();
    }

    fn wake_streams(&self) {
        // Full, it wakes all the same.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn serve_files(&self) {
        loop {
            let mut state = self.state();
            let (token, transfer) = loop {
                if state.is_over {
                    return;
                }
                match state.queued.pop_front() {
                    Some(queued) => break queued,
                    None => {
                        let waited = self.has_queued.wait(state);
                        state = waited.unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            drop(state);
            self.end(token, self.move_bytes(&transfer));
        }
    }

    /// Waits for all streams at once, and serves those that have something, or take something.
    fn serve_streams(&self, mut all: Vec<libc::pollfd>) {
        let polled = |fd, events| libc::pollfd { fd, events, revents: 0 };
        loop {
            all.clear();
            all.push(polled(self.wake.as_raw_fd(), libc::POLLIN));
            {
                let state = self.state();
                if state.is_over {
                    return;
                }
                let waiting = state.waiting.iter();
                all.extend(
                    waiting.map(|(_, transfer)| polled(raw(transfer.file), awaited(transfer))),
                );
            }
            poll(&mut all, -1);
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
            for ready in all.iter().skip(1).filter(|ready| ready.revents != 0) {
                let mut state = self.state();
                let mut found = state.waiting.iter();
                let found = found.position(|(_, transfer)| {
                    raw(transfer.file) == ready.fd && awaited(transfer) == ready.events
                });
                // It may have been cancelled meanwhile, and another file have its number, or somebody
                // else have taken its bytes: a read would then wait, and with it all streams.
                let is_ready = |_: &usize| poll(&mut [polled(ready.fd, ready.events)], 0);
                let Some(index) = found.filter(is_ready) else {
                    continue;
                };
                let (token, transfer) = state.waiting.swap_remove(index);
                drop(state);
                let result = match transfer.op {
                    Op::AwaitBytes => 1,
                    Op::Read | Op::Write => self.move_bytes(&transfer),
                };
                self.end(token, result);
            }
        }
    }

    /// Moves bytes, as many as come at once; their number, or the negative error number.
    fn move_bytes(&self, transfer: &Transfer) -> i32 {
        let (fd, bytes) = (raw(transfer.file), transfer.bytes);
        let memory = self.landing.pointer(transfer.at).cast();
        let offset = transfer.offset.map(|offset| offset as libc::off64_t);
        // SAFETY: the range is within the landing, as the caller of `start` promises, which `self`
        // keeps, and nobody else's until the transfer has ended. The kernel writes to it as to any
        // memory that others see as atomics.
        // (`every_rung_delivers_every_byte` in tests/driver_ingest.rs)
        let moved = unsafe {
            match (transfer.op, offset) {
                (Op::Write, Some(offset)) => libc::pwrite64(fd, memory, bytes, offset),
                // What a pipe or a socket that is ready takes without waiting: all streams would wait.
                (Op::Write, None) => libc::write(fd, memory, bytes.min(libc::PIPE_BUF)),
                (_, Some(offset)) => libc::pread64(fd, memory, bytes, offset),
                (_, None) => libc::read(fd, memory, bytes),
            }
        };
        match moved {
            0.. => moved as i32,
            _ => -io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO),
        }
    }
}

/// Waits until a file has something, for so many milliseconds; without end, if they are negative. Says
/// whether one has.
fn poll(files: &mut [libc::pollfd], milliseconds: i32) -> bool {
    // SAFETY: as many structures as it is told, alive for the call.
    unsafe { libc::poll(files.as_mut_ptr(), files.len() as libc::nfds_t, milliseconds) > 0 }
}

/// What a stream is waited for.
fn awaited(transfer: &Transfer) -> libc::c_short {
    if transfer.op == Op::Write { libc::POLLOUT } else { libc::POLLIN }
}

fn raw(file: FileRef) -> RawFd {
    match file {
        FileRef::Fd(fd) => fd,
        FileRef::Fixed(_) => unreachable!("only io_uring has a table"),
    }
}

impl Engine for Threads {
    fn add_file(&mut self, fd: RawFd) -> FileRef {
        FileRef::Fd(fd)
    }

    fn remove_file(&mut self, _file: FileRef) {}

    fn start(&mut self, token: u32, transfer: Transfer) {
        self.in_flight += 1;
        let is_stream = transfer.op == Op::AwaitBytes || transfer.offset.is_none();
        let mut state = self.shared.state();
        if is_stream {
            state.waiting.push((token, transfer));
            drop(state);
            self.shared.wake_streams();
        } else {
            state.queued.push_back((token, transfer));
            drop(state);
            self.shared.has_queued.notify_one();
        }
    }

    fn submit(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn next(&mut self) -> Option<Ended> {
        let ended = self.shared.state().ended.pop_front()?;
        self.in_flight -= 1;
        Some(ended)
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.in_flight == 0 {
            return Ok(());
        }
        let state = self.shared.state();
        let is_empty = |state: &mut State| state.ended.is_empty();
        let timeout = timeout.unwrap_or(LONGEST_WAIT);
        drop(self.shared.has_ended.wait_timeout_while(state, timeout, is_empty));
        Ok(())
    }

    fn cancel(&mut self, token: u32) {
        let mut state = self.shared.state();
        let of_token = |(other, _): &(u32, Transfer)| *other == token;
        let is_queued = state.queued.iter().position(of_token);
        let is_waiting = state.waiting.iter().position(of_token);
        if let Some(index) = is_queued {
            state.queued.remove(index);
        } else if let Some(index) = is_waiting {
            state.waiting.swap_remove(index);
        } else {
            return;
        }
        drop(state);
        self.shared.end(token, -libc::ECANCELED);
        self.shared.wake_streams();
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.has_queued.notify_all();
        self.shared.wake_streams();
        for thread in self.threads.drain(..) {
            // A panic of it has been printed. Each keeps the landing until its transfer has ended.
            let _ = thread.join();
        }
    }
}

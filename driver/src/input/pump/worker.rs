//! A thread that serves requests: those that the driver hands it, or, while a kernel stays on, those
//! that it finds in the queue itself.
//!
//! ```text
//!   between drains   driver ─ requests ─▶ thread ─ ends ─▶ driver ─▶ queue
//!   in a stay                  queue ─▶ thread ─▶ queue
//! ```

use super::server::{Carry, Ends, Server, end_in_stay, in_order};
use crate::backend::StayMemory;
use slipring_core::io_queue::{Completion, IoQueue, MAX_SLOTS, Request};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Turns without anything to do until the thread lets others run, and until it begins to sleep.
const SPINS: u32 = 2000;
const YIELDS: u32 = 200;
/// The first sleep; the next ones are twice as long each, up to the last.
const FIRST_SLEEP: Duration = Duration::from_micros(20);
const LONGEST_SLEEP: Duration = Duration::from_millis(1);

enum Command {
    Accept(Request),
    Forget,
    /// A kernel stays on: its queue is served.
    Enter(StayMemory),
    /// It does not any more.
    Leave(SyncSender<usize>),
}

/// How a request ended, and how many times the thread had been told to forget.
type End = (u32, (u32, Completion));

pub(super) struct Worker {
    /// None only while it is dropped.
    commands: Option<SyncSender<Command>>,
    ends: Receiver<End>,
    /// The end that a wait has seen.
    seen: Option<End>,
    forgotten: u32,
    /// Requests handed over that have not come back.
    under_way: usize,
    prefetch_failures: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread.
    pub(super) fn new(server: Server) -> io::Result<Self> {
        // A batch of requests, and what is told once in a while.
        let (commands, received) = sync_channel(2 * MAX_SLOTS);
        let (sent, ends) = sync_channel(2 * MAX_SLOTS);
        let prefetch_failures = Arc::new(AtomicU32::new(0));
        let failures = Arc::clone(&prefetch_failures);
        let turn =
            Turn { server, commands: received, ends: sent, forgotten: 0, stay: None, failures };
        let thread = std::thread::Builder::new().name("slipring-io".to_owned());
        let thread = Some(thread.spawn(move || turn.run())?);
        let (commands, seen) = (Some(commands), None);
        Ok(Self { commands, ends, seen, forgotten: 0, under_way: 0, prefetch_failures, thread })
    }

    fn tell(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // A thread that is gone has printed why, and its requests never end.
            let _ = commands.send(command);
        }
    }

    pub(super) fn accept(&mut self, request: Request) {
        self.under_way += 1;
        self.tell(Command::Accept(request));
    }

    pub(super) fn poll(&mut self) -> Ends {
        let mut ends = Ends::new();
        while let Some((forgotten, end)) = self.seen.take().or_else(|| self.ends.try_recv().ok()) {
            if forgotten == self.forgotten {
                self.under_way -= 1;
                // Each IO slot has one request at a time.
                let _ = ends.push(end);
            }
        }
        ends
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    pub(super) fn wait(&mut self, timeout: Duration) {
        if self.under_way > 0 && self.seen.is_none() {
            match self.ends.recv_timeout(timeout) {
                Ok(end) => self.seen = Some(end),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(timeout),
            }
        }
    }

    pub(super) fn forget(&mut self) {
        self.forgotten = self.forgotten.wrapping_add(1);
        (self.under_way, self.seen) = (0, None);
        self.tell(Command::Forget);
    }

    pub(super) fn enter(&mut self, memory: StayMemory) {
        self.tell(Command::Enter(memory));
    }

    /// Has the thread let go of the queue; what it serves still ends as between drains.
    pub(super) fn leave(&mut self) {
        let (left, under_way) = sync_channel(1);
        self.tell(Command::Leave(left));
        self.under_way = under_way.recv().unwrap_or(0);
    }

    pub(super) fn prefetch_failures(&self) -> u32 {
        self.prefetch_failures.load(Ordering::Relaxed)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // A panic of it has been printed.
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Turn {
    server: Server,
    commands: Receiver<Command>,
    ends: SyncSender<End>,
    forgotten: u32,
    stay: Option<StayMemory>,
    failures: Arc<AtomicU32>,
}

impl Turn {
    fn run(mut self) {
        let mut idle = 0;
        loop {
            let has_nothing = self.server.is_idle() && self.stay.is_none();
            let command = match has_nothing {
                true => self.commands.recv().map_err(|_| TryRecvError::Disconnected),
                false => self.commands.try_recv(),
            };
            let mut is_busy = true;
            match command {
                Ok(command) => self.obey(command),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => is_busy = self.serve(),
            }
            idle = if is_busy { 0 } else { idle + 1 };
            self.rest(idle);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Accept(request) => self.server.accept(&request, &mut NoCarry),
            Command::Forget => {
                self.forgotten = self.forgotten.wrapping_add(1);
                self.server.forget();
            }
            Command::Enter(memory) => self.stay = Some(memory),
            Command::Leave(left) => {
                self.serve();
                self.stay = None;
                let _ = left.send(self.server.under_way());
            }
        }
    }

    /// Takes what there is, and says whether there was anything.
    fn serve(&mut self) -> bool {
        let Some(memory) = &mut self.stay else {
            let ends = self.server.poll(&mut NoCarry);
            // There is room for an end of every IO slot, and of those that were forgotten.
            for end in &ends {
                let _ = self.ends.send((self.forgotten, *end));
            }
            return !ends.is_empty();
        };
        let words = memory.io_queue.clone();
        let Ok(queue) = IoQueue::new(words.mapped().unwrap_or(&[])) else { return false };
        let requests = queue.claim();
        for request in in_order(&requests) {
            self.server.accept(request, memory);
        }
        let ends = self.server.poll(memory);
        for &(io_slot, completion) in &ends {
            if end_in_stay(&queue, io_slot, completion) {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        !(requests.is_empty() && ends.is_empty())
    }

    /// Waits the longer, the longer there was nothing to do.
    fn rest(&mut self, idle: u32) {
        if idle < SPINS {
            std::hint::spin_loop();
        } else if idle < SPINS + YIELDS {
            std::thread::yield_now();
        } else {
            let doublings = (idle - SPINS - YIELDS).min(16);
            let sleep = LONGEST_SLEEP.min(FIRST_SLEEP * (1 << doublings));
            match self.server.is_idle() {
                true => std::thread::sleep(sleep),
                false => self.server.wait(sleep),
            }
        }
    }
}

/// The driver carries what has landed to the GPU itself.
struct NoCarry;

impl Carry for NoCarry {
    fn deliver(&mut self, _words: Range<usize>) -> bool {
        true
    }

    fn fetch(&mut self, _words: Range<usize>) -> bool {
        true
    }
}

impl Carry for StayMemory {
    fn deliver(&mut self, words: Range<usize>) -> bool {
        self.arena.deliver(words).is_ok()
    }

    fn fetch(&mut self, words: Range<usize>) -> bool {
        self.arena.fetch(words).is_ok()
    }
}

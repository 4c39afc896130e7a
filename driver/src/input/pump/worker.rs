//! A thread that serves requests: those that the driver hands it, or, while a kernel stays on, those
//! that it finds in the queue itself.
//!
//! ```text
//!   between drains   driver ─ requests ─▶ thread ─ ends ─▶ driver ─▶ queue
//!   in a stay                  queue ─▶ thread ─▶ queue
//! ```

use super::server::{Carry, End, Ends, Server, ending, failure};
use super::stay;
use super::table::{IoTable, Move};
use crate::backend::StayMemory;
use rustix::io::Errno;
use slipring_core::io_queue::{Completion, MAX_SLOTS, Request};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Turns without anything to do until the thread begins to sleep, about a millisecond. It lets others
/// run meanwhile: where a CPU is the GPU, what it waits for may need the very core.
const YIELDS: u32 = 2000;
/// The first sleep; the next ones are twice as long each, up to the last.
const FIRST_SLEEP: Duration = Duration::from_micros(20);
const LONGEST_SLEEP: Duration = Duration::from_millis(1);

enum Command {
    Accept(Request),
    /// Its requests are forgotten, once their transfers have ended.
    Forget(SyncSender<()>),
    /// A kernel is to stay on: its queue is served.
    Enter(StayMemory, SyncSender<()>),
    /// It does not any more.
    Leave(SyncSender<Left>),
}

/// What the thread has in hand when a stay is over.
struct Left {
    under_way: usize,
    moves: [Option<Move>; MAX_SLOTS],
}

pub(super) struct Worker {
    table: Arc<IoTable>,
    /// None only while it is dropped.
    commands: Option<SyncSender<Command>>,
    received: Receiver<End>,
    /// Ends that were not handed on yet.
    ends: Ends,
    /// Requests handed over that have not come back, and what each moves: the driver carries it to
    /// the GPU.
    under_way: usize,
    moves: [Option<Move>; MAX_SLOTS],
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread, which adds up what fails unseen.
    pub(super) fn new(
        server: Server,
        table: Arc<IoTable>,
        failures: Arc<AtomicU32>,
    ) -> io::Result<Self> {
        // A request for each IO slot, and what is told once in a while.
        let (commands, told) = sync_channel(2 * MAX_SLOTS);
        let (sent, received) = sync_channel(MAX_SLOTS);
        let turns = Turns { server, told, sent, stay: None, failures, idle: 0 };
        let thread = std::thread::Builder::new().name("slipring-io".to_owned());
        let thread = Some(thread.spawn(move || turns.run())?);
        let (commands, ends) = (Some(commands), Ends::new());
        let (under_way, moves) = (0, [None; MAX_SLOTS]);
        Ok(Self { table, commands, received, ends, under_way, moves, thread })
    }

    fn tell(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // A thread that is gone has printed why, and its requests never end.
            let _ = commands.send(command);
        }
    }

    /// Tells, and waits for the answer; none from a thread that is gone.
    fn ask<T>(&self, question: impl FnOnce(SyncSender<T>) -> Command) -> Option<T> {
        let (answers, answer) = sync_channel(1);
        self.tell(question(answers));
        answer.recv().ok()
    }

    pub(super) fn accept(&mut self, request: &Request, carry: &mut dyn Carry) {
        self.under_way += 1;
        let part = self.table.resolve(request).ok();
        self.moves[request.slot as usize] = part;
        match part.filter(Move::is_write) {
            Some(part) if !carry.fetch(part.words()) => {
                self.keep((request.slot, failure(Errno::IO)));
            }
            _ => self.tell(Command::Accept(*request)),
        }
    }

    pub(super) fn poll(&mut self, carry: &mut dyn Carry) -> Ends {
        self.receive();
        self.under_way -= self.ends.len();
        let mut ends = std::mem::take(&mut self.ends);
        for (io_slot, completion) in &mut ends {
            let part = self.moves[*io_slot as usize].take();
            if let (Some(part), Completion::Ok { bytes }) = (part, *completion)
                && !part.is_write()
            {
                *completion = ending(bytes, carry.deliver(part.words_of(bytes)));
            }
        }
        ends
    }

    fn keep(&mut self, end: End) {
        // Each IO slot has one request at a time.
        let _ = self.ends.push(end);
    }

    fn receive(&mut self) {
        while let Ok(end) = self.received.try_recv() {
            self.keep(end);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    pub(super) fn wait(&mut self, timeout: Duration) {
        if self.under_way > 0 && self.ends.is_empty() {
            match self.received.recv_timeout(timeout) {
                Ok(end) => self.keep(end),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(timeout),
            }
        }
    }

    /// Forgets every request, once its transfer has ended.
    pub(super) fn forget(&mut self) {
        self.ask(Command::Forget);
        self.receive();
        self.ends.clear();
        (self.under_way, self.moves) = (0, [None; MAX_SLOTS]);
    }

    /// Has the thread serve a queue itself. What has ended before is there to be polled, and the
    /// rest ends in the queue.
    pub(super) fn enter(&mut self, memory: StayMemory) {
        self.ask(|entered| Command::Enter(memory, entered));
    }

    /// Has the thread let go of the queue; what it serves still ends as between drains.
    pub(super) fn leave(&mut self) {
        let nothing = Left { under_way: 0, moves: [None; MAX_SLOTS] };
        let Left { under_way, moves } = self.ask(Command::Leave).unwrap_or(nothing);
        (self.under_way, self.moves) = (under_way, moves);
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

/// The thread's part.
struct Turns {
    server: Server,
    told: Receiver<Command>,
    sent: SyncSender<End>,
    stay: Option<StayMemory>,
    failures: Arc<AtomicU32>,
    /// Turns without anything to do.
    idle: u32,
}

impl Turns {
    fn run(mut self) {
        loop {
            let has_nothing = self.server.is_idle() && self.stay.is_none();
            let command = match has_nothing {
                true => self.told.recv().map_err(|_| TryRecvError::Disconnected),
                false => self.told.try_recv(),
            };
            let was_busy = match command {
                Ok(command) => {
                    self.obey(command);
                    true
                }
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => self.serve(),
            };
            self.idle = if was_busy { 0 } else { self.idle + 1 };
            self.rest();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Accept(request) => self.server.accept(&request, &mut NoCarry),
            Command::Forget(forgotten) => {
                self.server.forget();
                let _ = forgotten.send(());
            }
            Command::Enter(memory, entered) => {
                self.stay = Some(memory);
                let _ = entered.send(());
            }
            Command::Leave(left) => {
                self.serve();
                self.stay = None;
                let (under_way, moves) = (self.server.under_way(), self.server.moves());
                let _ = left.send(Left { under_way, moves });
            }
        }
    }

    /// Takes what there is, and says whether there was anything.
    fn serve(&mut self) -> bool {
        if let Some(memory) = &mut self.stay {
            let turn = stay::serve(&mut self.server, memory);
            self.failures.fetch_add(turn.failures, Ordering::Relaxed);
            return turn.was_busy;
        }
        let ends = self.server.poll(&mut NoCarry);
        for end in &ends {
            // There is room for an end of every IO slot.
            let _ = self.sent.send(*end);
        }
        !ends.is_empty()
    }

    /// Waits the longer, the longer there was nothing to do.
    fn rest(&mut self) {
        if self.idle < YIELDS {
            std::thread::yield_now();
        } else {
            let doublings = (self.idle - YIELDS).min(16);
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

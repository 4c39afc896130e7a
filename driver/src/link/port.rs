//! A wire as it comes and goes, with at most a read and a write under way.
//!
//! ```text
//!   Down ─ time, or a peer ─▶ Connecting ─ first transfer ─▶ Up ─ end or error ─▶ Closing ─▶ Down
//!                                                                 until its transfers have ended
//! ```

use super::wire::{Opened, Wire, WireError};
use super::{BUFFER_BYTES, LinkEvent};
use crate::input::engine::{Engine, FileRef, Op, Transfer, is_passing};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};

/// The waits between two tries to open a wire.
const FIRST_WAIT_MS: u32 = 100;
const LONGEST_WAIT_MS: u32 = 1000;

pub(super) struct Port {
    wire: Wire,
    state: State,
    /// Of its reads, or of who connects; of its writes, the next.
    token: u32,
    /// Where it reads to; what it writes is behind.
    at: usize,
    is_reading: bool,
    is_writing: bool,
    /// What is to be written.
    rest: Range<usize>,
    wait_ms: u32,
    /// Whether it was told that the wire is not there.
    is_absent: bool,
}

enum State {
    Down {
        since: u32,
        wait_ms: u32,
    },
    /// Somebody is waited for.
    Listening,
    Connecting(Open),
    Up(Open),
    Closing(Open),
    Over,
}

struct Open {
    fd: OwnedFd,
    file: FileRef,
}

/// What the end of a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    /// Bytes that have come: from the start of the buffer that is read to.
    pub(super) read: usize,
    pub(super) written: usize,
    pub(super) event: Option<LinkEvent>,
}

impl Moved {
    const NOTHING: Self = Self { read: 0, written: 0, event: None };
}

impl Port {
    /// The port of this number, whose buffers are the memory's of the same number.
    pub(super) fn new(wire: Wire, index: usize) -> Self {
        Self {
            wire,
            state: State::Down { since: 0, wait_ms: 0 },
            token: 2 * index as u32,
            at: 2 * BUFFER_BYTES * index,
            is_reading: false,
            is_writing: false,
            rest: 0..0,
            wait_ms: FIRST_WAIT_MS,
            is_absent: false,
        }
    }

    /// Where it reads to.
    pub(super) fn input(&self) -> usize {
        self.at
    }

    /// Where what it writes is to be.
    pub(super) fn output(&self) -> usize {
        self.at + BUFFER_BYTES
    }

    /// Whether there are bytes to be put at [`Port::output`] when there are some.
    pub(super) fn takes_bytes(&self) -> bool {
        self.open().is_some() && !self.is_writing && self.rest.is_empty()
    }

    /// What is open, if somebody may be at the other end.
    fn open(&self) -> Option<&Open> {
        match &self.state {
            State::Connecting(open) | State::Up(open) => Some(open),
            _ => None,
        }
    }

    /// In how many milliseconds it has something to do by itself.
    pub(super) fn due_ms(&self, now: u32) -> Option<u32> {
        match self.state {
            State::Down { since, wait_ms } => Some(wait_ms.saturating_sub(now.wrapping_sub(since))),
            _ => None,
        }
    }

    /// Opens the wire if it is time to; how that went, if there is news.
    pub(super) fn renew(
        &mut self,
        now: u32,
        engine: &mut dyn Engine,
        blocking: bool,
    ) -> Option<LinkEvent> {
        if self.due_ms(now) != Some(0) {
            return None;
        }
        if self.wire.listener().is_some() {
            self.state = State::Listening;
            return None;
        }
        self.open_wire(now, engine, blocking)
    }

    fn open_wire(
        &mut self,
        now: u32,
        engine: &mut dyn Engine,
        blocking: bool,
    ) -> Option<LinkEvent> {
        match self.wire.open(blocking) {
            Ok(Opened { fd, is_there }) => {
                let file = engine.add_file(fd.as_raw_fd());
                self.rest = 0..0;
                self.state = State::Connecting(Open { fd, file });
                is_there.then(|| self.came_up()).flatten()
            }
            Err(WireError::System { errno, .. })
                if is_passing(errno) && self.wire.listener().is_some() =>
            {
                // Who was there has gone.
                self.state = State::Listening;
                None
            }
            Err(error) => self.absent(error, now),
        }
    }

    fn came_up(&mut self) -> Option<LinkEvent> {
        let State::Connecting(open) = std::mem::replace(&mut self.state, State::Over) else {
            unreachable!("only such come up")
        };
        self.state = State::Up(open);
        self.is_absent = false;
        Some(LinkEvent::WireUp)
    }

    /// Tries again later; says so once.
    fn absent(&mut self, error: WireError, now: u32) -> Option<LinkEvent> {
        self.wait(now);
        let is_known = std::mem::replace(&mut self.is_absent, true);
        (!is_known).then_some(LinkEvent::WireAbsent(error))
    }

    fn wait(&mut self, now: u32) {
        self.state = match self.wire.is_over() {
            true => State::Over,
            false => State::Down { since: now, wait_ms: self.wait_ms },
        };
        self.wait_ms = (2 * self.wait_ms).min(LONGEST_WAIT_MS);
    }

    /// Has so many bytes at [`Port::output`] be written.
    pub(super) fn put(&mut self, bytes: usize) {
        self.rest = 0..bytes;
    }

    /// Starts what is not under way and can be.
    pub(super) fn start(&mut self, engine: &mut dyn Engine) {
        let (op, file) = match (&self.state, self.wire.listener()) {
            (State::Listening, Some(listener)) => (Op::AwaitBytes, FileRef::Fd(listener)),
            (State::Connecting(open) | State::Up(open), _) => (Op::Read, open.file),
            _ => return,
        };
        let mut start = |token, op, at, bytes| {
            engine.start(token, Transfer { op, file, offset: None, at, bytes });
        };
        if !self.is_reading {
            self.is_reading = true;
            start(self.token, op, self.at, BUFFER_BYTES);
        }
        if op == Op::Read && !self.is_writing && !self.rest.is_empty() {
            self.is_writing = true;
            start(self.token + 1, Op::Write, self.output() + self.rest.start, self.rest.len());
        }
    }

    /// Takes the end of one of its transfers.
    pub(super) fn ended(
        &mut self,
        token: u32,
        result: i32,
        now: u32,
        engine: &mut dyn Engine,
        blocking: bool,
    ) -> Moved {
        let is_write = token != self.token;
        *(if is_write { &mut self.is_writing } else { &mut self.is_reading }) = false;
        let mut moved = Moved::NOTHING;
        match &self.state {
            State::Listening => {
                if result > 0 {
                    moved.event = self.open_wire(now, engine, blocking);
                } else if !is_passing(-result) {
                    moved.event = self.absent(error_of(result, "poll"), now);
                }
                return moved;
            }
            State::Connecting(_) | State::Up(_) => {}
            _ => {
                self.close_if_idle(now, engine);
                return moved;
            }
        }
        match result {
            1.. => {
                if let State::Connecting(_) = self.state {
                    moved.event = self.came_up();
                }
                if is_write {
                    moved.written = result as usize;
                    self.rest.start = (self.rest.start + moved.written).min(self.rest.end);
                } else {
                    moved.read = (result as usize).min(BUFFER_BYTES);
                    self.wait_ms = FIRST_WAIT_MS;
                }
            }
            // Somebody else who has this file may have changed how it waits.
            _ if -result == libc::EAGAIN => {
                if let Some(open) = self.open() {
                    let _ = super::wire::set_blocking(&open.fd, blocking);
                }
            }
            _ if is_passing(-result) => {}
            _ => {
                let call = if is_write { "write" } else { "read" };
                moved.event = self.lose(error_of(result, call), now, engine);
            }
        }
        moved
    }

    /// Ends the wire as soon as nothing is under way on it.
    fn lose(&mut self, error: WireError, now: u32, engine: &mut dyn Engine) -> Option<LinkEvent> {
        let event = match std::mem::replace(&mut self.state, State::Over) {
            State::Up(open) => {
                self.state = State::Closing(open);
                Some(LinkEvent::WireLost(error))
            }
            State::Connecting(open) => {
                self.state = State::Closing(open);
                let is_known = std::mem::replace(&mut self.is_absent, true);
                (!is_known).then_some(LinkEvent::WireAbsent(error))
            }
            _ => unreachable!("only an open wire is lost"),
        };
        for (token, is_under_way) in
            [(self.token, self.is_reading), (self.token + 1, self.is_writing)]
        {
            if is_under_way {
                engine.cancel(token);
            }
        }
        self.close_if_idle(now, engine);
        event
    }

    fn close_if_idle(&mut self, now: u32, engine: &mut dyn Engine) {
        if self.is_reading || self.is_writing {
            return;
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Closing(Open { fd, file }) => {
                engine.remove_file(file);
                self.wire.close(fd);
                self.rest = 0..0;
                self.wait(now);
            }
            state => self.state = state,
        }
    }
}

/// What the result of a transfer says is wrong with its wire.
fn error_of(result: i32, call: &'static str) -> WireError {
    match result {
        0 => WireError::Ended,
        errno => WireError::System { call, errno: -errno },
    }
}

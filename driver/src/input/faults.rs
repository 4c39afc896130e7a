//! Faults to order, for tests: between a reader and what moves its bytes.

use super::engine::{Ended, Engine, FileRef, Transfer};
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What happens to a completion, or to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error number.
    Fail(i32),
    /// Of its bytes, only the first part counts: this many 256ths.
    Shorten(u8),
    /// It says that the file has ended.
    End,
    /// It comes after so many others, or when there are no others.
    Delay(u32),
    /// It comes after the next one.
    Reorder,
    /// The call that tells the system, or waits for it, fails with this error number.
    Call(i32),
}

/// Faults to come, for tests.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    /// Completions, or calls, until each.
    faults: Vec<(u32, Fault)>,
    /// How many have come to pass.
    injected: u32,
}

impl Faults {
    /// Has this happen to the completion of this number, the next one being 0; or to the call of
    /// this number, for [`Fault::Call`].
    pub fn at(&self, number: u32, fault: Fault) {
        self.plan().faults.push((number, fault));
    }

    /// How many faults have come to pass.
    pub fn injected(&self) -> u32 {
        self.plan().injected
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault of the next call, or else of the next completion.
    fn next(&self, is_call: bool) -> Option<Fault> {
        let mut plan = self.plan();
        let mut due = None;
        plan.faults.retain_mut(|(number, fault)| {
            if matches!(fault, Fault::Call(_)) != is_call {
                return true;
            }
            match number.checked_sub(1) {
                Some(rest) => *number = rest,
                None if due.is_none() => {
                    due = Some(*fault);
                    return false;
                }
                // Two of one number: the second comes next.
                None => {}
            }
            true
        });
        plan.injected += u32::from(due.is_some());
        due
    }
}

/// An engine with faults.
pub(super) struct Faulty {
    pub(super) engine: Box<dyn Engine>,
    pub(super) faults: Faults,
    /// What was held back, and for how many others still.
    pub(super) held: Vec<(u32, Ended)>,
}

impl Faulty {
    fn call(&self) -> io::Result<()> {
        match self.faults.next(true) {
            Some(Fault::Call(errno)) => Err(io::Error::from_raw_os_error(errno)),
            _ => Ok(()),
        }
    }

    fn count_down(&mut self) {
        self.held.iter_mut().for_each(|(others, _)| *others = others.saturating_sub(1));
    }
}

impl Engine for Faulty {
    fn add_file(&mut self, fd: RawFd) -> FileRef {
        self.engine.add_file(fd)
    }

    fn remove_file(&mut self, file: FileRef) {
        self.engine.remove_file(file);
    }

    fn start(&mut self, token: u32, transfer: Transfer) {
        self.engine.start(token, transfer);
    }

    fn submit(&mut self) -> io::Result<()> {
        self.call().and_then(|()| self.engine.submit())
    }

    fn next(&mut self) -> Option<Ended> {
        loop {
            let is_alone = self.engine.in_flight() == 0;
            let due = self.held.iter().position(|(others, _)| *others == 0 || is_alone);
            if let Some(index) = due {
                return Some(self.held.remove(index).1);
            }
            let mut ended = self.engine.next()?;
            self.count_down();
            match self.faults.next(false) {
                Some(Fault::Fail(errno)) => ended.result = -errno,
                Some(Fault::Shorten(part)) if ended.result > 1 => {
                    ended.result = (ended.result * i32::from(part) / 256).max(1);
                }
                Some(Fault::End) => ended.result = 0,
                Some(Fault::Delay(others)) => {
                    self.held.push((others, ended));
                    continue;
                }
                Some(Fault::Reorder) => {
                    self.held.push((1, ended));
                    continue;
                }
                Some(Fault::Shorten(_) | Fault::Call(_)) | None => {}
            }
            return Some(ended);
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.call().and_then(|()| self.engine.wait(timeout))
    }

    fn cancel(&mut self, token: u32) {
        self.engine.cancel(token);
    }

    fn in_flight(&self) -> usize {
        self.engine.in_flight() + self.held.len()
    }
}

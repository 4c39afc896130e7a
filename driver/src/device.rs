//! The row on both sides: what the host writes and reads, and the device that runs it.

mod flight;

pub(crate) use flight::{Flight, submit};

use crate::backend::{Backend, BackendError, Batch, Cost, Resident, RowOptions, Submission};
use crate::dirty::{Dirty, Unit, whole};
use crate::driver::DriverError;
use crate::host_row::{HostRow, store_words};
use crate::input::Carry;
use crate::open::Opened;
use crate::readback::Readback;
use crate::recovery::Mirror;
use crate::shared::{Shared, is_same};
use crate::storage::Storage;
use crate::work::WorkList;
use slipring_core::ring::Ring;
use slipring_core::slot::LEVELS;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) struct Device {
    pub(crate) shared: Arc<Shared>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) resident: Box<dyn Resident>,
    options: RowOptions,
    /// Whether the host's row is a copy, of which what is dirty goes up.
    copies: bool,
    dirty: Dirty,
    mirror: Option<Mirror>,
    /// Whether the resident row only stands in for one that was lost.
    is_lost: bool,
    /// Devices replaced since the last drain that finished.
    recovered: u32,
    /// Drops a row of a device that may be busy still.
    dropping: Option<JoinHandle<()>>,
    listed: Vec<u32>,
    /// Drains in flight, oldest first.
    flights: VecDeque<Flight>,
    spare: Vec<Flight>,
    batch: Batch,
}

impl Device {
    /// A fresh row's; with a mirror, one whose device is replaced when it is lost. Each work list
    /// makes a flight.
    pub(crate) fn new(
        shared: Arc<Shared>,
        (backend, resident): Opened,
        mirror: Option<Mirror>,
        options: RowOptions,
        work: Vec<WorkList>,
    ) -> Self {
        let geometry = resident.host().geometry();
        let copies = !resident.shares_row();
        Self {
            shared,
            backend,
            resident,
            options,
            copies,
            dirty: Dirty::new(geometry),
            mirror,
            is_lost: false,
            recovered: 0,
            dropping: None,
            listed: Vec::with_capacity(geometry.slots() as usize),
            flights: VecDeque::with_capacity(work.len()),
            spare: work.into_iter().enumerate().map(Flight::new).collect(),
            batch: Batch::default(),
        }
    }

    /// What the row was opened with.
    pub(crate) fn options(&self) -> &RowOptions {
        &self.options
    }

    /// The host's row.
    pub(crate) fn host(&self) -> &HostRow {
        self.resident.host()
    }

    /// The ring of the host's row.
    pub(crate) fn ring(&self) -> Ring<'_, AtomicU32> {
        self.host().row().ring
    }

    /// Notes what the host has written into its row.
    pub(crate) fn wrote(&mut self, unit: Unit) {
        if self.copies {
            self.dirty.add(unit);
        }
        if let Some(mirror) = &self.mirror {
            mirror.take(self.host(), unit);
        }
    }

    /// Notes that the host has written its whole row.
    pub(crate) fn wrote_all(&mut self) {
        self.dirty.everything();
        if let Some(mirror) = &self.mirror {
            mirror.take_all(self.host());
        }
    }

    /// Drains that may be in flight at once.
    pub(crate) fn most_flights(&self) -> usize {
        self.flights.len() + self.spare.len()
    }

    pub(crate) fn flights(&self) -> usize {
        self.flights.len()
    }

    /// Whether the oldest drain has ended. One that takes too long is a loss.
    pub(crate) fn is_oldest_finished(&self) -> Result<bool, BackendError> {
        let Some(Flight { rest: None, submission, started, .. }) = self.flights.front() else {
            return Ok(true);
        };
        let is_late = started.elapsed() >= self.options.timeout;
        match self.backend.is_finished(submission) {
            Ok(false) | Err(_) if is_late => {
                Err(self.backend.lose_by(BackendError::timeout(self.options.timeout)))
            }
            finished => finished,
        }
    }

    /// What to wait for until the oldest drain has ended.
    pub(crate) fn oldest_submission(&self) -> Submission {
        self.flights.front().map_or(Submission::Ended, |flight| flight.submission.clone())
    }

    /// Submits what was begun.
    pub(crate) fn start(&mut self) -> Result<(), DriverError> {
        self.call(false, Self::submit_waiting)
    }

    fn submit_waiting(&mut self) -> Result<(), BackendError> {
        while self.flights.iter().any(|flight| flight.rest.is_some()) {
            submit(&mut [&mut *self], |device| device)?;
        }
        Ok(())
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// Waits for the oldest drain, which is submitted first if it was not, and takes over what it
    /// has changed; says how many devices were replaced since the last one.
    pub(crate) fn finish(&mut self, is_retry: bool) -> Result<(Flight, u32), DriverError> {
        self.call(is_retry, |device| {
            device.submit_waiting()?;
            let Some(flight) = device.flights.front() else { return Ok(()) };
            device.resident.finish(flight.index, &flight.readback)?;
            match &mut device.mirror {
                None => Ok(()),
                // The drain has run: whatever goes wrong now is a loss.
                Some(mirror) => mirror
                    .read_workspace(&mut *device.resident)
                    .map_err(|error| device.backend.lose_by(error)),
            }
        })?;
        let mut flight = self.flights.pop_front().expect("begun by the caller");
        flight.latency = flight.started.elapsed();
        if let Some(mirror) = &mut self.mirror {
            mirror.take_results(self.resident.host(), flight.work.slots());
        }
        Ok((flight, std::mem::take(&mut self.recovered)))
    }

    /// Writes workspace words; the range was checked.
    pub(crate) fn write_workspace(
        &mut self,
        first: usize,
        words: &[u32],
    ) -> Result<(), DriverError> {
        self.call(false, |device| device.resident.write_workspace(first, words))?;
        if let Some(mirror) = &mut self.mirror {
            mirror.take_workspace(first, words);
        }
        Ok(())
    }

    /// Reads workspace words; the range was checked.
    pub(crate) fn read_workspace(
        &mut self,
        first: usize,
        words: &mut [u32],
    ) -> Result<(), DriverError> {
        self.call(false, |device| device.resident.read_workspace(first, words))
    }

    /// Has the device see arena words that have landed; the range was checked.
    pub(crate) fn deliver_arena(&mut self, words: Range<usize>) -> Result<(), DriverError> {
        self.call(false, |device| device.resident.deliver_arena(words.clone()))
    }

    /// Has words of the arena be where they would land; the range was checked.
    fn fetch_arena(&mut self, words: Range<usize>) -> Result<(), DriverError> {
        self.call(false, |device| device.resident.fetch_arena(words.clone()))
    }

    /// Whether the host's row is a copy.
    pub(crate) fn copies(&self) -> bool {
        self.copies
    }

    /// Writes arena words; the range was checked.
    pub(crate) fn write_arena(&mut self, first: usize, words: &[u32]) -> Result<(), DriverError> {
        self.call(false, |device| device.resident.write_arena(first, words))?;
        if let Some(arena) = self.options.arena.as_ref().filter(|arena| arena.is_copied()) {
            // Where it outlives the device.
            store_words(arena.pages().words(), first, words.iter().copied());
        }
        Ok(())
    }

    /// Reads arena words; the range was checked.
    pub(crate) fn read_arena(
        &mut self,
        first: usize,
        words: &mut [u32],
    ) -> Result<(), DriverError> {
        self.call(false, |device| device.resident.read_arena(first, words))
    }

    /// Takes over the whole row, on which no kernel works at the moment, as what to go back to.
    pub(crate) fn checkpoint(&mut self) -> Result<(), BackendError> {
        let Some(mirror) = &mut self.mirror else { return Ok(()) };
        // The jobs have run: whatever goes wrong now is a loss.
        let read = mirror.read_workspace(&mut *self.resident);
        read.map_err(|error| self.backend.lose_by(error))?;
        mirror.take_all(self.resident.host());
        mirror.keep_workspace();
        Ok(())
    }

    /// Moves the row, while nothing is in flight, to other memory.
    pub(crate) fn rebind(&mut self, storage: Option<Storage>) -> Result<(), DriverError> {
        self.bring_home()?;
        let geometry = self.options.geometry;
        let mut workspace = vec![0; self.options.workspace_words];
        self.read_workspace(0, &mut workspace)?;
        let copy = HostRow::new(geometry, None);
        copy.copy_from(self.host(), &whole(geometry));
        let options = RowOptions { storage, ..self.options.clone() };
        let mut resident = Arc::clone(&self.backend).open_row(&options).map_err(Box::new)?;
        resident.host().copy_from(&copy, &whole(geometry));
        resident.write_workspace(0, &workspace)?;
        // One that lies where its bytes land is the same memory still, and more may be landing.
        if options.arena.as_ref().is_none_or(|arena| arena.is_copied()) {
            copy_arena(&mut *self.resident, &mut *resident, options.arena_words())?;
        }
        if let Some(mirror) = &mut self.mirror {
            mirror.rebind(&options);
        }
        (self.resident, self.options) = (resident, options);
        self.dirty.everything();
        Ok(())
    }

    /// Has the host's row be the device's, by a drain of nothing where it is a copy.
    fn bring_home(&mut self) -> Result<(), DriverError> {
        if !self.copies {
            return self.renew();
        }
        let mut none = WorkList::new([0; LEVELS]);
        self.begin(&mut none, &Readback::all(), true);
        let (flight, finished) = match self.finish(false) {
            Ok((flight, recovered)) => {
                self.recovered = recovered;
                (Some(flight), Ok(()))
            }
            Err(error) => (self.flights.pop_back(), Err(error)),
        };
        if let Some(mut flight) = flight {
            flight.work = none;
            self.spare.push(flight);
        }
        finished
    }

    /// Makes a call; once more on a new device, if this one is lost and to be replaced.
    fn call<T>(
        &mut self,
        mut is_retry: bool,
        mut call: impl FnMut(&mut Self) -> Result<T, BackendError>,
    ) -> Result<T, DriverError> {
        loop {
            self.renew()?;
            let error = match call(self) {
                Err(error) if error.is_lost() => error,
                result => return Ok(result?),
            };
            if !self.lose(&error) || std::mem::replace(&mut is_retry, true) {
                return Err(error.into());
            }
        }
    }

    /// Replaces a device that is lost, as a row beside this one may have found it to be.
    pub(crate) fn renew(&mut self) -> Result<(), DriverError> {
        if self.mirror.is_some() && !self.is_lost {
            if is_same(&self.shared.backend(), &self.backend) {
                return Ok(());
            }
            self.lose(&BackendError::Lost { reason: "it was replaced".to_owned() });
        }
        let arena = self.options.arena.as_ref();
        if self.is_lost
            && (self.options.storage.is_some() || arena.is_some_and(|arena| !arena.is_copied()))
        {
            // The lost device may be writing to the very memory that the next one is to have.
            self.join_dropping();
        }
        let Some(mirror) = self.mirror.as_ref().filter(|_| self.is_lost) else { return Ok(()) };
        (self.backend, self.resident) = mirror.rebuild(&self.shared, &self.backend)?;
        self.dirty.everything();
        self.is_lost = false;
        self.recovered += 1;
        Ok(())
    }

    /// Drops the row of a lost device, and says so, if it can be replaced.
    pub(crate) fn lose(&mut self, error: &BackendError) -> bool {
        let Some(mirror) = &self.mirror else { return false };
        tracing::warn!(%error, "the device is replaced");
        let stand_in = mirror.stand_in(self.resident.info());
        let lost = std::mem::replace(&mut self.resident, stand_in);
        self.is_lost = true;
        for flight in &mut self.flights {
            (flight.rest, flight.cost) = (Some(0), Cost::default());
        }
        // It may be busy for long, and dropping it waits for that. One at a time.
        self.join_dropping();
        let thread = std::thread::Builder::new().name("slipring-drop".to_owned());
        self.dropping = thread.spawn(move || drop(lost)).ok();
        true
    }

    fn join_dropping(&mut self) {
        if let Some(thread) = self.dropping.take() {
            // A panic of it has been printed.
            let _ = thread.join();
        }
    }
}

/// Copies a whole arena, a part at a time: it may be large.
fn copy_arena(
    from: &mut dyn Resident,
    to: &mut dyn Resident,
    words: usize,
) -> Result<(), BackendError> {
    let mut part = vec![0; words.min(1 << 20)];
    for first in (0..words).step_by(part.len()) {
        let part = &mut part[..words.min(first + (1 << 20)) - first];
        from.read_arena(first, part)?;
        to.write_arena(first, part)?;
    }
    Ok(())
}

impl Carry for Device {
    fn deliver(&mut self, words: Range<usize>) -> bool {
        self.deliver_arena(words).is_ok()
    }

    fn fetch(&mut self, words: Range<usize>) -> bool {
        self.fetch_arena(words).is_ok()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.join_dropping();
    }
}

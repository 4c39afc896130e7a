//! The row on both sides: what the host writes and reads, and the device that runs it.

use crate::backend::{Backend, BackendError, Cost, Drain};
use crate::dirty::{Dirty, Unit};
use crate::driver::DriverError;
use crate::host_row::HostRow;
use crate::readback::Readback;
use crate::recovery::Mirror;
use crate::work::{WorkList, runs};
use slipring_core::layout::Buffer;
use slipring_core::ring::Ring;
use slipring_core::slot::WORDS;
use std::ops::Range;
use std::sync::atomic::AtomicU32;
use std::thread::JoinHandle;

pub(crate) struct Device {
    pub(crate) backend: Box<dyn Backend>,
    dirty: Dirty,
    mirror: Option<Mirror>,
    /// Whether the backend only stands in for one that was lost.
    is_lost: bool,
    /// Devices replaced since the last drain that finished.
    recovered: u32,
    /// Drops a device that may be busy still.
    dropping: Option<JoinHandle<()>>,
    listed: Vec<u32>,
    readback: Vec<(Buffer, Range<usize>)>,
}

impl Device {
    /// A fresh row's; with a mirror, one that is replaced when it is lost.
    pub(crate) fn new(backend: Box<dyn Backend>, mirror: Option<Mirror>) -> Self {
        let geometry = backend.host().geometry();
        Self {
            backend,
            dirty: Dirty::new(geometry),
            mirror,
            is_lost: false,
            recovered: 0,
            dropping: None,
            listed: Vec::with_capacity(geometry.slots() as usize),
            readback: Vec::new(),
        }
    }

    /// The host's row.
    pub(crate) fn host(&self) -> &HostRow {
        self.backend.host()
    }

    /// The ring of the host's row.
    pub(crate) fn ring(&self) -> Ring<'_, AtomicU32> {
        self.host().row().ring
    }

    /// Notes what the host has written into its row.
    pub(crate) fn wrote(&mut self, unit: Unit) {
        self.dirty.add(unit);
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

    /// Runs a drain, brings `readback` home, and says how many devices were replaced since the last
    /// one that finished.
    pub(crate) fn drain(
        &mut self,
        work: &WorkList,
        readback: &Readback,
        uses_io: bool,
    ) -> Result<(Cost, u32), DriverError> {
        let cost = self.call(|device| device.drain_once(work, readback, uses_io))?;
        self.dirty.clear();
        if let Some(mirror) = &mut self.mirror {
            mirror.take_results(self.backend.host(), work.slots());
        }
        Ok((cost, std::mem::take(&mut self.recovered)))
    }

    fn drain_once(
        &mut self,
        work: &WorkList,
        readback: &Readback,
        uses_io: bool,
    ) -> Result<Cost, BackendError> {
        self.readback.clear();
        let mut uploads = &[][..];
        if !self.backend.shares_row() {
            let geometry = self.backend.host().geometry();
            match self.mirror {
                None => self.list_readback(work, readback, uses_io),
                Some(_) => self.list_readback(work, &readback.with_changes(geometry), uses_io),
            }
            uploads = self.dirty.uploads();
        }
        let cost = self.backend.start(&Drain { uploads, work, readback: &self.readback })?;
        self.backend.finish(&self.readback)?;
        if let Some(mirror) = &mut self.mirror {
            mirror.read_workspace(&mut *self.backend)?;
        }
        Ok(cost)
    }

    /// The words to bring home: the control words and the slots looked at, always, since the
    /// driver needs them itself; then what the caller asked for.
    fn list_readback(&mut self, work: &WorkList, readback: &Readback, uses_io: bool) {
        readback.extend(self.backend.host().geometry(), uses_io, &mut self.readback);
        if readback.whole_ring() {
            return;
        }
        self.listed.clear();
        self.listed.extend(work.slots());
        self.listed.sort_unstable();
        let words = |(first, count): (u32, u32)| {
            (Buffer::Ring, first as usize * WORDS..(first + count) as usize * WORDS)
        };
        self.readback.extend(runs(&self.listed).map(words));
    }

    /// Writes workspace words; the range was checked.
    pub(crate) fn write_workspace(
        &mut self,
        first: usize,
        words: &[u32],
    ) -> Result<(), DriverError> {
        self.call(|device| device.backend.write_workspace(first, words))?;
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
        self.call(|device| device.backend.read_workspace(first, words))
    }

    /// Makes a call; once more on a new device, if this one is lost and to be replaced.
    fn call<T>(
        &mut self,
        mut call: impl FnMut(&mut Self) -> Result<T, BackendError>,
    ) -> Result<T, DriverError> {
        let mut is_retry = false;
        loop {
            if let Some(mirror) = self.mirror.as_ref().filter(|_| self.is_lost) {
                self.backend = mirror.rebuild()?;
                self.dirty.everything();
                self.is_lost = false;
                self.recovered += 1;
            }
            let error = match call(self) {
                Err(error) if error.is_lost() => error,
                result => return Ok(result?),
            };
            self.lose(&error);
            if !self.is_lost || std::mem::replace(&mut is_retry, true) {
                return Err(error.into());
            }
        }
    }

    /// Drops a lost device, if it can be replaced.
    fn lose(&mut self, error: &BackendError) {
        let Some(mirror) = &self.mirror else { return };
        tracing::warn!(%error, "the device is replaced");
        let stand_in = mirror.stand_in(self.backend.info());
        let lost = std::mem::replace(&mut self.backend, stand_in);
        self.is_lost = true;
        if matches!(error, BackendError::Timeout { .. }) {
            // It may be busy for long, and dropping it waits for that. One at a time.
            self.join_dropping();
            let thread = std::thread::Builder::new().name("slipring-drop".to_owned());
            self.dropping = thread.spawn(move || drop(lost)).ok();
        }
    }

    fn join_dropping(&mut self) {
        if let Some(thread) = self.dropping.take() {
            // A panic of it has been printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.join_dropping();
    }
}

//! Drains on their way: begun, staged, submitted.

use super::Device;
use crate::backend::{Backend, BackendError, Batch, Cost, Drain, Submission};
use crate::readback::Readback;
use crate::work::{WorkList, runs};
use slipring_core::layout::Buffer;
use slipring_core::slot::WORDS;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A drain on its way.
pub(crate) struct Flight {
    pub(crate) work: WorkList,
    pub(crate) cost: Cost,
    /// From the start of its submission until it was seen to have ended.
    pub(crate) latency: Duration,
    /// Which of the resident row's flights it is.
    pub(super) index: usize,
    wanted: Readback,
    uses_io: bool,
    pub(super) readback: Vec<(Buffer, Range<usize>)>,
    /// The first run that was not submitted.
    pub(super) rest: Option<usize>,
    pub(super) submission: Submission,
    pub(super) started: Instant,
}

impl Flight {
    /// The flight of an index, with an empty work list.
    pub(super) fn new((index, work): (usize, WorkList)) -> Self {
        Self {
            work,
            cost: Cost::default(),
            latency: Duration::ZERO,
            index,
            wanted: Readback::none(),
            uses_io: false,
            readback: Vec::new(),
            rest: None,
            submission: Submission::Ended,
            started: Instant::now(),
        }
    }
}

impl Device {
    /// Has a drain of `work`, which is empty then, wait to be submitted; says whether there was a
    /// flight left.
    pub(crate) fn begin(&mut self, work: &mut WorkList, wanted: &Readback, uses_io: bool) -> bool {
        let Some(mut flight) = self.spare.pop() else { return false };
        std::mem::swap(&mut flight.work, work);
        flight.wanted.clone_from(wanted);
        (flight.uses_io, flight.rest, flight.cost) = (uses_io, Some(0), Cost::default());
        self.flights.push_back(flight);
        true
    }

    /// Takes back the drain that was begun last; says whether there was one.
    pub(crate) fn cancel_newest(&mut self, work: &mut WorkList) -> bool {
        let Some(mut flight) = self.flights.pop_back() else { return false };
        work.append(&mut flight.work);
        self.spare.push(flight);
        true
    }

    /// Gives back a flight whose results were taken.
    pub(crate) fn reuse(&mut self, mut flight: Flight) {
        flight.work.clear();
        self.spare.push(flight);
    }

    /// Stages more of the first drain that was not submitted wholly.
    fn stage(&mut self, batch: &mut Batch) -> Result<(), BackendError> {
        let waiting = self.flights.iter_mut().find(|flight| flight.rest.is_some());
        let Some(flight) = waiting else { return Ok(()) };
        let Flight { rest, index, work, readback, cost, wanted, uses_io, started, .. } = flight;
        let Some(first) = *rest else { return Ok(()) };
        if first == 0 {
            *started = Instant::now();
        }
        let mut uploads = &[][..];
        if self.copies {
            if first == 0 {
                let geometry = self.resident.host().geometry();
                readback.clear();
                match self.mirror {
                    None => wanted.extend(geometry, *uses_io, readback),
                    Some(_) => wanted.with_changes(geometry).extend(geometry, *uses_io, readback),
                }
                if !wanted.whole_ring() {
                    list_slots(work, &mut self.listed, readback);
                }
            }
            uploads = self.dirty.uploads();
        }
        let drain = Drain { flight: *index, uploads, work, readback };
        let (staged, next) = self.resident.stage(&drain, first, batch)?;
        cost.add(staged);
        *rest = next;
        Ok(())
    }

    /// Notes that what was staged last was submitted; says whether its drain has more.
    fn submitted(&mut self, submission: &Submission) -> bool {
        let is_staged = |flight: &&mut Flight| flight.rest != Some(0);
        let Some(flight) = self.flights.iter_mut().rev().find(is_staged) else { return false };
        self.resident.submitted(flight.index, submission);
        flight.cost.sync_points += 1;
        flight.submission = submission.clone();
        self.dirty.clear();
        flight.rest.is_some()
    }
}

/// The words of the slots that a drain looks at, which always come home, since the driver needs
/// them itself.
fn list_slots(work: &WorkList, listed: &mut Vec<u32>, readback: &mut Vec<(Buffer, Range<usize>)>) {
    listed.clear();
    listed.extend(work.slots());
    listed.sort_unstable();
    let words = |(first, count): (u32, u32)| {
        (Buffer::Ring, first as usize * WORDS..(first + count) as usize * WORDS)
    };
    readback.extend(runs(listed).map(words));
}

/// Submits the next drain of each row, all on one device, as one submission; as several, one after
/// the other, only where a drain has more runs than one submission takes. When the device refuses,
/// nothing has run.
pub(crate) fn submit<R>(
    rows: &mut [R],
    device: impl Fn(&mut R) -> &mut Device,
) -> Result<(), BackendError> {
    let Some(first) = rows.first_mut().map(&device) else { return Ok(()) };
    let (backend, timeout) = (Arc::clone(&first.backend), first.options.timeout);
    let mut batch = std::mem::take(&mut first.batch);
    let submitted = submit_parts(rows, &device, &*backend, timeout, &mut batch);
    batch.clear();
    if let Some(first) = rows.first_mut().map(&device) {
        first.batch = batch;
    }
    submitted
}

fn submit_parts<R>(
    rows: &mut [R],
    device: impl Fn(&mut R) -> &mut Device,
    backend: &dyn Backend,
    timeout: Duration,
    batch: &mut Batch,
) -> Result<(), BackendError> {
    let mut is_first = true;
    loop {
        let staged = rows.iter_mut().try_for_each(|row| device(row).stage(batch));
        let submission = staged.and_then(|()| backend.submit(batch));
        let submission = submission.map_err(|error| match is_first || error.is_lost() {
            true => error,
            // Some of it may have run.
            false => backend.lose_by(error),
        })?;
        let mut has_more = false;
        for row in &mut *rows {
            has_more |= device(row).submitted(&submission);
        }
        if !has_more {
            return Ok(());
        }
        backend.wait(&submission, timeout)?;
        is_first = false;
    }
}

//! What a dispatch brings home.

use crate::driver::DriverError;
use slipring_core::control;
use slipring_core::layout::{Buffer, Geometry};
use std::ops::Range;

/// What to read back, beside the 160 control words and the slots that the drain looked at,
/// which always come, and the IO queue, which does if a handler asks for I/O, and once a LOAD_MISS
/// was published or a row adopted.
///
/// ```
/// use slipring_driver::Readback;
/// let readback = Readback::observables(0..16).with_debug_log().with_io_queue();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readback {
    observables: Range<u32>,
    ring: bool,
    debug_log: bool,
    io_queue: bool,
    all: bool,
}

/// The smallest range that has both in it.
pub(crate) fn hull(one: Range<u32>, other: Range<u32>) -> Range<u32> {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other,
        (_, true) => one,
        _ => one.start.min(other.start)..one.end.max(other.end),
    }
}

impl Readback {
    /// Counters and slots, nothing else: observables, debug log and the rest keep the values that
    /// they had in [`Driver::row`](crate::Driver::row), unless the row is shared with the GPU or
    /// the driver recovers lost devices.
    pub fn none() -> Self {
        Self::default()
    }

    /// These result words too.
    pub fn observables(range: Range<u32>) -> Self {
        Self { observables: range, ..Self::default() }
    }

    /// All four buffers, whole.
    pub fn all() -> Self {
        Self { all: true, ring: true, debug_log: true, io_queue: true, observables: 0..0 }
    }

    /// The whole ring too.
    #[must_use]
    pub fn with_ring(mut self) -> Self {
        self.ring = true;
        self
    }

    /// The debug log too.
    #[must_use]
    pub fn with_debug_log(mut self) -> Self {
        self.debug_log = true;
        self
    }

    /// The IO queue too.
    #[must_use]
    pub fn with_io_queue(mut self) -> Self {
        self.io_queue = true;
        self
    }

    /// These, but of the ring only the slots looked at.
    pub(crate) fn without_ring(&self) -> Self {
        Self { ring: false, ..self.clone() }
    }

    pub(crate) fn whole_ring(&self) -> bool {
        self.ring
    }

    /// These, and observables that come home whatever was asked for.
    pub(crate) fn with_results(&self, results: Range<u32>) -> Self {
        let observables = hull(self.observables.clone(), results);
        Self { observables, ..self.clone() }
    }

    /// These and every word that a drain may change beside the ring.
    pub(crate) fn with_changes(&self, geometry: Geometry) -> Self {
        let observables = 0..geometry.observables();
        Self { observables, debug_log: true, io_queue: true, ..self.clone() }
    }

    pub(crate) fn check(&self, geometry: Geometry) -> Result<(), DriverError> {
        let Range { start: first, end } = self.observables;
        let observables = geometry.observables();
        if end > observables || first > end {
            return Err(DriverError::ObservableRange { first, end, observables });
        }
        Ok(())
    }

    /// Appends the word ranges, but for the slots looked at.
    pub(crate) fn extend(
        &self,
        geometry: Geometry,
        uses_io: bool,
        ranges: &mut Vec<(Buffer, Range<usize>)>,
    ) {
        let head = control::word::OBSERVABLES;
        let (start, end) = (self.observables.start as usize, self.observables.end as usize);
        if self.all {
            ranges.push((Buffer::Control, 0..geometry.control_words()));
        } else if start == 0 {
            ranges.push((Buffer::Control, 0..head + end));
        } else {
            ranges.push((Buffer::Control, 0..head));
            ranges.push((Buffer::Control, head + start..head + end));
        }
        let wanted = [
            (Buffer::Ring, self.ring),
            (Buffer::DebugLog, self.debug_log),
            (Buffer::IoQueue, self.io_queue || uses_io),
        ];
        let whole = |(buffer, _)| (buffer, 0..geometry.words(buffer));
        ranges.extend(wanted.into_iter().filter(|(_, wanted)| *wanted).map(whole));
    }
}

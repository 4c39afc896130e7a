//! The megakernel on the CPU: the same rules as the shaders, slot by slot in ascending order.
//!
//! It is the oracle of the tests and the backend where there is no GPU. What it does to the
//! four buffers, one GPU lane that walks the ring in the same order does too, bit for bit.
//!
//! ```
//! use slipring_core::{layout::Geometry, opcode, partition::Partitions, ring::Job, row::Row};
//! use slipring_core::twin::{Twin, no_handlers};
//!
//! let geometry = Geometry::of_slots(4, 8)?;
//! let (mut control, mut ring) = ([0; 168], [0; 64]);
//! let (mut debug_log, mut io_queue) = ([0; 257], [0; 512]);
//! let row = Row::new(geometry, &mut control, &mut ring, &mut debug_log, &mut io_queue)?;
//! row.reset(1, &Partitions::single(4))?;
//! row.ring.publish(0, &Job::new(opcode::STORE_U32, &[7, 160 + 3]))?;
//!
//! Twin::new(row, &mut [0u32; 0], no_handlers).drain(&Partitions::single(4))?;
//! assert_eq!(row.control.observable(3), Ok(7));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod call;
mod ops;

pub use call::{Call, HANDLER_CONTINUES, HANDLER_OK};

use crate::control::{TENANT_CLAIM_SLOTS, TENANTS, word};
use crate::layout::LayoutError;
use crate::partition::Partitions;
use crate::row::Row;
use crate::slot::{Priority, State, fault, fault_status, status, wait_io_status};
use crate::words::{WordMut, Words};
use crate::{io_queue, opcode, slot};
use call::Args;

/// The handlers of a kernel that has none.
pub fn no_handlers<W>(_: &Call<'_, W>) -> Option<u32> {
    None
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    Fault(u8),
    WaitIo(u8),
    /// In the next segment.
    Continues,
}

/// The kernel over one row.
///
/// `handlers` runs user opcodes: `None` for an opcode it does not know, else 0
/// ([`HANDLER_OK`]), [`HANDLER_CONTINUES`] but in the last segment, or a fault code of 64..=255;
/// anything else is FAULT(range).
#[derive(Debug)]
pub struct Twin<'a, W, F> {
    row: Row<'a, W>,
    workspace: &'a [W],
    arena: &'a [W],
    handlers: F,
    fused: Option<u32>,
    segment: u32,
    segments: u32,
}

impl<'a, W: WordMut, F: FnMut(&Call<'a, W>) -> Option<u32>> Twin<'a, W, F> {
    /// A kernel that runs over `row`, with `workspace` for DFA_STEP and the handlers.
    pub fn new(row: Row<'a, W>, workspace: impl Words<'a, Word = W>, handlers: F) -> Self {
        let workspace = workspace.into_words();
        Self { row, workspace, arena: &[], handlers, fused: None, segment: 0, segments: 1 }
    }

    /// Lends the handlers an arena; it has no words if not said.
    #[must_use]
    pub fn arena(mut self, words: impl Words<'a, Word = W>) -> Self {
        self.arena = words.into_words();
        self
    }

    /// The twin of a fused kernel, which runs nothing but `opcode`, NOP, BATCH_FENCE and SHUTDOWN:
    /// slots of any other opcode are FAULT(opcode).
    #[must_use]
    pub fn fused(mut self, opcode: u32) -> Self {
        self.fused = Some(opcode);
        self
    }

    /// Has every level go through `segments` segments, each over all its slots: what a handler did
    /// in one is there for all in the next.
    #[must_use]
    pub fn segments(mut self, segments: u32) -> Self {
        self.segments = segments;
        self
    }

    /// Which segment looks are in, from 0 on.
    pub fn enter_segment(&mut self, segment: u32) {
        self.segment = segment;
    }

    /// One drain over the whole ring: each level in turn, then the fences.
    ///
    /// # Errors
    /// [`LayoutError::SlotCount`] for partitions of another ring; nothing has run then.
    pub fn drain(&mut self, partitions: &Partitions) -> Result<(), LayoutError> {
        self.row.check_slots(partitions.slots())?;
        for level in Priority::ALL {
            for segment in 0..self.segments {
                self.enter_segment(segment);
                for slot in partitions.range(level) {
                    self.look(slot, level);
                }
            }
        }
        self.enter_segment(0);
        for level in Priority::ALL {
            for slot in partitions.range(level) {
                self.fence(slot, level);
            }
        }
        Ok(())
    }

    /// What a lane does with its slot: runs it if it is published, or finishes it if its I/O
    /// has ended. Anything else, fences included, is left alone. In a segment after the first, goes
    /// on with a slot that the one before has left CLAIMED.
    pub fn look(&mut self, slot: u32, level: Priority) {
        let Some(words) = self.row.ring.slot_words(slot) else { return };
        let seen = words[slot::word::STATUS].load_acquire();
        if self.segment > 0 {
            if State::of(seen) == State::Claimed {
                let [opcode, tenant] =
                    [slot::word::OPCODE, slot::word::TENANT].map(|word| words[word].load());
                self.run_slot(slot, tenant, opcode, Args::whole(words), None);
            }
            return;
        }
        match State::of(seen) {
            State::WaitIo(io_slot) => return self.resume(slot, u32::from(io_slot)),
            State::Published => {}
            _ => return,
        }
        let opcode = words[slot::word::OPCODE].load();
        let tenant = words[slot::word::TENANT].load();
        if opcode == opcode::BATCH_FENCE || self.is_stopped(tenant) {
            return;
        }
        words[slot::word::STATUS].store(status::CLAIMED);
        let args = Args::whole(words);
        let mut reserved = None;
        let wants_io = opcode == opcode::LOAD_MISS && self.runs(opcode);
        if wants_io && tenant < TENANTS && args.get(1) <= 1 {
            reserved = self.reserve_io();
            if reserved.is_none() {
                words[slot::word::STATUS].store_release(seen);
                return;
            }
        }
        self.count_claim(tenant, level);
        self.run_slot(slot, tenant, opcode, args, reserved);
    }

    /// Runs a claimed slot, with the IO slot that was reserved for it.
    fn run_slot(
        &mut self,
        slot: u32,
        tenant: u32,
        opcode: u32,
        args: Args<'a, W>,
        reserved: Option<u8>,
    ) {
        let end = if tenant < TENANTS {
            let (row, workspace, arena) = (self.row, self.workspace, self.arena);
            let segment = self.segment;
            self.run(&Call { row, workspace, arena, slot, tenant, opcode, args, segment }, reserved)
        } else {
            End::Fault(fault::TENANT)
        };
        self.finish(slot, end);
    }

    /// What the fence pass does with a slot: if it is a published fence whose window has
    /// finished, ends the batch.
    pub fn fence(&mut self, slot: u32, level: Priority) {
        let Some(words) = self.row.ring.slot_words(slot) else { return };
        let seen = words[slot::word::STATUS].load_acquire();
        let is_fence = words[slot::word::OPCODE].load() == opcode::BATCH_FENCE;
        let tenant = words[slot::word::TENANT].load();
        if State::of(seen) != State::Published || !is_fence || self.is_stopped(tenant) {
            return;
        }
        let args = Args::whole(words);
        if tenant < TENANTS {
            let ring = &self.row.ring;
            let mut window = slot.saturating_sub(args.get(0))..slot;
            if window.any(|slot| ring.state(slot).is_some_and(State::is_in_flight)) {
                return;
            }
        }
        words[slot::word::STATUS].store(status::CLAIMED);
        self.count_claim(tenant, level);
        if tenant >= TENANTS {
            return self.finish(slot, End::Fault(fault::TENANT));
        }
        self.add(word::METRICS + opcode::BATCH_FENCE as usize);
        self.add(word::EPOCH);
        if let Some(observable) = self.row.control.words().get(word::OBSERVABLES) {
            observable.store(args.get(1));
        }
        self.finish(slot, End::Done);
    }

    /// Finishes a slot whose I/O has ended; after shutdown and for paused tenants too.
    fn resume(&mut self, slot: u32, io_slot: u32) {
        let end = match self.row.io_queue.slot_words(io_slot) {
            Some(io) if io[io_queue::word::TAG].load() == slot => {
                // Acquire pairs with the host's release store of OK or ERROR.
                let end = match io[io_queue::word::STATUS].load_acquire() {
                    io_queue::status::OK => End::Done,
                    io_queue::status::ERROR => End::Fault(fault::IO),
                    _ => return,
                };
                io[io_queue::word::STATUS].store_release(io_queue::status::EMPTY);
                end
            }
            _ => End::Fault(fault::IO),
        };
        self.finish(slot, end);
    }

    /// Whether this kernel has the opcode at all. Fences are another pass's.
    fn runs(&self, opcode: u32) -> bool {
        self.fused.is_none_or(|own| [own, opcode::NOP, opcode::SHUTDOWN].contains(&opcode))
    }

    fn is_stopped(&self, tenant: u32) -> bool {
        let control = self.row.control.words();
        let load = |word: usize| control.get(word).map_or(0, |word| word.load_acquire());
        let paused = tenant < TENANTS && load(word::TENANT_MASKS + tenant as usize) == 0;
        load(word::SHUTDOWN) != 0 || paused
    }

    fn reserve_io(&self) -> Option<u8> {
        let queue = &self.row.io_queue;
        // A queue has at most 64 slots.
        let mut slots = 0..queue.slots() as u8;
        let is_empty = |slot: u8| queue.status(slot.into()) == Some(io_queue::status::EMPTY);
        let slot = slots.find(|&slot| is_empty(slot))?;
        let words = queue.slot_words(slot.into())?;
        words[io_queue::word::STATUS].store(io_queue::status::RESERVED);
        Some(slot)
    }

    fn count_claim(&self, tenant: u32, level: Priority) {
        self.add(word::TENANT_CLAIMS + (tenant % TENANT_CLAIM_SLOTS) as usize);
        self.add(word::LEVEL_CLAIMS + level as usize);
    }

    /// Adds one, as the kernel's atomic add does; only this thread runs the kernel.
    fn add(&self, word: usize) {
        if let Some(word) = self.row.control.words().get(word) {
            word.store(word.load().wrapping_add(1));
        }
    }

    fn finish(&self, slot: u32, end: End) {
        let Some(words) = self.row.ring.slot_words(slot) else { return };
        let status = match end {
            End::Done => status::DONE,
            End::Fault(code) => fault_status(code),
            End::WaitIo(io_slot) => wait_io_status(io_slot),
            End::Continues => return,
        };
        // Release pairs with the host's acquire of the status: the job's effects come first.
        words[slot::word::STATUS].store_release(status);
        if matches!(end, End::Fault(_)) {
            self.add(word::FAULTS);
        }
        if !matches!(end, End::WaitIo(_))
            && let Some(count) = self.row.control.words().get(word::DONE_COUNT)
        {
            // Release pairs with the acquire in `Control::done_count`: a host that sees the count
            // sees the statuses and faults that it counts.
            count.store_release(count.load().wrapping_add(1));
        }
    }
}

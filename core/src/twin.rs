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
mod io;
mod ops;

pub use call::{Call, HANDLER_CONTINUES, HANDLER_OK};
pub use io::{HANDLER_RETRIES, HANDLER_WAITS};

use crate::control::{TENANT_CLAIM_SLOTS, TENANTS, word};
use crate::layout::LayoutError;
use crate::partition::Partitions;
use crate::row::Row;
use crate::slot::{Priority, State, fault, fault_status, status, wait_io_status};
use crate::words::{WordMut, Words};
use crate::{io_queue, opcode, slot};
use call::Args;
use io::Io;

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
    /// Anew, in the next drain.
    Retries,
}

/// The kernel over one row.
///
/// `handlers` runs user opcodes: `None` for an opcode it does not know, else 0
/// ([`HANDLER_OK`]), [`HANDLER_CONTINUES`] but in the last segment, the last answer of
/// [`Call::request_io`], or a fault code of 64..=255; anything else is FAULT(range).
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

    /// What a lane does with its slot: runs it if it is published, or goes on with it if its I/O
    /// has ended. Anything else, fences included, is left alone. In a segment after the first, goes
    /// on with a slot that the one before has left CLAIMED.
    pub fn look(&mut self, slot: u32, level: Priority) {
        let Some(words) = self.row.ring.slot_words(slot) else { return };
        let seen = words[slot::word::STATUS].load_acquire();
        let mut call = self.call(slot, words);
        let is_taken = match (State::of(seen), self.segment) {
            (State::WaitIo(io_slot), 0) => self.resume(&mut call, words, io_slot),
            (State::Published, 0) => self.start(&call, words, level),
            (State::Claimed, 1..) => true,
            _ => false,
        };
        if !is_taken {
            return;
        }
        let end = match call.tenant {
            0..TENANTS => self.run(&call),
            _ => End::Fault(fault::TENANT),
        };
        if end == End::Retries {
            // It starts anew, and counts then.
            self.count_claim(call.tenant, level, u32::MAX);
        }
        call.free_io();
        self.finish(slot, end);
    }

    /// Takes a published slot; says whether it is to run.
    fn start(&self, call: &Call<'a, W>, words: &[W; slot::WORDS], level: Priority) -> bool {
        let seen = words[slot::word::STATUS].load();
        if call.opcode == opcode::BATCH_FENCE || self.is_stopped(call.tenant) {
            return false;
        }
        words[slot::word::STATUS].store(status::CLAIMED);
        let is_request = call.opcode == opcode::LOAD_MISS && self.runs(call.opcode);
        if is_request && call.tenant < TENANTS && call.arg(1) <= 1 && !call.reserve_io() {
            words[slot::word::STATUS].store_release(seen);
            return false;
        }
        self.count_claim(call.tenant, level, 1);
        true
    }

    /// Takes a slot whose I/O has ended; after shutdown and for paused tenants too. Finishes it,
    /// unless its handler is to go on, which then has the IO slot: `true`.
    fn resume(&self, call: &mut Call<'a, W>, words: &[W; slot::WORDS], io_slot: u8) -> bool {
        let own = self.row.io_queue.slot_words(io_slot.into());
        let own = own.filter(|io| io[io_queue::word::TAG].load() == call.slot);
        let Some(io) = own else {
            self.finish(call.slot, End::Fault(fault::IO));
            return false;
        };
        // Acquire pairs with the host's release store of OK or ERROR.
        let end = match io[io_queue::word::STATUS].load_acquire() {
            io_queue::status::OK if opcode::is_user(call.opcode) => {
                words[slot::word::STATUS].store(status::CLAIMED);
                io[io_queue::word::STATUS].store(io_queue::status::RESERVED);
                call.io = Io::of_resumed(io_slot, io[io_queue::word::BYTE_COUNT].load());
                return true;
            }
            io_queue::status::OK => End::Done,
            io_queue::status::ERROR => End::Fault(fault::IO),
            _ => return false,
        };
        io[io_queue::word::STATUS].store_release(io_queue::status::EMPTY);
        self.finish(call.slot, end);
        false
    }

    fn call(&self, slot: u32, words: &'a [W; slot::WORDS]) -> Call<'a, W> {
        Call {
            row: self.row,
            workspace: self.workspace,
            arena: self.arena,
            slot,
            tenant: words[slot::word::TENANT].load(),
            opcode: words[slot::word::OPCODE].load(),
            args: Args::whole(words),
            is_packed: false,
            segment: self.segment,
            io: Io::default(),
        }
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
        self.count_claim(tenant, level, 1);
        if tenant >= TENANTS {
            return self.finish(slot, End::Fault(fault::TENANT));
        }
        self.add(word::METRICS + opcode::BATCH_FENCE as usize, 1);
        self.add(word::EPOCH, 1);
        if let Some(observable) = self.row.control.words().get(word::OBSERVABLES) {
            observable.store(args.get(1));
        }
        self.finish(slot, End::Done);
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

    fn count_claim(&self, tenant: u32, level: Priority, by: u32) {
        self.add(word::TENANT_CLAIMS + (tenant % TENANT_CLAIM_SLOTS) as usize, by);
        self.add(word::LEVEL_CLAIMS + level as usize, by);
    }

    /// Adds, as the kernel's atomic add does; only this thread runs the kernel.
    fn add(&self, word: usize, by: u32) {
        if let Some(word) = self.row.control.words().get(word) {
            word.store(word.load().wrapping_add(by));
        }
    }

    fn finish(&self, slot: u32, end: End) {
        let Some(words) = self.row.ring.slot_words(slot) else { return };
        let status = match end {
            End::Done => status::DONE,
            End::Fault(code) => fault_status(code),
            End::WaitIo(io_slot) => wait_io_status(io_slot),
            End::Retries => status::PUBLISHED,
            End::Continues => return,
        };
        // Release pairs with the host's acquire of the status: the job's effects come first.
        words[slot::word::STATUS].store_release(status);
        if matches!(end, End::Fault(_)) {
            self.add(word::FAULTS, 1);
        }
        if !matches!(end, End::WaitIo(_) | End::Retries)
            && let Some(count) = self.row.control.words().get(word::DONE_COUNT)
        {
            // Release pairs with the acquire in `Control::done_count`: a host that sees the count
            // sees the statuses and faults that it counts.
            count.store_release(count.load().wrapping_add(1));
        }
    }
}

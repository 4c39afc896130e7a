//! What holds after every drain, whatever the order of its lanes: contracts K1 to K4.

use crate::effects::{ARENA, Access, Address, Effects, WORKSPACE, wants_io};
use crate::order::{Resume, free_io_slots, is_stopped, mask_word, resume};
use crate::shape::{Shape, WORKSPACE_WORDS};
use crate::state::State;
use slipring_core::control::word;
use slipring_core::debug_log::{CURSOR_MAX, RECORD_WORDS};
use slipring_core::slot::{Priority, State as SlotState, WORDS, status};
use slipring_core::{io_queue, opcode};
use std::collections::HashSet;

/// Fails with what does not hold.
macro_rules! hold {
    ($holds:expr, $($said:tt)*) => {
        if !$holds { return Err(format!($($said)*)); }
    };
}

type Checked = Result<(), String>;

/// The shutdown word and the tenant masks lie below this word.
const STOPPERS: usize = word::TENANT_QUOTAS;

/// One drain of one row.
struct Drain<'a> {
    shape: &'a Shape,
    before: &'a State,
    after: &'a State,
    /// What ran, and did.
    ran: Vec<Effects>,
    /// Per level, whether its lanes may write each of the words that stop others.
    touched: [[bool; STOPPERS]; 5],
}

/// Whether `after` can be the result of one drain from `before`.
pub fn check(shape: &Shape, before: &State, after: &State) -> Checked {
    let touched = [[false; STOPPERS]; 5];
    let mut drain = Drain { shape, before, after, ran: Vec::new(), touched };
    drain.find_touched();
    for level in Priority::ALL {
        for slot in shape.partitions.range(level) {
            drain.slot(slot, level).map_err(|reason| format!("slot {slot}: {reason}"))?;
        }
    }
    drain.words()?;
    drain.debug_log()?;
    drain.io_queue()
}

impl Drain<'_> {
    fn find_touched(&mut self) {
        for level in Priority::ALL {
            for slot in self.shape.partitions.range(level) {
                let words = &self.before.ring()[slot as usize];
                let is_published = SlotState::of(words[0]) == SlotState::Published;
                if is_published && words[1] != opcode::BATCH_FENCE {
                    let effects = Effects::of_slot(self.shape, slot, words, level);
                    let written = effects.accesses.iter().filter(|(_, a)| *a != Access::Read);
                    for (word, _) in written.filter(|(word, _)| *word < STOPPERS as Address) {
                        self.touched[level as usize][*word as usize] = true;
                    }
                }
            }
        }
    }

    /// Whether a lane of this level or one before it may write the control word.
    fn is_touched(&self, word: usize, level: Priority) -> bool {
        self.touched[..=level as usize].iter().any(|words| words[word])
    }

    /// Each slot is run once or left as it was.
    fn slot(&mut self, slot: u32, level: Priority) -> Checked {
        let (before, after) = (self.before.ring()[slot as usize], self.after.ring()[slot as usize]);
        hold!(before[1..] == after[1..], "its words changed from {before:x?} to {after:x?}");
        let has_changed = before[0] != after[0];
        match SlotState::of(before[0]) {
            SlotState::Published if before[1] == opcode::BATCH_FENCE => {
                self.fence(slot, &before, after[0], level)
            }
            SlotState::Published => self.published(slot, &before, after[0], level),
            SlotState::WaitIo(io_slot) => {
                let resume = resume(self.before, slot, io_slot);
                if let Resume::GoesOn { io_slot, bytes } = resume {
                    return self.goes_on(slot, &before, after[0], [io_slot, bytes]);
                }
                let is_lost = after[0] == status::FAULT | 6 << 8;
                if let Resume::Ends { end, .. } = resume {
                    hold!(after[0] == end, "ended with {:#x}, not {end:#x}", after[0]);
                } else {
                    let may_be_lost = resume == Resume::Orphan && is_lost;
                    hold!(!has_changed || may_be_lost, "went on to {:#x} too soon", after[0]);
                }
                if has_changed {
                    self.ran.push(Effects::of_ended(after[0]));
                }
                Ok(())
            }
            _ => {
                hold!(!has_changed, "went from {:#x} to {:#x}", before[0], after[0]);
                Ok(())
            }
        }
    }

    /// A handler goes on exactly once its I/O has ended, and asks in the IO slot that it has.
    fn goes_on(
        &mut self,
        slot: u32,
        before: &[u32; WORDS],
        after: u32,
        [io_slot, bytes]: [u32; 2],
    ) -> Checked {
        let effects = Effects::of_run(self.shape, slot, before, Some(bytes));
        let mut end = effects.end;
        if let Some(request) = &effects.request {
            end |= io_slot << status::DETAIL_SHIFT;
            let io = &self.after.io_queue()[io_slot as usize];
            hold!(io == request, "asked in IO slot {io_slot}, which is {io:?}");
        }
        hold!(after == end, "went on to {after:#x}, not {end:#x}");
        self.ran.push(effects);
        Ok(())
    }

    fn published(
        &mut self,
        slot: u32,
        before: &[u32; WORDS],
        after: u32,
        level: Priority,
    ) -> Checked {
        let control = self.before.control();
        // A handler may put its slot back.
        let is_put_back = wants_io(self.shape, before) && after == status::PUBLISHED;
        if after != before[0] && !is_put_back {
            let effects = Effects::of_slot(self.shape, slot, before, level);
            hold!(control[word::SHUTDOWN] == 0, "ran after shutdown, to {after:#x}");
            if let Some(mask) = mask_word(before[2]) {
                let may_run = control[mask] != 0 || self.is_touched(mask, level);
                hold!(may_run, "ran while its tenant was paused, to {after:#x}");
            }
            let end = match SlotState::of(after) {
                SlotState::WaitIo(io_slot) => {
                    let io = self.after.io_queue().get(usize::from(io_slot));
                    hold!(io == effects.request.as_ref(), "waits for {io_slot}, which is {io:?}");
                    status::WAIT_IO | after & !(0xFF | 0xFF << 8)
                }
                _ => after,
            };
            hold!(end == effects.end, "ended with {end:#x}, not {:#x}", effects.end);
            self.ran.push(effects);
            return Ok(());
        }
        let stoppers = [Some(word::SHUTDOWN), mask_word(before[2])];
        let may_be_stopped = stoppers.into_iter().flatten().any(|w| self.is_touched(w, level));
        let must_run =
            !is_stopped(control, before) && !may_be_stopped && !wants_io(self.shape, before);
        hold!(!must_run, "did not run, and nothing held it back");
        Ok(())
    }

    /// A fence runs exactly if its window has finished and nobody stopped it.
    fn fence(&mut self, slot: u32, before: &[u32; WORDS], after: u32, level: Priority) -> Checked {
        let window = if before[2] < 29 { slot - slot.min(before[4])..slot } else { 0..0 };
        let waits = window.into_iter().any(|slot| self.after.slot_state(slot).is_in_flight());
        let is_due = !waits && !is_stopped(self.after.control(), before);
        if after == before[0] {
            hold!(!is_due, "a fence did not run though its window has finished");
            return Ok(());
        }
        hold!(is_due, "a fence ran though stopped or before its window");
        let effects = Effects::of_fence(self.shape, before, level);
        hold!(after == effects.end, "a fence ended with {after:#x}");
        self.ran.push(effects);
        Ok(())
    }

    /// Words that nobody set grew by exactly what was added; counters among them.
    fn words(&self) -> Checked {
        let (before, after) = (flat(self.before), flat(self.after));
        let control_words = self.before.control().len() as Address;
        let flat_index =
            |address: Address| match (address / WORKSPACE * WORKSPACE, address % WORKSPACE) {
                (WORKSPACE, word) => (control_words + word) as usize,
                (ARENA, word) => (control_words + Address::from(WORKSPACE_WORDS) + word) as usize,
                (_, word) => word as usize,
            };
        let mut expected: Vec<Option<u32>> = before.iter().copied().map(Some).collect();
        for &(address, access) in self.ran.iter().flat_map(|effects| &effects.accesses) {
            let word = &mut expected[flat_index(address)];
            match access {
                Access::Read => {}
                Access::Set => *word = None,
                Access::Add(amount) => *word = word.map(|word| word.wrapping_add(amount)),
            }
        }
        for (index, (expected, after)) in expected.into_iter().zip(after).enumerate() {
            let (before, expected) = (before[index], expected.unwrap_or(after));
            hold!(
                after == expected,
                "word {index} went from {before:#x} to {after:#x}, and not to {expected:#x}"
            );
        }
        Ok(())
    }

    /// The cursor counts every record; what fits is whole, and somebody's.
    fn debug_log(&self) -> Checked {
        let (before, after) = (self.before.debug_log(), self.after.debug_log());
        let mut printed: Vec<_> = self.ran.iter().flat_map(|effects| &effects.records).collect();
        let asked = u64::from(before[0]) + (printed.len() * RECORD_WORDS) as u64;
        let end = asked.min(CURSOR_MAX.max(before[0]).into());
        hold!(u64::from(after[0]) == end, "the log's cursor is {}, not {end}", after[0]);
        let room = (before.len() - 1).saturating_sub(before[0] as usize) / RECORD_WORDS;
        let written = printed.len().min(room);
        let first = before.len().min(1 + before[0] as usize);
        let last = first + written * RECORD_WORDS;
        hold!(before[1..first] == after[1..first], "the log changed before its cursor");
        hold!(before[last..] == after[last..], "the log changed behind its records");
        for record in after[first..last].as_chunks::<RECORD_WORDS>().0 {
            let found = printed.iter().position(|printed| *printed == record);
            let Some(found) = found else { return Err(format!("nobody printed {record:x?}")) };
            printed.swap_remove(found);
        }
        Ok(())
    }

    /// Each request is in one IO slot that was free, and nothing else is changed.
    fn io_queue(&self) -> Checked {
        let mut requests: Vec<_> =
            self.ran.iter().filter_map(|effects| effects.request.as_ref()).collect();
        let is_new = |effects: &&Effects| effects.request.is_some() && !effects.has_waited;
        let count = self.ran.iter().filter(is_new).count();
        let mut freed = HashSet::new();
        for (slot, words) in (0..).zip(self.before.ring()) {
            if let SlotState::WaitIo(io_slot) = SlotState::of(words[0]) {
                match resume(self.before, slot, io_slot) {
                    Resume::Ends { frees, .. } => freed.extend(frees),
                    Resume::GoesOn { io_slot, .. } => freed.extend([io_slot]),
                    Resume::Waits | Resume::Orphan => {}
                }
            }
        }
        for (index, (before, after)) in
            (0..).zip(self.before.io_queue().iter().zip(self.after.io_queue()))
        {
            let mut idle = *before;
            if freed.contains(&index) {
                idle[io_queue::word::STATUS] = io_queue::status::EMPTY;
            }
            if *after == idle {
                continue;
            }
            let was_free = idle[io_queue::word::STATUS] == io_queue::status::EMPTY;
            let found = requests.iter().position(|request| was_free && *request == after);
            let Some(found) = found else {
                return Err(format!("IO slot {index} went from {before:x?} to {after:x?}"));
            };
            requests.swap_remove(found);
        }
        // A request that is what the free slot already held changes only the status.
        hold!(requests.is_empty(), "requests were lost: {requests:x?}");
        self.no_needless_retry(count)
    }

    /// A request is put off only once every IO slot that was free is taken.
    fn no_needless_retry(&self, requests: usize) -> Checked {
        for level in Priority::ALL {
            for slot in self.shape.partitions.range(level) {
                let (before, after) =
                    (&self.before.ring()[slot as usize], self.after.ring()[slot as usize]);
                let stoppers = [Some(word::SHUTDOWN), mask_word(before[2])];
                let is_sure = !is_stopped(self.before.control(), before)
                    && !stoppers.into_iter().flatten().any(|w| self.is_touched(w, level));
                let is_put_off = SlotState::of(before[0]) == SlotState::Published
                    && wants_io(self.shape, before)
                    && SlotState::of(after[0]) == SlotState::Published;
                hold!(
                    !(is_sure && is_put_off) || requests >= free_io_slots(self.before),
                    "slot {slot}: its request was put off though IO slots were free"
                );
            }
        }
        Ok(())
    }
}

/// The control words, then the workspace and the arena.
fn flat(state: &State) -> Vec<u32> {
    [state.control(), &state.workspace, &state.arena].concat()
}

//! What programs have been through: each must be well represented.

use crate::order::{Order, Resume, resume};
use crate::rig::Drained;
use slipring_core::opcode;
use slipring_core::slot::{State as SlotState, status};
use std::collections::BTreeMap;

/// Counts over all programs of a run.
#[derive(Clone, Debug, Default)]
pub struct Census {
    pub programs: u64,
    /// Programs that are compared with the twin in the serial geometry only.
    pub racing: u64,
    pub drains: u64,
    /// Drains in which the order of lanes decided which record or IO slot each took.
    pub free_up_to_places: u64,
    /// Published slots that ran, by opcode.
    pub opcodes: BTreeMap<u32, u64>,
    /// Slots after a drain, by the low byte of their status; above 7 as 8.
    pub statuses: BTreeMap<u32, u64>,
    /// Slots that a drain ended in FAULT, by code.
    pub faults: BTreeMap<u32, u64>,
    /// Published slots that a drain left alone.
    pub held_back: u64,
    /// Handlers that went on after their I/O, and those that asked for more.
    pub went_on: u64,
    pub asked_again: u64,
}

impl Census {
    pub fn count(&mut self, drains: &[Drained]) {
        self.programs += 1;
        self.racing += u64::from(drains.iter().any(|drained| drained.order == Order::Racing));
        self.drains += drains.len() as u64;
        for drained in drains {
            let has_places = match &drained.order {
                Order::Free { records, io_slots } => *io_slots || !records.is_empty(),
                Order::Racing => false,
            };
            self.free_up_to_places += u64::from(has_places);
            let slots = drained.before.ring().iter().zip(drained.after.ring());
            for (slot, (before, after)) in (0..).zip(slots) {
                if let SlotState::WaitIo(io_slot) = SlotState::of(before[0])
                    && let Resume::GoesOn { .. } = resume(&drained.before, slot, io_slot)
                {
                    self.went_on += 1;
                    let asks = matches!(SlotState::of(after[0]), SlotState::WaitIo(_));
                    self.asked_again += u64::from(asks);
                }
                let kind = (after[0] & status::MASK).min(8);
                *self.statuses.entry(kind).or_default() += 1;
                let is_published = SlotState::of(before[0]) == SlotState::Published;
                self.held_back += u64::from(is_published && before == after);
                if before == after {
                    continue;
                }
                if is_published {
                    *self.opcodes.entry(before[1]).or_default() += 1;
                }
                if let SlotState::Fault(code) = SlotState::of(after[0]) {
                    *self.faults.entry(code.into()).or_default() += 1;
                }
            }
        }
    }

    pub fn add(&mut self, other: Self) {
        self.programs += other.programs;
        self.racing += other.racing;
        self.drains += other.drains;
        self.free_up_to_places += other.free_up_to_places;
        self.held_back += other.held_back;
        self.went_on += other.went_on;
        self.asked_again += other.asked_again;
        for (mine, others) in [
            (&mut self.opcodes, other.opcodes),
            (&mut self.statuses, other.statuses),
            (&mut self.faults, other.faults),
        ] {
            for (key, count) in others {
                *mine.entry(key).or_default() += count;
            }
        }
    }

    /// Fails if a kind of program, opcode, status or fault is rare.
    pub fn assert_all_seen(&self) {
        let quarter = self.programs / 4;
        assert!(self.racing >= quarter, "too few programs race: {self:#?}");
        assert!(self.programs - self.racing >= quarter, "too many programs race: {self:#?}");
        let least = self.programs / 200;
        assert!(self.free_up_to_places >= least, "few lanes share the log or queue: {self:#?}");
        assert!(self.held_back >= self.programs / 4, "few slots are held back: {self:#?}");
        let rare = self.asked_again.min(self.went_on - self.asked_again);
        assert!(rare >= least, "few handlers go on: {self:#?}");
        let often = |seen: &BTreeMap<u32, u64>, key: u32| {
            seen.get(&key).copied().unwrap_or(0) >= least.max(1)
        };
        for opcode in opcode::BUILTIN.into_iter().chain(crate::handlers::OPCODES) {
            assert!(often(&self.opcodes, opcode), "opcode {opcode:#x} rarely ran: {self:#?}");
        }
        for kind in status::EMPTY..=status::FAULT {
            assert!(often(&self.statuses, kind), "status {kind} is rare: {self:#?}");
        }
        for code in (1..=7).chain([255]) {
            assert!(often(&self.faults, code), "fault {code} is rare: {self:#?}");
        }
        let raised = self.faults.keys().filter(|code| **code >= 64).count();
        assert!(raised as u64 >= (self.programs / 50).min(150), "few codes: {self:#?}");
    }
}

//! What the host wrote since the last drain.

use crate::work::runs;
use slipring_core::control;
use slipring_core::io_queue;
use slipring_core::layout::{Buffer, Geometry};
use slipring_core::slot::WORDS;
use std::ops::Range;

/// Units of the buffers to upload: control words, ring slots, IO slots, the debug log. The lists
/// have room for every unit, so that writing never allocates.
#[derive(Debug)]
pub(crate) struct Dirty {
    geometry: Geometry,
    control: Vec<u32>,
    slots: Vec<u32>,
    io_slots: Vec<u32>,
    debug_log: bool,
    all: bool,
    uploads: Vec<(Buffer, Range<usize>)>,
}

impl Dirty {
    /// A fresh row: the device's buffers are zero, and so is the host's but for control words.
    pub(crate) fn new(geometry: Geometry) -> Self {
        // One more than there are: see `note`.
        let room = |units: usize| Vec::with_capacity(units + 1);
        let mut control = room(geometry.control_words());
        control.extend(0..control::word::OBSERVABLES as u32);
        Self {
            geometry,
            control,
            slots: room(geometry.slots() as usize),
            io_slots: room(geometry.io_slots() as usize),
            debug_log: false,
            all: false,
            uploads: Vec::new(),
        }
    }

    pub(crate) fn control_word(&mut self, word: u32) {
        note(&mut self.control, word);
    }

    pub(crate) fn slot(&mut self, slot: u32) {
        note(&mut self.slots, slot);
    }

    pub(crate) fn io_slot(&mut self, slot: u32) {
        note(&mut self.io_slots, slot);
    }

    pub(crate) fn debug_log(&mut self) {
        self.debug_log = true;
    }

    pub(crate) fn everything(&mut self) {
        self.all = true;
    }

    /// The word ranges to upload.
    pub(crate) fn uploads(&mut self) -> &[(Buffer, Range<usize>)] {
        let geometry = self.geometry;
        self.uploads.clear();
        if self.all {
            let whole = |buffer| (buffer, 0..geometry.words(buffer));
            self.uploads.extend(Buffer::ALL.map(whole));
            return &self.uploads;
        }
        for (buffer, list, unit) in [
            (Buffer::Control, &mut self.control, 1),
            (Buffer::Ring, &mut self.slots, WORDS),
            (Buffer::IoQueue, &mut self.io_slots, io_queue::SLOT_WORDS),
        ] {
            list.sort_unstable();
            list.dedup();
            let words =
                |(first, count)| (buffer, first as usize * unit..(first + count) as usize * unit);
            self.uploads.extend(runs(list).map(words));
        }
        if self.debug_log {
            self.uploads.push((Buffer::DebugLog, 0..geometry.debug_log_words()));
        }
        &self.uploads
    }

    /// The device has it all.
    pub(crate) fn clear(&mut self) {
        self.control.clear();
        self.slots.clear();
        self.io_slots.clear();
        self.debug_log = false;
        self.all = false;
    }
}

/// Notes a unit. A list that is full names some unit twice, and has room again without it.
fn note(list: &mut Vec<u32>, unit: u32) {
    if list.len() == list.capacity() {
        list.sort_unstable();
        list.dedup();
    }
    list.push(unit);
}

//! What the host wrote since the last drain.

use crate::work::runs;
use slipring_core::control;
use slipring_core::io_queue;
use slipring_core::layout::{Buffer, Geometry};
use slipring_core::slot::WORDS;
use std::ops::Range;

/// What the host writes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    ControlWord(u32),
    Slot(u32),
    IoSlot(u32),
    DebugLog,
}

impl Unit {
    /// Its words.
    pub(crate) fn range(self, geometry: Geometry) -> (Buffer, Range<usize>) {
        let (buffer, index, words) = match self {
            Self::ControlWord(word) => (Buffer::Control, word, 1),
            Self::Slot(slot) => (Buffer::Ring, slot, WORDS),
            Self::IoSlot(slot) => (Buffer::IoQueue, slot, io_queue::SLOT_WORDS),
            Self::DebugLog => (Buffer::DebugLog, 0, geometry.debug_log_words()),
        };
        let first = index as usize * words;
        (buffer, first..first + words)
    }
}

/// All words of the four buffers.
pub(crate) fn whole(geometry: Geometry) -> [(Buffer, Range<usize>); 4] {
    Buffer::ALL.map(|buffer| (buffer, 0..geometry.words(buffer)))
}

/// Units to upload. The lists have room for every unit, so that writing never allocates.
#[derive(Debug)]
pub(crate) struct Dirty {
    geometry: Geometry,
    control: Units,
    slots: Units,
    io_slots: Units,
    debug_log: bool,
    all: bool,
    uploads: Vec<(Buffer, Range<usize>)>,
}

/// Units of one buffer, each listed once.
#[derive(Debug)]
struct Units {
    list: Vec<u32>,
    is_listed: Box<[bool]>,
}

impl Units {
    fn new(units: usize) -> Self {
        Self { list: Vec::with_capacity(units), is_listed: vec![false; units].into() }
    }

    /// Lists a unit that there is.
    fn add(&mut self, unit: u32) {
        if !std::mem::replace(&mut self.is_listed[unit as usize], true) {
            self.list.push(unit);
        }
    }

    fn clear(&mut self) {
        self.list.drain(..).for_each(|unit| self.is_listed[unit as usize] = false);
    }
}

impl Dirty {
    /// A fresh row: the device's buffers are zero, and so is the host's but for control words.
    pub(crate) fn new(geometry: Geometry) -> Self {
        let mut control = Units::new(geometry.control_words());
        (0..control::word::OBSERVABLES as u32).for_each(|word| control.add(word));
        Self {
            geometry,
            control,
            slots: Units::new(geometry.slots() as usize),
            io_slots: Units::new(geometry.io_slots() as usize),
            debug_log: false,
            all: false,
            uploads: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, unit: Unit) {
        match unit {
            Unit::ControlWord(word) => self.control.add(word),
            Unit::Slot(slot) => self.slots.add(slot),
            Unit::IoSlot(slot) => self.io_slots.add(slot),
            Unit::DebugLog => self.debug_log = true,
        }
    }

    pub(crate) fn everything(&mut self) {
        self.all = true;
    }

    /// The word ranges to upload.
    pub(crate) fn uploads(&mut self) -> &[(Buffer, Range<usize>)] {
        let geometry = self.geometry;
        self.uploads.clear();
        if self.all {
            self.uploads.extend(whole(geometry));
            return &self.uploads;
        }
        for (buffer, units, unit) in [
            (Buffer::Control, &mut self.control, 1),
            (Buffer::Ring, &mut self.slots, WORDS),
            (Buffer::IoQueue, &mut self.io_slots, io_queue::SLOT_WORDS),
        ] {
            units.list.sort_unstable();
            let words =
                |(first, count)| (buffer, first as usize * unit..(first + count) as usize * unit);
            self.uploads.extend(runs(&units.list).map(words));
        }
        if self.debug_log {
            self.uploads.push(Unit::DebugLog.range(geometry));
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

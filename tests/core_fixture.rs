//! What the tests of core share: a row with storage of its own, words that remember how they
//! were written, words that take no memory, and hostile numbers.

// Each test file uses its own part of this one.
#![allow(dead_code)]

use proptest::prelude::*;
use slipring_core::io_queue::SLOT_WORDS;
use slipring_core::layout::Geometry;
use slipring_core::partition::Partitions;
use slipring_core::publisher::{
    Batch, Entry, Fault, Outcome, Publisher, PublisherError, Ticket, Window,
};
use slipring_core::ring::{Job, Ring, WorkItem};
use slipring_core::row::Row;
use slipring_core::slot::{self, Priority, WORDS};
use slipring_core::tenant::TenantTable;
use slipring_core::twin::{Call, Twin, no_handlers};
use slipring_core::words::{Word, WordMut};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Runs each property this often, and leaves no files behind.
pub fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Indices at and beyond the edges of a small ring, of word arithmetic (`16 * i` wraps to 0 at
/// 2^28) and of u32.
pub fn hostile_index() -> impl Strategy<Value = u32> {
    prop_oneof![
        8 => 0..8u32,
        1 => (0..3u32).prop_map(|n| u32::MAX - n),
        1 => (0..3u32).prop_map(|n| (1 << 28) - 1 + n),
        1 => any::<u32>(),
    ]
}

/// Opcodes: the named ones, both sides of every boundary, and any other.
pub fn hostile_opcode() -> impl Strategy<Value = u32> {
    let edges = [
        8,
        31,
        32,
        254,
        255,
        256,
        0xFFEF,
        0xFFF0,
        0xFFFC,
        0xFFFF,
        0x1_0000,
        0x7FFF_FFFF,
        0x8000_0000,
        0x8000_0002,
        0xFFFF_FFFE,
    ];
    prop_oneof![
        6 => prop::sample::select(&slipring_core::opcode::BUILTIN[..]),
        2 => prop::sample::select(edges.to_vec()),
        1 => any::<u32>(),
    ]
}

/// Status words: every state with clean and with dirty upper bytes.
pub fn any_status() -> impl Strategy<Value = u32> {
    (prop_oneof![0..9u32, 0..256u32], prop_oneof![2 => Just(0), 1 => any::<u32>()])
        .prop_map(|(low, high)| low | high << 8)
}

/// A word that takes no memory and reads as 0, for buffers longer than any machine has.
#[derive(Clone, Copy, Debug)]
pub struct Nowhere;

impl Word for Nowhere {
    fn load(&self) -> u32 {
        0
    }
    fn load_acquire(&self) -> u32 {
        0
    }
}

impl WordMut for Nowhere {
    fn store(&self, _: u32) {}
    fn store_release(&self, _: u32) {}
}

/// One write: which buffer and word, what, and whether with release ordering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    pub buffer: &'static str,
    pub word: usize,
    pub value: u32,
    pub release: bool,
}

/// A word that notes every write in a log that it shares with others.
pub struct Traced {
    buffer: &'static str,
    word: usize,
    value: Cell<u32>,
    log: Rc<RefCell<Vec<Write>>>,
}

impl Traced {
    pub fn buffer(name: &'static str, values: &[u32], log: &Rc<RefCell<Vec<Write>>>) -> Vec<Self> {
        let word = |(word, value): (usize, &u32)| Self {
            buffer: name,
            word,
            value: Cell::new(*value),
            log: Rc::clone(log),
        };
        values.iter().enumerate().map(word).collect()
    }

    fn write(&self, value: u32, release: bool) {
        let (buffer, word) = (self.buffer, self.word);
        self.log.borrow_mut().push(Write { buffer, word, value, release });
        self.value.set(value);
    }
}

impl Word for Traced {
    fn load(&self) -> u32 {
        self.value.get()
    }
    fn load_acquire(&self) -> u32 {
        self.value.get()
    }
}

impl WordMut for Traced {
    fn store(&self, value: u32) {
        self.write(value, false);
    }
    fn store_release(&self, value: u32) {
        self.write(value, true);
    }
}

/// A row, its storage, and the twin's workspace. Tests look at the words themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    pub control: Vec<u32>,
    pub ring: Vec<u32>,
    pub debug_log: Vec<u32>,
    pub io_queue: Vec<u32>,
    pub workspace: Vec<u32>,
    pub partitions: Partitions,
}

impl Board {
    /// All 29 tenants open, one partition, `debug_records` 4, `io_slots` 2.
    pub fn new(slots: u32, observables: u32) -> Self {
        Self::sized(Geometry::new(slots, observables, 4, 2).unwrap())
    }

    pub fn sized(geometry: Geometry) -> Self {
        let mut board = Self {
            control: vec![0; geometry.control_words()],
            ring: vec![0; geometry.ring_words()],
            debug_log: vec![0; geometry.debug_log_words()],
            io_queue: vec![0; geometry.io_queue_words()],
            workspace: Vec::new(),
            partitions: Partitions::single(geometry.slots()),
        };
        let partitions = board.partitions;
        board.row().reset(29, &partitions).unwrap();
        board
    }

    fn geometry(&self) -> Geometry {
        let observables = self.control.len() - 160;
        let [slots, records] = [self.ring.len() / WORDS, self.debug_log.len() / 4];
        let counts = [slots, observables, records, self.io_queue.len() / SLOT_WORDS];
        let [slots, observables, records, io_slots] = counts.map(|count| count as u32);
        Geometry::new(slots, observables, records, io_slots).unwrap()
    }

    pub fn row(&mut self) -> Row<'_, Cell<u32>> {
        let geometry = self.geometry();
        let Self { control, ring, debug_log, io_queue, .. } = self;
        let (control, ring) = (control.as_mut_slice(), ring.as_mut_slice());
        Row::new(geometry, control, ring, debug_log.as_mut_slice(), io_queue.as_mut_slice())
            .unwrap()
    }

    pub fn publish(&mut self, slot: u32, job: Job<'_>) {
        Ring::new(self.ring.as_mut_slice()).unwrap().publish(slot, &job).unwrap();
    }

    pub fn drain(&mut self) {
        self.drain_with(no_handlers);
    }

    pub fn drain_with(&mut self, handlers: impl FnMut(&Call<'_, Cell<u32>>) -> Option<u32>) {
        let partitions = self.partitions;
        let mut workspace = core::mem::take(&mut self.workspace);
        Twin::new(self.row(), workspace.as_mut_slice(), handlers).drain(&partitions).unwrap();
        self.workspace = workspace;
    }

    /// Publishes one job in slot 0, drains, and says how it ended.
    pub fn run(&mut self, job: Job<'_>) -> u32 {
        self.publish(0, job);
        self.drain();
        self.status(0)
    }

    pub fn status(&self, slot: usize) -> u32 {
        self.ring[WORDS * slot + slot::word::STATUS]
    }

    pub fn set_status(&mut self, slot: usize, status: u32) {
        self.ring[WORDS * slot + slot::word::STATUS] = status;
    }

    pub fn io(&self, io_slot: usize) -> [u32; SLOT_WORDS] {
        self.io_queue.as_chunks().0[io_slot]
    }

    /// The first 160 words as they are after a reset, but for `changed`.
    pub fn control_with(&self, changed: &[(usize, u32)]) -> Vec<u32> {
        let mut words = Board::new(0, 0).control;
        words.resize(self.control.len(), 0);
        words[129..135].copy_from_slice(&self.partitions.words());
        for &(word, value) in changed {
            words[word] = value;
        }
        words
    }
}

/// A publisher and its ring, whose statuses the test changes as the kernel does.
pub struct Stage {
    pub words: Vec<AtomicU32>,
    pub publisher: Publisher<Vec<Entry>>,
}

impl Stage {
    pub fn new(partitions: Partitions, tenants: TenantTable) -> Self {
        let slots = partitions.slots() as usize;
        let words: Vec<_> = (0..WORDS * slots).map(|_| AtomicU32::new(0)).collect();
        let (ring, ledger) = (Ring::new(&words[..]).unwrap(), vec![Entry::FREE; slots]);
        let publisher = Publisher::new(ring, ledger, partitions, tenants).unwrap();
        Self { words, publisher }
    }

    pub fn ring(&self) -> Ring<'_, AtomicU32> {
        Ring::new(&self.words[..]).unwrap()
    }

    /// Sets a slot's status.
    pub fn place(&self, slot: u32, status: u32) {
        self.words[WORDS * slot as usize].store(status, Ordering::Release);
    }

    pub fn values(&self) -> Vec<u32> {
        self.words.iter().map(|word| word.load(Ordering::Acquire)).collect()
    }

    /// Lets the publisher book what the ring holds by now.
    pub fn adopt(&mut self) {
        self.publisher.adopt(Ring::new(&self.words[..]).unwrap()).unwrap();
    }

    pub fn publish(&mut self, job: &Job<'_>) -> Result<Ticket, PublisherError> {
        self.publisher.publish(Ring::new(&self.words[..]).unwrap(), job)
    }

    pub fn batch(
        &mut self,
        tenant: u32,
        priority: Priority,
        items: &[(u32, &[u32])],
        tag: u32,
    ) -> Result<Batch, PublisherError> {
        let ring = Ring::new(&self.words[..]).unwrap();
        self.publisher.publish_batch(ring, tenant, priority, items, tag)
    }

    pub fn items(
        &mut self,
        tenant: u32,
        priority: Priority,
        items: &[WorkItem],
    ) -> Result<Window, PublisherError> {
        let ring = Ring::new(&self.words[..]).unwrap();
        self.publisher.publish_items(ring, tenant, priority, items)
    }

    pub fn outcome(&mut self, ticket: Ticket) -> Outcome {
        self.publisher.outcome(Ring::new(&self.words[..]).unwrap(), ticket)
    }

    pub fn next_fault(&mut self) -> Option<Fault> {
        self.publisher.next_fault(Ring::new(&self.words[..]).unwrap())
    }

    pub fn in_flight(&mut self, tenant: u32) -> u32 {
        self.publisher.in_flight(Ring::new(&self.words[..]).unwrap(), tenant)
    }
}

//! A microcontroller, a host and the wire between them, and what must be true of them whatever
//! happens: no job is lost, run twice or changed, every fate that is told is so, and all goes on.
//!
//! ```text
//!   firmware ─ Sender ═ up ═▶ Receiver ─ ring (finishes jobs in any order, after any time)
//!      ▲                                   │
//!      └── fates ◀════════ down ══════════ results
//! ```

use crate::random::{Random, mix};
use crate::wire::{Faults, Wire};
use slipring_core::layout::Geometry;
use slipring_core::link::{
    Event, Fate, HostEvent, LinkTicket, Notice, Receiver, ResultError, SendError, Sender,
};
use slipring_core::ring::Job;
use slipring_core::slot::{Priority, Slot};
use std::collections::VecDeque;

/// Bytes that a wire takes in a tick: a UART's FIFO.
const TICK_BYTES: usize = 16;
/// So 1 Mbaud, about.
const TICKS_PER_MS: u64 = 6;
/// What the wire takes if it carries nothing but slots of 72 bytes.
pub const WIRE_SLOTS_PER_SECOND: f64 = (TICK_BYTES as u64 * TICKS_PER_MS * 1_000) as f64 / 72.0;
const RING: usize = 24;
/// Somebody must have got somewhere within so many simulated milliseconds. (Of each kind of fault in ten
/// frames, two of three frames are lost; greetings go once a second then, and need a few in a row.)
const PATIENCE_MS: u64 = 600_000;

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub seed: u64,
    /// Jobs to publish.
    pub jobs: u64,
    pub faults: Faults,
    /// How likely it is that a side starts anew, or its clock jumps, in a millisecond.
    pub restarts: f64,
    pub clock_jumps: f64,
    /// Whether no side starts anew before a job has come since the last start: so nothing but the link
    /// itself ends a standstill.
    pub settles: bool,
    /// How long a byte is on its way, and how long a job takes at most.
    pub latency_ms: u64,
    pub job_ms: u64,
    /// Whether the firmware pauses now and then, and the ring stands still.
    pub pauses: bool,
}

impl Options {
    pub fn calm(seed: u64, jobs: u64) -> Self {
        Self {
            seed,
            jobs,
            faults: Faults::default(),
            restarts: 0.0,
            clock_jumps: 0.0,
            settles: false,
            latency_ms: 1,
            job_ms: 2,
            pauses: false,
        }
    }
}

/// What a run has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    pub published: u64,
    /// Jobs whose end was told to the firmware that published them, by fate.
    pub done: u64,
    pub faulted: u64,
    pub not_run: u64,
    pub unknown: u64,
    /// Jobs of firmware that was restarted before it learned their end.
    pub forgotten: u64,
    /// Results that the host was told are orphaned.
    pub orphaned: u64,
    pub sender_restarts: u64,
    pub receiver_restarts: u64,
    pub ms: u64,
    pub up_bytes: u64,
    pub down_bytes: u64,
    pub damaged: u64,
    pub resent: u64,
}

/// What is known of a published job.
struct Record {
    ticket: LinkTicket,
    /// Which microcontroller published it, counting restarts.
    boot: u64,
    handed_out: bool,
    /// How the host says that it ended.
    host_fate: Option<Fate>,
    /// What the firmware was told.
    told: Option<Fate>,
}

/// A slot in the host's ring.
struct Running {
    ticket: LinkTicket,
    id: u64,
    due: u64,
}

pub struct World<const N: usize, const M: usize> {
    options: Options,
    random: Random,
    tick: u64,
    up: Wire,
    down: Wire,
    sender: Sender<N>,
    receiver: Receiver<M>,
    clocks: [u32; 2],
    boot: u64,
    /// Record n is of job `first + n`.
    records: VecDeque<Record>,
    first: u64,
    ring: Vec<Running>,
    /// The last job that came over this connection.
    last_taken: Option<u64>,
    /// Whether a job has come since a side last started anew.
    has_settled: bool,
    last_progress: u64,
    sender_rests_until: u64,
    ring_rests_until: u64,
    input: Vec<u8>,
    tally: Tally,
}

fn geometry() -> Geometry {
    Geometry::of_slots(RING as u32, 8).unwrap()
}

/// The arguments of a job: its number, and words that follow from it.
fn args(id: u64) -> [u32; 12] {
    let mut args = [id as u32; 12];
    args[1] = (id >> 32) as u32;
    for (index, word) in (2..).zip(&mut args[2..]) {
        let value = mix(id * 16 + index);
        // Zeros are what COBS is about.
        *word = (value as u32) & [u32::MAX, 0xFF00_FF00, 0, 0x00FF_FFFF][(value >> 62) as usize];
    }
    args
}

/// The words of its result.
fn answer(id: u64) -> Vec<u32> {
    let count = mix(id) % 13;
    (0..count).map(|word| mix(id ^ word << 48) as u32 & 0xFFFF_00FF).collect()
}

fn fate(id: u64) -> Fate {
    match mix(!id) % 64 {
        0 => Fate::Fault(64 + (id % 192) as u8),
        1 => Fate::NotRun,
        2 => Fate::Unknown,
        _ => Fate::Done,
    }
}

fn job(id: u64, args: &[u32; 12]) -> Job<'_> {
    let priority = Priority::ALL[(id % 5) as usize];
    Job::new(0x100 + (id % 7) as u32, args).tenant((id % 29) as u32).priority(priority)
}

impl<const N: usize, const M: usize> World<N, M> {
    pub fn new(options: Options) -> Self {
        let mut random = Random::new(options.seed);
        let latency = options.latency_ms * TICKS_PER_MS;
        let wire = || Wire::new(options.faults, latency, TICKS_PER_MS);
        let session = random.next() as u32;
        Self {
            random,
            tick: 0,
            up: wire(),
            down: wire(),
            sender: Sender::new(session, geometry()),
            // As two counters would: alike.
            receiver: Receiver::new(session, geometry()),
            // Both wrap soon.
            clocks: [u32::MAX - 3_000, u32::MAX - 70_000],
            boot: 0,
            records: VecDeque::new(),
            first: 0,
            ring: Vec::new(),
            last_taken: None,
            has_settled: true,
            last_progress: 0,
            sender_rests_until: 0,
            ring_rests_until: 0,
            input: Vec::new(),
            tally: Tally::default(),
            options,
        }
    }

    /// Publishes all jobs, then lets the wire heal and all come to an end.
    pub fn run(mut self) -> Tally {
        while self.tally.published < self.options.jobs {
            self.tick();
        }
        (self.options.restarts, self.options.clock_jumps) = (0.0, 0.0);
        self.up.heal();
        self.down.heal();
        while self.is_waiting() {
            self.tick();
        }
        self.tally.ms = self.tick / TICKS_PER_MS;
        (self.tally.up_bytes, self.tally.down_bytes) = (self.up.bytes, self.down.bytes);
        self.count_link();
        self.tally
    }

    fn is_waiting(&self) -> bool {
        self.records.iter().any(|record| record.boot == self.boot && record.told.is_none())
    }

    fn count_link(&mut self) {
        let (sender, receiver) = (self.sender.counters(), self.receiver.counters());
        self.tally.damaged += u64::from(sender.damaged) + u64::from(receiver.damaged);
        self.tally.resent += u64::from(sender.resent) + u64::from(receiver.resent);
    }

    fn tick(&mut self) {
        self.tick += 1;
        if self.tick.is_multiple_of(TICKS_PER_MS) {
            self.disturb();
        }
        self.turn_of_firmware();
        self.turn_of_host();
        let waited = (self.tick - self.last_progress) / TICKS_PER_MS;
        assert!(waited < PATIENCE_MS, "no progress for {waited} ms; {:?}", self.options);
    }

    /// Once in a millisecond.
    fn disturb(&mut self) {
        for clock in &mut self.clocks {
            *clock = clock.wrapping_add(1);
            if self.random.happens(self.options.clock_jumps) {
                let by = self.random.next() as u32 >> self.random.below(32);
                *clock = if self.random.happens(0.5) {
                    clock.wrapping_add(by)
                } else {
                    clock.wrapping_sub(by)
                };
            }
        }
        let may_restart = self.has_settled || !self.options.settles;
        if may_restart && self.random.happens(self.options.restarts) {
            self.count_link();
            self.has_settled = false;
            if self.random.happens(0.5) {
                self.restart_sender();
            } else {
                self.restart_receiver();
            }
        }
        if self.options.pauses && self.random.happens(0.01) {
            let rest = self.tick + self.random.below(100 * TICKS_PER_MS);
            if self.random.happens(0.5) {
                self.sender_rests_until = rest;
            } else {
                self.ring_rests_until = rest;
            }
        }
    }

    fn restart_sender(&mut self) {
        self.sender = Sender::new(self.random.next() as u32, geometry());
        self.boot += 1;
        self.tally.sender_restarts += 1;
        let untold = self.records.iter().filter(|record| record.told.is_none());
        self.tally.forgotten += untold.filter(|record| record.boot + 1 == self.boot).count() as u64;
        self.retire();
    }

    /// The ring goes with it: what was in it ran, or did not.
    fn restart_receiver(&mut self) {
        self.receiver = Receiver::new(self.random.next() as u32, geometry());
        self.tally.receiver_restarts += 1;
        self.ring.clear();
        self.last_taken = None;
    }

    fn turn_of_firmware(&mut self) {
        let now = self.clocks[0];
        let mut input = std::mem::take(&mut self.input);
        self.down.receive(self.tick, &mut input);
        let mut rest = &input[..];
        while !rest.is_empty() {
            rest = &rest[self.sender.receive(rest, now)..];
            while let Some(event) = self.sender.next_event() {
                self.hear(event);
            }
        }
        input.clear();
        self.input = input;
        if self.tick >= self.sender_rests_until {
            while self.tally.published < self.options.jobs && self.publish() {}
        }
        let mut bytes = [0; TICK_BYTES];
        let len = self.sender.transmit(now, &mut bytes);
        self.up.send(&bytes[..len], self.tick, &mut self.random);
    }

    fn publish(&mut self) -> bool {
        let id = self.first + self.records.len() as u64;
        let args = args(id);
        match self.sender.publish(&job(id, &args)) {
            Ok(ticket) => {
                let (boot, handed_out) = (self.boot, false);
                let record = Record { ticket, boot, handed_out, host_fate: None, told: None };
                self.records.push_back(record);
                self.tally.published += 1;
                true
            }
            Err(SendError::NotConnected | SendError::Full { .. }) => false,
            Err(SendError::Unfinished { unfinished, limit }) => {
                assert!(unfinished >= limit);
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn hear(&mut self, event: Event) {
        let seed = self.options;
        match event {
            Event::Link(Notice::Connected { .. }) => {}
            Event::Link(Notice::Disconnected) => {
                assert!(self.tally.receiver_restarts > 0, "{seed:?}");
            }
            Event::Link(refused) => panic!("{refused:?}, {seed:?}"),
            Event::Finished { ticket, fate: told, words } => {
                // Those of one boot are numbered one after the other.
                let last = self.records.back().expect("a fate comes after a job").ticket.number;
                let index = self.records.len() - 1 - last.wrapping_sub(ticket.number) as usize;
                let id = self.first + index as u64;
                let record = &mut self.records[index];
                assert_eq!(record.ticket, ticket, "{seed:?}");
                assert_eq!((record.boot, record.told), (self.boot, None), "told twice, {seed:?}");
                record.told = Some(told);
                if record.host_fate == Some(told) {
                    assert!(record.handed_out && told == fate(id), "{seed:?}");
                    assert!(told == Fate::Unknown || *words == *answer(id), "job {id}, {seed:?}");
                } else {
                    // The host that had it is gone.
                    assert!(self.tally.receiver_restarts > 0, "{told:?}, {seed:?}");
                    let is_so = told == Fate::Unknown || told == Fate::NotRun && !record.handed_out;
                    assert!(is_so && words.is_empty(), "{told:?}, {seed:?}");
                }
                match told {
                    Fate::Done => self.tally.done += 1,
                    Fate::Fault(_) => self.tally.faulted += 1,
                    Fate::NotRun => self.tally.not_run += 1,
                    Fate::Unknown => self.tally.unknown += 1,
                }
                self.last_progress = self.tick;
                self.retire();
            }
        }
    }

    /// Forgets the oldest jobs that nothing can happen to any more.
    fn retire(&mut self) {
        while let Some(record) = self.records.front()
            && (record.told.is_some() || record.boot != self.boot)
            && self.records.len() > 2_000
        {
            self.records.pop_front();
            self.first += 1;
        }
    }

    fn turn_of_host(&mut self) {
        let now = self.clocks[1];
        let mut input = std::mem::take(&mut self.input);
        self.up.receive(self.tick, &mut input);
        let mut rest = &input[..];
        while !rest.is_empty() {
            rest = &rest[self.receiver.receive(rest, now)..];
            while let Some(event) = self.receiver.next_event() {
                match event {
                    HostEvent::Link(Notice::Connected { .. }) => self.last_taken = None,
                    HostEvent::Link(Notice::Disconnected) => {
                        let restarts = self.tally.sender_restarts + self.tally.receiver_restarts;
                        assert!(restarts > 0, "{:?}", self.options);
                    }
                    HostEvent::Link(refused) => panic!("{refused:?}, {:?}", self.options),
                    HostEvent::Orphaned { .. } => self.tally.orphaned += 1,
                }
            }
        }
        input.clear();
        self.input = input;
        self.turn_of_ring();
        let mut bytes = [0; TICK_BYTES];
        let len = self.receiver.transmit(now, &mut bytes);
        self.down.send(&bytes[..len], self.tick, &mut self.random);
    }

    fn turn_of_ring(&mut self) {
        while self.ring.len() < RING
            && let Some((ticket, slot)) = self.receiver.next_slot()
        {
            let id = self.check(ticket, &slot);
            let due = self.tick + self.random.below(self.options.job_ms * TICKS_PER_MS + 1);
            self.ring.push(Running { ticket, id, due });
        }
        if self.tick >= self.ring_rests_until {
            let (tick, first, records) = (self.tick, self.first, &mut self.records);
            let receiver = &mut self.receiver;
            self.ring.retain(|&Running { ticket, id, due }| {
                if due > tick {
                    return true;
                }
                let words = if fate(id) == Fate::Unknown { vec![] } else { answer(id) };
                match receiver.result(ticket, fate(id), &words) {
                    Ok(()) => {
                        if let Some(index) = id.checked_sub(first) {
                            records[index as usize].host_fate = Some(fate(id));
                        }
                        false
                    }
                    Err(ResultError::Full { .. }) => true,
                    Err(ResultError::Orphaned { .. }) => false,
                    Err(error) => panic!("{error}"),
                }
            });
        }
        self.receiver.set_credits((RING - self.ring.len()) as u32);
    }

    /// Whether a slot is a job that was published, and comes for the first time and in order.
    fn check(&mut self, ticket: LinkTicket, slot: &Slot) -> u64 {
        let seed = self.options;
        let id = u64::from(slot.args[0]) | u64::from(slot.args[1]) << 32;
        let args = args(id);
        let expected = job(id, &args);
        let (opcode, tenant, priority) = (slot.opcode, slot.tenant, slot.priority);
        let head = (expected.opcode, expected.tenant, expected.priority.level());
        assert_eq!(((opcode, tenant, priority), slot.args), (head, args), "changed, {seed:?}");
        let index = id.checked_sub(self.first).expect("a job of long ago");
        let record = &mut self.records[index as usize];
        assert_eq!(record.ticket, ticket, "{seed:?}");
        assert!(!record.handed_out, "job {id} comes twice, {seed:?}");
        assert_eq!(record.told, None, "job {id} runs after its fate was told, {seed:?}");
        assert!(self.last_taken.is_none_or(|last| last + 1 == id), "out of order, {seed:?}");
        self.has_settled |= record.boot == self.boot;
        (record.handed_out, self.last_taken) = (true, Some(id));
        id
    }
}

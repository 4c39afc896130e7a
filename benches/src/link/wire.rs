//! A wire on which nothing takes time but its bytes.

use slipring_core::layout::Geometry;
use slipring_core::link::{Event, Fate, Receiver, Sender};
use slipring_core::opcode;
use slipring_core::ring::Job;
use std::collections::VecDeque;

pub const WIRE_BAUDS: [u32; 3] = [1_000_000, 3_000_000, 12_000_000];
/// Bits of a byte on the wire: a start bit, eight, a stop bit.
const BITS: u32 = 10;
/// Bytes of a slot's frame; a wire can carry no more slots than it has bytes for.
const FRAME_BYTES: f64 = 72.0;
/// What a UART has been given cannot be taken back.
const FIFO_BYTES: usize = 16;
const JOBS: usize = 20_000;
const RING: u32 = 64;

#[derive(Clone, Copy)]
pub struct Options {
    pub baud: u32,
    pub window: u32,
    /// Of the frames, both ways.
    pub loss: f64,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Traffic {
    /// As many jobs as the window takes.
    Full,
    /// The next one when the last has ended.
    OneAtATime,
}

/// What a run has come to.
pub struct Run {
    options: Options,
    /// Byte times from the first job to the last result.
    ticks: u64,
    /// Bytes from the microcontroller.
    bytes: u64,
    /// From publish to result, in byte times, sorted.
    latencies: Vec<u64>,
}

impl Run {
    fn bytes_per_s(&self) -> f64 {
        f64::from(self.options.baud / BITS)
    }

    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 * self.bytes_per_s() / self.ticks as f64
    }

    /// Of the slots that the wire has bytes for.
    pub fn of_wire(&self) -> f64 {
        self.per_second() * FRAME_BYTES / self.bytes_per_s()
    }

    /// Acknowledgements and what is sent again included.
    pub fn bytes_per_slot(&self) -> f64 {
        self.bytes as f64 / self.latencies.len() as f64
    }

    pub fn latency_us(&self, percent: usize) -> f64 {
        let ticks = self.latencies[(self.latencies.len() - 1) * percent / 100];
        ticks as f64 * 1e6 / self.bytes_per_s()
    }
}

/// One direction: a byte a tick.
struct Wire {
    fifo: VecDeque<u8>,
    loss: f64,
    random: u64,
    is_lost: bool,
    bytes: u64,
}

impl Wire {
    fn new(loss: f64, seed: u64) -> Self {
        Self { fifo: VecDeque::new(), loss, random: seed, is_lost: false, bytes: 0 }
    }

    /// Carries a byte, having been filled up by `transmit`, unless its frame is one that is lost.
    fn tick(&mut self, transmit: impl FnOnce(&mut [u8]) -> usize) -> Option<u8> {
        if self.fifo.is_empty() {
            let mut bytes = [0; FIFO_BYTES];
            let len = transmit(&mut bytes);
            self.fifo.extend(&bytes[..len]);
        }
        let byte = self.fifo.pop_front()?;
        self.bytes += 1;
        let was_lost = self.is_lost;
        if byte == 0 {
            // A step of xorshift64: whether the next frame is lost.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.is_lost = ((self.random >> 11) as f64) < self.loss * (1u64 << 53) as f64;
        }
        (!was_lost).then_some(byte)
    }
}

/// Sends [`JOBS`] jobs over such a wire, and has the result of each come back.
pub fn run(options: Options, traffic: Traffic) -> Run {
    match options.window {
        8 => run_window::<8>(options, traffic),
        64 => run_window::<64>(options, traffic),
        window => unreachable!("no bench has a window of {window}"),
    }
}

fn run_window<const WINDOW: usize>(options: Options, traffic: Traffic) -> Run {
    let geometry = Geometry::of_slots(RING, 8).expect("a ring may have so many slots");
    let mut sender = Sender::<WINDOW>::new(1, geometry);
    let mut receiver = Receiver::<64>::new(2, geometry);
    receiver.set_credits(RING);
    let (mut up, mut down) = (Wire::new(options.loss, 3), Wire::new(options.loss, 4));
    // Jobs are numbered from 0, as tickets are from the first one on.
    let (mut started, mut first_ticket): (Vec<u64>, _) = (Vec::with_capacity(JOBS), None);
    let mut latencies = Vec::with_capacity(JOBS);
    let ticks_per_ms = u64::from(options.baud / BITS / 1000);
    let mut tick = 0;
    while latencies.len() < JOBS {
        let now_ms = (tick / ticks_per_ms) as u32;
        let unfinished = started.len() - latencies.len();
        let may_start = traffic == Traffic::Full || unfinished == 0;
        if started.len() < JOBS
            && may_start
            && let Ok(ticket) = sender.publish(&Job::new(opcode::NOP, &[7; 12]))
        {
            first_ticket.get_or_insert(ticket.number);
            started.push(tick);
        }
        if let Some(byte) = up.tick(|bytes| sender.transmit(now_ms, bytes)) {
            assert_eq!(receiver.receive(&[byte], now_ms), 1);
            while receiver.next_event().is_some() {}
            while let Some((ticket, slot)) = receiver.next_slot() {
                receiver.set_credits(RING);
                let answered = receiver.result(ticket, Fate::Done, &slot.args[..1]);
                answered.expect("as many results as jobs fit the window");
            }
        }
        if let Some(byte) = down.tick(|bytes| receiver.transmit(now_ms, bytes)) {
            assert_eq!(sender.receive(&[byte], now_ms), 1);
            while let Some(event) = sender.next_event() {
                if let (Event::Finished { ticket, fate, .. }, Some(first)) = (event, first_ticket) {
                    assert_eq!(fate, Fate::Done);
                    latencies.push(tick - started[ticket.number.wrapping_sub(first) as usize]);
                }
            }
        }
        tick += 1;
    }
    latencies.sort_unstable();
    Run { options, ticks: tick - started[0], bytes: up.bytes, latencies }
}

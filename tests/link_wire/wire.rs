//! One direction of a serial wire: bytes come after a while, in order, and not all as they went.

use crate::random::Random;
use std::collections::VecDeque;

/// How likely each kind of fault is to befall a frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// One to eight bits of a byte are flipped.
    pub flip: f64,
    /// One to three bytes in a row are missing.
    pub drop: f64,
    /// One to three bytes come from nowhere, 0x00 among them.
    pub insert: f64,
    /// A byte comes twice, or the frame does.
    pub duplicate: f64,
    /// The whole frame is missing.
    pub lose: f64,
    /// A run of up to 200 bytes is noise, across frames.
    pub noise: f64,
    /// Nothing comes for up to 50 milliseconds, and then all at once.
    pub stall: f64,
    /// A frame of the last thousands comes once more. (No hello: one of before ends a connection.)
    pub replay: f64,
}

impl Faults {
    pub const fn all(rate: f64) -> Self {
        let [flip, drop, insert, duplicate, lose, noise, stall, replay] = [rate; 8];
        Self { flip, drop, insert, duplicate, lose, noise, stall, replay }
    }
}

/// What is to befall the frame that is passing: where in it, and what.
#[derive(Default)]
struct Plan {
    lost: bool,
    flip: Option<(usize, u8)>,
    drop: Option<(usize, usize)>,
    insert: Option<(usize, usize)>,
    doubled_byte: Option<usize>,
    doubled_frame: bool,
    replayed: bool,
}

/// Frames that may come once more.
const KEPT: usize = 4_096;
/// The kind of a hello, behind the byte that COBS adds.
const HELLO: u8 = 1;

pub struct Wire {
    faults: Faults,
    latency: u64,
    ticks_per_ms: u64,
    queue: VecDeque<(u64, u8)>,
    plan: Plan,
    /// Bytes of the frame so far: as they went, and as they come.
    went: usize,
    comes: Vec<u8>,
    /// The frame that is passing, as it went, and those before it.
    frame: Vec<u8>,
    kept: VecDeque<Vec<u8>>,
    noise_left: usize,
    stalled_until: u64,
    pub frames: u64,
    pub bytes: u64,
}

impl Wire {
    /// A wire on which bytes take `latency` ticks.
    pub fn new(faults: Faults, latency: u64, ticks_per_ms: u64) -> Self {
        Self {
            faults,
            latency,
            ticks_per_ms,
            queue: VecDeque::new(),
            plan: Plan::default(),
            went: 0,
            comes: Vec::new(),
            frame: Vec::new(),
            kept: VecDeque::new(),
            noise_left: 0,
            stalled_until: 0,
            frames: 0,
            bytes: 0,
        }
    }

    /// No faults from now on.
    pub fn heal(&mut self) {
        (self.faults, self.noise_left) = (Faults::default(), 0);
    }

    pub fn send(&mut self, bytes: &[u8], tick: u64, random: &mut Random) {
        for byte in bytes {
            if self.went == 0 {
                self.plan_frame(tick, random);
            }
            self.send_byte(*byte, tick, random);
            self.went += 1;
            self.frame.push(*byte);
            if *byte == 0 {
                self.frames += 1;
                if self.plan.doubled_frame {
                    for byte in std::mem::take(&mut self.comes) {
                        self.deliver(byte, tick);
                    }
                }
                self.went = 0;
                self.comes.clear();
                self.keep_frame();
                if self.plan.replayed {
                    self.replay(tick, random);
                }
            }
        }
        self.bytes += bytes.len() as u64;
    }

    fn keep_frame(&mut self) {
        let frame = std::mem::take(&mut self.frame);
        if frame.get(1).is_some_and(|kind| *kind != HELLO) {
            self.kept.push_back(frame);
        }
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    fn replay(&mut self, tick: u64, random: &mut Random) {
        let index = random.below(self.kept.len() as u64) as usize;
        for byte in self.kept.get(index).cloned().unwrap_or_default() {
            self.deliver(byte, tick);
        }
    }

    fn plan_frame(&mut self, tick: u64, random: &mut Random) {
        let faults = self.faults;
        let place = |random: &mut Random| random.below(72) as usize;
        let few = |random: &mut Random| 1 + random.below(3) as usize;
        let mut plan = Plan { lost: random.happens(faults.lose), ..Plan::default() };
        if random.happens(faults.flip) {
            plan.flip = Some((place(random), 1 + random.below(255) as u8));
        }
        if random.happens(faults.drop) {
            plan.drop = Some((place(random), few(random)));
        }
        if random.happens(faults.insert) {
            plan.insert = Some((place(random), few(random)));
        }
        if random.happens(faults.duplicate) {
            plan.doubled_frame = random.happens(0.5);
            plan.doubled_byte = (!plan.doubled_frame).then(|| place(random));
        }
        if random.happens(faults.noise) {
            self.noise_left = 1 + random.below(200) as usize;
        }
        if random.happens(faults.stall) {
            self.stalled_until = tick + random.below(50 * self.ticks_per_ms);
        }
        plan.replayed = random.happens(faults.replay);
        self.plan = plan;
    }

    fn send_byte(&mut self, mut byte: u8, tick: u64, random: &mut Random) {
        let Plan { lost, flip, drop, insert, doubled_byte, .. } = self.plan;
        let here = self.went;
        if let Some((place, count)) = insert
            && place == here
        {
            for _ in 0..count {
                self.pass(random.next() as u8, tick);
            }
        }
        if lost || drop.is_some_and(|(place, count)| (place..place + count).contains(&here)) {
            return;
        }
        if let Some((place, bits)) = flip
            && place == here
        {
            byte ^= bits;
        }
        if self.noise_left > 0 {
            self.noise_left -= 1;
            byte = random.next() as u8;
        }
        self.pass(byte, tick);
        if doubled_byte == Some(here) {
            self.pass(byte, tick);
        }
    }

    fn pass(&mut self, byte: u8, tick: u64) {
        if self.plan.doubled_frame {
            self.comes.push(byte);
        }
        self.deliver(byte, tick);
    }

    fn deliver(&mut self, byte: u8, tick: u64) {
        self.queue.push_back(((tick + self.latency).max(self.stalled_until), byte));
    }

    /// Takes the bytes that have come by now.
    pub fn receive(&mut self, tick: u64, bytes: &mut Vec<u8>) {
        while let Some((due, byte)) = self.queue.front()
            && *due <= tick
        {
            bytes.push(*byte);
            self.queue.pop_front();
        }
    }
}

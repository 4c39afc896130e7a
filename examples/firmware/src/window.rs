//! Windows of samples: how one becomes a job, and what the GPU has to find in it.

use slipring_core::ring::Job;
use slipring_core::slot::ARGS;

/// What `examples/host` has a handler for.
const TONE: u32 = 0x110;
/// Two in a word, and a word for what they are.
pub const SAMPLES: usize = 2 * (ARGS - 1);
/// The fault of a window that says to be longer.
pub const TOO_LONG: u8 = 64;
/// The tone that is listened for, 5 periods in 22 samples: twice the cosine of its turn per sample,
/// of 2^14.
const COEFFICIENT: i32 = 4663;

/// The arguments of a window's job: its length in bits 0..8, the coefficient in 16..32, then the
/// samples.
pub struct Window([u32; ARGS]);

impl Window {
    pub fn new(samples: &[i16; SAMPLES]) -> Self {
        let mut args = [0; ARGS];
        args[0] = SAMPLES as u32 | (COEFFICIENT as u32) << 16;
        for (word, pair) in args[1..].iter_mut().zip(samples.chunks(2)) {
            for (half, sample) in pair.iter().enumerate() {
                *word |= u32::from(sample.cast_unsigned()) << (16 * half);
            }
        }
        Self(args)
    }

    /// Says to be longer than a window can be.
    pub fn spoil(&mut self) {
        self.0[0] += 1;
    }

    pub fn job(&self) -> Job<'_> {
        Job::new(TONE, &self.0)
    }
}

/// What a host can answer to a window.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The power of the tone by Goertzel's filter, and that of the whole window.
    Tone([u32; 2]),
    Fault(u8),
}

impl Answer {
    /// What it has to be.
    pub fn to(window: &Job<'_>) -> Self {
        if (window.args[0] & 0xFF) as usize > SAMPLES {
            return Self::Fault(TOO_LONG);
        }
        let (mut last, mut before, mut energy) = (0, 0, 0);
        let scaled = |last: i32| (COEFFICIENT * last) >> 14;
        for sample in window.args[1..].iter().flat_map(|pair| [*pair as i16, (pair >> 16) as i16]) {
            let sample = i32::from(sample);
            let next = sample + scaled(last) - before;
            (last, before) = (next, last);
            energy += sample * sample;
        }
        let power = last * last + before * before - scaled(last) * before;
        Self::Tone([power.cast_unsigned(), energy.cast_unsigned()])
    }
}

/// Whether most of a window's power is the tone's. (A window of nothing else would have `SAMPLES / 2`
/// times the power of the window.)
pub fn is_tone([power, energy]: [u32; 2]) -> bool {
    power > energy * SAMPLES as u32 / 4
}

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
#[derive(Clone, Copy, Debug)]
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

    /// What the GPU answers, if all is well.
    pub fn answer(&self) -> Answer {
        if (self.0[0] & 0xFF) as usize > SAMPLES {
            return Answer::Fault(TOO_LONG);
        }
        // Goertzel's filter.
        let (mut last, mut before) = (0i32, 0i32);
        let mut energy = 0;
        for sample in self.0[1..].iter().flat_map(|word| [*word as i16, (word >> 16) as i16]) {
            let sample = i32::from(sample);
            let next = sample + (COEFFICIENT * last >> 14) - before;
            (last, before) = (next, last);
            energy += sample * sample;
        }
        let power = last * last + before * before - (COEFFICIENT * last >> 14) * before;
        Answer::Tone([power.cast_unsigned(), energy.cast_unsigned()])
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The power of the tone, and of the whole window.
    Tone([u32; 2]),
    Fault(u8),
}

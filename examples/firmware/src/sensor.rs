//! A sensor that is not there: what a microphone would hear of a chirp, with noise.

/// A chirp is so many samples long, then begins anew.
const CHIRP_SAMPLES: u32 = 5500;
/// Its lowest and highest frequency: turns per sample, of 2^32.
const LOWEST: u32 = 1 << 26;
const HIGHEST: u32 = 3 << 29;
const STEP: u32 = (HIGHEST - LOWEST) / CHIRP_SAMPLES;

const AMPLITUDE: i32 = 400;
const NOISE: u32 = 64;

pub struct Sensor {
    /// Of a turn, 2^32.
    phase: u32,
    turn: u32,
    noise: u32,
}

impl Sensor {
    pub const fn new() -> Self {
        Self { phase: 0, turn: LOWEST, noise: 1 }
    }

    /// The next sample, of 10 bits with their sign.
    pub fn sample(&mut self) -> i16 {
        self.turn += STEP;
        if self.turn > HIGHEST {
            self.turn = LOWEST;
        }
        self.phase = self.phase.wrapping_add(self.turn);
        // Two parabolas are near enough to a sine.
        let at = self.phase.cast_signed() >> 16;
        let tone = (at * ((1 << 15) - at.abs())) >> 13;
        // Marsaglia's xorshift32.
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 17;
        self.noise ^= self.noise << 5;
        let noise = (self.noise % NOISE).cast_signed() - NOISE.cast_signed() / 2;
        (((tone * AMPLITUDE) >> 15) + noise) as i16
    }
}

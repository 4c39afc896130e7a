//! What the timer's interrupt does: takes samples, and stages a window of them at a time.

use crate::sensor::Sensor;
use crate::window::{SAMPLES, Window};
use crate::{JOBS, SPOILED};
use slipring_core::interrupt::Staging;

/// Windows that the link has not taken yet: 30 ms of them.
pub static STAGING: Staging<16> = Staging::new();

pub struct Sampler {
    sensor: Sensor,
    samples: [i16; SAMPLES],
    taken: usize,
    windows: u32,
}

impl Sampler {
    pub const fn new() -> Self {
        Self { sensor: Sensor::new(), samples: [0; SAMPLES], taken: 0, windows: 0 }
    }

    /// Takes a sample; false if there are windows enough.
    pub fn sample(&mut self) -> bool {
        if self.windows == JOBS {
            return false;
        }
        self.samples[self.taken] = self.sensor.sample();
        self.taken += 1;
        if self.taken == SAMPLES {
            self.taken = 0;
            self.stage();
        }
        true
    }

    fn stage(&mut self) {
        let mut window = Window::new(&self.samples);
        if (self.windows + 1).is_multiple_of(SPOILED) {
            window.spoil();
        }
        // One that finds no place is lost; the staging counts it.
        if STAGING.publish(&window.job()).is_ok() {
            self.windows += 1;
        }
    }
}

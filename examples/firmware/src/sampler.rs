//! What the timer's interrupt does: takes samples, and publishes a window of them at a time.

use crate::sensor::Sensor;
use crate::window::{SAMPLES, Window};
use crate::{JOBS, SPOILED};
use core::sync::atomic::{AtomicU32, Ordering};
use slipring_core::interrupt::Queue;

/// Windows that the link has not taken yet: 30 ms of them.
pub static WINDOWS: Queue<16> = Queue::new();

/// Windows that found no place there.
static LOST: AtomicU32 = AtomicU32::new(0);

/// How many windows have found no place.
pub fn lost() -> u32 {
    LOST.load(Ordering::Relaxed)
}

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
            self.publish();
        }
        true
    }

    fn publish(&mut self) {
        let mut window = Window::new(&self.samples);
        if (self.windows + 1).is_multiple_of(SPOILED) {
            window.spoil();
        }
        match WINDOWS.publish(&window.job()) {
            Ok(()) => self.windows += 1,
            Err(_) => LOST.store(lost() + 1, Ordering::Relaxed),
        }
    }
}

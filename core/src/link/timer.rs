//! When to send again what was not acknowledged.

/// The wait before the first round trip was timed.
const FIRST_MS: u32 = 200;
const MIN_MS: u32 = 10;
/// The longest wait of the link, between hellos too.
pub(super) const MAX_MS: u32 = 1000;

/// A deadline that follows the round trips, and doubles whenever it passes.
///
/// A clock that jumps forwards makes it pass at once, one that jumps backwards makes it start anew:
/// a needless retransmission, or one that comes later.
#[derive(Debug)]
pub(super) struct Timer {
    since: u32,
    is_running: bool,
    /// Eight times the mean round trip in milliseconds; 0 before the first.
    mean_8: u16,
    /// Four times its mean deviation.
    deviation_4: u16,
    doubled: u8,
}

impl Timer {
    pub const fn new() -> Self {
        Self { since: 0, is_running: false, mean_8: 0, deviation_4: 0, doubled: 0 }
    }

    /// Starts it if it does not run.
    pub fn start(&mut self, now: u32) {
        if !self.is_running {
            (self.since, self.is_running) = (now, true);
        }
    }

    /// The peer has made progress: starts it anew, or stops it when there is nothing to wait for.
    pub fn progress(&mut self, now: u32, waits: bool) {
        (self.since, self.is_running, self.doubled) = (now, waits, 0);
    }

    /// Milliseconds until it passes; none when it does not run.
    pub fn left(&self, now: u32) -> Option<u32> {
        let elapsed = now.wrapping_sub(self.since).cast_signed().max(0).cast_unsigned();
        self.is_running.then(|| self.timeout().saturating_sub(elapsed))
    }

    /// Whether it has passed; it then starts anew, for twice as long.
    pub fn passes(&mut self, now: u32) -> bool {
        let passes = self.left(now) == Some(0);
        if passes {
            self.doubled = (self.doubled + 1).min(7);
        }
        if passes || now.wrapping_sub(self.since).cast_signed() < 0 {
            self.since = now;
        }
        passes
    }

    fn timeout(&self) -> u32 {
        let wait = match self.mean_8 {
            0 => FIRST_MS,
            mean => u32::from(mean / 8 + self.deviation_4).max(MIN_MS),
        };
        (wait << self.doubled).min(MAX_MS)
    }

    /// Learns from a round trip.
    pub fn sample(&mut self, round_trip_ms: u32) {
        // Never 0, which says that there was none; bounded, whatever the clock does.
        let sample = round_trip_ms.clamp(1, MAX_MS) as u16;
        if self.mean_8 == 0 {
            (self.mean_8, self.deviation_4) = (8 * sample, 2 * sample);
            return;
        }
        let mean = self.mean_8 / 8;
        self.mean_8 = (self.mean_8 - mean + sample).max(8);
        self.deviation_4 = self.deviation_4 - self.deviation_4 / 4 + mean.abs_diff(sample);
    }
}

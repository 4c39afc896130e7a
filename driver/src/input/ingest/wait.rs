//! Waiting: for reads, and where a kernel stays on for its jobs too.

use super::{Ingest, IngestError};
use crate::input::engine::unless_passing;
use crate::input::publish::Publish;
use std::time::{Duration, Instant};

/// Looks at what a kernel that stays on has done until the wait begins to sleep between them.
const SPINS: u32 = 200;
/// The first sleep; the next ones are twice as long each, up to the last.
const FIRST_NAP: Duration = Duration::from_micros(20);
const LONGEST_NAP: Duration = Duration::from_millis(1);

impl Ingest {
    /// As [`Ingest::poll`], but waits until as many chunks were published as make a
    /// [`batch`](super::IngestBuilder::batch); fewer, when the caller has to do something first
    /// (nothing is being read, the ring is full, a source has ended, a chunk could not be read), or
    /// when only streams are being read, which may be silent for long.
    ///
    /// It waits for bytes, not for jobs: a caller that neither dispatches what was published nor takes
    /// what has ended ([`Ingest::next`]) gets 0 at once, over and over. Only a kernel that stays on
    /// ([`Persistent`](crate::Persistent)) runs jobs meanwhile; then it waits for either, and serves
    /// the kernel's I/O:
    ///
    /// ```no_run
    /// # use slipring_driver::{Driver, input::Ingest};
    /// # fn read(driver: &mut Driver, ingest: &mut Ingest) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut kernel = driver.persist()?; // opened with DriverBuilder::persistent
    /// while !ingest.is_idle() {
    ///     ingest.wait(&mut kernel)?;
    ///     while let Some(chunk) = ingest.next(&mut kernel) {
    ///         println!("{}: {}", chunk.offset, chunk.end);
    ///     }
    /// }
    /// kernel.stop()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Ingest::poll`], and [`IngestError::Persist`].
    pub fn wait(&mut self, host: &mut impl Publish) -> Result<u32, IngestError> {
        self.wait_for(host, None)
    }

    /// As [`Ingest::wait`], but not for much longer than `timeout`.
    ///
    /// # Errors
    /// As [`Ingest::wait`].
    pub fn wait_timeout(
        &mut self,
        host: &mut impl Publish,
        timeout: Duration,
    ) -> Result<u32, IngestError> {
        self.wait_for(host, Some(timeout))
    }

    fn wait_for(
        &mut self,
        host: &mut impl Publish,
        timeout: Option<Duration>,
    ) -> Result<u32, IngestError> {
        let (ends, start) = (self.ends, Instant::now());
        let (mut published, mut turns) = (0, 0);
        loop {
            published += self.poll(host)?;
            let rest = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
            let stays_on = host.serve()?;
            let runs_jobs = stays_on && self.has_jobs();
            if runs_jobs {
                self.look(host);
            }
            let is_enough = published >= self.batch || (published > 0 && self.file_reads == 0);
            let has_news = !self.over.is_empty() || self.ends != ends;
            let is_stuck = !runs_jobs && (!self.landed.is_empty() || self.engine.in_flight() == 0);
            if is_enough || has_news || is_stuck || rest.is_some_and(|rest| rest.is_zero()) {
                return Ok(published);
            }
            let nap = stays_on.then(|| nap_of(turns));
            self.pause(nap.into_iter().chain(rest).min())?;
            turns += 1;
        }
    }

    /// Whether jobs are to end, or to make room.
    fn has_jobs(&self) -> bool {
        !(self.running.is_empty() && self.landed.is_empty() && self.reader.left.is_empty())
    }

    /// Waits until a read ends, or for so long.
    fn pause(&mut self, longest: Option<Duration>) -> Result<(), IngestError> {
        match longest {
            Some(Duration::ZERO) => std::hint::spin_loop(),
            Some(longest) if self.engine.in_flight() == 0 => std::thread::sleep(longest),
            _ => unless_passing(self.engine.wait(longest))
                .map_err(|source| IngestError::Engine { source })?,
        }
        Ok(())
    }
}

/// The sleep after so many looks.
pub(crate) fn nap_of(turns: u32) -> Duration {
    match turns.checked_sub(SPINS) {
        None => Duration::ZERO,
        Some(naps) => LONGEST_NAP.min(FIRST_NAP * (1 << naps.min(6))),
    }
}

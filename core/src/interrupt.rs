//! Jobs from interrupts: staged where the interrupt finds them, handed on by the main loop.
//!
//! ```text
//!   interrupts ── publish ─▶ Staging  ─┐
//!   one interrupt ─ publish ─▶ Queue  ─┴─ drain_into ─▶ main loop ─▶ link::Sender or Publisher
//! ```
//!
//! | | who may publish | needs | what an interrupt is kept waiting by |
//! |---|---|---|---|
//! | [`Staging`] (feature `critical-section`) | any interrupt, any thread, the main loop | a `critical-section` implementation, which the binary chooses | a copy of 60 bytes |
//! | [`Queue`] | the owner of its [`Producer`] | loads and stores | nothing |
//!
//! Both check the job in the same way and answer with the same errors. Neither waits: where there
//! is no room, [`StageError::Full`] says so. Neither loses a job: what the main loop cannot hand on
//! yet stays at the head.
//!
//! # What it costs
//!
//! `cargo xtask size` runs both on a Cortex-M3 and counts: `stage_publish` and `queue_publish` take
//! at most 250 instructions for a job of twelve arguments, or the check fails. For the instructions
//! with interrupts off, its critical section reads the counter when it begins and when it ends; they
//! are at most 64, whatever the job, since a place is copied whole.

mod queue;
#[cfg(feature = "critical-section")]
mod staging;

pub use queue::{Consumer, Producer, Queue};
#[cfg(feature = "critical-section")]
pub use staging::Staging;

use crate::ring::{Job, PublishError, check_args, check_opcode};
use crate::slot::{Priority, WORDS};

/// Why a job was not staged; nothing was changed but the count of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum StageError {
    /// The job itself is wrong.
    #[error(transparent)]
    Job(#[from] PublishError),
    /// Every place holds a job that the main loop has not handed on.
    #[error("all {capacity} places hold jobs; hand them on more often, or make more places")]
    Full { capacity: u32 },
}

/// The most places.
const MAX_PLACES: usize = 1 << 16;
/// A slot without its status.
const STAGED_WORDS: usize = WORDS - 1;

/// A job that was checked, as the words of its slot.
#[derive(Clone, Copy, Debug)]
struct Staged([u32; STAGED_WORDS]);

impl Staged {
    #[inline(always)]
    fn new(job: &Job<'_>) -> Result<Self, PublishError> {
        check_args(0, job.args.len())?;
        check_opcode(0, job.opcode)?;
        let mut words = [0; STAGED_WORDS];
        let [opcode, tenant, priority, args @ ..] = &mut words;
        (*opcode, *tenant, *priority) = (job.opcode, job.tenant, job.priority.level());
        for (word, arg) in args.iter_mut().zip(job.args) {
            *word = *arg;
        }
        Ok(Self(words))
    }

    /// The job, with the arguments that it did not have as zeros.
    fn job(&self) -> Job<'_> {
        let [opcode, tenant, priority, args @ ..] = &self.0;
        let priority = Priority::from_level(*priority).unwrap_or_default();
        Job::new(*opcode, args).tenant(*tenant).priority(priority)
    }
}

//! Publishing in a ring in memory that host or GPU share.

use crate::error::{SLIPRING_TOO_MANY, slipring_error};
use crate::job::{slipring_job, slipring_slot};
use core::sync::atomic::AtomicU32;
use slipring_core::layout::MAX_SLOTS;
use slipring_core::ring::Ring;
use slipring_core::slot::WORDS;

/// Writes a job to a slot of a ring, the status last: whoever reads PUBLISHED there sees all of it.
/// A slot is free when it is empty, done, or has ended in a fault.
///
/// # Safety
/// `ring` is NULL, or points to `slots` slots that live for the call, and that others write to only
/// as the protocol says; `job` is NULL or points to one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_ring_publish(
    ring: *mut slipring_slot,
    slots: u32,
    slot: u32,
    job: *const slipring_job,
) -> slipring_error {
    if ring.is_null() {
        return slipring_error::null(1);
    }
    // SAFETY: a job, if it is not NULL.
    let Some(job) = (unsafe { job.as_ref() }) else {
        return slipring_error::null(4);
    };
    // No memory is larger.
    let most = MAX_SLOTS.min((isize::MAX as usize / (4 * WORDS)) as u32);
    if slots > most {
        return slipring_error::new(SLIPRING_TOO_MANY, slots, most);
    }
    let words = slots as usize * WORDS;
    // SAFETY: so many words, aligned as slots are, which live for the call and which others may
    // touch, as they may atomics.
    let words = unsafe { core::slice::from_raw_parts(ring.cast::<AtomicU32>(), words) };
    let published = job.job().and_then(|job| {
        Ring::new(words)
            .map_err(slipring_error::from)?
            .publish(slot, &job)
            .map_err(slipring_error::from)
    });
    slipring_error::of(published)
}

//! Publishing from interrupts, both ways.

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

use critical_section::{Impl, RawRestoreState, set_impl};
use slipring_core::interrupt::{Queue, Staging};
use slipring_core::ring::Job;

use crate::{Inputs, keep, keep_result};

static STAGING: Staging<8> = Staging::new();

#[inline(never)]
pub fn calls(inputs: &Inputs<'_>) {
    let [opcode, tenant, limit, _] = inputs.n;
    let job = Job::new(opcode, inputs.args).tenant(tenant).priority(inputs.level);
    let take = |job: &Job<'_>| if job.tenant < limit { Ok(job.tenant) } else { Err(job.opcode) };
    let mut queue = Queue::<16>::default();
    let (mut producer, mut consumer) = queue.split();
    for _ in 0..inputs.len {
        keep_result(STAGING.publish(&job));
        keep_result(STAGING.drain_into(take));
        keep((STAGING.waiting(), STAGING.refused()));
        keep_result(producer.publish(&job));
        keep_result(consumer.drain_into(take));
        keep((consumer.waiting(), consumer.refused()));
    }
    keep(Staging::<1>::default().waiting());
}

/// As much of a critical section as the compiler does not see through.
struct Section;
set_impl!(Section);

static IS_OFF: AtomicBool = AtomicBool::new(false);

// SAFETY: nothing here runs.
unsafe impl Impl for Section {
    unsafe fn acquire() -> RawRestoreState {
        let was_off = IS_OFF.load(Relaxed);
        IS_OFF.store(true, Relaxed);
        was_off
    }

    unsafe fn release(was_off: RawRestoreState) {
        IS_OFF.store(was_off, Relaxed);
    }
}

//! Queues from interrupts.

use critical_section::{Impl, RawRestoreState};
use slipring_core::interrupt::{Queue, SharedQueue};
use slipring_core::ring::Job;

use crate::{Inputs, keep, keep_result};

struct Section;
critical_section::set_impl!(Section);

// SAFETY: nothing runs, so nothing runs meanwhile.
unsafe impl Impl for Section {
    unsafe fn acquire() -> RawRestoreState {
        false
    }

    unsafe fn release(_: RawRestoreState) {}
}

#[inline(never)]
pub fn calls(inputs: &Inputs<'_>) {
    one(&Queue::<1>::new(), inputs);
    one(&Queue::<64>::new(), inputs);
    any(&SharedQueue::<1>::new(), inputs);
    any(&SharedQueue::<64>::new(), inputs);
}

#[inline(never)]
fn one<const N: usize>(queue: &Queue<N>, inputs: &Inputs<'_>) {
    let [opcode, tenant, limit, _] = inputs.n;
    keep_result(
        queue.publish(&Job::new(opcode, inputs.args).tenant(tenant).priority(inputs.level)),
    );
    keep(queue.drain(|job| refuse_beyond(job, limit)));
    keep((queue.len(), queue.is_empty()));
}

#[inline(never)]
fn any<const N: usize>(queue: &SharedQueue<N>, inputs: &Inputs<'_>) {
    let [opcode, tenant, limit, _] = inputs.n;
    keep_result(
        queue.publish(&Job::new(opcode, inputs.args).tenant(tenant).priority(inputs.level)),
    );
    keep(queue.drain(|job| refuse_beyond(job, limit)));
    keep((queue.len(), queue.is_empty()));
}

fn refuse_beyond(job: &Job<'_>, limit: u32) -> Result<(), u32> {
    if job.args.iter().any(|arg| *arg > limit) { Err(limit) } else { Ok(()) }
}

//! The ways to publish.

use slipring_core::packed::Payload;
use slipring_core::partition::Partitions;
use slipring_core::publisher::{Entry, Publisher, Ticket};
use slipring_core::ring::{Job, Ring};
use slipring_core::tenant::TenantTable;
use slipring_core::words::WordMut;

use crate::{Inputs, keep, keep_result};

#[inline(never)]
pub fn calls<W: WordMut>(words: [&[W]; 4], ledger: &mut [Entry], inputs: &Inputs<'_>) {
    let Ok(ring) = Ring::new(words[1]) else {
        return;
    };
    let [slot, opcode, tenant, tag] = inputs.n;
    let job = Job::new(opcode, inputs.args).tenant(tenant).priority(inputs.level);
    keep_result(ring.publish(slot, &job));
    keep_result(ring.publish_items(slot, tenant, inputs.items));
    keep_result(ring.publish_batch(slot, tenant, inputs.batch, tag));
    if let Ok(payload) = Payload::pack(inputs.ops) {
        keep_result(ring.publish(slot, &payload.job()));
    }
    publisher(ring, ledger, &job, inputs);
}

fn publisher<W: WordMut>(
    ring: Ring<'_, W>,
    ledger: &mut [Entry],
    job: &Job<'_>,
    inputs: &Inputs<'_>,
) {
    let [slot, sequence, tenant, tag] = inputs.n;
    let tenants = TenantTable::open(tenant);
    match Publisher::new(ring, ledger, Partitions::even(slot), tenants) {
        Ok(mut publisher) => {
            keep((publisher.partitions().slots(), publisher.tenants().get(tenant).is_ok()));
            keep_result(publisher.set_tenant(tenant, inputs.tenant));
            keep_result(publisher.publish(ring, job));
            let batch = publisher.publish_batch(ring, tenant, inputs.level, inputs.batch, tag);
            keep_result(batch);
            let window = publisher.publish_items(ring, tenant, inputs.level, inputs.items);
            keep_result(window);
            for ticket in window.into_iter().flat_map(|window| window.tickets()) {
                keep(publisher.outcome(ring, ticket));
            }
            for item in inputs.items {
                keep(item.args());
            }
            keep(publisher.outcome(ring, Ticket { slot, sequence }));
            keep((publisher.has_slot(Ticket { slot, sequence }), publisher.next_fault(ring)));
            keep_result(publisher.adopt(ring));
            keep(publisher.in_flight(ring, tenant));
        }
        Err(error) => keep_result(Err::<(), _>(error)),
    }
}

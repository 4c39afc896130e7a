//! Random jobs through the publisher: the GPU's row and the twin's stay the same, dispatch by
//! dispatch, and no job is lost on the way.

mod gpu;

use fastrand::Rng;
use gpu::Checked;
use slipring_core::layout::{Buffer, Geometry};
use slipring_core::opcode::{ATOMIC_ADD, LOAD_U32, NOP, PRINTF, STORE_U32};
use slipring_core::partition::Partitions;
use slipring_core::publisher::{Outcome, Ticket};
use slipring_core::ring::Job;
use slipring_core::slot::Priority;
use slipring_core::tenant::{Tenant, TenantTable};
use slipring_driver::{BackendChoice, Driver, Kernel, LaneOrder, Readback};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

const SLOTS: u32 = 40;
const DISPATCHES: u32 = 400;

fn drivers(choice: BackendChoice) -> [Checked; 2] {
    let geometry = Geometry::new(SLOTS, 8, 6, 2).unwrap();
    let partitions = Partitions::from_sizes([4, 0, 24, 8, 4], SLOTS).unwrap();
    let mut tenants = TenantTable::open(3);
    tenants.set(2, Tenant { quota: 5, ..Tenant::OPEN }).unwrap();
    let builder = Driver::builder(Kernel::builder().build().unwrap(), geometry)
        .partitions(partitions)
        .tenants(tenants)
        .lane_order(LaneOrder::Serial);
    [
        builder.clone().backend(BackendChoice::Twin).open().unwrap().into(),
        gpu::open(builder, choice),
    ]
}

fn words(driver: &Driver) -> Vec<u32> {
    let row = driver.row();
    let words = Buffer::ALL.into_iter().flat_map(|buffer| row.words(buffer));
    words.map(|word| word.load(Relaxed)).collect()
}

/// The same on both drivers, with the same answer.
fn same<T: PartialEq + std::fmt::Debug>(
    drivers: &mut [Checked; 2],
    call: impl Fn(&mut Driver) -> T,
) -> T {
    let [twin, gpu] = drivers.each_mut().map(|driver| call(driver));
    assert_eq!(twin, gpu);
    twin
}

fn publish(rng: &mut Rng, drivers: &mut [Checked; 2], pending: &mut BTreeMap<u32, Ticket>) {
    let opcode = rng.choice([NOP, STORE_U32, ATOMIC_ADD, LOAD_U32, PRINTF, 0x100]).unwrap();
    // Mostly observables; now and then a counter, or a word that is not there.
    let args = [rng.u32(..), rng.u32(155..170), rng.u32(0..4)];
    let tenant = rng.u32(0..4);
    let priority = Priority::ALL[rng.usize(..5)];
    if rng.u8(..) < 40 {
        let items: [(u32, &[u32]); 3] = [(opcode, &args), (NOP, &[]), (ATOMIC_ADD, &[1, 167])];
        let items = &items[..rng.usize(..4)];
        let batch = same(drivers, |driver| driver.publish_batch(tenant, priority, items, 7));
        if let Ok(batch) = batch {
            pending.extend(batch.window.tickets().map(|ticket| (ticket.sequence, ticket)));
        }
    } else {
        let job = Job::new(opcode, &args).tenant(tenant).priority(priority);
        if let Ok(ticket) = same(drivers, |driver| driver.publish(&job)) {
            pending.insert(ticket.sequence, ticket);
        }
    }
}

#[test]
fn random_publishing_does_the_same_on_the_gpu_and_on_the_twin_and_loses_nothing() {
    if gpu::is_skipped() {
        return;
    }
    for choice in gpu::GPU {
        let mut rng = Rng::with_seed(7);
        let mut drivers = drivers(choice);
        let (mut published, mut finished, mut pending) = (0, 0, BTreeMap::new());
        for _ in 0..DISPATCHES {
            for _ in 0..rng.u32(0..30) {
                let before = pending.len();
                publish(&mut rng, &mut drivers, &mut pending);
                published += pending.len() - before;
            }
            let mask = if rng.bool() { u32::MAX } else { 0 };
            let tenant = Tenant { mask, quota: 9, ..Tenant::OPEN };
            same(&mut drivers, |driver| driver.set_tenant(1, tenant)).unwrap();
            // Tenant 0 may have overwritten any mask or the shutdown word's neighbours.
            let readback = if rng.bool() { Readback::all() } else { Readback::observables(0..8) };
            let drained = same(&mut drivers, |driver| {
                let drained = driver.dispatch(&readback).unwrap();
                (drained.done, drained.faults, drained.looked_at, drained.unclaimed)
            });
            let mut ended = 0;
            pending.retain(|_, ticket| {
                let outcome = same(&mut drivers, |driver| driver.outcome(*ticket));
                assert_ne!(outcome, Outcome::Unknown, "{ticket:?}");
                ended += u32::from(outcome != Outcome::Pending);
                outcome == Outcome::Pending
            });
            assert_eq!(ended, drained.0 + drained.1);
            assert_eq!(pending.len() as u32, drained.3);
            finished += ended as usize;
            if readback == Readback::all() {
                assert!(words(&drivers[0]) == words(&drivers[1]), "the rows differ");
            }
        }
        assert_eq!(published, finished + pending.len());
        assert!(finished > 2_000, "{finished} jobs are too few to show anything");
    }
}

//! The driver's contracts, on the GPU and on the twin.

mod gpu;

use gpu::{copy_half, everywhere, on_gpu};
use slipring_core::control::MASK_ALL;
use slipring_core::io_queue::{Completion, IoQueueError};
use slipring_core::layout::{Buffer, Geometry, LayoutError};
use slipring_core::opcode;
use slipring_core::partition::Partitions;
use slipring_core::publisher::{Outcome, PublisherError};
use slipring_core::ring::{Job, WorkItem};
use slipring_core::slot::{Priority, State, fault};
use slipring_core::tenant::{Tenant, TenantTable};
use slipring_driver::open::OpenError;
use slipring_driver::{BackendChoice, Driver, DriverError, Kernel, LaneOrder, Readback};
use std::cell::RefCell;
use std::sync::atomic::Ordering::Relaxed;

fn kernel() -> Kernel {
    Kernel::builder().build().unwrap()
}

fn geometry(slots: u32) -> Geometry {
    Geometry::of_slots(slots, 8).unwrap()
}

fn bytes_of(geometry: Geometry) -> [Vec<u32>; 4] {
    Buffer::ALL.map(|buffer| vec![0; geometry.words(buffer)])
}

fn as_bytes(words: &[Vec<u32>; 4]) -> [&[u8]; 4] {
    words.each_ref().map(|words| bytemuck::cast_slice(words))
}

#[test]
fn r3_adopting_validates_each_of_the_four_buffers() {
    everywhere(Driver::builder(kernel(), geometry(4)), |driver| {
        for (wrong, buffer) in Buffer::ALL.into_iter().enumerate() {
            let mut words = bytes_of(geometry(4));
            words[wrong].push(0);
            let (len, expected) = (words[wrong].len(), geometry(4).words(buffer));
            let error = driver.adopt(&as_bytes(&words)).unwrap_err();
            assert_eq!(error, LayoutError::WrongLength { buffer, words: len, expected });
        }
        let words = bytes_of(geometry(4));
        let three = &as_bytes(&words)[..3];
        assert_eq!(driver.adopt(three), Err(LayoutError::BufferCount { buffers: 3 }));
    });
}

#[test]
fn r5_after_a_dispatch_the_callers_view_is_the_result() {
    everywhere(Driver::builder(kernel(), geometry(4)), |driver| {
        let ticket = driver.publish(&Job::new(opcode::STORE_U32, &[7, 163])).unwrap();
        driver.dispatch(&Readback::observables(3..4)).unwrap();
        assert_eq!(driver.row().ring.state(ticket.slot), Some(State::Done));
        assert_eq!(driver.row().control.observable(3), Ok(7));
    });
}

#[test]
fn r6_a_snapshot_goes_to_caller_storage_and_a_second_one_reuses_it() {
    everywhere(Driver::builder(kernel(), geometry(4)), |driver| {
        let words: usize = Buffer::ALL.iter().map(|&buffer| geometry(4).words(buffer)).sum();
        let mut storage = vec![0xEE; words];
        driver.row().snapshot(&mut storage).unwrap();
        let before = storage.clone();
        driver.publish(&Job::new(opcode::NOP, &[])).unwrap();
        driver.dispatch(&Readback::all()).unwrap();
        driver.row().snapshot(&mut storage).unwrap();
        let done = slipring_core::control::word::DONE_COUNT;
        assert_eq!((before[done], storage[done]), (0, 1));
        assert!(driver.row().snapshot(&mut storage[..words - 1]).is_err());
    });
}

#[test]
fn r7_partitions_of_another_slot_count_are_refused_with_both_counts() {
    let builder = Driver::builder(kernel(), geometry(8)).backend(BackendChoice::Twin);
    let error = builder.partitions(Partitions::single(9)).open().unwrap_err();
    assert_eq!(error, OpenError::Layout(LayoutError::SlotCount { slots: 9, expected: 8 }));
}

#[test]
fn e6_the_byte_path_reports_its_real_bytes_launches_and_sync_points() {
    everywhere(Driver::builder(kernel(), geometry(4)), |driver| {
        let geometry = geometry(4);
        let mut words = bytes_of(geometry);
        words[0][3] = MASK_ALL;
        words[1][..6].copy_from_slice(&[1, opcode::STORE_U32, 0, 2, 9, 161]);
        let mut out = bytes_of(geometry);
        let mut outputs = out.each_mut().map(|words| bytemuck::cast_slice_mut(words));

        let drained = driver.dispatch_bytes(&as_bytes(&words), &mut outputs).unwrap();

        let total: u64 = Buffer::ALL.iter().map(|&buffer| geometry.bytes(buffer)).sum();
        assert_eq!((drained.input_bytes, drained.output_bytes), (total, total));
        assert_eq!((drained.device_allocations, drained.device_allocation_bytes), (0, 0));
        assert_eq!((drained.launches, drained.sync_points), (1, 1));
        assert_eq!((drained.rows, drained.handles, drained.done), (1, 4, 1));
        match driver.backend().backend {
            "mapped" => assert_eq!((drained.uploaded_bytes, drained.readback_bytes), (0, 0)),
            _ => assert_eq!(drained.readback_bytes, total),
        }
        assert_eq!((out[0][161], out[1][0]), (9, 3));
    });
}

#[test]
fn the_byte_path_refuses_wrong_outputs_before_it_takes_anything_in() {
    everywhere(Driver::builder(kernel(), geometry(4)), |driver| {
        let ticket = driver.publish(&Job::new(opcode::NOP, &[])).unwrap();
        let words = bytes_of(geometry(4));
        let mut short = bytes_of(geometry(3));
        let mut outputs = short.each_mut().map(|words| bytemuck::cast_slice_mut(words));
        let error = driver.dispatch_bytes(&as_bytes(&words), &mut outputs).unwrap_err();
        let (buffer, words, expected) = (Buffer::Ring, 48, 64);
        assert_eq!(
            error,
            DriverError::Layout(LayoutError::WrongLength { buffer, words, expected })
        );
        driver.dispatch(&Readback::none()).unwrap();
        assert_eq!(driver.outcome(ticket), Outcome::Done);
    });
}

#[test]
fn upload_and_lanes_follow_the_published_slots_and_not_the_ring() {
    let costs = RefCell::new(Vec::new());
    for slots in [64, 4_096, 262_144] {
        on_gpu(Driver::builder(kernel(), geometry(slots)), |driver| {
            for index in 0..64 {
                driver.publish(&Job::new(opcode::ATOMIC_ADD, &[index, 160])).unwrap();
            }
            let drained = driver.dispatch(&Readback::none()).unwrap();
            println!(
                "{slots:>7} slots, 64 published: {} bytes up, {} bytes down, {} lanes, {} launches",
                drained.uploaded_bytes, drained.readback_bytes, drained.lanes, drained.launches
            );
            assert_eq!((drained.done, drained.lanes, drained.launches), (64, 64, 1));
            costs.borrow_mut().push((driver.backend().backend, drained));
        });
    }
    for (backend, drained) in costs.take() {
        // Slots, the work list, one run's parameters, and once the 160 control words.
        let copied = 64 * 64 + 64 * 4 + 256 + 160 * 4;
        let uploaded = if backend == "portable" { copied } else { 0 };
        assert_eq!(drained.uploaded_bytes, uploaded, "{backend}");
    }
}

#[test]
fn k4_shutdown_stops_claiming_and_says_how_many_slots_it_left() {
    everywhere(Driver::builder(kernel(), geometry(4)), |driver| {
        driver.set_shutdown(true);
        let ticket = driver.publish(&Job::new(opcode::NOP, &[])).unwrap();
        let drained = driver.dispatch(&Readback::none()).unwrap();
        assert_eq!((drained.done, drained.unclaimed), (0, 1));
        assert_eq!(driver.outcome(ticket), Outcome::Pending);

        driver.set_shutdown(false);
        let drained = driver.dispatch(&Readback::none()).unwrap();
        assert_eq!((drained.done, drained.unclaimed), (1, 0));
        assert_eq!(driver.outcome(ticket), Outcome::Done);
    });
}

#[test]
fn a_paused_tenant_waits_within_its_quota_and_goes_on_when_it_is_open_again() {
    let tenants = TenantTable::open(2);
    everywhere(Driver::builder(kernel(), geometry(8)).tenants(tenants), |driver| {
        let paused = Tenant { mask: 0, quota: 2, ..Tenant::OPEN };
        driver.set_tenant(1, paused).unwrap();
        let nop = Job::new(opcode::NOP, &[]).tenant(1);
        let tickets = [driver.publish(&nop).unwrap(), driver.publish(&nop).unwrap()];
        let quota = PublisherError::Quota { tenant: 1, in_flight: 2, asked: 1, quota: 2 };
        assert_eq!(driver.publish(&nop), Err(quota));
        assert_eq!(driver.dispatch(&Readback::none()).unwrap().unclaimed, 2);

        driver.set_tenant(1, Tenant::OPEN).unwrap();
        assert_eq!(driver.dispatch(&Readback::none()).unwrap().done, 2);
        assert_eq!(tickets.map(|ticket| driver.outcome(ticket)), [Outcome::Done; 2]);
        assert_eq!(driver.in_flight(1), 0);
    });
}

#[test]
fn levels_run_in_order_and_a_fence_after_its_batch() {
    let partitions = Partitions::from_sizes([2, 0, 6, 0, 2], 10).unwrap();
    everywhere(Driver::builder(kernel(), geometry(10)).partitions(partitions), |driver| {
        let set = |value, priority| (value, priority);
        // Published from idle to critical; the last one to run is the idle one.
        for (value, priority) in
            [set(30, Priority::Idle), set(20, Priority::Normal), set(10, Priority::Critical)]
        {
            let args = [value, 161];
            driver.publish(&Job::new(opcode::STORE_U32, &args).priority(priority)).unwrap();
        }
        let items: [(u32, &[u32]); 2] =
            [(opcode::ATOMIC_ADD, &[1, 162]), (opcode::ATOMIC_ADD, &[2, 162])];
        let batch = driver.publish_batch(0, Priority::Normal, &items, 0xFACE).unwrap();
        driver.dispatch(&Readback::observables(0..8)).unwrap();
        let control = driver.row().control;
        assert_eq!([0, 1, 2].map(|index| control.observable(index).unwrap()), [0xFACE, 30, 3]);
        assert_eq!(control.epoch(), Ok(1));
        assert_eq!(driver.outcome(batch.fence), Outcome::Done);
    });
}

#[test]
fn a_load_miss_waits_for_its_host_and_a_prefetch_does_not() {
    everywhere(Driver::builder(kernel(), geometry(4)), |driver| {
        let miss = driver.publish(&Job::new(opcode::LOAD_MISS, &[7, 0, 512, 1, 64, 3])).unwrap();
        let lost = driver.publish(&Job::new(opcode::LOAD_MISS, &[8])).unwrap();
        let prefetch = driver.publish(&Job::new(opcode::LOAD_MISS, &[9, 1])).unwrap();
        let drained = driver.dispatch(&Readback::none().with_io_queue()).unwrap();
        assert_eq!((drained.done, drained.waiting_io), (1, 2));
        assert_eq!(driver.outcome(prefetch), Outcome::Done);

        let requests = driver.claim_io();
        assert_eq!(requests.len(), 3);
        let request = requests.iter().find(|request| request.source == 7).unwrap();
        assert_eq!((request.offset, request.bytes), (512 + (1 << 32), 64));
        assert_eq!((request.destination, request.tag), (3, miss.slot));
        let failed = Completion::Error { errno: 5 };
        let completions: Vec<_> = requests
            .iter()
            .map(|request| match request.source {
                7 => (request.slot, Completion::Ok { bytes: 64 }),
                _ => (request.slot, failed),
            })
            .collect();
        driver.complete_io(&completions).unwrap();
        assert_eq!(driver.prefetch_failures(), 1);

        let drained = driver.dispatch(&Readback::none().with_io_queue()).unwrap();
        assert_eq!((drained.done, drained.faults, drained.looked_at), (1, 1, 2));
        assert_eq!(driver.outcome(miss), Outcome::Done);
        assert_eq!(driver.outcome(lost), Outcome::Fault(fault::IO));
        assert!(driver.claim_io().is_empty());
        let queue = driver.row().io_queue;
        assert!((0..queue.slots()).all(|slot| queue.status(slot) == Some(0)));
    });
}

#[test]
fn faults_are_listed_once_and_their_slots_are_used_again() {
    everywhere(Driver::builder(kernel(), geometry(1)), |driver| {
        let ticket = driver.publish(&Job::new(opcode::STORE_U32, &[1, u32::MAX])).unwrap();
        assert_eq!(driver.dispatch(&Readback::none()).unwrap().faults, 1);
        let nop = Job::new(opcode::NOP, &[]);
        assert!(matches!(
            driver.publish(&nop),
            Err(PublisherError::Full { unread_faults: 1, in_flight: 0, .. })
        ));
        let fault = driver.next_fault().unwrap();
        assert_eq!((fault.ticket, fault.code), (ticket, fault::RANGE));
        assert_eq!(driver.next_fault(), None);
        driver.publish(&nop).unwrap();
    });
}

#[test]
fn the_debug_log_is_read_and_emptied_and_counts_what_it_lost() {
    let geometry = Geometry::new(4, 0, 2, 1).unwrap();
    everywhere(Driver::builder(kernel(), geometry), |driver| {
        for format in 1..=3 {
            driver.publish(&Job::new(opcode::PRINTF, &[format, 5, 6])).unwrap();
        }
        driver.dispatch(&Readback::none().with_debug_log()).unwrap();
        let log = driver.row().debug_log.read::<4>(0).unwrap();
        assert_eq!((log.records.len(), log.lost, log.records[0].args), (2, 1, [5, 6]));

        driver.clear_debug_log();
        driver.publish(&Job::new(opcode::PRINTF, &[9])).unwrap();
        driver.dispatch(&Readback::none().with_debug_log()).unwrap();
        let log = driver.row().debug_log.read::<4>(0).unwrap();
        assert_eq!((log.records.len(), log.lost, log.records[0].format), (1, 0, 9));
    });
}

#[test]
fn the_workspace_is_written_read_and_bounded() {
    everywhere(Driver::builder(kernel(), geometry(4)).workspace_words(300), |driver| {
        driver.write_workspace(290, &[1, 2, 3]).unwrap();
        // A table of one state; its row for byte 34 is word 291.
        driver.publish(&Job::new(opcode::DFA_STEP, &[0, 34, 257, 2])).unwrap();
        driver.dispatch(&Readback::observables(2..3)).unwrap();
        assert_eq!(driver.row().control.observable(2), Ok(2));
        let mut words = [0; 3];
        driver.read_workspace(290, &mut words).unwrap();
        assert_eq!(words, [1, 2, 3]);
        let range = DriverError::WorkspaceRange { first: 299, end: 301, words: 300 };
        assert_eq!(driver.write_workspace(299, &[0; 2]), Err(range.clone()));
        assert_eq!(driver.read_workspace(299, &mut words[..2]), Err(range));
    });
}

#[test]
fn k3_hostile_jobs_fault_and_the_others_go_on() {
    everywhere(Driver::builder(kernel(), geometry(16)), |driver| {
        let good = |index: u32| [7, 160 + index];
        let hostile: [(u32, &[u32], u8); 6] = [
            (opcode::STORE_U32, &[1, u32::MAX], fault::RANGE),
            (opcode::ATOMIC_ADD, &[1, 168], fault::RANGE),
            (opcode::MEMCPY, &[160, u32::MAX, 2], fault::RANGE),
            (opcode::MEMCPY, &[160, 161, 4097], fault::LIMIT),
            (opcode::DFA_STEP, &[u32::MAX, 255, u32::MAX, 0], fault::RANGE),
            (0x100, &[], fault::OPCODE),
        ];
        let mut tickets = Vec::new();
        for (index, (opcode, args, code)) in (0..).zip(hostile) {
            tickets.push((driver.publish(&Job::new(opcode, args)).unwrap(), Outcome::Fault(code)));
            let good = driver.publish(&Job::new(opcode::STORE_U32, &good(index))).unwrap();
            tickets.push((good, Outcome::Done));
        }
        let drained = driver.dispatch(&Readback::all()).unwrap();
        assert_eq!((drained.done, drained.faults), (6, 6));
        for (ticket, outcome) in tickets {
            assert_eq!(driver.outcome(ticket), outcome);
        }
        let row = driver.row();
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(|i| row.control.observable(i).unwrap()), {
            [7, 7, 7, 7, 7, 7, 0, 0]
        });
        assert_eq!(row.control.faults(), Ok(6));
    });
}

#[test]
fn work_items_are_published_side_by_side_and_run() {
    everywhere(Driver::builder(kernel(), geometry(100)), |driver| {
        let item = |input| WorkItem { opcode: opcode::ATOMIC_ADD, input, output: 160, param: 0 };
        let items: Vec<WorkItem> = (1..=100).map(item).collect();
        let window = driver.publish_items(0, Priority::Normal, &items).unwrap();
        let drained = driver.dispatch(&Readback::observables(0..1)).unwrap();
        assert_eq!((drained.done, drained.launches), (100, 1));
        assert_eq!(driver.row().control.observable(0), Ok(5050));
        assert!(window.tickets().all(|ticket| driver.outcome(ticket) == Outcome::Done));
    });
}

#[test]
fn an_observable_that_the_host_writes_is_seen_by_the_next_dispatch() {
    everywhere(Driver::builder(kernel(), geometry(4)), |driver| {
        driver.set_observable(2, 40).unwrap();
        driver.publish(&Job::new(opcode::ATOMIC_ADD, &[2, 162])).unwrap();
        driver.dispatch(&Readback::observables(2..3)).unwrap();
        assert_eq!(driver.row().control.observable(2), Ok(42));
        assert!(driver.set_observable(8, 1).is_err());
    });
}

#[test]
fn the_whole_ring_comes_home_where_it_is_asked_for() {
    everywhere(Driver::builder(kernel(), geometry(64)), |driver| {
        driver.publish(&Job::new(opcode::NOP, &[])).unwrap();
        let none = driver.dispatch(&Readback::none()).unwrap();
        let ring = driver.dispatch(&Readback::none().with_ring()).unwrap();
        let expected = match driver.backend().backend {
            "mapped" => [0, 0],
            _ => [4 * 160 + 64, 4 * 160 + 64 * 64],
        };
        assert_eq!([none, ring].map(|drained| drained.readback_bytes), expected);
    });
}

/// llvmpipe, which ends loops, gets a serial drain in runs of three slots.
#[test]
fn a_drain_of_more_runs_than_one_submission_holds_loses_none() {
    let builder = Driver::builder(kernel(), geometry(4000)).lane_order(LaneOrder::Serial);
    everywhere(builder, |driver| {
        let add = WorkItem { opcode: opcode::ATOMIC_ADD, input: 1, output: 160, param: 0 };
        for _ in 0..2 {
            driver.publish_items(0, Priority::Normal, &[add; 4000]).unwrap();
            let drained = driver.dispatch(&Readback::observables(0..1)).unwrap();
            assert_eq!(drained.done, 4000);
        }
        assert_eq!(driver.row().control.observable(0), Ok(8000));
    });
}

/// In a ring so large, llvmpipe gets the fences in several runs.
#[test]
fn fences_that_cover_one_another_all_end_in_one_drain() {
    everywhere(Driver::builder(kernel(), geometry(65_536)), |driver| {
        let fence =
            |tag| WorkItem { opcode: opcode::BATCH_FENCE, input: 400, output: tag, param: 0 };
        let fences: Vec<WorkItem> = (1..=300).map(fence).collect();
        driver.publish_items(0, Priority::Normal, &fences).unwrap();
        let drained = driver.dispatch(&Readback::observables(0..1)).unwrap();
        assert_eq!((drained.done, drained.unclaimed), (300, 0));
        let control = driver.row().control;
        assert_eq!((control.epoch(), control.observable(0)), (Ok(300), Ok(300)));
    });
}

#[test]
fn an_adopted_slot_that_waits_for_no_request_ends_when_its_io_slot_is_taken() {
    let geometry = Geometry::new(2, 0, 1, 1).unwrap();
    everywhere(Driver::builder(kernel(), geometry), |driver| {
        let mut words = bytes_of(geometry);
        words[0][3] = MASK_ALL;
        words[1][0] = 4; // WAIT_IO for IO slot 0, which is free
        driver.adopt(&as_bytes(&words)).unwrap();
        assert_eq!(driver.dispatch(&Readback::none()).unwrap().waiting_io, 1);
        driver.publish(&Job::new(opcode::LOAD_MISS, &[1])).unwrap();
        driver.dispatch(&Readback::none()).unwrap();
        driver.dispatch(&Readback::none()).unwrap();
        assert_eq!(
            driver.next_fault().map(|fault| (fault.ticket.slot, fault.code)),
            Some((0, fault::IO))
        );
    });
}

#[test]
fn observables_that_the_row_does_not_have_are_refused_before_anything_runs() {
    everywhere(Driver::builder(kernel(), geometry(4)), |driver| {
        let ticket = driver.publish(&Job::new(opcode::NOP, &[])).unwrap();
        let error = driver.dispatch(&Readback::observables(7..9)).unwrap_err();
        let range = DriverError::ObservableRange { first: 7, end: 9, observables: 8 };
        assert_eq!(error, range);
        assert_eq!(driver.outcome(ticket), Outcome::Pending);
        assert!(driver.set_observable(8, 1).is_err());
    });
}

#[test]
fn i_o_that_ends_between_adopting_and_dispatching_finishes_each_slot_once() {
    let geometry = Geometry::new(2, 0, 1, 2).unwrap();
    everywhere(Driver::builder(kernel(), geometry), |driver| {
        let mut words = bytes_of(geometry);
        words[0][3] = MASK_ALL;
        for slot in [0, 1] {
            words[1][16 * slot..][..2]
                .copy_from_slice(&[4 | (slot as u32) << 8, opcode::LOAD_MISS]);
            words[3][8 * slot..][..8].copy_from_slice(&[1, 7, 0, 0, 0, 64, 1, slot as u32]);
        }
        driver.adopt(&as_bytes(&words)).unwrap();
        let requests = driver.claim_io();
        let done = |slot| (slot, Completion::Ok { bytes: 64 });
        driver.complete_io(&[done(requests[0].slot), done(requests[1].slot)]).unwrap();
        let drained = driver.dispatch(&Readback::all()).unwrap();
        assert_eq!((drained.looked_at, drained.done, drained.waiting_io), (2, 2, 0));
        assert_eq!(driver.row().control.done_count(), Ok(2));
    });
}

#[test]
fn an_adopted_io_slot_that_nobody_waits_for_can_be_freed() {
    let geometry = Geometry::new(2, 0, 1, 1).unwrap();
    everywhere(Driver::builder(kernel(), geometry), |driver| {
        let mut words = bytes_of(geometry);
        words[0][3] = MASK_ALL;
        words[3] = vec![1, 7, 0, 0, 0, 64, 0x10, u32::MAX];
        driver.adopt(&as_bytes(&words)).unwrap();
        driver.publish(&Job::new(opcode::LOAD_MISS, &[1])).unwrap();
        assert_eq!(driver.dispatch(&Readback::none()).unwrap().unclaimed, 1);

        driver.release_io(0).unwrap();
        assert_eq!(driver.dispatch(&Readback::none()).unwrap().waiting_io, 1);
        let error = IoQueueError::NotEnded { slot: 0, status: 1 };
        assert_eq!(driver.release_io(0), Err(error));
        assert_eq!(driver.release_io(1), Err(IoQueueError::SlotRange { slot: 1, slots: 1 }));
        let request = driver.claim_io()[0];
        driver.complete_io(&[(0, Completion::Ok { bytes: request.bytes })]).unwrap();
        let waited = IoQueueError::Waited { slot: 0, tag: request.tag };
        assert_eq!(driver.release_io(0), Err(waited));
        assert_eq!(driver.dispatch(&Readback::none()).unwrap().done, 1);
    });
}

#[test]
fn jobs_that_overwrite_the_counters_do_not_change_what_a_dispatch_reports() {
    everywhere(Driver::builder(kernel(), geometry(4)), |driver| {
        driver.publish(&Job::new(opcode::STORE_U32, &[1_000, 1])).unwrap();
        let drained = driver.dispatch(&Readback::none()).unwrap();
        assert_eq!((drained.done, drained.faults), (1, 0));
        assert_eq!(driver.row().control.done_count(), Ok(1_001));
    });
}

#[test]
fn r2_reset_encodes_the_resident_row_anew() {
    let partitions = Partitions::even(10);
    everywhere(Driver::builder(kernel(), geometry(10)).partitions(partitions), |driver| {
        driver.set_shutdown(true);
        let job = Job::new(opcode::PRINTF, &[1]);
        let ticket = driver.publish(&job).unwrap();
        driver.dispatch(&Readback::all()).unwrap();
        assert!(driver.reset().is_err(), "a slot is still in flight");
        driver.set_shutdown(false);
        driver.dispatch(&Readback::all()).unwrap();

        driver.reset().unwrap();
        assert_eq!(driver.outcome(ticket), Outcome::Unknown);
        driver.dispatch(&Readback::all()).unwrap();
        let row = driver.row();
        assert_eq!(row.control.partitions(10), Ok(partitions));
        assert_eq!((row.control.done_count(), row.control.shutdown()), (Ok(0), Ok(0)));
        let zero = |buffer| row.words(buffer).iter().all(|word| word.load(Relaxed) == 0);
        assert!([Buffer::Ring, Buffer::DebugLog, Buffer::IoQueue].into_iter().all(zero));
        driver.publish(&job).unwrap();
        assert_eq!(driver.dispatch(&Readback::none()).unwrap().done, 1);
    });
}

/// Whoever shares the workspace with passes of their own sees them in the order of the calls.
#[test]
fn the_workspace_is_what_passes_of_the_users_own_have_left() {
    const WORDS: usize = 1 << 20;
    let builder = Driver::builder(kernel(), geometry(4)).workspace_words(2 * WORDS);
    on_gpu(builder, |driver| {
        for round in 1..20 {
            driver.write_workspace(0, &vec![round; WORDS]).unwrap();
            copy_half(driver.gpu().unwrap(), driver.workspace().unwrap());
            // The pass does not see this.
            driver.write_workspace(WORDS - 1, &[0]).unwrap();
            let mut word = [0];
            driver.read_workspace(2 * WORDS - 1, &mut word).unwrap();
            assert_eq!(word, [round]);
        }
    });
}

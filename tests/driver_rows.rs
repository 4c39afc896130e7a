//! Many rows on one device.

mod gpu;

use slipring_core::layout::{Buffer, Geometry};
use slipring_core::opcode;
use slipring_core::publisher::Outcome;
use slipring_core::ring::Job;
use slipring_core::slot::Priority;
use slipring_core::tenant::TenantTable;
use slipring_driver::recovery::{Losses, Stage};
use slipring_driver::{
    BackendChoice, Driver, DriverBuilder, DriverError, Kernel, LaneOrder, Readback, Recovery,
    RowResults, dispatch_rows,
};
use std::time::Duration;

fn geometry(slots: u32) -> Geometry {
    Geometry::of_slots(slots, 8).unwrap()
}

fn builder() -> DriverBuilder {
    Driver::builder(Kernel::builder().build().unwrap(), geometry(64))
}

/// Opens a row for each of `slots`, all on one device.
fn rows(builder: DriverBuilder, choice: BackendChoice, slots: &[u32]) -> Vec<gpu::Checked> {
    let first = match choice {
        BackendChoice::Twin => builder.backend(choice).open().unwrap().into(),
        choice => gpu::open(builder, choice),
    };
    let mut rows = vec![first];
    for &slots in slots {
        let row = rows[0].another_row(geometry(slots)).open().unwrap();
        rows.push(row.into());
    }
    rows
}

fn backends() -> &'static [BackendChoice] {
    match gpu::is_skipped() {
        true => &[BackendChoice::Twin],
        false => &[BackendChoice::Twin, BackendChoice::Mapped, BackendChoice::Portable],
    }
}

fn drivers(rows: &mut [gpu::Checked]) -> Vec<&mut Driver> {
    rows.iter_mut().map(|row| &mut **row).collect()
}

fn publish(row: &mut Driver, job: &Job<'_>, jobs: u32) {
    for _ in 0..jobs {
        row.publish(job).unwrap();
    }
}

const ADD: Job<'static> = Job { args: &[1, 160], ..Job::new(opcode::ATOMIC_ADD, &[]) };

#[test]
fn e4_rows_are_one_submission_with_results_in_row_order() {
    for &choice in backends() {
        let mut rows = rows(builder(), choice, &[256, 16]);
        for (row, jobs) in rows.iter_mut().zip([3, 200, 16]) {
            publish(row, &ADD, jobs);
        }
        let mut results = RowResults::default();
        let readback = Readback::observables(0..1);
        dispatch_rows(&mut drivers(&mut rows), &readback, &mut results).unwrap();
        let done: Vec<_> = results.rows().iter().map(|row| row.done).collect();
        assert_eq!(done, [3, 200, 16]);
        assert!(results.rows().iter().all(|row| (row.rows, row.handles) == (1, 4)));
        let total = results.total();
        assert_eq!((total.rows, total.handles, total.done), (3, 12, 219));
        assert_eq!((total.launches, total.sync_points, total.input_bytes), (3, 1, 0));
        let sums = rows.iter().map(|row| row.row().control.observable(0).unwrap());
        assert_eq!(sums.collect::<Vec<_>>(), [3, 200, 16]);
        // Nothing of it is left for the next.
        dispatch_rows(&mut drivers(&mut rows), &readback, &mut results).unwrap();
        assert_eq!((results.total().done, results.total().looked_at), (0, 0));
    }
}

#[test]
fn e5_cleared_results_show_nothing() {
    let mut rows = rows(builder(), BackendChoice::Twin, &[16]);
    let mut results = RowResults::with_capacity(2);
    dispatch_rows(&mut drivers(&mut rows), &Readback::none(), &mut results).unwrap();
    assert_eq!(results.rows().len(), 2);
    results.clear();
    assert!(results.rows().is_empty());
    assert_eq!(results.total().rows, 0);
    // No rows are no submission.
    dispatch_rows::<Driver>(&mut [], &Readback::none(), &mut results).unwrap();
    assert_eq!(results.total().sync_points, 0);
}

#[test]
fn a_row_of_another_device_is_refused_by_its_index_and_nothing_runs() {
    for &choice in backends() {
        let mut mine = rows(builder(), choice, &[16]);
        let mut other = rows(builder(), choice, &[]);
        let ticket = mine[0].publish(&ADD).unwrap();
        let mut all = drivers(&mut mine);
        all.extend(drivers(&mut other));
        let mut results = RowResults::default();
        let refused = dispatch_rows(&mut all, &Readback::none(), &mut results).unwrap_err();
        assert_eq!(refused, DriverError::ForeignRow { row: 2 });
        assert_eq!(mine[0].outcome(ticket), Outcome::Pending);
        assert_eq!(mine[0].dispatch(&Readback::none()).unwrap().done, 1);
    }
}

#[test]
fn a_readback_that_one_row_does_not_have_runs_none() {
    let mut rows = rows(builder(), BackendChoice::Twin, &[]);
    let small = rows[0].another_row(Geometry::of_slots(16, 2).unwrap()).open().unwrap();
    rows.push(small.into());
    rows[0].publish(&ADD).unwrap();
    let readback = Readback::observables(0..8);
    let mut results = RowResults::default();
    let refused = dispatch_rows(&mut drivers(&mut rows), &readback, &mut results).unwrap_err();
    assert_eq!(refused, DriverError::ObservableRange { first: 0, end: 8, observables: 2 });
    assert_eq!(rows[0].dispatch(&Readback::none()).unwrap().done, 1);
}

#[test]
fn each_row_has_its_own_tenants_partitions_and_workspace() {
    for &choice in backends() {
        let mut rows = rows(builder().workspace_words(8), choice, &[]);
        let builder = rows[0].another_row(geometry(20)).tenants(TenantTable::open(2));
        let builder = builder.partitions(slipring_core::partition::Partitions::even(20));
        rows.push(builder.workspace_words(16).open().unwrap().into());
        assert!(rows[0].publish(&ADD.tenant(1)).is_err());
        rows[1].publish(&ADD.tenant(1).priority(Priority::Critical)).unwrap();
        rows[0].write_workspace(7, &[1]).unwrap();
        rows[1].write_workspace(7, &[2]).unwrap();
        assert!(rows[0].write_workspace(8, &[1]).is_err());
        let mut results = RowResults::default();
        dispatch_rows(&mut drivers(&mut rows), &Readback::none(), &mut results).unwrap();
        for (row, expected) in rows.iter_mut().zip([1, 2]) {
            let mut word = [0];
            row.read_workspace(7, &mut word).unwrap();
            assert_eq!(word, [expected]);
        }
        assert_eq!(results.rows().iter().map(|row| row.done).collect::<Vec<_>>(), [0, 1]);
    }
}

#[test]
fn rows_are_driven_by_threads_of_their_own_while_others_come_and_go() {
    const TURNS: u32 = 200;
    for &choice in backends() {
        let rows = rows(builder(), choice, &[16, 64]);
        let spare = rows[0].another_row(geometry(16));
        std::thread::scope(|scope| {
            for mut row in rows {
                scope.spawn(move || {
                    for turn in 1..=TURNS {
                        publish(&mut row, &ADD, 3);
                        let drained = row.dispatch(&Readback::observables(0..1)).unwrap();
                        assert_eq!(drained.done, 3);
                        assert_eq!(row.row().control.observable(0), Ok(3 * turn));
                    }
                });
            }
            for _ in 0..10 {
                let mut guest = spare.clone().open().unwrap();
                guest.publish(&ADD).unwrap();
                assert_eq!(guest.dispatch(&Readback::none()).unwrap().done, 1);
            }
        });
    }
    gpu::assert_no_messages();
}

#[test]
fn a_row_that_goes_does_not_wait_for_the_drains_of_others() {
    if gpu::is_skipped() {
        return;
    }
    for choice in gpu::GPU {
        let mut rows = rows(gpu::long_work(), choice, &[16]);
        let mut gone = rows.pop().unwrap();
        gone.publish(&ADD).unwrap();
        assert_eq!(gone.dispatch(&Readback::none()).unwrap().done, 1);
        let is_cpu = rows[0].backend().is_cpu;
        let mut long = rows[0].overlapped(&Readback::none()).unwrap();
        for _ in 0..gpu::LONG_SLOTS {
            long.publish(&gpu::LONG_JOB).unwrap();
        }
        let ticket = long.dispatch().unwrap();
        drop(gone);
        let is_running = long.poll(ticket).unwrap().is_none();
        assert!(is_running || !is_cpu, "the row that went has waited for this one's drain");
        if is_running {
            assert_eq!(long.wait(ticket).unwrap().done, gpu::LONG_SLOTS);
        }
    }
}

#[test]
fn a_buffer_outlives_its_row_in_passes_of_the_users_own() {
    if gpu::is_skipped() {
        return;
    }
    for choice in gpu::GPU {
        let mut rows = rows(builder(), choice, &[64]);
        let mut gone = rows.pop().unwrap();
        gone.publish(&Job::new(opcode::STORE_U32, &[42, 160])).unwrap();
        gone.dispatch(&Readback::none()).unwrap();
        let control = gone.buffer(Buffer::Control).unwrap().clone();
        drop(gone);
        let gpu = rows[0].gpu().unwrap();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mine = rows[0].buffer(Buffer::Control).unwrap();
        encoder.copy_buffer_to_buffer(&control, 160 * 4, mine, 161 * 4, 4);
        drop(control);
        gpu.submit([encoder.finish()]).unwrap();
        rows[0].dispatch(&Readback::observables(0..2)).unwrap();
        assert_eq!(rows[0].row().control.observable(1), Ok(42));
    }
}

#[test]
fn e7_rows_whose_device_is_lost_go_on_together_on_one_device() {
    for &choice in backends() {
        for stage in [Stage::Start, Stage::Submit, Stage::Finish] {
            let losses = Losses::default();
            let builder = builder().recovery(Recovery::default()).losses(losses.clone());
            let mut rows = rows(builder, choice, &[16, 128]);
            let mut results = RowResults::default();
            for round in 1..4 {
                for row in &mut rows {
                    row.publish(&ADD).unwrap();
                }
                if round == 2 {
                    losses.lose_at(stage);
                }
                let readback = Readback::observables(0..1);
                dispatch_rows(&mut drivers(&mut rows), &readback, &mut results).unwrap();
                assert_eq!(results.total().done, 3, "{choice:?}, {stage:?}, round {round}");
                let sums = rows.iter().map(|row| row.row().control.observable(0).unwrap());
                assert_eq!(sums.collect::<Vec<_>>(), [round; 3]);
                assert_eq!(results.total().sync_points, 1);
            }
        }
    }
}

const QUICK: Recovery = Recovery {
    attempts: 1,
    first_wait: Duration::ZERO,
    longest_wait: Duration::ZERO,
    keep_workspace: true,
};

#[test]
fn e7_rows_of_which_one_has_no_device_any_more_get_one_together() {
    for &choice in backends() {
        let losses = Losses::default();
        let mut rows = rows(builder().recovery(QUICK).losses(losses.clone()), choice, &[16]);
        rows[0].publish(&ADD).unwrap();
        rows[1].publish(&ADD).unwrap();
        losses.lose_at(Stage::Start);
        losses.lose_at(Stage::Open);
        let error = rows[0].dispatch(&Readback::none()).unwrap_err();
        assert!(matches!(error, DriverError::NotRecovered { attempts: 1, .. }), "{error}");
        // The second row, which knows nothing of it, comes first.
        rows.reverse();
        let mut results = RowResults::default();
        dispatch_rows(&mut drivers(&mut rows), &Readback::none(), &mut results).unwrap();
        assert_eq!((results.total().done, results.total().sync_points), (2, 1));
    }
}

#[test]
fn e7_a_row_that_does_not_recover_is_left_behind_by_one_that_does() {
    for &choice in backends() {
        let losses = Losses::default();
        let mut rows = rows(builder().losses(losses.clone()), choice, &[]);
        let recovering = rows[0].another_row(geometry(16)).recovery(QUICK).open().unwrap();
        rows.push(recovering.into());
        rows[0].publish(&ADD).unwrap();
        losses.lose_at(Stage::Start);
        assert_eq!(rows[1].dispatch(&Readback::none()).unwrap().recovered, 1);
        let mut results = RowResults::default();
        let refused = dispatch_rows(&mut drivers(&mut rows), &Readback::none(), &mut results);
        assert_eq!(refused, Err(DriverError::ForeignRow { row: 1 }));
        // (Its own device was lost in name only.)
        assert_eq!(rows[0].dispatch(&Readback::none()).unwrap().done, 1);
    }
}

#[test]
fn e7_a_row_recovers_from_two_losses_that_it_has_not_seen() {
    for &choice in backends() {
        let losses = Losses::default();
        let mut rows = rows(builder().recovery(QUICK).losses(losses.clone()), choice, &[16]);
        rows[1].publish(&ADD).unwrap();
        losses.lose_at(Stage::Start);
        assert_eq!(rows[0].dispatch(&Readback::none()).unwrap().recovered, 1);
        // The next device is lost when the second row is opened on it.
        losses.lose_at(Stage::OpenRow);
        assert_eq!(rows[1].dispatch(&Readback::none()).unwrap().done, 1);
        let mut results = RowResults::default();
        dispatch_rows(&mut drivers(&mut rows), &Readback::none(), &mut results).unwrap();
    }
}

#[test]
fn e7_the_next_device_is_opened_as_the_first_one_was() {
    for &choice in backends() {
        let losses = Losses::default();
        let builder = builder().lane_order(LaneOrder::Serial).recovery(QUICK);
        let mut rows = rows(builder.losses(losses.clone()), choice, &[]);
        // A row cannot choose the order of its lanes.
        let other = rows[0].another_row(geometry(64)).lane_order(LaneOrder::Parallel);
        rows.push(other.open().unwrap().into());
        let lanes = |row: &mut Driver| {
            publish(row, &ADD, 10);
            row.dispatch(&Readback::none()).unwrap().lanes
        };
        let before = lanes(&mut rows[0]);
        losses.lose_at(Stage::Finish);
        assert_eq!(lanes(&mut rows[1]), before);
        assert_eq!(lanes(&mut rows[0]), before);
    }
}

#[test]
fn e7_a_row_is_added_to_a_device_that_is_lost() {
    for &choice in backends() {
        let losses = Losses::default();
        let mut rows = rows(builder().recovery(QUICK).losses(losses.clone()), choice, &[]);
        losses.lose_at(Stage::OpenRow);
        let another = rows[0].another_row(geometry(16)).open().unwrap();
        rows.push(another.into());
        for row in &mut rows {
            row.publish(&ADD).unwrap();
        }
        let mut results = RowResults::default();
        dispatch_rows(&mut drivers(&mut rows), &Readback::none(), &mut results).unwrap();
        assert_eq!((results.total().done, results.total().sync_points), (2, 1));
    }
}

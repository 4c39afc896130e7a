//! Rows in memory of the caller's.

mod gpu;

use slipring_core::layout::{Buffer, Geometry};
use slipring_core::opcode;
use slipring_core::publisher::Outcome;
use slipring_core::ring::Job;
use slipring_driver::recovery::{Losses, Stage};
use slipring_driver::storage::{ALIGNMENT_BYTES, Pages, words_for};
use slipring_driver::{
    BackendChoice, Driver, DriverBuilder, DriverError, Kernel, OpenError, Readback, Recovery,
};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const GEOMETRY: Geometry = match Geometry::of_slots(300, 8) {
    Ok(geometry) => geometry,
    Err(_) => panic!("300 slots are few enough"),
};
const WORDS: usize = words_for(GEOMETRY);

static PAGES: Pages<WORDS> = Pages::new();
static OTHERS: Pages<{ WORDS + 64 }> = Pages::new();
/// Tests run side by side, and the pages are one row's at a time.
static ALONE: Mutex<()> = Mutex::new(());

const ADD: Job<'static> = Job { args: &[1, 160], ..Job::new(opcode::ATOMIC_ADD, &[]) };

fn builder() -> DriverBuilder {
    Driver::builder(Kernel::builder().build().unwrap(), GEOMETRY)
}

fn contains(storage: &[AtomicU32], words: &[AtomicU32]) -> bool {
    let (storage, words) = (storage.as_ptr_range(), words.as_ptr_range());
    storage.start <= words.start && words.end <= storage.end
}

fn is_within(driver: &Driver, storage: &[AtomicU32]) -> bool {
    Buffer::ALL.into_iter().all(|buffer| contains(storage, driver.row().words(buffer)))
}

/// Publishes and drains, and looks at the results in the row.
fn works(driver: &mut Driver, so_far: u32) {
    let tickets: Vec<_> = (0..300).map(|_| driver.publish(&ADD).unwrap()).collect();
    driver.dispatch(&Readback::observables(0..1)).unwrap();
    assert!(tickets.into_iter().all(|ticket| driver.outcome(ticket) == Outcome::Done));
    assert_eq!(driver.row().control.observable(0), Ok(so_far + 300));
}

#[test]
fn a_static_is_the_row_on_every_backend() {
    let _alone = ALONE.lock();
    gpu::everywhere(builder().storage(PAGES.words()), |driver| {
        assert!(is_within(driver, PAGES.words()));
        works(driver, 0);
        let control = driver.row().words(Buffer::Control).as_ptr();
        works(driver, 300);
        assert_eq!(driver.row().words(Buffer::Control).as_ptr(), control);
        // The result lies in the static itself: the control buffer is its first.
        assert_eq!(PAGES.words()[160].load(Ordering::Relaxed), 600);
    });
}

#[test]
fn a_row_in_a_static_is_as_good_as_any_to_the_users_own_passes() {
    let _alone = ALONE.lock();
    gpu::on_gpu(builder().storage(PAGES.words()), |driver| {
        works(driver, 0);
        let (gpu, control) = (driver.gpu().unwrap(), driver.buffer(Buffer::Control).unwrap());
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        encoder.clear_buffer(control, 160 * 4, Some(4));
        gpu.submit([encoder.finish()]).unwrap();
        works(driver, 0);
    });
}

#[test]
fn storage_that_does_not_fit_is_refused_with_the_numbers() {
    let _alone = ALONE.lock();
    PAGES.words()[0].store(7, Ordering::Relaxed);
    let open = |words| builder().backend(BackendChoice::Twin).storage(words).open().map(drop);
    let short = &PAGES.words()[..WORDS - 1];
    let expected = OpenError::Storage { words: WORDS - 1, needed: WORDS, misaligned: 0 };
    assert_eq!(open(short), Err(expected));
    let crooked = &OTHERS.words()[3..];
    let expected = OpenError::Storage { words: WORDS + 61, needed: WORDS, misaligned: 12 };
    assert_eq!(open(crooked), Err(expected));
    assert_eq!(PAGES.words()[0].load(Ordering::Relaxed), 7);
    assert_eq!(PAGES.words().as_ptr().addr() % ALIGNMENT_BYTES, 0);
}

#[test]
fn storage_is_one_rows_at_a_time() {
    let _alone = ALONE.lock();
    gpu::everywhere(builder().storage(PAGES.words()), |driver| {
        let ticket = driver.publish(&ADD).unwrap();
        let taken = OpenError::StorageTaken { words: WORDS };
        let open = |builder: DriverBuilder| builder.storage(PAGES.words()).open().map(drop);
        assert_eq!(open(builder().backend(BackendChoice::Twin)), Err(taken.clone()));
        assert_eq!(open(driver.another_row(GEOMETRY)), Err(taken));
        driver.dispatch(&Readback::none()).unwrap();
        assert_eq!(driver.outcome(ticket), Outcome::Done);
    });
    // And the next one's.
    builder().backend(BackendChoice::Twin).storage(PAGES.words()).open().unwrap();
}

#[test]
fn storage_is_not_given_to_another_row_while_a_pass_may_still_use_it() {
    let _alone = ALONE.lock();
    if gpu::is_skipped() {
        return;
    }
    let mut first = gpu::open(builder(), BackendChoice::Mapped);
    let mut row = first.another_row(GEOMETRY).storage(PAGES.words()).open().unwrap();
    works(&mut row, 0);
    let control = row.buffer(Buffer::Control).unwrap().clone();
    drop(row);
    let open = || first.another_row(GEOMETRY).storage(PAGES.words()).open();
    assert_eq!(open().map(drop), Err(OpenError::StorageTaken { words: WORDS }));
    drop(control);
    let mut row = open().unwrap();
    works(&mut row, 0);
    drop(row);
    works(&mut first, 0);
}

#[test]
fn e7_a_row_in_a_static_keeps_its_addresses_when_its_device_is_lost() {
    let _alone = ALONE.lock();
    for stage in [Stage::Start, Stage::Finish] {
        let losses = Losses::default();
        let builder = builder().storage(PAGES.words()).recovery(Recovery::default());
        gpu::everywhere(builder.losses(losses.clone()), |driver| {
            works(driver, 0);
            losses.lose_at(stage);
            works(driver, 300);
            assert!(is_within(driver, PAGES.words()));
            works(driver, 600);
        });
    }
}

#[test]
fn a_row_moves_into_storage_and_out_of_it_as_it_is() {
    let _alone = ALONE.lock();
    let losses = Losses::default();
    let builder = builder().workspace_words(8).recovery(Recovery::default());
    gpu::everywhere(builder.losses(losses.clone()), |driver| {
        driver.write_workspace(3, &[5]).unwrap();
        works(driver, 0);
        let ticket = driver.publish(&ADD).unwrap();
        driver.rebind(Some(PAGES.words())).unwrap();
        assert!(is_within(driver, PAGES.words()));
        driver.dispatch(&Readback::observables(0..1)).unwrap();
        assert_eq!(driver.outcome(ticket), Outcome::Done);
        works(driver, 301);

        let refused = driver.rebind(Some(&OTHERS.words()[1..])).unwrap_err();
        let expected = OpenError::Storage { words: WORDS + 63, needed: WORDS, misaligned: 4 };
        assert_eq!(refused, DriverError::Open(Box::new(expected)));
        driver.rebind(Some(OTHERS.words())).unwrap();
        losses.lose_at(Stage::Finish);
        works(driver, 601);
        assert!(is_within(driver, OTHERS.words()));
        // Where it is already.
        let taken = DriverError::Open(Box::new(OpenError::StorageTaken { words: WORDS }));
        assert_eq!(driver.rebind(Some(OTHERS.words())), Err(taken));
        driver.rebind(None).unwrap();
        assert!(!is_within(driver, OTHERS.words()));
        works(driver, 901);
        let mut word = [0];
        driver.read_workspace(3, &mut word).unwrap();
        assert_eq!(word, [5]);
    });
}

/// On the copying backends, the host's row lags behind the device's.
#[test]
fn a_row_that_moves_takes_along_what_was_not_read_back() {
    gpu::everywhere(builder(), |driver| {
        driver.publish(&ADD).unwrap();
        driver.dispatch(&Readback::none()).unwrap();
        let waiting = driver.publish(&ADD).unwrap();
        driver.rebind(None).unwrap();
        assert_eq!(driver.row().control.observable(0), Ok(1));
        assert_eq!(driver.outcome(waiting), Outcome::Pending);
        assert_eq!(driver.dispatch(&Readback::observables(0..1)).unwrap().done, 1);
        assert_eq!(driver.row().control.observable(0), Ok(2));
    });
}

/// A device that is given up may be busy still, with the memory that the next one is to have.
#[test]
fn e7_a_slow_device_is_done_with_a_static_before_the_next_one_has_it() {
    let _alone = ALONE.lock();
    if gpu::is_skipped() {
        return;
    }
    let mut busy = gpu::open(gpu::long_work(), BackendChoice::Mapped);
    let row = busy.another_row(GEOMETRY).storage(PAGES.words());
    let row = row.timeout(Duration::from_millis(50)).recovery(Recovery::default());
    let mut row = gpu::Checked::from(row.open().unwrap());
    let is_cpu = busy.backend().is_cpu;
    let mut long = busy.overlapped(&Readback::none()).unwrap();
    (0..gpu::LONG_SLOTS).for_each(|_| assert!(long.publish(&gpu::LONG_JOB).is_ok()));
    let dispatch = long.dispatch().unwrap();
    row.publish(&ADD).unwrap();
    let drained = row.dispatch(&Readback::none()).unwrap();
    assert_eq!(drained.done, 1);
    assert!(drained.recovered == 1 || !is_cpu, "the other row's work came first");
    assert_eq!(row.row().control.observable(0), Ok(1));
    // Nobody dispatches these, in the slots of the job before and others.
    let tickets: Vec<_> = (0..300).map(|_| row.publish(&ADD).unwrap()).collect();
    // When the first device's row says that it is lost, its drain has long ended.
    let _ = long.wait(dispatch);
    assert!(tickets.into_iter().all(|ticket| row.outcome(ticket) == Outcome::Pending));
    assert_eq!(row.row().control.observable(0), Ok(1));
}

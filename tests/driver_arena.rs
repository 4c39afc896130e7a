//! The arena, on the GPU and on the twin.

mod gpu;

use gpu::{copy_half, everywhere, on_gpu};
use slipring_core::layout::Geometry;
use slipring_core::publisher::Outcome;
use slipring_core::ring::Job;
use slipring_core::twin::{Call, HANDLER_OK};
use slipring_driver::open::{MAX_WORKSPACE_WORDS, OpenError};
use slipring_driver::recovery::{Losses, Recovery, Stage};
use slipring_driver::storage::{Pages, words_for};
use slipring_driver::{
    ArenaOptions, BackendChoice, Driver, DriverBuilder, DriverError, Handler, Kernel, Readback,
};
use std::sync::atomic::AtomicU32;

const GEOMETRY: Geometry = match Geometry::of_slots(16, 8) {
    Ok(geometry) => geometry,
    Err(_) => panic!("16 slots are few enough"),
};
static PAGES: Pages<{ words_for(GEOMETRY) }> = Pages::new();

/// Two chunks: 2048 words.
const ARENA: ArenaOptions = ArenaOptions { chunks: 2, chunk_bytes: 4096 };
const WORDS: usize = 2048;

/// Arguments: how many words, from where in the arena, to where in the workspace. Copies them, puts
/// their bitwise complements in their place, and tells their sum in observable 0 and the arena's
/// length in observable 1. Faults with 64 and the number of words that it could not store.
const COPY: u32 = 0x100;

fn builder() -> DriverBuilder {
    let source = "fn copy(job: Job) -> u32 {
        var sum = 0u;
        var missed = 0u;
        for (var i = 0u; i < min(arg(job, 0u), 64u); i++) {
            let word = arena_load(arg(job, 1u) + i);
            sum += word;
            if !arena_store(arg(job, 1u) + i, ~word) { missed += 1u; }
            if !workspace_store(arg(job, 2u) + i, word) { missed += 1u; }
        }
        observe(0u, sum);
        observe(1u, arena_len());
        return select(fault(64u + missed), HANDLER_OK, missed == 0u);
    }";
    let handler = Handler::wgsl(COPY, "copy", "copy.wgsl", source).iterations(64);
    let kernel = Kernel::builder().handler(handler.on_cpu(copy)).build().unwrap();
    Driver::builder(kernel, GEOMETRY).workspace_words(64)
}

fn copy(call: &Call<'_, AtomicU32>) -> u32 {
    let (mut sum, mut missed) = (0u32, 0);
    for i in 0..call.arg(0).min(64) {
        let from = call.arg(1).wrapping_add(i);
        let word = call.arena_load(from);
        sum = sum.wrapping_add(word);
        missed += u32::from(!call.arena_store(from, !word));
        missed += u32::from(!call.workspace_store(call.arg(2).wrapping_add(i), word));
    }
    call.observe(0, sum);
    call.observe(1, call.arena_len());
    if missed == 0 { HANDLER_OK } else { call.fault(64 + missed) }
}

/// Publishes a job, drains it, and says how it ended, with observables 0 and 1.
fn run(driver: &mut Driver, args: &[u32]) -> (Outcome, [u32; 2]) {
    let ticket = driver.publish(&Job::new(COPY, args)).unwrap();
    driver.dispatch(&Readback::observables(0..2)).unwrap();
    let outcome = driver.outcome(ticket);
    (outcome, [0, 1].map(|index| driver.row().control.observable(index).unwrap()))
}

fn arena_words<const N: usize>(driver: &mut Driver, first: usize) -> [u32; N] {
    let mut words = [0; N];
    driver.read_arena(first, &mut words).unwrap();
    words
}

#[test]
fn a_handler_reads_and_writes_what_the_host_sees_of_the_arena() {
    everywhere(builder().arena(ARENA), |driver| {
        driver.write_arena(1023, &[5, 6]).unwrap();
        let (outcome, observed) = run(driver, &[4, 1022, 8]);
        assert_eq!((outcome, observed), (Outcome::Done, [11, WORDS as u32]));
        assert_eq!(arena_words(driver, 1021), [0, !0, !5, !6, !0, 0]);
        let mut copied = [1; 5];
        driver.read_workspace(8, &mut copied).unwrap();
        assert_eq!(copied, [0, 5, 6, 0, 0]);
        // What handlers wrote is there for the next ones.
        let (outcome, observed) = run(driver, &[2, 1023, 0]);
        assert_eq!((outcome, observed[0]), (Outcome::Done, (!5u32).wrapping_add(!6)));
        assert_eq!(arena_words(driver, 1023), [5, 6]);
    });
}

#[test]
fn a_handler_sees_nothing_past_the_arena() {
    everywhere(builder().arena(ARENA), |driver| {
        driver.write_arena(WORDS - 1, &[9]).unwrap();
        let (outcome, observed) = run(driver, &[3, WORDS as u32 - 1, 0]);
        assert_eq!((outcome, observed[0]), (Outcome::Fault(66), 9));
        assert_eq!(arena_words(driver, WORDS - 1), [!9]);
        // Indices wrap: the third word is the first one.
        let (outcome, observed) = run(driver, &[3, u32::MAX - 1, 0]);
        assert_eq!((outcome, observed[0]), (Outcome::Fault(66), 0));
        assert_eq!(arena_words(driver, 0), [!0, 0]);
    });
}

#[test]
fn the_host_reaches_nothing_past_the_arena() {
    everywhere(builder().arena(ARENA), |driver| {
        let range = DriverError::ArenaRange { first: 2047, end: 2049, words: WORDS };
        assert_eq!(driver.write_arena(2047, &[1; 2]), Err(range.clone()));
        assert_eq!(driver.read_arena(2047, &mut [0; 2]), Err(range));
        let end = usize::MAX;
        let range = DriverError::ArenaRange { first: end, end, words: WORDS };
        assert_eq!(driver.read_arena(end, &mut [0; 2]), Err(range));
        assert_eq!(arena_words(driver, 2047), [0]);
        driver.write_arena(WORDS, &[]).unwrap();
    });
}

#[test]
fn a_row_without_an_arena_has_one_word_of_it() {
    everywhere(builder(), |driver| {
        driver.write_arena(0, &[7]).unwrap();
        assert_eq!(run(driver, &[1, 0, 0]), (Outcome::Done, [7, 1]));
        assert_eq!(arena_words(driver, 0), [!7]);
        let range = DriverError::ArenaRange { first: 1, end: 2, words: 1 };
        assert_eq!(driver.write_arena(1, &[1]), Err(range));
    });
}

#[test]
fn each_row_has_an_arena_of_its_own() {
    everywhere(builder().arena(ARENA), |driver| {
        let small = ArenaOptions { chunks: 1, ..ARENA };
        let another = driver.another_row(GEOMETRY).workspace_words(64).arena(small);
        let mut another = another.open().unwrap();
        driver.write_arena(1, &[7]).unwrap();
        another.write_arena(1, &[8]).unwrap();
        assert_eq!(run(driver, &[1, 1, 0]), (Outcome::Done, [7, 2048]));
        assert_eq!(run(&mut another, &[1, 1, 0]), (Outcome::Done, [8, 1024]));
    });
}

#[test]
fn a_row_that_moves_takes_its_arena_along() {
    // More words than are copied at once.
    let large = ArenaOptions { chunks: 3, chunk_bytes: 3 << 20 };
    everywhere(builder().arena(large), |driver| {
        let last = 9 * (1 << 18) - 1;
        driver.write_arena(last, &[7]).unwrap();
        driver.write_arena(1 << 20, &[8]).unwrap();
        for storage in [Some(&PAGES.words()[..]), None] {
            driver.rebind(storage).unwrap();
            assert_eq!(arena_words(driver, last), [7]);
            assert_eq!(arena_words(driver, (1 << 20) - 1), [0, 8]);
        }
        assert_eq!(run(driver, &[1, last as u32, 0]).1, [7, last as u32 + 1]);
    });
}

/// Whoever shares the arena with passes of their own sees them in the order of the calls.
#[test]
fn the_arena_is_what_passes_of_the_users_own_have_left() {
    on_gpu(builder().arena(ARENA), |driver| {
        for round in 1..20 {
            driver.write_arena(0, &[round; WORDS / 2]).unwrap();
            copy_half(driver.gpu().unwrap(), driver.arena().unwrap());
            // The pass does not see this.
            driver.write_arena(WORDS / 2 - 1, &[0]).unwrap();
            assert_eq!(arena_words(driver, WORDS - 1), [round]);
        }
    });
}

#[test]
fn an_arena_says_what_is_wrong_with_its_size() {
    let open = |chunks, chunk_bytes| {
        let builder = builder().arena(ArenaOptions { chunks, chunk_bytes });
        builder.backend(BackendChoice::Twin).open().map(drop)
    };
    for chunk_bytes in [0, 1, 4095, 4097, 6144, (1 << 30) + 4096, u32::MAX] {
        assert_eq!(open(1, chunk_bytes), Err(OpenError::ArenaChunkBytes { chunk_bytes }));
    }
    for chunks in [0, 65_537, u32::MAX] {
        assert_eq!(open(chunks, 4096), Err(OpenError::ArenaChunks { chunks }));
    }
    // 16 GiB, which is one word more than can be counted.
    let words = MAX_WORKSPACE_WORDS as u64 + 1;
    for (chunks, chunk_bytes) in [(16, 1 << 30), (65_536, 1 << 18)] {
        assert_eq!(open(chunks, chunk_bytes), Err(OpenError::Arena { words }));
    }
    assert_eq!(open(2, 8192), Ok(()));
    let error = open(1, 6144).unwrap_err().to_string();
    assert_eq!(
        error,
        "arena chunks of 6144 bytes; a multiple of 4096 up to 1073741824 is possible"
    );
}

#[test]
fn what_the_host_has_written_outlives_a_device() {
    let losses = Losses::default();
    let recovering = builder().arena(ARENA).recovery(Recovery::default()).losses(losses.clone());
    on_gpu(recovering, |driver| {
        driver.write_arena(5, &[7, 8]).unwrap();
        // Before it has run: what the job writes there would be there the second time.
        losses.lose_at(Stage::Start);
        let ticket = driver.publish(&Job::new(COPY, &[2, 5, 0])).unwrap();
        let drained = driver.dispatch(&Readback::all()).unwrap();
        assert_eq!((drained.recovered, driver.outcome(ticket)), (1, Outcome::Done));
        assert_eq!(driver.row().control.observable(0), Ok(15));
    });
}

//! Jobs staged by interrupts (here: threads) and handed on by a main loop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use slipring_core::interrupt::{Queue, StageError, Staging};
use slipring_core::opcode;
use slipring_core::ring::{Job, PublishError};
use slipring_core::slot::Priority;

/// Twelve arguments, all of which say who made the job and which of theirs it is.
fn args(producer: u32, number: u32) -> [u32; 12] {
    [producer << 24 | number; 12]
}

/// Who made the job, and which of theirs it is; a torn job fails.
fn maker(job: &Job<'_>) -> (u32, u32) {
    let first = job.args[0];
    assert_eq!(job.args, [first; 12]);
    assert_eq!((job.opcode, job.tenant), (0x100 + (first >> 24), first >> 24));
    (first >> 24, first & 0xFF_FFFF)
}

/// Takes the job of this argument and no other one.
fn only(number: u32) -> impl FnMut(&Job<'_>) -> Result<(), u32> {
    move |job| if job.args[0] == number { Ok(()) } else { Err(job.args[0]) }
}

/// A main loop's target that refuses every third job the first time it sees it.
#[derive(Default)]
struct Fussy {
    offers: u32,
    next: BTreeMap<u32, u32>,
}

impl Fussy {
    fn take(&mut self, job: &Job<'_>) -> Result<(), u32> {
        let (producer, number) = maker(job);
        self.offers += 1;
        if self.offers.is_multiple_of(3) {
            return Err(number);
        }
        let next = self.next.entry(producer).or_default();
        assert_eq!(number, *next, "of producer {producer}");
        *next += 1;
        Ok(())
    }
}

#[test]
fn a_staged_job_is_handed_on_as_it_was() {
    let staging = Staging::<2>::new();
    let job = Job::new(opcode::ATOMIC_ADD, &[3, 160]).tenant(2).priority(Priority::High);
    staging.publish(&job).unwrap();
    let taken = staging.drain_into(|job| {
        assert_eq!((job.opcode, job.tenant), (opcode::ATOMIC_ADD, 2));
        assert_eq!(job.priority, Priority::High);
        assert_eq!(job.args, [3, 160, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        Ok::<_, ()>(())
    });
    assert_eq!((taken, staging.waiting()), (Ok(1), 0));
}

#[test]
fn wrong_jobs_are_refused_before_a_full_stage() {
    let staging = Staging::<1>::new();
    staging.publish(&Job::new(opcode::NOP, &[])).unwrap();
    let refused = Err(StageError::Job(PublishError::TooManyArgs { item: 0, args: 13 }));
    assert_eq!(staging.publish(&Job::new(0xFFF0, &[0; 13])), refused);
    let refused = Err(StageError::Job(PublishError::Opcode { item: 0, opcode: 0xFFF0 }));
    assert_eq!(staging.publish(&Job::new(0xFFF0, &[0; 12])), refused);
    assert_eq!((staging.waiting(), staging.refused()), (1, 0));
}

#[test]
fn a_full_stage_says_so_counts_and_keeps_what_it_has() {
    let staging = Staging::<4>::new();
    for number in 0..4 {
        staging.publish(&Job::new(opcode::NOP, &[number])).unwrap();
    }
    for _ in 0..3 {
        let refused = staging.publish(&Job::new(opcode::NOP, &[9]));
        assert_eq!(refused, Err(StageError::Full { capacity: 4 }));
    }
    assert_eq!((staging.waiting(), staging.refused()), (4, 3));
    for number in 0..4 {
        assert_eq!(
            staging.drain_into(only(number)),
            if number < 3 { Err(number + 1) } else { Ok(1) }
        );
    }
}

#[test]
fn a_job_that_is_not_taken_stays_the_oldest() {
    let staging = Staging::<4>::new();
    for number in 0..3 {
        staging.publish(&Job::new(opcode::NOP, &[number])).unwrap();
    }
    let until = |limit| move |job: &Job<'_>| if job.args[0] < limit { Ok(()) } else { Err(limit) };
    assert_eq!(staging.drain_into(until(1)), Err(1));
    assert_eq!((staging.drain_into(until(1)), staging.waiting()), (Err(1), 2));
    assert_eq!((staging.drain_into(until(3)), staging.waiting()), (Ok(2), 0));
}

#[test]
fn an_interrupt_may_stage_while_the_main_loop_hands_on() {
    let staging = Staging::<2>::new();
    staging.publish(&Job::new(opcode::NOP, &[0])).unwrap();
    let mut seen = Vec::new();
    let taken = staging.drain_into(|job| {
        seen.push(job.args[0]);
        // The place of the job that is being handed on is not free yet.
        staging.publish(&Job::new(opcode::NOP, &[job.args[0] + 1])).unwrap();
        let refused = staging.publish(&Job::new(opcode::NOP, &[99]));
        assert_eq!(refused, Err(StageError::Full { capacity: 2 }));
        Ok::<_, ()>(())
    });
    // A drain is bounded, whatever comes in meanwhile.
    assert_eq!((taken, staging.waiting(), seen), (Ok(2), 1, vec![0, 1]));
}

#[test]
fn a_second_drain_at_the_same_time_takes_nothing() {
    let staging = Staging::<2>::new();
    staging.publish(&Job::new(opcode::NOP, &[])).unwrap();
    let taken = staging.drain_into(|_| {
        assert_eq!(staging.drain_into(|_| Ok::<_, ()>(())), Ok(0));
        Ok::<_, ()>(())
    });
    assert_eq!(taken, Ok(1));
    staging.publish(&Job::new(opcode::NOP, &[])).unwrap();
    assert_eq!(staging.drain_into(|_| Ok::<_, ()>(())), Ok(1));
}

#[test]
fn many_producers_lose_double_and_tear_nothing() {
    const PRODUCERS: u32 = 4;
    const JOBS: u32 = 20_000;
    static STAGING: Staging<8> = Staging::new();
    let full = AtomicU32::new(0);
    let mut target = Fussy::default();
    thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let full = &full;
            scope.spawn(move || {
                for number in 0..JOBS {
                    let args = args(producer, number);
                    let job = Job::new(0x100 + producer, &args).tenant(producer);
                    while let Err(error) = STAGING.publish(&job) {
                        assert_eq!(error, StageError::Full { capacity: 8 });
                        full.fetch_add(1, Ordering::Relaxed);
                        thread::yield_now();
                    }
                }
            });
        }
        while target.next.values().sum::<u32>() < PRODUCERS * JOBS {
            // A refusal leaves the job for the next turn.
            let _ = STAGING.drain_into(|job| target.take(job));
        }
    });
    assert_eq!(target.next.into_values().collect::<Vec<_>>(), [JOBS; PRODUCERS as usize]);
    assert_eq!((STAGING.waiting(), STAGING.refused()), (0, full.into_inner()));
}

#[test]
fn two_drains_share_the_jobs() {
    const JOBS: u32 = 10_000;
    static STAGING: Staging<4> = Staging::new();
    let taken = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while taken.load(Ordering::Relaxed) < JOBS {
                    let _ = STAGING.drain_into(|job| {
                        // In order, and each once, whoever takes it.
                        let expected = taken.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(maker(job), (0, expected));
                        Ok::<_, ()>(())
                    });
                }
            });
        }
        for number in 0..JOBS {
            let args = args(0, number);
            while STAGING.publish(&Job::new(0x100, &args)).is_err() {
                thread::yield_now();
            }
        }
    });
    assert_eq!(taken.into_inner(), JOBS);
}

#[test]
fn a_queue_refuses_as_a_stage_does() {
    let mut queue = Queue::<2>::new();
    let (mut producer, mut consumer) = queue.split();
    for number in 0..2 {
        producer.publish(&Job::new(opcode::NOP, &[number]).tenant(3)).unwrap();
    }
    let refused = Err(StageError::Job(PublishError::TooManyArgs { item: 0, args: 13 }));
    assert_eq!(producer.publish(&Job::new(0xFFF0, &[0; 13])), refused);
    let refused = Err(StageError::Job(PublishError::Opcode { item: 0, opcode: 0xFFF0 }));
    assert_eq!(producer.publish(&Job::new(0xFFF0, &[])), refused);
    let refused = Err(StageError::Full { capacity: 2 });
    assert_eq!(producer.publish(&Job::new(opcode::NOP, &[9])), refused);
    assert_eq!((consumer.waiting(), consumer.refused()), (2, 1));
    assert_eq!(consumer.drain_into(|job| Err::<(), _>(job.tenant)), Err(3));
    assert_eq!(consumer.drain_into(only(0)), Err(1));
    assert_eq!((consumer.drain_into(only(1)), consumer.waiting()), (Ok(1), 0));
}

#[test]
fn a_queue_loses_doubles_and_tears_nothing() {
    const JOBS: u32 = 50_000;
    let mut queue = Queue::<8>::new();
    let (mut producer, mut consumer) = queue.split();
    let mut target = Fussy::default();
    let full = thread::scope(|scope| {
        let interrupt = scope.spawn(move || {
            let mut full = 0;
            for number in 0..JOBS {
                let args = args(5, number);
                while producer.publish(&Job::new(0x105, &args).tenant(5)).is_err() {
                    full += 1;
                    thread::yield_now();
                }
            }
            full
        });
        while target.next.get(&5) != Some(&JOBS) {
            let _ = consumer.drain_into(|job| target.take(job));
        }
        interrupt.join().unwrap()
    });
    assert_eq!((consumer.waiting(), consumer.refused()), (0, full));
}

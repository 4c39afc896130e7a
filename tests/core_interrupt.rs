//! Queues from interrupts to the main loop: nothing is lost, doubled or torn, and what is refused
//! changes nothing.

use slipring_core::interrupt::{Queue, QueueError, SharedQueue};
use slipring_core::opcode;
use slipring_core::ring::{Job, PublishError};
use slipring_core::slot::Priority;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

type Publish<'a> = dyn Fn(&Job<'_>) -> Result<(), QueueError> + 'a;

/// Words of a job that follow from its number and its producer's.
fn args(producer: u32, number: u32) -> [u32; 12] {
    std::array::from_fn(|i| match i {
        0 => producer,
        1 => number,
        i => number.wrapping_mul(0x9E37_79B9).rotate_left(i as u32) ^ producer,
    })
}

/// Takes all jobs, and tells the first argument of each.
fn firsts<const N: usize>(queue: &Queue<N>) -> Vec<u32> {
    let mut all = Vec::new();
    let Ok(()) = queue.drain(|job| {
        all.push(job.args[0]);
        Ok::<_, Infallible>(())
    });
    all
}

#[test]
fn jobs_come_whole_with_zeros_behind_their_arguments() {
    let queue = Queue::<4>::new();
    let all = args(3, 4);
    for len in 0..=12 {
        let job = Job::new(0x100 + len as u32, &all[..len]).tenant(28).priority(Priority::Idle);
        queue.publish(&job).unwrap();
        let mut padded = [0; 12];
        padded[..len].copy_from_slice(&all[..len]);
        let mut count = 0;
        let Ok(()) = queue.drain(|taken| {
            count += 1;
            assert_eq!(*taken, Job { args: &padded, ..job });
            Ok::<_, Infallible>(())
        });
        assert_eq!((count, queue.len()), (1, 0));
    }
}

#[test]
fn a_full_queue_and_wrong_jobs_are_refused_with_their_numbers() {
    let (queue, shared) = (Queue::<4>::new(), SharedQueue::<4>::new());
    let publishes: [&Publish<'_>; 2] = [&|job| queue.publish(job), &|job| shared.publish(job)];
    for publish in publishes {
        let too_many = PublishError::TooManyArgs { item: 0, args: 13 };
        assert_eq!(publish(&Job::new(opcode::NOP, &[0; 13])), Err(QueueError::Job(too_many)));
        let reserved = PublishError::Opcode { item: 0, opcode: 0xFFF5 };
        assert_eq!(publish(&Job::new(0xFFF5, &[])), Err(QueueError::Job(reserved)));
        (0..4).for_each(|i| publish(&Job::new(0x100, &[i])).unwrap());
        let full = publish(&Job::new(0x100, &[4])).unwrap_err();
        assert_eq!(full, QueueError::Full { capacity: 4 });
        assert_eq!(full.to_string(), "the queue is full: it holds 4 jobs");
    }
    assert_eq!((queue.len(), shared.len()), (4, 4));
    assert_eq!(firsts(&queue), [0, 1, 2, 3]);
}

#[test]
fn a_job_that_is_refused_is_the_next_again() {
    let queue = Queue::<4>::new();
    (0..4).for_each(|i| queue.publish(&Job::new(0x100, &[i])).unwrap());
    let mut taken = Vec::new();
    for room in 0..3 {
        let refused = queue.drain(|job| {
            if taken.len() == room {
                return Err(job.args[0]);
            }
            taken.push(job.args[0]);
            Ok(())
        });
        assert_eq!(refused, Err(room as u32));
    }
    queue.publish(&Job::new(0x100, &[4])).unwrap();
    assert_eq!((taken, firsts(&queue)), (vec![0, 1], vec![2, 3, 4]));
}

#[test]
fn who_hands_jobs_on_may_publish_but_not_drain() {
    let queue = Queue::<2>::new();
    queue.publish(&Job::new(0x100, &[0])).unwrap();
    let mut all = Vec::new();
    let Ok(()) = queue.drain(|job| {
        all.push(job.args[0]);
        assert_eq!(firsts(&queue), []);
        if job.args[0] < 100 {
            queue.publish(&Job::new(0x100, &[job.args[0] + 1])).unwrap();
        }
        Ok::<_, Infallible>(())
    });
    assert!(all.into_iter().eq(0..=100));
}

/// Has producers publish from threads, and takes what comes: each producer's in its order, whole.
fn pass<const N: usize>(
    producers: u32,
    publish: impl Fn(&Job<'_>) -> Result<(), QueueError> + Sync,
    drain: impl Fn(&mut dyn FnMut(&Job<'_>) -> Result<(), u32>) -> Result<(), u32>,
) {
    const JOBS: u32 = 50_000;
    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for producer in 0..producers {
            let (publish, stopped) = (&publish, &stopped);
            scope.spawn(move || {
                for number in 0..JOBS {
                    let args = args(producer, number);
                    let job = Job::new(0x100 + producer, &args).tenant(producer);
                    while let Err(error) = publish(&job) {
                        assert_eq!(error, QueueError::Full { capacity: N });
                        assert!(!stopped.load(Ordering::Relaxed));
                        std::thread::yield_now();
                    }
                }
            });
        }
        // Should the checks below fail, producers are not to wait for ever.
        let _stop = Stop(&stopped);
        let (mut next, mut turn) = (vec![0; producers as usize], 0u32);
        while next.iter().any(|next| *next < JOBS) {
            let result = drain(&mut |job| {
                turn = turn.wrapping_add(1);
                if turn.is_multiple_of(7) {
                    return Err(turn);
                }
                let (producer, number) = (job.args[0], job.args[1]);
                assert_eq!((job.tenant, job.opcode), (producer, 0x100 + producer));
                assert_eq!(job.args, args(producer, number));
                assert_eq!(number, next[producer as usize], "of producer {producer}");
                next[producer as usize] += 1;
                Ok(())
            });
            if result.is_ok() {
                std::thread::yield_now();
            }
        }
    });
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn one_producer_and_one_consumer_need_no_critical_section() {
    let queue = Queue::<16>::new();
    pass::<16>(1, |job| queue.publish(job), |take| queue.drain(take));
    let one = Queue::<1>::new();
    pass::<1>(1, |job| one.publish(job), |take| one.drain(take));
}

#[test]
fn any_producers_share_a_queue() {
    let queue = SharedQueue::<16>::new();
    pass::<16>(4, |job| queue.publish(job), |take| queue.drain(take));
}

static JOBS: Queue<64> = Queue::new();
static FROM_HANDLER: AtomicU32 = AtomicU32::new(0);
static INTERRUPTED: AtomicU32 = AtomicU32::new(0);

/// An interrupt: what it interrupts stands still.
extern "C" fn handler(_: libc::c_int) {
    let number = FROM_HANDLER.load(Ordering::Relaxed);
    match JOBS.publish(&Job::new(0x101, &args(1, number))) {
        Ok(()) => FROM_HANDLER.store(number + 1, Ordering::Relaxed),
        Err(QueueError::Interrupted) => _ = INTERRUPTED.fetch_add(1, Ordering::Relaxed),
        Err(QueueError::Full { .. }) => {}
        Err(_) => std::process::abort(),
    }
}

#[test]
fn who_interrupts_another_publish_is_refused_and_harms_nothing() {
    // SAFETY: the handler loads and stores atomics, and nothing else.
    unsafe {
        let function = handler as extern "C" fn(libc::c_int) as *const () as libc::sighandler_t;
        assert_ne!(libc::signal(libc::SIGUSR1, function), libc::SIG_ERR);
    }
    // SAFETY: it only asks.
    let thread = unsafe { libc::pthread_self() };
    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stopped.load(Ordering::Relaxed) {
                // SAFETY: that thread outlives this scope.
                assert_eq!(unsafe { libc::pthread_kill(thread, libc::SIGUSR1) }, 0);
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        let _stop = Stop(&stopped);
        publish_between_interrupts();
    });
}

fn publish_between_interrupts() {
    let (mut published, mut next) = (0, [0; 2]);
    let start = Instant::now();
    let counted = [&INTERRUPTED, &FROM_HANDLER];
    while counted.iter().any(|count| count.load(Ordering::Relaxed) < 10) {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing was interrupted");
        for _ in 0..32 {
            match JOBS.publish(&Job::new(0x100, &args(0, published))) {
                Ok(()) => published += 1,
                Err(error) => assert_eq!(error, QueueError::Full { capacity: 64 }),
            }
        }
        let Ok(()) = JOBS.drain(|job| {
            let producer = (job.opcode - 0x100) as usize;
            assert_eq!(job.args, args(producer as u32, next[producer]));
            next[producer] += 1;
            Ok::<_, Infallible>(())
        });
    }
    assert_eq!(next[0], published);
}

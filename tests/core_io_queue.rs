//! The host's side of the IO queue: ABI section 4 and items 11, 12 of section 5.

mod core_fixture;

use core_fixture::{Traced, Write, cases};
use proptest::collection::vec;
use proptest::prelude::*;
use slipring_core::io_queue::{Completion, IoQueue, IoQueueError, NO_SLOT, Request};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

// Section 1's numbers, not the crate's names for them.
const EMPTY: u32 = 0;
const PUBLISHED: u32 = 1;
const CLAIMED: u32 = 2;
const OK: u32 = 0x10;
const ERROR: u32 = 0x11;
const RESERVED: u32 = 0x12;

type Slot = [u32; 8];

fn read_of(source: u32, status: u32, tag: u32) -> Slot {
    [1, source, 0, 0, 0, 4096, status, tag]
}

#[test]
fn a_request_is_every_word_of_its_slot() {
    let mut words = [2, 3, 4, 5, 6, 7, PUBLISHED, 9];
    let queue = IoQueue::new(&mut words).unwrap();
    let requests = queue.poll();
    let offset = 6 << 32 | 5;
    let expected = Request { slot: 0, op: 2, source: 3, destination: 4, offset, bytes: 7, tag: 9 };
    assert_eq!(&requests[..], &[expected]);
    assert_eq!([0, 1].map(|slot| queue.tag(slot)), [Some(9), None]);
}

#[test]
fn polling_lists_all_64_requests_and_takes_none() {
    let mut words: Vec<u32> = (0..64).flat_map(|slot| read_of(slot, PUBLISHED, slot)).collect();
    let before = words.clone();
    let queue = IoQueue::new(words.as_mut_slice()).unwrap();
    for _ in 0..2 {
        let sources: Vec<u32> = queue.poll().iter().map(|request| request.source).collect();
        assert_eq!(sources, (0..64).collect::<Vec<_>>());
    }
    assert_eq!(words, before);
}

#[test]
fn a_claimed_request_is_listed_once() {
    let mut words = [read_of(1, PUBLISHED, 5), read_of(2, OK, 6), read_of(3, PUBLISHED, 7)];
    let queue = IoQueue::new(words.as_flattened_mut()).unwrap();
    let claimed: Vec<u32> = queue.claim().iter().map(|request| request.slot).collect();
    assert_eq!(claimed, [0, 2]);
    assert!(queue.claim().is_empty());
    assert_eq!([0, 1, 2, 3].map(|slot| queue.status(slot)), [Some(2), Some(OK), Some(2), None]);
}

#[test]
fn a_completion_leaves_the_bytes_moved_or_the_errno_and_keeps_the_tag() {
    let mut words = [read_of(1, CLAIMED, 5), read_of(2, CLAIMED, NO_SLOT)];
    let queue = IoQueue::new(words.as_flattened_mut()).unwrap();
    let ends = [(1, Completion::Error { errno: 5 }), (0, Completion::Ok { bytes: 100 })];
    queue.complete(&ends).unwrap();
    assert_eq!(words[0], [1, 1, 0, 0, 0, 100, OK, 5]);
    assert_eq!(words[1], [1, 2, 0, 0, 0, 5, ERROR, NO_SLOT]);
}

#[test]
fn the_host_only_stores_and_a_status_comes_after_what_it_stands_for() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let words = Traced::buffer("io queue", &read_of(1, PUBLISHED, 5), &log);
    let queue = IoQueue::new(&words[..]).unwrap();
    queue.claim();
    queue.complete(&[(0, Completion::Ok { bytes: 100 })]).unwrap();
    let write = |word, value, release| Write { buffer: "io queue", word, value, release };
    let expected = [write(6, CLAIMED, true), write(5, 100, false), write(6, OK, true)];
    assert_eq!(*log.borrow(), expected);
}

#[test]
fn completing_nothing_is_fine() {
    let mut words = read_of(1, CLAIMED, 5);
    assert_eq!(IoQueue::new(&mut words).unwrap().complete(&[]), Ok(()));
    assert_eq!(words, read_of(1, CLAIMED, 5));
}

#[test]
fn resetting_an_idle_queue_zeroes_every_word() {
    for status in [EMPTY, OK, ERROR] {
        let mut words = read_of(1, status, NO_SLOT);
        assert_eq!(IoQueue::new(&mut words).unwrap().reset(), Ok(()));
        assert_eq!(words, [0; 8]);
    }
}

#[test]
fn a_queue_with_work_in_it_is_not_reset() {
    for status in [PUBLISHED, CLAIMED, RESERVED] {
        let mut words = [read_of(1, OK, NO_SLOT), read_of(2, status, 3)];
        let before = words;
        let refused = IoQueue::new(words.as_flattened_mut()).unwrap().reset();
        assert_eq!(refused, Err(IoQueueError::State { slot: 1, status, expected: EMPTY }));
        assert_eq!(words, before);
    }
}

/// What happens to a queue: host calls, and what the kernel does to a slot meanwhile.
#[derive(Clone, Debug)]
enum Step {
    Poll,
    Claim,
    Complete(Vec<(u32, Completion)>),
    Request { slot: usize, words: Slot },
    Kernel { slot: usize, status: u32 },
}

fn any_step() -> impl Strategy<Value = Step> {
    let slot = || prop_oneof![12 => 0..4u32, 1 => 62..67u32, 1 => any::<u32>()];
    let completion = prop_oneof![
        any::<u32>().prop_map(|bytes| Completion::Ok { bytes }),
        any::<u32>().prop_map(|errno| Completion::Error { errno }),
    ];
    let status = prop_oneof![
        prop::sample::select(vec![EMPTY, RESERVED, PUBLISHED, 0x101, 0x13]),
        any::<u32>()
    ];
    prop_oneof![
        1 => Just(Step::Poll),
        3 => Just(Step::Claim),
        4 => vec((slot(), completion), 0..4).prop_map(Step::Complete),
        4 => (0..3usize, any::<Slot>()).prop_map(|(slot, mut words)| {
            (words[6], words[7]) = (PUBLISHED, NO_SLOT);
            Step::Request { slot, words }
        }),
        1 => (0..3usize, status).prop_map(|(slot, status)| Step::Kernel { slot, status }),
    ]
}

/// Section 4 over plain words: `Ok` lists the slots that the call names.
fn model(step: &Step, slots: &mut [Slot]) -> Result<Vec<u32>, IoQueueError> {
    let published: Vec<u32> =
        (0..slots.len() as u32).filter(|&slot| slots[slot as usize][6] == PUBLISHED).collect();
    let check_claimed = |slots: &[Slot], slot: u32| match slots.get(slot as usize) {
        None => Err(IoQueueError::SlotRange { slot, slots: slots.len() as u32 }),
        Some(words) if words[6] == CLAIMED => Ok(()),
        Some(words) => Err(IoQueueError::State { slot, status: words[6], expected: CLAIMED }),
    };
    match step {
        Step::Poll => Ok(published),
        Step::Claim => {
            for &slot in &published {
                slots[slot as usize][6] = CLAIMED;
            }
            Ok(published)
        }
        Step::Complete(list) => {
            list.iter().try_for_each(|(slot, _)| check_claimed(slots, *slot))?;
            for (at, (slot, _)) in list.iter().enumerate() {
                if list[..at].iter().any(|(earlier, _)| earlier == slot) {
                    return Err(IoQueueError::Duplicate { slot: *slot });
                }
            }
            for (slot, completion) in list {
                (slots[*slot as usize][5], slots[*slot as usize][6]) = match *completion {
                    Completion::Ok { bytes } => (bytes, OK),
                    Completion::Error { errno } => (errno, ERROR),
                };
            }
            Ok(vec![])
        }
        Step::Request { slot, words } => {
            slots[*slot] = *words;
            Ok(vec![])
        }
        Step::Kernel { slot, status } => {
            slots[*slot][6] = *status;
            Ok(vec![])
        }
    }
}

/// The same step on the real queue, whose words the kernel shares.
fn real(step: &Step, words: &[AtomicU32]) -> Result<Vec<u32>, IoQueueError> {
    let queue = IoQueue::new(words).unwrap();
    let slots = |requests: &[Request]| requests.iter().map(|request| request.slot).collect();
    match step {
        Step::Poll => Ok(slots(&queue.poll())),
        Step::Claim => Ok(slots(&queue.claim())),
        Step::Complete(list) => queue.complete(list).map(|()| vec![]),
        Step::Request { slot, words: request } => {
            for (word, value) in words[8 * slot..].iter().zip(request) {
                word.store(*value, Ordering::Relaxed);
            }
            Ok(vec![])
        }
        Step::Kernel { slot, status } => {
            words[8 * slot + 6].store(*status, Ordering::Relaxed);
            Ok(vec![])
        }
    }
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn any_history_of_a_queue_is_the_state_machines(steps in vec(any_step(), 0..40)) {
        let mut expected = [[0; 8]; 3];
        for slot in &mut expected {
            slot[7] = NO_SLOT;
        }
        let words: Vec<AtomicU32> =
            expected.as_flattened().iter().map(|&word| AtomicU32::new(word)).collect();
        for step in &steps {
            let answer = model(step, &mut expected);
            prop_assert_eq!(real(step, &words), answer, "{:?}", step);
            let words: Vec<u32> = words.iter().map(|word| word.load(Ordering::Relaxed)).collect();
            prop_assert_eq!(&words, expected.as_flattened(), "{:?}", step);
        }
    }
}

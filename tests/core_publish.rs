//! Publishing against a model written from ABI section 2. Contract R4.

mod core_fixture;

use core_fixture::{Traced, any_status, cases, hostile_index, hostile_opcode};
use proptest::collection::vec;
use proptest::prelude::*;
use slipring_core::packed::{PackedError, Payload};
use slipring_core::ring::{Job, PublishError, Ring, WorkItem};
use slipring_core::slot::Priority;
use slipring_core::words::WordMut;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A call of one of the publishing functions.
#[derive(Clone, Debug)]
enum Call {
    Publish { slot: u32, opcode: u32, tenant: u32, priority: Priority, args: Vec<u32> },
    Items { start: u32, tenant: u32, items: Vec<WorkItem> },
    Batch { start: u32, tenant: u32, items: Vec<(u32, Vec<u32>)>, tag: u32 },
    Packed { slot: u32, ops: Vec<(u8, Vec<u32>)> },
    EncodeItems { tenant: u32, items: Vec<WorkItem> },
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Refusal {
    Publish(PublishError),
    Packed(PackedError),
}

impl Call {
    fn make<W: WordMut>(&self, ring: Ring<'_, W>) -> Result<u32, Refusal> {
        let one = |job: Job<'_>, slot| ring.publish(slot, &job).map(|()| 1);
        let done = match self {
            Self::Publish { slot, opcode, tenant, priority, args } => {
                one(Job::new(*opcode, args).tenant(*tenant).priority(*priority), *slot)
            }
            Self::Items { start, tenant, items } => ring.publish_items(*start, *tenant, items),
            Self::Batch { start, tenant, items, tag } => {
                let items: Vec<(u32, &[u32])> = items.iter().map(|(op, a)| (*op, &a[..])).collect();
                ring.publish_batch(*start, *tenant, &items, *tag)
            }
            Self::Packed { slot, ops } => {
                let ops: Vec<(u8, &[u32])> =
                    ops.iter().map(|(op, args)| (*op, &args[..])).collect();
                let payload = Payload::pack(&ops).map_err(Refusal::Packed)?;
                one(payload.job(), *slot)
            }
            Self::EncodeItems { tenant, items } => ring.encode_items(*tenant, items).map(|()| 0),
            Self::Reset => ring.reset().map(|()| 0),
        };
        done.map_err(Refusal::Publish)
    }
}

/// The model: what section 2 says of each call, over plain words.
mod model {
    use super::*;

    type Slot = [u32; 16];

    fn new_slot(opcode: u32, tenant: u32, priority: u32, args: &[u32]) -> Slot {
        let mut slot = [0; 16];
        slot[..4].copy_from_slice(&[1, opcode, tenant, priority]);
        slot[4..4 + args.len()].copy_from_slice(args);
        slot
    }

    fn is_publishable(opcode: u32) -> bool {
        let named = matches!(opcode, 0..=7 | 0xFFFD | 0xFFFE | 0x8000_0001 | 0xFFFF_FFFF);
        named || matches!(opcode, 8..=0xFFEF | 0x1_0000..=0x7FFF_FFFF)
    }

    fn check_opcode(item: usize, opcode: u32) -> Result<(), PublishError> {
        if is_publishable(opcode) { Ok(()) } else { Err(PublishError::Opcode { item, opcode }) }
    }

    fn check_args(item: usize, args: &[u32]) -> Result<(), PublishError> {
        let args = args.len();
        if args <= 12 { Ok(()) } else { Err(PublishError::TooManyArgs { item, args }) }
    }

    /// Replaces slots from `start` on, if all of them are EMPTY, DONE or FAULT.
    fn replace(ring: &mut Vec<Slot>, start: usize, new: &[Slot]) -> Result<(), PublishError> {
        for (slot, old) in ring.iter().enumerate().skip(start).take(new.len()) {
            if ![0, 3, 7].contains(&(old[0] % 256)) {
                return Err(PublishError::Busy { slot: slot as u32, status: old[0] });
            }
        }
        ring.splice(start..start + new.len(), new.iter().copied());
        Ok(())
    }

    fn check_window(ring: &[Slot], start: u32, items: usize) -> Result<(), PublishError> {
        let (end, slots) = (u64::from(start) + items as u64, ring.len() as u32);
        if end > u64::from(u32::MAX) {
            return Err(PublishError::WindowOverflow { start, items });
        }
        if end > u64::from(slots) {
            return Err(PublishError::WindowRange { start, items, slots });
        }
        Ok(())
    }

    fn publish(
        ring: &mut Vec<Slot>,
        slot: u32,
        new: Result<Slot, PublishError>,
    ) -> Result<u32, PublishError> {
        let slots = ring.len() as u32;
        if slot >= slots {
            return Err(PublishError::SlotRange { slot, slots });
        }
        replace(ring, slot as usize, &[new?]).map(|()| 1)
    }

    fn work_items(tenant: u32, items: &[WorkItem]) -> Result<Vec<Slot>, PublishError> {
        let slot = |(index, item): (usize, &WorkItem)| {
            check_opcode(index, item.opcode)?;
            Ok(new_slot(item.opcode, tenant, 2, &[item.input, item.output, item.param]))
        };
        items.iter().enumerate().map(slot).collect()
    }

    /// Section 1's payload: counts, opcode and offset pairs, then the arguments, as bytes.
    fn pack(ops: &[(u8, Vec<u32>)]) -> Result<[u32; 12], PackedError> {
        if ops.len() > 4 {
            return Err(PackedError::TooManyOps { ops: ops.len() });
        }
        let args: Vec<u32> = ops.iter().flat_map(|(_, args)| args.clone()).collect();
        let mut bytes = vec![ops.len() as u8, args.len() as u8];
        let mut offset = 0;
        for (opcode, args) in ops {
            bytes.extend([*opcode, offset as u8]);
            offset += args.len();
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(args.iter().flat_map(|arg| arg.to_le_bytes()));
        if bytes.len() > 48 {
            return Err(PackedError::TooLong { words: bytes.len() / 4 });
        }
        if let Some(index) = ops.iter().position(|(opcode, _)| *opcode == 7) {
            return Err(PackedError::Opcode { index, opcode: 7 });
        }
        bytes.resize(48, 0);
        let word = |index: usize| u32::from_le_bytes(bytes[4 * index..][..4].try_into().unwrap());
        Ok(std::array::from_fn(word))
    }

    pub fn make(call: &Call, ring: &mut Vec<Slot>) -> Result<u32, Refusal> {
        let slots = ring.len() as u32;
        let done = match call {
            Call::Publish { slot, opcode, tenant, priority, args } => {
                let new = check_args(0, args).and_then(|()| check_opcode(0, *opcode));
                let new = new.map(|()| new_slot(*opcode, *tenant, *priority as u32, args));
                publish(ring, *slot, new)
            }
            Call::Packed { slot, ops } => {
                let payload = pack(ops).map_err(Refusal::Packed)?;
                publish(ring, *slot, Ok(new_slot(0x8000_0001, 0, 2, &payload)))
            }
            Call::Items { start, tenant, items } => work_items(*tenant, items).and_then(|new| {
                check_window(ring, *start, new.len())?;
                replace(ring, *start as usize, &new).map(|()| new.len() as u32)
            }),
            Call::Batch { start, tenant, items, tag } => {
                check_window(ring, *start, items.len() + 1).and_then(|()| {
                    let mut new = Vec::new();
                    for (item, (opcode, args)) in items.iter().enumerate() {
                        check_args(item, args).and_then(|()| check_opcode(item, *opcode))?;
                        new.push(new_slot(*opcode, *tenant, 2, args));
                    }
                    new.push(new_slot(7, *tenant, 2, &[items.len() as u32, *tag]));
                    replace(ring, *start as usize, &new).map(|()| new.len() as u32)
                })
            }
            Call::EncodeItems { items, .. } if items.len() > ring.len() => {
                Err(PublishError::TooManyItems { items: items.len(), slots })
            }
            Call::EncodeItems { tenant, items } => {
                work_items(*tenant, items).and_then(|new| encode(ring, &new))
            }
            Call::Reset => encode(ring, &[]),
        };
        done.map_err(Refusal::Publish)
    }

    /// Item 17: refused over slots in flight, zero where nothing new is.
    fn encode(ring: &mut [Slot], new: &[Slot]) -> Result<u32, PublishError> {
        let busy = |slot: &Slot| [1, 2, 4].contains(&(slot[0] % 256));
        if let Some(slot) = ring.iter().position(busy) {
            return Err(PublishError::Busy { slot: slot as u32, status: ring[slot][0] });
        }
        ring.fill([0; 16]);
        ring[..new.len()].copy_from_slice(new);
        Ok(0)
    }
}

fn any_call() -> impl Strategy<Value = Call> {
    let opcode = || prop_oneof![3 => 0..0x100u32, 1 => hostile_opcode()];
    let args = || prop_oneof![9 => vec(any::<u32>(), 0..=12), 1 => vec(any::<u32>(), 13..=14)];
    let item = move || {
        (opcode(), any::<[u32; 3]>()).prop_map(|(opcode, [input, output, param])| WorkItem {
            opcode,
            input,
            output,
            param,
        })
    };
    let tenant = || any::<u32>();
    let op = (prop_oneof![6 => 0..7u8, 2 => any::<u8>()], vec(any::<u32>(), 0..=4));
    let long = (any::<u8>(), vec(any::<u32>(), 5..=300));
    prop_oneof![
        3 => (hostile_index(), hostile_opcode(), tenant(), prop::sample::select(&Priority::ALL[..]),
            args()).prop_map(|(slot, opcode, tenant, priority, args)| Call::Publish {
            slot, opcode, tenant, priority, args }),
        3 => (hostile_index(), tenant(), vec(item(), 0..6)).prop_map(|(start, tenant, items)|
            Call::Items { start, tenant, items }),
        3 => (hostile_index(), tenant(), vec((opcode(), args()), 0..6), any::<u32>()).prop_map(
            |(start, tenant, items, tag)| Call::Batch { start, tenant, items, tag }),
        3 => (hostile_index(), vec(prop_oneof![20 => op, 1 => long], 0..6)).prop_map(|(slot, ops)|
            Call::Packed { slot, ops }),
        1 => (tenant(), vec(item(), 0..8)).prop_map(|(tenant, items)| Call::EncodeItems { tenant, items }),
        1 => Just(Call::Reset),
    ]
}

/// Up to seven slots of any words; most of them free, so that windows fit.
fn any_ring() -> impl Strategy<Value = Vec<[u32; 16]>> {
    let status = prop_oneof![4 => prop::sample::select(vec![0, 3, 7, 0x507]), 1 => any_status()];
    let slot = (status, any::<[u32; 16]>()).prop_map(|(status, mut slot)| {
        slot[0] = status;
        slot
    });
    vec(slot, 0..8)
}

proptest! {
    #![proptest_config(cases(6000))]

    #[test]
    fn r4_publishing_does_exactly_what_section_2_says_and_nothing_when_it_refuses(
        before in any_ring(),
        call in any_call(),
    ) {
        let mut expected = before.clone();
        let answer = model::make(&call, &mut expected);

        let mut exclusive = before.as_flattened().to_vec();
        prop_assert_eq!(call.make(Ring::new(exclusive.as_mut_slice()).unwrap()), answer);
        prop_assert_eq!(&exclusive, expected.as_flattened());

        let shared: Vec<AtomicU32> = before.as_flattened().iter().map(|&w| AtomicU32::new(w)).collect();
        prop_assert_eq!(call.make(Ring::new(&shared[..]).unwrap()), answer);
        let shared: Vec<u32> = shared.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        prop_assert_eq!(&shared, expected.as_flattened());

        if answer.is_err() {
            prop_assert_eq!(before, expected, "the model itself is all or nothing");
        }
    }

    #[test]
    fn r4_every_slot_is_written_in_order_and_its_status_last_with_release(call in any_call()) {
        let log = Rc::new(RefCell::new(Vec::new()));
        let words = Traced::buffer("ring", &[3; 16 * 8], &log);
        let Ok(slots) = call.make(Ring::new(&words[..]).unwrap()) else {
            prop_assert!(log.borrow().is_empty());
            return Ok(());
        };
        if slots == 0 {
            return Ok(()); // nothing, or a whole ring encoded anew
        }
        let written: Vec<(usize, bool)> =
            log.borrow().iter().map(|write| (write.word, write.release)).collect();
        prop_assert_eq!(written.len(), 16 * slots as usize);
        for slot in written.chunks(16) {
            let base = slot[0].0 - 1;
            let order: Vec<(usize, bool)> =
                (1..16).map(|word| (base + word, false)).chain([(base, true)]).collect();
            prop_assert_eq!(slot, &order[..]);
        }
    }
}

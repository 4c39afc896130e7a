//! Control words: where each is read and written, and what a short buffer says.

mod core_fixture;

use core_fixture::cases;
use proptest::collection::vec;
use proptest::prelude::*;
use slipring_core::control::{Control, EncodeError, Metric};
use slipring_core::layout::{Buffer, MissingWord};
use slipring_core::partition::{PartitionError, Partitions};
use slipring_core::slot::Priority;
use slipring_core::tenant::{Tenant, TenantError, TenantTable};

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn control_words_are_read_where_the_abi_has_them_or_named_as_missing(
        words in vec(any::<u32>(), 0..200),
        tenant in any::<u32>(),
        index in prop_oneof![0..40u32, any::<u32>()],
    ) {
        let control = Control::new(&words[..]).unwrap();
        let expect = |word: u64| {
            let missing = MissingWord { buffer: Buffer::Control, word, words: words.len() };
            words.get(word as usize).copied().ok_or(missing)
        };
        prop_assert_eq!(control.shutdown(), expect(0));
        prop_assert_eq!(control.done_count(), expect(1));
        prop_assert_eq!(control.epoch(), expect(128));
        prop_assert_eq!(control.faults(), expect(141));
        prop_assert_eq!(control.tenant_claims(tenant), expect(64 + u64::from(tenant % 32)));
        for level in Priority::ALL {
            prop_assert_eq!(control.level_claims(level), expect(136 + level as u64));
        }
        prop_assert_eq!(control.observable(index), expect(160 + u64::from(index)));
    }

    #[test]
    fn metrics_list_the_counters_that_are_not_0(
        runs in vec(prop_oneof![Just(0), any::<u32>()], 32),
        held in prop_oneof![0..160usize, Just(160)],
    ) {
        let mut words = vec![u32::MAX; 160];
        words[96..128].copy_from_slice(&runs);
        let metrics = Control::new(&words[..held]).unwrap().metrics();
        if held < 128 {
            let (word, buffer) = (held.max(96) as u64, Buffer::Control);
            prop_assert_eq!(metrics, Err(MissingWord { buffer, word, words: held }));
        } else {
            let all = runs.iter().enumerate();
            let metric = |(opcode, &runs)| Metric { opcode: opcode as u32, runs };
            let expected: Vec<Metric> = all.map(metric).filter(|metric| metric.runs != 0).collect();
            prop_assert_eq!(&metrics.unwrap()[..], &expected[..]);
        }
    }

    #[test]
    fn partition_words_are_129_to_134(
        starts in any::<[u32; 6]>(),
        held in 120..170usize,
        slots in any::<u32>(),
    ) {
        let mut words = vec![u32::MAX; 170];
        words[129..135].copy_from_slice(&starts);
        let read = Control::new(&words[..held]).unwrap().partitions(slots);
        if held < 135 {
            let (word, buffer) = (held.max(129) as u64, Buffer::Control);
            let missing = MissingWord { buffer, word, words: held };
            prop_assert_eq!(read, Err(PartitionError::MissingWord(missing)));
        } else {
            prop_assert_eq!(read, Partitions::parse(starts, slots));
        }
    }
}

/// Does `write` to a control buffer of each length, and compares with what it should do:
/// `expected` applied to the words if there are `needed` of them, else nothing.
fn check_write<E: core::fmt::Debug>(
    needed: usize,
    write: impl Fn(&Control<'_, core::cell::Cell<u32>>) -> Result<(), E>,
    expected: impl Fn(&mut [u32]),
) {
    for held in 0..170 {
        let mut words = vec![0xAA; held];
        let mut after = words.clone();
        let answer = write(&Control::new(words.as_mut_slice()).unwrap());
        assert_eq!(answer.is_ok(), held >= needed, "{held} words: {answer:?}");
        if held >= needed {
            expected(&mut after);
        }
        assert_eq!(words, after, "{held} words: {answer:?}");
    }
}

#[test]
fn encoding_writes_every_word_or_none() {
    check_write(
        160,
        |control| control.encode(true, 30),
        |words| {
            words.fill(0);
            words[..32].fill(u32::MAX); // 29 masks
            words[..3].copy_from_slice(&[1, 0, 3]);
            words[32..62].fill(1_000_000); // 30 quotas
        },
    );
}

#[test]
fn the_shutdown_word_is_0_or_1() {
    check_write(1, |control| control.set_shutdown(true), |words| words[0] = 1);
    check_write(1, |control| control.set_shutdown(false), |words| words[0] = 0);
}

#[test]
fn an_observable_is_written_past_word_160_and_nowhere_else() {
    check_write(164, |control| control.set_observable(3, 9), |words| words[163] = 9);
    for index in [u32::MAX, u32::MAX - 159, u32::MAX - 160] {
        check_write(usize::MAX, |control| control.set_observable(index, 9), |_| ());
    }
}

const OF_5_AND_6: Tenant = Tenant { mask: 5, quota: 6, ..Tenant::OPEN };

#[test]
fn a_tenant_is_its_mask_and_its_quota() {
    let expected = |words: &mut [u32]| (words[3 + 28], words[32 + 28]) = (5, 6);
    check_write(61, |control| control.set_tenant(28, &OF_5_AND_6), expected);
    for tenant in [29, 32, u32::MAX] {
        check_write(usize::MAX, |control| control.set_tenant(tenant, &OF_5_AND_6), |_| ());
    }
}

#[test]
fn a_tenant_past_the_table_is_refused_by_its_number() {
    let mut words = [0; 160];
    let refused = Control::new(&mut words).unwrap().set_tenant(29, &OF_5_AND_6).unwrap_err();
    assert_eq!(refused, TenantError::Unknown { tenant: 29 }.into());
}

#[test]
fn partitions_are_written_all_or_none() {
    let expected = |words: &mut [u32]| words[129..135].copy_from_slice(&[0, 2, 4, 8, 10, 12]);
    check_write(135, |control| control.set_partitions(&Partitions::even(12)), expected);
}

#[test]
fn a_tenant_table_is_written_all_or_none() {
    let mut tenants = TenantTable::open(2);
    tenants.set(28, Tenant { mask: 7, quota: 8, ..Tenant::OPEN }).unwrap();
    let expected = |words: &mut [u32]| {
        words[3..61].fill(0);
        words[3..5].fill(u32::MAX);
        words[31] = 7;
        words[32..34].fill(1_000_000);
        words[60] = 8;
    };
    check_write(61, |control| tenants.write_to(control), expected);
}

#[test]
fn encoding_a_short_buffer_says_how_short_it_is() {
    let mut words = [0; 159];
    let missing = MissingWord { buffer: Buffer::Control, word: 159, words: 159 };
    let refused = Control::new(&mut words).unwrap().encode(false, 1);
    assert_eq!(refused, Err(EncodeError::MissingWord(missing)));
}

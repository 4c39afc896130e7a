//! The frames of the link, against crates `cobs` and `crc`, and what is no frame.

mod core_fixture;
mod core_link_fixture;

use core_fixture::cases;
use core_link_fixture::{ACK, Frame, HELLO, Link, PUBLISH, RESET, RESULT, encode, hello};
use proptest::prelude::*;
use slipring_core::link::{Fate, LinkTicket, WIRE_BYTES};
use slipring_core::ring::Job;
use slipring_core::slot::Priority;

/// The words that each kind may have.
fn takes(kind: u8, words: usize) -> bool {
    match kind {
        HELLO => words == 11,
        PUBLISH => words == 16,
        ACK => words == 2 || words == 3,
        RESULT => (3..=15).contains(&words),
        RESET => words == 4,
        _ => false,
    }
}

#[test]
fn a_hello_says_who_is_there() {
    let mut link = Link::new();
    assert_eq!(Frame::all(&link.up()), [hello(1, 1, 0)]);
    assert_eq!(Frame::all(&link.down()), [hello(2, 2, 0)]);
}

#[test]
fn a_publish_is_72_bytes_and_carries_all_but_the_status() {
    let mut link = Link::connected(4);
    let args: Vec<u32> = (1..=12).collect();
    let job = Job::new(0x123, &args).tenant(5).priority(Priority::Low);
    let LinkTicket { session, number } = link.sender.publish(&job).unwrap();
    let wire = link.up();
    assert_eq!((wire.len(), WIRE_BYTES), (72, 72));
    let words = [session ^ number, 0x123, 5, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    assert_eq!(Frame::parse(&wire), Frame::new(PUBLISH, 0, &words));
}

#[test]
fn an_acknowledgment_says_what_has_come_and_what_is_taken() {
    let mut link = Link::connected(6);
    let tickets = link.publish_all(0..4);
    let wire = link.up();
    let frames: Vec<_> = wire.chunks(72).collect();
    // The second is missing.
    for frame in [frames[0], frames[2], frames[3]] {
        link.hear_up(frame);
    }
    let [ack] = &Frame::all(&link.down())[..] else { panic!("more than an acknowledgment") };
    let token = ack.words[0] ^ 1;
    assert_eq!(ack, &Frame::new(ACK, 1, &[token ^ 1, 5 | 0b11 << 8]));
    assert_ne!(token, tickets[0].session, "an echo would pass");
}

#[test]
fn a_result_carries_its_job_and_its_words() {
    let mut link = Link::connected(6);
    link.publish_all(0..1);
    link.settle();
    let (tickets, _) = link.taken();
    link.receiver.result(tickets[0], Fate::Fault(70), &[8, 9]).unwrap();
    let [result, ..] = &Frame::all(&link.down())[..] else { panic!("no result") };
    let token = result.words[0];
    assert_eq!(result, &Frame::new(RESULT, 0, &[token, 0, 7 | 70 << 8, 8, 9]));
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn whatever_words_a_job_has_the_frame_is_what_crates_cobs_and_crc_make_of_them(
        args in prop::collection::vec(prop_oneof![Just(0), Just(0x0101_0101), any::<u32>()], 0..13),
        tenant in any::<u32>(),
    ) {
        let mut link = Link::connected(4);
        link.sender.publish(&Job::new(0x100, &args).tenant(tenant)).unwrap();
        let wire = link.up();
        let frame = Frame::parse(&wire);
        prop_assert_eq!(&frame.bytes(), &wire);
        prop_assert_eq!(&frame.words[4..4 + args.len()], &args[..]);
        link.hear_up(&wire);
        let (_, slot) = link.receiver.next_slot().unwrap();
        prop_assert_eq!(&slot.args[..args.len()], &args[..]);
        prop_assert_eq!(slot.tenant, tenant);
    }
}

#[test]
fn only_lengths_that_a_kind_can_have_are_frames() {
    for kind in 0..=u8::MAX {
        for words in 0..18 {
            let mut link = Link::connected(4);
            let before = link.receiver.counters();
            link.hear_up(&Frame::new(kind, 0, &vec![3; words]).bytes());
            let after = link.receiver.counters();
            let (frames, damaged) = if takes(kind, words) { (1, 0) } else { (0, 1) };
            assert_eq!(after.frames - before.frames, frames, "kind {kind}, {words} words");
            assert_eq!(after.damaged - before.damaged, damaged, "kind {kind}, {words} words");
        }
    }
}

#[test]
fn a_body_of_no_whole_words_is_damage() {
    for odd in 1..4 {
        let mut link = Link::connected(4);
        let body = vec![RESULT; 2 + 4 * 5 + odd];
        link.hear_down(&encode(&body));
        assert_eq!(link.sender.counters().damaged, 1);
    }
}

#[test]
fn a_frame_that_lacks_its_end_is_damage_even_after_the_same_one_came_whole() {
    let mut link = Link::connected(8);
    link.publish(&[7]).unwrap();
    let wire = link.up();
    link.hear_up(&wire);
    let (frames, mut body) = (link.receiver.counters().frames, wire[..71].to_vec());
    let len = cobs::decode_in_place(&mut body).unwrap();
    for missing in 1..8 {
        let mut cut = vec![0; 72];
        let end = cobs::encode(&body[..len - missing], &mut cut);
        link.hear_up(&cut[..=end]);
        let counters = link.receiver.counters();
        assert_eq!((counters.frames, counters.damaged), (frames, missing as u32));
    }
}

#[test]
fn a_frame_with_more_behind_it_is_damage() {
    let mut link = Link::connected(8);
    link.publish(&[7]).unwrap();
    let wire = link.up();
    for more in [&[1][..], &[2, 5], &[1, 1, 1, 1], &[5, 1, 2, 3, 4]] {
        link.hear_up(&[&wire[..71], more, &[0]].concat());
        assert_eq!(link.slots(), [], "{more:?}");
    }
    assert_eq!(link.receiver.counters().damaged, 4);
}

#[test]
fn a_flipped_bit_anywhere_is_damage_and_the_next_frame_is_taken() {
    let mut link = Link::connected(8);
    let tickets = link.publish_all(0..2);
    let wire = link.up();
    let (first, second) = wire.split_at(72);
    for bit in 0..8 * 71 {
        let mut flipped = first.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        link.hear_up(&flipped);
        assert_eq!(link.slots(), [], "bit {bit}");
    }
    // A byte that became 0x00 ends a run, and what follows it is another.
    assert!(link.receiver.counters().damaged >= 8 * 71);
    link.hear_up(second);
    link.hear_up(first);
    assert_eq!(link.taken(), (tickets, vec![0, 1]));
}

#[test]
fn a_run_that_is_too_long_is_one_damage_however_long_it_is() {
    for len in [71, 72, 100, 255, 256, 257, 1_000, 100_000] {
        for byte in [1, 2, 0xFE, 0xFF] {
            let mut link = Link::connected(8);
            link.hear_up(&vec![byte; len]);
            link.hear_up(&[0]);
            assert_eq!(link.receiver.counters().damaged, 1, "{len} bytes of {byte}");
            link.publish(&[7]).unwrap();
            link.settle();
            assert_eq!(link.taken().1, [7]);
        }
    }
}

#[test]
fn zeros_between_frames_are_nothing() {
    let mut link = Link::connected(8);
    link.publish(&[7]).unwrap();
    link.hear_up(&[0; 50]);
    link.settle();
    assert_eq!(link.receiver.counters().damaged, 0);
    assert_eq!(link.taken().1, [7]);
}

#[test]
fn garbage_for_minutes_is_only_counted() {
    let mut link = Link::new();
    let mut random = 1u32;
    // Two minutes at 115,200 baud.
    for _ in 0..120 {
        let noise = std::iter::repeat_with(|| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 24) as u8
        });
        let noise: Vec<u8> = noise.take(11_520).collect();
        link.hear_up(&noise);
        link.hear_down(&noise);
        link.now += 1_000;
    }
    assert_eq!((link.events.len(), link.host_events.len()), (0, 0));
    assert!(link.sender.counters().damaged > 5_000);
    // What is left of the last run takes the first frame with it.
    link.hear_up(&[0]);
    link.hear_down(&[0]);
    link.settle();
    assert!(link.sender.is_connected());
}

#[test]
fn frames_may_go_and_come_in_pieces_of_any_size() {
    for piece in [1, 2, 7, 16, 71, 72, 73] {
        let mut link = Link::connected(8);
        let tickets = link.publish_all(0..5);
        let mut bytes = vec![0; piece];
        loop {
            let len = link.sender.transmit(link.now, &mut bytes);
            if len == 0 {
                break;
            }
            let sent = bytes[..len].to_vec();
            link.hear_up(&sent);
        }
        assert_eq!(link.taken(), (tickets, vec![0, 1, 2, 3, 4]), "pieces of {piece}");
    }
}

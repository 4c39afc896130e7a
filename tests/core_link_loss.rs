//! What goes again over the link and when, and what is said of what has come.

mod core_link_fixture;

use core_link_fixture::{ACK, Frame, Link, PUBLISH, RESULT, geometry};
use slipring_core::link::{Fate, Receiver, Sender};
use slipring_core::ring::Job;

#[test]
fn a_lost_frame_goes_again_as_soon_as_a_later_one_was_acknowledged_and_no_other_does() {
    let mut link = Link::connected(16);
    link.publish_all(0..4);
    let wire = link.up();
    let frames: Vec<_> = wire.chunks(72).collect();
    link.hear_up(frames[0]);
    link.hear_up(frames[2]);
    link.hear_up(frames[3]);
    let down = link.down();
    link.hear_down(&down);
    assert_eq!(link.up(), frames[1]);
    link.hear_up(frames[1]);
    assert_eq!(link.taken().1, [0, 1, 2, 3]);
    assert_eq!(link.sender.counters().resent, 1);
    assert_eq!(link.sender.counters().timeouts, 0);
}

#[test]
fn one_that_is_lost_again_goes_again() {
    let mut link = Link::connected(16);
    link.publish_all(0..2);
    let frames = link.up();
    link.hear_up(&frames[72..]);
    for round in 0..5 {
        let down = link.down();
        link.hear_down(&down);
        // The lost one, and a new one behind it; only that arrives.
        link.publish(&[2 + round]).unwrap();
        let up = link.up();
        assert_eq!((up.len(), &up[..72]), (2 * 72, &frames[..72]));
        link.hear_up(&up[72..]);
    }
    link.settle();
    assert_eq!(link.taken().1, (0..7).collect::<Vec<u32>>());
    assert_eq!(link.sender.counters().timeouts, 0);
}

#[test]
fn what_nobody_acknowledges_goes_again_after_ever_longer_waits_up_to_a_second() {
    let mut link = Link::connected(16);
    link.publish(&[7]).unwrap();
    let frame = link.up();
    let (mut waits, mut since) = (Vec::new(), link.now);
    while waits.len() < 12 {
        link.now += 1;
        let up = Frame::all(&link.up());
        if up.iter().any(|frame| frame.kind == PUBLISH) {
            assert_eq!(up.last(), Some(&Frame::parse(&frame)));
            waits.push(link.now - since);
            since = link.now;
        }
    }
    assert!(waits.is_sorted(), "{waits:?}");
    assert!(waits[0] >= 10 && waits[0] <= 200, "{waits:?}");
    assert_eq!(waits[8..], [1_000; 4], "{waits:?}");
    link.now += 1_000;
    link.settle();
    assert_eq!(link.taken().1, [7]);
}

#[test]
fn what_may_still_be_on_its_way_does_not_go_again() {
    let mut link = Link::connected(16);
    link.publish_all(0..4);
    let wire = link.up();
    link.hear_up(&wire[..72]);
    let down = link.down();
    link.hear_down(&down);
    assert_eq!(link.up(), []);
    link.hear_up(&wire[72..]);
    assert_eq!(link.taken().1, [0, 1, 2, 3]);
}

#[test]
fn what_is_lost_is_known_without_a_timer_however_much_was_sent_before() {
    let mut link = Link::connected(16);
    link.publish_all(0..4);
    link.settle();
    let tickets = link.taken().0;
    link.finish(tickets);
    link.receiver.set_credits(16);
    link.settle();
    link.fates();
    // Nine transmissions each. Their order is kept in 16 bits, and one that is lost is the last before
    // they wrap: number 65,535.
    for round in 0..8_000 {
        link.publish_all(0..8);
        let up = link.up();
        link.hear_up(&up[..72]);
        link.hear_up(&up[2 * 72..]);
        link.settle();
        let (tickets, numbers) = link.taken();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7], "round {round}");
        link.finish(tickets);
        link.receiver.set_credits(16);
        link.settle();
        assert_eq!(link.fates().len(), 8);
    }
    assert_eq!(link.sender.counters().resent, 8_000);
    assert_eq!(link.sender.counters().timeouts, 0);
}

#[test]
fn the_wait_follows_the_round_trip_while_more_is_on_its_way() {
    let mut link = Link::connected(16);
    link.publish(&[0]).unwrap();
    let first = link.up();
    assert_eq!(link.sender.wait_ms(link.now), 200);
    link.now += 50;
    link.publish(&[1]).unwrap();
    let second = link.up();
    link.hear_up(&first);
    let down = link.down();
    link.hear_down(&down);
    // Once, and the deviation, half of it at first, four times.
    assert_eq!(link.sender.wait_ms(link.now), 150);
    link.hear_up(&second);
    link.settle();
    let waits = [10, 10, 10].map(|round_trip_ms| {
        link.publish(&[2]).unwrap();
        let up = link.up();
        let wait = link.sender.wait_ms(link.now);
        link.now += round_trip_ms;
        link.hear_up(&up);
        link.settle();
        wait
    });
    // An eighth of what is new, and a quarter of how far it is off.
    assert_eq!(waits, [150, 160, 162]);
}

#[test]
fn an_acknowledgment_of_what_went_twice_tells_no_round_trip() {
    let mut link = Link::connected(16);
    let waits = [0, 500, 0].map(|lost_for| {
        link.publish(&[]).unwrap();
        if lost_for > 0 {
            let _lost = link.up();
            link.now += lost_for;
        }
        link.settle();
        link.publish(&[]).unwrap();
        let up = link.up();
        let wait = link.sender.wait_ms(link.now);
        link.hear_up(&up);
        link.settle();
        wait
    });
    assert_eq!(waits, [10; 3]);
}

#[test]
fn the_same_acknowledgment_over_and_over_does_not_put_off_the_timer() {
    let mut link = Link::connected(16);
    link.publish_all(0..2);
    let up = link.up();
    link.hear_up(&up[72..]);
    let down = link.down();
    link.hear_down(&down);
    let _lost = link.up();
    for _ in 0..100 {
        link.now += 5;
        link.hear_down(&down);
        link.up();
    }
    assert!(link.sender.counters().timeouts > 0);
}

#[test]
fn wait_ms_says_when_there_is_something_to_send() {
    let mut link = Link::connected(16);
    assert_eq!(link.sender.wait_ms(link.now), 1_000);
    link.publish(&[7]).unwrap();
    assert_eq!(link.sender.wait_ms(link.now), 0);
    link.up();
    let wait = link.sender.wait_ms(link.now);
    link.now += wait - 1;
    assert_eq!((link.sender.wait_ms(link.now), link.up().len()), (1, 0));
    link.now += 1;
    assert_eq!(link.sender.wait_ms(link.now), 0);
    assert!(!link.up().is_empty());
    // The host's side: an acknowledgment, and then nothing.
    assert_eq!(link.receiver.wait_ms(link.now), 1_000);
    link.settle();
    link.publish(&[8]).unwrap();
    let up = link.up();
    link.hear_up(&up);
    assert_eq!(link.receiver.wait_ms(link.now), 0);
    // The rest of a frame that a small buffer had no room for.
    link.receiver.transmit(link.now, &mut [0; 5]);
    assert_eq!(link.receiver.wait_ms(link.now), 0);
}

#[test]
fn a_lost_acknowledgment_makes_a_job_come_again_and_not_run_again() {
    let mut link = Link::connected(16);
    let ticket = link.publish(&[7]).unwrap();
    let up = link.up();
    link.hear_up(&up);
    let _lost = link.down();
    link.now += 1_000;
    link.settle();
    assert_eq!(link.taken(), (vec![ticket], vec![7]));
    assert_eq!(link.receiver.counters().repeated, 1);
    assert_eq!(link.sender.wait_ms(link.now), 1_000, "nothing is left to be acknowledged");
}

#[test]
fn frames_that_come_twice_are_taken_once() {
    let mut link = Link::connected(16);
    let tickets = link.publish_all(0..3);
    let up = link.up();
    for frame in up.chunks(72) {
        link.hear_up(frame);
        link.hear_up(frame);
    }
    link.hear_up(&up);
    assert_eq!(link.taken().0, tickets);
    link.finish(tickets);
    let down = link.down();
    link.hear_down(&down);
    link.hear_down(&down);
    assert_eq!(link.fates().len(), 3);
}

#[test]
fn one_that_comes_again_is_counted_and_acknowledged_beyond_a_gap_too() {
    let mut link = Link::connected(16);
    link.publish_all(0..2);
    let up = link.up();
    for repeated in 0..3 {
        link.hear_up(&up[72..]);
        assert_eq!(link.receiver.counters().repeated, repeated);
        let [ack] = &Frame::all(&link.down())[..] else { panic!("no acknowledgment") };
        assert_eq!((ack.kind, ack.words[1]), (ACK, 8 | 1 << 8));
    }
}

#[test]
fn one_that_comes_again_is_acknowledged_although_nobody_has_asked() {
    let mut link = Link::connected(16);
    link.publish(&[7]).unwrap();
    let up = link.up();
    link.hear_up(&up);
    let _lost = link.down();
    // The hello that asks is lost, too.
    link.hear_up(&up);
    let down = link.down();
    link.hear_down(&down);
    assert_eq!(link.sender.wait_ms(link.now), 1_000, "nothing is left to be acknowledged");
}

#[test]
fn an_old_frame_that_comes_again_changes_nothing_that_came_since() {
    let mut link = Link::connected(1_000);
    link.publish_all(0..8);
    let old = link.up();
    link.hear_up(&old);
    link.slots();
    link.settle();
    link.publish_all(8..16);
    link.settle();
    link.hear_up(&old);
    assert_eq!(link.taken().1, (8..16).collect::<Vec<u32>>());
}

#[test]
fn an_acknowledgment_of_another_connection_or_of_what_was_not_sent_is_nothing() {
    let mut link = Link::connected(16);
    link.publish_all(0..3);
    let _lost = link.up();
    link.publish_all(3..4);
    let strays = link.sender.counters().strays;
    // The token of a result is that of the acknowledgments.
    let mut other = Link::connected(16);
    other.publish(&[]).unwrap();
    let up = other.up();
    other.hear_up(&up);
    let ack = Frame::all(&other.down())[0].clone();
    let token = ack.words[0] ^ 1;
    link.hear_down(&Frame::new(ACK, 3, &[token ^ 3 ^ 0x100, 64]).bytes());
    assert_eq!(link.sender.counters().strays, strays + 1);
    for next in [4, 5, 100, u32::MAX] {
        link.hear_down(&Frame::new(ACK, next as u8, &[token ^ next, 64]).bytes());
    }
    link.now += 1_000;
    link.settle();
    assert_eq!(link.taken().1, [0, 1, 2, 3]);
}

#[test]
fn what_is_missing_is_told_before_anything_else() {
    let mut link = Link::connected(16);
    let tickets = link.publish_all(0..4);
    link.settle();
    link.slots();
    link.settle();
    link.finish(tickets);
    link.publish_all(4..6);
    let up = link.up();
    link.hear_up(&up[72..]);
    let kinds: Vec<u8> = Frame::all(&link.down()).iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [ACK, RESULT, RESULT, RESULT, RESULT]);
}

#[test]
fn many_results_to_send_do_not_hold_up_acknowledgments() {
    for (jobs, kinds) in [(1, [RESULT, RESULT, ACK]), (2, [ACK, RESULT, RESULT])] {
        let mut link = Link::connected(16);
        let tickets = link.publish_all(0..2);
        link.settle();
        link.slots();
        link.finish(tickets);
        link.publish_all(0..jobs);
        let up = link.up();
        link.hear_up(&up);
        let said: Vec<u8> = Frame::all(&link.down()).iter().map(|frame| frame.kind).collect();
        assert_eq!(said, kinds, "{jobs} jobs came");
    }
}

#[test]
fn the_largest_windows_tell_what_came_beyond_a_gap() {
    let mut sender = Sender::<64>::new(1, geometry());
    let mut receiver = Receiver::<64>::new(2, geometry());
    receiver.set_credits(64);
    let mut wire = [0; 8192];
    for _ in 0..4 {
        let len = sender.transmit(0, &mut wire);
        while receiver.receive(&wire[..len], 0) < len {
            receiver.next_event();
        }
        while receiver.next_event().is_some() {}
        let len = receiver.transmit(0, &mut wire);
        while sender.receive(&wire[..len], 0) < len {
            sender.next_event();
        }
        while sender.next_event().is_some() {}
    }
    let jobs: Vec<_> = (0..64).map(|_| sender.publish(&Job::new(0x100, &[])).unwrap()).collect();
    assert_eq!(sender.transmit(0, &mut wire), 64 * 72);
    let first = wire[..72].to_vec();
    let _ = receiver.receive(&wire[72..64 * 72], 0);
    // One more than any window reaches.
    let mut beyond = [0; 16];
    beyond[0] = jobs[0].session ^ 64;
    let _ = receiver.receive(&Frame::new(PUBLISH, 64, &beyond).bytes(), 0);
    assert_eq!(receiver.counters().strays, 1);
    let len = receiver.transmit(0, &mut wire);
    let [ack] = &Frame::all(&wire[..len])[..] else { panic!("more than an acknowledgment") };
    assert_eq!(ack.words[1..], [64 | 0xFF_FFFF << 8, u32::MAX]);
    let _ = sender.receive(&wire[..len], 0);
    // It is known that the first is missing; when that goes and is lost again, all others go that are
    // not known to have come.
    assert_eq!((sender.transmit(0, &mut wire), &wire[..72]), (72, &first[..]));
    let len = sender.transmit(1_000, &mut wire);
    let again: Vec<Frame> = Frame::all(&wire[..len]);
    let sequences = again.iter().filter(|frame| frame.kind == PUBLISH).map(|frame| frame.sequence);
    assert!(sequences.eq([0, 57, 58, 59, 60, 61, 62, 63]));
    let _ = receiver.receive(&first, 0);
    assert!(std::iter::from_fn(|| receiver.next_slot()).map(|(ticket, _)| ticket).eq(jobs));
}

#[test]
fn a_lost_result_goes_again_and_is_told_once() {
    let mut link = Link::connected(16);
    let tickets = link.publish_all(0..2);
    link.settle();
    link.slots();
    link.finish(tickets);
    let frames = Frame::all(&link.down());
    assert_eq!(frames[0].kind, RESULT);
    link.hear_down(&frames[1].bytes());
    assert_eq!(link.fates(), [(1, Fate::Done)]);
    link.settle();
    assert_eq!(link.fates(), [(0, Fate::Done)]);
}

#[test]
fn a_clock_that_jumps_or_wraps_costs_no_more_than_a_retransmission() {
    for jump in [1, 5_000, i32::MAX, i32::MIN, -1, -5_000, -200_000] {
        for start in [0, 1_000, u32::MAX - 3] {
            let mut link = Link::connected(16);
            link.now = start;
            link.publish_all(0..2);
            let _lost = link.up();
            link.now = link.now.wrapping_add_signed(jump);
            link.publish(&[2]).unwrap();
            let _lost = link.up();
            for _ in 0..3 {
                link.settle();
                link.now = link.now.wrapping_add(1_000);
            }
            assert_eq!(link.taken().1, [0, 1, 2], "from {start} by {jump}");
            let counters = link.sender.counters();
            assert!(counters.resent <= 6, "from {start} by {jump}: {counters:?}");
        }
    }
}

#[test]
fn a_clock_that_goes_back_makes_a_wait_begin_anew() {
    let mut link = Link::connected(16);
    link.publish(&[0]).unwrap();
    link.up();
    link.now -= 3;
    assert_eq!(link.sender.wait_ms(link.now), 200);
    assert_eq!(link.up(), []);
    link.now += 199;
    assert_eq!((link.sender.wait_ms(link.now), link.up()), (1, vec![]));
}

#[test]
fn a_long_run_wraps_the_sequence_numbers_and_keeps_every_order() {
    let mut link = Link::connected(16);
    for number in 0..2_000 {
        link.publish(&[number]).unwrap();
        let mut up = link.up();
        if number % 7 == 3 {
            up.clear();
        }
        link.hear_up(&up);
        let down = link.down();
        link.hear_down(&down);
        if number % 5 == 4 {
            link.now += 1_000;
            link.settle();
            let (tickets, numbers) = link.taken();
            assert_eq!(numbers, (number - 4..=number).collect::<Vec<_>>());
            for ticket in tickets {
                link.receiver.result(ticket, Fate::Done, &[ticket.number]).unwrap();
            }
            link.receiver.set_credits(16);
            link.settle();
        }
    }
    let told: Vec<u32> = link.fates().iter().map(|(number, _)| *number).collect();
    assert_eq!(told, (0..2_000).collect::<Vec<_>>());
}

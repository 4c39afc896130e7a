//! Jobs and results over the link, story by story: each once, in order, whatever gets lost.

mod core_link_fixture;

use core_link_fixture::{ACK, Frame, HELLO, Link, PUBLISH, RESULT, geometry};
use slipring_core::link::{
    Event, Fate, MAX_UNFINISHED, Receiver, ResultError, ResultWords, SendError, Sender,
};
use slipring_core::opcode;
use slipring_core::ring::{Job, PublishError};
use slipring_core::slot::{Priority, State};

#[test]
fn a_job_goes_up_and_its_result_comes_down() {
    let mut link = Link::connected(4);
    let job = Job::new(opcode::ATOMIC_ADD, &[3, 160]).tenant(2).priority(Priority::High);
    let ticket = link.sender.publish(&job).unwrap();
    link.settle();
    let [(at_host, slot)] = link.slots()[..] else { panic!("other than one slot") };
    assert_eq!((at_host, slot.state()), (ticket, State::Empty));
    assert_eq!((slot.opcode, slot.tenant, slot.priority), (opcode::ATOMIC_ADD, 2, 1));
    assert_eq!(slot.args, [3, 160, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    link.receiver.result(ticket, Fate::Done, &[42]).unwrap();
    link.settle();
    let words = ResultWords::from_slice(&[42]).unwrap();
    assert_eq!(link.events, [Event::Finished { ticket, fate: Fate::Done, words }]);
}

#[test]
fn every_fate_and_every_number_of_words_arrives() {
    let fates = [Fate::Done, Fate::Fault(1), Fate::Fault(255), Fate::NotRun, Fate::Unknown];
    for fate in fates {
        for count in 0..=12 {
            let mut link = Link::connected(4);
            let ticket = link.publish(&[]).unwrap();
            link.settle();
            link.slots();
            let words: Vec<u32> = (0..count).collect();
            link.receiver.result(ticket, fate, &words).unwrap();
            link.settle();
            let words = ResultWords::from_slice(&words).unwrap();
            assert_eq!(link.events, [Event::Finished { ticket, fate, words }]);
        }
    }
}

#[test]
fn results_may_come_in_any_order() {
    let mut link = Link::connected(8);
    let tickets = link.publish_all(0..4);
    link.settle();
    link.slots();
    for index in [2, 0, 3, 1] {
        link.receiver.result(tickets[index], Fate::Done, &[]).unwrap();
        link.settle();
    }
    let order: Vec<u32> = link.fates().iter().map(|(number, _)| *number).collect();
    assert_eq!(order, [2, 0, 3, 1]);
}

#[test]
fn a_job_that_is_wrong_is_refused_before_anything_else() {
    let mut link = Link::new();
    let refused = Err(SendError::Job(PublishError::TooManyArgs { item: 0, args: 13 }));
    assert_eq!(link.publish(&[0; 13]), refused);
    let refused = Err(SendError::Job(PublishError::Opcode { item: 0, opcode: 0xFFF0 }));
    assert_eq!(link.sender.publish(&Job::new(0xFFF0, &[])), refused);
    assert_eq!(link.publish(&[]), Err(SendError::NotConnected));
}

#[test]
fn a_job_with_few_arguments_gets_none_of_one_before() {
    let mut link = Link::connected(1_000);
    for job in 0..32 {
        let args = [job; 12];
        link.publish(&args[..12 * (job as usize / 8 % 2)]).unwrap();
        link.settle();
        let [(_, slot)] = link.slots()[..] else { panic!("other than one slot") };
        assert_eq!(slot.args, [if job / 8 % 2 == 0 { 0 } else { job }; 12]);
    }
}

#[test]
fn a_full_window_is_said_and_changes_nothing() {
    let mut link = Link::connected(16);
    let tickets = link.publish_all(0..8);
    for _ in 0..3 {
        assert_eq!(link.publish(&[8]), Err(SendError::Full { window: 8 }));
    }
    link.settle();
    assert_eq!(link.taken().0, tickets);
    let ninth = link.publish(&[8]).unwrap();
    assert_eq!(ninth.number, tickets[7].number + 1);
    link.settle();
    assert_eq!(link.taken().1, [8]);
}

#[test]
fn jobs_that_are_not_finished_are_bounded() {
    let mut link = Link::connected(1_000);
    for number in 0..MAX_UNFINISHED {
        link.publish(&[number]).unwrap();
        link.settle();
        link.slots();
        link.receiver.set_credits(1_000);
    }
    let refused = SendError::Unfinished { unfinished: MAX_UNFINISHED, limit: MAX_UNFINISHED };
    assert_eq!(link.publish(&[]), Err(refused));
}

#[test]
fn the_oldest_unfinished_job_is_what_counts() {
    let mut link = Link::connected(1_000);
    let first = link.publish(&[0]).unwrap();
    for number in 1..MAX_UNFINISHED {
        let ticket = link.publish(&[number]).unwrap();
        link.settle();
        link.slots();
        link.receiver.set_credits(1_000);
        link.receiver.result(ticket, Fate::Done, &[]).unwrap();
        link.settle();
    }
    assert!(matches!(link.publish(&[]), Err(SendError::Unfinished { .. })));
    link.receiver.result(first, Fate::Done, &[]).unwrap();
    link.settle();
    assert!(link.publish(&[]).is_ok());
}

#[test]
fn a_host_without_room_makes_the_microcontroller_wait() {
    let mut link = Link::connected(3);
    link.publish_all(0..8);
    link.settle();
    assert_eq!(link.taken().1, [0, 1, 2]);
    assert_eq!(Frame::all(&link.up()), []);
    // A window that fills up is what firmware sees of it.
    link.publish_all(8..11);
    assert_eq!(link.publish(&[11]), Err(SendError::Full { window: 8 }));
    link.receiver.set_credits(100);
    link.settle();
    assert_eq!(link.taken().1, (3..11).collect::<Vec<u32>>());
}

#[test]
fn slots_that_the_host_does_not_take_are_not_asked_for_beyond_its_storage() {
    let mut link = Link::connected(1_000);
    link.publish_all(0..8);
    link.settle();
    link.receiver.set_credits(1_000);
    link.publish_all(8..16);
    link.settle();
    assert_eq!(link.receiver.counters().strays, 0);
    assert_eq!(link.slots().len(), 8);
    link.settle();
    assert_eq!(link.taken().1, (8..16).collect::<Vec<u32>>());
}

#[test]
fn a_slot_beyond_the_hosts_storage_is_not_taken() {
    let mut link = Link::connected(1_000);
    let tickets = link.publish_all(0..8);
    link.settle();
    let mut words = [0; 16];
    words[0] = tickets[0].session ^ 8;
    link.hear_up(&Frame::new(PUBLISH, 8, &words).bytes());
    assert_eq!(link.receiver.counters().strays, 1);
    assert_eq!(link.taken().1, (0..8).collect::<Vec<u32>>());
}

#[test]
fn room_is_told_when_it_is_half_a_window_or_the_last_was_used_up() {
    let mut link = Link::connected(8);
    link.publish_all(0..4);
    link.settle();
    assert_eq!(link.slots().len(), 4);
    link.receiver.set_credits(7);
    assert_eq!(link.down(), []);
    link.receiver.set_credits(8);
    assert_eq!(Frame::all(&link.down())[0].words[1], 8);
}

#[test]
fn a_host_may_take_back_room_and_what_came_is_acknowledged_all_the_same() {
    let mut link = Link::connected(8);
    link.publish_all(0..4);
    let up = link.up();
    link.hear_up(&up);
    link.receiver.set_credits(0);
    let down = link.down();
    // No credits, and nothing beyond the next.
    assert_eq!((Frame::all(&down)[0].sequence, Frame::all(&down)[0].words[1]), (4, 0));
    link.hear_down(&down);
    link.publish_all(4..8);
    assert_eq!(link.up(), []);
    assert_eq!(link.taken().1, [0, 1, 2, 3]);
    link.receiver.set_credits(8);
    link.settle();
    assert_eq!(link.taken().1, [4, 5, 6, 7]);
}

#[test]
fn credits_that_got_lost_are_asked_for() {
    let mut link = Link::connected(0);
    link.publish(&[7]).unwrap();
    assert_eq!(link.up(), []);
    link.receiver.set_credits(1);
    let lost = link.down();
    assert_eq!(Frame::all(&lost)[0].kind, ACK);
    link.now += 1_000;
    let asks = Frame::all(&link.up());
    assert_eq!(asks.iter().map(|frame| frame.kind).collect::<Vec<_>>(), [HELLO]);
    link.hear_up(&asks[0].bytes());
    link.settle();
    assert_eq!(link.taken().1, [7]);
}

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
    for ticket in link.taken().0 {
        link.receiver.result(ticket, Fate::Done, &[]).unwrap();
    }
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
        for ticket in tickets {
            link.receiver.result(ticket, Fate::Done, &[]).unwrap();
        }
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
    for ticket in tickets {
        link.receiver.result(ticket, Fate::Done, &[]).unwrap();
    }
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
fn a_result_of_a_job_that_has_none_to_come_is_nothing() {
    let mut link = Link::connected(16);
    let ticket = link.publish(&[]).unwrap();
    link.settle();
    link.slots();
    link.receiver.result(ticket, Fate::Done, &[]).unwrap();
    let down = link.down();
    link.hear_down(&down);
    assert_eq!(link.fates(), [(0, Fate::Done)]);
    let token = Frame::all(&down)[0].words[0];
    // Of a host that counts them anew: one that had its result, and one that was never published.
    for (sequence, number) in [(1, 0), (2, 1), (3, u32::MAX)] {
        link.hear_down(&Frame::new(RESULT, sequence, &[token, number, 3]).bytes());
    }
    assert_eq!(link.events, []);
}

#[test]
fn what_the_other_side_would_hear_is_nothing_to_this_one() {
    let mut link = Link::connected(16);
    let session = link.publish(&[]).unwrap().session;
    link.hear_up(&Frame::new(RESULT, 0, &[session, 0, 3]).bytes());
    link.settle();
    assert_eq!((link.receiver.counters().strays, link.slots().len()), (1, 1));
    let acknowledges = Frame::all(&{
        link.publish(&[]).unwrap();
        let up = link.up();
        link.hear_up(&up);
        link.down()
    });
    let mut words = [0; 16];
    words[0] = acknowledges[0].words[0] ^ 2;
    link.hear_down(&Frame::new(PUBLISH, 0, &words).bytes());
    assert_eq!((link.sender.counters().strays, link.events), (1, vec![]));
}

#[test]
fn an_old_result_that_comes_again_takes_no_other_ones_place() {
    let mut link = Link::connected(1_000);
    let mut old = Vec::new();
    // As many as it takes until their sequence is the old one's again.
    for number in 0..=256 {
        link.publish(&[number]).unwrap();
        link.settle();
        for ticket in link.taken().0 {
            link.receiver.result(ticket, Fate::Done, &[]).unwrap();
        }
        let down = link.down();
        if number == 0 {
            old = down.clone();
        } else if number == 256 {
            link.hear_down(&old);
        }
        link.hear_down(&down);
        assert_eq!(link.fates(), [(number, Fate::Done)]);
        link.settle();
    }
}

#[test]
fn what_is_missing_is_told_before_anything_else() {
    let mut link = Link::connected(16);
    let tickets = link.publish_all(0..4);
    link.settle();
    link.slots();
    link.settle();
    for ticket in tickets {
        link.receiver.result(ticket, Fate::Done, &[]).unwrap();
    }
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
        for ticket in tickets {
            link.receiver.result(ticket, Fate::Done, &[]).unwrap();
        }
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
    for ticket in tickets {
        link.receiver.result(ticket, Fate::Done, &[]).unwrap();
    }
    let frames = Frame::all(&link.down());
    assert_eq!(frames[0].kind, RESULT);
    link.hear_down(&frames[1].bytes());
    assert_eq!(link.fates(), [(1, Fate::Done)]);
    link.settle();
    assert_eq!(link.fates(), [(0, Fate::Done)]);
}

#[test]
fn a_result_is_taken_once_for_a_job_that_was_handed_out() {
    let mut link = Link::connected(16);
    let ticket = link.publish(&[]).unwrap();
    link.settle();
    let number = ticket.number;
    let not_awaited = Err(ResultError::NotAwaited { number });
    assert_eq!(link.receiver.result(ticket, Fate::Done, &[]), not_awaited);
    link.slots();
    let too_many = Err(ResultError::TooManyWords { words: 13 });
    assert_eq!(link.receiver.result(ticket, Fate::Done, &[0; 13]), too_many);
    assert_eq!(link.receiver.result(ticket, Fate::Done, &[]), Ok(()));
    assert_eq!(link.receiver.result(ticket, Fate::Done, &[]), not_awaited);
    let other = slipring_core::link::LinkTicket { session: ticket.session ^ 1, number };
    let orphaned = Err(ResultError::Orphaned { session: other.session, number });
    assert_eq!(link.receiver.result(other, Fate::Done, &[]), orphaned);
}

#[test]
fn a_full_window_of_results_is_said_and_changes_nothing() {
    let mut link = Link::connected(100);
    link.publish_all(0..8);
    link.settle();
    link.publish_all(8..9);
    let (mut tickets, _) = link.taken();
    link.settle();
    tickets.extend(link.taken().0);
    for (room, ticket) in (0..8).rev().zip(&tickets) {
        link.receiver.result(*ticket, Fate::Done, &[]).unwrap();
        assert_eq!(link.receiver.result_room(), room);
    }
    let full = Err(ResultError::Full { window: 8 });
    assert_eq!(link.receiver.result(tickets[8], Fate::Done, &[]), full);
    link.settle();
    assert_eq!(link.receiver.result_room(), 8);
    link.receiver.result(tickets[8], Fate::Done, &[]).unwrap();
    link.settle();
    assert_eq!(link.fates().len(), 9);
}

#[test]
fn an_event_is_to_be_taken_before_more_bytes_are() {
    let mut link = Link::connected(16);
    let tickets = link.publish_all(0..2);
    link.settle();
    link.slots();
    for ticket in tickets {
        link.receiver.result(ticket, Fate::Done, &[1, 2, 3]).unwrap();
    }
    let down = link.down();
    let first = link.sender.receive(&down, link.now);
    assert!(first < down.len());
    assert_eq!(link.sender.receive(&down[first..], link.now), 0);
    assert!(link.sender.next_event().is_some() && link.sender.next_event().is_none());
    assert!(link.sender.receive(&down[first..], link.now) > 0);
    let Some(Event::Finished { words, .. }) = link.sender.next_event() else { panic!("no event") };
    assert_eq!(*words, [1, 2, 3]);
}

#[test]
fn bytes_that_were_not_offered_again_are_only_lost() {
    let mut link = Link::connected(16);
    let tickets = link.publish_all(0..3);
    link.settle();
    link.slots();
    for ticket in tickets {
        link.receiver.result(ticket, Fate::Done, &[]).unwrap();
    }
    // Firmware that looks at no more than the first event of what it has read.
    for _ in 0..20 {
        let down = link.down();
        let _ = link.sender.receive(&down, link.now);
        link.events.extend(link.sender.next_event());
        let up = link.up();
        link.hear_up(&up);
        link.now += 1_000;
    }
    assert_eq!(link.fates().len(), 3);
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

#[test]
fn a_sender_of_eight_fits_in_a_kilobyte() {
    assert!(size_of::<Sender<8>>() <= 1_024);
    assert!(size_of::<Receiver<64>>() <= 16 * 1_024);
}

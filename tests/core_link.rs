//! Jobs and results over the link, story by story: each once, in order, whatever gets lost.

mod core_link_fixture;

use core_link_fixture::{ACK, Frame, HELLO, Link, PUBLISH, RESULT};
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
        let tickets = link.taken().0;
        link.finish(tickets);
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
    link.finish(tickets);
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
fn a_sender_of_eight_fits_in_a_kilobyte() {
    assert!(size_of::<Sender<8>>() <= 1_024);
    assert!(size_of::<Receiver<64>>() <= 16 * 1_024);
}

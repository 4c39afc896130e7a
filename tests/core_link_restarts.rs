//! Sides that start anew, and what becomes of jobs and results then.

mod core_link_fixture;

use core_link_fixture::{ACK, Frame, HELLO, Link, PUBLISH, RESULT, geometry, hello};
use slipring_core::link::{Event, Fate, HostEvent, Notice, Receiver, ResultError, SendError};

#[test]
fn when_the_host_starts_anew_every_job_in_flight_is_told_of_and_none_goes_again() {
    let mut link = Link::connected(4);
    link.publish_all(0..8);
    link.settle();
    // 0 has ended; 1 and 2 have come; 3 came, but was not taken; 4 and 5 were never sent.
    let (tickets, _) = link.taken();
    link.receiver.result(tickets[0], Fate::Done, &[]).unwrap();
    link.settle();
    link.restart_receiver(3);
    link.settle();
    let done = (0, Fate::Done);
    let unknown = (1..4).map(|number| (number, Fate::Unknown));
    let not_run = (4..8).map(|number| (number, Fate::NotRun));
    let told: Vec<_> = [done].into_iter().chain(unknown).chain(not_run).collect();
    assert_eq!(link.fates(), told);
    assert_eq!(link.events[0], Event::Link(Notice::Disconnected));
    assert_eq!(link.slots(), []);
    // And it goes on, with the next number.
    let ticket = link.publish(&[8]).unwrap();
    assert_eq!(ticket.number, 8);
    link.settle();
    assert_eq!(link.taken(), (vec![ticket], vec![8]));
}

#[test]
fn credits_and_waits_of_before_do_not_count_for_another_host() {
    let mut link = Link::connected(16);
    link.publish(&[0]).unwrap();
    for _ in 0..10 {
        let _lost = link.up();
        link.now += 1_000;
    }
    link.receiver = Receiver::new(3, geometry());
    for _ in 0..2 {
        let down = link.down();
        link.hear_down(&down);
        let up = link.up();
        link.hear_up(&up);
    }
    link.publish(&[1]).unwrap();
    assert!(link.sender.is_connected() && link.up().is_empty(), "it has no credits yet");
    link.settle();
    assert_eq!((link.up(), link.sender.wait_ms(link.now)), (vec![], 200));
    link.receiver.set_credits(16);
    link.settle();
    // The round trip to it is learnt, too.
    link.publish(&[2]).unwrap();
    let _lost = link.up();
    assert_eq!(link.sender.wait_ms(link.now), 10);
}

#[test]
fn a_side_that_was_led_to_begin_anew_makes_the_other_do_so_too() {
    let mut link = Link::connected(8);
    let tickets = link.publish_all(0..3);
    let up = link.up();
    link.hear_up(&up[..72]);
    assert_eq!(link.taken().0, tickets[..1]);
    // A hello of nobody, and the rest of the jobs comes late.
    link.hear_down(&hello(2, 99, 0).bytes());
    let greeting = link.up();
    // It knows nobody now.
    assert_eq!(Frame::all(&greeting)[0].words[8], 0);
    link.hear_up(&up[72..]);
    link.hear_up(&greeting);
    assert_eq!(link.fates(), [0, 1, 2].map(|number| (number, Fate::Unknown)));
    link.settle();
    assert!(link.host_events.contains(&HostEvent::Link(Notice::Disconnected)));
    assert_eq!(link.taken(), (vec![], vec![]));
    let (session, number) = (tickets[0].session, 0);
    let late = link.receiver.result(tickets[0], Fate::Done, &[]);
    assert_eq!(late, Err(ResultError::Orphaned { session, number }));
    link.publish_all(3..5);
    link.settle();
    assert_eq!(link.taken().1, [3, 4]);
}

#[test]
fn numbers_of_32_bits_begin_anew_without_a_gap() {
    let first = u32::MAX - 3;
    let numbers: [u32; 8] = std::array::from_fn(|index| first.wrapping_add(index as u32));
    // Jobs that come in the wrong order, as after losses: their numbers wrap in the window.
    let mut link = Link::new();
    link.receiver.set_credits(8);
    let mut sender = hello(1, 5, Frame::all(&link.down())[0].words[7]);
    sender.words[9] = first;
    link.hear_up(&sender.bytes());
    let HostEvent::Link(Notice::Connected { session }) = link.host_events[0] else {
        panic!("{:?}", link.host_events);
    };
    for number in [3, 1, 0, 6, 7, 5, 2, 4, 7, 0].map(|index: usize| numbers[index]) {
        let mut words = [0; 16];
        (words[0], words[4]) = (session ^ number, number);
        link.hear_up(&Frame::new(PUBLISH, number as u8, &words).bytes());
    }
    let (tickets, args) = link.taken();
    assert_eq!(args, numbers);
    assert!(tickets.iter().map(|ticket| ticket.number).eq(numbers));
    assert_eq!(link.receiver.counters().repeated, 2);
    link.finish(tickets);
    link.hear_up(&Frame::new(ACK, 0, &[session, 64]).bytes());
    let down = Frame::all(&link.down());
    let acknowledged = down.iter().find(|frame| frame.kind == ACK).unwrap();
    assert_eq!(acknowledged.sequence, first.wrapping_add(8) as u8);
    let of_jobs = down.iter().filter(|frame| frame.kind == RESULT).map(|frame| frame.words[1]);
    assert!(of_jobs.eq(numbers));
}

#[test]
fn while_fates_are_told_nothing_is_published() {
    let mut link = Link::connected(4);
    link.publish_all(0..3);
    link.up();
    link.restart_receiver(3);
    let down = link.down();
    assert!(link.sender.receive(&down, link.now) > 0);
    for left in (0..4).rev() {
        assert_eq!(link.publish(&[]), Err(SendError::NotConnected));
        assert_eq!(link.sender.receive(&down, link.now), 0);
        assert!(link.sender.next_event().is_some(), "{left} are left");
    }
    assert_eq!(link.sender.next_event(), None);
}

#[test]
fn when_the_microcontroller_starts_anew_nothing_of_before_is_run_or_delivered() {
    let mut link = Link::connected(8);
    link.publish_all(0..8);
    link.settle();
    let tickets: Vec<_> = link.slots().into_iter().map(|(ticket, _)| ticket).collect();
    link.receiver.set_credits(8);
    link.settle();
    link.publish_all(8..10);
    link.settle();
    // A result that arrived, one on its way, one that was not sent; 8 and 9 were not taken.
    link.receiver.result(tickets[0], Fate::Done, &[]).unwrap();
    link.settle();
    link.receiver.result(tickets[1], Fate::Done, &[]).unwrap();
    let _lost = link.down();
    link.receiver.result(tickets[2], Fate::Done, &[]).unwrap();
    link.restart_sender(5);
    let up = link.up();
    link.hear_up(&up);
    let orphaned = [1, 2].map(|index| HostEvent::Orphaned { ticket: tickets[index] });
    assert_eq!(link.host_events[0], HostEvent::Link(Notice::Disconnected));
    assert_eq!(link.host_events[1..], orphaned);
    assert_eq!(link.slots(), []);
    link.settle();
    assert!(matches!(link.host_events[3..], [HostEvent::Link(Notice::Connected { .. })]));
    assert_eq!(link.slots(), []);
    let (session, number) = (tickets[3].session, tickets[3].number);
    let late = link.receiver.result(tickets[3], Fate::Done, &[]);
    assert_eq!(late, Err(ResultError::Orphaned { session, number }));
    assert_eq!(link.fates(), [(0, Fate::Done)]);
    // The first job of the new one, although it has the old number.
    let ticket = link.publish(&[70]).unwrap();
    assert_eq!((ticket.number, ticket.session != session), (0, true));
    link.settle();
    assert_eq!(link.taken().1, [70]);
}

#[test]
fn a_result_that_was_never_sent_is_orphaned_too_before_more_is_heard() {
    let mut link = Link::connected(8);
    let tickets = link.publish_all(0..2);
    link.settle();
    link.slots();
    link.receiver.result(tickets[0], Fate::Done, &[]).unwrap();
    link.restart_sender(5);
    let up = link.up();
    assert_eq!(link.receiver.receive(&up, link.now), up.len());
    assert_eq!(link.receiver.next_event(), Some(HostEvent::Link(Notice::Disconnected)));
    assert_eq!(link.receiver.receive(&up, link.now), 0);
    let late = link.receiver.result(tickets[1], Fate::Done, &[]);
    assert!(matches!(late, Err(ResultError::Orphaned { .. })), "{late:?}");
    let ticket = tickets[0];
    assert_eq!(link.receiver.next_event(), Some(HostEvent::Orphaned { ticket }));
    assert_eq!(link.receiver.next_event(), None);
}

#[test]
fn a_result_that_arrived_is_not_orphaned_although_one_before_it_did_not() {
    let mut link = Link::connected(8);
    for number in 0..2 {
        link.publish(&[number]).unwrap();
    }
    link.settle();
    let (tickets, _) = link.taken();
    for ticket in &tickets {
        link.receiver.result(*ticket, Fate::Done, &[]).unwrap();
    }
    let down = Frame::all(&link.down());
    link.hear_down(&down[1].bytes());
    let acknowledges = link.up();
    link.hear_up(&acknowledges);
    link.restart_sender(5);
    link.settle();
    assert_eq!(link.fates(), [(1, Fate::Done)]);
    let orphaned = |event: &&HostEvent| matches!(event, HostEvent::Orphaned { .. });
    let told: Vec<_> = link.host_events.iter().filter(orphaned).collect();
    assert_eq!(told, [&HostEvent::Orphaned { ticket: tickets[0] }]);
}

#[test]
fn frames_of_an_older_session_that_some_bridge_has_kept_are_never_taken() {
    let mut link = Link::connected(8);
    link.publish_all(0..4);
    let up = link.up();
    link.hear_up(&up);
    let (tickets, _) = link.taken();
    link.finish(tickets);
    let down = link.down();
    // Either side starts anew; both, one after the other.
    for restarts in 1..4 {
        if restarts & 1 != 0 {
            link.restart_sender(10 + restarts);
        }
        if restarts & 2 != 0 {
            link.restart_receiver(20 + restarts);
        }
        link.settle();
        link.events.clear();
        link.publish_all(0..3);
        link.hear_up(&up);
        link.hear_down(&down);
        link.settle();
        link.hear_up(&up);
        link.hear_down(&down);
        assert_eq!(link.taken().1, [0, 1, 2], "restarts {restarts}");
        assert_eq!(link.events, [], "restarts {restarts}");
        assert!(link.receiver.counters().strays >= 4);
    }
}

#[test]
fn a_session_id_that_is_used_again_is_noticed_where_the_wire_is_good() {
    let mut link = Link::connected(8);
    link.publish_all(0..5);
    link.settle();
    assert_eq!(link.slots().len(), 5);
    link.restart_sender(1);
    link.settle();
    link.publish_all(5..8);
    link.settle();
    assert_eq!(link.taken().1, [5, 6, 7]);
}

#[test]
fn a_peer_that_believes_to_be_connected_is_greeted_at_once_and_not_for_every_frame() {
    let mut link = Link::connected(8);
    link.publish_all(0..8);
    let up = link.up();
    link.restart_receiver(3);
    let _lost = link.down();
    link.now += 50;
    link.hear_up(&up);
    let hellos = Frame::all(&link.down());
    assert_eq!(hellos.iter().map(|frame| frame.kind).collect::<Vec<_>>(), [HELLO]);
    link.hear_up(&up);
    assert_eq!(link.down(), []);
}

#[test]
fn a_side_that_missed_the_hello_of_the_other_is_connected_after_all() {
    // The sender is connected, and its own hello is lost; so are its first jobs.
    let mut link = Link::new();
    link.receiver.set_credits(8);
    let up = link.up();
    link.hear_up(&up);
    let down = link.down();
    link.hear_down(&down);
    assert!(link.sender.is_connected() && !link.receiver.is_connected());
    let _lost = link.up();
    link.publish_all(0..3);
    let _lost = link.up();
    link.now += 1_000;
    link.settle();
    link.now += 1_000;
    link.settle();
    assert_eq!(link.taken().1, [0, 1, 2]);
}

#[test]
fn a_sender_whose_host_has_gone_goes_on_asking_and_sends_nothing_else_anew() {
    let mut link = Link::connected(8);
    link.publish(&[7]).unwrap();
    link.up();
    let mut kinds = Vec::new();
    for _ in 0..100 {
        link.now += 1_000;
        kinds.extend(Frame::all(&link.up()).iter().map(|frame| frame.kind));
    }
    assert_eq!(kinds, [HELLO, PUBLISH].repeat(100));
}

//! Who is at the other end: greeting and refusing.

mod core_link_fixture;

use core_link_fixture::{Frame, HELLO, Link, RESET, connected_events, hello};
use slipring_core::layout::Geometry;
use slipring_core::link::{Event, Fate, HostEvent, Notice, Reason, Receiver, Refusal, SendError};
use std::collections::HashSet;

const REFUSED_BY: fn(Refusal) -> Event = |refusal| Event::Link(Notice::RefusedByPeer(refusal));

fn refused(reason: Reason, expected: u32, found: u32) -> Refusal {
    Refusal { reason, expected, found }
}

#[test]
fn both_sides_call_the_connection_alike() {
    let mut link = Link::new();
    link.settle();
    let [Event::Link(Notice::Connected { session })] = link.events[..] else { panic!("no event") };
    assert_eq!(link.host_events, [HostEvent::Link(Notice::Connected { session })]);
    assert_eq!(link.publish(&[]).unwrap().session, session);
}

#[test]
fn a_transceiver_may_make_up_a_byte_whenever_it_is_turned_on() {
    let mut link = Link::new();
    let burst = |bytes: Vec<u8>| if bytes.is_empty() { bytes } else { [&[0xFF], &*bytes].concat() };
    let (mut published, mut ended) = (0, Vec::new());
    while ended.len() < 20 {
        assert!(link.now < 100_000, "{ended:?}");
        // One at a time: each is a burst of its own, and so is its result.
        if published == ended.len() as u32 && link.publish(&[published]).is_ok() {
            published += 1;
        }
        let (up, down) = (burst(link.up()), burst(link.down()));
        link.hear_up(&up);
        link.hear_down(&down);
        link.receiver.set_credits(16);
        let tickets = link.taken().0;
        link.finish(tickets);
        ended.extend(link.fates());
        link.now += 1;
    }
    assert!(ended.into_iter().eq((0..20).map(|number| (number, Fate::Done))));
}

#[test]
fn it_does_not_matter_who_speaks_first() {
    for (up_is_lost, down_is_lost) in [(true, false), (false, true), (true, true)] {
        let mut link = Link::new();
        let (up, down) = (link.up(), link.down());
        if !up_is_lost {
            link.hear_up(&up);
        }
        if !down_is_lost {
            link.hear_down(&down);
        }
        link.settle();
        link.now += 100;
        link.settle();
        assert!(link.sender.is_connected() && link.receiver.is_connected());
    }
}

#[test]
fn sides_with_the_same_id_are_told_apart() {
    let mut link = Link::new();
    link.restart_receiver(1);
    link.settle();
    link.publish(&[7]).unwrap();
    link.settle();
    assert_eq!(link.taken().1, [7]);
}

#[test]
fn a_session_of_0_works_and_is_not_what_a_hello_to_nobody_names() {
    let mut link = Link::new();
    link.restart_sender(0);
    link.restart_receiver(0);
    let up = link.up();
    link.hear_up(&up);
    assert!(!link.receiver.is_connected());
    link.settle();
    link.publish(&[7]).unwrap();
    link.settle();
    assert_eq!(link.taken().1, [7]);
}

#[test]
fn ids_that_count_up_make_connections_that_are_not_alike() {
    let id = |[sender, receiver]: [u32; 2]| {
        let mut link = Link::new();
        link.restart_sender(sender);
        link.restart_receiver(receiver);
        link.settle();
        link.publish(&[]).unwrap().session
    };
    let ids: HashSet<u32> = (0..400).map(|n| id([n / 20, n % 20])).collect();
    // 0 is used as 1.
    assert_eq!(ids.len(), 19 * 19);
}

#[test]
fn a_side_that_begins_anew_greets_as_often_as_at_first() {
    let mut link = Link::new();
    for _ in 0..10 {
        let _lost = link.up();
        link.now += 1_000;
    }
    link.receiver.set_credits(8);
    link.settle();
    // What is on its way is not waited for any more.
    link.publish(&[]).unwrap();
    link.up();
    link.hear_down(&hello(2, 99, 0).bytes());
    let waits = [(); 4].map(|()| {
        assert_eq!(Frame::all(&link.up()).len(), 1);
        let wait = link.sender.wait_ms(link.now);
        link.now += wait;
        wait
    });
    assert_eq!(waits, [100, 200, 400, 800]);
}

#[test]
fn room_is_told_at_once_to_another_microcontroller_too() {
    let mut link = Link::connected(8);
    for number in 0..20 {
        link.publish(&[number]).unwrap();
        link.settle();
        link.slots();
        link.receiver.set_credits(8);
        link.settle();
    }
    link.restart_sender(5);
    // It begins anew before the new one greets, which is the first to be connected.
    link.hear_up(&hello(1, 99, 0).bytes());
    for _ in 0..3 {
        let up = link.up();
        link.hear_up(&up);
        let down = link.down();
        link.hear_down(&down);
    }
    link.publish_all(0..8);
    link.settle();
    assert_eq!(link.taken().1, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn two_that_ask_each_other_do_not_go_on_for_ever() {
    let mut link = Link::connected(16);
    let ticket = link.publish(&[]).unwrap();
    link.settle();
    link.slots();
    link.receiver.result(ticket, Fate::Done, &[]).unwrap();
    link.publish(&[]).unwrap();
    for _ in 0..2 {
        let _lost = (link.up(), link.down());
        link.now += 1_000;
    }
    link.settle();
    assert!(link.sender.counters().timeouts > 0 && link.receiver.counters().timeouts > 0);
    assert_eq!(link.sender.wait_ms(link.now), 1_000);
}

#[test]
fn a_side_alone_greets_ever_more_rarely_and_at_least_once_a_second() {
    let mut link = Link::new();
    let mut times = Vec::new();
    while link.now < 10_000 {
        if !link.up().is_empty() {
            times.push(link.now);
        }
        assert_eq!(link.up(), []);
        link.now += link.sender.wait_ms(link.now);
    }
    let waits: Vec<u32> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits[..6], [100, 200, 400, 800, 1_000, 1_000]);
}

#[test]
fn a_host_of_another_geometry_is_refused_with_both_values_and_told_once() {
    let counts = |[slots, observables, debug_records, io_slots]: [u32; 4]| {
        Geometry::new(slots, observables, debug_records, io_slots).unwrap()
    };
    for (reason, ours, theirs, geometry) in [
        (Reason::Slots, 16, 32, counts([32, 8, 64, 64])),
        (Reason::Observables, 8, 9, counts([16, 9, 64, 64])),
        (Reason::DebugRecords, 64, 4, counts([16, 8, 4, 64])),
        (Reason::IoSlots, 64, 2, counts([16, 8, 64, 2])),
    ] {
        let mut link = Link::new();
        link.receiver = Receiver::new(9, geometry);
        for _ in 0..5 {
            link.settle();
            link.now += 1_000;
        }
        let (by_sender, by_receiver) =
            (refused(reason, ours, theirs), refused(reason, theirs, ours));
        let host = |notice| HostEvent::Link(notice);
        assert_eq!(link.events.len(), 2);
        assert!(link.events.contains(&Event::Link(Notice::Refused(by_sender))));
        assert!(link.events.contains(&REFUSED_BY(by_receiver)));
        assert_eq!(link.host_events.len(), 2);
        assert!(link.host_events.contains(&host(Notice::Refused(by_receiver))));
        assert!(link.host_events.contains(&host(Notice::RefusedByPeer(by_sender))));
        assert_eq!(link.publish(&[]), Err(SendError::NotConnected));
        // A host that fits is welcome at any time.
        link.restart_receiver(10);
        link.now += 1_000;
        link.settle();
        assert_eq!(connected_events(&link.events), 1);
    }
}

#[test]
fn other_revisions_are_refused_with_both_values() {
    for (reason, word, theirs) in [(Reason::LinkRevision, 0, 2), (Reason::AbiRevision, 2, 77)] {
        let mut link = Link::new();
        link.up();
        let mut other = hello(2, 9, 0);
        other.words[word] = theirs;
        link.hear_down(&other.bytes());
        link.hear_down(&other.bytes());
        let refusal = refused(reason, 1, theirs);
        assert_eq!(link.events, [Event::Link(Notice::Refused(refusal))]);
        let reset = Frame::new(RESET, 0, &[9, reason as u32, 1, theirs]);
        let up = link.up();
        assert_eq!((up[0], Frame::all(&up)), (0, vec![reset]));
    }
}

#[test]
fn a_refusal_that_this_revision_does_not_know_is_told_too() {
    let mut link = Link::new();
    link.hear_down(&Frame::new(RESET, 0, &[1, 99, 5, 6]).bytes());
    assert_eq!(link.events, [REFUSED_BY(refused(Reason::Other, 5, 6))]);
}

#[test]
fn two_senders_refuse_each_other() {
    let (mut a, mut b) = (Link::new(), Link::new());
    b.restart_sender(9);
    for _ in 0..4 {
        let (from_a, from_b) = (a.up(), b.up());
        a.hear_down(&from_b);
        b.hear_down(&from_a);
    }
    let refusal = refused(Reason::Role, 2, 1);
    for link in [a, b] {
        assert!(link.events.contains(&Event::Link(Notice::Refused(refusal))));
        assert!(link.events.contains(&REFUSED_BY(refusal)));
        assert!(!link.sender.is_connected());
    }
}

#[test]
fn a_reset_of_another_session_is_nothing() {
    let mut link = Link::new();
    link.hear_down(&Frame::new(RESET, 0, &[77, 0, 1, 2]).bytes());
    assert_eq!(link.events, []);
    let mut link = Link::connected(4);
    link.hear_up(&Frame::new(RESET, 0, &[77, 0, 1, 2]).bytes());
    assert!(link.host_events.is_empty() && link.receiver.is_connected());
    // Of this session, but late: whoever sent it greets as another one, if it is still there.
    link.hear_down(&Frame::new(RESET, 0, &[1, 0, 1, 2]).bytes());
    assert!(link.events.is_empty() && link.sender.is_connected());
}

#[test]
fn another_host_that_knows_this_session_is_another_host() {
    // A new one has heard of the session by a frame that was meant for the one before.
    let mut link = Link::connected(4);
    link.publish_all(0..1);
    link.up();
    link.restart_receiver(9);
    let _lost = link.down();
    link.now += 1_000;
    let asks = link.up();
    link.hear_up(&asks);
    let [answer, ..] = &Frame::all(&link.down())[..] else { panic!("no hello") };
    assert_eq!((answer.kind, &answer.words[7..9]), (HELLO, &[9, 1][..]));
    link.hear_down(&answer.bytes());
    assert_eq!(link.events[0], Event::Link(Notice::Disconnected));
    link.settle();
    assert!(link.sender.is_connected() && link.receiver.is_connected());
}

#[test]
fn an_echo_of_what_this_side_was_before_is_nothing_to_a_connection() {
    let mut link = Link::connected(4);
    link.hear_down(&hello(1, 77, 0).bytes());
    link.hear_up(&hello(2, 77, 0).bytes());
    assert!(link.events.is_empty() && link.host_events.is_empty());
    assert!(link.sender.is_connected() && link.receiver.is_connected());
}

#[test]
fn a_wire_that_echoes_is_not_taken_for_the_peer() {
    let mut link = Link::new();
    for _ in 0..10 {
        let (up, down) = (link.up(), link.down());
        link.hear_down(&up);
        link.hear_up(&down);
        link.now += 1_000;
    }
    assert!(link.events.is_empty() && link.host_events.is_empty());
    // Connected, with both echoes on top.
    let mut link = Link::connected(16);
    let mut told = 0;
    for number in 0..50 {
        link.publish(&[number]).unwrap();
        let (up, down) = (link.up(), link.down());
        for bytes in [up, down] {
            link.hear_up(&bytes);
            link.hear_down(&bytes);
        }
        let (tickets, numbers) = link.taken();
        assert_eq!(numbers, [number]);
        link.receiver.result(tickets[0], Fate::Done, &[]).unwrap();
        link.receiver.set_credits(16);
        link.settle();
        told += link.fates().len();
    }
    assert_eq!(told, 50);
}

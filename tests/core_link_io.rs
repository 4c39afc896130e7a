//! A sender over ports of `embedded-io` and `embedded-io-async`.

mod core_link_fixture;

use core::convert::Infallible;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core_link_fixture::{Link, geometry};
use slipring_core::link::{Event, Fate, Notice, Receiver, Sender, io_async, pump};
use slipring_core::ring::Job;
use std::collections::VecDeque;

/// What both ends of a port share: bytes to the sender, and from it.
#[derive(Default)]
struct Port {
    input: VecDeque<u8>,
    output: Vec<u8>,
    /// Bytes that a write takes at most.
    piece: usize,
    has_ended: bool,
}

impl embedded_io::ErrorType for Port {
    type Error = Infallible;
}

impl embedded_io::Read for Port {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        assert!(self.has_ended || !self.input.is_empty(), "this read would block");
        let len = bytes.len().min(self.input.len());
        bytes.iter_mut().zip(self.input.drain(..len)).for_each(|(to, from)| *to = from);
        Ok(len)
    }
}

impl embedded_io::ReadReady for Port {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.has_ended || !self.input.is_empty())
    }
}

impl embedded_io::Write for Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let len = bytes.len().min(self.piece);
        self.output.extend(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The same, ready at every second time that it is asked.
struct Slow(Port, bool);

impl Slow {
    async fn turn(&mut self) {
        core::future::poll_fn(|context| {
            self.1 = !self.1;
            context.waker().wake_by_ref();
            if self.1 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

impl embedded_io_async::ErrorType for Slow {
    type Error = Infallible;
}

impl embedded_io_async::Read for Slow {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        self.turn().await;
        embedded_io::Read::read(&mut self.0, bytes)
    }
}

impl embedded_io_async::Write for Slow {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.turn().await;
        embedded_io::Write::write(&mut self.0, bytes)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// A host that answers each job with its arguments, and how many it saw.
struct Host(Receiver<8>, u32);

impl Host {
    fn new() -> Self {
        Self(Receiver::new(2, geometry()), 0)
    }

    fn turn(&mut self, port: &mut Port, now: u32) {
        let Self(receiver, seen) = self;
        let bytes = std::mem::take(&mut port.output);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            rest = &rest[receiver.receive(rest, now)..];
            while receiver.next_event().is_some() {}
        }
        receiver.set_credits(4);
        while let Some((ticket, slot)) = receiver.next_slot() {
            *seen += 1;
            receiver.result(ticket, Fate::Done, &slot.args).unwrap();
        }
        let mut bytes = [0; 300];
        let len = receiver.transmit(now, &mut bytes);
        port.input.extend(&bytes[..len]);
    }
}

/// Publishes jobs when connected and whenever one has ended, and counts the ends.
fn on_event(jobs: u32, ended: &mut u32) -> impl FnMut(&mut Sender<8>, Event) {
    move |sender, event| match event {
        Event::Link(Notice::Connected { .. }) => {
            sender.publish(&Job::new(0x100, &[0])).unwrap();
        }
        Event::Finished { fate, words, .. } => {
            assert_eq!((fate, words[0]), (Fate::Done, *ended));
            *ended += 1;
            if *ended < jobs {
                sender.publish(&Job::new(0x100, &[*ended])).unwrap();
            }
        }
        Event::Link(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_main_loop_pumps_a_sender_over_a_blocking_port() {
    for piece in [1, 5, 100] {
        let (mut sender, mut host) = (Sender::<8>::new(1, geometry()), Host::new());
        let (mut port, mut ended) = (Port { piece, ..Port::default() }, 0);
        for now in 0..200 {
            pump(&mut sender, &mut port, now, on_event(20, &mut ended)).unwrap();
            host.turn(&mut port, now);
        }
        assert_eq!((ended, host.1), (20, 20));
    }
}

#[test]
fn a_turn_over_a_blocking_port_ends_at_the_end_of_the_stream() {
    let mut sender = Sender::<8>::new(1, geometry());
    let mut port = Port { piece: 100, has_ended: true, ..Port::default() };
    pump(&mut sender, &mut port, 0, |_, _| {}).unwrap();
    // A hello, and the 0x00 before it.
    assert_eq!(port.output.len(), 53);
}

#[test]
fn a_port_that_takes_nothing_loses_a_frame_and_does_no_more_harm() {
    let mut sender = Sender::<8>::new(1, geometry());
    let (mut port, mut host, mut ended) = (Port::default(), Host::new(), 0);
    for now in 0..200 {
        port.piece = if now == 0 { 0 } else { 100 };
        pump(&mut sender, &mut port, now, on_event(3, &mut ended)).unwrap();
        host.turn(&mut port, now);
    }
    assert_eq!(ended, 3);
    let mut port = Slow(Port::default(), false);
    block_on(io_async::transmit(&mut Sender::<8>::new(1, geometry()), &mut port, || 0)).unwrap();
    assert_eq!(port.0.output, []);
}

#[test]
fn a_task_pumps_a_sender_over_an_async_port() {
    for piece in [1, 5, 100] {
        let (mut sender, mut host) = (Sender::<8>::new(1, geometry()), Host::new());
        let (mut port, mut ended) = (Slow(Port { piece, ..Port::default() }, false), 0);
        for now in 0..200 {
            block_on(io_async::transmit(&mut sender, &mut port, || now)).unwrap();
            host.turn(&mut port.0, now);
            while !port.0.input.is_empty() {
                let events = on_event(20, &mut ended);
                let read = io_async::receive(&mut sender, &mut port, || now, events);
                assert!(block_on(read).unwrap() > 0);
            }
        }
        assert_eq!((ended, host.1), (20, 20));
    }
}

#[test]
fn the_end_of_an_async_stream_is_told() {
    let mut sender = Sender::<8>::new(1, geometry());
    let mut port = Slow(Port { has_ended: true, ..Port::default() }, false);
    let read = io_async::receive(&mut sender, &mut port, || 0, |_, _| {});
    assert_eq!(block_on(read), Ok(0));
}

#[test]
fn a_write_that_is_dropped_on_its_way_costs_one_frame() {
    let mut link = Link::connected(8);
    link.publish_all(0..2);
    let mut port = Slow(Port { piece: 10, ..Port::default() }, false);
    {
        let mut write = pin!(io_async::transmit(&mut link.sender, &mut port, || 0));
        for _ in 0..4 {
            assert!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    }
    let cut = std::mem::take(&mut port.0.output);
    assert!(!cut.is_empty() && cut.len() < 72);
    link.hear_up(&cut);
    link.settle();
    link.now += 1_000;
    link.settle();
    assert_eq!(link.taken().1, [0, 1]);
}

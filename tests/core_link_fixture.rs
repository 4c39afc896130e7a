//! What the tests of the link share: frames made and read by other code than the link's, and both
//! sides with a wire between them that a test can cut.

// Each test file uses its own part of this one.
#![allow(dead_code)]

use slipring_core::layout::Geometry;
use slipring_core::link::{
    ABI_REVISION, Event, Fate, HostEvent, LINK_REVISION, LinkTicket, Notice, Receiver, SendError,
    Sender,
};
use slipring_core::ring::Job;
use slipring_core::slot::Slot;

pub const HELLO: u8 = 1;
pub const PUBLISH: u8 = 2;
pub const ACK: u8 = 3;
pub const RESULT: u8 = 4;
pub const RESET: u8 = 5;

const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

pub fn geometry() -> Geometry {
    Geometry::of_slots(16, 8).unwrap()
}

/// A frame as crates `crc` and `cobs` make and read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub sequence: u8,
    pub words: Vec<u32>,
}

impl Frame {
    pub fn new(kind: u8, sequence: u8, words: &[u32]) -> Self {
        Self { kind, sequence, words: words.to_vec() }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind, self.sequence];
        bytes.extend(self.words.iter().flat_map(|word| word.to_le_bytes()));
        encode(&bytes)
    }

    /// Reads one frame with its 0x00.
    pub fn parse(wire: &[u8]) -> Self {
        let (last, run) = wire.split_last().unwrap();
        assert_eq!(*last, 0);
        let mut bytes = run.to_vec();
        let len = cobs::decode_in_place(&mut bytes).unwrap();
        let (body, crc) = bytes[..len].split_last_chunk().unwrap();
        assert_eq!(u32::from_le_bytes(*crc), CRC.checksum(body));
        let (words, odd) = body[2..].as_chunks();
        assert!(odd.is_empty());
        let words = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        Self { kind: body[0], sequence: body[1], words }
    }

    /// Reads all frames of some bytes.
    pub fn all(wire: &[u8]) -> Vec<Self> {
        let runs = wire.split_inclusive(|byte| *byte == 0).filter(|run| *run != [0]);
        runs.map(Self::parse).collect()
    }
}

/// Adds a CRC to bytes, COBS, and 0x00.
pub fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.extend(CRC.checksum(&bytes).to_le_bytes());
    let mut wire = vec![0; cobs::max_encoding_length(bytes.len())];
    let len = cobs::encode(&bytes, &mut wire);
    wire.truncate(len);
    wire.push(0);
    wire
}

/// A hello of a side with role 1 (sender) or 2 (receiver).
pub fn hello(role: u32, session: u32, echo: u32) -> Frame {
    let geometry = geometry();
    let counts = [geometry.slots(), geometry.observables(), 64, 64];
    let [slots, observables, records, io_slots] = counts;
    let properties = [LINK_REVISION, role, ABI_REVISION, slots, observables, records, io_slots];
    let rest = [session, echo, 0, 8 | 1 << 8];
    Frame::new(HELLO, 0, &[&properties[..], &rest].concat())
}

/// Both sides of a link. Nothing goes over the wire by itself.
pub struct Link {
    pub sender: Sender<8>,
    pub receiver: Receiver<8>,
    pub now: u32,
    pub events: Vec<Event>,
    pub host_events: Vec<HostEvent>,
}

impl Link {
    pub fn new() -> Self {
        let (sender, receiver) = (Sender::new(1, geometry()), Receiver::new(2, geometry()));
        let (events, host_events) = (Vec::new(), Vec::new());
        Self { sender, receiver, now: 1_000, events, host_events }
    }

    /// One that is connected, with a host that takes so many slots, and no event to be looked at.
    pub fn connected(credits: u32) -> Self {
        let mut link = Self::new();
        link.receiver.set_credits(credits);
        link.settle();
        assert!(link.sender.is_connected() && link.receiver.is_connected());
        link.events.clear();
        link.host_events.clear();
        link
    }

    /// What the sender has to say now.
    pub fn up(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let len = self.sender.transmit(self.now, &mut bytes);
        bytes.truncate(len);
        bytes
    }

    /// What the receiver has to say now.
    pub fn down(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let len = self.receiver.transmit(self.now, &mut bytes);
        bytes.truncate(len);
        bytes
    }

    pub fn hear_up(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.receiver.receive(bytes, self.now)..];
            self.host_events.extend(std::iter::from_fn(|| self.receiver.next_event()));
        }
    }

    pub fn hear_down(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.sender.receive(bytes, self.now)..];
            self.events.extend(std::iter::from_fn(|| self.sender.next_event()));
        }
    }

    /// Lets both talk until neither has anything to say.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            let (up, down) = (self.up(), self.down());
            if up.is_empty() && down.is_empty() {
                return;
            }
            self.hear_up(&up);
            self.hear_down(&down);
        }
        panic!("they talk without end");
    }

    pub fn publish(&mut self, args: &[u32]) -> Result<LinkTicket, SendError> {
        self.sender.publish(&Job::new(0x100, args))
    }

    /// Publishes jobs whose first argument counts from `first` on.
    pub fn publish_all(&mut self, numbers: std::ops::Range<u32>) -> Vec<LinkTicket> {
        numbers.map(|number| self.publish(&[number]).unwrap()).collect()
    }

    /// Takes the slots that have come.
    pub fn slots(&mut self) -> Vec<(LinkTicket, Slot)> {
        std::iter::from_fn(|| self.receiver.next_slot()).collect()
    }

    /// The first arguments of the slots that have come, with their tickets.
    pub fn taken(&mut self) -> (Vec<LinkTicket>, Vec<u32>) {
        self.slots().into_iter().map(|(ticket, slot)| (ticket, slot.args[0])).unzip()
    }

    /// Has these jobs end well, without words.
    pub fn finish(&mut self, tickets: Vec<LinkTicket>) {
        for ticket in tickets {
            self.receiver.result(ticket, Fate::Done, &[]).unwrap();
        }
    }

    /// The ends of jobs that were told since this was last asked.
    pub fn fates(&mut self) -> Vec<(u32, Fate)> {
        let told = self.events.extract_if(.., |event| matches!(event, Event::Finished { .. }));
        told.map(|event| match event {
            Event::Finished { ticket, fate, .. } => (ticket.number, fate),
            Event::Link(_) => unreachable!("filtered"),
        })
        .collect()
    }

    pub fn restart_sender(&mut self, session: u32) {
        self.sender = Sender::new(session, geometry());
    }

    pub fn restart_receiver(&mut self, session: u32) {
        self.receiver = Receiver::new(session, geometry());
        self.receiver.set_credits(16);
    }
}

pub fn connected_events(events: &[Event]) -> usize {
    let is = |event: &&Event| matches!(event, Event::Link(Notice::Connected { .. }));
    events.iter().filter(is).count()
}

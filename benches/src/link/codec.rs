//! What frames cost a host's CPU: both ends in memory, beside crates `cobs` and `crc` alone.

use crate::harness::{Case, Side, side};
use crc::CRC_32_ISCSI;
use slipring_core::layout::Geometry;
use slipring_core::link::{Event, Fate, Receiver, Sender};
use slipring_core::opcode;
use slipring_core::ring::Job;
use std::hint::black_box;

/// Jobs of a sample: what the smaller window takes at once.
const JOBS: u32 = 8;
/// A publish before COBS: kind, sequence, 16 words, CRC-32C.
const PLAIN_BYTES: usize = 2 + 64 + 4;
/// A result of one word.
const RESULT_BYTES: usize = 2 + 16 + 4;
/// Room for it after COBS, and the 0x00.
const CODED_BYTES: usize = PLAIN_BYTES + 2;

static TABLE: crc::Crc<u32, crc::Table<1>> = crc::Crc::<u32, crc::Table<1>>::new(&CRC_32_ISCSI);
static NO_TABLE: crc::Crc<u32, crc::NoTable> = crc::Crc::<u32, crc::NoTable>::new(&CRC_32_ISCSI);

pub fn cases() -> Vec<Case> {
    let case = |name, ours, peer| Case {
        name,
        unit: "ns/slot",
        units: JOBS,
        calls: JOBS,
        ours,
        peer: Some(peer),
    };
    vec![
        case(
            "beside frames, CRC table of 1 KiB",
            there_and_back(),
            ("frames", frames(|bytes| TABLE.checksum(bytes))),
        ),
        case(
            "beside frames, CRC without table",
            there_and_back(),
            ("frames", frames(|bytes| NO_TABLE.checksum(bytes))),
        ),
    ]
}

/// Two ends and what goes between them.
struct Ends {
    sender: Sender<8>,
    receiver: Receiver<64>,
    bytes: Box<[u8; 1024]>,
    now_ms: u32,
}

impl Ends {
    fn up(&mut self) {
        self.now_ms += 1;
        let len = self.sender.transmit(self.now_ms, &mut self.bytes[..]);
        let mut taken = 0;
        while taken < len {
            taken += self.receiver.receive(&self.bytes[taken..len], self.now_ms);
            while self.receiver.next_event().is_some() {}
        }
    }

    /// How many results have come.
    fn down(&mut self) -> u32 {
        let len = self.receiver.transmit(self.now_ms, &mut self.bytes[..]);
        let (mut taken, mut results) = (0, 0);
        while taken < len {
            taken += self.sender.receive(&self.bytes[taken..len], self.now_ms);
            while let Some(event) = self.sender.next_event() {
                results += u32::from(matches!(event, Event::Finished { .. }));
            }
        }
        results
    }
}

/// Jobs go there, and their results come back.
fn there_and_back() -> Box<dyn Side> {
    let geometry = Geometry::of_slots(64, 8).expect("a ring may have so many slots");
    let (sender, receiver) = (Sender::new(1, geometry), Receiver::new(2, geometry));
    let mut ends = Ends { sender, receiver, bytes: Box::new([0; 1024]), now_ms: 0 };
    ends.receiver.set_credits(64);
    while !(ends.sender.is_connected() && ends.receiver.is_connected()) {
        ends.up();
        ends.down();
    }
    side(
        ends,
        |_| (),
        |ends| {
            for job in 0..JOBS {
                let args = [job; 12];
                ends.sender.publish(&Job::new(opcode::NOP, &args)).expect("the window is empty");
            }
            let mut results = 0;
            while results < JOBS {
                ends.up();
                while let Some((ticket, slot)) = ends.receiver.next_slot() {
                    let words = &slot.args[..1];
                    ends.receiver.result(ticket, Fate::Done, words).expect("the window is empty");
                }
                ends.receiver.set_credits(64);
                results += ends.down();
            }
        },
    )
}

/// A slot's frame and one of a result, encoded and decoded: no windows, no acknowledgements, no
/// sessions.
fn frames(checksum: fn(&[u8]) -> u32) -> Box<dyn Side> {
    let buffers = ([7; PLAIN_BYTES], [0; CODED_BYTES]);
    let round_trip = move |(plain, coded): &mut ([u8; PLAIN_BYTES], [u8; CODED_BYTES])| {
        for _ in 0..JOBS {
            frame(plain, coded, checksum);
            frame(&mut plain[..RESULT_BYTES], coded, checksum);
        }
    };
    side(buffers, |_| (), round_trip)
}

fn frame(plain: &mut [u8], coded: &mut [u8], checksum: fn(&[u8]) -> u32) {
    let end = plain.len() - 4;
    let crc = checksum(black_box(&plain[..end]));
    plain[end..].copy_from_slice(&crc.to_le_bytes());
    let len = cobs::encode(plain, coded);
    let report = cobs::decode_in_place(black_box(&mut coded[..len])).expect("just encoded");
    let (body, crc) = coded[..report].split_at(report - 4);
    assert_eq!(checksum(body).to_le_bytes(), crc);
}

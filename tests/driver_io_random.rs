//! Random requests of the GPU's, a tenth of them hostile: those fail alone, and every byte that the
//! others move is where a model on the CPU has it.
//!
//! `SLIPRING_REQUESTS` says how many (100,000 on the twin and on mapped memory, a tenth elsewhere),
//! `SLIPRING_SEED` from which seed on; a failure prints it.

mod gpu;
#[path = "ingest/mod.rs"]
mod ingest;
mod io;

use ingest::TempFile;
use io::{ASK, Ask, REGION_BYTES, REGIONS, SLOTS, Way, builder, open_to_read, open_to_write};
use slipring_core::io_queue::op;
use slipring_core::publisher::Outcome;
use slipring_core::slot::fault;
use slipring_driver::input::{Access, Handle, IoTable};
use slipring_driver::{BackendChoice, Driver};

/// Bytes of a region of this test's: one for each slot of the ring.
const PART: usize = REGIONS * REGION_BYTES / SLOTS as usize;
/// Bytes of each file; of the one that is written, each region has a part of its own.
const FILE: usize = 2 * PART * SLOTS as usize;
/// Rounds between two looks at everything.
const LOOK: u32 = 64;

#[test]
fn hostile_requests_fail_alone_and_the_others_move_the_right_bytes() {
    for way in Way::all() {
        let is_main = !way.own_thread && !way.stays && way.choice != BackendChoice::Portable;
        let requests = number("SLIPRING_REQUESTS", 100_000) / if is_main { 1 } else { 10 };
        let seed = u64::from(number("SLIPRING_SEED", 1));
        println!("{requests} requests, SLIPRING_SEED={seed}");
        Game::new(way, seed).play(requests.div_ceil(SLOTS));
    }
}

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// What a request is to come to.
enum End {
    /// So many bytes, which the model has moved.
    Moves(u32),
    Fails,
}

struct Game {
    way: Way,
    random: fastrand::Rng,
    /// What is read.
    source: (TempFile, Vec<u8>),
    /// What is written, and what its bytes are to be.
    target: (TempFile, Vec<u8>),
    /// What the arena's bytes are to be.
    arena: Vec<u8>,
}

impl Game {
    fn new(way: Way, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut file = |name: &str| {
            let bytes: Vec<u8> = (0..FILE).map(|_| random.u8(..)).collect();
            (TempFile::new(&format!("random-{name}"), &bytes), bytes)
        };
        let (source, target) = (file("source"), file("target"));
        Self { way, random, source, target, arena: vec![0; REGIONS * REGION_BYTES] }
    }

    fn play(&mut self, rounds: u32) {
        let mut driver = self.way.open(builder(SLOTS));
        let mut table = IoTable::new();
        let all = 0..FILE as u64;
        let source = table.add_file(open_to_read(&self.source.0.0), all.clone(), Access::READ);
        let target = table.add_file(open_to_write(&self.target.0.0), all, Access::WRITE);
        let files = [source, target].map(Result::unwrap);
        let part = |i| i * PART..(i + 1) * PART;
        let parts = (0..SLOTS as usize).map(|i| table.add_region(part(i), Access::READ_WRITE));
        let parts: Vec<_> = parts.map(Result::unwrap).collect();
        // Regions that may only be read, or only written.
        let read_only = table.add_region(part(0), Access::READ).unwrap();
        let write_only = table.add_region(part(0), Access::WRITE).unwrap();
        driver.attach_io(self.way.pump(table)).unwrap();
        for round in 0..rounds {
            let asked: Vec<_> = (0..SLOTS)
                .map(|slot| match self.random.u32(..10) {
                    0 => (
                        self.hostile(files, parts[slot as usize], [read_only, write_only]),
                        End::Fails,
                    ),
                    _ => self.honest(files, parts[slot as usize], slot as usize),
                })
                .zip(0..)
                .map(|((ask, end), slot)| (ask.own(slot).args(0), end))
                .collect();
            let jobs: Vec<_> = asked.iter().map(|(args, _)| (ASK, &args[..])).collect();
            let outcomes = self.way.run(&mut driver, &jobs);
            for (((args, end), outcome), slot) in asked.iter().zip(outcomes).zip(0..) {
                match end {
                    End::Fails => assert_eq!(outcome, Outcome::Fault(fault::IO), "{args:?}"),
                    End::Moves(bytes) => {
                        assert_eq!(outcome, Outcome::Done, "round {round}: {args:?}");
                        let moved = driver.row().control.observable(slot).unwrap();
                        assert_eq!(moved, *bytes, "round {round}: {args:?}");
                    }
                }
            }
            if round % LOOK == 0 || round + 1 == rounds {
                self.look(&mut driver);
            }
        }
    }

    /// A request that is right: to read into a part of the arena, or to write that part.
    fn honest(&mut self, [source, target]: [Handle; 2], part: Handle, index: usize) -> (Ask, End) {
        let bytes = self.random.usize(1..=PART);
        let start = index * PART;
        if self.random.bool() {
            let offset = self.random.usize(..=FILE - bytes);
            let end = (start + bytes).next_multiple_of(4);
            self.arena[start..end].fill(0);
            self.arena[start..start + bytes]
                .copy_from_slice(&self.source.1[offset..offset + bytes]);
            return (
                Ask::read(source, offset as u64, bytes as u32, part),
                End::Moves(bytes as u32),
            );
        }
        let offset = 2 * start + self.random.usize(..=PART);
        self.target.1[offset..offset + bytes].copy_from_slice(&self.arena[start..start + bytes]);
        (Ask::write(part, target, offset as u64, bytes as u32), End::Moves(bytes as u32))
    }

    /// One that is wrong in one way.
    fn hostile(
        &mut self,
        [source, target]: [Handle; 2],
        part: Handle,
        [read_only, write_only]: [Handle; 2],
    ) -> Ask {
        let nothing = Handle(self.random.u32(SLOTS + 5..));
        let far = self.random.u64(FILE as u64 + 1..);
        let ask = match self.random.u32(..14) {
            0 => Ask::read(nothing, 0, 4, part),
            1 => Ask::read(source, 0, 4, nothing),
            2 => Ask::write(nothing, target, 0, 4),
            3 => Ask::write(part, nothing, 0, 4),
            4 => Ask::read(part, 0, 4, source),
            5 => Ask::write(target, part, 0, 4),
            6 => Ask::read(target, 0, 4, part),
            7 => Ask::write(part, source, 0, 4),
            8 => Ask::read(source, 0, 4, read_only),
            9 => Ask::write(write_only, target, 0, 4),
            10 => Ask::read(source, far, 4, part),
            11 => Ask::write(part, target, u64::MAX - self.random.u64(..4), 4),
            12 => Ask::read(source, 0, self.random.u32(PART as u32 + 1..), part),
            _ => Ask::read(Handle(0), 0, 4, Handle(0)),
        };
        let unknown = self.random.u32(op::FENCE + 1..);
        if self.random.u32(..10) == 0 { Ask { op: unknown, ..ask } } else { ask }
    }

    /// Compares all bytes.
    fn look(&self, driver: &mut Driver) {
        let mut words = vec![0; self.arena.len() / 4];
        driver.read_arena(0, &mut words).unwrap();
        let arena: &[u8] = bytemuck::cast_slice(&words);
        let wrong = arena.iter().zip(&self.arena).position(|(is, to_be)| is != to_be);
        assert_eq!(wrong, None, "a byte of the arena");
        let target = std::fs::read(&self.target.0.0).unwrap();
        let wrong = target.iter().zip(&self.target.1).position(|(is, to_be)| is != to_be);
        assert_eq!(wrong, None, "a byte of the file");
        assert_eq!(driver.in_flight(0), 0);
    }
}

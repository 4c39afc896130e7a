//! Looks keys up in an index on disk, from the GPU: `cargo run --example index_walk`.
//!
//! ```text
//!   job: key ─▶ handler asks for the root ─▶ slot waits ─▶ IO pump reads the block into the arena
//!                  ▲  asks for the block below               │
//!                  └────────── called again ◀────────────────┘        … leaf: value
//! ```
//!
//! LOAD_MISS is the same with a job for each block: a handler spares the host to publish them.

use slipring_core::io_queue::op;
use slipring_core::layout::Geometry;
use slipring_core::publisher::{Outcome, Ticket};
use slipring_core::ring::Job;
use slipring_core::twin::{Call, HANDLER_OK};
use slipring_driver::input::{Access, Handle, IoPump, IoTable};
use slipring_driver::persistent::{DEFAULT_SLICE, PersistError};
use slipring_driver::{ArenaOptions, Driver, Kernel, Readback, handler};
use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

const WALK: u32 = 0x100;
const BLOCK_BYTES: usize = 4096;
const BLOCK_WORDS: usize = BLOCK_BYTES / 4;
/// Entries of a block, so that three levels have 32,768 keys.
const FANOUT: u32 = 32;
const LEVELS: u32 = 3;
/// Where keys and values begin in a block, as `index_walk.wgsl` has it.
const KEYS: usize = 2;
const VALUES: usize = 514;
/// Lookups at once: each has a region of the arena.
const AT_ONCE: u32 = 64;
/// Enough that one pause of a busy machine does not show.
const ROUNDS: u32 = 256;
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("slipring-index-{}.bin", std::process::id()));
    let path = Removed(path);
    write_index(&path.0)?;

    let walk = handler!(WALK, "walk", "index_walk.wgsl").iterations(64).on_cpu(walk_on_cpu);
    let kernel = Kernel::builder().handler(walk).build()?;
    let mut driver = Driver::builder(kernel, Geometry::of_slots(AT_ONCE, AT_ONCE)?)
        .arena(ArenaOptions { chunks: AT_ONCE, chunk_bytes: BLOCK_BYTES as u32 })
        .workspace_words(AT_ONCE as usize)
        .persistent(DEFAULT_SLICE)
        .open()?;

    let mut table = IoTable::new();
    let bytes = std::fs::metadata(&path.0)?.len();
    let index = table.add_file(File::open(&path.0)?, 0..bytes, Access::READ)?;
    let region = |i: u32| i as usize * BLOCK_BYTES..(i as usize + 1) * BLOCK_BYTES;
    let regions = (0..AT_ONCE).map(|i| table.add_region(region(i), Access::WRITE));
    let regions = regions.collect::<Result<Vec<_>, _>>()?;
    driver.attach_io(IoPump::new(table))?;
    println!("adapter  {} ({})", driver.backend().adapter, driver.backend().backend);
    println!("index    {} keys in {bytes} bytes, {LEVELS} blocks a lookup", key_count());
    if let Some(path) = driver.io_path() {
        println!("reads    {path}");
    }

    let start = Instant::now();
    for round in 0..ROUNDS {
        let keys = keys_of(round);
        let tickets = publish(&keys, index, &regions, |job| driver.publish(job))?;
        while tickets.iter().any(|&ticket| driver.outcome(ticket) == Outcome::Pending) {
            driver.dispatch(&Readback::observables(0..AT_ONCE))?;
            driver.wait_io(PATIENCE)?;
        }
        check(&keys, |i| {
            Ok((driver.outcome(tickets[i]), driver.row().control.observable(i as u32)?))
        })?;
    }
    report("drains", start.elapsed());

    let mut kernel = match driver.persist() {
        Ok(kernel) => kernel,
        Err(PersistError::Unavailable { reason }) => {
            println!("stays    not: {reason}");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let start = Instant::now();
    for round in 0..ROUNDS {
        let keys = keys_of(round);
        let tickets = publish(&keys, index, &regions, |job| kernel.publish(job))?;
        check(&keys, |i| {
            let outcome = kernel.wait(tickets[i], PATIENCE)?;
            Ok((outcome, kernel.row().control.observable(i as u32)?))
        })?;
    }
    report("stays", start.elapsed());
    kernel.stop()?;
    Ok(())
}

/// Publishes a lookup of each key.
fn publish<E>(
    keys: &[u32],
    index: Handle,
    regions: &[Handle],
    mut publish: impl FnMut(&Job<'_>) -> Result<Ticket, E>,
) -> Result<Vec<Ticket>, E> {
    let jobs = keys.iter().zip(regions).zip(0..);
    jobs.map(|((key, region), i)| {
        let first_word = i * BLOCK_WORDS as u32;
        publish(&Job::new(WALK, &[*key, first_word, region.0, index.0, i]))
    })
    .collect()
}

/// Compares what was found with what there is.
fn check(
    keys: &[u32],
    mut found: impl FnMut(usize) -> Result<(Outcome, u32), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    for (i, &key) in keys.iter().enumerate() {
        let (outcome, value) = found(i)?;
        let is_right = match expected(key) {
            Some(expected) => outcome == Outcome::Done && value == expected,
            None => outcome == Outcome::Fault(65),
        };
        if !is_right {
            return Err(format!("key {key}: {outcome:?}, {value}").into());
        }
    }
    Ok(())
}

fn report(how: &str, elapsed: Duration) {
    let lookups = ROUNDS * AT_ONCE;
    let rate = f64::from(lookups) / elapsed.as_secs_f64();
    println!("{how:<8} {lookups} lookups, every one right, {rate:.0} a second");
}

fn key_count() -> u32 {
    FANOUT.pow(LEVELS)
}

/// The keys of the index are the multiples of 3; each has this value.
fn expected(key: u32) -> Option<u32> {
    (key.is_multiple_of(3) && key / 3 < key_count()).then(|| key.wrapping_mul(2_654_435_761))
}

/// The keys of a round, one in some dozens of which is not there.
fn keys_of(round: u32) -> Vec<u32> {
    let place = |i: u32| (round * AT_ONCE + i).wrapping_mul(2_654_435_761) % key_count();
    (0..AT_ONCE).map(|i| 3 * place(i) + u32::from(i % 37 == 36)).collect()
}

/// Writes the blocks, level by level: block 0 is the root.
fn write_index(path: &PathBuf) -> io::Result<()> {
    let mut file = io::BufWriter::new(File::create(path)?);
    let mut below = 1;
    for level in 0..LEVELS {
        let is_leaf = level + 1 == LEVELS;
        // Keys from one entry of this level to the next.
        let step = 3 * FANOUT.pow(LEVELS - 1 - level);
        for block in 0..FANOUT.pow(level) {
            let mut words = [0u32; BLOCK_WORDS];
            [words[0], words[1]] = [FANOUT, u32::from(!is_leaf)];
            for (entry, i) in (block * FANOUT..).zip(0..FANOUT as usize) {
                let key = entry * step;
                words[KEYS + i] = key;
                words[VALUES + i] =
                    if is_leaf { expected(key).unwrap_or_default() } else { below + entry };
            }
            file.write_all(bytemuck::cast_slice(&words.map(u32::to_le)))?;
        }
        below += FANOUT.pow(level + 1);
    }
    file.flush()
}

/// The twin of `index_walk.wgsl`, for machines without a GPU.
fn walk_on_cpu(call: &Call<'_, AtomicU32>) -> u32 {
    let (key, first) = (call.arg(0), call.arg(1));
    let (mut block, mut blocks) = (0, 0);
    if call.is_resumed() {
        let entries = call.arena_load(first).min(64);
        if call.io_bytes() != BLOCK_BYTES as u32 || entries == 0 {
            return call.fault(64);
        }
        let key_of = |entry| call.arena_load(first + KEYS as u32 + entry);
        let entry = (1..entries).rev().find(|&entry| key_of(entry) <= key).unwrap_or(0);
        let value = call.arena_load(first + VALUES as u32 + entry);
        if call.arena_load(first + 1) == 0 {
            if key_of(entry) != key {
                return call.fault(65);
            }
            call.observe(call.arg(4), value);
            return HANDLER_OK;
        }
        (block, blocks) = (value, call.workspace_load(call.arg(4)));
    }
    if blocks == 8 {
        return call.fault(66);
    }
    call.workspace_store(call.arg(4), blocks + 1);
    let offset = u64::from(block) * BLOCK_BYTES as u64;
    call.request_io(op::READ, call.arg(3), call.arg(2), offset, BLOCK_BYTES as u32)
}

/// A file that goes with the program.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

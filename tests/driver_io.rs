//! I/O that the GPU asks for, served from files: what is moved, and when it has ended.

mod gpu;
mod ingest;
mod io;

use ingest::{TempFile, pattern};
use io::*;
use slipring_core::opcode;
use slipring_core::publisher::Outcome;
use slipring_core::ring::Job;
use slipring_core::slot::fault;
use slipring_driver::Readback;
use slipring_driver::Rung;
use slipring_driver::input::{Access, IoTable};
use std::io::{Read, Write};
use std::time::Duration;

/// A file's bytes to be read, with the regions.
macro_rules! reading {
    ($file:expr, $range:expr) => {{
        let mut table = IoTable::new();
        let file = table.add_file(open_to_read(&$file.0), $range, Access::READ).unwrap();
        let regions = add_regions(&mut table);
        (table, file, regions)
    }};
}

#[test]
fn load_miss_brings_what_it_asks_for() {
    let bytes = pattern(7, 10_000);
    let temp = TempFile::new("load-miss", &bytes);
    for way in Way::on_every_rung() {
        let mut driver = way.open(builder(4));
        let (table, file, regions) = reading!(temp, 0..10_000);
        driver.attach_io(way.pump(table)).unwrap();
        // A discrete GPU sees what lands only in its own memory, while its kernel stays on.
        let is_apart = way.stays && !driver.backend().is_cpu && way.path_rung() < Rung::Bounce;
        let rung = if is_apart { Rung::Bounce } else { way.path_rung() };
        assert_eq!(driver.io_path().unwrap().rung, rung);
        for round in 0..20 {
            let starts = [0, 1, 4096, 5904, 9000, round, 77 * round].map(|start| start as usize);
            let args: Vec<_> = (0..starts.len())
                .map(|i| [file.0, 0, starts[i] as u32, 0, 1000, regions[i].0])
                .collect();
            let jobs: Vec<_> = args.iter().map(|args| (opcode::LOAD_MISS, &args[..])).collect();
            let ends = way.run(&mut driver, &jobs);
            assert!(ends.iter().all(|end| *end == Outcome::Done), "{ends:?}");
            for (i, start) in starts.into_iter().enumerate() {
                assert_eq!(region(&mut driver, i)[..1000], bytes[start..start + 1000]);
            }
        }
    }
}

#[test]
fn a_read_ends_where_the_file_does_and_with_a_word_of_which_the_rest_is_0() {
    let bytes = pattern(8, 5001);
    let temp = TempFile::new("short", &bytes);
    for way in Way::on_every_rung() {
        let mut driver = way.open(builder(4));
        // The range is longer than the file.
        let (table, file, regions) = reading!(temp, 1..9000);
        driver.attach_io(way.pump(table)).unwrap();
        for (offset, asked, moved) in
            [(4095, 4096, 905), (0, 4096, 4096), (0, 7, 7), (4999, 4000, 1), (5000, 100, 0)]
        {
            // What is there before, of the GPU's doing or of the host's, stays where nothing lands.
            assert_eq!(way.run_one(&mut driver, FILL, &[0, 1024, 5]), Outcome::Done);
            let before = region(&mut driver, 0);
            let args = Ask::read(file, offset, asked, regions[0]).own(3).args(0);
            assert_eq!(way.run_one(&mut driver, ASK, &args), Outcome::Done);
            assert_eq!(driver.row().control.observable(3), Ok(moved as u32));
            let after = region(&mut driver, 0);
            let start = 1 + offset as usize;
            assert_eq!(after[..moved], bytes[start..start + moved]);
            let end = moved.next_multiple_of(4);
            assert!(after[moved..end].iter().all(|byte| *byte == 0));
            assert_eq!(after[end..], before[end..], "{moved} bytes");
        }
    }
}

#[test]
fn a_write_puts_results_into_the_file_and_nowhere_else() {
    for way in Way::on_every_rung() {
        let mut expected = pattern(9, 20_000);
        let temp = TempFile::new("write", &expected);
        let mut driver = way.open(builder(4));
        let mut table = IoTable::new();
        let file = open_to_write(&temp.0);
        let file = table.add_file(file, 1000..18_000, Access::READ_WRITE).unwrap();
        let regions = add_regions(&mut table);
        driver.attach_io(way.pump(table)).unwrap();
        // The last one is longer than the file, and makes it so; 0 bytes are the whole region.
        for (seed, (offset, bytes)) in
            [(0, 4096), (4099, 1), (7, 11), (16_000, 1000), (8000, 0)].into_iter().enumerate()
        {
            let seed = seed as u32;
            assert_eq!(way.run_one(&mut driver, FILL, &[1024, 1024, seed]), Outcome::Done);
            let args = Ask::write(regions[1], file, offset, bytes).own(2).args(0);
            assert_eq!(way.run_one(&mut driver, ASK, &args), Outcome::Done);
            let moved = if bytes == 0 { REGION_BYTES } else { bytes as usize };
            assert_eq!(driver.row().control.observable(2), Ok(moved as u32));
            let words: Vec<_> = (0..1024).map(|i| filling(seed, i)).collect();
            let start = 1000 + offset as usize;
            let results = &bytemuck::cast_slice::<_, u8>(&words)[..moved];
            expected[start..start + moved].copy_from_slice(results);
        }
        assert!(std::fs::read(&temp.0).unwrap() == expected);
    }
}

#[test]
fn a_file_has_a_region_of_its_own_for_those_who_name_none() {
    let bytes = pattern(10, 4096);
    let temp = TempFile::new("own-region", &bytes);
    for way in Way::all() {
        let mut driver = way.open(builder(4));
        let (mut table, file, regions) = reading!(temp, 0..4096);
        let other = table.add_file(open_to_read(&temp.0), 0..4096, Access::READ).unwrap();
        table.own_region(file, regions[2]).unwrap();
        driver.attach_io(way.pump(table)).unwrap();
        // No bytes are the whole resource.
        let elsewhere = [file.0, 0, 100, 0, 96, regions[3].0];
        let loads = [&[file.0][..], &[other.0], &elsewhere];
        let ends = way.run(&mut driver, &loads.map(|args| (opcode::LOAD_MISS, args)));
        assert_eq!(ends, [Outcome::Done, Outcome::Fault(fault::IO), Outcome::Done]);
        assert_eq!(region(&mut driver, 2), bytes);
        assert_eq!(region(&mut driver, 3)[..96], bytes[100..196]);
    }
}

#[test]
fn a_prefetch_is_loaded_and_its_io_slot_is_free_again() {
    let bytes = pattern(11, 4096);
    let temp = TempFile::new("prefetch", &bytes);
    for way in Way::all() {
        let mut driver = way.open(builder(2));
        let (table, file, regions) = reading!(temp, 0..4096);
        driver.attach_io(way.pump(table)).unwrap();
        for round in 0..10 {
            fill_region(&mut driver, 1, 0);
            let right = [file.0, 1, 96, 0, 4000, regions[1].0];
            // Past the end: it fails, and nobody waits to hear of it.
            let wrong = [file.0, 1, 97, 0, 4000, regions[2].0];
            let jobs = [&right, &wrong].map(|args| (opcode::LOAD_MISS, &args[..]));
            assert_eq!(way.run(&mut driver, &jobs), [Outcome::Done; 2]);
            settle(&mut driver);
            assert_eq!(region(&mut driver, 1)[..4000], bytes[96..]);
            assert_eq!(driver.prefetch_failures(), round + 1);
        }
        driver.detach_io();
        assert_eq!(driver.prefetch_failures(), 10, "the count outlives the pump");
    }
}

#[test]
fn requests_that_nobody_waits_for_do_not_use_up_the_queue() {
    let bytes = pattern(12, 4096);
    let temp = TempFile::new("leave", &bytes);
    for way in Way::all() {
        let mut driver = way.open(builder(2));
        let (table, file, regions) = reading!(temp, 0..4096);
        driver.attach_io(way.pump(table)).unwrap();
        let wrong = Ask::read(file, 4096, 1, regions[0]).args(0);
        let right = Ask::read(file, 0, 4096, regions[1]).args(0);
        // Whoever leaves finds room only while others are served.
        let jobs: Vec<_> = (0..32)
            .flat_map(|_| [(LEAVE, &wrong[..]), (LEAVE, &right)])
            .take(63)
            .chain([(ASK, &right[..])])
            .collect();
        for _ in 0..2 {
            // One that finds the queue full leaves without having asked.
            assert_eq!(way.run(&mut driver, &jobs), [Outcome::Done; 64]);
            settle(&mut driver);
            assert!(driver.prefetch_failures() > 0);
            assert_eq!(region(&mut driver, 1), bytes);
        }
    }
}

#[test]
fn a_request_may_have_ended_before_its_lane_leaves_the_slot() {
    let bytes = pattern(16, 4096);
    let temp = TempFile::new("dawdle", &bytes);
    for way in Way::all() {
        let mut driver = way.open(builder(4));
        let (table, file, regions) = reading!(temp, 0..4096);
        driver.attach_io(way.pump(table)).unwrap();
        for round in 0..4 {
            let asks: Vec<_> = (0..SLOTS)
                .map(|i| {
                    let region = regions[i as usize % REGIONS];
                    Ask::read(file, 64, 100 + i, region).own(i).args(round * i * 16)
                })
                .collect();
            let jobs: Vec<_> = asks.iter().map(|args| (DAWDLE, &args[..])).collect();
            // (Of the two NOPs that a stay begins with, the slots are free by now.)
            for jobs in jobs.chunks(SLOTS as usize / 2) {
                let ends = way.run(&mut driver, jobs);
                assert!(ends.iter().all(|end| *end == Outcome::Done), "{ends:?}");
            }
            let control = driver.row().control;
            assert!((0..SLOTS).all(|i| control.observable(i) == Ok(100 + i)));
        }
    }
}

#[test]
fn a_fence_ends_after_the_request_that_the_same_job_has_made_before() {
    let bytes = pattern(13, 64 * 4);
    let temp = TempFile::new("fenced", &bytes);
    for way in Way::all() {
        let mut driver = way.open(builder(64));
        let (table, file, regions) = reading!(temp, 0..64 * 4);
        driver.attach_io(way.pump(table)).unwrap();
        for round in 0..20 {
            let word = |i: u32| (i + round) % 64;
            let args: Vec<_> = (0..REGIONS as u32)
                .map(|i| {
                    let read = Ask::read(file, 4 * u64::from(word(i)), 4, regions[i as usize]);
                    read.own(i).args(1024 * i)
                })
                .collect();
            let jobs: Vec<_> = args.iter().map(|args| (FENCED, &args[..])).collect();
            assert_eq!(way.run(&mut driver, &jobs), [Outcome::Done; REGIONS]);
            settle(&mut driver);
            for i in 0..REGIONS as u32 {
                let start = 4 * word(i) as usize;
                let expected = u32::from_ne_bytes(bytes[start..start + 4].try_into().unwrap());
                assert_eq!(driver.row().control.observable(i), Ok(expected), "in round {round}");
            }
        }
    }
}

#[test]
fn streams_give_and_take_what_comes_next() {
    for way in Way::on_every_rung() {
        let mut driver = way.open(builder(4));
        let (reader, mut writer) = pipe();
        let (mut output, write_end) = std::io::pipe().unwrap();
        let mut table = IoTable::new();
        let input = table.add_file(reader, 0..4096, Access::READ).unwrap();
        let write_end = std::os::fd::OwnedFd::from(write_end).into();
        let pipe = table.add_file(write_end, 0..4096, Access::WRITE).unwrap();
        let regions = add_regions(&mut table);
        driver.attach_io(way.pump(table)).unwrap();
        let mut run = |ask: Ask| {
            let end = way.run_one(&mut driver, ASK, &ask.own(0).args(0));
            (end, driver.row().control.observable(0).unwrap())
        };
        writer.write_all(b"firstnextend").unwrap();
        assert_eq!(run(Ask::read(input, 0, 5, regions[0])), (Outcome::Done, 5));
        assert_eq!(run(Ask::write(regions[0], pipe, 0, 5)), (Outcome::Done, 5));
        assert_eq!(run(Ask::read(input, 0, 4, regions[0])), (Outcome::Done, 4));
        assert_eq!(run(Ask::write(regions[0], pipe, 0, 4)), (Outcome::Done, 4));
        for ask in [Ask::read(input, 1, 3, regions[0]), Ask::write(regions[0], pipe, 4, 4)] {
            assert_eq!(run(ask).0, Outcome::Fault(fault::IO), "a stream has no offsets");
        }
        drop(writer);
        assert_eq!(run(Ask::read(input, 0, 64, regions[0])), (Outcome::Done, 3));
        assert_eq!(run(Ask::read(input, 0, 64, regions[0])), (Outcome::Done, 0));
        drop(driver);
        let mut all = Vec::new();
        output.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"firstnext");
    }
}

#[test]
fn a_stream_that_takes_no_more_holds_no_other_up() {
    for way in Way::on_every_rung().into_iter().filter(|way| !way.stays) {
        let mut driver = way.open(builder(4));
        let (reader, mut writer) = pipe();
        let (mut output, mut write_end) = std::io::pipe().unwrap();
        // Of the pipe's 16 pages one is free.
        write_end.write_all(&[1; 15 * 4096]).unwrap();
        let mut table = IoTable::new();
        let input = table.add_file(reader, 0..4096, Access::READ).unwrap();
        let write_end = std::os::fd::OwnedFd::from(write_end).into();
        let pipe = table.add_file(write_end, 0..1 << 20, Access::WRITE).unwrap();
        let all = table.add_region(0..7 * REGION_BYTES, Access::READ).unwrap();
        let last = 7 * REGION_BYTES..8 * REGION_BYTES;
        let last = table.add_region(last, Access::WRITE).unwrap();
        driver.attach_io(way.pump(table)).unwrap();
        let mut ask = |ask: Ask, own| driver.publish(&Job::new(ASK, &ask.own(own).args(0)));
        let written = ask(Ask::write(all, pipe, 0, 7 * REGION_BYTES as u32), 0).unwrap();
        let read = ask(Ask::read(input, 0, 4, last), 1).unwrap();
        // Once what is to be written waits.
        driver.dispatch(&Readback::none()).unwrap();
        assert!(!driver.wait_io(Duration::from_millis(50)).unwrap());
        writer.write_all(b"word").unwrap();
        assert_eq!(finish(&mut driver, read), Outcome::Done);
        assert_eq!(driver.outcome(written), Outcome::Pending);
        let mut bytes = vec![0; 15 * 4096 + 7 * REGION_BYTES];
        std::thread::scope(|scope| {
            scope.spawn(|| output.read_exact(&mut bytes).unwrap());
            assert_eq!(finish(&mut driver, written), Outcome::Done);
        });
    }
}

#[test]
fn a_fence_waits_for_what_is_slow_and_others_do_not() {
    let bytes = pattern(14, 4096);
    let temp = TempFile::new("slow", &bytes);
    for way in Way::all() {
        let mut driver = way.open(builder(8));
        let (mut table, file, regions) = reading!(temp, 0..4096);
        let (reader, mut writer) = pipe();
        let slow = table.add_file(reader, 0..8, Access::READ).unwrap();
        driver.attach_io(way.pump(table)).unwrap();
        let asks = [
            Ask::read(slow, 0, 8, regions[0]).own(0),
            Ask::read(file, 0, 4096, regions[1]).own(1),
            Ask::fence().own(2),
        ]
        .map(|ask| ask.args(0));
        let [slow, before, fence] = asks.each_ref().map(|args| Job::new(ASK, args));
        let early = Duration::from_millis(20);
        if way.stays {
            let mut kernel = driver.persist().unwrap();
            let slow = kernel.publish(&slow).unwrap();
            // Once the pump has it: a fence that is asked for later comes later.
            assert!(kernel.wait(slow, early).is_err());
            let fence = kernel.publish(&fence).unwrap();
            let after = kernel.publish(&before).unwrap();
            assert_eq!(kernel.wait(after, PATIENCE), Ok(Outcome::Done));
            assert!(kernel.wait(fence, early).is_err(), "the fence did not wait");
            writer.write_all(b"someword").unwrap();
            assert_eq!(kernel.wait(fence, PATIENCE), Ok(Outcome::Done));
            assert_eq!(kernel.wait(slow, PATIENCE), Ok(Outcome::Done));
        } else {
            let [fence, slow, after] =
                [&fence, &slow, &before].map(|job| driver.publish(job).unwrap());
            assert_eq!(finish(&mut driver, after), Outcome::Done);
            // All of one drain: the fence is taken last, wherever it lies.
            assert!(!driver.wait_io(early).unwrap());
            driver.dispatch(&Readback::none()).unwrap();
            assert_eq!(driver.outcome(fence), Outcome::Pending);
            // A part, and the rest of it later.
            writer.write_all(b"some").unwrap();
            assert!(!driver.wait_io(early).unwrap());
            writer.write_all(b"word").unwrap();
            assert_eq!(finish(&mut driver, fence), Outcome::Done);
            assert_eq!(driver.outcome(slow), Outcome::Done);
        }
        assert_eq!(region(&mut driver, 0)[..8], *b"someword");
        assert_eq!(region(&mut driver, 1), bytes);
    }
}

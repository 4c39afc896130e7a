//! Devices that are lost while requests are under way: each is served, and once.

mod gpu;
mod ingest;
mod io;

use ingest::{TempFile, pattern};
use io::*;
use slipring_core::io_queue::status;
use slipring_core::publisher::Outcome;
use slipring_core::ring::Job;
use slipring_driver::input::{Access, Handle, IoTable};
use slipring_driver::persistent::PersistError;
use slipring_driver::recovery::{Losses, Recovery, Stage};
use slipring_driver::{ArenaOptions, BackendChoice, Driver, Readback};
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

const EARLY: Duration = Duration::from_millis(10);

/// Two pipes, one to be read (handle 1) and one to be written (handle 2): a byte that comes or goes
/// twice shows. The regions are the handles from 3 on.
struct Pipes {
    input: PipeWriter,
    output: PipeReader,
}

const INPUT: Handle = Handle(1);
const OUTPUT: Handle = Handle(2);

fn region_handle(index: u32) -> Handle {
    Handle(3 + index)
}

fn pipes() -> (IoTable, Pipes) {
    let (reader, input) = pipe();
    let (output, writer) = std::io::pipe().unwrap();
    let writer: File = OwnedFd::from(writer).into();
    let mut table = IoTable::new();
    assert_eq!(table.add_file(reader, 0..4096, Access::READ).unwrap(), INPUT);
    assert_eq!(table.add_file(writer, 0..4096, Access::WRITE).unwrap(), OUTPUT);
    add_regions(&mut table);
    (table, Pipes { input, output })
}

fn recovering(losses: &Losses) -> slipring_driver::DriverBuilder {
    let (first_wait, longest_wait) = (Duration::ZERO, Duration::ZERO);
    let quick = Recovery { attempts: 3, first_wait, longest_wait, ..Recovery::default() };
    builder(4).recovery(quick).losses(losses.clone())
}

/// Drains, and loses the device on the way.
fn lose(driver: &mut Driver, losses: &Losses, stage: Stage) {
    losses.lose_at(stage);
    let drained = driver.dispatch(&Readback::observables(0..SLOTS)).unwrap();
    assert_eq!(drained.recovered, 1);
}

#[test]
fn a_request_of_a_drain_that_is_lost_is_served_once() {
    for way in Way::all().into_iter().filter(|way| !way.stays) {
        let losses = Losses::default();
        let mut driver = way.open(recovering(&losses));
        let (mut table, mut pipes) = pipes();
        let bytes = pattern(41, 4096);
        let temp = TempFile::new("lost", &bytes);
        let file = table.add_file(open_to_read(&temp.0), 0..4096, Access::READ).unwrap();
        driver.attach_io(way.pump(table)).unwrap();
        for (round, stage) in [Stage::Start, Stage::Submit, Stage::Finish].into_iter().enumerate() {
            // What has landed outlives the device.
            let start = 1000 * round;
            let load = Ask::read(file, start as u64, 400, region_handle(1)).args(0);
            assert_eq!(way.run_one(&mut driver, ASK, &load), Outcome::Done);
            let read = Ask::read(INPUT, 0, 4, region_handle(0)).own(1).args(0);
            let write = Ask::write(region_handle(1), OUTPUT, 0, 400).own(2).args(0);
            let [read, write] = [(FENCED, read), (ASK, write)]
                .map(|(opcode, args)| driver.publish(&Job::new(opcode, &args)).unwrap());
            // The drain in which they ask.
            lose(&mut driver, &losses, stage);
            // One with nothing to do, while one is under way and the other one ends.
            lose(&mut driver, &losses, stage);
            let word = pattern(round as u32, 4);
            pipes.input.write_all(&word).unwrap();
            while driver.row().io_queue.status(0) == Some(status::CLAIMED) {
                driver.wait_io(EARLY).unwrap();
            }
            // Those in which they go on.
            lose(&mut driver, &losses, stage);
            assert_eq!(finish(&mut driver, write), Outcome::Done);
            assert_eq!(finish(&mut driver, read), Outcome::Done);
            settle(&mut driver);
            let expected = u32::from_ne_bytes(word.try_into().unwrap());
            assert_eq!(driver.row().control.observable(1), Ok(expected));
            assert_eq!(driver.row().control.observable(2), Ok(400));
            let mut written = [0; 400];
            pipes.output.read_exact(&mut written).unwrap();
            assert!(written == bytes[start..start + 400]);
        }
        // Nothing came twice.
        drop(driver);
        let mut rest = Vec::new();
        pipes.output.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, []);
    }
}

#[test]
fn the_requests_of_a_stay_that_is_lost_are_forgotten_with_its_jobs() {
    for way in Way::all().into_iter().filter(|way| way.stays) {
        let losses = Losses::default();
        let mut driver = way.open(recovering(&losses));
        let (table, mut pipes) = pipes();
        driver.attach_io(way.pump(table)).unwrap();
        for stage in [Stage::Persist, Stage::Stop, Stage::Persist] {
            let read = Ask::read(INPUT, 0, 4, region_handle(0)).own(1).args(0);
            let write = Ask::write(region_handle(1), OUTPUT, 0, 400).own(2).args(0);
            let mut kernel = driver.persist().unwrap();
            let waiting = kernel.publish(&Job::new(ASK, &read)).unwrap();
            let served = kernel.publish(&Job::new(ASK, &write)).unwrap();
            assert_eq!(kernel.wait(served, PATIENCE), Ok(Outcome::Done));
            assert!(kernel.wait(waiting, EARLY).is_err());
            losses.lose_at(stage);
            let error = match stage {
                Stage::Persist => {
                    let error = kernel.slices().map(drop).unwrap_err();
                    drop(kernel);
                    error
                }
                _ => kernel.stop().map(drop).unwrap_err(),
            };
            assert!(matches!(error, PersistError::Lost { .. }), "{error}");
            assert!(driver.is_uncertain(waiting) && driver.is_uncertain(served));
            assert!((0..4).all(|io_slot| io_status(&driver, io_slot) == status::EMPTY));
            // What was under way has let go of the pipe: what comes now is another's.
            pipes.input.write_all(b"word").unwrap();
            let again = driver.publish(&Job::new(ASK, &read)).unwrap();
            assert_eq!(finish(&mut driver, again), Outcome::Done);
            assert_eq!(region(&mut driver, 0)[..4], *b"word");
            assert_eq!(driver.row().control.observable(1), Ok(4));
            let mut written = [0; 400];
            pipes.output.read_exact(&mut written).unwrap();
        }
        drop(driver);
        let mut rest = Vec::new();
        pipes.output.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, []);
    }
}

/// The device is another one from the next call on; the stay has its own until it ends.
#[test]
fn a_stay_is_served_though_a_row_beside_it_has_replaced_the_device() {
    let bytes = pattern(40, 4096);
    let temp = TempFile::new("beside", &bytes);
    for way in Way::all().into_iter().filter(|way| way.stays) {
        let losses = Losses::default();
        let mut driver = way.open(recovering(&losses));
        let arena = ArenaOptions { chunks: 1, chunk_bytes: 4096 };
        let geometry = driver.row().geometry();
        let mut beside = driver.another_row(geometry).arena(arena).open().unwrap();
        let mut table = IoTable::new();
        let file = table.add_file(open_to_read(&temp.0), 0..4096, Access::READ).unwrap();
        let regions = add_regions(&mut table);
        driver.attach_io(way.pump(table)).unwrap();
        let args = Ask::read(file, 0, 4096, regions[0]).own(1).args(0);
        let mut kernel = driver.persist().unwrap();
        for round in 0..5 {
            if round == 2 {
                lose(&mut beside, &losses, Stage::Submit);
            }
            let ticket = kernel.publish(&Job::new(ASK, &args)).unwrap();
            assert_eq!(kernel.wait(ticket, PATIENCE), Ok(Outcome::Done));
        }
        kernel.stop().unwrap();
        assert_eq!(region(&mut driver, 0), bytes);
        assert_eq!(way.run_one(&mut driver, ASK, &args), Outcome::Done);
        assert_eq!(driver.backend().backend, "mapped");
        assert_eq!(way.choice, BackendChoice::Mapped);
    }
}

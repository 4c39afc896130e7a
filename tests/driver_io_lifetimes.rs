//! Pumps that come and go, and rows that change, while requests are under way.

mod gpu;
mod ingest;
mod io;

use gpu::Checked;
use ingest::{TempFile, pattern};
use io::*;
use slipring_core::io_queue::{Completion, op, status};
use slipring_core::layout::Buffer;
use slipring_core::publisher::{Outcome, Ticket};
use slipring_core::ring::Job;
use slipring_core::slot::State;
use slipring_driver::input::{Access, IoPumpError, IoTable};
use slipring_driver::{Readback, RowResults, dispatch_rows};
use std::fs::File;
use std::io::{PipeWriter, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Not long, for what must not happen.
const EARLY: Duration = Duration::from_millis(10);

/// A driver with a request under way that only a write to the pipe will end: 8 bytes into region 0.
struct Waiting {
    driver: Checked,
    reader: File,
    writer: PipeWriter,
    ticket: Ticket,
}

impl Waiting {
    /// Asked for in a drain, or in a stay that has ended.
    fn open(way: Way) -> Self {
        let (reader, writer) = pipe();
        let mut driver = way.open(builder(4));
        driver.attach_io(way.pump(table(&reader))).unwrap();
        // What it is to land on.
        assert_eq!(way.run_one(&mut driver, FILL, &[0, 1024, 3]), Outcome::Done);
        let args = Self::ask();
        let job = Job::new(ASK, &args);
        let ticket = if way.stays {
            let mut kernel = driver.persist().unwrap();
            let ticket = kernel.publish(&job).unwrap();
            assert!(kernel.wait(ticket, EARLY).is_err());
            kernel.stop().unwrap();
            ticket
        } else {
            driver.publish(&job).unwrap()
        };
        // (After a stay, what waits is looked at once.)
        assert_eq!(driver.dispatch(&Readback::none()).unwrap().waiting_io, 1);
        assert!(!driver.wait_io(EARLY).unwrap());
        assert_eq!(io_status(&driver, 0), status::CLAIMED);
        Self { driver, reader, writer, ticket }
    }

    fn ask() -> [u32; 8] {
        let [file, region] = [1, 2].map(slipring_driver::input::Handle);
        Ask::read(file, 0, 8, region).own(5).args(0)
    }

    /// Has it end, and looks at what it has brought.
    fn end(&mut self) {
        self.writer.write_all(b"8 bytes.").unwrap();
        assert_eq!(finish(&mut self.driver, self.ticket), Outcome::Done);
        self.look();
    }

    fn look(&mut self) {
        assert_eq!(self.driver.row().control.observable(5), Ok(8));
        let bytes = region(&mut self.driver, 0);
        assert_eq!(bytes[..8], *b"8 bytes.");
        let rest: Vec<_> = (2..1024).map(|i| filling(3, i)).collect();
        assert_eq!(bytes[8..], *bytemuck::cast_slice::<_, u8>(&rest));
        assert_eq!(io_status(&self.driver, 0), status::EMPTY);
    }
}

/// Handle 1 is the pipe, 2 and so on are the regions.
fn table(reader: &File) -> IoTable {
    let mut table = IoTable::new();
    table.add_file(reader.try_clone().unwrap(), 0..8, Access::READ).unwrap();
    add_regions(&mut table);
    table
}

#[test]
fn what_a_stay_or_a_drain_has_asked_for_ends_later() {
    Way::on_every_rung().into_iter().for_each(|way| Waiting::open(way).end());
}

#[test]
fn the_next_pump_serves_what_the_last_one_has_not() {
    for way in Way::on_every_rung() {
        let mut waiting = Waiting::open(way);
        for _ in 0..3 {
            waiting.driver.detach_io();
            assert_eq!(io_status(&waiting.driver, 0), status::PUBLISHED);
            let nobody = waiting.driver.wait_io(EARLY).unwrap_err();
            assert!(matches!(nobody, IoPumpError::NotAttached), "{nobody}");
            // Others may ask meanwhile.
            let args = Ask::fence().args(0);
            let fence = waiting.driver.publish(&Job::new(ASK, &args)).unwrap();
            waiting.driver.dispatch(&Readback::none()).unwrap();
            assert_eq!(io_status(&waiting.driver, 1), status::PUBLISHED);
            waiting.driver.attach_io(way.pump(table(&waiting.reader))).unwrap();
            assert!(!waiting.driver.wait_io(EARLY).unwrap());
            assert_eq!(io_status(&waiting.driver, 1), status::CLAIMED);
            assert_eq!(waiting.driver.outcome(fence), Outcome::Pending);
        }
        waiting.end();
        settle(&mut waiting.driver);
        assert_eq!(waiting.driver.in_flight(0), 0);
    }
}

#[test]
fn the_host_may_serve_by_hand_what_a_pump_has_left() {
    for way in Way::all() {
        let mut waiting = Waiting::open(way);
        waiting.driver.detach_io();
        let request = waiting.driver.claim_io()[0];
        assert_eq!((request.op, request.bytes, request.tag), (op::READ, 8, waiting.ticket.slot));
        waiting.driver.write_arena(0, &[1, 2]).unwrap();
        waiting.driver.complete_io(&[(0, Completion::Ok { bytes: 8 })]).unwrap();
        assert_eq!(finish(&mut waiting.driver, waiting.ticket), Outcome::Done);
        assert_eq!(region(&mut waiting.driver, 0)[..8], [1, 0, 0, 0, 2, 0, 0, 0]);
        // The first pump has let go of the pipe: nobody takes what comes now.
        waiting.writer.write_all(b"8 bytes.").unwrap();
        let mut bytes = [0; 8];
        std::io::Read::read_exact(&mut waiting.reader, &mut bytes).unwrap();
        assert_eq!(bytes, *b"8 bytes.");
    }
}

#[test]
fn a_driver_is_dropped_with_requests_under_way() {
    for way in Way::on_every_rung() {
        let Waiting { driver, writer, reader, .. } = Waiting::open(way);
        let start = Instant::now();
        drop(driver);
        assert!(start.elapsed() < PATIENCE);
        // Nobody else has the pipe's end, once the kernel has taken the ring apart.
        drop(reader);
        while (&writer).write_all(b"8 bytes.").is_ok() {
            assert!(start.elapsed() < PATIENCE, "the pipe is open");
            std::thread::sleep(Duration::from_millis(1));
        }
        if !way.stays {
            continue;
        }
        for forgotten in [false, true] {
            let (reader, _writer) = pipe();
            let mut driver = way.open(builder(4));
            driver.attach_io(way.pump(table(&reader))).unwrap();
            let mut kernel = driver.persist().unwrap();
            kernel.publish(&Job::new(ASK, &Waiting::ask())).unwrap();
            kernel.serve_io();
            if forgotten {
                std::mem::forget(kernel);
            } else {
                drop(kernel);
            }
            drop(driver);
        }
    }
}

#[test]
fn a_row_is_not_reset_under_a_request_and_goes_on_afterwards() {
    for way in Way::all() {
        let mut waiting = Waiting::open(way);
        waiting.driver.reset().unwrap_err();
        waiting.end();
        waiting.driver.reset().unwrap();
        let args = Waiting::ask();
        waiting.writer.write_all(b"8 bytes.").unwrap();
        assert_eq!(way.run_one(&mut waiting.driver, ASK, &args), Outcome::Done);
        waiting.look();
    }
}

#[test]
fn a_request_of_an_adopted_row_is_served_anew() {
    for way in Way::on_every_rung() {
        let mut waiting = Waiting::open(way);
        let words = Buffer::ALL.map(|buffer| {
            let words = waiting.driver.row().words(buffer).iter();
            words.map(|word| word.load(Ordering::Relaxed)).collect::<Vec<_>>()
        });
        let buffers = words.each_ref().map(|words| bytemuck::cast_slice(words));
        for _ in 0..3 {
            waiting.driver.adopt(&buffers).unwrap();
            assert_eq!(io_status(&waiting.driver, 0), status::PUBLISHED);
            // It is looked at once, in vain.
            assert_eq!(waiting.driver.dispatch(&Readback::none()).unwrap().waiting_io, 1);
            assert!(!waiting.driver.wait_io(EARLY).unwrap());
            assert_eq!(io_status(&waiting.driver, 0), status::CLAIMED);
        }
        waiting.writer.write_all(b"8 bytes.").unwrap();
        let start = Instant::now();
        while waiting.driver.row().ring.state(waiting.ticket.slot) != Some(State::Done) {
            assert!(start.elapsed() < PATIENCE);
            waiting.driver.wait_io(EARLY).unwrap();
            waiting.driver.dispatch(&Readback::observables(0..SLOTS)).unwrap();
        }
        waiting.look();
    }
}

#[test]
fn a_request_goes_on_when_the_row_moves() {
    for way in Way::on_every_rung() {
        let mut waiting = Waiting::open(way);
        waiting.driver.rebind(None).unwrap();
        waiting.end();
    }
}

#[test]
fn rows_have_a_pump_each() {
    for way in Way::all().into_iter().filter(|way| !way.stays) {
        let bytes = [31, 32, 33].map(|seed| pattern(seed, 100_000));
        let mut rows = Vec::new();
        let mut temps = Vec::new();
        let first = way.open(builder(4));
        for (i, bytes) in bytes.iter().enumerate() {
            temps.push(TempFile::new(&format!("row-{i}"), bytes));
            let geometry = first.row().geometry();
            let arena = slipring_driver::ArenaOptions { chunks: 8, chunk_bytes: 4096 };
            let mut row = first.another_row(geometry).arena(arena).open().unwrap();
            let mut table = IoTable::new();
            table.add_file(open_to_read(&temps[i].0), 0..100_000, Access::READ).unwrap();
            add_regions(&mut table);
            row.attach_io(way.pump(table)).unwrap();
            rows.push(row);
        }
        let mut results = RowResults::with_capacity(rows.len());
        for round in 0..20 {
            let offset = |row: usize, job: usize| (8 * round + job) * 500 + row;
            let mut left = Vec::new();
            for (i, row) in rows.iter_mut().enumerate() {
                for job in 0..8 {
                    let [file, region] = [1, 2 + job as u32].map(slipring_driver::input::Handle);
                    let args = Ask::read(file, offset(i, job) as u64, 4096, region).args(0);
                    left.push((i, row.publish(&Job::new(ASK, &args)).unwrap()));
                }
            }
            let start = Instant::now();
            while !left.is_empty() {
                assert!(start.elapsed() < PATIENCE);
                dispatch_rows(&mut rows, &Readback::none(), &mut results).unwrap();
                left.retain(|&(i, ticket)| match rows[i].outcome(ticket) {
                    Outcome::Pending => true,
                    outcome => outcome != Outcome::Done,
                });
            }
            for (i, row) in rows.iter_mut().enumerate() {
                for job in 0..8 {
                    let start = offset(i, job);
                    assert!(region(row, job) == bytes[i][start..start + 4096]);
                }
            }
        }
        // Each goes by itself.
        drop(rows.remove(1));
        dispatch_rows(&mut rows, &Readback::none(), &mut results).unwrap();
    }
}

//! What the GPU may name in its requests, and what it is told when it names anything else.

mod gpu;
mod ingest;
mod io;

use ingest::{TempFile, pattern};
use io::*;
use slipring_core::io_queue::{op, status, word};
use slipring_core::opcode;
use slipring_core::publisher::Outcome;
use slipring_core::slot::fault;
use slipring_driver::input::{
    Access, Handle, IngestError, IoPump, IoPumpError, IoTable, TableError,
};
use slipring_driver::{BackendChoice, Driver};
use std::fs::OpenOptions;
use std::ops::Range;
use std::sync::atomic::Ordering;

const NONE: Access = Access { read: false, write: false };

#[test]
fn a_table_refuses_what_no_request_could_use_and_stays_what_it_was() {
    let temp = TempFile::new("table", b"bytes");
    let path = &temp.0;
    let mut table = IoTable::new();
    let file = table.add_file(open_to_read(path), 0..5, Access::READ).unwrap();

    let reversed = Range { start: 5, end: 4 };
    let error = table.add_file(open_to_read(path), reversed, Access::READ).unwrap_err();
    assert!(matches!(error, TableError::FileRange { start: 5, end: 4 }), "{error}");

    let error = table.add_file(open_to_read(path), 0..5, Access::READ_WRITE).unwrap_err();
    let (wanted, opened) = (Access::READ_WRITE, Access::READ);
    assert!(
        matches!(error, TableError::Opened { wanted: w, opened: o } if (w, o) == (wanted, opened)),
        "{error}"
    );
    let write_only = OpenOptions::new().write(true).open(path).unwrap();
    let error = table.add_file(write_only, 0..5, Access::READ).unwrap_err();
    assert!(matches!(error, TableError::Opened { opened: Access::WRITE, .. }), "{error}");

    // Whatever the offset, its writes would go to the end.
    let append = || OpenOptions::new().read(true).append(true).open(path).unwrap();
    let error = table.add_file(append(), 0..5, Access::WRITE).unwrap_err();
    assert!(matches!(error, TableError::Append), "{error}");

    let directory = std::fs::File::open("/").unwrap();
    let error = table.add_file(directory, 0..5, Access::READ).unwrap_err();
    assert!(matches!(error, TableError::Kind { what: "a directory" }), "{error}");
    let (datagrams, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let datagrams = std::os::fd::OwnedFd::from(datagrams).into();
    let error = table.add_file(datagrams, 0..5, Access::READ).unwrap_err();
    assert!(matches!(error, TableError::Kind { what: "a socket of datagrams" }), "{error}");

    for bytes in [0..0, 2..8, 4..7, Range { start: 8, end: 4 }] {
        let error = table.add_region(bytes.clone(), Access::WRITE).unwrap_err();
        assert!(
            matches!(error, TableError::Region { start, end } if (start..end) == bytes),
            "{error}"
        );
    }

    let region = table.add_region(0..4, Access::WRITE).unwrap();
    assert_eq!((file, region), (Handle(1), Handle(2)), "nothing else was taken");
    for (own, of, wrong, kind) in [
        (file, file, file, "region"),
        (Handle(0), file, Handle(0), "region"),
        (Handle(3), file, Handle(3), "region"),
        (region, region, region, "file"),
        (region, Handle(0), Handle(0), "file"),
        (region, Handle(3), Handle(3), "file"),
    ] {
        match table.own_region(of, own).unwrap_err() {
            TableError::Handle { handle, expected, entries } => {
                assert_eq!((handle, expected, entries), (wrong.0, kind, 2));
            }
            error => panic!("{error}"),
        }
    }
    // To be read it may be appended to by others.
    assert_eq!(table.add_file(append(), 0..5, Access::READ).unwrap(), Handle(3));
    assert_eq!(table.add_file(open_to_read(path), 0..5, NONE).unwrap(), Handle(4));
}

#[test]
fn a_pump_is_not_attached_twice_nor_to_an_arena_that_it_does_not_fit() {
    let mut driver = builder(4).backend(BackendChoice::Twin).open().unwrap();
    let mut table = IoTable::new();
    table.add_region(0..8 * 4096, Access::WRITE).unwrap();
    table.add_region(4096..8 * 4096 + 4, Access::WRITE).unwrap();
    let error = driver.attach_io(IoPump::new(table)).unwrap_err();
    let (start, end, bytes) = (4096, 8 * 4096 + 4, 8 * 4096);
    match error {
        IoPumpError::Region { handle: 2, start: s, end: e, bytes: b } => {
            assert_eq!((s, e, b), (start, end, bytes));
        }
        error => panic!("{error}"),
    }
    assert_eq!(driver.io_path(), None);
    driver.attach_io(IoPump::new(IoTable::new())).unwrap();
    let error = driver.attach_io(IoPump::new(IoTable::new())).unwrap_err();
    assert!(matches!(error, IoPumpError::Attached), "{error}");
    driver.detach_io();
    driver.attach_io(IoPump::new(IoTable::new())).unwrap();

    let kernel = slipring_driver::Kernel::builder().build().unwrap();
    let geometry = slipring_core::layout::Geometry::of_slots(4, 1).unwrap();
    let no_arena = Driver::builder(kernel, geometry).backend(BackendChoice::Twin);
    let error = no_arena.open().unwrap().attach_io(IoPump::new(IoTable::new())).unwrap_err();
    assert!(matches!(error, IoPumpError::Ingest(IngestError::NoArena)), "{error}");
}

/// A table of all kinds: files and regions to be read, written, both, and nothing.
fn all_kinds(temp: &TempFile) -> (IoTable, Kinds) {
    let mut table = IoTable::new();
    let mut file = |access| table.add_file(open_to_write(&temp.0), 1000..9000, access).unwrap();
    let files = [Access::READ, Access::WRITE, Access::READ_WRITE, NONE].map(&mut file);
    let endless = table.add_file(open_to_read(&temp.0), 0..u64::MAX, Access::READ).unwrap();
    let huge = table.add_file(open_to_read(&temp.0), 0..1 << 40, Access::READ).unwrap();
    let mut at = 0;
    let regions = [Access::READ, Access::WRITE, Access::READ_WRITE, NONE].map(|access| {
        at += 4096;
        table.add_region(at - 4096..at, access).unwrap()
    });
    (table, Kinds { files, regions, endless, huge })
}

struct Kinds {
    files: [Handle; 4],
    regions: [Handle; 4],
    endless: Handle,
    huge: Handle,
}

/// Requests that must fail, each with its error number.
fn wrong_requests(kinds: &Kinds) -> Vec<(Ask, i32)> {
    let Kinds { files: [read, write, both, none], endless, huge, .. } = *kinds;
    let [from, to, region, nothing] = kinds.regions;
    let of_op = |op| Ask { op, ..Ask::read(both, 0, 4, region) };
    vec![
        // No such handle, or one of the other kind; 0 is none.
        (Ask::read(Handle(0), 0, 4, to), libc::EBADF),
        (Ask::read(Handle(99), 0, 4, to), libc::EBADF),
        (Ask::read(Handle(u32::MAX), 0, 4, to), libc::EBADF),
        (Ask::read(read, 0, 4, Handle(0)), libc::EBADF),
        (Ask::read(read, 0, 4, Handle(99)), libc::EBADF),
        (Ask::read(region, 0, 4, to), libc::EBADF),
        (Ask::read(read, 0, 4, both), libc::EBADF),
        (Ask::write(from, Handle(0), 0, 4), libc::EBADF),
        (Ask::write(Handle(0), write, 0, 4), libc::EBADF),
        (Ask::write(both, write, 0, 4), libc::EBADF),
        (Ask::write(from, region, 0, 4), libc::EBADF),
        // What is not allowed.
        (Ask::read(write, 0, 4, to), libc::EACCES),
        (Ask::read(none, 0, 4, to), libc::EACCES),
        (Ask::read(read, 0, 4, from), libc::EACCES),
        (Ask::read(read, 0, 4, nothing), libc::EACCES),
        (Ask::write(from, read, 0, 4), libc::EACCES),
        (Ask::write(from, none, 0, 4), libc::EACCES),
        (Ask::write(to, write, 0, 4), libc::EACCES),
        (Ask::write(nothing, write, 0, 4), libc::EACCES),
        // Past the range of the file, or of the region.
        (Ask::read(both, 7997, 4, region), libc::ERANGE),
        (Ask::read(both, 8001, 0, region), libc::ERANGE),
        (Ask::read(both, 1 << 63, 1, region), libc::ERANGE),
        (Ask::read(both, 0, 4097, region), libc::ERANGE),
        (Ask::read(both, 0, 0, region), libc::ERANGE),
        (Ask::read(huge, 0, 0, region), libc::ERANGE),
        (Ask::write(region, both, 7997, 4), libc::ERANGE),
        (Ask::write(region, both, 4000, 0), libc::ERANGE),
        (Ask::write(region, both, 0, 4097), libc::ERANGE),
        // What wraps.
        (Ask::read(both, u64::MAX, 4, region), libc::EOVERFLOW),
        (Ask::read(endless, u64::MAX - 2, 4, region), libc::EOVERFLOW),
        (Ask::write(region, both, u64::MAX - 4094, 0), libc::EOVERFLOW),
        // What the system itself refuses.
        (Ask::read(endless, u64::MAX - 4, 4, region), libc::EINVAL),
        // No such operation.
        (of_op(0), libc::EOPNOTSUPP),
        (of_op(4), libc::EOPNOTSUPP),
        (of_op(u32::MAX), libc::EOPNOTSUPP),
    ]
}

/// The byte counts of IO slots, which stay there until they are used again.
fn byte_counts(driver: &Driver, io_slots: usize) -> Vec<u32> {
    let words = driver.row().io_queue.words();
    let slots = words.chunks(slipring_core::io_queue::SLOT_WORDS).take(io_slots);
    slots.map(|slot| slot[word::BYTE_COUNT].load(Ordering::Relaxed)).collect()
}

#[test]
fn a_wrong_request_fails_alone_with_its_error_number() {
    for way in Way::all() {
        let bytes = pattern(20, 10_000);
        let temp = TempFile::new("wrong", &bytes);
        let mut driver = way.open(builder(2));
        let (table, kinds) = all_kinds(&temp);
        driver.attach_io(way.pump(table)).unwrap();
        let right = Ask::read(kinds.files[0], 8000 - 11, 11, kinds.regions[1]).own(1).args(0);
        for (wrong, errno) in wrong_requests(&kinds) {
            let errno = errno as u32;
            let args = wrong.args(0);
            assert_eq!(way.run_one(&mut driver, ASK, &args), Outcome::Fault(fault::IO));
            assert_eq!(io_status(&driver, 0), status::EMPTY);
            assert_eq!(byte_counts(&driver, 1), [errno], "{wrong:?}");
            let ends = way.run(&mut driver, &[(ASK, &args), (ASK, &right)]);
            assert_eq!(ends, [Outcome::Fault(fault::IO), Outcome::Done], "{wrong:?}");
            assert_eq!(region(&mut driver, 1)[..11], bytes[9000 - 11..9000]);
            if !way.stays {
                // Side by side, each in its own IO slot.
                let mut counts = byte_counts(&driver, 2);
                counts.sort_unstable();
                let mut expected = [errno, 11];
                expected.sort_unstable();
                assert_eq!(counts, expected, "{wrong:?}");
            }
        }
        assert!(std::fs::read(&temp.0).unwrap() == bytes, "a wrong request has written");
        // The same of LOAD_MISS, and of one for which nobody waits.
        let load = [kinds.files[1].0, 0, 0, 0, 4, kinds.regions[1].0];
        let prefetch = [kinds.files[1].0, 1, 0, 0, 4, kinds.regions[1].0];
        let loads = [&load, &prefetch].map(|args| (opcode::LOAD_MISS, &args[..]));
        assert_eq!(way.run(&mut driver, &loads), [Outcome::Fault(fault::IO), Outcome::Done]);
        settle(&mut driver);
        assert_eq!(driver.prefetch_failures(), 1);
        // A fence names nothing, and what it has there does not matter.
        let fence = Ask { op: op::FENCE, source: 99, offset: u64::MAX, ..Ask::fence() }.args(0);
        assert_eq!(way.run_one(&mut driver, ASK, &fence), Outcome::Done);
    }
}

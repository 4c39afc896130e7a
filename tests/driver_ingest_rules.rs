//! What an ingest refuses, with the numbers, and how chunks end that do not end well.

mod gpu;
mod ingest;

use gpu::everywhere;
use ingest::{CHUNK_BYTES, TempFile, assert_whole, pattern, run, sum_job, summing};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use slipring_core::layout::Geometry;
use slipring_core::opcode;
use slipring_core::publisher::PublisherError;
use slipring_core::ring::PublishError;
use slipring_core::tenant::{Tenant, TenantError, TenantTable};
use slipring_driver::input::{
    Access, Caching, ChunkEnd, ChunkJob, Ingest, IngestBuilder, IngestError, IoPump, IoTable,
    Source, SourceError,
};
use slipring_driver::{ArenaOptions, BackendChoice, Driver, DriverBuilder, Kernel, Readback, Rung};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

fn twin() -> Driver {
    twin_of(summing(64))
}

fn twin_of(builder: DriverBuilder) -> Driver {
    builder.backend(BackendChoice::Twin).open().unwrap()
}

fn added(source: Source) -> IngestError {
    Ingest::builder(&twin()).open().unwrap().add(source, sum_job()).unwrap_err()
}

#[test]
fn an_ingest_needs_an_arena_and_numbers_within_limits() {
    let kernel = Kernel::builder().build().unwrap();
    let geometry = Geometry::of_slots(4, 4).unwrap();
    let driver = twin_of(Driver::builder(kernel, geometry));
    let error = Ingest::builder(&driver).open().unwrap_err();
    assert_eq!(error.to_string(), "the driver has no arena; use DriverBuilder::arena");

    let driver = twin();
    let said = |with: fn(IngestBuilder<'_>) -> IngestBuilder<'_>| {
        with(Ingest::builder(&driver)).open().unwrap_err().to_string()
    };
    assert_eq!(said(|with| with.depth(0)), "0 reads at once; 1 to 4096 are possible");
    assert_eq!(said(|with| with.depth(4097)), "4097 reads at once; 1 to 4096 are possible");
    assert_eq!(said(|with| with.sources(0)), "room for 0 sources; 1 to 65536 are possible");
    let most = said(|with| with.sources(u32::MAX));
    assert_eq!(most, "room for 4294967295 sources; 1 to 65536 are possible");
    Ingest::builder(&driver).depth(4096).sources(65_536).batch(u32::MAX).open().unwrap();
}

#[test]
fn what_is_no_regular_file_is_refused_by_its_name() {
    let fifo = TempFile::new("fifo", &[]);
    std::fs::remove_file(&fifo.0).unwrap();
    mknodat(CWD, &fifo.0, FileType::Fifo, Mode::RUSR, 0).unwrap();
    for (path, expected) in [
        (&*std::env::temp_dir(), "a directory"),
        (&fifo.0, "no regular file"),
        (Path::new("/dev/null"), "no regular file"),
    ] {
        let error = added(Source::file(path));
        let IngestError::Source(SourceError::NotAFile { path: named, what }) = &error else {
            panic!("{error}")
        };
        assert_eq!((&**named, *what), (path, expected));
        let rest = "a regular file is needed, or Source::stream";
        assert_eq!(error.to_string(), format!("{} is {what}; {rest}", path.display()));
    }
    // It gives no length, and is not empty.
    let error = added(Source::file("/proc/self/status"));
    let why = "/proc/self/status is a file that gives no length, and has bytes";
    assert_eq!(error.to_string(), format!("{why}; a regular file is needed, or Source::stream"));
    // A read of this one would wait for the kernel's next message.
    let error = added(Source::file("/proc/kmsg")).to_string();
    assert!(error.starts_with("/proc/kmsg"), "{error}");
    let error = added(Source::file("/no/such/file"));
    assert_eq!(error.to_string(), "/no/such/file: No such file or directory (os error 2)");
}

#[test]
fn sockets_of_messages_are_refused_by_their_name() {
    for kind in [SocketType::DGRAM, SocketType::SEQPACKET] {
        let (one, _other) =
            socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        let error = added(Source::stream("messages", one));
        let why = "messages is a socket of datagrams; one of bytes is needed (SOCK_STREAM)";
        assert_eq!(error.to_string(), why);
    }
}

#[test]
fn an_ingest_reads_into_its_own_chunks_only() {
    everywhere(summing(64), |driver| {
        let bytes = pattern(5, 50_001);
        let file = TempFile::new(&format!("own-{}", driver.backend().backend), &bytes);
        for chunks in [3..3, Range { start: 3, end: 2 }, 0..9, 9..10] {
            let error = Ingest::builder(driver).chunks(chunks.clone()).open().unwrap_err();
            let Range { start, end } = chunks;
            let why = format!("chunks {start}..{end} of an arena of 8; at least one is needed");
            assert_eq!(error.to_string(), why);
        }
        let words = CHUNK_BYTES as usize / 4;
        let mine = vec![0x5A5A_5A5A; words];
        for chunk in [0, 1, 4, 5, 6, 7] {
            driver.write_arena(chunk * words, &mine).unwrap();
        }
        let mut ingest = Ingest::builder(driver).chunks(2..4).open().unwrap();
        let id = ingest.add(Source::file(&file.0), sum_job()).unwrap();
        assert_whole(&run(&mut ingest, driver)[&id], &bytes, 0);
        for chunk in [0, 1, 4, 5, 6, 7] {
            let mut words = vec![0; words];
            driver.read_arena(chunk * words.len(), &mut words).unwrap();
            assert_eq!(words, mine, "chunk {chunk}");
        }
    });
}

#[test]
fn a_pump_and_an_ingest_do_not_share_what_they_write_to() {
    let chunk = CHUNK_BYTES as usize;
    let pump = |bytes, access| {
        let mut table = IoTable::new();
        table.add_region(bytes, access).unwrap();
        IoPump::new(table)
    };
    let mut driver = twin();
    let ingest = Ingest::builder(&driver).chunks(2..4).open().unwrap();
    for bytes in [3 * chunk..5 * chunk, 0..2 * chunk + 4, 2 * chunk + 4..2 * chunk + 8] {
        let error = driver.attach_io(pump(bytes.clone(), Access::READ_WRITE)).unwrap_err();
        let Range { start, end } = bytes;
        assert_eq!(
            error.to_string(),
            format!(
                "bytes {start}..{end} of the arena are to be loaded into, and an ingest reads into \
                 8192..16384; keep chunks for the pump (IngestBuilder::chunks)"
            )
        );
    }
    // What is taken from a chunk only, it may have.
    driver.attach_io(pump(2 * chunk..4 * chunk, Access::READ)).unwrap();
    driver.detach_io();
    drop(ingest);
    driver.attach_io(pump(3 * chunk..5 * chunk, Access::WRITE)).unwrap();
    for (chunks, is_free) in [(0..3, true), (5..8, true), (0..4, false), (4..5, false)] {
        let opened = Ingest::builder(&driver).chunks(chunks).open().map(drop);
        let error = opened.map_err(|error| error.to_string());
        let why = "the driver's IO pump loads into bytes 12288..20480 of the arena; keep chunks for \
                   it (IngestBuilder::chunks)";
        assert_eq!(error, if is_free { Ok(()) } else { Err(why.to_owned()) });
    }
    driver.detach_io();
    // Nor does a pump get what a job that is left has still to see.
    let file = TempFile::new("left", &[7; 4096]);
    let mut ingest = Ingest::builder(&driver).chunks(2..3).open().unwrap();
    ingest.add(Source::file(&file.0), sum_job()).unwrap();
    while ingest.wait(&mut driver).unwrap() == 0 {}
    drop(ingest);
    let error = driver.attach_io(pump(0..3 * chunk, Access::WRITE)).unwrap_err();
    assert!(error.to_string().contains("reads into 8192..12288"), "{error}");
    driver.dispatch(&Readback::none()).unwrap();
    driver.attach_io(pump(0..3 * chunk, Access::WRITE)).unwrap();
    driver.detach_io();
    Ingest::builder(&driver).open().unwrap();
}

#[test]
fn what_is_refused_takes_no_place() {
    let file = TempFile::new("places", &pattern(1, 10_000));
    let mut driver = twin();
    let mut ingest = Ingest::builder(&driver).sources(2).open().unwrap();
    let overlap = Source::file(&file.0).overlap_bytes(CHUNK_BYTES);
    let error = ingest.add(overlap, sum_job()).unwrap_err();
    assert_eq!(error.to_string(), "an overlap of 4096 bytes; chunks of 4096 need fewer");
    let most = ChunkJob::MAX_ARGS;
    let error = ingest.add(Source::file(&file.0), sum_job().args(&[1; 6])).unwrap_err();
    assert!(matches!(error, IngestError::Args { args: 6, most: 5 }), "{error}");
    ingest.add(Source::file("/no/such/file"), sum_job()).unwrap_err();
    assert!(ingest.is_idle());

    let job = || sum_job().args(&vec![1; most]);
    let ids = [0; 2].map(|_| ingest.add(Source::file(&file.0), job()).unwrap());
    let error = ingest.add(Source::file(&file.0), sum_job()).unwrap_err();
    assert!(matches!(error, IngestError::Full { sources: 2 }), "{error}");
    let all = run(&mut ingest, &mut driver);
    ids.iter().for_each(|id| assert_whole(&all[id], &pattern(1, 10_000), 0));
    // Who has ended makes room.
    ingest.add(Source::file(&file.0), sum_job()).unwrap();
}

#[test]
fn a_handlers_fault_and_a_refusal_are_told_with_each_chunk() {
    everywhere(summing(4), |driver| {
        let bytes = pattern(4, 10 * CHUNK_BYTES as usize);
        let file = TempFile::new(&format!("fault-{}", driver.backend().backend), &bytes);
        let mut ingest = Ingest::builder(driver).open().unwrap();
        // A store at word 4096 of the control buffer, which has fewer: argument 1 is the bytes.
        let store = ChunkJob::new(opcode::STORE_U32);
        let reserved = ChunkJob::new(0xFFF5);
        for (job, check) in [
            (store, (|end| matches!(end, ChunkEnd::Fault(4))) as fn(&ChunkEnd) -> bool),
            (reserved, |end| {
                let wrong = PublishError::Opcode { item: 0, opcode: 0xFFF5 };
                matches!(end, ChunkEnd::Refused(PublisherError::Job(why)) if *why == wrong)
            }),
            (sum_job().tenant(29), |end| {
                let wrong = TenantError::Unknown { tenant: 29 };
                matches!(end, ChunkEnd::Refused(PublisherError::Tenant(why)) if *why == wrong)
            }),
        ] {
            let id = ingest.add(Source::file(&file.0), job).unwrap();
            let chunks = run(&mut ingest, driver).remove(&id).unwrap();
            assert_eq!(chunks.len(), 10);
            for chunk in chunks.into_values() {
                let chunk = chunk.unwrap_err();
                assert!(check(&chunk.end), "{chunk:?}");
                assert_eq!(chunk.bytes, CHUNK_BYTES);
            }
            assert_eq!(ingest.next_end().unwrap().bytes, bytes.len() as u64);
        }
        // No place in the ring or the arena was lost.
        let id = ingest.add(Source::file(&file.0), sum_job()).unwrap();
        assert_whole(&run(&mut ingest, driver)[&id], &bytes, 0);
    });
}

#[test]
fn chunks_wait_for_their_tenants_quota() {
    let mut tenants = TenantTable::open(1);
    tenants.set(1, Tenant { quota: 2, ..Tenant::OPEN }).unwrap();
    everywhere(summing(64).tenants(tenants), |driver| {
        let bytes = pattern(4, 90_001);
        let file = TempFile::new(&format!("quota-{}", driver.backend().backend), &bytes);
        let mut ingest = Ingest::builder(driver).batch(8).open().unwrap();
        let id = ingest.add(Source::file(&file.0), sum_job().tenant(1)).unwrap();
        assert_eq!((ingest.wait(driver).unwrap(), driver.in_flight(1)), (2, 2));
        assert_eq!((ingest.wait(driver).unwrap(), driver.in_flight(1)), (0, 2));
        assert_whole(&run(&mut ingest, driver)[&id], &bytes, 0);
    });
}

#[test]
fn chunks_wait_for_a_tenant_that_is_paused() {
    let mut tenants = TenantTable::open(1);
    tenants.set(1, Tenant { quota: 0, ..Tenant::OPEN }).unwrap();
    everywhere(summing(64).tenants(tenants), |driver| {
        let bytes = pattern(4, 9_001);
        let file = TempFile::new(&format!("paused-{}", driver.backend().backend), &bytes);
        let mut ingest = Ingest::builder(driver).open().unwrap();
        let id = ingest.add(Source::file(&file.0), sum_job().tenant(1)).unwrap();
        for _ in 0..3 {
            assert_eq!(ingest.wait(driver).unwrap(), 0);
        }
        assert!(ingest.next(driver).is_none());
        driver.set_tenant(1, Tenant::OPEN).unwrap();
        assert_whole(&run(&mut ingest, driver)[&id], &bytes, 0);
    });
}

#[test]
fn a_driver_may_go_before_its_ingest() {
    everywhere(summing(64), |driver| {
        let file = TempFile::new(&format!("before-{}", driver.backend().backend), &[7; 90_000]);
        let arena = ArenaOptions { chunks: 8, chunk_bytes: CHUNK_BYTES };
        let geometry = Geometry::of_slots(8, 8).unwrap();
        let mut other = driver.another_row(geometry).arena(arena).open().unwrap();
        let mut ingest = Ingest::builder(&other).open().unwrap();
        ingest.add(Source::file(&file.0), sum_job()).unwrap();
        ingest.poll(&mut other).unwrap();
        drop(other);
        // What was read into is there still, and the ingest is that row's alone.
        let error = ingest.poll(driver).unwrap_err();
        assert!(matches!(error, IngestError::OtherArena), "{error}");
        drop(ingest);
    });
}

#[test]
fn dropping_waits_for_the_reads_in_flight() {
    const WORDS: usize = 1 << 20;
    let file = TempFile::new("dropped", &pattern(1, 4 * WORDS));
    for rung in [Rung::Pages, Rung::Plain, Rung::Threads] {
        let arena = ArenaOptions { chunks: 16, chunk_bytes: 1 << 18 };
        let mut driver = twin_of(summing(64).arena(arena).first_rung(rung));
        let read = |driver: &mut Driver| {
            let mut words = vec![0; WORDS];
            driver.read_arena(0, &mut words).unwrap();
            words
        };
        for depth in [1, 2, 16, 16] {
            driver.write_arena(0, &vec![0; WORDS]).unwrap();
            let mut ingest = Ingest::builder(&driver).depth(depth).open().unwrap();
            let source = Source::file(&file.0).caching(Caching::Direct);
            ingest.add(source, ChunkJob::new(opcode::NOP)).unwrap();
            ingest.poll(&mut driver).unwrap();
            drop(ingest);
            let before = read(&mut driver);
            std::thread::sleep(Duration::from_millis(20));
            let after = read(&mut driver);
            assert!(before == after, "something was read after the drop, {rung} and {depth}");
            driver.dispatch(&Readback::none()).unwrap();
        }
    }
}

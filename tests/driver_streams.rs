//! Pipes, sockets and terminals through the arena: every byte once, in order, until the end.

mod gpu;
mod ingest;

use ingest::{CHUNK_BYTES, CHUNKS, Sources, TempFile, assert_in_order, assert_whole};
use ingest::{bytes_of, drain, pattern, run, sum_job, summing, take};
use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use slipring_driver::input::{ChunkEnd, Ingest, IngestError, Source};
use slipring_driver::{BackendChoice, Driver, Readback, Rung};
use std::fs::File;
use std::io::{ErrorKind, PipeWriter, Write, pipe};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// Many times what the arena has room for.
const BYTES: usize = 300_001;

/// Runs `check` on io_uring and on threads, on the twin and where the row is mapped.
fn on_engines(check: impl Fn(&mut Driver, &mut Ingest)) {
    let on = |driver: &mut Driver, rung| {
        let mut ingest = Ingest::builder(driver).depth(2).open().unwrap();
        assert_eq!(ingest.path().rung, rung, "{}", ingest.path());
        check(driver, &mut ingest);
    };
    for rung in [Rung::Pages, Rung::Threads] {
        let builder = summing(64).first_rung(rung);
        on(&mut builder.clone().backend(BackendChoice::Twin).open().unwrap(), rung);
        if !gpu::is_skipped() {
            on(&mut gpu::open(builder, BackendChoice::Mapped), rung);
        }
    }
}

/// Reads what a thread writes in pieces of some length until it hangs up.
fn check_pair(
    (driver, ingest): (&mut Driver, &mut Ingest),
    (stream, mut writer): (OwnedFd, impl Write + Send),
    piece: usize,
) {
    let bytes = pattern(3, BYTES.min(1000 * piece));
    thread::scope(|scope| {
        scope.spawn(|| {
            bytes.chunks(piece).for_each(|piece| writer.write_all(piece).unwrap());
            drop(writer);
        });
        let id = ingest.add(Source::stream("pair", stream), sum_job()).unwrap();
        let chunks = run(ingest, driver).remove(&id).unwrap();
        assert_in_order(&chunks, &bytes);
        let end = ingest.next_end().unwrap();
        assert_eq!((end.source, end.path.to_str()), (id, Some("pair")));
        assert_eq!((end.chunks, end.bytes), (chunks.len() as u64, bytes.len() as u64));
        assert!(ingest.next_end().is_none());
    });
}

fn unix_pair() -> (OwnedFd, UnixStream) {
    let (reader, writer) = UnixStream::pair().unwrap();
    (reader.into(), writer)
}

fn tcp_pair() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0.into(), writer)
}

fn pipe_pair() -> (OwnedFd, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    (reader.into(), writer)
}

fn not_blocking(reader: impl Into<OwnedFd>) -> OwnedFd {
    let reader = reader.into();
    let flags = rustix::fs::fcntl_getfl(&reader).unwrap();
    rustix::fs::fcntl_setfl(&reader, flags | OFlags::NONBLOCK).unwrap();
    reader
}

#[test]
fn a_pipe_and_sockets_come_whole_and_in_order_until_they_end() {
    on_engines(|driver, ingest| {
        for piece in [70_000, 5000, 7] {
            check_pair((driver, ingest), pipe_pair(), piece);
            check_pair((driver, ingest), unix_pair(), piece);
            check_pair((driver, ingest), tcp_pair(), piece);
        }
    });
}

#[test]
fn a_stream_that_was_opened_not_to_block_is_waited_for() {
    on_engines(|driver, ingest| {
        let (reader, writer) = pipe_pair();
        check_pair((driver, ingest), (not_blocking(reader), Slow(writer)), 5000);
        let (reader, writer) = tcp_pair();
        check_pair((driver, ingest), (not_blocking(reader), writer), 7);
    });
}

/// Has the reader wait for each piece.
struct Slow(PipeWriter);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        thread::sleep(Duration::from_millis(1));
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// A pair as a serial device has it: what is written to the first is read from the second.
fn raw_terminal() -> (OwnedFd, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let master = rustix::pty::openpt(flags).unwrap();
    rustix::pty::grantpt(&master).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let device = rustix::pty::ioctl_tiocgptpeer(&master, flags).unwrap();
    let mut modes = tcgetattr(&device).unwrap();
    modes.make_raw();
    tcsetattr(&device, OptionalActions::Now, &modes).unwrap();
    (master, device)
}

#[test]
fn a_serial_device_comes_whole_and_in_order_until_it_is_unplugged() {
    on_engines(|driver, ingest| {
        // Every byte is data, line ends and control characters too.
        let bytes = pattern(5, 20_000);
        let (master, device) = raw_terminal();
        let id = ingest.add(Source::stream("serial", device), sum_job()).unwrap();
        let mut all = Sources::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut master = File::from(master.try_clone().unwrap());
                bytes.chunks(300).for_each(|piece| master.write_all(piece).unwrap());
            });
            wait_for((driver, ingest), &mut all, |all| bytes_of(all.get(&id)) == bytes.len());
        });
        assert_in_order(&all[&id], &bytes);
        // Hung up, a terminal ends, or says EIO to who waits for it (Linux, n_tty_read).
        drop(master);
        for (_, chunk) in run(ingest, driver).remove(&id).unwrap_or_default() {
            let ChunkEnd::NotRead(error) = chunk.unwrap_err().end else { panic!("more came") };
            assert_eq!((error.offset, error.errno), (20_000, Some(libc::EIO)));
            assert!(error.to_string().starts_with("serial at byte 20000: "), "{error}");
        }
        assert_eq!(ingest.next_end().unwrap().bytes, 20_000);
    });
}

/// Goes on until enough has come, of streams that do not end.
fn wait_for(
    (driver, ingest): (&mut Driver, &mut Ingest),
    all: &mut Sources,
    is_enough: impl Fn(&Sources) -> bool,
) {
    let start = Instant::now();
    while !is_enough(all) {
        assert!(start.elapsed() < 20 * SECOND, "too little has come");
        ingest.wait_timeout(driver, SECOND / 100).unwrap();
        drain(ingest, driver, all);
    }
}

#[test]
fn streams_that_are_silent_stop_neither_others_nor_files() {
    on_engines(|driver, ingest| {
        // More than the reads that files may have at once, and all but one of the chunks.
        let silent: [_; CHUNKS as usize - 2] = std::array::from_fn(|_| pipe_pair());
        let (silent, writers): (Vec<_>, Vec<_>) = silent.into_iter().unzip();
        for stream in silent {
            ingest.add(Source::stream("silent", stream), sum_job()).unwrap();
        }
        let (stream, mut writer) = pipe_pair();
        let talks = ingest.add(Source::stream("talks", stream), sum_job()).unwrap();
        let (one_more, _writer) = pipe_pair();
        let refused = ingest.add(Source::stream("one more", one_more), sum_job()).unwrap_err();
        assert!(matches!(refused, IngestError::Streams { streams: 8, most: 7 }), "{refused}");
        let bytes = pattern(6, BYTES);
        let file = TempFile::new(&format!("beside-{}", driver.backend().backend), &bytes);
        let read = ingest.add(Source::file(&file.0), sum_job()).unwrap();
        let mut all = Sources::new();
        thread::scope(|scope| {
            scope.spawn(|| writer.write_all(&bytes).unwrap());
            let is_whole = |all: &Sources, id| bytes_of(all.get(&id)) == bytes.len();
            let is_enough = |all: &Sources| is_whole(all, talks) && is_whole(all, read);
            wait_for((driver, ingest), &mut all, is_enough);
        });
        assert_in_order(&all[&talks], &bytes);
        assert_whole(&all[&read], &bytes, 0);
        assert_eq!(all.len(), 2);
        drop((writers, writer));
        assert!(run(ingest, driver).is_empty());
        assert_eq!(std::iter::from_fn(|| ingest.next_end()).count(), CHUNKS as usize);
    });
}

#[test]
fn who_always_has_more_leaves_room_for_the_others() {
    on_engines(|driver, ingest| {
        let zeroes = || Source::stream("zeroes", File::open("/dev/zero").unwrap());
        let ids = [0; 3].map(|_| ingest.add(zeroes(), sum_job()).unwrap());
        let file =
            TempFile::new(&format!("room-{}", driver.backend().backend), &pattern(7, 80_000));
        let read = ingest.add(Source::file(&file.0), sum_job()).unwrap();
        let mut all = Sources::new();
        for _ in 0..400 {
            // One chunk at a time is free.
            ingest.wait(driver).unwrap();
            driver.dispatch(&Readback::observables(0..2 * CHUNKS)).unwrap();
            if let Some(chunk) = ingest.next(driver) {
                take(chunk, driver.row(), &mut all);
            }
        }
        assert_whole(&all[&read], &pattern(7, 80_000), 0);
        let came = ids.map(|id| all[&id].len());
        assert!(came.iter().all(|chunks| *chunks > 100), "{came:?}");
    });
}

#[test]
fn a_writer_waits_while_there_is_no_room_and_nothing_is_lost() {
    on_engines(|driver, ingest| {
        let (reader, writer) = pipe_pair();
        let mut writer = File::from(not_blocking(writer));
        let id = ingest.add(Source::stream("pipe", reader), sum_job()).unwrap();
        let room = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
        let room = room + (CHUNKS * CHUNK_BYTES) as usize;
        let (bytes, mut taken) = (pattern(8, 2 * room), 0);
        // A moment without progress shows that it waits.
        let mut still = 0;
        while still < 20 {
            match writer.write(&bytes[taken..]) {
                Ok(written) => (taken, still) = (taken + written, 0),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    still += 1;
                }
            }
            ingest.wait_timeout(driver, SECOND / 1000).unwrap();
            thread::sleep(SECOND / 1000);
        }
        assert!((room / 2..=room).contains(&taken), "{taken} of {room}");
        let mut all = Sources::new();
        wait_for((driver, ingest), &mut all, |all| bytes_of(all.get(&id)) == taken);
        assert!(writer.write(&bytes[taken..taken + 100]).unwrap() == 100);
        drop(writer);
        for (id, chunks) in run(ingest, driver) {
            all.entry(id).or_default().extend(chunks);
        }
        assert_in_order(&all[&id], &bytes[..taken + 100]);
    });
}

#[test]
fn dropping_does_not_wait_for_a_silent_stream() {
    for rung in [Rung::Pages, Rung::Threads] {
        let builder = summing(64).first_rung(rung).backend(BackendChoice::Twin);
        let mut driver = builder.open().unwrap();
        let mut ingest = Ingest::builder(&driver).open().unwrap();
        let (master, device) = raw_terminal();
        let (pipe, mut writer) = pipe_pair();
        let (late, _late_writer) = pipe_pair();
        for stream in [pipe, device, not_blocking(late)] {
            ingest.add(Source::stream("silent", stream), sum_job()).unwrap();
        }
        ingest.wait_timeout(&mut driver, SECOND / 20).unwrap();
        let start = Instant::now();
        drop(ingest);
        assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
        // Nobody has the other end any more.
        assert_eq!(writer.write(b"late").unwrap_err().kind(), ErrorKind::BrokenPipe);
        drop(master);
    }
}

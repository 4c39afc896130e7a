//! Wires that lie, end, come back and lead to others: every job ends once, and as it has run.

mod gpu;
mod links;

use links::{Board, MARKS, RUNGS, TIMEOUT, TempPath, WORDS};
use links::{assert_fates, builder, geometry, host, open, terminal, together};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{ControlModes, InputModes, LocalModes, OutputModes, tcgetattr};
use slipring_core::layout::Geometry;
use slipring_core::link::{Fate, Notice, Reason, Refusal};
use slipring_driver::link::{Link, LinkEvent, Links, Results, Wire, WireError};
use slipring_driver::{BackendChoice, Driver, Rung};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SLOTS: u32 = 16;

/// Runs `check` on io_uring and on threads.
fn on_rungs(check: impl Fn(&mut Driver, Rung)) {
    for rung in RUNGS {
        let mut driver = builder(SLOTS, 2).backend(BackendChoice::Twin).open().unwrap();
        check(&mut driver, rung);
    }
}

fn link(wire: Wire) -> Link {
    Link::new("board", wire).tenant(1).results(Results::observables(0, WORDS))
}

fn board(session: u32, wire: impl Into<std::os::fd::OwnedFd>) -> Board {
    Board::new(session, geometry(SLOTS), wire)
}

/// Whether the wire was lost, or came up, so often.
fn count(events: &[(usize, LinkEvent)], is: fn(&LinkEvent) -> bool) -> usize {
    events.iter().filter(|(_, event)| is(event)).count()
}

fn is_lost(event: &LinkEvent) -> bool {
    matches!(event, LinkEvent::WireLost(_))
}

fn is_connected(event: &LinkEvent) -> bool {
    matches!(event, LinkEvent::Peer(Notice::Connected { .. }))
}

#[test]
fn a_serial_device_is_raw_at_any_rate_and_nobody_elses() {
    for baud in [9600, 1_000_000, 3_456_789, 4_000_000] {
        let mut driver = builder(SLOTS, 2).backend(BackendChoice::Twin).open().unwrap();
        let (_master, path) = terminal();
        let wire = Wire::serial(&path, baud);
        let wire = if baud == 1_000_000 { wire.rts_cts() } else { wire };
        let mut links = Links::builder(&driver).link(link(wire)).open().unwrap();
        links.turn(&mut driver).unwrap();
        assert_eq!(links.next_event(), Some((0, LinkEvent::WireUp)));
        // The master's modes are its device's.
        let modes = tcgetattr(&_master).unwrap();
        assert_eq!((modes.output_speed(), modes.input_speed()), (baud, baud));
        let control = modes.control_modes;
        assert_eq!(control & ControlModes::CSIZE, ControlModes::CS8);
        assert!(!control.intersects(ControlModes::PARENB | ControlModes::CSTOPB));
        assert!(control.contains(ControlModes::CREAD | ControlModes::CLOCAL));
        assert_eq!(control.contains(ControlModes::CRTSCTS), baud == 1_000_000);
        assert!(
            !modes.local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
        );
        assert!(
            !modes.input_modes.intersects(InputModes::IXON | InputModes::IXOFF | InputModes::ICRNL)
        );
        assert!(!modes.output_modes.contains(OutputModes::OPOST));
        // (For root, nothing is exclusive.)
        if !rustix::process::geteuid().is_root() {
            let again = std::fs::File::open(&path).unwrap_err();
            assert_eq!(again.raw_os_error(), Some(rustix::io::Errno::BUSY.raw_os_error()));
        }
    }
}

#[test]
fn a_serial_device_is_unplugged_and_plugged_in_while_jobs_run_and_none_is_lost() {
    on_rungs(|driver, rung| {
        let path = TempPath::new("tty");
        let mut links =
            open(Links::builder(driver).link(link(Wire::serial(&path.0, 1_000_000))), rung);
        links.turn(driver).unwrap();
        let absent = links.next_event().unwrap().1;
        let no_such = rustix::io::Errno::NOENT.raw_os_error();
        let error = WireError::System { call: "open", errno: no_such };
        assert_eq!(absent, LinkEvent::WireAbsent(error));
        let (master, device) = terminal();
        path.point_to(&device);
        let (boards, events) = together(&mut links, driver, vec![board(5, master)], |_, board| {
            for part in 0..4 {
                let jobs = 100 * part..100 * (part + 1);
                board.until("it connects", |board| board.sender.is_connected());
                // In the middle of jobs.
                let (mut next, half) = (jobs.start, jobs.start + 50);
                while next < half {
                    next += u32::from(board.publish_one(next));
                    board.turn();
                }
                assert!(board.open_jobs() > 0);
                board.unplug();
                thread::sleep(Duration::from_millis(30));
                let (master, device) = terminal();
                path.point_to(&device);
                board.plug(master);
                board.run(half..jobs.end);
            }
        });
        boards[0].assert_done(0..400, 1);
        assert_fates(driver, &boards[0].ends);
        assert_eq!((count(&events, is_lost), count(&events, is_connected)), (4, 1), "{events:?}");
        assert_eq!(links.counters(0).wires, 5);
    });
}

#[test]
fn a_board_that_begins_anew_gets_the_fates_that_are_known_and_no_job_runs_twice() {
    on_rungs(|driver, rung| {
        let path = TempPath::new("socket");
        let listener = UnixListener::bind(&path.0).unwrap();
        let mut links = open(Links::builder(driver).link(link(Wire::accept(listener))), rung);
        let first = board(1, UnixStream::connect(&path.0).unwrap());
        let (boards, events) = together(&mut links, driver, vec![first], |_, first| {
            let mut ends = Default::default();
            for life in 0..5 {
                if life > 0 {
                    // Another boot: what was open is forgotten, on this side.
                    *first = board(1 + life, UnixStream::connect(&path.0).unwrap());
                }
                first.until("it connects", |board| board.sender.is_connected());
                first.run(200 * life..200 * life + 100);
                let mut next = 200 * life + 100;
                while next < 200 * life + 130 {
                    next += u32::from(first.publish_one(next));
                    first.turn();
                }
                std::collections::BTreeMap::append(&mut ends, &mut first.ends);
            }
            first.until("the rest ends", |board| board.open_jobs() == 0);
            ends.append(&mut first.ends);
            first.ends = ends;
        });
        let ends = &boards[0].ends;
        assert!(ends.values().all(|(fate, _)| *fate == Fate::Done));
        assert!(ends.len() >= 5 * 100 + 30, "{}", ends.len());
        assert_fates(driver, ends);
        // Nor did those run twice of which nobody was told.
        for mark in 2 * SLOTS..2 * SLOTS + MARKS {
            assert!(driver.row().control.observable(mark).unwrap() <= 1);
        }
        assert_eq!((count(&events, is_lost), count(&events, is_connected)), (4, 5), "{events:?}");
        let counters = links.counters(0);
        assert_eq!(counters.wires, 5);
        let orphaned = |event: &LinkEvent| matches!(event, LinkEvent::Orphaned { .. });
        assert_eq!(counters.orphaned, count(&events, orphaned) as u64);
    });
}

#[test]
fn a_host_that_begins_anew_runs_no_job_twice() {
    on_rungs(|driver, rung| {
        let path = TempPath::new("host");
        let lives = 4;
        let board = thread::scope(|scope| {
            let mut running = None;
            for life in 0..lives {
                let _ = std::fs::remove_file(&path.0);
                let listener = UnixListener::bind(&path.0).unwrap();
                let mut links =
                    open(Links::builder(driver).link(link(Wire::accept(listener))), rung);
                let path = &path.0;
                let running = running.get_or_insert_with(|| {
                    let mut board = board(1, UnixStream::connect(path).unwrap());
                    scope.spawn(move || {
                        let mut next = 0;
                        while next < MARKS || board.open_jobs() > 0 {
                            next += u32::from(next < MARKS && board.publish_one(next));
                            board.turn();
                            if board.is_cut_off() {
                                // The host comes back when it does.
                                if let Ok(wire) = UnixStream::connect(path) {
                                    board.plug(wire);
                                }
                            }
                        }
                        board
                    })
                });
                let enough = u64::from(MARKS / lives);
                host(&mut links, driver, "a life", |links| {
                    running.is_finished()
                        || life + 1 < lives && links.counters(0).published > enough
                });
            }
            running.unwrap().join().unwrap()
        });
        assert_eq!(board.ends.len() as u32, MARKS);
        assert_fates(driver, &board.ends);
        let connected = |notice: &&Notice| matches!(notice, Notice::Connected { .. });
        assert_eq!(board.notices.iter().filter(connected).count() as u32, lives);
        let done = board.ends.values().filter(|(fate, _)| *fate == Fate::Done).count() as u32;
        // Only of what was on its way nothing is known.
        assert!(done >= MARKS - 72 * (lives - 1), "{done}");
    });
}

#[test]
fn a_socket_is_connected_to_again_for_as_long_as_nobody_listens() {
    on_rungs(|driver, rung| {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let path = TempPath::new("late");
        let builder = Links::builder(driver).link(link(Wire::tcp(address)));
        let mut links = open(builder.link(link(Wire::unix(&path.0))), rung);
        let start = Instant::now();
        let mut events =
            host(&mut links, driver, "two tries", |_| start.elapsed() > Duration::from_millis(400));
        events.sort_by_key(|(link, _)| *link);
        let refused = rustix::io::Errno::CONNREFUSED.raw_os_error();
        let tcp = matches!(
            events[0],
            (0, LinkEvent::WireAbsent(WireError::System { errno, .. })) if errno == refused
        );
        assert!(tcp && matches!(events[1], (1, LinkEvent::WireAbsent(_))), "{events:?}");
        assert_eq!(events.len(), 2, "told once: {events:?}");

        let (tcp, unix) =
            (TcpListener::bind(address).unwrap(), UnixListener::bind(&path.0).unwrap());
        let start = Instant::now();
        let sockets = thread::scope(|scope| {
            let accept = scope.spawn(|| (tcp.accept().unwrap().0, unix.accept().unwrap().0));
            host(&mut links, driver, "somebody listens", |_| accept.is_finished());
            accept.join().unwrap()
        });
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        let boards = vec![board(1, sockets.0), board(2, sockets.1)];
        let (boards, _) = together(&mut links, driver, boards, |_, board| board.run(0..100));
        boards.iter().for_each(|board| board.assert_done(0..100, 1));
    });
}

#[test]
fn garbage_is_counted_and_the_link_recovers_from_it() {
    on_rungs(|driver, rung| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (master, path) = terminal();
        let builder = Links::builder(driver).link(link(Wire::stream(ours)));
        let mut links = open(builder.link(link(Wire::serial(path, 4_000_000))), rung);
        links.turn(driver).unwrap();
        let boards = vec![board(8, theirs), board(8, master)];
        let (boards, _) = together(&mut links, driver, boards, |index, board| {
            let mut random = fastrand::Rng::with_seed(index as u64);
            for part in 0..4 {
                // As a wire that is loose, or a bootloader that talks: many times what any buffer has.
                for _ in 0..400 {
                    let noise: Vec<u8> = (0..1000).map(|_| random.u8(..)).collect();
                    board.write_raw(&noise);
                }
                board.run(50 * part..50 * (part + 1));
            }
        });
        for (link, board) in boards.iter().enumerate() {
            board.assert_done(0..200, 1);
            let counters = links.counters(link);
            assert!(counters.bytes_in >= 1_600_000 && counters.frames.damaged > 1000);
            assert_eq!((counters.published, counters.not_run), (200, 0), "{counters:?}");
        }
    });
}

#[test]
fn a_board_of_another_geometry_is_refused_on_both_sides_with_both_numbers() {
    on_rungs(|driver, rung| {
        let (ours, wire) = UnixStream::pair().unwrap();
        let mut links = open(Links::builder(driver).link(link(Wire::stream(ours))), rung);
        let geometry = Geometry::of_slots(64, 8).unwrap();
        let (ours, theirs) = (SLOTS, 64);
        let refused = |expected, found| Refusal { reason: Reason::Slots, expected, found };
        // Each side refuses the other's hello.
        let host_says = (0, LinkEvent::Peer(Notice::Refused(refused(ours, theirs))));
        let board_says = Notice::Refused(refused(theirs, ours));
        let (mut board, start) = (Board::new(1, geometry, wire), Instant::now());
        let mut events = Vec::new();
        while !(events.contains(&host_says) && board.notices.contains(&board_says)) {
            assert!(start.elapsed() < TIMEOUT, "{events:?}, {:?}", board.notices);
            board.turn();
            links.turn(driver).unwrap();
            events.extend(std::iter::from_fn(|| links.next_event()));
        }
        assert!(!links.is_connected(0));
    });
}

#[test]
fn a_lossy_wire_delivers_each_job_once() {
    on_rungs(|driver, rung| {
        let ((ours, host_end), (theirs, board_end)) =
            (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let mut links = open(Links::builder(driver).link(link(Wire::stream(ours))), rung);
        let over = AtomicBool::new(false);
        let (boards, _) = thread::scope(|scope| {
            scope.spawn(|| lose(&host_end, &board_end, 1, &over));
            scope.spawn(|| lose(&board_end, &host_end, 2, &over));
            let ran = together(&mut links, driver, vec![board(3, theirs)], |_, board| {
                board.run(0..1000);
            });
            over.store(true, Ordering::Relaxed);
            ran
        });
        boards[0].assert_done(0..1000, 1);
        assert_fates(driver, &boards[0].ends);
        let counters = links.counters(0);
        assert_eq!((counters.published, counters.done), (1000, 1000));
        assert!(counters.frames.damaged > 10 && counters.frames.resent > 10, "{counters:?}");
    });
}

/// Carries bytes from one socket to another, of which it drops some, flips some, and invents some.
fn lose(mut from: &UnixStream, mut to: &UnixStream, seed: u64, over: &AtomicBool) {
    let mut random = fastrand::Rng::with_seed(seed);
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut bytes = [0; 4096];
    while !over.load(Ordering::Relaxed) {
        let Ok(read) = from.read(&mut bytes) else { continue };
        let mut carried = Vec::new();
        for byte in &bytes[..read] {
            match random.u32(..2000) {
                0 => {}
                1 => carried.push(byte ^ 1 << random.u8(..8)),
                2 => carried.extend([*byte, random.u8(..)]),
                _ => carried.push(*byte),
            }
        }
        if to.write_all(&carried).is_err() {
            return;
        }
    }
}

/// Writes to a terminal until it takes no more.
fn fill(path: &Path) {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
    let device = rustix::fs::open(path, flags, Mode::empty()).unwrap();
    while rustix::io::write(&device, &[0; 4096]).is_ok() {}
}

#[test]
fn a_wait_without_end_sleeps_until_somebody_connects() {
    on_rungs(|driver, rung| {
        let path = TempPath::new("endless");
        let listener = UnixListener::bind(&path.0).unwrap();
        let mut links = open(Links::builder(driver).link(link(Wire::accept(listener))), rung);
        links.turn(driver).unwrap();
        thread::scope(|scope| {
            let connects = scope.spawn(|| {
                thread::sleep(Duration::from_millis(200));
                UnixStream::connect(&path.0).unwrap()
            });
            let before = cpu_time();
            links.wait(driver, Duration::MAX).unwrap();
            let busy = cpu_time() - before;
            assert_eq!(links.next_event(), Some((0, LinkEvent::WireUp)));
            assert!(busy < Duration::from_millis(100), "{busy:?}");
            connects.join().unwrap();
        });
    });
}

/// What this thread has computed so far.
fn cpu_time() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn a_peer_that_reads_nothing_holds_up_nobody() {
    on_rungs(|driver, rung| {
        // More of them than there are threads for files.
        let silent: Vec<_> = (0..8).map(|_| UnixStream::pair().unwrap()).collect();
        let (silent, ends): (Vec<_>, Vec<_>) = silent.into_iter().unzip();
        let mut builder = Links::builder(driver);
        for stream in silent {
            // What is in a full socket is not read by anyone.
            stream.set_nonblocking(true).unwrap();
            while (&stream).write(&[0; 4096]).is_ok() {}
            builder = builder.link(link(Wire::stream(stream)));
        }
        let (_master, path) = terminal();
        fill(&path);
        builder = builder.link(link(Wire::serial(path, 9600)));
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut links = open(builder.link(link(Wire::stream(ours))), rung);
        let (boards, _) =
            together(&mut links, driver, vec![board(1, theirs)], |_, board| board.run(0..300));
        boards[0].assert_done(0..300, 1);
        let (start, mut longest) = (Instant::now(), Duration::ZERO);
        while start.elapsed() < Duration::from_millis(200) {
            let turn = Instant::now();
            links.turn(driver).unwrap();
            longest = longest.max(turn.elapsed());
        }
        assert!(longest < Duration::from_secs(1), "a turn took {longest:?}");
        let dropping = Instant::now();
        drop(links);
        assert!(dropping.elapsed() < TIMEOUT / 10, "{:?}", dropping.elapsed());
        drop(ends);
    });
}

#[test]
fn a_wire_that_hangs_up_at_once_is_not_tried_all_the_time() {
    on_rungs(|driver, rung| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut links = open(Links::builder(driver).link(link(Wire::tcp(address))), rung);
        let over = AtomicBool::new(false);
        let accepted = thread::scope(|scope| {
            let hang_up = scope.spawn(|| {
                let mut accepted = 0;
                loop {
                    drop(listener.accept().unwrap());
                    if over.load(Ordering::Relaxed) {
                        return accepted;
                    }
                    accepted += 1;
                }
            });
            let start = Instant::now();
            host(&mut links, driver, "a second", |_| start.elapsed() > Duration::from_secs(1));
            over.store(true, Ordering::Relaxed);
            let _ = TcpStream::connect(address);
            hang_up.join().unwrap()
        });
        // After 0, 100, 300 and 700 ms.
        assert!((2..=5).contains(&accepted), "{accepted}");
        assert!(links.counters(0).wires <= 5);
    });
}

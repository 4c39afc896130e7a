//! Links from microcontrollers into a driver's ring and back.

mod gpu;
mod links;

use links::{Board, End, FAIL, MARKS, RUNGS, TRIPLE, WORDS};
use links::{builder, geometry, host, open, terminal, together};
use slipring_core::layout::Geometry;
use slipring_core::link::Fate;
use slipring_core::opcode;
use slipring_core::publisher::PublisherError;
use slipring_core::ring::Job;
use slipring_core::slot::Priority;
use slipring_core::tenant::{Tenant, TenantError};
use slipring_driver::link::{
    Link, LinkEvent, Links, LinksError, MAX_LINKS, Results, SlotError, Wire, WireError,
};
use slipring_driver::{ArenaOptions, BackendChoice, Driver, Handler, Kernel, Readback};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

fn everywhere(slots: u32, tenants: u32, check: impl Fn(&mut Driver)) {
    gpu::everywhere(builder(slots, tenants), check);
}

/// A link over a pair of sockets, and the other end.
fn pair(name: &str) -> (Link, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Link::new(name, Wire::stream(ours)).results(Results::observables(0, WORDS)), theirs)
}

#[test]
fn jobs_come_over_a_wire_and_their_results_go_back() {
    everywhere(16, 1, |driver| {
        for rung in RUNGS {
            let (link, wire) = pair("pair");
            let mut links = open(Links::builder(driver).link(link), rung);
            let boards = vec![Board::new(7, geometry(16), wire)];
            let (boards, events) =
                together(&mut links, driver, boards, |_, board| board.run(0..500));
            boards[0].assert_done(0..500, 0);
            let counters = links.counters(0);
            assert_eq!((counters.published, counters.done), (500, 500), "{counters:?}");
            assert_eq!(counters.orphaned + counters.unknown + counters.not_run, 0);
            assert!(counters.bytes_in > 72 * 500 && counters.bytes_out > 20 * 500);
            assert!(matches!(events[..], [(0, LinkEvent::WireUp), (0, LinkEvent::Peer(_))]));
            assert_eq!(links.jobs(), 0);
        }
    });
}

#[test]
fn many_wires_of_every_kind_fill_one_small_ring_and_nothing_is_lost() {
    const EACH: u32 = 200;
    everywhere(8, 9, |driver| {
        for rung in RUNGS {
            let unix = links::TempPath::new("unix");
            let unix_host = links::TempPath::new("unix-host");
            let simulator = UnixListener::bind(&unix.0).unwrap();
            let remote = TcpListener::bind("127.0.0.1:0").unwrap();
            let for_tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            let for_unix = UnixListener::bind(&unix_host.0).unwrap();
            let (fast, fast_path) = terminal();
            let (slow, slow_path) = terminal();
            let tcp_address = for_tcp.local_addr().unwrap();
            let (ours, theirs) = UnixStream::pair().unwrap();
            let wires = [
                Wire::serial(fast_path, 4_000_000),
                Wire::serial(slow_path, 115_200),
                Wire::unix(&unix.0),
                Wire::tcp(remote.local_addr().unwrap()),
                Wire::accept(for_tcp),
                Wire::accept(for_unix),
                Wire::stream(ours),
            ];
            let mut builder = Links::builder(driver);
            for (tenant, wire) in (1..).zip(wires) {
                let link = Link::new(format!("link {tenant}"), wire).tenant(tenant);
                builder = builder.link(link.results(Results::observables(0, WORDS)));
            }
            let mut links = open(builder, rung);
            // The host goes to those that listen.
            links.turn(driver).unwrap();
            let ends: [OwnedFd; 7] = [
                fast,
                slow,
                simulator.accept().unwrap().0.into(),
                remote.accept().unwrap().0.into(),
                TcpStream::connect(tcp_address).unwrap().into(),
                UnixStream::connect(&unix_host.0).unwrap().into(),
                theirs.into(),
            ];
            let boards = (0..).zip(ends).map(|(number, end)| Board::new(number, geometry(8), end));
            let (boards, _) =
                together(&mut links, driver, boards.collect(), |_, board| board.run(0..EACH));
            for (tenant, board) in (1..).zip(&boards) {
                board.assert_done(0..EACH, tenant);
                let counters = links.counters(tenant as usize - 1);
                assert_eq!((counters.published, counters.done), (EACH.into(), EACH.into()));
                assert_eq!(counters.wires, 1);
            }
        }
    });
}

#[test]
fn a_fault_is_its_own_jobs_and_a_refused_slot_is_told_as_not_run() {
    everywhere(16, 4, |driver| {
        let (first, last) = (TRIPLE, FAIL);
        let tenant = Tenant { first_opcode: first, last_opcode: last, ..Tenant::OPEN };
        driver.set_tenant(3, tenant).unwrap();
        for rung in RUNGS {
            let (link, wire) = pair("board");
            let mut links = open(Links::builder(driver).link(link.tenant(3)), rung);
            let jobs = [
                Job::new(FAIL, &[77]),
                Job::new(TRIPLE, &[5]).tenant(1),
                Job::new(TRIPLE + 5, &[]),
                Job::new(opcode::BATCH_FENCE, &[1]),
                Job::new(opcode::SHUTDOWN, &[]),
                Job::new(TRIPLE, &[6]).priority(Priority::High),
                Job::new(opcode::PACKED_SLOT, &[u32::MAX]),
                Job::new(FAIL, &[200]),
                Job::new(TRIPLE, &[7]),
            ];
            let boards = vec![Board::new(9, geometry(16), wire)];
            let (boards, events) = together(&mut links, driver, boards, |_, board| {
                board.until("it connects", |board| board.sender.is_connected());
                for (number, job) in (0..).zip(&jobs) {
                    while !board.publish(number, job) {
                        board.turn();
                    }
                }
                board.until("all end", |board| board.ends.len() == jobs.len());
            });
            let not_run = (Fate::NotRun, vec![]);
            let expected: [End; 9] = [
                (Fate::Fault(77), vec![]),
                (Fate::Done, vec![15, 3]),
                not_run.clone(),
                not_run.clone(),
                not_run.clone(),
                not_run.clone(),
                not_run,
                (Fate::Fault(200), vec![]),
                (Fate::Done, vec![21, 3]),
            ];
            assert_eq!(boards[0].ends.values().cloned().collect::<Vec<_>>(), expected);
            let reasons: Vec<_> = events
                .iter()
                .filter_map(|(_, event)| match event {
                    LinkEvent::Refused { reason, .. } => Some(*reason),
                    _ => None,
                })
                .collect();
            let opcode = TRIPLE + 5;
            let outside = TenantError::Opcode { tenant: 3, opcode, first, last };
            assert_eq!(reasons.len(), 5);
            assert_eq!(reasons[0], SlotError::Publisher(PublisherError::Tenant(outside)));
            assert_eq!(reasons[1], SlotError::Fence);
            let high = PublisherError::NoPartition { priority: Priority::High };
            assert_eq!(reasons[2], SlotError::Shutdown);
            assert_eq!(reasons[3], SlotError::Publisher(high));
            assert!(matches!(reasons[4], SlotError::Publisher(PublisherError::Packed(_))));
            let counters = links.counters(0);
            assert_eq!((counters.published, counters.not_run), (4, 5));
            assert_eq!((counters.done, counters.faults), (2, 2));
        }
    });
}

#[test]
fn a_tenant_at_its_quota_waits_and_others_do_not() {
    everywhere(32, 3, |driver| {
        driver.set_tenant(1, Tenant { quota: 2, ..Tenant::OPEN }).unwrap();
        for rung in RUNGS {
            let ((small, small_wire), (large, large_wire)) = (pair("small"), pair("large"));
            let builder = Links::builder(driver).link(small.tenant(1)).link(large.tenant(2));
            let mut links = open(builder, rung);
            let boards =
                [small_wire, large_wire].into_iter().map(|wire| Board::new(4, geometry(32), wire));
            let (boards, _) =
                together(&mut links, driver, boards.collect(), |_, board| board.run(0..100));
            boards[0].assert_done(0..100, 1);
            boards[1].assert_done(0..100, 2);
        }
    });
}

#[test]
fn a_paused_tenant_stops_its_own_link_only() {
    let mut driver = builder(8, 3).backend(BackendChoice::Twin).open().unwrap();
    driver.set_tenant(1, Tenant { quota: 0, ..Tenant::OPEN }).unwrap();
    let ((paused, paused_wire), (other, other_wire)) = (pair("paused"), pair("other"));
    let builder = Links::builder(&driver).link(paused.tenant(1)).link(other.tenant(2));
    let mut links = builder.open().unwrap();
    let mut waiting = Board::new(1, geometry(8), paused_wire);
    let boards = vec![Board::new(2, geometry(8), other_wire)];
    let (waiting, boards) = thread::scope(|scope| {
        let waits = scope.spawn(move || {
            waiting.run(0..50);
            waiting
        });
        let (boards, _) = together(&mut links, &mut driver, boards, |_, board| board.run(0..50));
        assert!(!waits.is_finished());
        assert_eq!(links.counters(0).published, 0);
        let quota = PublisherError::Quota { tenant: 1, in_flight: 0, asked: 1, quota: 0 };
        assert_eq!((links.waits_for(0), links.waits_for(1)), (Some(quota), None));
        driver.set_tenant(1, Tenant::OPEN).unwrap();
        host(&mut links, &mut driver, "it goes on", |_| waits.is_finished());
        assert_eq!(links.waits_for(0), None);
        (waits.join().unwrap(), boards)
    });
    waiting.assert_done(0..50, 1);
    boards[0].assert_done(0..50, 2);
}

#[test]
fn result_words_come_from_the_arena_or_from_whatever_a_closure_says() {
    let store = "fn store(job: Job) -> u32 {
        for (var i = 0u; i < 12u; i++) { arena_store(100u + 12u * job.slot + i, arg(job, i) + i); }
        return HANDLER_OK;
    }";
    let store = Handler::wgsl(0x100, "store", "store.wgsl", store).iterations(13);
    let store = store.on_cpu(|call| {
        for i in 0..12 {
            call.arena_store(100 + 12 * call.slot() + i, call.arg(i) + i);
        }
        slipring_core::twin::HANDLER_OK
    });
    let kernel = Kernel::builder().handler(store).build().unwrap();
    let geometry = Geometry::of_slots(16, 1).unwrap();
    let builder = Driver::builder(kernel, geometry);
    let builder = builder.arena(ArenaOptions { chunks: 1, chunk_bytes: 4096 });
    gpu::everywhere(builder, |driver| {
        let from_job = Results::from_job(|end| {
            assert_eq!((end.link, end.fate), (1, Fate::Done));
            let (mut words, mut none) = ([0; 2], [0; 2]);
            end.read_arena(100 + 12 * end.slot as usize, &mut words).unwrap();
            end.read_arena(1023, &mut none).unwrap_err();
            end.read_workspace(1, &mut none).unwrap_err();
            let job = end.job();
            [words[0] + words[1], job.opcode, job.tenant].into_iter().collect()
        });
        let ends = [Results::arena(100, 12), from_job].map(|results| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            (Link::new("board", Wire::stream(ours)).results(results), theirs)
        });
        let [(arena, first), (closure, second)] = ends;
        let mut links = Links::builder(driver).link(arena).link(closure).open().unwrap();
        let boards = [first, second].map(|wire| Board::new(3, geometry, wire)).into();
        let (boards, _) = together(&mut links, driver, boards, |_, board| {
            board.until("it connects", |board| board.sender.is_connected());
            let args: Vec<u32> = (0..12).map(|i| 10 * i).collect();
            assert!(board.publish(0, &Job::new(0x100, &args)));
            board.until("it ends", |board| board.ends.len() == 1);
        });
        let twelve = (0..12).map(|i| 11 * i).collect();
        assert_eq!(boards[0].ends[&0], (Fate::Done, twelve));
        assert_eq!(boards[1].ends[&0], (Fate::Done, vec![11, 0x100, 0]));
    });
}

#[test]
fn jobs_that_others_have_left_in_the_ring_are_run_too() {
    everywhere(4, 1, |driver| {
        let (first, first_wire) = pair("first");
        let mut links = Links::builder(driver).link(first).open().unwrap();
        let mut board = Board::new(5, geometry(4), first_wire);
        board.until("its host is there", |board| {
            links.turn(driver).unwrap();
            board.sender.is_connected()
        });
        (0..4).for_each(|number| assert!(board.publish_one(number)));
        board.until("its jobs fill the ring", |_| {
            links.turn(driver).unwrap();
            links.jobs() == 4
        });
        drop(links);
        let (second, second_wire) = pair("second");
        let mut links = Links::builder(driver).link(second).open().unwrap();
        let boards = vec![Board::new(6, geometry(4), second_wire)];
        let (boards, _) = together(&mut links, driver, boards, |_, board| board.run(0..20));
        boards[0].assert_done(0..20, 0);
    });
}

#[test]
fn words_that_another_job_has_overwritten_are_not_sent_as_a_result() {
    everywhere(1, 1, |driver| {
        let (link, wire) = pair("board");
        let mut links = Links::builder(driver).link(link).open().unwrap();
        let mut board = Board::new(5, geometry(1), wire);
        let readback = Readback::observables(0..WORDS);
        board.until("its host is there", |board| {
            links.turn(driver).unwrap();
            board.sender.is_connected()
        });
        assert!(board.publish_one(7));
        board.until("its job is in the ring", |_| {
            links.turn(driver).unwrap();
            links.jobs() == 1
        });
        driver.dispatch(&readback).unwrap();
        // The program's own job, in the only slot, before the links have looked.
        driver.publish(&Job::new(TRIPLE, &[100])).unwrap();
        driver.dispatch(&readback).unwrap();
        board.until("its job ends", |board| {
            links.turn(driver).unwrap();
            board.ends.len() == 1
        });
        assert_eq!(board.ends[&7], (Fate::Unknown, vec![]));
        assert_eq!(links.counters(0).unknown, 1);
    });
}

#[test]
fn what_cannot_work_is_refused_with_the_numbers() {
    let mut driver = builder(16, 2).backend(BackendChoice::Twin).open().unwrap();
    let refused = |link: Link| Links::builder(&driver).link(link).open().unwrap_err().to_string();
    let link = |results| Link::new("arm", Wire::serial("/dev/null", 9600)).results(results);
    let baud = |baud| refused(Link::new("arm", Wire::serial("/dev/ttyACM0", baud)));
    assert_eq!(baud(4_000_001), "link arm: 4000001 baud; a serial wire has 1 to 4000000");
    assert_eq!(baud(0), "link arm: 0 baud; a serial wire has 1 to 4000000");
    assert_eq!(
        refused(link(Results::none()).tenant(29)),
        "link arm: tenant 29; there are tenants 0 to 28"
    );
    assert_eq!(
        refused(link(Results::observables(0, 13))),
        "link arm: results of 13 words; a result holds 1 to 12"
    );
    assert_eq!(
        refused(link(Results::observables(MARKS + 1, 2))),
        "link arm: results up to observable 2081, and there are 2080: a block for each of 16 slots"
    );
    assert_eq!(
        refused(link(Results::arena(u32::MAX, 1))),
        "link arm: results up to arena word 4294967311, and there are 1: a block for each of 16 slots"
    );
    let long = refused(Link::new("arm", Wire::unix("x".repeat(200))));
    assert!(long.contains("File name too long"), "{long}");

    assert_eq!(
        refused(link(Results::none()).tenant(5)),
        "link arm: tenant 5 is closed; open it (DriverBuilder::tenants)"
    );
    let (connected, _other) = UnixStream::pair().unwrap();
    assert_eq!(
        refused(Link::new("arm", Wire::accept(connected))),
        "link arm: a socket that listens is needed"
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(
        refused(Link::new("arm", Wire::stream(listener))),
        "link arm: a stream (Wire::accept takes sockets that listen) is needed"
    );
    let zero = refused(Link::new("arm", Wire::serial("/dev/tty\0", 9600)));
    assert!(zero.contains("Invalid argument"), "{zero}");

    let pairs: Vec<_> = (0..=MAX_LINKS).map(|_| pair("one of many")).collect();
    let all = pairs.into_iter().map(|(link, _)| link);
    let builder = all.fold(Links::builder(&driver), |builder, link| builder.link(link));
    let too_many = builder.open().unwrap_err();
    assert!(matches!(too_many, LinksError::TooMany { links: 257 }), "{too_many}");

    let mut links = Links::builder(&driver).link(link(Results::none())).open().unwrap();
    let mut other = builder_twin();
    assert!(matches!(links.turn(&mut other), Err(LinksError::OtherDriver)));
    links.turn(&mut driver).unwrap();
    // No terminal.
    let errno = libc_enotty();
    let absent = LinkEvent::WireAbsent(WireError::System { call: "tcgetattr", errno });
    assert_eq!(links.next_event(), Some((0, absent)));
    assert_eq!(links.counters(1), Default::default());
}

#[test]
fn a_serial_device_is_one_links_alone() {
    let mut driver = builder_twin();
    let (_board, path) = terminal();
    let open = || {
        let link = Link::new("arm", Wire::serial(&path, 115_200));
        Links::builder(&driver).link(link).open().unwrap()
    };
    let (mut first, mut second) = (open(), open());
    first.turn(&mut driver).unwrap();
    second.turn(&mut driver).unwrap();
    assert_eq!(first.next_event(), Some((0, LinkEvent::WireUp)));
    let Some((0, LinkEvent::WireAbsent(error))) = second.next_event() else { panic!("it is open") };
    let errno = rustix::io::Errno::WOULDBLOCK.raw_os_error();
    let busy = rustix::io::Errno::BUSY.raw_os_error();
    // (Root may open it; others may not.)
    let expected = [("flock", errno), ("open", busy)];
    assert!(
        matches!(error, WireError::System { call, errno } if expected.contains(&(call, errno)))
    );
}

fn builder_twin() -> Driver {
    builder(16, 2).backend(BackendChoice::Twin).open().unwrap()
}

fn libc_enotty() -> i32 {
    rustix::io::Errno::NOTTY.raw_os_error()
}

//! What the tests of the host's links share: microcontrollers played by core's sender, a kernel
//! whose results tell whose job they are of, and the loop of a host.

#![allow(dead_code, reason = "each test target uses its part")]

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::OpenptFlags;
use slipring_core::layout::Geometry;
use slipring_core::link::{Event, Fate, LinkTicket, Notice, SendError, Sender};
use slipring_core::ring::Job;
use slipring_core::tenant::TenantTable;
use slipring_core::twin::HANDLER_OK;
use slipring_driver::link::{LinkEvent, Links, LinksBuilder};
use slipring_driver::{Driver, DriverBuilder, Handler, Kernel, Readback, Rung};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Words of a result: the job's first argument times three, and its tenant.
pub const WORDS: u32 = 2;
/// The job whose result that is. It counts up the observable of its second argument, if it has one.
pub const TRIPLE: u32 = 0x100;
/// Observables, behind the results, that count how often each job has run.
pub const MARKS: u32 = 2048;
/// A job that ends in the fault of its first argument.
pub const FAIL: u32 = 0x101;
pub const TIMEOUT: Duration = Duration::from_secs(60);

pub fn geometry(slots: u32) -> Geometry {
    Geometry::of_slots(slots, WORDS * slots + MARKS).unwrap()
}

/// A driver whose handlers leave their results in a block of observables for each slot.
pub fn builder(slots: u32, tenants: u32) -> DriverBuilder {
    let triple = "fn triple(job: Job) -> u32 {
        observe(2u * job.slot, 3u * arg(job, 0u));
        observe(2u * job.slot + 1u, job.tenant);
        if arg(job, 1u) != 0u { observe_add(arg(job, 1u), 1u); }
        return HANDLER_OK;
    }";
    let triple = Handler::wgsl(TRIPLE, "triple", "triple.wgsl", triple).on_cpu(|call| {
        call.observe(2 * call.slot(), 3u32.wrapping_mul(call.arg(0)));
        call.observe(2 * call.slot() + 1, call.tenant());
        if call.arg(1) != 0 {
            call.observe_add(call.arg(1), 1);
        }
        HANDLER_OK
    });
    let fail = "fn fail(job: Job) -> u32 { return fault(arg(job, 0u)); }";
    let fail =
        Handler::wgsl(FAIL, "fail", "fail.wgsl", fail).on_cpu(|call| call.fault(call.arg(0)));
    let kernel = Kernel::builder().handler(triple).handler(fail).build().unwrap();
    Driver::builder(kernel, geometry(slots)).tenants(TenantTable::open(tenants))
}

/// Both ways to move bytes.
pub const RUNGS: [Rung; 2] = [Rung::Plain, Rung::Threads];

/// The end of a job, as its microcontroller hears it.
pub type End = (Fate, Vec<u32>);

/// A microcontroller: core's sender over one end of a wire.
pub struct Board {
    pub sender: Sender<8>,
    wire: Option<File>,
    start: Instant,
    unsent: Vec<u8>,
    is_cut_off: bool,
    pub notices: Vec<Notice>,
    /// What each job was for, by its ticket.
    open: BTreeMap<(u32, u32), u32>,
    /// How each job has ended that did, by what it was for.
    pub ends: BTreeMap<u32, End>,
    /// The observable that counts job 0.
    marks: u32,
}

impl Board {
    pub fn new(session: u32, geometry: Geometry, wire: impl Into<OwnedFd>) -> Self {
        let mut board = Self {
            sender: Sender::new(session, geometry),
            wire: None,
            start: Instant::now(),
            unsent: Vec::new(),
            is_cut_off: false,
            notices: Vec::new(),
            open: BTreeMap::new(),
            ends: BTreeMap::new(),
            marks: WORDS * geometry.slots(),
        };
        board.plug(wire);
        board
    }

    /// Plugs another wire in.
    pub fn plug(&mut self, wire: impl Into<OwnedFd>) {
        let wire = wire.into();
        let flags = rustix::fs::fcntl_getfl(&wire).unwrap();
        rustix::fs::fcntl_setfl(&wire, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        self.wire = Some(wire.into());
        self.unsent.clear();
        self.is_cut_off = false;
    }

    pub fn unplug(&mut self) {
        self.wire = None;
    }

    /// Writes bytes that are no frames, as fast as they are taken.
    pub fn write_raw(&mut self, mut bytes: &[u8]) {
        let wire = self.wire.as_mut().unwrap();
        while !bytes.is_empty() {
            match wire.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(_) => thread::sleep(Duration::from_micros(100)),
            }
        }
    }

    /// Publishes a job, if the window has room for it.
    pub fn publish(&mut self, number: u32, job: &Job<'_>) -> bool {
        match self.sender.publish(job) {
            Ok(LinkTicket { session, number: ticket }) => {
                assert!(self.open.insert((session, ticket), number).is_none());
                true
            }
            Err(SendError::Job(error)) => panic!("{error}"),
            Err(_) => false,
        }
    }

    /// One turn: waits a moment for bytes, hears them, and writes what there is to say.
    pub fn turn(&mut self) {
        let Some(wire) = &mut self.wire else {
            thread::sleep(Duration::from_millis(1));
            return;
        };
        let mut bytes = [0; 4096];
        let nap = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        poll(&mut [PollFd::new(&*wire, PollFlags::IN)], Some(&nap)).unwrap();
        let now = self.start.elapsed().as_millis() as u32;
        let read = match wire.read(&mut bytes) {
            Ok(read) => {
                self.is_cut_off = read == 0;
                read
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            // The host has closed its end, or not opened it yet.
            Err(_) => {
                thread::sleep(Duration::from_millis(1));
                0
            }
        };
        let mut rest = &bytes[..read];
        loop {
            rest = &rest[self.sender.receive(rest, now)..];
            match self.sender.next_event() {
                Some(Event::Link(notice)) => self.notices.push(notice),
                Some(Event::Finished { ticket, fate, words }) => {
                    let number = self.open.remove(&(ticket.session, ticket.number));
                    let number = number.expect("each ticket ends once");
                    let before = self.ends.insert(number, (fate, words.to_vec()));
                    assert!(before.is_none(), "job {number} ended twice: {before:?}");
                }
                None => break,
            }
        }
        if self.unsent.is_empty() {
            let len = self.sender.transmit(now, &mut bytes[..256]);
            self.unsent.extend_from_slice(&bytes[..len]);
        }
        if let Ok(written) = wire.write(&self.unsent) {
            self.unsent.drain(..written);
        }
    }

    /// Goes on until something is so.
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < TIMEOUT, "{what}: {:?}, {:?}", self.notices, self.sender);
            self.turn();
        }
    }

    /// Publishes jobs of [`TRIPLE`] for these numbers, and goes on until all have ended.
    pub fn run(&mut self, numbers: std::ops::Range<u32>) {
        let (mut next, end) = (numbers.start, numbers.end);
        self.until("jobs run", |board| board.sender.is_connected());
        let start = Instant::now();
        while next < end || !self.open.is_empty() {
            assert!(start.elapsed() < TIMEOUT, "{next} of {end}, {} open", self.open.len());
            while next < end && self.publish_one(next) {
                next += 1;
            }
            self.turn();
        }
    }

    /// Publishes the job of [`TRIPLE`] of this number, if the window has room for it.
    pub fn publish_one(&mut self, number: u32) -> bool {
        self.publish(number, &Job::new(TRIPLE, &[number, self.marks + number]))
    }

    /// Whether the host has closed the wire.
    pub fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Jobs that have not ended.
    pub fn open_jobs(&self) -> usize {
        self.open.len()
    }

    /// Checks that jobs of these numbers have ended well, with the words of a tenant.
    pub fn assert_done(&self, numbers: std::ops::Range<u32>, tenant: u32) {
        assert_eq!(self.ends.len(), numbers.len());
        for number in numbers {
            let expected = (Fate::Done, vec![3 * number, tenant]);
            assert_eq!(self.ends.get(&number), Some(&expected), "job {number}");
        }
    }
}

/// A serial device: the board's end, and the path of the host's.
pub fn terminal() -> (OwnedFd, PathBuf) {
    let board = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&board).unwrap();
    rustix::pty::unlockpt(&board).unwrap();
    let path = rustix::pty::ptsname(&board, Vec::new()).unwrap();
    (board, PathBuf::from(path.into_string().unwrap()))
}

/// A path that is nobody else's, and goes with this.
pub struct TempPath(pub PathBuf);

impl TempPath {
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("slipring-{}-{name}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// Has it be another name of a path from now on.
    pub fn point_to(&self, path: &Path) {
        let _ = std::fs::remove_file(&self.0);
        std::os::unix::fs::symlink(path, &self.0).unwrap();
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Checks that no job has run twice, and that each has ended as it has run.
pub fn assert_fates(driver: &Driver, ends: &BTreeMap<u32, End>) {
    let marks = WORDS * driver.row().geometry().slots();
    for (number, (fate, _)) in ends {
        let ran = driver.row().control.observable(marks + number).unwrap();
        let is_right = match fate {
            Fate::Done => ran == 1,
            Fate::NotRun => ran == 0,
            Fate::Unknown => ran <= 1,
            Fate::Fault(_) => false,
        };
        assert!(is_right, "job {number} has run {ran} times: {fate:?}");
    }
}

/// Opens links on io_uring or on threads.
pub fn open(builder: LinksBuilder<'_>, rung: Rung) -> Links {
    let links = builder.first_rung(rung).open().unwrap();
    assert_eq!(links.rung(), rung);
    links
}

/// Lets boards do something in threads while the host's loop runs, until all are done.
pub fn together(
    links: &mut Links,
    driver: &mut Driver,
    boards: Vec<Board>,
    act: impl Fn(usize, &mut Board) + Sync,
) -> (Vec<Board>, Vec<(usize, LinkEvent)>) {
    let act = &act;
    thread::scope(|scope| {
        let act_on = |(index, mut board): (usize, Board)| {
            scope.spawn(move || {
                act(index, &mut board);
                board
            })
        };
        let running: Vec<_> = boards.into_iter().enumerate().map(act_on).collect();
        let are_done = |_: &Links| running.iter().all(|board| board.is_finished());
        let events = host(links, driver, "boards", are_done);
        (running.into_iter().map(|board| board.join().unwrap()).collect(), events)
    })
}

/// Runs a host's loop until something is so; hands back what has happened.
pub fn host(
    links: &mut Links,
    driver: &mut Driver,
    what: &str,
    mut is_so: impl FnMut(&Links) -> bool,
) -> Vec<(usize, LinkEvent)> {
    // The counts of the tests. What results are made of comes home by itself.
    let (slots, end) = (driver.row().geometry().slots(), driver.row().geometry().observables());
    let readback = Readback::observables((WORDS * slots).min(end)..end);
    let (start, mut events) = (Instant::now(), Vec::new());
    while !is_so(links) {
        assert!(start.elapsed() < TIMEOUT, "{what}: {events:?}");
        links.turn(driver).unwrap();
        if driver.has_work() {
            driver.dispatch(&readback).unwrap();
            links.turn(driver).unwrap();
        }
        links.wait(driver, Duration::from_millis(5)).unwrap();
        events.extend(std::iter::from_fn(|| links.next_event()));
    }
    events
}

//! Jobs over a pseudo-terminal or a socket to a driver and back: all that there is but the wire.

use crate::harness::{Case, Side, lazily, side};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use slipring_core::layout::Geometry;
use slipring_core::link::{Event, Fate, Sender};
use slipring_core::opcode;
use slipring_core::ring::Job;
use slipring_driver::link::{Link, Links, Results, Wire};
use slipring_driver::persistent::DEFAULT_SLICE;
use slipring_driver::{BackendChoice, Driver, Kernel, Readback};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Jobs of a sample, as many ahead as the window takes.
const JOBS: u32 = 1024;
const SLOTS: u32 = 64;
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often a host looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);

pub fn cases() -> Vec<Case> {
    let case = |name, unit, units, calls, ours| Case { name, unit, units, calls, ours, peer: None };
    let (twin, gpu) = (BackendChoice::Twin, BackendChoice::Mapped);
    vec![
        case("pty, twin, one job", "us/job", 1000, 1, jobs(twin, terminal, 1)),
        case("pty, twin, 64 ahead", "us/slot", 1000 * JOBS, JOBS, jobs(twin, terminal, JOBS)),
        case("unix, twin, one job", "us/job", 1000, 1, jobs(twin, socket, 1)),
        case("unix, twin, 64 ahead", "us/slot", 1000 * JOBS, JOBS, jobs(twin, socket, JOBS)),
        case("pty, GPU stays on, one job", "us/job", 1000, 1, jobs(gpu, terminal, 1)),
        case(
            "pty, GPU stays on, 64 ahead",
            "us/slot",
            1000 * JOBS,
            JOBS,
            jobs(gpu, terminal, JOBS),
        ),
    ]
}

/// The two ends of a wire.
type Pair = fn() -> (OwnedFd, Wire);

fn terminal() -> (OwnedFd, Wire) {
    let board = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&board).and_then(|()| unlockpt(&board)).expect("it is ours");
    let path = ptsname(&board, Vec::new()).expect("it has a name");
    (board, Wire::serial(path.to_str().expect("digits"), 4_000_000))
}

fn socket() -> (OwnedFd, Wire) {
    let (board, host) = UnixStream::pair().expect("a pair of sockets");
    (board.into(), Wire::stream(host))
}

/// So many jobs there, and the result of each back: a word.
fn jobs(choice: BackendChoice, pair: Pair, count: u32) -> Box<dyn Side> {
    lazily(move || {
        let (end, wire) = pair();
        side(Board::connect(end, Host::start(choice, wire)), |_| (), move |board| board.run(count))
    })
}

/// A thread that serves until this goes. (A pseudo-terminal's name is soon another one's.)
struct Host {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    fn start(choice: BackendChoice, wire: Wire) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || serve(choice, wire, &over));
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // A panic of it was printed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(choice: BackendChoice, wire: Wire, is_over: &AtomicBool) {
    let kernel = Kernel::builder().build().expect("the built-in kernel compiles");
    let builder = Driver::builder(kernel, geometry()).backend(choice);
    let builder = match choice {
        BackendChoice::Twin => builder,
        _ => builder.persistent(DEFAULT_SLICE),
    };
    let mut driver = builder.open().expect("a device");
    let link = Link::new("board", wire).results(Results::observables(0, 1));
    let mut links = Links::builder(&driver).link(link).open().expect("a wire");
    if choice != BackendChoice::Twin {
        let mut kernel = driver.persist().expect("a kernel that stays on");
        while !is_over.load(Ordering::Relaxed) {
            links.turn(&mut kernel).expect("it turns");
            links.wait(&mut kernel, LOOK).expect("it waits");
        }
        return kernel.stop().map(drop).expect("it ends");
    }
    while !is_over.load(Ordering::Relaxed) {
        links.turn(&mut driver).expect("it turns");
        if driver.has_work() {
            driver.dispatch(&Readback::none()).expect("a drain");
            links.turn(&mut driver).expect("it turns");
        }
        links.wait(&mut driver, LOOK).expect("it waits");
    }
}

fn geometry() -> Geometry {
    Geometry::of_slots(SLOTS, SLOTS).expect("a ring may have so many slots")
}

/// The microcontroller.
struct Board {
    sender: Sender<64>,
    wire: File,
    start: Instant,
    _host: Host,
}

impl Board {
    fn connect(wire: OwnedFd, host: Host) -> Self {
        fcntl_setfl(&wire, OFlags::NONBLOCK).expect("an open file");
        let (start, wire) = (Instant::now(), File::from(wire));
        let mut board = Self { sender: Sender::new(1, geometry()), wire, start, _host: host };
        while !board.sender.is_connected() {
            assert!(start.elapsed() < TIMEOUT, "the host does not answer");
            board.turn();
        }
        board
    }

    fn run(&mut self, jobs: u32) {
        let (mut published, mut ended) = (0, 0);
        let job = Job::new(opcode::ATOMIC_ADD, &[1, 160]);
        while ended < jobs {
            while published < jobs && self.sender.publish(&job).is_ok() {
                published += 1;
            }
            ended += self.turn();
        }
    }

    /// Writes what there is to say, waits for bytes, and hears them; the jobs that have ended.
    fn turn(&mut self) -> u32 {
        let now_ms = self.start.elapsed().as_millis() as u32;
        let mut bytes = [0; 4096];
        let len = self.sender.transmit(now_ms, &mut bytes);
        let mut rest = &bytes[..len];
        while !rest.is_empty() {
            // A pseudo-terminal whose host is not there yet takes nothing.
            match self.wire.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(_) => std::thread::yield_now(),
            }
        }
        let wait_ms = self.sender.wait_ms(now_ms).min(1);
        let nap = Timespec { tv_sec: 0, tv_nsec: i64::from(wait_ms) * 1_000_000 };
        poll(&mut [PollFd::new(&self.wire, PollFlags::IN)], Some(&nap)).expect("an open file");
        let (len, mut heard, mut ended) = (self.wire.read(&mut bytes).unwrap_or(0), 0, 0);
        while heard < len {
            heard += self.sender.receive(&bytes[heard..len], now_ms);
            while let Some(event) = self.sender.next_event() {
                if let Event::Finished { fate, .. } = event {
                    assert_eq!(fate, Fate::Done);
                    ended += 1;
                }
            }
        }
        ended
    }
}

//! The host's end of links to microcontrollers: many serial wires and sockets into one ring.
//!
//! ```text
//!   wire ─ io_uring ─▶ Receiver ─ slots ─▶ publish ─▶ ring ─▶ drain, or a kernel that stays on
//!   wire ◀─ io_uring ─ Receiver ◀─ fate, words ◀─ Results ◀─ outcome
//! ```
//!
//! The protocol, and what it promises, is core's: [`slipring_core::link`]. Here are its wires, and
//! the way from its slots to results:
//!
//! ```
//! # use slipring_core::link::{Event, Fate, Notice, Sender};
//! # use slipring_core::{layout::Geometry, ring::Job, tenant::TenantTable, twin::HANDLER_OK};
//! # use slipring_driver::{BackendChoice, Driver, Handler, Kernel, Readback};
//! use slipring_driver::link::{Link, Links, Results, Wire};
//! # use std::io::{Read, Write};
//! # use std::os::unix::net::UnixStream;
//! # use std::time::{Duration, Instant};
//!
//! let wgsl = "fn double(job: Job) -> u32 {
//!     observe(job.slot, 2u * arg(job, 0u)); // A result of one word, by slot.
//!     return HANDLER_OK;
//! }";
//! let double = Handler::wgsl(0x100, "double", "double.wgsl", wgsl);
//! # let double = double.on_cpu(|call| {
//! #     call.observe(call.slot(), 2 * call.arg(0));
//! #     HANDLER_OK
//! # });
//! # let choice = BackendChoice::Twin;
//! let geometry = Geometry::of_slots(64, 64)?; // The microcontroller is built for the same.
//! let builder = Driver::builder(Kernel::builder().handler(double).build()?, geometry);
//! # let builder = builder.backend(choice);
//! let mut driver = builder.tenants(TenantTable::open(2)).open()?;
//!
//! # let (ours, mut board) = UnixStream::pair()?;
//! # board.set_read_timeout(Some(Duration::from_millis(1)))?;
//! # let wire = Wire::stream(ours);
//! # /*
//! let wire = Wire::serial("/dev/ttyACM0", 3_000_000);
//! # */
//! let arm = Link::new("arm", wire).tenant(1).results(Results::observables(0, 1));
//! let mut links = Links::builder(&driver).link(arm).open()?;
//!
//! # let (mut sender, start) = (Sender::<8>::new(7, geometry), Instant::now());
//! # let (mut bytes, mut answer) = ([0; 256], None);
//! # let mut is_running = || {
//! #     let now = start.elapsed().as_millis() as u32;
//! #     let read = board.read(&mut bytes).unwrap_or(0);
//! #     let mut rest = &bytes[..read];
//! #     loop {
//! #         rest = &rest[sender.receive(rest, now)..];
//! #         match sender.next_event() {
//! #             Some(Event::Link(Notice::Connected { .. })) => {
//! #                 sender.publish(&Job::new(0x100, &[21])).unwrap();
//! #             }
//! #             Some(Event::Finished { fate, words, .. }) => answer = Some((fate, words[0])),
//! #             Some(_) => {}
//! #             None => break,
//! #         }
//! #     }
//! #     let len = sender.transmit(now, &mut bytes);
//! #     board.write_all(&bytes[..len]).unwrap();
//! #     assert!(start.elapsed() < Duration::from_secs(20));
//! #     answer.is_none()
//! # };
//! while is_running() {
//!     links.turn(&mut driver)?; // Bytes in, slots into the ring.
//!     if driver.has_work() {
//!         driver.dispatch(&Readback::none())?; // Results come home by themselves.
//!         links.turn(&mut driver)?; // Results out.
//!     }
//!     links.wait(&mut driver, Duration::from_millis(100))?;
//! }
//! # assert_eq!(answer, Some((Fate::Done, 42)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What becomes of a slot
//!
//! Slots of a link are published in the order in which they were sent, each as the link's own
//! [tenant](Link::tenant)'s, whatever tenant it names; with many links, one of each after the other.
//! A full ring, or a tenant's quota, makes the link's microcontroller wait: nothing is lost. A slot
//! that will never be published (an opcode that is not its tenant's, a level without slots, a
//! [fence](SlotError::Fence), a [shutdown](SlotError::Shutdown)) is answered with [`Fate::NotRun`] and told as
//! [`LinkEvent::Refused`]; the others go on. Jobs end as `Done` or `Fault`, with the words that
//! [`Results`] finds, or as `Unknown` when they, or their words, were lost.
//!
//! # When a wire goes
//!
//! A wire that ends or fails is opened again, at first after 100 ms, then at most a second apart,
//! for as long as it takes. What was lost with it is sent again: as long as the microcontroller has
//! not begun anew, neither side notices more than a pause. If it has, jobs of before end in the ring
//! as they would, and their results are [`LinkEvent::Orphaned`]. Only [`Wire::stream`] cannot be
//! opened again.
//!
//! # Limits
//!
//! [`MAX_LINKS`] links, [`MAX_BAUD`]. Of a link, [`WINDOW`] jobs are in the ring or have results
//! under way: enough for a serial wire, whose fastest brings 5,500 slots a second. Each link takes
//! 25 KiB, and a slot of the ring a byte. Nothing is allocated once the links are open.
//!
//! [`Fate::NotRun`]: slipring_core::link::Fate::NotRun

mod builder;
mod event;
mod jobs;
mod port;
mod results;
mod serial;
mod traffic;
mod wire;

pub use builder::{Link, LinksBuilder};
pub use event::{LinkCounters, LinkEvent, LinksError, SlotError};
pub use results::{JobEnd, Results};
pub use wire::{MAX_BAUD, Wire, WireError};

use crate::arena::{Landing, Rung};
use crate::driver::Driver;
use crate::input::engine::{Engine, unless_passing};
use crate::input::{Publish, nap_of};
use jobs::Running;
use port::Port;
use slipring_core::link::{LinkTicket, Receiver};
use slipring_core::publisher::PublisherError;
use slipring_core::slot::{ARGS, Slot};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most links.
pub const MAX_LINKS: usize = 256;
/// Jobs of a link that may be in the ring, or have results under way.
pub const WINDOW: usize = slipring_core::link::MAX_WINDOW as usize;
/// The most words of a result.
pub const MAX_RESULT_WORDS: usize = ARGS;
/// Bytes that are read at once, and written.
const BUFFER_BYTES: usize = 4096;

/// Links of microcontrollers into one driver's ring.
///
/// Dropping it ends them: jobs in the ring stay there for the next dispatch, and nobody hears of
/// them. The faults among them keep their slots until [`Driver::next_fault`] has taken them.
pub struct Links {
    engine: Box<dyn Engine>,
    rung: Rung,
    /// Of each link, a buffer to read to, and one to write from.
    landing: Landing,
    /// Whose ring it is.
    driver: u64,
    lines: Vec<Line>,
    running: Vec<Running>,
    /// Of each ring slot, whether the job that it has is one of these.
    is_ours: Vec<bool>,
    events: VecDeque<(usize, LinkEvent)>,
    /// When its clock began.
    start: Instant,
    /// The link whose turn it is to be the first.
    first: usize,
    /// Jobs that the last turn has published.
    published: u32,
    bytes: Box<[u8; BUFFER_BYTES]>,
}

/// One link.
struct Line {
    name: String,
    tenant: u32,
    results: Results,
    port: Port,
    receiver: Receiver<WINDOW>,
    /// A slot that the ring had no room for, and why.
    held: Option<(LinkTicket, Slot, PublisherError)>,
    /// Its jobs in the ring, of earlier connections too.
    in_ring: u32,
    counters: LinkCounters,
}

impl Line {
    /// Jobs that may go into the ring: for the result of each there is room.
    fn room(&self) -> u32 {
        self.receiver.result_room().saturating_sub(self.in_ring)
    }
}

impl core::fmt::Debug for Links {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let names: Vec<_> = self.lines.iter().map(|line| &line.name).collect();
        f.debug_struct("Links")
            .field("links", &names)
            .field("rung", &self.rung)
            .finish_non_exhaustive()
    }
}

impl Links {
    /// Links into the ring of a driver, still to be opened.
    pub fn builder(driver: &Driver) -> LinksBuilder<'_> {
        LinksBuilder::new(driver)
    }

    /// What moves the bytes: [`Rung::Plain`] (io_uring) or [`Rung::Threads`].
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// Whether the microcontroller of a link is there, as far as is known: one that has lost its power
    /// is missed when it comes back. Of no such link, none is.
    pub fn is_connected(&self, link: usize) -> bool {
        self.lines.get(link).is_some_and(|line| line.receiver.is_connected())
    }

    /// What a link has counted; zero of no such link.
    pub fn counters(&self, link: usize) -> LinkCounters {
        let line = self.lines.get(link);
        line.map(|line| LinkCounters { frames: line.receiver.counters(), ..line.counters })
            .unwrap_or_default()
    }

    /// Why the next slot of a link waits, as of the last turn: the ring is full, or its tenant's quota
    /// is. A full ring that does not get empty holds faults that nobody has read, or jobs that nobody
    /// dispatches: the error counts both.
    pub fn waits_for(&self, link: usize) -> Option<PublisherError> {
        self.lines.get(link)?.held.map(|(_, _, why)| why)
    }

    /// Jobs of links that are in the ring, to be dispatched or looked at.
    pub fn jobs(&self) -> usize {
        self.running.len()
    }

    /// Takes the oldest event, and the number of its link. Nobody has to: of more than there is room
    /// for (64 a link), the latest are kept.
    pub fn next_event(&mut self) -> Option<(usize, LinkEvent)> {
        self.events.pop_front()
    }

    /// Milliseconds since these links were opened, wrapping.
    fn now(&self) -> u32 {
        self.start.elapsed().as_millis() as u32
    }

    /// One turn, without waiting: hears what has come, sends back how jobs have ended, publishes
    /// what the ring has room for, and starts reads and writes.
    ///
    /// `host` is the driver that the links were opened for, or one of its guards: with
    /// [`Overlapped`](crate::Overlapped), a job has ended when the drain that ran it was seen to;
    /// with [`Persistent`](crate::Persistent) it runs at once, and the kernel's I/O is served too.
    ///
    /// # Errors
    /// [`LinksError::OtherDriver`], [`LinksError::Engine`], [`LinksError::Persist`]. Nothing is
    /// forgotten: the next turn goes on.
    pub fn turn(&mut self, host: &mut impl Publish) -> Result<(), LinksError> {
        let stays_on = self.serve(host)?;
        self.reap();
        self.answer(host);
        self.published = self.publish(host, stays_on);
        let now = self.now();
        for link in 0..self.lines.len() {
            self.move_bytes(link, now);
        }
        unless_passing(self.engine.submit()).map_err(|source| LinksError::Engine { source })
    }

    /// Waits until a turn may have something to do, because bytes have come or gone, the links'
    /// clock says so, or a job has ended that a kernel that stays on runs; not for longer than
    /// `timeout`. It does not wait for drains. When the last turn has published jobs and nobody runs
    /// them, it returns at once: dispatch them.
    ///
    /// # Errors
    /// As [`Links::turn`].
    pub fn wait(&mut self, host: &mut impl Publish, timeout: Duration) -> Result<(), LinksError> {
        let stays_on = self.serve(host)?;
        if !stays_on && self.published > 0 {
            return Ok(());
        }
        let timeout = timeout.min(self.due(self.now()));
        let (start, mut turns) = (Instant::now(), 0);
        loop {
            let looks = stays_on && !self.running.is_empty();
            let rest = timeout.saturating_sub(start.elapsed());
            if self.reap() || (looks && self.has_answers(host.driver())) || rest.is_zero() {
                return Ok(());
            }
            let nap = if looks { nap_of(turns).min(rest) } else { rest };
            if nap.is_zero() {
                std::hint::spin_loop();
            } else if self.engine.in_flight() == 0 {
                std::thread::sleep(nap);
            } else {
                unless_passing(self.engine.wait(Some(nap)))
                    .map_err(|source| LinksError::Engine { source })?;
            }
            turns += 1;
            if looks {
                host.serve()?;
            }
        }
    }

    /// Serves the host's kernel, if it is these links' and one stays on; says whether one does.
    fn serve(&self, host: &mut impl Publish) -> Result<bool, LinksError> {
        if host.driver().id != self.driver {
            return Err(LinksError::OtherDriver);
        }
        Ok(host.serve()?)
    }

    /// Whether a job in the ring has ended.
    fn has_answers(&self, driver: &Driver) -> bool {
        let ring = driver.device.ring();
        let has_ended =
            |job: &Running| ring.state(job.job.slot).is_some_and(|state| state.is_finished());
        self.running.iter().any(has_ended)
    }

    /// How long there is nothing to do, if nothing happens.
    fn due(&self, now: u32) -> Duration {
        let of_line = |line: &Line| {
            let speaks = line.port.takes_bytes().then(|| line.receiver.wait_ms(now));
            line.port.due_ms(now).into_iter().chain(speaks).min()
        };
        let due = self.lines.iter().filter_map(of_line).min();
        due.map_or(Duration::MAX, |due| Duration::from_millis(due.into()))
    }
}

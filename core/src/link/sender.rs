//! The microcontroller's side.

use super::endpoint::{Endpoint, Payload, count};
use super::event::{Counters, Event, Fate, LinkTicket, ResultWords, SendError};
use super::frame::{self, Deframer, Frame, Outbox, kind, near};
use super::session::Role;
use super::tickets::Tickets;
use super::{MAX_UNFINISHED, MAX_WINDOW};
use crate::layout::Geometry;
use crate::ring::{Job, check_args, check_opcode};
use crate::slot::WORDS;

/// A slot without its status.
#[derive(Clone, Copy, Debug)]
struct Publish([u32; WORDS - 1]);

impl Payload for Publish {
    const EMPTY: Self = Self([0; WORDS - 1]);

    fn put(&self, sequence: u32, token: u32, outbox: &mut Outbox) {
        outbox.put(kind::PUBLISH, sequence as u8, &[token ^ sequence], &self.0);
    }
}

/// Sends jobs to a host, each exactly once, and tells how each has ended.
///
/// `WINDOW` (a power of two, at most 64) is how many jobs are kept until the host has them: 64
/// bytes each. A window that the host has no room for is used in part.
///
/// ```
/// use slipring_core::link::{Event, Notice, Sender};
/// use slipring_core::{layout::Geometry, opcode, ring::Job};
///
/// let geometry = Geometry::of_slots(64, 8)?;
/// let boot_counter = 7;
/// let mut sender = Sender::<8>::new(boot_counter, geometry);
///
/// // As often as there is time for it: bytes in, events out, bytes out.
/// let (now_ms, from_wire) = (1, [0u8; 0]);
/// let mut rest = &from_wire[..];
/// loop {
///     rest = &rest[sender.receive(rest, now_ms)..];
///     match sender.next_event() {
///         Some(Event::Link(Notice::Connected { .. })) => {
///             sender.publish(&Job::new(opcode::ATOMIC_ADD, &[1, 160]))?;
///         }
///         Some(_) => {}
///         None => break,
///     }
/// }
/// let mut to_wire = [0; 16];
/// let len = sender.transmit(now_ms, &mut to_wire);
/// assert_eq!(len, 16); // The start of a hello.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Other windows do not compile:
///
/// ```compile_fail
/// # use slipring_core::{layout::Geometry, link::Sender};
/// # let geometry = Geometry::of_slots(64, 8).unwrap();
/// Sender::<12>::new(7, geometry);
/// ```
#[derive(Debug)]
pub struct Sender<const WINDOW: usize> {
    input: Deframer,
    side: Side<WINDOW>,
}

/// All but the frame that is coming in.
#[derive(Debug)]
struct Side<const WINDOW: usize> {
    endpoint: Endpoint<Publish, WINDOW>,
    tickets: Tickets,
    /// Words of the result that is still in the input's buffer, or 0.
    result: u8,
}

impl<const WINDOW: usize> Sender<WINDOW> {
    /// A sender for hosts whose row has this geometry.
    ///
    /// `session` must differ from boot to boot (a counter in flash, a random number, the time):
    /// what the wire still holds of an earlier boot is told by it. If it is the same once more, results
    /// of before may be taken for those of new jobs, or jobs be taken for known ones.
    pub fn new(session: u32, geometry: Geometry) -> Self {
        Self {
            input: Deframer::new(),
            side: Side {
                endpoint: Endpoint::new(Role::Sender, session, geometry),
                tickets: Tickets::new(0),
                result: 0,
            },
        }
    }

    /// Whether jobs can go, as far as is known: that a host has gone is seen when it comes back. While
    /// jobs are out, a host that is there is heard ([`Counters::frames`]).
    pub fn is_connected(&self) -> bool {
        self.side.endpoint.session.is_connected()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.side.endpoint.counters
    }

    /// Takes a job, to be sent by [`Sender::transmit`] when its turn comes.
    ///
    /// # Errors
    /// In this order: [`SendError::Job`], [`SendError::NotConnected`], [`SendError::Full`],
    /// [`SendError::Unfinished`].
    pub fn publish(&mut self, job: &Job<'_>) -> Result<LinkTicket, SendError> {
        check_args(0, job.args.len())?;
        check_opcode(0, job.opcode)?;
        let Side { endpoint, tickets, .. } = &mut self.side;
        if !endpoint.session.is_connected() {
            return Err(SendError::NotConnected);
        }
        if endpoint.outgoing.is_full() {
            return Err(SendError::Full { window: WINDOW as u32 });
        }
        let (unfinished, limit) = (tickets.span(), MAX_UNFINISHED);
        let number = tickets.open().ok_or(SendError::Unfinished { unfinished, limit })?;
        if let Some(Publish([opcode, tenant, priority, args @ ..])) = endpoint.outgoing.push() {
            (*opcode, *tenant, *priority) = (job.opcode, job.tenant, job.priority.level());
            for (index, word) in args.iter_mut().enumerate() {
                *word = job.args.get(index).copied().unwrap_or(0);
            }
        }
        Ok(LinkTicket { session: endpoint.session.id(), number })
    }

    /// Takes bytes from the wire, and says how many: fewer than all when an event is to be taken
    /// first. Bytes that are not offered again are as good as lost on the wire: what they carried
    /// will be sent once more.
    #[must_use = "bytes beyond these were not looked at"]
    pub fn receive(&mut self, bytes: &[u8], now_ms: u32) -> usize {
        self.input.feed(&mut self.side, bytes, now_ms)
    }

    /// Writes what is to be sent now to `bytes`, and says how much that is.
    pub fn transmit(&mut self, now_ms: u32, bytes: &mut [u8]) -> usize {
        self.side.endpoint.transmit(now_ms, bytes)
    }

    /// In how many milliseconds [`Sender::transmit`] has something to send, if nothing happens
    /// until then; at most 1,000.
    pub fn wait_ms(&self, now_ms: u32) -> u32 {
        self.side.endpoint.wait_ms(now_ms)
    }

    /// Takes the next event.
    pub fn next_event(&mut self) -> Option<Event> {
        let Side { endpoint, result, .. } = &mut self.side;
        if let Some(notice) = endpoint.notice.take() {
            return Some(Event::Link(notice));
        }
        let session = endpoint.session.id();
        if *result > 0 {
            let frame = self.input.frame(core::mem::take(result));
            let ticket = LinkTicket { session, number: frame.word(1) };
            let words = ResultWords::from_slice(frame.words_from(3)).unwrap_or_default();
            return Some(Event::Finished { ticket, fate: Fate::of(frame.word(2)), words });
        }
        let number = self.side.left_behind()?;
        self.side.tickets.close(number);
        let was_sent = self.side.endpoint.outgoing.was_sent(number);
        let fate = if was_sent { Fate::Unknown } else { Fate::NotRun };
        let ticket = LinkTicket { session, number };
        Some(Event::Finished { ticket, fate, words: ResultWords::new() })
    }
}

impl<const WINDOW: usize> frame::Side for Side<WINDOW> {
    fn hear(&mut self, frame: Frame<'_>, now: u32) {
        if let Some(frame) = self.endpoint.hear(frame, now) {
            self.hear_result(&frame);
        }
        // Results may come in any order, so all that is kept of one is that it came.
        self.endpoint.take_up_to(self.endpoint.arrivals.next().wrapping_add(MAX_WINDOW));
    }

    fn has_event(&self) -> bool {
        self.endpoint.notice.is_some() || self.result > 0 || self.left_behind().is_some()
    }

    fn count_damage(&mut self) {
        count(&mut self.endpoint.counters.damaged);
    }
}

impl<const WINDOW: usize> Side<WINDOW> {
    fn hear_result(&mut self, frame: &Frame<'_>) {
        if frame.kind != kind::RESULT || frame.word(0) != self.endpoint.session.token_in() {
            count(&mut self.endpoint.counters.strays);
            return;
        }
        let (job, next) = (frame.word(1), self.endpoint.arrivals.next());
        // One of long ago has the sequence of one that is still to come; its job tells them apart.
        let room = if self.tickets.is_open(job) { MAX_WINDOW } else { 0 };
        if self.endpoint.arrive(near(next, frame.sequence), room) {
            self.tickets.close(job);
            self.result = frame.words;
        }
    }

    /// Jobs of a connection that has ended, whose fates are to be told.
    fn left_behind(&self) -> Option<u32> {
        if self.endpoint.session.is_connected() { None } else { self.tickets.oldest() }
    }
}

//! The host's side.

use super::endpoint::{Endpoint, Payload, count};
use super::event::{Counters, Fate, HostEvent, LinkTicket, Notice, ResultError};
use super::frame::{self, Deframer, Frame, Outbox, kind, near};
use super::session::Role;
use super::tickets::Tickets;
use crate::layout::Geometry;
use crate::slot::{ARGS, Slot, WORDS};

#[derive(Clone, Copy, Debug)]
struct Answer {
    number: u32,
    fate: Fate,
    len: u8,
    words: [u32; ARGS],
}

impl Payload for Answer {
    const EMPTY: Self = Self { number: 0, fate: Fate::NotRun, len: 0, words: [0; ARGS] };

    fn put(&self, sequence: u32, token: u32, outbox: &mut Outbox) {
        let words = self.words.get(..usize::from(self.len)).unwrap_or(&[]);
        let head = [token, self.number, self.fate.word()];
        outbox.put(kind::RESULT, sequence as u8, &head, words);
    }
}

/// Takes the jobs of a microcontroller, each exactly once and in their order, and brings back
/// how they ended.
///
/// `WINDOW` (a power of two, at most 64) is how many slots are kept until the host takes them, and
/// how many results until they have arrived.
///
/// ```
/// use slipring_core::link::{Fate, Receiver};
/// use slipring_core::layout::Geometry;
///
/// let mut receiver = Receiver::<64>::new(0x5EED, Geometry::of_slots(64, 8)?);
/// receiver.set_credits(64); // As many slots are free in the ring.
/// let (now_ms, from_wire) = (1, [0u8; 8]);
/// assert_eq!(receiver.receive(&from_wire, now_ms), 8);
/// while let Some((ticket, slot)) = receiver.next_slot() {
///     // Publish it in the ring; once it has finished:
///     receiver.result(ticket, Fate::Done, &[slot.args[0]])?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Receiver<const WINDOW: usize> {
    input: Deframer,
    side: Side<WINDOW>,
}

/// All but the frame that is coming in.
#[derive(Debug)]
struct Side<const WINDOW: usize> {
    endpoint: Endpoint<Answer, WINDOW>,
    /// Slot n is at n % WINDOW, from `taken` on.
    slots: [[u32; WORDS - 1]; WINDOW],
    taken: u32,
    credits: u32,
    /// Those handed out that await their result.
    tickets: Tickets,
}

impl<const WINDOW: usize> Receiver<WINDOW> {
    /// A receiver for a row of this geometry. It takes no slots before
    /// [`set_credits`](Receiver::set_credits).
    ///
    /// `session` must be another one whenever a receiver is made: a random number, or the time.
    pub fn new(session: u32, geometry: Geometry) -> Self {
        let side = Side {
            endpoint: Endpoint::new(Role::Receiver, session, geometry),
            slots: [[0; WORDS - 1]; WINDOW],
            taken: 0,
            credits: 0,
            tickets: Tickets::new(0),
        };
        Self { input: Deframer::new(), side }
    }

    /// Whether a microcontroller is there, as far as is known: one that has lost its power is missed
    /// when it comes back, or another one.
    pub fn is_connected(&self) -> bool {
        self.side.endpoint.session.is_connected()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.side.endpoint.counters
    }

    /// Says how many slots the host takes from now on; each slot that is taken is one less. So a
    /// full ring makes the microcontroller wait. (Slots that were on their way before the number
    /// was lowered come nevertheless.)
    pub fn set_credits(&mut self, credits: u32) {
        self.side.credits = credits;
        self.side.tell_limit();
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

    /// In how many milliseconds [`Receiver::transmit`] has something to send, if nothing happens
    /// until then; at most 1,000.
    pub fn wait_ms(&self, now_ms: u32) -> u32 {
        self.side.endpoint.wait_ms(now_ms)
    }

    /// Takes the next event. Slots of a connection that has ended are not handed out any more, and
    /// results for its tickets are refused.
    pub fn next_event(&mut self) -> Option<HostEvent> {
        let Side { endpoint, .. } = &mut self.side;
        if let Some(notice) = endpoint.notice.take() {
            return Some(HostEvent::Link(notice));
        }
        if endpoint.session.is_connected() {
            return None;
        }
        let answer = endpoint.outgoing.pop_unacknowledged()?;
        let ticket = LinkTicket { session: endpoint.session.id(), number: answer.number };
        Some(HostEvent::Orphaned { ticket })
    }

    /// Takes the next slot, if it has come. Its status is EMPTY.
    pub fn next_slot(&mut self) -> Option<(LinkTicket, Slot)> {
        let side = &mut self.side;
        if !side.endpoint.session.is_connected() || side.taken == side.endpoint.arrivals.next() {
            return None;
        }
        let [opcode, tenant, priority, args @ ..] = *side.slots.get(side.place(side.taken))?;
        let number = side.tickets.open()?;
        side.taken = number.wrapping_add(1);
        side.credits = side.credits.saturating_sub(1);
        side.tell_limit();
        let ticket = LinkTicket { session: side.endpoint.session.id(), number };
        Some((ticket, Slot { status: 0, opcode, tenant, priority, args }))
    }

    /// How many results are taken until one is [`ResultError::Full`].
    pub fn result_room(&self) -> u32 {
        self.side.endpoint.outgoing.room()
    }

    /// Sends back how a job has ended, and up to twelve words.
    ///
    /// # Errors
    /// In this order: [`ResultError::TooManyWords`], [`ResultError::Orphaned`],
    /// [`ResultError::NotAwaited`], [`ResultError::Full`].
    pub fn result(
        &mut self,
        ticket: LinkTicket,
        fate: Fate,
        words: &[u32],
    ) -> Result<(), ResultError> {
        let Side { endpoint, tickets, .. } = &mut self.side;
        let LinkTicket { session, number } = ticket;
        let len = words.len();
        if len > ARGS {
            return Err(ResultError::TooManyWords { words: len });
        }
        if !endpoint.session.is_connected() || session != endpoint.session.id() {
            return Err(ResultError::Orphaned { session, number });
        }
        if !tickets.is_open(number) {
            return Err(ResultError::NotAwaited { number });
        }
        let answer = endpoint.outgoing.push().ok_or(ResultError::Full { window: WINDOW as u32 })?;
        (answer.number, answer.fate, answer.len) = (number, fate, len as u8);
        for (place, word) in answer.words.iter_mut().zip(words) {
            *place = *word;
        }
        tickets.close(number);
        Ok(())
    }
}

impl<const WINDOW: usize> frame::Side for Side<WINDOW> {
    fn hear(&mut self, frame: Frame<'_>, now: u32) {
        let Some(frame) = self.endpoint.hear(frame, now) else {
            if let Some(Notice::Connected { .. }) = self.endpoint.notice {
                self.taken = self.endpoint.arrivals.next();
                self.tickets = Tickets::new(self.taken);
                self.tell_limit();
            }
            return;
        };
        let next = self.endpoint.arrivals.next();
        let sequence = near(next, frame.sequence);
        let token = self.endpoint.session.token_in();
        if frame.kind != kind::PUBLISH || frame.word(0) != token ^ sequence {
            count(&mut self.endpoint.counters.strays);
            return;
        }
        let room = (WINDOW as u32).saturating_sub(next.wrapping_sub(self.taken));
        if self.endpoint.arrive(sequence, room) {
            let place = self.place(sequence);
            if let Some(slot) = self.slots.get_mut(place) {
                for (place, word) in slot.iter_mut().zip(frame.words_from(1)) {
                    *place = *word;
                }
            }
        }
    }

    fn has_event(&self) -> bool {
        let Endpoint { notice, session, outgoing, .. } = &self.endpoint;
        notice.is_some() || !session.is_connected() && outgoing.has_unacknowledged()
    }

    fn count_damage(&mut self) {
        count(&mut self.endpoint.counters.damaged);
    }
}

impl<const WINDOW: usize> Side<WINDOW> {
    const fn place(&self, number: u32) -> usize {
        number as usize % WINDOW
    }

    fn tell_limit(&mut self) {
        let room = self.credits.min(WINDOW as u32);
        self.endpoint.take_up_to(self.taken.wrapping_add(room));
    }
}

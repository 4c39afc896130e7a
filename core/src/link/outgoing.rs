//! What is on its way to the peer: a window of entries, sent again until acknowledged.
//!
//! ```text
//!   base              fresh             next        base + window
//!    │ sent, some of it  │ never sent     │  free     │
//!    │ acknowledged      │                │           │
//! ```
//!
//! A serial wire does not change the order of frames. So an entry is known to be lost as soon as
//! one that was sent after it is acknowledged.

use super::timer::Timer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
enum State {
    Fresh,
    Sent,
    /// Sent more than once: an acknowledgment tells no round trip.
    SentAgain,
    Lost,
    Acknowledged,
}

#[derive(Clone, Copy, Debug)]
struct Place<E> {
    entry: E,
    /// Which of all transmissions its last one was.
    order: u16,
    state: State,
}

#[derive(Debug)]
pub(super) struct Outgoing<E, const N: usize> {
    base: u32,
    fresh: u32,
    next: u32,
    /// The first that the peer will not take yet.
    limit: u32,
    places: [Place<E>; N],
    order: u16,
    /// A transmission whose round trip is being timed, and when it was.
    timed: Option<(u32, u32)>,
    pub timer: Timer,
}

impl<E: Copy, const N: usize> Outgoing<E, N> {
    pub const fn new(empty: E) -> Self {
        const { assert!(N.is_power_of_two() && N <= super::MAX_WINDOW as usize) };
        Self {
            base: 0,
            fresh: 0,
            next: 0,
            limit: 0,
            places: [Place { entry: empty, order: 0, state: State::Fresh }; N],
            order: 0,
            timed: None,
            timer: Timer::new(),
        }
    }

    /// Forgets all, and numbers what comes from `first` on.
    pub fn reset(&mut self, first: u32) {
        (self.base, self.fresh, self.next, self.limit) = (first, first, first, first);
        self.timed = None;
        self.timer = Timer::new();
    }

    pub const fn base(&self) -> u32 {
        self.base
    }

    pub const fn next(&self) -> u32 {
        self.next
    }

    /// Whether an entry has been sent at least once.
    pub fn was_sent(&self, sequence: u32) -> bool {
        let [sequence, fresh] = [sequence, self.fresh].map(|n| n.wrapping_sub(self.base));
        sequence.cast_signed() < fresh.cast_signed()
    }

    pub const fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// How many entries can be pushed.
    pub const fn room(&self) -> u32 {
        (N as u32).saturating_sub(self.next.wrapping_sub(self.base))
    }

    /// Whether an entry was not acknowledged, or never sent.
    pub fn has_unacknowledged(&self) -> bool {
        let is_left = |sequence| self.state(sequence) != Some(State::Acknowledged);
        self.fresh != self.next || self.sent().any(is_left)
    }

    /// Appends an entry if there is room for it: the place to write it to.
    pub fn push(&mut self) -> Option<&mut E> {
        if self.is_full() {
            return None;
        }
        let place = self.places.get_mut(index::<N>(self.next))?;
        place.state = State::Fresh;
        self.next = self.next.wrapping_add(1);
        Some(&mut place.entry)
    }

    /// Takes the oldest entry that was not acknowledged.
    pub fn pop_unacknowledged(&mut self) -> Option<E> {
        while self.base != self.next {
            let place = self.places.get(index::<N>(self.base))?;
            if self.fresh == self.base {
                self.fresh = self.fresh.wrapping_add(1);
            }
            self.base = self.base.wrapping_add(1);
            if place.state != State::Acknowledged {
                return Some(place.entry);
            }
        }
        None
    }

    /// The entry to send now: the oldest that was lost, or else the oldest that was never sent, if
    /// the peer takes it.
    pub fn candidate(&self) -> Option<u32> {
        let lost = self.sent().find(|sequence| self.state(*sequence) == Some(State::Lost));
        let credits = self.limit.wrapping_sub(self.fresh).cast_signed();
        let may = self.fresh != self.next && credits > 0;
        lost.or(may.then_some(self.fresh))
    }

    /// Books that a candidate is being sent.
    pub fn send(&mut self, sequence: u32, now: u32) -> Option<&E> {
        self.order = self.order.wrapping_add(1);
        let is_first = sequence == self.fresh;
        if is_first {
            self.fresh = sequence.wrapping_add(1);
            if self.timed.is_none() {
                self.timed = Some((sequence, now));
            }
        }
        let state = if is_first { State::Sent } else { State::SentAgain };
        let place = self.places.get_mut(index::<N>(sequence))?;
        (place.order, place.state) = (self.order, state);
        Some(&place.entry)
    }

    /// Books what the peer says: it has all before `next`, those of the bitmap beyond `next`, and
    /// takes `credits` from `next` on.
    pub fn acknowledge(&mut self, next: u32, beyond: u64, credits: u8, now: u32) {
        if next.wrapping_sub(self.base) > self.fresh.wrapping_sub(self.base) {
            // Of long ago, or of what was never sent.
            return;
        }
        self.limit = next.wrapping_add(u32::from(credits));
        let mut newest = None;
        for sequence in self.sent() {
            let past = sequence.wrapping_sub(next).cast_signed();
            let is_new = past < 0 || (past > 0 && beyond >> (past - 1) & 1 == 1);
            if let Some(place) = self.places.get_mut(index::<N>(sequence))
                && is_new
                && place.state != State::Acknowledged
            {
                if self.timed.is_some_and(|(timed, _)| timed == sequence)
                    && let Some((_, at)) = self.timed.take()
                    && place.state == State::Sent
                {
                    self.timer.sample(now.wrapping_sub(at));
                }
                place.state = State::Acknowledged;
                newest = match newest {
                    Some(newest) if !is_before(newest, place.order) => Some(newest),
                    _ => Some(place.order),
                };
            }
        }
        let Some(newest) = newest else { return };
        self.base = next;
        self.lose(|place| is_before(place.order, newest));
        self.timer.progress(now, self.base != self.next);
    }

    /// Gives up waiting for all that was sent, if it is time; says so.
    pub fn time_out(&mut self, now: u32) -> bool {
        if self.base != self.next {
            self.timer.start(now);
        }
        let passed = self.timer.passes(now);
        if passed {
            self.lose(|_| true);
        }
        passed
    }

    fn lose(&mut self, is_lost: impl Fn(&Place<E>) -> bool) {
        for sequence in self.sent() {
            if let Some(place) = self.places.get_mut(index::<N>(sequence))
                && matches!(place.state, State::Sent | State::SentAgain)
                && is_lost(place)
            {
                place.state = State::Lost;
            }
        }
    }

    /// The entries that were sent and are still in the window.
    fn sent(&self) -> impl Iterator<Item = u32> + use<E, N> {
        let base = self.base;
        (0..self.fresh.wrapping_sub(base)).map(move |offset| base.wrapping_add(offset))
    }

    fn state(&self, sequence: u32) -> Option<State> {
        self.places.get(index::<N>(sequence)).map(|place| place.state)
    }
}

const fn index<const N: usize>(sequence: u32) -> usize {
    sequence as usize % N
}

const fn is_before(a: u16, b: u16) -> bool {
    (a.wrapping_sub(b) as i16) < 0
}

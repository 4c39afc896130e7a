//! What became of the jobs, each held against what it had to be.

use crate::clock;
use crate::window::{Answer, is_tone};
use slipring_core::link::{Fate, LinkTicket, MAX_UNFINISHED, ResultWords};

/// So many windows without the tone are a silence.
const SILENCE: i32 = 50;

pub struct Tally {
    /// What unfinished jobs have to answer, and when they were published, by the low bits of their
    /// numbers.
    expected: [Option<(Answer, u32)>; MAX_UNFINISHED as usize],
    pub published: u32,
    pub done: u32,
    pub faulted: u32,
    pub not_run: u32,
    pub unknown: u32,
    /// Ended in another way than it had to, or twice.
    pub wrong: u32,
    /// From publishing to the end, in milliseconds: the longest, and all together.
    pub longest_ms: u32,
    all_ms: u32,
    /// The last window that has the tone.
    heard: u32,
}

impl Tally {
    pub const fn new() -> Self {
        let expected = [None; MAX_UNFINISHED as usize];
        Self {
            expected,
            published: 0,
            done: 0,
            faulted: 0,
            not_run: 0,
            unknown: 0,
            wrong: 0,
            longest_ms: 0,
            all_ms: 0,
            heard: 0,
        }
    }

    pub fn publish(&mut self, ticket: LinkTicket, answer: Answer) {
        self.published += 1;
        self.expected[place(ticket)] = Some((answer, clock::now_ms()));
    }

    pub fn finish(&mut self, ticket: LinkTicket, fate: Fate, words: &ResultWords) {
        let (expected, since) = self.expected[place(ticket)].take().unzip();
        let waited_ms = since.map_or(0, |since| clock::now_ms().wrapping_sub(since));
        self.longest_ms = self.longest_ms.max(waited_ms);
        self.all_ms += waited_ms;
        let (counter, answer) = match fate {
            Fate::Done => {
                let words = words.as_slice().try_into();
                (&mut self.done, words.ok().map(Answer::Tone))
            }
            Fate::Fault(code) => (&mut self.faulted, Some(Answer::Fault(code))),
            // What did not run has no answer that could be wrong.
            Fate::NotRun => (&mut self.not_run, expected),
            Fate::Unknown => (&mut self.unknown, expected),
        };
        *counter += 1;
        if answer.is_none() || answer != expected {
            self.wrong += 1;
            defmt::error!("job {}: {}, {}", ticket.number, fate, words.as_slice());
        }
        if let Some(Answer::Tone(powers)) = answer
            && is_tone(powers)
        {
            // Over a bad wire, results may overtake each other.
            let since = ticket.number.wrapping_sub(self.heard).cast_signed();
            if since > SILENCE {
                defmt::info!("the tone is heard from window {} on", ticket.number);
            }
            if since > 0 {
                self.heard = ticket.number;
            }
        }
    }

    /// From publishing to the end, in microseconds, on average.
    pub fn average_us(&self) -> u32 {
        (u64::from(self.all_ms) * 1000 / u64::from(self.finished().max(1))) as u32
    }

    /// Jobs that have ended, one way or another.
    pub fn finished(&self) -> u32 {
        self.done + self.faulted + self.not_run + self.unknown
    }
}

fn place(ticket: LinkTicket) -> usize {
    (ticket.number % MAX_UNFINISHED) as usize
}

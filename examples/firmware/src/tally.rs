//! What became of the jobs, each held against what it had to be.

use crate::window::{Answer, is_tone};
use slipring_core::link::{Fate, LinkTicket, MAX_UNFINISHED, ResultWords};

/// So many windows without the tone are a silence.
const SILENCE: i32 = 50;

pub struct Tally {
    /// What unfinished jobs have to answer, by the low bits of their numbers.
    expected: [Option<Answer>; MAX_UNFINISHED as usize],
    pub published: u32,
    pub done: u32,
    pub faulted: u32,
    pub not_run: u32,
    pub unknown: u32,
    /// Ended in another way than it had to, or twice.
    pub wrong: u32,
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
            heard: 0,
        }
    }

    pub fn publish(&mut self, ticket: LinkTicket, answer: Answer) {
        self.published += 1;
        self.expected[place(ticket)] = Some(answer);
    }

    pub fn finish(&mut self, ticket: LinkTicket, fate: Fate, words: &ResultWords) {
        let expected = self.expected[place(ticket)].take();
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

    /// Jobs that have ended, one way or another.
    pub fn finished(&self) -> u32 {
        self.done + self.faulted + self.not_run + self.unknown
    }
}

fn place(ticket: LinkTicket) -> usize {
    (ticket.number % MAX_UNFINISHED) as usize
}

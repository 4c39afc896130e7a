//! Which words a random program's operations name.

use crate::shape::{ARENA_WORDS, Shape, WORKSPACE_WORDS};
use fastrand::Rng;

/// How a program's slots get on with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// Each slot has words of its own: the order of lanes does not matter.
    Apart,
    /// Slots go for the same few words.
    Racing,
    /// As racing, but only one slot a level is published.
    Alone,
}

/// Control words that the kernel itself reads or counts in.
const SYSTEM: [u32; 22] =
    [0, 1, 2, 3, 4, 5, 31, 32, 64, 65, 96, 97, 98, 103, 128, 129, 135, 136, 138, 141, 142, 159];
/// Control words without a meaning to the kernel.
const INERT: [std::ops::Range<u32>; 3] = [32..64, 129..136, 142..160];

/// Picks words, and deals each out once where slots are to be apart.
pub struct Words<'a> {
    pub rng: &'a mut Rng,
    pub shape: &'a Shape,
    pub temper: Temper,
    /// Not dealt yet, ascending.
    own: Vec<u32>,
    /// Only ever added to.
    sums: Vec<u32>,
    /// Only ever read.
    sources: Vec<u32>,
    own_workspace: std::ops::Range<u32>,
    own_arena: std::ops::Range<u32>,
}

impl<'a> Words<'a> {
    pub fn new(rng: &'a mut Rng, shape: &'a Shape, temper: Temper) -> Self {
        let words = shape.control_words();
        let (mut own, mut sums, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        for word in INERT.into_iter().flatten().chain(160..words) {
            match rng.u32(0..8) {
                0 => sums.push(word),
                1 => sources.push(word),
                _ => own.push(word),
            }
        }
        // Observable 0 is the fences'.
        own.retain(|&word| word != 160);
        let (own_workspace, own_arena) = (520..WORKSPACE_WORDS, 800..ARENA_WORDS);
        Self { rng, shape, temper, own, sums, sources, own_workspace, own_arena }
    }

    /// True `parts` times of `of`.
    pub fn chance(&mut self, parts: u32, of: u32) -> bool {
        self.rng.u32(0..of) < parts
    }

    pub fn value(&mut self) -> u32 {
        match self.rng.u32(0..8) {
            0 => 0,
            1 => u32::MAX,
            2..=4 => self.rng.u32(0..16),
            _ => self.rng.u32(..),
        }
    }

    /// An index around the edges of a buffer of `len` words and of `u32`.
    pub fn edge(&mut self, len: u32) -> u32 {
        let near = [len.wrapping_sub(2), len.wrapping_sub(1), len, len + 1];
        let far = [u32::MAX, u32::MAX - 1, u32::MAX - 159, 1 << 31, 1 << 28, 0xFF_FFFF];
        let index = self.rng.usize(0..near.len() + far.len());
        near.iter().chain(&far).copied().nth(index).unwrap_or(len)
    }

    fn any_word(&mut self) -> u32 {
        let words = self.shape.control_words();
        match self.rng.u32(0..12) {
            0..=5 if words > 160 => 160 + self.rng.u32(0..4.min(words - 160)),
            0..=7 => SYSTEM[self.rng.usize(0..SYSTEM.len())],
            8 => self.rng.u32(0..words),
            9 | 10 => self.rng.u32(32..36),
            _ => self.edge(words),
        }
    }

    /// Whether the program is one whose slots have words of their own.
    fn is_apart(&self) -> bool {
        self.temper == Temper::Apart
    }

    /// `count` adjacent words that `tenant` may write; past the end if there are none left.
    pub fn take_run(&mut self, tenant: u32, count: usize) -> u32 {
        if !self.is_apart() {
            return self.any_word();
        }
        let least = if tenant == 0 { 0 } else { 160 };
        let runs: Vec<usize> = (0..self.own.len())
            .filter(|&at| self.own[at] >= least)
            .filter(|&at| self.own.get(at + count - 1) == Some(&(self.own[at] + count as u32 - 1)))
            .collect();
        match self.rng.choice(runs) {
            Some(at) if !self.chance(1, 24) => self.own.drain(at..at + count).next().unwrap_or(0),
            _ => self.edge(self.shape.control_words()).max(self.shape.control_words()),
        }
    }

    /// A word to set.
    pub fn target(&mut self, tenant: u32) -> u32 {
        self.take_run(tenant, 1)
    }

    /// An observable to set.
    pub fn observable(&mut self) -> u32 {
        if self.is_apart() || self.chance(1, 2) {
            // A tenant that may write observables only.
            return self.target(1).wrapping_sub(160);
        }
        self.rng.u32(0..4)
    }

    /// A word w such that both w and observable w are the slot's own.
    pub fn pair(&mut self, tenant: u32) -> u32 {
        if !self.is_apart() || self.chance(1, 8) {
            return if self.chance(1, 2) { self.rng.u32(0..40) } else { self.any_word() };
        }
        let least = if tenant == 0 { 0 } else { 160 };
        let own = &self.own;
        let is_pair = |word: &u32| *word >= least && own.binary_search(&(word + 160)).is_ok();
        let pairs: Vec<u32> = own.iter().copied().filter(is_pair).collect();
        let Some(word) = self.rng.choice(pairs) else { return self.shape.control_words() };
        self.own.retain(|&own| own != word && own != word + 160);
        word
    }

    /// A word to add to.
    pub fn sum(&mut self, tenant: u32) -> u32 {
        if self.is_apart() && !self.chance(1, 12) {
            let least = if tenant == 0 { 0 } else { 160 };
            let sums = self.sums.iter().copied().filter(|&word| word >= least);
            return self.rng.choice(sums.collect::<Vec<_>>()).unwrap_or(u32::MAX);
        }
        self.target(tenant)
    }

    /// A word to read.
    pub fn source(&mut self) -> u32 {
        if self.is_apart() && !self.chance(1, 12) {
            return self.rng.choice(self.sources.iter().copied()).unwrap_or(2);
        }
        self.take_run(0, 1)
    }

    /// A workspace word to read.
    pub fn workspace_source(&mut self) -> u32 {
        match self.rng.u32(0..8) {
            0 => self.edge(WORKSPACE_WORDS),
            _ if self.is_apart() => self.rng.u32(0..520),
            1..=3 => self.rng.u32(596..600),
            _ => self.rng.u32(0..WORKSPACE_WORDS),
        }
    }

    /// A workspace word to set.
    pub fn workspace_target(&mut self) -> u32 {
        match self.rng.u32(0..8) {
            0 => self.edge(WORKSPACE_WORDS).max(WORKSPACE_WORDS),
            _ if self.is_apart() => self.own_workspace.next().unwrap_or(u32::MAX),
            _ => self.rng.u32(596..600),
        }
    }

    /// An arena word to read.
    pub fn arena_source(&mut self) -> u32 {
        match self.rng.u32(0..8) {
            0 => self.edge(ARENA_WORDS),
            _ if self.is_apart() => self.rng.u32(0..800),
            _ => self.rng.u32(1020..ARENA_WORDS),
        }
    }

    /// An arena word to set.
    pub fn arena_target(&mut self) -> u32 {
        match self.rng.u32(0..8) {
            0 => self.edge(ARENA_WORDS).max(ARENA_WORDS),
            _ if self.is_apart() => self.own_arena.next().unwrap_or(u32::MAX),
            _ => self.rng.u32(1020..ARENA_WORDS),
        }
    }
}

//! What links are made of.

use super::port::Port;
use super::results::Results;
use super::wire::Wire;
use super::{BUFFER_BYTES, Line, Links, LinksError, MAX_LINKS, WINDOW};
use crate::arena::{Landing, Pages, Rung};
use crate::driver::Driver;
use crate::input::ladder::climb_for_streams;
use slipring_core::link::Receiver;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

/// Events of each link that are kept until somebody takes them.
const EVENTS: usize = 64;

/// One microcontroller's link, still to be opened.
#[derive(Debug)]
pub struct Link {
    name: String,
    wire: Wire,
    tenant: u32,
    results: Results,
}

impl Link {
    /// A link over a wire; the name is for messages. Its slots are tenant 0's, and its results have
    /// no words.
    pub fn new(name: impl Into<String>, wire: Wire) -> Self {
        Self { name: name.into(), wire, tenant: 0, results: Results::none() }
    }

    /// Whose the link's slots are, whatever tenant the microcontroller has written there. Tenant 0 may
    /// write every word of the control buffer: give whom you do not trust another one.
    #[must_use]
    pub fn tenant(mut self, tenant: u32) -> Self {
        self.tenant = tenant;
        self
    }

    /// Where the words of its results come from.
    #[must_use]
    pub fn results(mut self, results: Results) -> Self {
        self.results = results;
        self
    }
}

/// The parts of [`Links`].
#[derive(Debug)]
pub struct LinksBuilder<'a> {
    driver: &'a Driver,
    links: Vec<Link>,
    rung: Rung,
}

impl<'a> LinksBuilder<'a> {
    pub(super) fn new(driver: &'a Driver) -> Self {
        Self { driver, links: Vec::new(), rung: Rung::Plain }
    }

    /// One more link. They are numbered from 0 on.
    #[must_use]
    pub fn link(mut self, link: Link) -> Self {
        self.links.push(link);
        self
    }

    /// [`Rung::Threads`] does without io_uring, as systems that have none.
    #[must_use]
    pub fn first_rung(mut self, rung: Rung) -> Self {
        self.rung = rung;
        self
    }

    /// Creates everything that the links will ever need. The first turn goes to their wires; one that
    /// is not there is waited for.
    ///
    /// # Errors
    /// [`LinksError::TooMany`], [`LinksError::Tenant`], [`LinksError::Closed`],
    /// [`LinksError::ResultWords`], [`LinksError::ResultRange`], [`LinksError::Wire`] for what will not get better by itself (a
    /// rate that no wire has, a path that no socket can have), [`LinksError::Engine`].
    pub fn open(self) -> Result<Links, LinksError> {
        let Self { driver, links, rung } = self;
        let count = links.len();
        if count > MAX_LINKS {
            return Err(LinksError::TooMany { links: count });
        }
        for Link { name, wire, tenant, results } in &links {
            let named = || name.clone();
            let rights = driver.publisher.tenants().get(*tenant);
            let rights = rights.map_err(|error| LinksError::Tenant { link: named(), error })?;
            if rights.first_opcode > rights.last_opcode {
                return Err(LinksError::Closed { link: named(), tenant: *tenant });
            }
            results.check(name, driver)?;
            wire.check().map_err(|error| LinksError::Wire { link: named(), error })?;
        }
        let words = count.max(1) * 2 * BUFFER_BYTES / 4;
        let pages = Pages::new(words).map_err(|source| LinksError::Engine { source })?;
        let landing = Landing::Pages(Arc::new(pages));
        // A read and a write each.
        let transfers = 2 * count.max(1) as u32;
        let (engine, rung) = climb_for_streams(&landing, transfers, count.max(1) as u32, rung)
            .map_err(|source| LinksError::Engine { source })?;
        let geometry = driver.device.host().geometry();
        for link in &links {
            driver.always_read(link.results.observed(geometry.slots()));
        }
        let lines = (0..).zip(links).map(|(index, link)| Line {
            name: link.name,
            tenant: link.tenant,
            results: link.results,
            port: Port::new(link.wire, index),
            receiver: Receiver::new(random(), geometry),
            held: None,
            in_ring: 0,
            counters: Default::default(),
        });
        Ok(Links {
            engine,
            rung,
            landing,
            driver: driver.id,
            lines: lines.collect(),
            running: Vec::with_capacity(WINDOW * count),
            is_ours: vec![false; geometry.slots() as usize],
            events: VecDeque::with_capacity(EVENTS * count.max(1)),
            start: Instant::now(),
            first: 0,
            published: 0,
            bytes: Box::new([0; BUFFER_BYTES]),
        })
    }
}

/// A session's first id: another one whenever it is asked.
fn random() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}

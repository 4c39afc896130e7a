//! A ring slot as a plain value: 16 words, 64 bytes.

/// Words of a slot.
pub const WORDS: usize = 16;
/// Arguments of a slot.
pub const ARGS: usize = 12;
/// Priority levels, and so partitions of a ring.
pub const LEVELS: usize = 5;

/// Word offsets in a slot.
pub mod word {
    /// [`status`](super::status) in the low byte.
    pub const STATUS: usize = 0;
    /// What to run.
    pub const OPCODE: usize = 1;
    /// Who asked.
    pub const TENANT: usize = 2;
    /// [`Priority`](super::Priority) as a number.
    pub const PRIORITY: usize = 3;
    /// The first of the twelve arguments.
    pub const ARGS: usize = 4;
}

/// The low byte of the status word.
pub mod status {
    /// Never used, or reset.
    pub const EMPTY: u32 = 0;
    /// The host's, ready for a lane.
    pub const PUBLISHED: u32 = 1;
    /// A lane's.
    pub const CLAIMED: u32 = 2;
    /// Finished well.
    pub const DONE: u32 = 3;
    /// Waits for the IO slot named in bits 8..16.
    pub const WAIT_IO: u32 = 4;
    /// Reserved, never claimed.
    pub const YIELD: u32 = 5;
    /// Reserved, never claimed.
    pub const REQUEUE: u32 = 6;
    /// Finished with the [`fault`](super::fault) code in bits 8..16.
    pub const FAULT: u32 = 7;
    /// The bits that are compared.
    pub const MASK: u32 = 0xFF;
    /// Where an IO slot index or a fault code starts.
    pub const DETAIL_SHIFT: u32 = 8;
}

/// Fault codes.
pub mod fault {
    /// Unknown opcode, or a user opcode without a handler.
    pub const OPCODE: u8 = 1;
    /// Tenant 29 or above.
    pub const TENANT: u8 = 2;
    /// A tenant other than 0 wrote below the observables, or shut down.
    pub const PROTECTED: u8 = 3;
    /// A word index past the end.
    pub const RANGE: u8 = 4;
    /// A packed payload that does not parse.
    pub const PACKED: u8 = 5;
    /// The host could not serve the slot's I/O.
    pub const IO: u8 = 6;
    /// A copy longer than [`MEMCPY_MAX_WORDS`](crate::opcode::MEMCPY_MAX_WORDS).
    pub const LIMIT: u8 = 7;
    /// The first code that user handlers may raise.
    pub const USER_MIN: u8 = 64;
    /// The last code that user handlers may raise.
    pub const USER_MAX: u8 = 255;

    /// What a code says, for people.
    ///
    /// ```
    /// use slipring_core::slot::fault;
    /// assert_eq!(fault::meaning(fault::IO), "its I/O could not be served");
    /// assert_eq!(fault::meaning(70), "its handler has raised it");
    /// ```
    pub const fn meaning(code: u8) -> &'static str {
        match code {
            OPCODE => "no such opcode, or no handler for it",
            TENANT => "no such tenant",
            PROTECTED => "its tenant may not do that",
            RANGE => "a word index past the end",
            PACKED => "a packed payload that does not parse",
            IO => "its I/O could not be served",
            LIMIT => "a copy of more words than are possible",
            USER_MIN..=USER_MAX => "its handler has raised it",
            _ => "an unknown code",
        }
    }
}

/// A priority level. A drain runs them in this order, each wholly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Priority {
    /// Level 0.
    Critical,
    /// Level 1.
    High,
    /// Level 2.
    #[default]
    Normal,
    /// Level 3.
    Low,
    /// Level 4.
    Idle,
}

impl Priority {
    /// All levels, in the order a drain runs them.
    pub const ALL: [Self; LEVELS] =
        [Self::Critical, Self::High, Self::Normal, Self::Low, Self::Idle];

    /// The number in the slot's priority word.
    pub const fn level(self) -> u32 {
        self as u32
    }

    /// The level of that number, if there is one.
    ///
    /// ```
    /// use slipring_core::slot::Priority;
    /// assert_eq!(Priority::from_level(4), Some(Priority::Idle));
    /// assert_eq!(Priority::from_level(5), None);
    /// ```
    pub fn from_level(level: u32) -> Option<Self> {
        Self::ALL.get(level as usize).copied()
    }
}

/// What a slot's status word says.
///
/// ```
/// use slipring_core::slot::State;
/// assert_eq!(State::of(7 | 4 << 8), State::Fault(4));
/// assert!(State::Done.is_publishable());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// Never used, or reset.
    Empty,
    /// Ready for a lane.
    Published,
    /// Being run.
    Claimed,
    /// Finished well.
    Done,
    /// Waits for this IO slot.
    WaitIo(u8),
    /// Finished with this fault code.
    Fault(u8),
    /// Reserved or unknown.
    Other(u32),
}

impl State {
    /// Reads a status word.
    pub const fn of(word: u32) -> Self {
        let detail = (word >> status::DETAIL_SHIFT) as u8;
        match word & status::MASK {
            status::EMPTY => Self::Empty,
            status::PUBLISHED => Self::Published,
            status::CLAIMED => Self::Claimed,
            status::DONE => Self::Done,
            status::WAIT_IO => Self::WaitIo(detail),
            status::FAULT => Self::Fault(detail),
            _ => Self::Other(word),
        }
    }

    /// Whether the host may publish over it: EMPTY, DONE and FAULT.
    pub const fn is_publishable(self) -> bool {
        matches!(self, Self::Empty | Self::Done | Self::Fault(_))
    }

    /// Whether the slot has run: DONE or FAULT.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Fault(_))
    }

    /// Whether the slot is on its way: PUBLISHED, CLAIMED or WAIT_IO.
    pub const fn is_in_flight(self) -> bool {
        matches!(self, Self::Published | Self::Claimed | Self::WaitIo(_))
    }
}

/// The status word of a fault.
pub const fn fault_status(code: u8) -> u32 {
    status::FAULT | (code as u32) << status::DETAIL_SHIFT
}

/// The status word of a slot that waits for an IO slot.
pub const fn wait_io_status(io_slot: u8) -> u32 {
    status::WAIT_IO | (io_slot as u32) << status::DETAIL_SHIFT
}

/// A slot's sixteen words by name.
///
/// ```
/// use slipring_core::{opcode, slot::Slot};
/// let slot = Slot { opcode: opcode::NOP, tenant: 3, ..Slot::default() };
/// assert_eq!(Slot::parse(&slot.emit()), slot);
/// assert_eq!(slot.to_bytes()[8], 3);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct Slot {
    /// [`status`] in the low byte.
    pub status: u32,
    /// What to run.
    pub opcode: u32,
    /// Who asked.
    pub tenant: u32,
    /// [`Priority`] as a number.
    pub priority: u32,
    /// The arguments.
    pub args: [u32; ARGS],
}

const _: () = {
    assert!(size_of::<Slot>() == 4 * WORDS && align_of::<Slot>() == 4);
    assert!(core::mem::offset_of!(Slot, status) == 4 * word::STATUS);
    assert!(core::mem::offset_of!(Slot, opcode) == 4 * word::OPCODE);
    assert!(core::mem::offset_of!(Slot, tenant) == 4 * word::TENANT);
    assert!(core::mem::offset_of!(Slot, priority) == 4 * word::PRIORITY);
    assert!(core::mem::offset_of!(Slot, args) == 4 * word::ARGS);
    assert!(word::ARGS + ARGS == WORDS);
};

impl Slot {
    /// Reads sixteen words. Any words are a slot: this cannot fail.
    pub fn parse(words: &[u32; WORDS]) -> Self {
        bytemuck::cast(*words)
    }

    /// The sixteen words.
    pub fn emit(&self) -> [u32; WORDS] {
        bytemuck::cast(*self)
    }

    /// The sixty-four bytes, as a wire carries them.
    pub fn to_bytes(&self) -> [u8; 4 * WORDS] {
        bytemuck::cast(*self)
    }

    /// What the status word says.
    pub const fn state(&self) -> State {
        State::of(self.status)
    }
}

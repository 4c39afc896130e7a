//! What went wrong, with the wrong number and the limit.

use core::ffi::{CStr, c_char};
use slipring_core::layout::{LayoutError, MAX_IO_SLOTS};
use slipring_core::link::SendError;
use slipring_core::ring::PublishError;
use slipring_core::slot::{ARGS, LEVELS};

/// All is well.
pub const SLIPRING_OK: u32 = 0;
/// A pointer is NULL. Its number among the arguments is the value, from 1 on.
pub const SLIPRING_NULL: u32 = 1;
/// The sender was not initialized.
pub const SLIPRING_NOT_INITIALIZED: u32 = 2;
/// More arguments than a slot has; the value says how many.
pub const SLIPRING_TOO_MANY_ARGS: u32 = 3;
/// An opcode of the system's own range that the kernel does not run: the value.
pub const SLIPRING_RESERVED_OPCODE: u32 = 4;
/// No such level of priority: the value.
pub const SLIPRING_NO_LEVEL: u32 = 5;
/// No such slot: the value. The limit is how many there are.
pub const SLIPRING_NO_SLOT: u32 = 6;
/// The slot still holds a job. The value is its status word.
pub const SLIPRING_BUSY: u32 = 7;
/// More slots, observables, records or IO slots than there may be: the value. The limit of each is
/// another one.
pub const SLIPRING_TOO_MANY: u32 = 8;
/// No host has answered.
pub const SLIPRING_NOT_CONNECTED: u32 = 9;
/// The window is full: it holds as many jobs as the limit says.
pub const SLIPRING_FULL: u32 = 10;
/// So many jobs since the oldest that is not finished: the value.
pub const SLIPRING_UNFINISHED: u32 = 11;
/// A row without IO slots. The limit is how many it may have; it has at least one.
pub const SLIPRING_NO_IO_SLOTS: u32 = 12;

/// What became of a call: a code, and the numbers that its text speaks of.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct slipring_error {
    /// One of the codes above; SLIPRING_OK is 0.
    pub code: u32,
    /// The wrong number.
    pub value: u32,
    /// The limit.
    pub limit: u32,
}

impl slipring_error {
    pub(crate) const OK: Self = Self::new(SLIPRING_OK, 0, 0);
    pub(crate) const NOT_INITIALIZED: Self = Self::new(SLIPRING_NOT_INITIALIZED, 0, 0);

    pub(crate) const fn new(code: u32, value: u32, limit: u32) -> Self {
        Self { code, value, limit }
    }

    /// Argument `number` is NULL.
    pub(crate) const fn null(number: u32) -> Self {
        Self::new(SLIPRING_NULL, number, 0)
    }

    pub(crate) const fn level(level: u32) -> Self {
        Self::new(SLIPRING_NO_LEVEL, level, LEVELS as u32 - 1)
    }

    pub(crate) fn of(result: Result<(), impl Into<Self>>) -> Self {
        result.map_or_else(Into::into, |()| Self::OK)
    }
}

impl From<PublishError> for slipring_error {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::TooManyArgs { args, .. } => {
                Self::new(SLIPRING_TOO_MANY_ARGS, args as u32, ARGS as u32)
            }
            PublishError::Opcode { opcode, .. } => Self::new(SLIPRING_RESERVED_OPCODE, opcode, 0),
            PublishError::SlotRange { slot, slots } => Self::new(SLIPRING_NO_SLOT, slot, slots),
            PublishError::Busy { status, .. } => Self::new(SLIPRING_BUSY, status, 0),
            PublishError::Layout(error) => error.into(),
            // Of windows, which no call here publishes.
            _ => Self::new(SLIPRING_TOO_MANY, 0, 0),
        }
    }
}

impl From<LayoutError> for slipring_error {
    fn from(error: LayoutError) -> Self {
        match error {
            LayoutError::TooMany { count, max, .. } => {
                Self::new(SLIPRING_TOO_MANY, u32::try_from(count).unwrap_or(u32::MAX), max)
            }
            LayoutError::NoIoSlots => Self::new(SLIPRING_NO_IO_SLOTS, 0, MAX_IO_SLOTS),
            // Of buffers that are given by their words, which no call here takes.
            _ => Self::new(SLIPRING_TOO_MANY, 0, 0),
        }
    }
}

impl From<SendError> for slipring_error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Job(error) => error.into(),
            SendError::NotConnected => Self::new(SLIPRING_NOT_CONNECTED, 0, 0),
            SendError::Full { window } => Self::new(SLIPRING_FULL, window, window),
            SendError::Unfinished { unfinished, limit } => {
                Self::new(SLIPRING_UNFINISHED, unfinished, limit)
            }
        }
    }
}

/// What a code says, for people; of an unknown one, that it is unknown.
#[unsafe(no_mangle)]
pub extern "C" fn slipring_error_text(code: u32) -> *const c_char {
    let text: &CStr = match code {
        SLIPRING_OK => c"no error",
        SLIPRING_NULL => c"a pointer is NULL",
        SLIPRING_NOT_INITIALIZED => c"the sender is not initialized",
        SLIPRING_TOO_MANY_ARGS => c"more arguments than a slot has",
        SLIPRING_RESERVED_OPCODE => c"a reserved opcode",
        SLIPRING_NO_LEVEL => c"no such priority",
        SLIPRING_NO_SLOT => c"no such slot",
        SLIPRING_BUSY => c"the slot still holds a job",
        SLIPRING_TOO_MANY => c"more than there may be",
        SLIPRING_NOT_CONNECTED => c"no host has answered",
        SLIPRING_FULL => c"the window is full",
        SLIPRING_UNFINISHED => c"too many jobs since the oldest unfinished one",
        SLIPRING_NO_IO_SLOTS => c"no IO slots",
        _ => c"an unknown error",
    };
    text.as_ptr()
}

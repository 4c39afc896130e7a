//! An error of ours, whichever call it is from.

use slipring_core::control::EncodeError;
use slipring_core::debug_log::PartialRecord;
use slipring_core::io_queue::IoQueueError;
use slipring_core::layout::{LayoutError, MissingWord};
use slipring_core::packed::PackedError;
use slipring_core::ring::PublishError;
use slipring_core::row::ResetError;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refusal {
    Layout(LayoutError),
    Missing(MissingWord),
    Publish(PublishError),
    Packed(PackedError),
    IoQueue(IoQueueError),
    /// With the length of the log, which the error does not carry.
    Partial(PartialRecord, usize),
    Reset(ResetError),
    Encode(EncodeError),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(error) => error.fmt(f),
            Self::Missing(error) => error.fmt(f),
            Self::Publish(error) => error.fmt(f),
            Self::Packed(error) => error.fmt(f),
            Self::IoQueue(error) => error.fmt(f),
            Self::Partial(error, _) => error.fmt(f),
            Self::Reset(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

macro_rules! refusal_from {
    ($($error:ident => $variant:ident),*) => {
        $(impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

refusal_from!(LayoutError => Layout, MissingWord => Missing, PackedError => Packed,
    IoQueueError => IoQueue);

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Layout(error) => Self::Layout(error),
            error => Self::Publish(error),
        }
    }
}

impl From<EncodeError> for Refusal {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Layout(error) => Self::Layout(error),
            EncodeError::MissingWord(error) => Self::Missing(error),
            error => Self::Encode(error),
        }
    }
}

impl From<ResetError> for Refusal {
    fn from(error: ResetError) -> Self {
        match error {
            ResetError::Layout(error) => Self::Layout(error),
            ResetError::MissingWord(error) => Self::Missing(error),
            error => Self::Reset(error),
        }
    }
}

//! The link: slots from a microcontroller to a host over a serial wire that loses, flips and
//! invents bytes, each exactly once, and results back.

mod arrivals;
mod crc;
mod endpoint;
mod event;
mod frame;
mod io;
#[cfg(feature = "link-async")]
pub mod io_async;
mod outgoing;
mod receiver;
mod sender;
mod session;
mod tickets;
mod timer;

pub use event::{
    Counters, Event, Fate, HostEvent, LinkTicket, Notice, Reason, Refusal, ResultError,
    ResultWords, SendError,
};
pub use frame::WIRE_BYTES;
pub use io::pump;
pub use receiver::Receiver;
pub use sender::Sender;

/// The revision of the frames; another one is refused.
pub const LINK_REVISION: u32 = 1;
/// The revision of the four buffers' layout; another one is refused.
pub const ABI_REVISION: u32 = 1;
/// The largest window.
pub const MAX_WINDOW: u32 = 64;
/// How far the next job may be ahead of the oldest that is not finished.
pub const MAX_UNFINISHED: u32 = 256;

//! The link: slots from a microcontroller to a host over a serial wire that loses, flips and
//! invents bytes, each exactly once, and back how they ended.
//!
//! ```text
//!   microcontroller                                    host
//!   publish ─▶ Sender   ══ PUBLISH, ACK ═══▶   Receiver ─▶ next_slot ─▶ its ring
//!   Finished ◀─  window ◀══ RESULT, ACK ════     window ◀─ result ◀──── finished slots
//! ```
//!
//! Both sides are state machines over storage of their own: bytes and a clock go in, bytes and
//! events come out. They do no I/O, read no clock, allocate nothing and cannot panic. The clock
//! counts milliseconds and wraps; should it jump, something is sent too early or too late.
//!
//! # Frames
//!
//! ```text
//!   │ kind 1 │ sequence 1 │ body, words of 4 │ CRC-32C 4 │   then COBS, then 0x00
//! ```
//!
//! | kind | sequence | words of the body |
//! |---|---|---|
//! | 1 HELLO | 0 | 7 properties: link revision, role, ABI revision, slots, observables, debug records, IO slots · session · session of the peer, or 0 · number of the first job or result · window in bits 0..8, bit 8: asks for a hello |
//! | 2 PUBLISH | job | token ^ job · the slot's words 1 to 15: on the wire a status means nothing |
//! | 3 ACK | next expected | token ^ next · credits from next on in bits 0..8, then a bit for each frame after next that has come · if they do not fit, another word of them; 56 in all |
//! | 4 RESULT | result | token · number of the job · its status word · up to 12 words |
//! | 5 RESET | 0 | session that is refused · which property, expected, found |
//!
//! Words are little-endian. A publish is 72 bytes on the wire. A frame counts if its run of bytes
//! up to 0x00 decodes, has a length of its kind, and passes the CRC; anything else is damage, which
//! is counted, and the next 0x00 is the start of a new frame. HELLO and RESET, which come after
//! silence, have a 0x00 before them too. The sequence is the low byte of a
//! number that counts up for 2^32 jobs; a job's number is its ticket.
//!
//! # Sessions
//!
//! Each side has a session id, and uses it for at most one connection: when a connection ends, the
//! side takes another one. Frames carry a token made of both ids. So a frame of an earlier
//! connection, which some bridge has kept, is never taken for one of this, and no side goes on
//! with a peer that has forgotten what it had.
//!
//! # States
//!
//! Both sides are *greeting* at first.
//!
//! | input | greeting | connected |
//! |---|---|---|
//! | HELLO that this side has sent (connected: any of its role) | ignored | ignored |
//! | HELLO with a wrong property | RESET to it; `Refused`, once | `Disconnected` → greeting, with a new id |
//! | HELLO that names another session of this side, or none | HELLO to it | `Disconnected` → greeting, with a new id |
//! | HELLO that names this session | `Connected` → connected; HELLO if it asks | of the peer's session: HELLO if it asks, and ACK; of another one: `Disconnected` → greeting, with a new id |
//! | RESET of this session | `RefusedByPeer`, once | ignored: a HELLO of that peer will come |
//! | PUBLISH, RESULT, ACK with this token | cannot be | taken; what came before is acknowledged once more |
//! | the same with another token | HELLO, unless there was one just now | counted |
//! | timer | HELLO; the wait doubles, from 100 ms to 1 s | all that was sent and not acknowledged goes again, and a HELLO that asks; the wait doubles, up to 1 s |
//! | `publish`, `result` | refused | taken, if the window has room |
//!
//! What becomes of jobs and results when a connection ends:
//!
//! | | on the microcontroller | on the host |
//! |---|---|---|
//! | its result has come | `Finished` long since | |
//! | it was sent | `Finished`: [`Fate::Unknown`]; it is not sent again | not handed out any more; its result is refused, or told as `Orphaned` if it was under way |
//! | it was never sent | `Finished`: [`Fate::NotRun`] | |
//!
//! # Loss
//!
//! Either side sends a window of frames ahead. The wire keeps their order, so one that an ACK does
//! not list although it lists a later one is lost, and sent again at once; what a timer of the
//! measured round trip and its deviation catches is the loss of the last frames, of ACKs, and of
//! credits. (Compared with going back to the lost frame, over the simulated wire at 1 Mbaud, 1 ms
//! either way, with a window of 8: 0.98 against 0.94 of the lossless goodput at 1 % lost frames,
//! 0.82 against 0.57 at 10 %.) Credits are what the host's ring has room for; without one, the
//! microcontroller's window fills up and [`Sender::publish`] says so.

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

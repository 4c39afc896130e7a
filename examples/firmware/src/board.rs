//! What is different from board to board: clocks, pins, the timer that samples, and names.
//!
//! | a board has | which is |
//! |---|---|
//! | `start()` | starts clocks, pins and interrupts, and returns a number that no earlier start had |
//! | `start_sampling(rate_hz)`, and an interrupt that calls `Sampler::sample` | the timer |
//! | `UART`, `UART_HZ`, `pend_uart()`, and an interrupt that calls `uart::serve` | the PL011, its clock |
//! | `exit(is_well)` | the end |

#[cfg(not(feature = "pico"))]
mod lm3s6965evb;
#[cfg(not(feature = "pico"))]
pub use lm3s6965evb::*;

#[cfg(feature = "pico")]
mod pico;
#[cfg(feature = "pico")]
pub use pico::*;

//! The UART, a PL011, as a port of `embedded-io`: its interrupt moves bytes between the FIFOs and
//! two queues, and the main loop sees only those.

use crate::board::CLOCK_HZ;
use crate::board::registers::uart;
use core::cell::RefCell;
use core::convert::Infallible;
use cortex_m::peripheral::NVIC;
use critical_section::Mutex;
use embedded_io::{ErrorType, Read, ReadReady, Write};
use heapless::Deque;
use lm3s6965::{Interrupt, interrupt};

/// What may come while the main loop is busy: 10 ms at 1 Mbaud.
const RX_BYTES: usize = 1024;
/// A few frames.
const TX_BYTES: usize = 256;

struct Queues {
    rx: Deque<u8, RX_BYTES>,
    tx: Deque<u8, TX_BYTES>,
    /// Bytes that found `rx` full. The link sends again what they belonged to.
    overrun: u32,
}

static QUEUES: Mutex<RefCell<Queues>> =
    Mutex::new(RefCell::new(Queues { rx: Deque::new(), tx: Deque::new(), overrun: 0 }));

fn with_queues<T>(work: impl FnOnce(&mut Queues) -> T) -> T {
    critical_section::with(|section| work(&mut QUEUES.borrow_ref_mut(section)))
}

#[interrupt]
fn UART0() {
    // First of all: a byte that comes from now on interrupts once more.
    uart::ICR.write(uart::RX | uart::TX | uart::RX_TIMEOUT);
    while uart::FR.read() & uart::RX_EMPTY == 0 {
        let byte = uart::DR.read() as u8;
        with_queues(|Queues { rx, overrun, .. }| {
            if rx.push_back(byte).is_err() {
                *overrun += 1;
            }
        });
    }
    while uart::FR.read() & uart::TX_FULL == 0
        && let Some(byte) = with_queues(|queues| queues.tx.pop_front())
    {
        uart::DR.write(byte.into());
    }
}

/// The port. There is one.
pub struct Uart(());

impl Uart {
    /// Turns the UART on, 8N1.
    pub fn start(baud: u32) -> Self {
        // The divisor in 64ths: of the clock over 16 bauds.
        let divisor = 4 * CLOCK_HZ / baud;
        uart::CTL.write(0);
        uart::IBRD.write(divisor / 64);
        uart::FBRD.write(divisor % 64);
        uart::LCRH.write(uart::FRAMES_8N1_FIFO);
        uart::IM.write(uart::RX | uart::TX | uart::RX_TIMEOUT);
        uart::CTL.write(uart::ENABLE);
        Self(())
    }

    /// Bytes that came faster than they were read, and are lost.
    pub fn overrun(&self) -> u32 {
        with_queues(|queues| queues.overrun)
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(with_queues(|queues| !queues.rx.is_empty()))
    }
}

impl Read for Uart {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        while !bytes.is_empty() && !self.read_ready()? {
            cortex_m::asm::wfi();
        }
        Ok(with_queues(|queues| {
            let mut len = 0;
            for (place, byte) in bytes.iter_mut().zip(core::iter::from_fn(|| queues.rx.pop_front()))
            {
                *place = byte;
                len += 1;
            }
            len
        }))
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        loop {
            let len = with_queues(|queues| {
                bytes.iter().take_while(|byte| queues.tx.push_back(**byte).is_ok()).count()
            });
            // The handler alone touches the FIFOs.
            NVIC::pend(Interrupt::UART0);
            if len > 0 || bytes.is_empty() {
                return Ok(len);
            }
            // Woken by SysTick if by nothing else.
            cortex_m::asm::wfi();
        }
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while with_queues(|queues| !queues.tx.is_empty()) {
            cortex_m::asm::wfi();
        }
        Ok(())
    }
}

//! The UART, a PL011, as a port of `embedded-io`: its interrupt moves bytes between the FIFOs and
//! two queues, and the main loop sees only those.

use crate::board;
use core::cell::RefCell;
use core::convert::Infallible;
use critical_section::Mutex;
use embedded_io::{ErrorType, Read, ReadReady, Write};
use heapless::Deque;
use register::{CTL, DR, FBRD, FR, IBRD, ICR, IM, LCRH, Register};

/// What may come while the main loop is busy: 10 ms at 1 Mbaud.
const RX_BYTES: usize = 1024;
/// A few frames.
const TX_BYTES: usize = 256;

const RX_EMPTY: u32 = 1 << 4;
const TX_FULL: u32 = 1 << 5;
/// 8 bits, no parity, one stop bit; FIFOs on.
const FRAMES_8N1_FIFO: u32 = 0x70;
/// The UART, its transmitter and its receiver.
const ENABLE: u32 = 1 << 0 | 1 << 8 | 1 << 9;
/// Bytes have come; the transmitter's FIFO runs dry; bytes have come, too few to tell otherwise.
const INTERRUPTS: u32 = 1 << 4 | 1 << 5 | 1 << 6;

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

/// Handles the interrupt.
pub fn serve() {
    let uart = board::UART;
    // First of all: a byte that comes from now on interrupts once more.
    uart.write(ICR, INTERRUPTS);
    while uart.read(FR) & RX_EMPTY == 0 {
        let byte = uart.read(DR) as u8;
        with_queues(|Queues { rx, overrun, .. }| {
            if rx.push_back(byte).is_err() {
                *overrun += 1;
            }
        });
    }
    while uart.read(FR) & TX_FULL == 0
        && let Some(byte) = with_queues(|queues| queues.tx.pop_front())
    {
        uart.write(DR, byte.into());
    }
}

/// The port. There is one.
pub struct Uart(());

impl Uart {
    /// Turns the UART on, 8N1.
    pub fn start(baud: u32) -> Self {
        let uart = board::UART;
        // The divisor in 64ths: of the clock over 16 bauds.
        let divisor = 4 * board::UART_HZ / baud;
        uart.write(CTL, 0);
        uart.write(IBRD, divisor / 64);
        uart.write(FBRD, divisor % 64);
        uart.write(LCRH, FRAMES_8N1_FIFO);
        uart.write(IM, INTERRUPTS);
        uart.write(CTL, ENABLE);
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
            board::pend_uart();
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

/// Where a PL011 is.
pub struct Pl011(usize);

impl Pl011 {
    /// # Safety
    /// One is at this address, and nobody else uses it.
    pub const unsafe fn at(address: usize) -> Self {
        Self(address)
    }

    fn read(&self, register: Register) -> u32 {
        // SAFETY: the address is that of a PL011's register, which may be read.
        unsafe { ((self.0 + register.offset()) as *const u32).read_volatile() }
    }

    fn write(&self, register: Register, value: u32) {
        // SAFETY: as above; and none of them has it write to memory.
        unsafe { ((self.0 + register.offset()) as *mut u32).write_volatile(value) }
    }
}

mod register {
    /// One of the constants below.
    pub struct Register(usize);

    impl Register {
        pub const fn offset(&self) -> usize {
            self.0
        }
    }

    pub const DR: Register = Register(0x00);
    pub const FR: Register = Register(0x18);
    pub const IBRD: Register = Register(0x24);
    pub const FBRD: Register = Register(0x28);
    pub const LCRH: Register = Register(0x2C);
    pub const CTL: Register = Register(0x30);
    pub const IM: Register = Register(0x38);
    pub const ICR: Register = Register(0x44);
}

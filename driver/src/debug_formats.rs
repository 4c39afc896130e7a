//! What kernels print, for people: format ids become lines of the host's log.

use crate::driver::Driver;
use core::fmt;
use slipring_core::debug_log::{PartialRecord, Record};

/// Whose events they are.
const TARGET: &str = "slipring::printf";
/// Records that are looked at together.
const AT_ONCE: usize = 32;

/// The texts of the formats that PRINTF and `debug_print` name by number; made by
/// [`debug_formats!`](crate::debug_formats!).
#[derive(Clone, Copy, Debug)]
pub struct DebugFormats(&'static [(u32, &'static str)]);

/// A table of formats, checked when it is compiled:
///
/// | in a text | stands for the next argument, |
/// |---|---|
/// | `{}` | a number |
/// | `{:x}` | in hexadecimal |
/// | `{:i32}` | whose bits are an `i32` |
/// | `{:f32}` | whose bits are an `f32`: `bitcast<u32>(x)` in WGSL |
///
/// There are two arguments; those that a text leaves out are not shown. There are no other braces.
///
/// ```
/// # use slipring_core::{layout::Geometry, opcode, ring::Job};
/// # use slipring_driver::{BackendChoice, Driver, Kernel};
/// use slipring_driver::debug_formats::DebugFormats;
/// use slipring_driver::{Readback, debug_formats};
///
/// const FORMATS: DebugFormats = debug_formats! {
///     1 => "sensor {} reads {:f32}",
///     2 => "its window is late by {} us",
/// };
/// # let choice = BackendChoice::Twin;
/// # let kernel = Kernel::builder().build()?;
/// # let mut driver = Driver::builder(kernel, Geometry::new(4, 1, 8, 1)?).backend(choice).open()?;
///
/// // In a handler: debug_print(job, 1u, sensor, bitcast<u32>(value));
/// driver.publish(&Job::new(opcode::PRINTF, &[1, 7, 1.5f32.to_bits()]))?;
/// driver.dispatch(&Readback::none().with_debug_log())?;
/// // INFO slipring::printf: slot 0: sensor 7 reads 1.5
/// assert_eq!(driver.log_debug_records(&FORMATS)?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What is wrong does not compile: a third argument, an unknown placeholder, a number twice.
///
/// ```compile_fail
/// slipring_driver::debug_formats! { 1 => "{} {} {}" };
/// ```
/// ```compile_fail
/// slipring_driver::debug_formats! { 1 => "{:?}" };
/// ```
/// ```compile_fail
/// slipring_driver::debug_formats! { 1 => "one", 1 => "another" };
/// ```
#[macro_export]
macro_rules! debug_formats {
    ($($format:literal => $text:literal),* $(,)?) => {
        const { $crate::debug_formats::DebugFormats::checked(&[$(($format, $text)),*]) }
    };
}

impl DebugFormats {
    /// The table of [`debug_formats!`](crate::debug_formats!).
    ///
    /// # Panics
    /// When a table is wrong, so that it does not compile.
    #[doc(hidden)]
    pub const fn checked(table: &'static [(u32, &'static str)]) -> Self {
        let mut index = 0;
        while index < table.len() {
            check(table[index].1.as_bytes());
            let mut other = 0;
            while other < index {
                assert!(table[other].0 != table[index].0, "a format has two texts");
                other += 1;
            }
            index += 1;
        }
        Self(table)
    }

    /// A record as a line: its slot, and the text with its arguments; of a format that has none, the
    /// numbers.
    ///
    /// ```
    /// use slipring_core::debug_log::Record;
    /// use slipring_driver::debug_formats;
    /// let formats = debug_formats! { 1 => "{:i32} of {:x}" };
    /// let record = Record { format: 1, args: [u32::MAX, 31], slot_word: 5 * 16 };
    /// assert_eq!(formats.line(&record).to_string(), "slot 5: -1 of 0x1f");
    /// let unknown = Record { format: 9, ..record };
    /// assert_eq!(formats.line(&unknown).to_string(), "slot 5: format 9: 4294967295 31");
    /// ```
    pub fn line<'a>(&self, record: &'a Record) -> DebugLine<'a> {
        let text = self.0.iter().find(|(format, _)| *format == record.format);
        DebugLine { text: text.map(|(_, text)| *text), record }
    }
}

/// How an argument is written.
#[derive(Clone, Copy)]
enum Placeholder {
    Number,
    Hexadecimal,
    Signed,
    Float,
}

/// The placeholder that a text starts with, and what is behind it.
const fn placeholder(text: &[u8]) -> Option<(Placeholder, &[u8])> {
    Some(match text {
        [b'{', b'}', rest @ ..] => (Placeholder::Number, rest),
        [b'{', b':', b'x', b'}', rest @ ..] => (Placeholder::Hexadecimal, rest),
        [b'{', b':', b'i', b'3', b'2', b'}', rest @ ..] => (Placeholder::Signed, rest),
        [b'{', b':', b'f', b'3', b'2', b'}', rest @ ..] => (Placeholder::Float, rest),
        _ => return None,
    })
}

const fn check(mut text: &[u8]) {
    let mut args = 0;
    while let [first, rest @ ..] = text {
        text = match placeholder(text) {
            Some((_, rest)) => {
                args += 1;
                rest
            }
            None => {
                assert!(
                    *first != b'{' && *first != b'}',
                    "a brace of a format is no placeholder's"
                );
                rest
            }
        };
    }
    assert!(args <= 2, "a format has more placeholders than the two arguments");
}

/// A record, as [`DebugFormats::line`] writes it.
#[derive(Clone, Copy, Debug)]
pub struct DebugLine<'a> {
    text: Option<&'static str>,
    record: &'a Record,
}

impl fmt::Display for DebugLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { format, args: [a, b], .. } = *self.record;
        write!(f, "slot {}: ", self.record.slot())?;
        let Some(mut text) = self.text else { return write!(f, "format {format}: {a} {b}") };
        let mut args = self.record.args.into_iter();
        while let Some((before, rest)) = text.split_once('{') {
            f.write_str(before)?;
            let (found, after) =
                placeholder(&text.as_bytes()[before.len()..]).expect("it was checked");
            let arg = args.next().expect("it was checked");
            match found {
                Placeholder::Number => write!(f, "{arg}")?,
                Placeholder::Hexadecimal => write!(f, "{arg:#x}")?,
                Placeholder::Signed => write!(f, "{}", arg as i32)?,
                // Short, however large or small.
                Placeholder::Float => write!(f, "{:?}", f32::from_bits(arg))?,
            }
            text = &rest[rest.len() - after.len()..];
        }
        f.write_str(text)
    }
}

impl Driver {
    /// Sends the debug log's records to the host's log, a line each (`tracing`, level INFO, target
    /// `slipring::printf`), and empties it, for the next dispatch to fill. Says how many there were;
    /// a last line, a warning, says how many did not fit the log.
    ///
    /// The records are those that the last dispatch has brought home: ask for them
    /// ([`Readback::with_debug_log`](crate::Readback::with_debug_log)). While drains overlap or a
    /// kernel stays on, the log cannot be emptied; call it afterwards.
    ///
    /// # Errors
    /// [`PartialRecord`] when the log's cursor is off, as an adopted row may have it.
    pub fn log_debug_records(&mut self, formats: &DebugFormats) -> Result<u32, PartialRecord> {
        self.land();
        let mut next = 0;
        let lost = loop {
            let read = self.row().debug_log.read::<AT_ONCE>(next)?;
            if read.records.is_empty() {
                break read.lost;
            }
            next = read.next;
            for record in &read.records {
                tracing::info!(target: TARGET, "{}", formats.line(record));
            }
        };
        if lost > 0 {
            tracing::warn!(target: TARGET, "{lost} more were lost: the debug log holds {next}");
        }
        if next > 0 || lost > 0 {
            self.clear_debug_log();
        }
        Ok(next)
    }
}

//! What firmware logs through defmt: numbers, whose meaning is in its ELF file.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::ChildStdout;

use defmt_decoder::{DecodeError, Table};

/// What the numbers of a firmware mean.
pub fn table(elf: &Path) -> Result<Table, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", elf.display());
    let bytes = fs::read(elf).map_err(|error| failed(&error))?;
    let table = Table::parse(&bytes).map_err(|error| failed(&error))?;
    table.ok_or_else(|| failed(&"it logs nothing through defmt"))
}

/// Says each line that is logged, until there will be no more.
pub fn decode(table: &Table, mut log: ChildStdout, say: &mut dyn FnMut(String)) {
    let mut decoder = table.new_stream_decoder();
    let mut bytes = [0; 1024];
    while let Ok(len @ 1..) = log.read(&mut bytes) {
        decoder.received(&bytes[..len]);
        loop {
            match decoder.decode() {
                Ok(frame) => say(frame.display(false).to_string()),
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) => say("(a line that cannot be decoded)".to_owned()),
            }
        }
    }
}

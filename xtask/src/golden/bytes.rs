//! Bytes that start on a word boundary, so that only their length can be wrong.

/// The most bytes that a case may ask for.
const MAX_BYTES: u64 = 1 << 30;
/// The most if they are all zero.
const MAX_ZEROS: u64 = 1 << 36;

/// Whether a case may ask for so many bytes.
pub fn check_len(len: u64) -> Result<(), String> {
    if len > MAX_BYTES {
        return Err(format!("{len} bytes are too many to replay"));
    }
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes {
    words: Vec<u32>,
    len: usize,
}

impl Bytes {
    /// `len` times `byte`.
    pub fn filled(len: u64, byte: u8) -> Result<Self, String> {
        // The system gives zeros without touching memory.
        if byte != 0 || len > MAX_ZEROS {
            check_len(len)?;
        }
        let len = len as usize;
        Ok(Self { words: vec![u32::from_ne_bytes([byte; 4]); len.div_ceil(4)], len })
    }

    pub fn copied(bytes: &[u8]) -> Self {
        let mut words = vec![0; bytes.len().div_ceil(4)];
        bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Self { words, len: bytes.len() }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }

    pub fn get_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }
}

/// The word at `index`.
pub fn word(bytes: &[u8], index: usize) -> Option<u32> {
    let word = bytes.get(4 * index..4 * index + 4)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

/// Writes the word at `index`, which exists.
pub fn set_word(bytes: &mut [u8], index: usize, value: u32) {
    bytes[4 * index..4 * index + 4].copy_from_slice(&value.to_le_bytes());
}

/// What differs between two buffers, word by word where both have the word.
pub fn difference(expected: &[u8], came: &[u8]) -> String {
    if expected.len() != came.len() {
        return format!("{} bytes were expected, {} came", expected.len(), came.len());
    }
    let pairs = || expected.chunks(4).zip(came.chunks(4)).enumerate();
    let count = pairs().filter(|(_, (a, b))| a != b).count();
    let Some((index, (a, b))) = pairs().find(|(_, (a, b))| a != b) else {
        return "no difference".to_owned();
    };
    let hex = |bytes: &[u8]| {
        let digits: String = bytes.iter().rev().map(|byte| format!("{byte:02x}")).collect();
        format!("0x{digits}")
    };
    let more = if count > 1 { format!(", {} more differ", count - 1) } else { String::new() };
    format!("word {index}: {} was expected, {} came{more}", hex(a), hex(b))
}

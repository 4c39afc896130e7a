//! CRC-32C, four bits at a time.
//!
//! The loops of crate `crc` take one bit at a time, or a table of 1 KiB. Sixteen entries are 64
//! bytes of flash, and a sixth of the instructions of the former.

const TABLE: [u32; 16] = table(crc::CRC_32_ISCSI.poly.reverse_bits());

const fn table(polynomial: u32) -> [u32; 16] {
    let mut table = [0; 16];
    let mut index = 0;
    while index < table.len() {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 4 {
            crc = crc >> 1 ^ if crc & 1 == 1 { polynomial } else { 0 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

/// The CRC of a frame's two first bytes and its body.
pub(super) fn crc32c(kind: u8, sequence: u8, body: &[u32]) -> u32 {
    let mut crc = crc::CRC_32_ISCSI.init;
    crc = pairs(crc ^ u32::from(kind) ^ u32::from(sequence) << 8, 1);
    for word in body {
        crc = pairs(crc ^ word, 2);
    }
    crc ^ crc::CRC_32_ISCSI.xorout
}

/// Shifts pairs of bytes out.
fn pairs(mut crc: u32, pairs: u32) -> u32 {
    for _ in 0..pairs {
        crc = nibble(nibble(nibble(nibble(crc))));
    }
    crc
}

#[inline(always)]
fn nibble(crc: u32) -> u32 {
    crc >> 4 ^ TABLE[(crc & 15) as usize]
}

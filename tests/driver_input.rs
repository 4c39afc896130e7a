//! Files through io_uring.

use slipring_driver::input::{FileReader, InputError};
use std::io::ErrorKind;
use std::path::PathBuf;

/// A file that is removed when the test ends.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let name = format!("slipring-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Reads the whole file back together, chunk by chunk.
fn read_all(path: &std::path::Path, chunk_bytes: usize) -> Vec<u8> {
    let mut reader = FileReader::open(path, chunk_bytes).unwrap();
    let mut whole = vec![0; reader.len_bytes() as usize];
    let mut seen = 0;
    while let Some(chunk) = reader.next_chunk().unwrap() {
        let bytes: &[u8] = bytemuck::cast_slice(chunk.words);
        assert_eq!(bytes.len(), chunk_bytes);
        let start = chunk.index as usize * chunk_bytes;
        whole[start..start + chunk.bytes].copy_from_slice(&bytes[..chunk.bytes]);
        assert!(bytes[chunk.bytes..].iter().all(|byte| *byte == 0), "the tail is zero");
        seen += 1;
    }
    assert_eq!(seen, reader.chunks());
    whole
}

#[test]
fn every_byte_comes_once_whatever_the_length() {
    for bytes in [1, 3, 4, 4095, 4096, 4097, 65_536 * 9, 65_536 * 17 + 1] {
        let file = TempFile::new(&format!("length-{bytes}"), &pattern(bytes));
        assert!(read_all(&file.0, 4096) == pattern(bytes), "{bytes} bytes");
    }
}

#[test]
fn the_tail_of_a_reused_buffer_is_zero() {
    // The last chunk is short, and lands in a buffer that held a whole one before.
    let file = TempFile::new("tail", &vec![0xFF; 64 * 8 + 5]);
    assert_eq!(read_all(&file.0, 64), vec![0xFF; 64 * 8 + 5]);
}

#[test]
fn a_file_that_shrinks_meanwhile_is_told_chunk_by_chunk() {
    let file = TempFile::new("shrinks", &pattern(1 << 20));
    let mut reader = FileReader::open(&file.0, 4096).unwrap();
    std::fs::OpenOptions::new().write(true).open(&file.0).unwrap().set_len(10_000).unwrap();
    let (mut whole, mut ended) = (Vec::new(), Vec::new());
    loop {
        match reader.next_chunk() {
            Ok(Some(chunk)) => whole.push(chunk.index),
            Ok(None) => break,
            Err(InputError::Truncated { chunk, offset, bytes: 1_048_576, .. }) => {
                assert_eq!(offset, 10_000);
                ended.push(chunk);
            }
            Err(error) => panic!("{error}"),
        }
    }
    whole.sort_unstable();
    ended.sort_unstable();
    assert_eq!(whole, [0, 1]);
    assert_eq!(ended, (2..256).collect::<Vec<_>>());
}

#[test]
fn what_is_no_readable_file_is_refused_with_its_name() {
    let open = |path: &str| FileReader::open(path, 4096).map(drop).unwrap_err();
    match open("/no/such/file") {
        InputError::Open { source, .. } => assert_eq!(source.kind(), ErrorKind::NotFound),
        error => panic!("{error}"),
    }
    assert_eq!(open("/").to_string(), "/ is a directory; a regular file is needed");
    assert!(matches!(open("/dev/null"), InputError::NotAFile { .. }));
    let empty = TempFile::new("empty", &[]);
    assert!(matches!(FileReader::open(&empty.0, 4096), Err(InputError::Empty { .. })));
}

#[test]
fn chunk_sizes_that_cannot_be_read_are_refused() {
    let file = TempFile::new("sizes", &pattern(8));
    for bytes in [0, 2, 4097, (1 << 30) + 4] {
        let error = FileReader::open(&file.0, bytes).map(drop).unwrap_err();
        assert!(matches!(error, InputError::ChunkSize { bytes: b } if b == bytes), "{error}");
    }
}

//! The file that is read: pseudo-random bytes, in the page cache or out of it.

use super::CHUNK_BYTES;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const PAGE_BYTES: u64 = 4096;
/// The same on every architecture; since Linux 6.5.
const CACHESTAT: libc::c_long = 451;

/// Where the file's bytes are when a pass begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    Cold,
    Warm,
}

/// Whether reads go past the page cache.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Direct,
    Buffered,
}

/// The sum of a chunk's words, and the sum of each word times its odd place in the chunk.
pub type Sums = [u32; 2];

/// A chunk's sums, as the CPU takes them; `sums.wgsl` has the GPU's.
pub fn sums(chunk: &[u8]) -> Sums {
    let words: &[u32] = bytemuck::cast_slice(chunk);
    words.iter().zip((1u32..).step_by(2)).fold([0, 0], |[plain, placed], (word, place)| {
        [plain.wrapping_add(*word), placed.wrapping_add(word.wrapping_mul(place))]
    })
}

pub struct Source {
    pub path: PathBuf,
    buffered: File,
    direct: File,
    pub bytes: u64,
}

impl Source {
    /// Opens the file of this size, which is made where there is none.
    pub fn open(mib: u32) -> io::Result<Self> {
        let dir = std::env::var_os("TMPDIR").map_or_else(|| "target".into(), PathBuf::from);
        let path = dir.join(format!("slipring-ingest-{mib}.bin"));
        if !path.exists() {
            make(&path, mib)?;
        }
        let buffered = File::open(&path)?;
        let direct = File::options().read(true).custom_flags(libc::O_DIRECT).open(&path)?;
        Ok(Self { path, buffered, direct, bytes: u64::from(mib) << 20 })
    }

    /// The file, as it is to be read.
    pub fn file(&self, mode: Mode) -> &File {
        if mode == Mode::Direct { &self.direct } else { &self.buffered }
    }

    pub fn chunks(&self) -> u64 {
        self.bytes / CHUNK_BYTES as u64
    }

    /// Each chunk's sums, as they are to be.
    pub fn sums(&self) -> io::Result<Vec<Sums>> {
        let mut bytes = vec![0; CHUNK_BYTES];
        let mut sums_of = |chunk| {
            self.buffered.read_exact_at(&mut bytes, chunk * CHUNK_BYTES as u64)?;
            Ok(sums(&bytes))
        };
        (0..self.chunks()).map(&mut sums_of).collect()
    }

    /// Brings the file's bytes where a pass is to find them. Again where memory was reclaimed
    /// meanwhile; a file system that is memory never lets go of them.
    pub fn set(&self, cache: Cache) -> io::Result<()> {
        let all = self.bytes / PAGE_BYTES;
        let wanted = if cache == Cache::Warm { all } else { 0 };
        for _ in 0..5 {
            if self.pages_in_cache()? == wanted {
                return Ok(());
            }
            if cache == Cache::Warm {
                self.sums()?;
            } else {
                self.buffered.sync_all()?;
                let (file, advice) = (self.buffered.as_raw_fd(), libc::POSIX_FADV_DONTNEED);
                // SAFETY: advice about a file that is open.
                unsafe { libc::posix_fadvise(file, 0, 0, advice) };
            }
        }
        let message = format!("the page cache does not keep {wanted} of the file's {all} pages");
        Err(io::Error::other(message))
    }

    fn pages_in_cache(&self) -> io::Result<u64> {
        let (whole, mut found) = ([0u64; 2], [0u64; 5]);
        let file = self.buffered.as_raw_fd();
        // SAFETY: the call reads two words (from the start, to the end) and writes five, of which the
        // first is what is in the cache.
        let result = unsafe { libc::syscall(CACHESTAT, file, &whole, &mut found, 0) };
        if result == 0 { Ok(found[0]) } else { Err(io::Error::last_os_error()) }
    }
}

/// Bytes of a xorshift generator. The file has its name once it is whole.
fn make(path: &Path, mib: u32) -> io::Result<()> {
    eprintln!("ingest: making {}", path.display());
    let unfinished = path.with_extension("part");
    let mut file = File::create(&unfinished)?;
    let (mut state, mut words) = (0x9E37_79B9_7F4A_7C15_u64, vec![0; 1 << 17]);
    for _ in 0..mib {
        for word in &mut words {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = state;
        }
        file.write_all(bytemuck::cast_slice(&words))?;
    }
    file.sync_all()?;
    fs::rename(unfinished, path)
}

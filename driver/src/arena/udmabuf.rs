//! Pages of our own as a dma-buf, for GPUs that import nothing else (Raspberry Pi): /dev/udmabuf.

use super::pages::Pages;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Where the kernel makes dma-bufs of pages.
const DEVICE: &str = "/dev/udmabuf";

/// What UDMABUF_CREATE takes (linux/udmabuf.h).
#[repr(C)]
struct Create {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

/// The dma-buf is closed in new programs.
const CREATE_CLOEXEC: u32 = 1;

/// What DMA_BUF_IOCTL_SYNC takes (linux/dma-buf.h): the CPU begins or ends its work.
const SYNC_WRITE: u64 = 2;
const SYNC_END: u64 = 4;

/// Pages, and a dma-buf of them.
#[derive(Debug)]
pub(crate) struct Shared {
    pages: Pages,
    dma_buf: OwnedFd,
}

impl Shared {
    /// Whole pages for `words`.
    ///
    /// # Errors
    /// Why there are none, in words.
    pub(crate) fn new(words: usize) -> Result<Self, String> {
        Self::by(Path::new(DEVICE), words)
    }

    fn by(device: &Path, words: usize) -> Result<Self, String> {
        let failed = |what: &str| {
            let what = format!("{}: {what}", device.display());
            move |error: io::Error| format!("{what}: {error}")
        };
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let opened = rustix::fs::open(device, flags, Mode::empty());
        let opened = opened.map_err(|error| failed("open")(error.into()))?;
        let (memfd, pages) = sealed_pages(words).map_err(failed("its pages"))?;
        let size = 4 * pages.words().len() as u64;
        let dma_buf = create(opened.as_fd(), memfd.as_fd(), size);
        let what = format!("UDMABUF_CREATE of {size} bytes");
        let shared = Self { pages, dma_buf: dma_buf.map_err(failed(&what))? };
        shared.give().map_err(failed("DMA_BUF_IOCTL_SYNC"))?;
        Ok(shared)
    }

    pub(crate) fn pages(&self) -> &Pages {
        &self.pages
    }

    pub(crate) fn dma_buf(&self) -> BorrowedFd<'_> {
        self.dma_buf.as_fd()
    }

    /// Has the GPU see what the CPU has written: its caches may not. All of it, however much was
    /// written: the kernel knows no ranges.
    pub(crate) fn give(&self) -> io::Result<()> {
        // The kernel wants a beginning before an end.
        self.sync(SYNC_WRITE)?;
        self.sync(SYNC_END | SYNC_WRITE)
    }

    fn sync(&self, flags: u64) -> io::Result<()> {
        // SAFETY: DMA_BUF_IOCTL_SYNC reads one u64, and changes no memory but caches.
        let setter = unsafe {
            rustix::ioctl::Setter::<{ rustix::ioctl::opcode::write::<u64>(b'b', 0) }, u64>::new(
                flags,
            )
        };
        // SAFETY: as above, on a dma-buf.
        unsafe { rustix::ioctl::ioctl(&self.dma_buf, setter) }.map_err(io::Error::from)
    }
}

/// Pages of a memfd that cannot shrink, as the kernel wants them to be.
fn sealed_pages(words: usize) -> io::Result<(OwnedFd, Pages)> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memfd = rustix::fs::memfd_create(c"slipring", flags)?;
    let pages = Pages::of_memfd(&memfd, words)?;
    rustix::fs::fcntl_add_seals(&memfd, SealFlags::SHRINK)?;
    Ok((memfd, pages))
}

fn create(device: BorrowedFd<'_>, memfd: BorrowedFd<'_>, size: u64) -> io::Result<OwnedFd> {
    use std::os::fd::{AsRawFd, FromRawFd};
    let request =
        Create { memfd: memfd.as_raw_fd() as u32, flags: CREATE_CLOEXEC, offset: 0, size };
    const UDMABUF_CREATE: libc::Ioctl =
        rustix::ioctl::opcode::write::<Create>(b'u', 0x42) as libc::Ioctl;
    // SAFETY: UDMABUF_CREATE reads one such structure, which outlives the call.
    let made = unsafe { libc::ioctl(device.as_raw_fd(), UDMABUF_CREATE, &request) };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn the_requests_are_those_of_the_kernels_headers() {
        // _IOW('u', 0x42, struct udmabuf_create), _IOW('b', 0, struct dma_buf_sync)
        assert_eq!(rustix::ioctl::opcode::write::<Create>(b'u', 0x42), 0x4018_7542);
        assert_eq!(rustix::ioctl::opcode::write::<u64>(b'b', 0), 0x4008_6200);
    }

    #[test]
    fn pages_of_a_memfd_are_whole_zero_and_do_not_shrink() {
        let (memfd, pages) = sealed_pages(5000).unwrap();
        assert!(pages.words().len() >= 5000);
        assert!(pages.words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
        pages.words()[4999].store(7, Ordering::Relaxed);
        let mut bytes = [0; 4];
        rustix::io::pread(&memfd, &mut bytes, 4 * 4999).unwrap();
        assert_eq!(u32::from_le_bytes(bytes), 7);
        assert!(rustix::fs::ftruncate(&memfd, 4096).is_err());
    }

    #[test]
    fn what_is_missing_is_said() {
        let missing = Shared::by(Path::new("/dev/no-udmabuf"), 1024).unwrap_err();
        assert_eq!(missing, "/dev/no-udmabuf: open: No such file or directory (os error 2)");
        let other = Shared::by(Path::new("/dev/null"), 1024).unwrap_err();
        assert!(other.starts_with("/dev/null: UDMABUF_CREATE of "), "{other}");
    }

    /// Only where the kernel has the device, which no machine of ours does: it is skipped there.
    #[test]
    fn a_dma_buf_is_made_where_the_kernel_makes_them() {
        match Shared::new(4096) {
            Ok(shared) => {
                shared.pages().words()[0].store(7, Ordering::Relaxed);
                shared.give().unwrap();
                assert_eq!(shared.pages().words()[0].load(Ordering::Relaxed), 7);
            }
            Err(reason) => println!("skipped: {reason}"),
        }
    }
}

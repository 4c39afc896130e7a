//! Memory on huge pages: of 4 KiB pages a disk needs one descriptor each.

const HUGE: usize = 2 << 20;

/// So many bytes from the start of a huge page on, never freed.
pub fn huge(bytes: usize) -> &'static mut [u8] {
    aligned(vec![1; room_for(bytes)].leak(), bytes)
}

/// What must be there for [`aligned`] to find so many bytes.
pub fn room_for(bytes: usize) -> usize {
    bytes.next_multiple_of(HUGE) + HUGE
}

/// So many bytes of [`room_for`] them, from the start of a huge page on.
pub fn aligned(room: &mut [u8], bytes: usize) -> &mut [u8] {
    let start = room.as_ptr().align_offset(HUGE);
    let pages = &mut room[start..start + bytes.next_multiple_of(HUGE)];
    // SAFETY: the bytes stay as they are; only the pages below them change.
    let advice =
        unsafe { libc::madvise(pages.as_mut_ptr().cast(), pages.len(), libc::MADV_COLLAPSE) };
    if advice != 0 {
        let error = std::io::Error::last_os_error();
        eprintln!("ingest: {bytes} bytes are not on huge pages: {error}");
    }
    &mut pages[..bytes]
}

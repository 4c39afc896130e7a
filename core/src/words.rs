//! Word storage: what a view needs of memory, and nothing more.
//!
//! A buffer is a slice of words. Exclusive memory (`&mut [u32]`) is used as `&[Cell<u32>]`,
//! memory that a kernel or an interrupt also touches as `&[AtomicU32]`; read-only memory as
//! `&[u32]`. There are loads, stores, an acquire load and a release store. There is no
//! read-modify-write: small cores lack it, and it is not safe on every device mapping.

use crate::layout::{Buffer, LayoutError};
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};

/// A word that can be read.
pub trait Word {
    /// The value, with no ordering.
    fn load(&self) -> u32;
    /// The value; what was written before the matching release store is then visible.
    fn load_acquire(&self) -> u32;
}

/// A word that can be written.
pub trait WordMut: Word {
    /// Writes with no ordering.
    fn store(&self, value: u32);
    /// Writes after everything this thread wrote before.
    fn store_release(&self, value: u32);
}

impl Word for u32 {
    #[inline(always)]
    fn load(&self) -> u32 {
        *self
    }
    #[inline(always)]
    fn load_acquire(&self) -> u32 {
        *self
    }
}

impl Word for Cell<u32> {
    #[inline(always)]
    fn load(&self) -> u32 {
        self.get()
    }
    #[inline(always)]
    fn load_acquire(&self) -> u32 {
        self.get()
    }
}

impl WordMut for Cell<u32> {
    #[inline(always)]
    fn store(&self, value: u32) {
        self.set(value);
    }
    #[inline(always)]
    fn store_release(&self, value: u32) {
        self.set(value);
    }
}

impl Word for AtomicU32 {
    #[inline(always)]
    fn load(&self) -> u32 {
        self.load(Ordering::Relaxed)
    }
    #[inline(always)]
    fn load_acquire(&self) -> u32 {
        self.load(Ordering::Acquire)
    }
}

impl WordMut for AtomicU32 {
    #[inline(always)]
    fn store(&self, value: u32) {
        self.store(value, Ordering::Relaxed);
    }
    #[inline(always)]
    fn store_release(&self, value: u32) {
        self.store(value, Ordering::Release);
    }
}

/// A borrow that can serve as a buffer's words.
pub trait Words<'a> {
    /// How one word is reached.
    type Word: Word + 'a;
    /// The words.
    fn into_words(self) -> &'a [Self::Word];
}

impl<'a, W: Word> Words<'a> for &'a [W] {
    type Word = W;
    fn into_words(self) -> &'a [W] {
        self
    }
}

impl<'a, W: Word, const N: usize> Words<'a> for &'a [W; N] {
    type Word = W;
    fn into_words(self) -> &'a [W] {
        self
    }
}

impl<'a> Words<'a> for &'a mut [u32] {
    type Word = Cell<u32>;
    #[inline]
    fn into_words(self) -> &'a [Cell<u32>] {
        Cell::from_mut(self).as_slice_of_cells()
    }
}

impl<'a, const N: usize> Words<'a> for &'a mut [u32; N] {
    type Word = Cell<u32>;
    #[inline]
    fn into_words(self) -> &'a [Cell<u32>] {
        self.as_mut_slice().into_words()
    }
}

/// The words of `bytes`.
///
/// # Errors
/// [`LayoutError::RaggedBytes`] when the length is no multiple of 4,
/// [`LayoutError::Misaligned`] when the first byte is not on a 4-byte boundary.
///
/// ```
/// use slipring_core::{layout::{Buffer, LayoutError}, words};
/// let bytes = [0u8; 7];
/// assert_eq!(
///     words::from_bytes(Buffer::Control, &bytes),
///     Err(LayoutError::RaggedBytes { buffer: Buffer::Control, bytes: 7 }),
/// );
/// ```
#[inline]
pub fn from_bytes(buffer: Buffer, bytes: &[u8]) -> Result<&[u32], LayoutError> {
    check_bytes(buffer, bytes)?;
    if bytes.is_empty() {
        // No words lie nowhere in particular.
        return Ok(&[]);
    }
    bytemuck::try_cast_slice(bytes).map_err(|_| misaligned(buffer, bytes))
}

/// [`from_bytes`], to write.
///
/// # Errors
/// Those of [`from_bytes`].
#[inline]
pub fn from_bytes_mut(buffer: Buffer, bytes: &mut [u8]) -> Result<&mut [u32], LayoutError> {
    check_bytes(buffer, bytes)?;
    if bytes.is_empty() {
        return Ok(&mut []);
    }
    let error = misaligned(buffer, bytes);
    bytemuck::try_cast_slice_mut(bytes).map_err(|_| error)
}

#[inline]
fn check_bytes(buffer: Buffer, bytes: &[u8]) -> Result<(), LayoutError> {
    if !bytes.len().is_multiple_of(4) {
        return Err(LayoutError::RaggedBytes { buffer, bytes: bytes.len() });
    }
    Ok(())
}

#[inline]
fn misaligned(buffer: Buffer, bytes: &[u8]) -> LayoutError {
    LayoutError::Misaligned { buffer, address_mod_4: bytes.as_ptr().addr() % 4 }
}

/// Makes a view `Copy` though its words are not: it only borrows them.
macro_rules! copied_whatever_its_words {
    ($view:ident) => {
        impl<W> Clone for $view<'_, W> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<W> Copy for $view<'_, W> {}
    };
}

pub(crate) use copied_whatever_its_words;

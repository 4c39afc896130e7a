//! The four buffers together.

use slipring_core::layout::{Buffer, Geometry};
use slipring_core::partition::Partitions;
use slipring_core::row::{Row, Storage, control_words, debug_log_words};
use slipring_core::words::{Word, WordMut};

use crate::{Inputs, keep, keep_result};

/// The row of these words, if the numbers happen to fit.
pub fn row<'a, W: Word>(
    [control, ring, debug_log, io_queue]: [&'a [W]; 4],
    inputs: &Inputs<'_>,
) -> Option<Row<'a, W>> {
    let [a, b, c, d] = inputs.n;
    let geometry = Geometry::new(a, b, c, d).ok()?;
    keep_result(Row::read(geometry, inputs.buffers));
    let row = Row::new(geometry, control, ring, debug_log, io_queue);
    keep_result(row);
    row.ok()
}

#[inline(never)]
pub fn read<W: Word>(words: [&[W]; 4], storage: &mut [u32], inputs: &Inputs<'_>) {
    let Some(row) = row(words, inputs) else {
        return;
    };
    keep(row.geometry());
    keep_result(row.check_slots(inputs.n[0]));
    for buffer in Buffer::ALL {
        keep(row.words(buffer).len());
    }
    keep_result(row.snapshot(storage));
    keep(row.waiting_slot(inputs.n[0]));
}

#[inline(never)]
pub fn write<W: WordMut>(words: [&[W]; 4], inputs: &Inputs<'_>) {
    if let Some(row) = row(words, inputs) {
        keep_result(row.reset(inputs.n[0], &Partitions::even(inputs.n[1])));
        keep_result(row.release_io(inputs.n[2]));
    }
}

#[inline(never)]
pub fn storage() {
    static ROW: Storage<{ control_words(8) }, 16, { debug_log_words(4) }, 2> = Storage::new();
    type Bare = Storage<{ control_words(0) }, 0, { debug_log_words(0) }, 1>;
    keep(ROW.row().geometry());
    keep(Bare::default().row().geometry());
}

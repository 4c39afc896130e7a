//! Rows of a few jobs each: all in one submission, beside a dispatch a row.

use crate::dispatch::{Work, builder};
use crate::harness::{Case, Side, lazily, side};
use slipring_core::slot::Priority;
use slipring_driver::{BackendChoice, Driver, Readback, RowResults, dispatch_rows};

const ROWS: u32 = 8;
/// Of each row.
const JOBS: u32 = 32;

pub fn cases() -> Vec<Case> {
    vec![Case {
        name: "8 rows of 32 jobs; 8 dispatches",
        unit: "us/turn",
        units: 1000,
        calls: 1,
        ours: lazily(|| turns(together)),
        peer: Some(("a dispatch a row", lazily(|| turns(one_by_one)))),
    }]
}

/// How rows are drained; returns the jobs that are done.
type Drain = fn(&mut [Driver], &mut RowResults) -> u32;

fn together(rows: &mut [Driver], results: &mut RowResults) -> u32 {
    dispatch_rows(rows, &Readback::none(), results).expect("a drain");
    results.total().done
}

fn one_by_one(rows: &mut [Driver], _results: &mut RowResults) -> u32 {
    rows.iter_mut().map(|row| row.dispatch(&Readback::none()).expect("a drain").done).sum()
}

fn turns(drain: Drain) -> Box<dyn Side> {
    let work = Work::adds(JOBS);
    let first = builder(&work, JOBS).backend(BackendChoice::Mapped).open().expect("a GPU");
    let another = |_| first.another_row(first.row().geometry()).open().expect("room");
    let mut rows: Vec<_> = (1..ROWS).map(another).collect();
    rows.push(first);
    let (items, results) = (work.items, RowResults::with_capacity(ROWS as usize));
    side(
        (rows, results),
        |_| {},
        move |(rows, results)| {
            for row in &mut *rows {
                row.publish_items(0, Priority::Normal, &items).expect("free slots");
            }
            assert_eq!(drain(rows, results), ROWS * JOBS, "every job is done");
        },
    )
}

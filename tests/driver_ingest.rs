//! Files through the arena.

mod gpu;
mod ingest;

use gpu::{everywhere, is_skipped, open};
use ingest::{TempFile, assert_whole, pattern, run, sum_job, summing};
use slipring_driver::input::{Caching, Ingest, Source};
use slipring_driver::{BackendChoice, Rung};

#[test]
fn every_byte_comes_once_whatever_the_length() {
    everywhere(summing(64), |driver| {
        let mut ingest = Ingest::builder(driver).open().unwrap();
        for (seed, bytes) in
            [1, 3, 4, 4095, 4096, 4097, 9 * 4096, 17 * 4096 + 1].into_iter().enumerate()
        {
            let bytes = pattern(seed as u32, bytes);
            let file = TempFile::new(
                &format!("length-{}-{}", driver.backend().backend, bytes.len()),
                &bytes,
            );
            for caching in [Caching::Auto, Caching::Buffered, Caching::Direct] {
                let id = ingest.add(Source::file(&file.0).caching(caching), sum_job()).unwrap();
                assert_whole(&run(&mut ingest, driver)[&id], &bytes, 0);
            }
        }
    });
}

#[test]
fn every_rung_delivers_every_byte() {
    if is_skipped() {
        return;
    }
    let bytes = pattern(1, 100_001);
    let file = TempFile::new("rungs", &bytes);
    for rung in [Rung::Pages, Rung::Mapped, Rung::Bounce, Rung::Plain, Rung::Threads] {
        let mut driver = open(summing(64).first_rung(rung), BackendChoice::Mapped);
        let mut ingest = Ingest::builder(&driver).open().unwrap();
        assert_eq!(ingest.path().rung, rung, "{}", ingest.path());
        assert_eq!(ingest.path().is_copied, rung == Rung::Bounce);
        assert_eq!(ingest.path().reason.is_empty(), rung == Rung::Pages, "{}", ingest.path());
        let id = ingest.add(Source::file(&file.0), sum_job()).unwrap();
        assert_whole(&run(&mut ingest, &mut driver)[&id], &bytes, 0);
    }
}

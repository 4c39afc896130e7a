//! Who may not lock as much memory as the arena has is told so, and gets every byte all the same.

mod ingest;

use ingest::{CHUNKS, TempFile, assert_whole, pattern, run, sum_job, summing};
use rustix::process::{Resource, Rlimit, setrlimit};
use slipring_driver::input::{Ingest, Source};
use slipring_driver::{ArenaOptions, BackendChoice, Rung};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the process that is limited.
const LIMITED: &str = "SLIPRING_TEST_MEMLOCK";
const NOBODY: u32 = 65_534;
const LIMIT_BYTES: u64 = 8 << 20;
const ARENA_BYTES: u32 = 16 << 20;

/// (Limits are a process's, and root has none: the test runs itself as somebody else.)
#[test]
fn an_arena_beyond_the_limit_of_locked_memory_is_not_registered_and_says_both_numbers() {
    if std::env::var_os(LIMITED).is_some() {
        return reads_without_locked_memory();
    }
    let mut limited = Command::new("/proc/self/exe");
    limited.env(LIMITED, "1").current_dir("/");
    if rustix::process::geteuid().is_root() {
        limited.uid(NOBODY).gid(NOBODY);
    }
    let output = limited.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

fn reads_without_locked_memory() {
    let limit = Some(LIMIT_BYTES);
    setrlimit(Resource::Memlock, Rlimit { current: limit, maximum: limit }).unwrap();
    let arena = ArenaOptions { chunks: CHUNKS, chunk_bytes: ARENA_BYTES / CHUNKS };
    let builder = summing(64).arena(arena).backend(BackendChoice::Twin);
    let mut driver = builder.open().unwrap();
    let mut ingest = Ingest::builder(&driver).open().unwrap();
    let path = ingest.path();
    assert_eq!(path.rung, Rung::Plain, "{path}");
    let said =
        "16777216 bytes were not registered, RLIMIT_MEMLOCK allows 8388608 in all (ulimit -l)";
    assert_eq!(path.reason, said);
    // (A chunk's first 4096 bytes are looked at.)
    let bytes: Vec<_> = (0..60).map(|seed| pattern(seed, 4096 - seed as usize)).collect();
    let file = |bytes: &Vec<u8>| TempFile::new(&format!("memlock-{}", bytes.len()), bytes);
    let files: Vec<_> = bytes.iter().map(file).collect();
    let mut add = |file: &TempFile| ingest.add(Source::file(&file.0), sum_job()).unwrap();
    let ids: Vec<_> = files.iter().map(&mut add).collect();
    let all = run(&mut ingest, &mut driver);
    bytes.iter().zip(ids).for_each(|(bytes, id)| assert_whole(&all[&id], bytes, 0));
}

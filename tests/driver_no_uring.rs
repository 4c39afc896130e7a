//! Where io_uring is not allowed, threads read, and the reason is said.

mod gpu;
mod ingest;

use ingest::{TempFile, assert_whole, pattern, run, sum_job, summing};
use slipring_core::opcode;
use slipring_core::publisher::Outcome;
use slipring_core::ring::Job;
use slipring_driver::input::{Access, Ingest, IoPump, IoTable, Source};
use slipring_driver::link::{Link, Links, Wire};
use slipring_driver::{BackendChoice, Readback, Rung};
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Has every later io_uring_setup of this thread and of those that it starts fail with `errno`, as a
/// container's policy does (EPERM) or an old kernel (ENOSYS).
fn forbid_uring(errno: i32) {
    let step = |code, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        // The first word is the system call's number.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its filter live for the calls, which keep neither.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program),
            0
        );
    }
}

#[test]
fn threads_read_where_io_uring_is_not_allowed() {
    for (errno, name) in
        [(libc::ENOSYS, "Function not implemented"), (libc::EPERM, "Operation not permitted")]
    {
        // (A thread keeps its filter.)
        let reads = move || {
            forbid_uring(errno);
            reads_by_threads(BackendChoice::Twin, name);
            if !gpu::is_skipped() {
                reads_by_threads(BackendChoice::Mapped, name);
            }
        };
        std::thread::spawn(reads).join().unwrap();
    }
}

fn reads_by_threads(choice: BackendChoice, why: &str) {
    let bytes = pattern(1, 100_001);
    let file = TempFile::new("no-uring", &bytes);
    let mut driver = gpu::open(summing(16), choice);
    let mut ingest = Ingest::builder(&driver).open().unwrap();
    let path = ingest.path();
    assert_eq!((path.rung, path.is_copied), (Rung::Threads, false), "{path}");
    assert!(path.reason.starts_with(&format!("no io_uring: {why}")), "{path}");
    let id = ingest.add(Source::file(&file.0), sum_job()).unwrap();
    assert_whole(&run(&mut ingest, &mut driver)[&id], &bytes, 0);

    let (ours, _theirs) = UnixStream::pair().unwrap();
    let link = Link::new("pair", Wire::stream(ours));
    let mut links = Links::builder(&driver).link(link).open().unwrap();
    assert_eq!(links.rung(), Rung::Threads);
    links.turn(&mut *driver).unwrap();

    let mut table = IoTable::new();
    let whole = table.add_file(File::open(&file.0).unwrap(), 0..4096, Access::READ).unwrap();
    let region = table.add_region(0..4096, Access::WRITE).unwrap();
    driver.attach_io(IoPump::new(table)).unwrap();
    assert_eq!(driver.io_path().map(|path| path.rung), Some(Rung::Threads));
    let load = [whole.0, 0, 0, 0, 4096, region.0];
    let ticket = driver.publish(&Job::new(opcode::LOAD_MISS, &load)).unwrap();
    while driver.outcome(ticket) == Outcome::Pending {
        driver.dispatch(&Readback::none()).unwrap();
        driver.wait_io(Duration::from_secs(1));
    }
    assert_eq!(driver.outcome(ticket), Outcome::Done);
    let mut words = [0; 1024];
    driver.read_arena(0, &mut words).unwrap();
    let expected = bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    assert!(words.into_iter().eq(expected.take(1024)));
}

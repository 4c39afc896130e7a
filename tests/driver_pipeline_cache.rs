//! A pipeline cache on disk: it serves the next driver, and whatever is wrong with it, a driver
//! opens and works.

mod gpu;
mod listening;

use listening::events_of;
use slipring_core::layout::Geometry;
use slipring_core::opcode;
use slipring_core::ring::Job;
use slipring_driver::recovery::{Losses, Stage};
use slipring_driver::{BackendChoice, Driver, DriverBuilder, Handler, Kernel, Readback, Recovery};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Barrier;

/// Bytes in front of the device's data.
const HEADER: usize = 16;
const COMPILED: &str = "; pipelines compiled";

/// A directory to be made, which is removed when the test ends.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let name = format!("slipring-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The only file, so that no temporary one is left.
    fn file(&self) -> PathBuf {
        let [file] = self.files().try_into().expect("one file");
        file
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn builder(dir: &Path) -> DriverBuilder {
    let kernel = Kernel::builder().build().unwrap();
    Driver::builder(kernel, Geometry::of_slots(8, 8).unwrap()).pipeline_cache(dir)
}

/// Opens a mapped driver and has it run a job. Returns where its pipelines come from, and what it
/// warned of.
fn run(builder: DriverBuilder) -> (String, Vec<String>) {
    let open = || gpu::open(builder, BackendChoice::Mapped);
    let (mut driver, warnings) = events_of("vulkan::cache", open);
    driver.publish(&Job::new(opcode::ATOMIC_ADD, &[7, 160])).unwrap();
    assert_eq!(driver.dispatch(&Readback::all()).unwrap().done, 1);
    assert_eq!(driver.row().control.observable(0), Ok(7));
    (driver.backend().reason.clone(), warnings)
}

/// The same of a cache that is as it should be.
fn run_from_cache(dir: &TempDir) {
    let data = fs::read(dir.file()).unwrap().len() - HEADER;
    let (reason, warnings) = run(builder(&dir.0));
    assert_eq!(warnings, [""; 0]);
    // llvmpipe's data is no more than a header: `VkPipelineCacheHeaderVersionOne`.
    match data {
        32 => assert!(reason.ends_with(": the device's cache is empty"), "{reason}"),
        bytes => assert!(reason.ends_with(&format!("from a cache of {bytes} bytes")), "{reason}"),
    }
}

#[test]
fn the_next_driver_is_served_from_the_cache() {
    if gpu::is_skipped() {
        return;
    }
    let dir = TempDir::new("served");
    let (reason, warnings) = run(builder(&dir.0));
    assert!(reason.ends_with(COMPILED), "{reason}");
    assert_eq!(warnings, [""; 0]);
    let state = || (fs::metadata(dir.file()).unwrap().ino(), fs::read(dir.file()).unwrap());
    let (file, bytes) = state();

    run_from_cache(&dir);

    // It is only written again if there is something new.
    assert!(state().0 == file || state().1 != bytes);
}

#[test]
fn a_damaged_file_is_ignored_and_replaced() {
    if gpu::is_skipped() {
        return;
    }
    let dir = TempDir::new("damaged");
    run(builder(&dir.0));
    let good = fs::read(dir.file()).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    // Whole, but with another vendor's data.
    let mut foreign = flipped(HEADER + 8);
    let sum = crc32fast::hash(&foreign[HEADER..]);
    foreign[12..HEADER].copy_from_slice(&sum.to_le_bytes());
    let cases = [
        (Vec::new(), "it has 0 bytes; its header takes 16"),
        (good[..HEADER - 1].to_vec(), "it has 15 bytes"),
        (good[..HEADER].to_vec(), "its length is"),
        (good[..good.len() - 1].to_vec(), "its length is"),
        ([&good[..], &[0]].concat(), "its length is"),
        (flipped(0), "its magic is 0x43505243; 0x43505253 is expected"),
        (flipped(4), "its version is 0x11; 0x1 is expected"),
        (flipped(8), "its length is"),
        (flipped(12), "its checksum is"),
        (flipped(HEADER), "its checksum is"),
        (flipped(good.len() - 1), "its checksum is"),
        (foreign, "its data is another device's"),
    ];
    for (bytes, expected) in cases {
        fs::write(dir.file(), bytes).unwrap();
        check_ignored(&dir, expected);
    }
    File::create(dir.file()).unwrap().set_len((64 << 20) + 1).unwrap();
    check_ignored(&dir, "it has more than 67108864 bytes");
}

/// The file is ignored with a warning that names it and the reason, and replaced by a good one.
fn check_ignored(dir: &TempDir, expected: &str) {
    let (reason, warnings) = run(builder(&dir.0));
    assert!(reason.ends_with(COMPILED), "{expected}: {reason}");
    let [warning] = warnings.try_into().expect("one warning");
    let file = format!("file={}", dir.file().display());
    let said = ["WARN", "a pipeline cache is ignored", &file, expected];
    assert!(said.iter().all(|said| warning.contains(said)), "{expected}: {warning}");
    run_from_cache(dir);
}

#[test]
fn a_file_that_cannot_be_replaced_is_left_alone() {
    if gpu::is_skipped() {
        return;
    }
    let dir = TempDir::new("folder");
    run(builder(&dir.0));
    let file = dir.file();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    for _ in 0..2 {
        let (reason, warnings) = run(builder(&dir.0));
        assert!(reason.ends_with(COMPILED), "{reason}");
        let [ignored, not_kept] = warnings.try_into().expect("two warnings");
        assert!(ignored.contains("it is not a file"), "{ignored}");
        assert!(not_kept.contains("a pipeline cache is not kept"), "{not_kept}");
        assert_eq!(dir.files(), [&*file], "a temporary file was left");
    }
}

#[test]
fn a_directory_that_cannot_be_used_is_a_warning() {
    if gpu::is_skipped() {
        return;
    }
    let file = TempDir::new("no-folder");
    File::create(&file.0).unwrap();
    // Not even root makes a directory in the other.
    for dir in [file.0.as_path(), Path::new("/proc/slipring")] {
        let (reason, warnings) = run(builder(dir));
        assert!(reason.ends_with(COMPILED), "{reason}");
        let warning = warnings.last().expect("a warning");
        let said = ["WARN", "a pipeline cache is not kept", dir.to_str().unwrap()];
        assert!(said.iter().all(|said| warning.contains(said)), "{warning}");
    }
    assert!(fs::remove_file(&file.0).is_ok(), "the file is still one");
}

#[test]
fn another_kernel_has_another_file() {
    if gpu::is_skipped() {
        return;
    }
    let dir = TempDir::new("kernels");
    let (mut files, geometry) = (Vec::new(), Geometry::of_slots(8, 8).unwrap());
    for value in [1, 2, 1] {
        let source = format!("fn work(job: Job) -> u32 {{ return HANDLER_OK + {value}u; }}");
        let handler = Handler::wgsl(0x100, "work", "work.wgsl", source);
        let kernel = Kernel::builder().handler(handler).build().unwrap();
        let (_, warnings) = run(Driver::builder(kernel, geometry).pipeline_cache(&dir.0));
        assert_eq!(warnings, [""; 0]);
        files.push(dir.files().len());
    }
    assert_eq!(files, [1, 2, 2]);
}

#[test]
fn drivers_that_open_at_once_leave_one_good_file() {
    if gpu::is_skipped() {
        return;
    }
    let dir = TempDir::new("at-once");
    for _ in 0..4 {
        let _ = fs::remove_dir_all(&dir.0);
        let barrier = Barrier::new(2);
        let open = || {
            barrier.wait();
            assert_eq!(run(builder(&dir.0)).1, [""; 0]);
        };
        std::thread::scope(|scope| {
            scope.spawn(open);
            scope.spawn(open);
        });
        run_from_cache(&dir);
    }
}

#[test]
fn a_device_that_is_replaced_is_served_too() {
    if gpu::is_skipped() {
        return;
    }
    let dir = TempDir::new("replaced");
    let losses = Losses::default();
    let builder = builder(&dir.0).recovery(Recovery::default()).losses(losses.clone());
    let mut driver = gpu::open(builder, BackendChoice::Mapped);
    assert!(driver.backend().reason.ends_with(COMPILED), "{}", driver.backend().reason);
    losses.lose_at(Stage::Start);
    assert_eq!(driver.dispatch(&Readback::none()).unwrap().recovered, 1);
    let reason = &driver.backend().reason;
    assert!(reason.contains("cache"), "{reason}");
}

#[test]
fn other_backends_make_no_cache() {
    let dir = TempDir::new("others");
    gpu::everywhere(builder(&dir.0), |driver| {
        assert_eq!(dir.0.exists(), driver.backend().backend == "mapped");
        let _ = fs::remove_dir_all(&dir.0);
    });
}

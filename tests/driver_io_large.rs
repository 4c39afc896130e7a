//! Requests in an arena of more than a GiB. (A target of its own: while the kernel pins so many
//! pages, the process can map no others, and a GPU that is a CPU stands still.)

mod gpu;
mod ingest;
mod io;

use ingest::{TempFile, pattern};
use io::{ASK, Ask, builder, finish, open_to_read};
use slipring_core::publisher::Outcome;
use slipring_core::ring::Job;
use slipring_driver::input::{Access, IoPump, IoTable};
use slipring_driver::{ArenaOptions, BackendChoice, Rung};

/// The kernel registers at most 1 GiB as one buffer.
#[test]
fn a_read_across_two_registered_buffers_is_whole() {
    const GIB: usize = 1 << 30;
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
    let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    let available: u64 = available.trim().trim_end_matches(" kB").parse().unwrap();
    if available < 4 << 20 {
        return println!("skipped: {available} kB of memory are available");
    }
    let bytes = pattern(15, 100_000);
    let temp = TempFile::new("across", &bytes);
    let arena = ArenaOptions { chunks: 65_536, chunk_bytes: 20_480 };
    let builder = builder(4).arena(arena).backend(BackendChoice::Twin);
    let mut driver = builder.open().unwrap();
    let mut table = IoTable::new();
    let file = table.add_file(open_to_read(&temp.0), 0..100_000, Access::READ).unwrap();
    // The border is the last multiple of a chunk up to 1 GiB.
    let border = GIB / 20_480 * 20_480;
    let start = border - 40_000;
    let region = table.add_region(start..start + 100_000, Access::WRITE).unwrap();
    driver.attach_io(IoPump::new(table)).unwrap();
    println!("{}", driver.io_path().unwrap());
    assert!([Rung::Pages, Rung::Plain].contains(&driver.io_path().unwrap().rung));
    let args = Ask::read(file, 0, 0, region).args(0);
    let ticket = driver.publish(&Job::new(ASK, &args)).unwrap();
    assert_eq!(finish(&mut driver, ticket), Outcome::Done);
    let mut words = vec![0; 25_000];
    driver.read_arena(start / 4, &mut words).unwrap();
    assert!(bytemuck::cast_slice::<_, u8>(&words) == bytes);
}

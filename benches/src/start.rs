//! Opening a mapped driver, all of it: with a pipeline cache, and with an empty one.

use crate::harness::{Case, Side};
use slipring_core::layout::Geometry;
use slipring_driver::{BackendChoice, Driver, DriverBuilder, Handler, Kernel};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// What turns off the caches that Vulkan drivers have themselves: Mesa's and NVIDIA's.
const UNCACHED: [(&str, &str); 2] =
    [("MESA_SHADER_CACHE_DISABLE", "true"), ("__GL_SHADER_DISK_CACHE", "0")];

pub fn cases() -> Vec<Case> {
    turn_off_other_caches();
    let source = include_str!("../../examples/crc32.wgsl");
    let crc32 = Handler::wgsl(0x100, "crc32", "crc32.wgsl", source).iterations(16_389);
    let built_in = Kernel::builder().build().expect("the built-in kernel compiles");
    let with_crc32 = Kernel::builder().handler(crc32).build().expect("the example compiles");
    let case = |name, kernel: Kernel| Case {
        name,
        unit: "ms/open",
        units: 1_000_000,
        calls: 1,
        ours: Box::new(Start::new(kernel.clone(), true)),
        peer: Some(("cold", Box::new(Start::new(kernel, false)))),
    };
    vec![
        case("built-in kernel, warm; cold", built_in),
        case("kernel with crc32, warm; cold", with_crc32),
    ]
}

/// Goes on as the same program with those caches off, unless their variables are set already:
/// drivers look at them when Vulkan is loaded, and nothing sets them safely in a process.
fn turn_off_other_caches() {
    let unset = UNCACHED.into_iter().filter(|(name, _)| std::env::var_os(name).is_none());
    let unset: Vec<_> = unset.collect();
    if !unset.is_empty() {
        let mut program = Command::new(std::env::current_exe().expect("the program's path"));
        let error = program.args(std::env::args_os().skip(1)).envs(unset).exec();
        panic!("the program did not start again: {error}");
    }
}

struct Start {
    builder: DriverBuilder,
    dir: PathBuf,
    is_warm: bool,
    next: Option<DriverBuilder>,
    driver: Option<Driver>,
}

impl Start {
    fn new(kernel: Kernel, is_warm: bool) -> Self {
        let (process, handlers) = (std::process::id(), kernel.handlers().len());
        let dir = format!("slipring-start-{process}-{handlers}-{is_warm}");
        let dir = std::env::temp_dir().join(dir);
        let geometry = Geometry::of_slots(1024, 64).expect("legal counts");
        let builder = Driver::builder(kernel, geometry).backend(BackendChoice::Mapped);
        let builder = builder.pipeline_cache(&dir);
        if is_warm {
            drop(builder.clone().open().expect("a GPU"));
        }
        Self { builder, dir, is_warm, next: None, driver: None }
    }

    fn remove_dir(&self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Side for Start {
    fn prepare(&mut self) {
        self.driver = None;
        self.next = Some(self.builder.clone());
        if !self.is_warm {
            self.remove_dir();
        }
    }

    fn run(&mut self) {
        let builder = self.next.take().expect("prepared");
        let driver = self.driver.insert(builder.open().expect("a GPU"));
        let reason = &driver.backend().reason;
        assert_eq!(reason.ends_with("pipelines compiled"), !self.is_warm, "{reason}");
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        self.remove_dir();
    }
}

//! What a machine needs for the checks, and how it gets it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::command::{command, read, run};

/// The bare-metal targets that core is built for.
pub const BARE_METAL: [&str; 4] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabihf",
    "riscv32imac-unknown-none-elf",
];

/// Debian's name of the board's simulator.
pub const SIMULATOR: &str = "qemu-system-arm";
/// Debian's name of the compiler for C on a board.
pub const C_COMPILER: &str = "gcc-arm-none-eabi";

/// Installs what the checks lack as root on Debian; elsewhere fails with the line that would.
pub fn prepare() -> Result<(), String> {
    provide(|_| true)
}

/// The same of a few packages.
#[cfg(any(feature = "c", feature = "handoff"))]
pub fn prepare_only(packages: &[&str]) -> Result<(), String> {
    provide(|package| packages.contains(&package))
}

fn provide(is_needed: impl Fn(&str) -> bool) -> Result<(), String> {
    let lines = missing(&is_needed)?;
    if lines.is_empty() {
        return Ok(());
    }
    if !is_root() || !Path::new("/etc/debian_version").exists() {
        let line = lines.join(" && ").replace("apt-get", "sudo apt-get");
        return Err(format!(
            "this machine lacks what this needs; on Debian or Ubuntu, run:\n\n    {line}\n"
        ));
    }
    for line in &lines {
        println!("{line}");
        run(command(line).env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    match missing(&is_needed)?.as_slice() {
        [] => Ok(()),
        still => Err(format!("still missing after: {}", still.join(" && "))),
    }
}

/// The command lines that install what is missing, in order.
fn missing(is_needed: &impl Fn(&str) -> bool) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    let mut packages = missing_packages();
    packages.retain(|package| is_needed(package));
    if !packages.is_empty() {
        lines.push("apt-get update".to_owned());
        lines.push(format!("apt-get install --yes --no-install-recommends {}", packages.join(" ")));
    }
    if !in_path("rustup") {
        return Err("this needs rustup, for its bare-metal targets: https://rustup.rs\n\n    \
             curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh\n"
            .to_owned());
    }
    let sysroot = read(&mut command("rustc --print sysroot"))?;
    let installed = Path::new(sysroot.trim()).join("lib/rustlib");
    let targets: Vec<&str> = BARE_METAL
        .into_iter()
        .filter(|target| !installed.join(target).join("lib").exists())
        .collect();
    if !targets.is_empty() {
        lines.push(format!("rustup target add {}", targets.join(" ")));
    }
    Ok(lines)
}

/// Debian's names for what is not there.
fn missing_packages() -> Vec<&'static str> {
    let set = |name| std::env::var_os(name).is_some();
    let driver = set("VK_ICD_FILENAMES")
        || set("VK_DRIVER_FILES")
        || ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"]
            .into_iter()
            .any(|folder| holds(folder, "lvp_icd"));
    let validation = set("VK_LAYER_PATH")
        || ["/usr/share/vulkan/explicit_layer.d", "/etc/vulkan/explicit_layer.d"]
            .into_iter()
            .any(|folder| holds(folder, "VkLayer_khronos_validation"));
    let loader = library_folders().iter().any(|folder| holds(folder, "libvulkan.so.1"));
    [
        ("mesa-vulkan-drivers", driver),
        ("vulkan-validationlayers", validation),
        ("libvulkan1", loader),
        (SIMULATOR, in_path(SIMULATOR)),
        (C_COMPILER, in_path("arm-none-eabi-gcc")),
    ]
    .into_iter()
    .filter_map(|(package, present)| (!present).then_some(package))
    .collect()
}

/// Whether there is a program of this name.
fn in_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}

/// Whether a folder has an entry whose name begins so.
fn holds(folder: impl AsRef<Path>, name: &str) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(name))
    })
}

/// Where the loader looks for libraries: Debian's folder per architecture, and the plain ones.
fn library_folders() -> Vec<String> {
    vec![
        format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH),
        "/usr/lib".to_owned(),
        "/usr/lib64".to_owned(),
        "/usr/local/lib".to_owned(),
    ]
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

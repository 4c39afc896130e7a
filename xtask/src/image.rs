//! Bare-metal images of `tests/images`: building them, and running them on a simulated board.

#[cfg(any(feature = "c", feature = "handoff"))]
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{command, output, root, shown};

/// The undefined symbol that every panic of an image ends in.
pub const PANIC_SYMBOL: &str = "PANIC_IS_REACHABLE";

/// A board that never ends has lost its way.
const BOARD_TIMEOUT: Duration = Duration::from_secs(60);

/// The most until a board's UART is there.
#[cfg(any(feature = "c", feature = "handoff"))]
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// One image, in release: the profile that firmware ships with.
pub struct Image<'a> {
    pub package: &'a str,
    pub binary: &'a str,
    pub target: &'a str,
    pub features: &'a str,
    pub link_args: &'a [&'a str],
}

impl Image<'_> {
    /// The linked ELF, or what cargo had to say.
    pub fn build(&self) -> Result<PathBuf, String> {
        let folder = root().join("target/images");
        let mut cargo = command("cargo rustc --quiet --release");
        cargo
            .arg("--manifest-path")
            .arg(root().join("tests/images/Cargo.toml"))
            .arg("--target-dir")
            .arg(&folder)
            .args(["--package", self.package, "--bin", self.binary])
            .args(["--target", self.target, "--features", self.features])
            .arg("--")
            .args(self.link_args.iter().map(|arg| format!("-Clink-arg={arg}")));
        let built = output(&mut cargo)?;
        if !built.status.success() {
            return Err(String::from_utf8_lossy(&built.stderr).into_owned());
        }
        Ok(folder.join(self.target).join("release").join(self.binary))
    }
}

/// A Cortex-M3 that runs an ELF, with its UART at `serial`, and semihosting.
pub fn board(serial: &str, elf: &Path) -> Command {
    let mut qemu = command(
        "qemu-system-arm -machine lm3s6965evb -display none -monitor none \
         -semihosting-config enable=on,target=native",
    );
    qemu.args(["-serial", serial]).arg("-kernel").arg(elf);
    qemu
}

/// The UART of a [`board`] as a socket at `path`.
#[cfg(any(feature = "c", feature = "handoff"))]
pub fn uart_at(path: &Path) -> String {
    format!("unix:{},server=on,wait=off", path.display())
}

/// Connects to such a UART, as soon as it is there.
#[cfg(any(feature = "c", feature = "handoff"))]
pub fn connect(path: &Path) -> Result<UnixStream, String> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    loop {
        match UnixStream::connect(path) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            connected => return connected.map_err(|error| format!("{}: {error}", path.display())),
        }
    }
}

/// Runs an image on a Cortex-M3 whose every instruction takes the same virtual time, and returns
/// what it printed through semihosting.
pub fn run_on_board(elf: &Path) -> Result<String, String> {
    let mut qemu = board("none", elf);
    qemu.args(["-icount", "shift=10,sleep=off"]);
    qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut board = qemu.spawn().map_err(|error| format!("{}: {error}", shown(&qemu)))?;
    let deadline = Instant::now() + BOARD_TIMEOUT;
    while let Ok(None) = board.try_wait() {
        if Instant::now() > deadline {
            // It may have ended just now; then there is nothing to stop.
            let _ = board.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let ended = board.wait_with_output().map_err(|error| format!("{}: {error}", shown(&qemu)))?;
    let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
    if ended.status.success() {
        return Ok(printed);
    }
    let errors = String::from_utf8_lossy(&ended.stderr);
    Err(format!("{} from: {}\n{printed}{errors}", ended.status, shown(&qemu)))
}

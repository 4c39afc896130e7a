//! Other programs, run from the root of the workspace.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The root of the workspace.
pub fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// A program with its arguments, given as one line of words.
pub fn command(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let name = match words.next() {
        // The cargo that runs us, so that all steps use one toolchain.
        Some("cargo") => std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
        Some(name) => name.into(),
        None => panic!("a command line has at least a program"),
    };
    let mut command = program(&name);
    command.args(words);
    command
}

/// A program, by its name or path.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    // For a user without a desktop, Mesa's device chooser complains of a missing display.
    command.current_dir(root()).env("NODEVICE_SELECT", "1");
    command
}

/// Runs to the end with the terminal's output; anything but success is an error.
pub fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| unstarted(command, &error))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{status} from: {}", shown(command)))
}

/// Runs to the end; if it fails, so does this program: it has said why.
pub fn run_quietly(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| unstarted(command, &error))?;
    if status.success() { Ok(()) } else { std::process::exit(1) }
}

/// The command, run where the caller stands, so that relative paths mean what they say.
pub fn in_callers_folder(command: &mut Command) -> Result<&mut Command, String> {
    let here = std::env::current_dir();
    Ok(command.current_dir(here.map_err(|error| format!("the current folder: {error}"))?))
}

/// Runs to the end and returns what it printed, whether it succeeded or not.
pub fn output(command: &mut Command) -> Result<Output, String> {
    command.output().map_err(|error| unstarted(command, &error))
}

/// Runs to the end and returns its standard output; anything but success is an error.
pub fn read(command: &mut Command) -> Result<String, String> {
    let output = output(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!(
        "{} from: {}\n{}",
        output.status,
        shown(command),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Builds an example, and says where it is.
pub fn build_example(example: &str) -> Result<PathBuf, String> {
    let line = "cargo build --release --message-format json-render-diagnostics \
                --package slipring-driver --example";
    let messages = read(command(line).arg(example).stderr(Stdio::inherit()))?;
    let mut messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .find(|message| message["target"]["name"] == example && message["executable"].is_string())
        .and_then(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| format!("cargo does not say where it has put the example {example}"))
}

/// The command as one would type it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or_default().to_os_string();
    for argument in command.get_args() {
        line.push(" ");
        line.push(argument);
    }
    line.to_string_lossy().into_owned()
}

fn unstarted(command: &Command, error: &std::io::Error) -> String {
    format!("{}: {error}", shown(command))
}

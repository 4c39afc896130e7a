//! Both sides as processes that do not outlive the command.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use crate::command::shown;

/// The most that a process may take to end once its output has.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Firmware,
    Host,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Firmware => "firmware",
            Self::Host => "host",
        })
    }
}

/// What comes of a side's output.
pub enum Said {
    Line(String),
    End,
}

pub struct Process {
    side: Side,
    child: Child,
    shown: String,
    errors: PathBuf,
}

impl Process {
    /// Starts it. What it writes to its standard error is shown if it fails.
    pub fn spawn(
        side: Side,
        command: &mut Command,
        folder: &ScratchFolder,
    ) -> Result<Self, String> {
        let shown = shown(command);
        let errors = folder.path().join(format!("{side}.stderr"));
        let file =
            File::create(&errors).map_err(|error| format!("{}: {error}", errors.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let child = command.spawn().map_err(|error| format!("{shown}: {error}"))?;
        Ok(Self { side, child, shown, errors })
    }

    /// Has a thread read its standard output, and send what that says.
    pub fn listen(
        &mut self,
        read: impl FnOnce(ChildStdout, &mut dyn FnMut(String)) + Send + 'static,
        said: &Sender<(Side, Said)>,
    ) {
        let (side, said) = (self.side, said.clone());
        let Some(output) = self.child.stdout.take() else { return };
        thread::spawn(move || {
            // Nobody listens any more when the command is about to fail.
            read(output, &mut |line| drop(said.send((side, Said::Line(line)))));
            let _ = said.send((side, Said::End));
        });
    }

    /// Waits for its end; anything but success is an error.
    pub fn succeeds(&mut self) -> Result<(), String> {
        let Self { side, child, shown, errors } = self;
        let deadline = Instant::now() + EXIT_TIMEOUT;
        let status = loop {
            match child.try_wait().map_err(|error| format!("{side}: {error}"))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => break status.to_string(),
                None if Instant::now() > deadline => break "no end".to_owned(),
                None => thread::sleep(Duration::from_millis(10)),
            }
        };
        let errors = fs::read_to_string(errors).unwrap_or_default();
        Err(format!("{side}: {status} from: {shown}\n{errors}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended long since.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says what lines there are.
pub fn lines(output: ChildStdout, say: &mut dyn FnMut(String)) {
    BufReader::new(output).lines().map_while(Result::ok).for_each(say);
}

/// A folder for sockets, which have short paths; it goes with this value.
pub struct ScratchFolder(PathBuf);

impl ScratchFolder {
    pub fn new() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("slipring-handoff-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self(folder))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

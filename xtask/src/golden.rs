//! `cargo xtask golden DIR`: replays a folder of vectors that the reference, vyre-runtime 0.6.1,
//! made.
//!
//! ```text
//!   DIR/*.json ─▶ case ─▶ ours: slipring-core, called as a user would
//!                   │        same result and buffers ─────────────────────────▶ pass
//!                   └────▶ rules: the reference's, as a small model that can
//!                          switch each item of ABI.md section 5 on
//!                            none on gives the expectation, and
//!                            some on give ours ───────────────────────────────▶ skip, by item
//!                            otherwise ───────────────────────────────────────▶ failure
//! ```
//!
//! So a skip says that the reference does what the vector shows, that ours does what the item
//! says, and that the named items are what it takes to get from one to the other.

mod bytes;
mod case;
mod constants;
mod control;
mod debug_log;
mod device;
mod device_ops;
mod device_rules;
mod encode;
mod io_queue;
mod items;
mod layout;
mod meaning;
mod packed;
mod publish;
mod readback;
mod refusal;
mod ring_rules;
mod table;
#[cfg(test)]
mod tests;
mod verdict;

use case::Case;
use device::Runner;
use serde_json::Value;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::{File, Op, Replay};
use verdict::Verdict;

/// How the replay of a case ends; the error is why it is a failure.
type Outcome = Result<Verdict, String>;

#[derive(Default)]
struct Tally {
    passed: usize,
    skipped: usize,
    failed: usize,
}

impl Tally {
    /// Counts the outcome; `subject` is the case, or the file if there is no case to blame.
    fn add(&mut self, subject: &str, outcome: Outcome) {
        match outcome {
            Ok(Verdict::Pass) => self.passed += 1,
            Ok(Verdict::Skip(reason)) => {
                self.skipped += 1;
                println!("skip  {subject}: {reason}");
            }
            Err(reason) => {
                self.failed += 1;
                println!("FAIL  {subject}: {reason}");
            }
        }
    }
}

/// Replays every vector of `dir`; fails when a case fails or there is nothing to replay.
pub fn run(dir: &Path) -> ExitCode {
    let paths = match vector_files(dir) {
        Ok(paths) => paths,
        Err(reason) => {
            eprintln!("error: {}: {reason}", dir.display());
            return ExitCode::FAILURE;
        }
    };
    let mut runners: Vec<Box<dyn Runner>> = vec![Box::new(device::TwinRunner)];
    if crate::skips_gpu() {
        println!("the GPU is left out: SLIPRING_SKIP_GPU=1");
    } else {
        runners.push(Box::new(device::GpuRunner::default()));
    }
    let mut tally = Tally::default();
    // A panic is reported as the failure of its case, in one line.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    for path in paths {
        replay_file(&path, &mut runners, &mut tally);
    }
    std::panic::set_hook(hook);
    let Tally { passed, skipped, failed } = tally;
    println!("golden: {passed} passed, {skipped} skipped, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn vector_files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(dir).map_err(|error| error.to_string())?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err("no *.json vectors in it".to_owned());
    }
    Ok(paths)
}

fn replay_file(path: &Path, runners: &mut [Box<dyn Runner>], tally: &mut Tally) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (file, document) = match table::file(&stem).and_then(|file| Ok((file, read(path, &stem)?)))
    {
        Ok(known) => known,
        Err(reason) => return tally.add(&stem, Err(reason)),
    };
    let cases = document.get("cases").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if cases.is_empty() {
        return tally.add(&stem, Err("it has no cases".to_owned()));
    }
    let mut names = BTreeSet::new();
    for (index, value) in cases.iter().enumerate() {
        let unnamed = || format!("{stem}/#{index}");
        match Case::new(value) {
            Err(reason) => tally.add(&unnamed(), Err(reason)),
            Ok(case) if !names.insert(case.name()) => {
                tally.add(&format!("{stem}/{}", case.name()), Err("the name is taken".to_owned()));
            }
            Ok(case) => replay_case(&stem, file, &case, runners, tally),
        }
    }
}

fn read(path: &Path, stem: &str) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let document: Value =
        serde_json::from_str(&text).map_err(|error| format!("not JSON: {error}"))?;
    let fields = document.as_object().ok_or("not a JSON object")?;
    for field in fields.keys() {
        if !["reference", "file", "about", "cases"].contains(&field.as_str()) {
            return Err(format!("unknown field `{field}`"));
        }
    }
    if document.get("file").and_then(Value::as_str) != Some(stem) {
        return Err("its `file` is not the name of the file".to_owned());
    }
    Ok(document)
}

fn replay_case(
    stem: &str,
    file: &File,
    case: &Case<'_>,
    runners: &mut [Box<dyn Runner>],
    tally: &mut Tally,
) {
    let subject = format!("{stem}/{} ({})", case.name(), case.op());
    let op = match file.op(case.op()) {
        Some(op) => op,
        None => return tally.add(&subject, Err(format!("no such op in {stem}"))),
    };
    if let Err(reason) = check_fields(op, case) {
        return tally.add(&subject, Err(reason));
    }
    match op.replay {
        Replay::Host(replay) => tally.add(&subject, caught(|| replay(case))),
        Replay::Device if case.text("kernel") == Ok("jit") => {
            tally.add(&subject, Ok(Verdict::by_item(19)));
        }
        Replay::Device => {
            for runner in runners {
                let subject = format!("{subject} on {}", runner.name());
                let outcome = caught(|| device::replay(case, runner.as_mut()));
                tally.add(&subject, outcome);
            }
        }
        Replay::Not(reason) => {
            tally.add(&subject, Ok(Verdict::Skip(format!("not replayed: {reason}"))));
        }
    }
}

fn check_fields(op: &Op, case: &Case<'_>) -> Result<(), String> {
    let inputs = op.inputs.split_whitespace();
    for input in inputs.clone().filter(|input| !input.ends_with('?')) {
        case.get(input)?;
    }
    let is_input = |field: &str| inputs.clone().any(|input| input.trim_end_matches('?') == field);
    for field in case.fields() {
        if !["name", "op", "expect"].contains(&field) && !is_input(field) {
            return Err(format!("unknown field `{field}`"));
        }
    }
    let known = |field: &str| op.expects.split_whitespace().any(|known| known == field);
    for field in case.expect_fields()? {
        if !["ok", "err", "detail", "pipeline_err", "lenient"].contains(&field) && !known(field) {
            return Err(format!("unknown field `expect.{field}`"));
        }
    }
    Ok(())
}

fn caught(replay: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(replay)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("ours panicked: {}", text.unwrap_or("no message")))
    })
}

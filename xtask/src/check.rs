//! Every check of the project, in the order in which failures are cheapest to find.

use std::time::Instant;

use serde_json::Value;

use crate::command::{command, read, root, run};
use crate::machine::{self, BARE_METAL};
use crate::{Outcome, demo, no_panic, size, skips_gpu};

type Step = (&'static str, fn() -> Outcome);

const STEPS: &[Step] = &[
    ("machine", machine::prepare),
    ("formatting", formatting),
    ("clippy", clippy),
    ("docs", docs),
    ("tests", tests),
    ("golden vectors", golden),
    ("demo", demo::check),
    ("core on bare metal", bare_metal),
    ("no panic in core", no_panic::check),
    ("hand-off", hand_off),
    ("C", || run(&mut command("cargo run --quiet --package xtask --features c -- c"))),
    ("size", || size::run(false)),
    ("oldest compiler", oldest_compiler),
];

const IMAGES: &str = "--manifest-path tests/images/Cargo.toml";
const FIRMWARE: &str = "--manifest-path examples/firmware/Cargo.toml";
const C: &str = "--manifest-path c/Cargo.toml";

/// Runs the steps, up to the first that fails.
pub fn run_steps() -> Outcome {
    let start = Instant::now();
    for (name, step) in STEPS {
        println!("== {name}");
        let began = Instant::now();
        step().map_err(|reason| format!("check failed at: {name}\n{reason}"))?;
        println!("== {name}: {:.1} s", began.elapsed().as_secs_f32());
    }
    let without = if skips_gpu() { " without the GPU" } else { "" };
    println!("== all checks passed{without}: {:.0} s", start.elapsed().as_secs_f32());
    Ok(())
}

fn formatting() -> Outcome {
    run(&mut command("cargo fmt --all --check"))?;
    run(&mut command(&format!("cargo fmt --check {IMAGES} --package no_panic --package size")))?;
    run(&mut command(&format!("cargo fmt --check {FIRMWARE} --package firmware")))?;
    run(&mut command(&format!("cargo fmt --check {C} --package slipring-c")))
}

fn clippy() -> Outcome {
    run(&mut command("cargo clippy --workspace --all-targets --all-features -- -D warnings"))?;
    run(&mut command(&format!(
        "cargo clippy {IMAGES} --target-dir target/images --workspace \
         --target thumbv7m-none-eabi -- -D warnings"
    )))?;
    run(&mut command(&format!(
        "cargo clippy {FIRMWARE} --target-dir target/firmware --release \
         --target thumbv7m-none-eabi --target thumbv6m-none-eabi -- -D warnings"
    )))?;
    run(&mut command(&format!(
        "cargo clippy {C} --target-dir target/c --release --target thumbv7m-none-eabi \
         -- -D warnings"
    )))
}

fn docs() -> Outcome {
    run(command("cargo doc --workspace --no-deps --all-features")
        .env("RUSTDOCFLAGS", "-D warnings"))
}

fn tests() -> Outcome {
    // With all of core that runs on a host, whoever of the workspace uses it.
    let features = "slipring-core/critical-section,slipring-core/link-async";
    run(command(&format!("cargo test --workspace --features {features}"))
        .env_remove("SLIPRING_PROGRAMS")
        .env_remove("SLIPRING_LINK_SLOTS"))
}

fn golden() -> Outcome {
    run(&mut command("cargo test --quiet --package xtask --features golden"))?;
    run(&mut command("cargo run --quiet --package xtask --features golden -- golden tests/golden"))
}

/// Firmware against a host, over a good wire and a bad one, and what a Cortex-M0 would run; and
/// firmware for a real one, which is only built.
fn hand_off() -> Outcome {
    run(&mut command(&format!(
        "cargo rustc --quiet {FIRMWARE} --target-dir target/firmware --release \
         --target thumbv6m-none-eabi --no-default-features --features pico -- -D warnings"
    )))?;
    run(&mut command("cargo test --quiet --package xtask --features handoff"))?;
    for options in ["", "--loss 0.02", "--m0"] {
        let line = "cargo run --quiet --package xtask --features handoff -- handoff";
        run(&mut command(&format!("{line} {options}")))?;
    }
    Ok(())
}

/// Core for every target: without features, with each alone, with all.
fn bare_metal() -> Outcome {
    let mut choices = vec!["--no-default-features".to_owned(), "--all-features".to_owned()];
    for feature in core_features()? {
        choices.push(format!("--no-default-features --features {feature}"));
    }
    let targets = BARE_METAL.map(|target| format!("--target {target}")).join(" ");
    for choice in choices {
        println!("{choice}");
        run(&mut command(&format!(
            "cargo build --quiet --package slipring-core {targets} {choice}"
        )))?;
    }
    Ok(())
}

fn core_features() -> Result<Vec<String>, String> {
    let features = &core_manifest()?["features"];
    let features = features.as_object().ok_or("slipring-core has no feature table")?;
    Ok(features.keys().filter(|name| *name != "default").cloned().collect())
}

/// What Cargo knows of slipring-core.
fn core_manifest() -> Result<Value, String> {
    let metadata = read(&mut command("cargo metadata --format-version 1 --no-deps"))?;
    let metadata: Value = serde_json::from_str(&metadata)
        .map_err(|error| format!("cargo metadata printed no JSON: {error}"))?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .into_iter()
        .find(|package| package["name"] == "slipring-core")
        .cloned()
        .ok_or_else(|| "cargo metadata does not list slipring-core".to_owned())
}

/// The two crates with the compiler that Cargo.toml's `rust-version` promises.
fn oldest_compiler() -> Outcome {
    let manifest = core_manifest()?;
    let version = manifest["rust_version"].as_str().ok_or("no rust-version in Cargo.toml")?;
    // To rustup "1.88" is another toolchain than "1.88.0".
    let toolchain = match version.matches('.').count() {
        1 => format!("{version}.0"),
        _ => version.to_owned(),
    };
    let installed = read(&mut command(&format!("rustup run {toolchain} rustc --version")));
    let install = format!("rustup toolchain install {toolchain} --profile minimal");
    if let Err(reason) = installed.or_else(|_| read(&mut command(&install))) {
        println!("skipped: no Rust {toolchain} here\n{reason}");
        return Ok(());
    }
    run(command(&format!("rustup run {toolchain} cargo check --target-dir"))
        .arg(root().join("target/msrv"))
        .args(["--package", "slipring-core", "--package", "slipring-driver", "--all-features"])
        .env_remove("CARGO"))
}

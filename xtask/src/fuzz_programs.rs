//! More random programs than the tests run: the twin against the GPU.

use crate::command::{command, read, run};
use crate::{Outcome, skips_gpu};

const TEST: &str = "k1_random_programs_do_the_same_on_the_twin_and_on_the_gpu";

/// Runs `programs` programs, from the one of `seed` on.
pub fn fuzz(programs: &str, seed: &str) -> Outcome {
    for (what, number) in [("a number of programs", programs), ("a seed", seed)] {
        let parsed: Result<u32, _> = number.parse();
        parsed.map_err(|error| format!("{number} is not {what}: {error}"))?;
    }
    if programs.parse() == Ok(0) {
        return Err("0 programs compare nothing".to_owned());
    }
    if skips_gpu() {
        return Err("SLIPRING_SKIP_GPU=1 leaves nothing to compare".to_owned());
    }
    let line = "cargo test --release -p slipring-driver --test programs --";
    // A test that is not there would pass.
    let listed = read(command(line).args(["--exact", TEST, "--list"]))?;
    if !listed.contains(TEST) {
        return Err(format!("there is no test {TEST}"));
    }
    let mut test = command(line);
    test.args(["--exact", TEST, "--nocapture"]);
    run(test.env("SLIPRING_PROGRAMS", programs).env("SLIPRING_SEED", seed))
}

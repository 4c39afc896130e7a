//! Whether the demo and the other examples do, and say, what they should.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::write_random;
use crate::Outcome;
use crate::command::{build_example, command, output, program, root, run};

/// Has the Vulkan loader find no driver.
const NO_VULKAN: [(&str, &str); 2] =
    [("VK_DRIVER_FILES", "/nowhere"), ("VK_ICD_FILENAMES", "/nowhere")];

/// A file that is shorter than it says.
const SHORT: &str = "/sys/kernel/uevent_seqnum";

/// Runs the demo over files that it takes, with and without a GPU, and over those that it must
/// refuse, looks at what it says, and runs the other examples.
pub fn check() -> Outcome {
    let folder = root().join("target/demo");
    let failed = |error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    crc32(&folder, failed)?;
    grep(&folder, failed)?;
    let example = |name| run(&mut program(build_example(name)?));
    example("histogram")?;
    example("index_walk")?;
    example("rows")?;
    example("stream_to_file")?;
    // Only a GPU's kernel stays on.
    if crate::skips_gpu() { Ok(()) } else { example("control_loop") }
}

fn crc32(folder: &Path, failed: impl Fn(std::io::Error) -> String) -> Outcome {
    let demo = build_example("crc32")?;
    let demo_over = |file: &Path| {
        let mut demo = program(&demo);
        demo.arg(file);
        demo
    };
    let write = |name: &str, bytes: usize| {
        let path = folder.join(name);
        write_random(&path, bytes).map_err(&failed)?;
        Ok::<_, String>(path)
    };
    // A last chunk that is no whole word; more chunks than the arena has.
    let (small, large) = (write("small", 3 * 16_384 + 5)?, write("large", (40 << 20) + 1)?);
    let accepted = ["jobs     4 of", "ingest   ", "checked  every CRC-32 equals the CPU's"];
    if !crate::skips_gpu() {
        expect(&mut demo_over(&small), true, &accepted)?;
        expect(&mut demo_over(&large), true, &["jobs     2561 of", accepted[2]])?;
    }
    let no_gpu = [accepted[0], accepted[2], "no GPU (no Vulkan device"];
    expect(demo_over(&small).envs(NO_VULKAN), true, &no_gpu)?;
    as_ordinary_user(&demo, &small, &accepted)?;

    let empty = write("empty", 0)?;
    expect(&mut demo_over(&empty), false, &["empty is empty: there is no chunk to run"])?;
    expect(&mut demo_over(&folder.join("missing")), false, &["missing: No such file"])?;
    expect(&mut demo_over(folder), false, &["is a directory"])?;
    if Path::new(SHORT).exists() {
        let wrong = [
            "FAILED   chunk at byte 0: ",
            "the file ends before the length",
            "1 of 1 chunks are wrong",
        ];
        expect(&mut demo_over(Path::new(SHORT)), false, &wrong)?;
    }
    Ok(())
}

/// Runs the demo as somebody who may lock less memory than its arena has: it must work, and say why
/// not in the best way.
fn as_ordinary_user(demo: &Path, file: &Path, accepted: &[&str]) -> Outcome {
    let user = || command("prlimit --memlock=8388608 setpriv --reuid=65534 --clear-groups");
    // Only root becomes another, to whom root's folders may be closed.
    let probe = output(user().args(["test", "-x"]).arg(demo).args(["-a", "-r"]).arg(file));
    let may = probe.as_ref().is_ok_and(|probe| probe.status.success());
    if !may {
        let why = probe.map(|probe| String::from_utf8_lossy(&probe.stderr).trim().to_owned());
        println!("skipped: the demo as user 65534, who may not run it {why:?}");
        return Ok(());
    }
    let no_gpu: &[_] = if crate::skips_gpu() { &NO_VULKAN } else { &[] };
    // Without io_uring nothing is registered.
    let said = output(program(demo).arg(file).envs(no_gpu.iter().copied()))?.stdout;
    let why: &[_] = match String::from_utf8_lossy(&said).contains("no io_uring") {
        true => &["no io_uring"],
        false => &["16777216 bytes were not registered", "RLIMIT_MEMLOCK allows 8388608"],
    };
    let texts = [accepted, why].concat();
    expect(user().arg(demo).arg(file).envs(no_gpu.iter().copied()), true, &texts)
}

fn grep(folder: &Path, failed: impl Fn(std::io::Error) -> String) -> Outcome {
    let grep = build_example("grep")?;
    let write = |name: &str, text: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(&failed)?;
        Ok::<_, String>(path)
    };
    // "nana" begins before and behind every border that chunks may have, and ends the file.
    let (page, mut text) = (4096, vec![b'.'; 100 * 4096]);
    for at in (page..text.len()).step_by(page).map(|border| border - 3).chain([text.len() - 8]) {
        text[at..at + 8].copy_from_slice(b"bananana");
    }
    let bordered = write("bordered", &text)?;
    let everywhere = write("everywhere", &b"na".repeat(50_000))?;
    let (none, missing) = (write("none", b"")?, folder.join("missing"));
    let checked = "checked  every count equals the CPU's";
    let backends: &[&[_]] = if crate::skips_gpu() { &[&NO_VULKAN] } else { &[&[], &NO_VULKAN] };
    for backend in backends {
        let grep = || {
            let mut grep = program(&grep);
            grep.envs(backend.iter().copied());
            grep
        };
        // More files than are read at once.
        let mut many = grep();
        many.arg("nana").args([&none, &bordered, &everywhere]).args([&bordered; 70]);
        let counts = ["    200 ", "  49999 ", "  64199 in all"];
        expect(&mut many, true, &[&counts[..], &[checked]].concat())?;
        // The longest pattern, of which many have begun at any byte.
        let longest = ["  49969 ", checked];
        expect(grep().arg("na".repeat(32)).arg(&everywhere), true, &longest)?;
        let some = ["    200 ", "FAILED   ", "missing: No such file"];
        expect(grep().arg("nana").args([&missing, &bordered]), false, &some)?;
    }
    let too_long = ["a pattern of 65 bytes; 1 to 64 are possible"];
    expect(program(&grep).arg("x".repeat(65)).arg(&none), false, &too_long)
}

/// Runs a program: it must succeed, or not, and say all of `texts`.
fn expect(program: &mut Command, succeeds: bool, texts: &[&str]) -> Outcome {
    let output = output(program)?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if output.status.success() != succeeds || texts.iter().any(|text| !said.contains(text)) {
        let shown = crate::command::shown(program);
        return Err(format!("{texts:?} was expected of {shown}, {said:?} came"));
    }
    Ok(())
}

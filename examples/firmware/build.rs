//! Lays the image out for its board, and chooses what defmt logs.

use std::path::Path;
use std::{env, fs};

fn main() {
    let is_pico = env::var_os("CARGO_FEATURE_PICO").is_some();
    let layout = if is_pico { "boards/pico.x" } else { "boards/lm3s6965evb.x" };
    println!("cargo:rerun-if-changed={layout}");
    let out = env::var("OUT_DIR").expect("cargo says where");
    fs::copy(layout, Path::new(&out).join("memory.x")).expect("the layout can be copied");
    println!("cargo:rustc-link-search={out}");
    for argument in ["-Tlink.x", "-Tdefmt.x", "--nmagic"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    // Without it, defmt logs errors only.
    println!("cargo:rerun-if-env-changed=DEFMT_LOG");
    if env::var_os("DEFMT_LOG").is_none() {
        println!("cargo:rustc-env=DEFMT_LOG=info");
    }
}

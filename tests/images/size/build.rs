//! Lays the counted image out for the lm3s6965evb: 256 KiB of flash, 64 KiB of RAM.

fn main() {
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rustc-link-search={}", env!("CARGO_MANIFEST_DIR"));
    println!("cargo:rustc-link-arg-bin=counted=-Tlink.x");
    println!("cargo:rustc-link-arg-bin=counted=--nmagic");
}

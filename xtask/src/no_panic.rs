//! Proves that no call of core reaches a panic: an image that makes them all links, although its
//! panic handler calls a symbol that does not exist.

use crate::elf;
use crate::image::{Image, PANIC_SYMBOL};

const TARGETS: [&str; 2] = ["thumbv7m-none-eabi", "thumbv6m-none-eabi"];

/// Links the image for each target, and shows that one with a panic would not link.
pub fn check() -> Result<(), String> {
    for target in TARGETS {
        let image = image(target, "", &[]);
        if let Err(said) = image.build() {
            return Err(explain(target, &said));
        }
    }
    match image(TARGETS[0], "bad", &[]).build() {
        Err(said) if said.contains(PANIC_SYMBOL) => Ok(()),
        Err(said) => Err(format!("the bad probe failed for another reason:\n{said}")),
        Ok(_) => Err("an image with a panic in it links, so this check proves nothing".to_owned()),
    }
}

fn image<'a>(target: &'a str, features: &'a str, link_args: &'a [&'a str]) -> Image<'a> {
    Image { package: "no_panic", binary: "no_panic", target, features, link_args }
}

/// Who calls the panic that the linker refused.
fn explain(target: &str, said: &str) -> String {
    if !said.contains(PANIC_SYMBOL) {
        return format!("tests/images/no_panic does not build for {target}:\n{said}");
    }
    let defined = format!("--defsym={PANIC_SYMBOL}=0");
    let calls = image(target, "", &["--emit-relocs", &defined])
        .build()
        .and_then(|path| elf::read(&path))
        .map_or_else(|error| vec![error], |contents| contents.panic_calls);
    format!(
        "core can panic ({target}); find these calls and return an error there instead:\n    {}",
        calls.join("\n    ")
    )
}

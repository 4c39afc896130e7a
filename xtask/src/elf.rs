//! What a linked image holds: flash and RAM bytes, and calls that lead to a panic.

use std::fs;
use std::path::Path;

use object::read::elf::ElfFile32;
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionKind, SymbolKind, SymbolSection,
};

use crate::image::PANIC_SYMBOL;

/// What was found in an image linked with `--emit-relocs`.
pub struct Contents {
    /// Code, constants and initial values. Not the unwind table, which firmware discards.
    pub flash_bytes: u64,
    /// Statics.
    pub ram_bytes: u64,
    /// Calls of core's panic functions from anything that is not one, as "caller -> callee".
    pub panic_calls: Vec<String>,
}

/// Reads an image.
pub fn read(path: &Path) -> Result<Contents, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let elf: ElfFile32<'_> =
        ElfFile32::parse(&*bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Contents {
        flash_bytes: flash_bytes(&elf),
        ram_bytes: ram_bytes(&elf),
        panic_calls: panic_calls(&elf),
    })
}

fn ram_bytes(elf: &ElfFile32<'_>) -> u64 {
    elf.sections()
        .filter(|section| {
            matches!(section.kind(), SectionKind::Data | SectionKind::UninitializedData)
        })
        .map(|section| section.size())
        .sum()
}

fn flash_bytes(elf: &ElfFile32<'_>) -> u64 {
    elf.sections()
        .filter(|section| {
            let in_flash = matches!(
                section.kind(),
                SectionKind::Text
                    | SectionKind::Data
                    | SectionKind::ReadOnlyData
                    | SectionKind::ReadOnlyString
            );
            in_flash && section.address() != 0 && section.name().is_ok_and(is_kept)
        })
        .map(|section| section.size())
        .sum()
}

fn is_kept(section: &str) -> bool {
    !section.starts_with(".ARM.ex")
}

fn panic_calls(elf: &ElfFile32<'_>) -> Vec<String> {
    let mut calls = Vec::new();
    for section in elf.sections() {
        for (address, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else {
                continue;
            };
            let Ok(callee) = elf.symbol_by_index(index) else {
                continue;
            };
            let (callee, caller) = (name(&callee), function_at(elf, address));
            if is_panic(&callee) && !is_panic(&caller) {
                calls.push(format!("{caller} -> {callee}"));
            }
        }
    }
    calls
}

fn function_at(elf: &ElfFile32<'_>, address: u64) -> String {
    elf.symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text)
        .filter(|symbol| matches!(symbol.section(), SymbolSection::Section(_)))
        .find(|symbol| {
            // The lowest bit of an address says Thumb.
            let start = symbol.address() & !1;
            (start..start + symbol.size()).contains(&address)
        })
        .map_or_else(|| format!("code at {address:#x}"), |symbol| name(&symbol))
}

fn name<'data>(symbol: &impl ObjectSymbol<'data>) -> String {
    let mangled = symbol.name().unwrap_or_default();
    format!("{:#}", rustc_demangle::demangle(mangled))
}

/// The panic handler, or one of core's functions that only call it, by the names they go by.
fn is_panic(function: &str) -> bool {
    function == PANIC_SYMBOL
        || function.contains("rust_begin_unwind")
        || (function.starts_with("core::")
            && (function.contains("panic")
                || function.contains("_fail")
                || function.contains("failed")))
}

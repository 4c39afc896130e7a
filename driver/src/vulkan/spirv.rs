//! The kernel as SPIR-V.

use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// Compiles one entry point.
///
/// # Errors
/// What naga says; for a kernel that was built it says nothing.
pub(crate) fn compile(module: &naga::Module, entry: &str) -> Result<Vec<u32>, String> {
    let info = Validator::new(ValidationFlags::all(), Capabilities::default())
        .validate(module)
        .map_err(|error| error.to_string())?;
    let options = spv::Options {
        lang_version: (1, 3),
        flags: spv::WriterFlags::empty(),
        // A handler's own arrays are bounded too: nothing outside the buffers is touched.
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer: BoundsCheckPolicy::Restrict,
            image_load: BoundsCheckPolicy::Restrict,
            binding_array: BoundsCheckPolicy::Restrict,
        },
        ..spv::Options::default()
    };
    let pipeline = spv::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: entry.to_owned(),
    };
    spv::write_vec(module, &info, &options, Some(&pipeline)).map_err(|error| error.to_string())
}

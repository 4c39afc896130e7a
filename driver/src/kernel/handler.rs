//! A user's opcode: a WGSL function, and if wanted its twin on the CPU.

use std::borrow::Cow;

/// What runs a handler's slots where no GPU does. The same return rule as on the device: 0 ends
/// the slot in DONE, 64..=255 in FAULT with that code; and
/// [`HANDLER_CONTINUES`](slipring_core::twin::HANDLER_CONTINUES) or the answer of
/// [`request_io`](slipring_core::twin::Call::request_io).
pub type CpuHandler = fn(&slipring_core::twin::Call<'_, std::sync::atomic::AtomicU32>) -> u32;

/// Runs the slots of one user opcode.
///
/// # What a handler may use
///
/// ```wgsl
#[doc = include_str!("../../shaders/handler_api.wgsl")]
/// ```
#[derive(Clone, Debug)]
pub struct Handler {
    opcode: u32,
    function: String,
    file: String,
    source: Cow<'static, str>,
    iterations: u32,
    segments: u32,
    cpu: Option<CpuHandler>,
}

impl Handler {
    /// The most bytes of a variable that a lane has to itself. Devices keep them in registers, or
    /// spill them to memory; llvmpipe takes seconds to compile more.
    pub const MAX_VARIABLE_BYTES: u32 = 1024;
    /// The most segments of a handler.
    pub const MAX_SEGMENTS: u32 = 8;

    /// The WGSL function `function` in `source`, which errors call `file`.
    ///
    /// [Below](Handler#what-a-handler-may-use) is what it may call; it declares no buffers and no
    /// entry points, uses no barriers, and has no variable of more than
    /// [`Handler::MAX_VARIABLE_BYTES`]: tables belong in the workspace. Private variables of the
    /// file keep no value from one call to the next that can be relied on.
    pub fn wgsl(
        opcode: u32,
        function: impl Into<String>,
        file: impl Into<String>,
        source: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (function, file, source) = (function.into(), file.into(), source.into());
        Self { opcode, function, file, source, iterations: 0, segments: 1, cpu: None }
    }

    /// The most loop iterations that calls can make side by side: the sum over the handler's
    /// loops of the most that each makes in any call, those of branches that exclude each other
    /// too. A loop of n rounds makes n + 1: the last one finds out that it is over; an inner loop
    /// counts once for each round of the outer one. Without this, the handler may have no loops.
    ///
    /// llvmpipe runs lanes in vectors that go through all their branches, and ends loops after
    /// 65,535 iterations in all. It gets dispatches that stay within; a handler that makes more
    /// than it said may have its loops cut short there without a word.
    #[must_use]
    pub fn iterations(mut self, max: u32) -> Self {
        self.iterations = max;
        self
    }

    /// In how many segments the handler may be called, 1 to [`Handler::MAX_SEGMENTS`]; 1 if not
    /// said. A job whose call returns `HANDLER_CONTINUES` is called again in the next segment,
    /// after all jobs of its level have been in this one: what they wrote is there. All segments
    /// are one submission. Opcodes below 256, which may be packed, have one.
    #[must_use]
    pub fn segments(mut self, segments: u32) -> Self {
        self.segments = segments;
        self
    }

    /// The handler's twin, for the CPU backend and for tests that compare the two. It must not
    /// panic: the drain would be left half done.
    #[must_use]
    pub fn on_cpu(mut self, handler: CpuHandler) -> Self {
        self.cpu = Some(handler);
        self
    }

    /// The opcode.
    pub fn opcode(&self) -> u32 {
        self.opcode
    }

    /// The WGSL function's name.
    pub fn function(&self) -> &str {
        &self.function
    }

    /// What errors call the source.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The WGSL.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The most loop iterations that one call makes.
    pub fn max_iterations(&self) -> u32 {
        self.iterations
    }

    /// In how many segments it may be called.
    pub fn max_segments(&self) -> u32 {
        self.segments
    }

    /// The twin, if there is one.
    pub fn cpu(&self) -> Option<CpuHandler> {
        self.cpu
    }

    pub(crate) fn shares_file(&self, other: &Self) -> bool {
        self.file == other.file && self.source == other.source
    }
}

/// A [`Handler`] from a WGSL file next to the calling source file.
///
/// ```ignore
/// let blur = slipring_driver::handler!(0x100, "blur", "shaders/blur.wgsl");
/// ```
#[macro_export]
macro_rules! handler {
    ($opcode:expr, $function:expr, $file:literal) => {
        $crate::kernel::Handler::wgsl($opcode, $function, $file, include_str!($file))
    };
}

//! The kernel: the drain's WGSL with the user's handlers in it.
//!
//! ```text
//!   slipring-core constants ─┐
//!   shaders/*.wgsl ──────────┼─▶ one WGSL module, checked ─▶ drain, drain_serial, fence
//!   Handler, Handler, … ─────┘
//! ```
//!
//! A handler is a WGSL function `fn name(job: Job) -> u32` that runs the slots of one user
//! opcode. `shaders/handler_api.wgsl` is all that it may use of the kernel: its arguments, the
//! observables, the workspace, the arena, I/O and the debug log. Whatever is wrong with it is reported where it
//! stands in the user's own file.
//!
//! ```
//! use slipring_driver::kernel::{Handler, Kernel};
//!
//! let double = Handler::wgsl(0x100, "double", "double.wgsl", "
//!     fn double(job: Job) -> u32 {
//!         if !observe(arg(job, 0u), 2u * arg(job, 1u)) { return fault(64u); }
//!         return HANDLER_OK;
//!     }
//! ");
//! let kernel = Kernel::builder().handler(double).build()?;
//! assert_eq!(kernel.handlers()[0].opcode(), 0x100);
//! # Ok::<(), slipring_driver::kernel::KernelError>(())
//! ```

mod abi;
mod check;
mod error;
mod handler;
mod iterations;
mod loops;
mod modules;
mod names;
mod source;
#[cfg(test)]
mod tests;

pub use error::{Declaration, IterationError, KernelError, OpcodeClass, Place};
pub use handler::{CpuHandler, Handler};
pub use iterations::{DispatchLimits, LLVMPIPE_ITERATIONS, StayLimits};

use crate::backend::LaneOrder;
use iterations::Iterations;
use modules::{kernel_source, segments};
use slipring_core::opcode;

/// Bindings of group 0.
pub mod binding {
    /// The control buffer.
    pub const CONTROL: u32 = 0;
    /// The ring.
    pub const RING: u32 = 1;
    /// The debug log.
    pub const DEBUG_LOG: u32 = 2;
    /// The IO queue.
    pub const IO_QUEUE: u32 = 3;
    /// The workspace: the handlers' words, and DFA_STEP's tables.
    pub const WORKSPACE: u32 = 4;
    /// The arena, which files are read into, for handlers.
    pub const ARENA: u32 = 5;
    /// The work list: `level << 28 | slot` an entry, read only.
    pub const WORK_LIST: u32 = 6;
    /// Uniform {offset, count, passes, look_passes, budget, …}: the dispatch's run of the work
    /// list.
    pub const RUN: u32 = 7;
}

/// One of [`Kernel::ENTRIES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Drain,
    Serial,
    Fence,
    Persist,
    PersistNarrow,
}

impl Entry {
    /// The entry point for slots.
    pub(crate) fn of(order: LaneOrder) -> Self {
        match order {
            LaneOrder::Parallel => Self::Drain,
            LaneOrder::Serial => Self::Serial,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        Kernel::ENTRIES[self as usize]
    }
}

/// A checked kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    source: String,
    module: naga::Module,
    module_info: naga::valid::ModuleInfo,
    handlers: Vec<Handler>,
    is_fused: bool,
    requests_io: bool,
    iterations: Iterations,
}

impl Kernel {
    /// Entry point: a lane for each entry of the run, [`Kernel::LANES`] a workgroup.
    pub const DRAIN: &str = "drain";
    /// Entry point: one workgroup of one lane that takes the run's entries in order.
    pub const DRAIN_SERIAL: &str = "drain_serial";
    /// Entry point: one workgroup that takes the run's fences in order.
    pub const FENCE: &str = "fence";
    /// Lanes of a workgroup of [`Kernel::DRAIN`] and [`Kernel::FENCE`].
    pub const LANES: u32 = abi::LANES;
    /// Bytes of the uniform at [`binding::RUN`].
    pub const RUN_BYTES: u64 = 32;
    /// Bytes from one run's parameters to the next: no device may ask dynamic offsets to be
    /// multiples of more.
    pub(crate) const RUN_STRIDE: usize = 256;
    /// A work list entry is `level << ENTRY_LEVEL_SHIFT | slot`.
    pub const ENTRY_LEVEL_SHIFT: u32 = abi::ENTRY_LEVEL_SHIFT;

    /// Entry point: workgroups of [`Kernel::LANES`] that stay on; see `shaders/persist.wgsl`.
    pub const PERSIST: &str = "persist";
    /// Entry point: the same with workgroups of [`Kernel::NARROW_LANES`].
    pub const PERSIST_NARROW: &str = "persist_narrow";
    /// Lanes of a workgroup of [`Kernel::PERSIST_NARROW`].
    pub const NARROW_LANES: u32 = abi::NARROW_LANES;
    /// The entry points, in the order of [`Entry`].
    pub(crate) const ENTRIES: [&str; 5] =
        [Self::DRAIN, Self::DRAIN_SERIAL, Self::FENCE, Self::PERSIST, Self::PERSIST_NARROW];

    /// Starts a kernel of the built-in opcodes.
    pub fn builder() -> KernelBuilder {
        KernelBuilder::default()
    }

    /// A kernel of one handler, compiled straight into the drain: sooner built, faster, and with
    /// all of a device's loop iterations for that handler. It claims and counts as others do, but
    /// runs only the handler's opcode, NOP, BATCH_FENCE and SHUTDOWN; slots of any other opcode,
    /// packed ones and LOAD_MISS too, end as FAULT(opcode).
    ///
    /// ```
    /// use slipring_driver::kernel::{Handler, Kernel};
    ///
    /// let count = "fn count(job: Job) -> u32 { observe_add(0u, 1u); return HANDLER_OK; }";
    /// let kernel = Kernel::fused(Handler::wgsl(0x100, "count", "count.wgsl", count))?;
    /// assert!(kernel.is_fused());
    /// # Ok::<(), slipring_driver::kernel::KernelError>(())
    /// ```
    ///
    /// # Errors
    /// Any [`KernelError`] but those of two handlers.
    pub fn fused(handler: Handler) -> Result<Self, KernelError> {
        Self::assemble(vec![handler], true)
    }

    fn assemble(handlers: Vec<Handler>, is_fused: bool) -> Result<Self, KernelError> {
        check_opcodes(&handlers)?;
        let files = unique_files(&handlers);
        // Each file is checked without the others first, and last in the text: an unclosed
        // brace is then reported at its end, not in what follows.
        let mut loops = Vec::new();
        for file in &files {
            let mut source = kernel_source(&[], is_fused);
            source.push_user(file.file(), file.source());
            let module = check::File::parse(&source, file.file())?;
            for handler in handlers.iter().filter(|handler| handler.shares_file(file)) {
                loops.push((handler, module.check_handler(handler)?));
            }
        }
        names::check(&files)?;
        let mut source = kernel_source(&handlers, is_fused);
        for file in &files {
            source.push_user(file.file(), file.source());
        }
        let (module, module_info) = check::parse(&source)?;
        let iterations = Iterations::count(&module, &loops, is_fused);
        let requests_io = loops.iter().any(|(_, loops)| loops.scans > 0);
        let source = source.into_text();
        Ok(Self { source, module, module_info, handlers, is_fused, requests_io, iterations })
    }

    /// The WGSL.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// One entry point as SPIR-V 1.3, as the mapped backend runs it.
    ///
    /// # Errors
    /// [`KernelError::Wgsl`] for an entry point that there is not.
    pub fn spirv(&self, entry: &str) -> Result<Vec<u32>, KernelError> {
        crate::vulkan::compile(self, entry).map_err(|message| {
            let place = Place { file: "slipring".to_owned(), line: 0, column: 0 };
            KernelError::Wgsl { place, message }
        })
    }

    /// The WGSL as naga understood it.
    pub(crate) fn module(&self) -> &naga::Module {
        &self.module
    }

    /// What naga found when it validated that.
    pub(crate) fn module_info(&self) -> &naga::valid::ModuleInfo {
        &self.module_info
    }

    /// The handlers, in the order they were added.
    pub fn handlers(&self) -> &[Handler] {
        &self.handlers
    }

    /// Whether it runs only its one handler's opcode, NOP, BATCH_FENCE and SHUTDOWN.
    pub fn is_fused(&self) -> bool {
        self.is_fused
    }

    /// Whether a handler asks for I/O.
    pub(crate) fn requests_io(&self) -> bool {
        self.requests_io
    }

    /// Segments of a drain: the most that a handler has.
    pub fn segments(&self) -> u32 {
        segments(&self.handlers)
    }

    /// The most loop iterations that one vector of lanes makes when each lane looks at one
    /// slot. Lanes of a vector may run different handlers, one after the other, so all count.
    pub fn iterations_per_look(&self) -> u64 {
        self.iterations.per_look()
    }

    /// How much one dispatch may do on a device that ends loops after `limit` iterations, for a
    /// ring of `ring_slots`. Only llvmpipe has such a limit: [`LLVMPIPE_ITERATIONS`].
    ///
    /// # Errors
    /// [`IterationError`] when not even one slot or fence fits.
    pub fn dispatch_limits(
        &self,
        limit: u32,
        ring_slots: u32,
    ) -> Result<DispatchLimits, IterationError> {
        self.iterations.dispatch_limits(limit, ring_slots)
    }

    /// How long one dispatch of [`Kernel::PERSIST`] may stay on a device that ends loops after
    /// `limit` iterations.
    ///
    /// # Errors
    /// [`IterationError`] when not even one look at a slot fits.
    pub fn stay_limits(&self, limit: u32, ring_slots: u32) -> Result<StayLimits, IterationError> {
        self.iterations.stay_limits(limit, ring_slots)
    }
}

/// Collects the handlers of a [`Kernel`].
#[derive(Clone, Debug, Default)]
pub struct KernelBuilder {
    handlers: Vec<Handler>,
}

impl KernelBuilder {
    /// Adds a handler. Handlers with the same file and source share one copy of it.
    #[must_use]
    pub fn handler(mut self, handler: Handler) -> Self {
        self.handlers.push(handler);
        self
    }

    /// Assembles and checks the kernel.
    ///
    /// # Errors
    /// [`KernelError`], of the first handler that has one.
    pub fn build(self) -> Result<Kernel, KernelError> {
        Kernel::assemble(self.handlers, false)
    }
}

fn check_opcodes(handlers: &[Handler]) -> Result<(), KernelError> {
    for (index, handler) in handlers.iter().enumerate() {
        let (opcode, function) = (handler.opcode(), handler.function().to_owned());
        if !opcode::is_user(opcode) {
            let builtin = opcode::is_builtin(opcode);
            let class = if builtin { OpcodeClass::BuiltIn } else { OpcodeClass::Reserved };
            return Err(KernelError::NotUserOpcode { opcode, function, class });
        }
        let segments = handler.max_segments();
        let most = if opcode::is_packable(opcode) { 1 } else { Handler::MAX_SEGMENTS };
        if segments == 0 || segments > most {
            return Err(KernelError::Segments { opcode, function, segments, most });
        }
        if let Some(first) = handlers[..index].iter().find(|first| first.opcode() == opcode) {
            let first = first.function().to_owned();
            return Err(KernelError::DuplicateOpcode { opcode, first, second: function });
        }
    }
    Ok(())
}

/// The first handler of each file.
fn unique_files(handlers: &[Handler]) -> Vec<&Handler> {
    let mut files: Vec<&Handler> = Vec::new();
    for handler in handlers {
        if !files.iter().any(|file| handler.shares_file(file)) {
            files.push(handler);
        }
    }
    files
}

//! The rows that programs run on.

use crate::handlers;
use slipring_core::layout::Geometry;
use slipring_core::opcode;
use slipring_core::partition::Partitions;
use slipring_core::tenant::TenantTable;
use slipring_driver::{ArenaOptions, Driver, DriverBuilder, Kernel, LaneOrder};

/// Workspace words: two rows of a DFA table, and some.
pub const WORKSPACE_WORDS: u32 = 600;
/// Arena words: one page.
pub const ARENA_WORDS: u32 = 1024;

/// A geometry, its partitions, and whether the kernel has handlers, or is the fused one of one.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub geometry: Geometry,
    pub partitions: Partitions,
    pub has_handlers: bool,
    pub fused: Option<u32>,
}

impl Shape {
    pub fn new(counts: [u32; 4], sizes: [u32; 5], has_handlers: bool) -> Self {
        let [slots, observables, records, io_slots] = counts;
        Self {
            geometry: Geometry::new(slots, observables, records, io_slots).expect("legal counts"),
            partitions: Partitions::from_sizes(sizes, slots).expect("sizes that add up"),
            has_handlers,
            fused: None,
        }
    }

    fn fused(self, opcode: u32) -> Self {
        Self { fused: Some(opcode), ..self }
    }

    /// The rows of the random programs: small and odd counts of everything, one to three
    /// workgroups, one to five levels.
    pub fn all() -> [Self; 9] {
        [
            Self::new([16, 8, 8, 4], [0, 0, 16, 0, 0], true),
            Self::new([33, 64, 64, 64], [6, 6, 9, 6, 6], true),
            Self::new([64, 0, 1, 1], [3, 0, 40, 20, 1], true),
            Self::new([16, 64, 8, 4], [3, 3, 4, 3, 3], false),
            Self::new([20, 200, 1, 2], [4, 4, 4, 4, 4], true),
            Self::new([150, 200, 64, 4], [0, 0, 150, 0, 0], true),
            Self::new([40, 64, 64, 4], [4, 4, 24, 4, 4], true).fused(handlers::NOTE),
            Self::new([21, 64, 8, 2], [0, 5, 16, 0, 0], true).fused(handlers::MIX),
            Self::new([30, 64, 8, 6], [0, 0, 20, 10, 0], true).fused(handlers::FETCH),
        ]
    }

    pub fn control_words(&self) -> u32 {
        self.geometry.control_words() as u32
    }

    /// Whether the kernel has the opcode at all.
    pub fn runs(&self, opcode: u32) -> bool {
        self.fused.is_none_or(|own| [own, opcode::NOP, opcode::SHUTDOWN].contains(&opcode))
    }

    fn kernel(&self) -> Kernel {
        if let Some(opcode) = self.fused {
            return handlers::fused(opcode);
        }
        if self.has_handlers {
            return handlers::kernel();
        }
        Kernel::builder().build().expect("the built-in kernel compiles")
    }

    pub fn builder(&self, order: LaneOrder) -> DriverBuilder {
        Driver::builder(self.kernel(), self.geometry)
            .partitions(self.partitions)
            .tenants(TenantTable::open(29))
            .workspace_words(WORKSPACE_WORDS as usize)
            .arena(ArenaOptions { chunks: 1, chunk_bytes: 4 * ARENA_WORDS })
            .lane_order(order)
    }
}

//! Commands, recorded once: what changes from drain to drain is in memory that they read.

use super::device::{Device, failed};
use super::memory::Allocation;
use super::pipelines::{Bindings, Pipelines};
use crate::backend::BackendError;
use crate::kernel::{Entry, Kernel};
use ash::vk;
use std::sync::Arc;

/// Runs of one submission: one a level and segment, and the fences. More make a second one.
pub(crate) const RUNS: usize = 16;
/// Words of one indirect dispatch's arguments.
pub(crate) const DISPATCH_WORDS: usize = 3;

/// How a submission's dispatches know their workgroups.
#[derive(Clone, Copy)]
enum Groups<'a> {
    /// From these arguments, one entry a run.
    Indirect(&'a Allocation),
    /// Always so many.
    Fixed(u32),
}

/// Command buffers that are submitted over and over.
pub(crate) struct Recording {
    device: Arc<Device>,
    pool: vk::CommandPool,
    commands: Vec<vk::CommandBuffer>,
}

impl Recording {
    /// Records dispatches of `drain` (one of the entry points for slots) and of fences: see
    /// [`Recording::of_runs`]. Run r of a submission finds its parameters in stride r of what the
    /// uniform is bound to, and its workgroups in `arguments`.
    pub(crate) fn drains(
        device: &Arc<Device>,
        pipelines: &Pipelines,
        bindings: &Bindings,
        drain: Entry,
        arguments: &Allocation,
    ) -> Result<Self, BackendError> {
        let recording = Self::new(device, 2 * RUNS as u32)?;
        for drains in 0..RUNS {
            for fences in 0..2 {
                let runs = std::iter::repeat_n(drain, drains);
                let runs = runs.chain(std::iter::repeat_n(Entry::Fence, fences));
                let runs = runs.enumerate().map(|(run, entry)| (entry, run));
                let groups = Groups::Indirect(arguments);
                recording.record(2 * drains + fences, (pipelines, bindings), groups, runs)?;
            }
        }
        Ok(recording)
    }

    /// Records, twice, `dispatches` of `groups` workgroups of a kernel that stays, each with the
    /// parameters of a run.
    pub(crate) fn stays(
        device: &Arc<Device>,
        pipelines: &Pipelines,
        bindings: &Bindings,
        entry: Entry,
        groups: u32,
        dispatches: usize,
    ) -> Result<Self, BackendError> {
        let recording = Self::new(device, 2)?;
        for index in 0..2 {
            let runs = (0..dispatches).map(|run| (entry, run));
            recording.record(index, (pipelines, bindings), Groups::Fixed(groups), runs)?;
        }
        Ok(recording)
    }

    fn new(device: &Arc<Device>, commands: u32) -> Result<Self, BackendError> {
        let description =
            vk::CommandPoolCreateInfo::default().queue_family_index(device.queue_family());
        // SAFETY: the device is alive and has this queue family.
        let pool = unsafe { device.raw().create_command_pool(&description, None) };
        let pool = pool.map_err(failed("vkCreateCommandPool"))?;
        let mut recording = Self { device: Arc::clone(device), pool, commands: Vec::new() };
        let request = vk::CommandBufferAllocateInfo::default()
            .command_pool(pool)
            .level(vk::CommandBufferLevel::PRIMARY)
            .command_buffer_count(commands);
        // SAFETY: the pool is new.
        let commands = unsafe { device.raw().allocate_command_buffers(&request) };
        recording.commands = commands.map_err(failed("vkAllocateCommandBuffers"))?;
        Ok(recording)
    }

    /// Records dispatches, each of an entry point with the parameters of a run.
    fn record(
        &self,
        index: usize,
        (pipelines, bindings): (&Pipelines, &Bindings),
        groups: Groups<'_>,
        runs: impl Iterator<Item = (Entry, usize)>,
    ) -> Result<(), BackendError> {
        use vk::AccessFlags as Access;
        use vk::PipelineStageFlags as Stage;
        let (raw, commands) = (self.device.raw(), self.commands[index]);
        let barrier = |from: (Stage, Access), to: (Stage, Access)| {
            let memory = vk::MemoryBarrier::default().src_access_mask(from.1).dst_access_mask(to.1);
            let none = vk::DependencyFlags::empty();
            // SAFETY: the command buffer is being recorded.
            unsafe { raw.cmd_pipeline_barrier(commands, from.0, to.0, none, &[memory], &[], &[]) };
        };
        let shader = (Stage::COMPUTE_SHADER, Access::SHADER_READ | Access::SHADER_WRITE);
        // A user's own passes come before and after: they go through the same queue.
        let others = (
            Stage::COMPUTE_SHADER | Stage::TRANSFER | Stage::HOST,
            Access::SHADER_WRITE | Access::TRANSFER_WRITE | Access::HOST_WRITE,
        );
        let inputs = (
            Stage::COMPUTE_SHADER | Stage::DRAW_INDIRECT,
            shader.1 | Access::UNIFORM_READ | Access::INDIRECT_COMMAND_READ,
        );
        let readers = (
            Stage::COMPUTE_SHADER | Stage::TRANSFER | Stage::HOST,
            shader.1
                | Access::TRANSFER_READ
                | Access::TRANSFER_WRITE
                | Access::HOST_READ
                | Access::HOST_WRITE,
        );
        // No ONE_TIME_SUBMIT: the same commands are submitted again and again.
        let begin = vk::CommandBufferBeginInfo::default();
        // SAFETY: the command buffer is new, and no other thread has it or its pool.
        unsafe { raw.begin_command_buffer(commands, &begin) }
            .map_err(failed("vkBeginCommandBuffer"))?;
        barrier(others, inputs);
        for (dispatch, (entry, run)) in runs.enumerate() {
            if dispatch > 0 {
                barrier((shader.0, Access::SHADER_WRITE), shader);
            }
            let (compute, layout) = (vk::PipelineBindPoint::COMPUTE, pipelines.layout());
            let (pipeline, set) = (pipelines.pipeline(entry), bindings.set());
            let (params, arguments_at) = (run * Kernel::RUN_STRIDE, run * DISPATCH_WORDS * 4);
            // SAFETY: pipeline, layout, set and arguments are of this device and outlive the
            // commands, since one value owns them all; the offsets lie within the buffers, which
            // have RUNS entries. The pipeline was asked for.
            unsafe {
                raw.cmd_bind_pipeline(commands, compute, pipeline);
                raw.cmd_bind_descriptor_sets(
                    commands,
                    compute,
                    layout,
                    0,
                    &[set],
                    &[params as u32],
                );
                match groups {
                    Groups::Fixed(groups) => raw.cmd_dispatch(commands, groups, 1, 1),
                    Groups::Indirect(arguments) => {
                        let arguments = arguments.buffer();
                        raw.cmd_dispatch_indirect(commands, arguments, arguments_at as u64);
                    }
                }
            }
        }
        barrier((shader.0, Access::SHADER_WRITE), readers);
        // SAFETY: as above.
        unsafe { raw.end_command_buffer(commands) }.map_err(failed("vkEndCommandBuffer"))
    }

    /// Of drains: the commands of so many runs of slots, and a run of fences behind them or not.
    pub(crate) fn of_runs(&self, drains: usize, has_fence: bool) -> vk::CommandBuffer {
        self.commands[2 * drains + usize::from(has_fence)]
    }

    /// Of stays: both command buffers.
    pub(crate) fn pair(&self) -> [vk::CommandBuffer; 2] {
        [self.commands[0], self.commands[1]]
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // SAFETY: the owner has waited for all commands, which go with the pool.
        unsafe { self.device.raw().destroy_command_pool(self.pool, None) };
    }
}

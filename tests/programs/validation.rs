//! The validation layer is there, and is listened to.

use crate::gpu;
use crate::shape::Shape;
use ash::vk;
use slipring_driver::{BackendChoice, LaneOrder};

/// A call that wgpu would never make, and that drivers do not mind.
#[test]
fn an_invalid_vulkan_call_is_noticed() {
    if gpu::is_skipped() {
        return;
    }
    let driver = gpu::open(Shape::all()[0].builder(LaneOrder::Parallel), BackendChoice::Portable);
    gpu::assert_no_messages();
    let device = driver.gpu().expect("a GPU").device();
    let unknown = vk::FenceCreateFlags::from_raw(0x40);
    let info = vk::FenceCreateInfo::default().flags(unknown);
    // SAFETY: nothing else is done with the raw device; the fence is never used, and is
    // destroyed. The flag is unknown to every driver, which is the point.
    unsafe {
        let hal = device.as_hal::<wgpu::hal::api::Vulkan>().expect("a Vulkan device");
        let raw = hal.raw_device();
        let fence = raw.create_fence(&info, None).expect("a fence");
        raw.destroy_fence(fence, None);
    }
    let messages = gpu::take_messages();
    let is_it = |message: &String| message.contains("VUID-VkFenceCreateInfo-flags");
    assert!(messages.iter().any(is_it), "the validation layer said only: {messages:?}");
}

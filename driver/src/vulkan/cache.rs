//! The device's pipeline cache, kept on disk: what was compiled for one driver, the next one reads.
//!
//! ```text
//!   file ─ whole? of this device? ─▶ VkPipelineCache ─▶ pipelines ─ anything new? ─▶ file
//! ```
//!
//! Vulkan believes every byte that it is given, so that none gets there that the checksum and the
//! device's own header do not vouch for. Whatever is wrong with a file is a warning: pipelines can
//! always be compiled.

use super::device::Device;
use ash::vk;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// The most bytes of a file: 64 MiB.
const MAX_BYTES: usize = 64 << 20;
/// Bytes of a file's header: magic, version, bytes of the device's data behind it, their CRC-32.
const HEADER_BYTES: usize = 16;
const MAGIC: u32 = u32::from_le_bytes(*b"SRPC");
const VERSION: u32 = 1;
/// Bytes of the `VkPipelineCacheHeaderVersionOne` that a device's data begins with.
const DEVICE_HEADER_BYTES: usize = 32;

/// A pipeline cache while pipelines are made. Its handle is null where there is none.
pub(crate) struct Cache<'a> {
    device: &'a Device,
    path: PathBuf,
    handle: vk::PipelineCache,
    /// What the device was given: its data out of the file, or nothing.
    loaded: Vec<u8>,
}

impl<'a> Cache<'a> {
    /// The cache in `dir`, if it is to be kept, for pipelines of this SPIR-V.
    pub(crate) fn open(device: &'a Device, dir: Option<&Path>, codes: &[Vec<u32>]) -> Self {
        let (path, handle) = (PathBuf::new(), vk::PipelineCache::null());
        let mut cache = Self { device, path, handle, loaded: Vec::new() };
        let Some(dir) = dir else { return cache };
        cache.path = dir.join(file_name(device.properties(), codes));
        let loaded = load(&cache.path, device.properties());
        if let Err(reason) = loaded.and_then(|data| cache.create(data)) {
            tracing::warn!(file = %cache.path.display(), reason, "a pipeline cache is ignored");
            if let Err(reason) = cache.create(Vec::new()) {
                tracing::warn!(reason, "pipelines are made without a cache");
            }
        }
        cache
    }

    fn create(&mut self, data: Vec<u8>) -> Result<(), String> {
        let description = vk::PipelineCacheCreateInfo::default().initial_data(&data);
        // SAFETY: the device is alive, and the description outlives the call. The data is empty,
        // or what this device has returned: `load` has checked its sum and its header.
        let handle = unsafe { self.device.raw().create_pipeline_cache(&description, None) };
        self.handle = handle.map_err(|error| format!("vkCreatePipelineCache: {error}"))?;
        self.loaded = data;
        Ok(())
    }

    pub(crate) fn handle(&self) -> vk::PipelineCache {
        self.handle
    }

    /// Has the file hold all that the device has cached by now. Says, for people, where the
    /// pipelines came from.
    pub(crate) fn store(self) -> String {
        if let Err(reason) = self.try_store() {
            tracing::warn!(file = %self.path.display(), reason, "a pipeline cache is not kept");
        }
        match self.loaded.len() {
            0 => "pipelines compiled".to_owned(),
            1..=DEVICE_HEADER_BYTES => "pipelines compiled: the device's cache is empty".to_owned(),
            bytes => format!("pipelines from a cache of {bytes} bytes"),
        }
    }

    fn try_store(&self) -> Result<(), String> {
        if self.handle == vk::PipelineCache::null() {
            return Ok(());
        }
        // SAFETY: the cache is alive, and of this device.
        let data = unsafe { self.device.raw().get_pipeline_cache_data(self.handle) };
        let data = data.map_err(|error| format!("vkGetPipelineCacheData: {error}"))?;
        match data == self.loaded {
            true => Ok(()),
            false => save(&self.path, &data).map_err(|error| error.to_string()),
        }
    }
}

impl Drop for Cache<'_> {
    fn drop(&mut self) {
        // SAFETY: the cache is this value's own, or null, and pipelines do not need it once they
        // are made.
        unsafe { self.device.raw().destroy_pipeline_cache(self.handle, None) };
    }
}

/// A name of all that the content depends on: device, Vulkan driver and kernel.
fn file_name(device: &vk::PhysicalDeviceProperties, codes: &[Vec<u32>]) -> String {
    let mut kernel = crc32fast::Hasher::new();
    codes.iter().for_each(|code| kernel.update(bytemuck::cast_slice(code)));
    format!(
        "{:032x}-{:x}-{:x}-{:x}-{:08x}.pipelines",
        u128::from_be_bytes(device.pipeline_cache_uuid),
        device.vendor_id,
        device.device_id,
        device.driver_version,
        kernel.finalize()
    )
}

/// The header in front of a device's data.
fn header(data: &[u8]) -> [u32; HEADER_BYTES / 4] {
    [MAGIC, VERSION, data.len() as u32, crc32fast::hash(data)]
}

/// The device's data out of a file; nothing if there is no file.
///
/// # Errors
/// Why the file cannot be used.
fn load(path: &Path, device: &vk::PhysicalDeviceProperties) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = fs::metadata(path).and_then(|metadata| match metadata.is_file() {
        true => File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes),
        false => Err(io::Error::other("it is not a file")),
    });
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(bytes),
        read => read.map_err(|error| error.to_string())?,
    };
    if bytes.len() > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    if bytes.len() < HEADER_BYTES {
        return Err(format!("it has {} bytes; its header takes {HEADER_BYTES}", bytes.len()));
    }
    let data = bytes.split_off(HEADER_BYTES);
    let found: [u32; HEADER_BYTES / 4] = bytemuck::pod_read_unaligned(&bytes);
    let names = ["magic", "version", "length", "checksum"];
    for ((name, found), expected) in names.into_iter().zip(found).zip(header(&data)) {
        if found != expected {
            return Err(format!("its {name} is {found:#x}; {expected:#x} is expected"));
        }
    }
    match data.starts_with(&device_header(device)) {
        true => Ok(data),
        false => Err("its data is another device's".to_owned()),
    }
}

/// What a device's data begins with.
fn device_header(device: &vk::PhysicalDeviceProperties) -> Vec<u8> {
    let version = vk::PipelineCacheHeaderVersion::ONE.as_raw() as u32;
    let words = [DEVICE_HEADER_BYTES as u32, version, device.vendor_id, device.device_id];
    [bytemuck::bytes_of(&words), &device.pipeline_cache_uuid].concat()
}

/// Replaces a file at once: whoever reads it has the old one or the new one.
fn save(path: &Path, data: &[u8]) -> io::Result<()> {
    if HEADER_BYTES + data.len() > MAX_BYTES {
        let message = format!("{} bytes, and {MAX_BYTES} are kept", HEADER_BYTES + data.len());
        return Err(io::Error::new(ErrorKind::FileTooLarge, message));
    }
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    // A hasher's keys are random: no other thread or process writes to this name.
    let unique = RandomState::new().build_hasher().finish();
    let temporary = path.with_extension(format!("{}-{unique:016x}.tmp", std::process::id()));
    let mut file = File::create_new(&temporary)?;
    let written = file
        .write_all(bytemuck::bytes_of(&header(data)))
        .and_then(|()| file.write_all(data))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Its name is nobody else's, so that nobody would ever clean it up.
        let _ = fs::remove_file(&temporary);
    }
    written
}

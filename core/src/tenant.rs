//! Tenants: who may publish what, and how much of it at once.

use crate::control::{self, Control, MASK_ALL, TENANTS, UNLIMITED_QUOTA};
use crate::layout::MissingWord;
use crate::opcode;
use crate::words::WordMut;

/// Why a tenant may not publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum TenantError {
    /// The table has no such tenant.
    #[error("tenant {tenant}; there are tenants 0 to {}", TENANTS - 1)]
    Unknown { tenant: u32 },
    /// A user opcode outside the tenant's range.
    #[error("opcode {opcode:#x} is outside tenant {tenant}'s {first:#x}..={last:#x}")]
    Opcode { tenant: u32, opcode: u32, first: u32, last: u32 },
}

/// What one tenant may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Tenant {
    /// 0 pauses the tenant: its slots stay PUBLISHED.
    pub mask: u32,
    /// Slots that may be in flight at once; [`UNLIMITED_QUOTA`] and above are no limit.
    pub quota: u32,
    /// The first user opcode it may publish. Built-in opcodes are open to all.
    pub first_opcode: u32,
    /// The last user opcode it may publish.
    pub last_opcode: u32,
}

impl Tenant {
    /// Runs, without quota, with every opcode.
    pub const OPEN: Self =
        Self { mask: MASK_ALL, quota: UNLIMITED_QUOTA, first_opcode: 0, last_opcode: u32::MAX };
    /// Paused, with nothing in flight and no user opcode.
    pub const CLOSED: Self = Self { mask: 0, quota: 0, first_opcode: 1, last_opcode: 0 };

    /// Whether the quota limits anything.
    pub const fn is_unlimited(&self) -> bool {
        self.quota >= UNLIMITED_QUOTA
    }
}

/// The 29 tenants.
///
/// ```
/// use slipring_core::tenant::{Tenant, TenantTable};
/// let mut tenants = TenantTable::open(1);
/// tenants.set(4, Tenant { quota: 8, first_opcode: 0x100, last_opcode: 0x1FF, ..Tenant::OPEN })?;
/// assert!(tenants.check(4, 0x200).is_err());
/// assert!(tenants.check(29, 0x100).is_err());
/// # Ok::<(), slipring_core::tenant::TenantError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TenantTable {
    tenants: [Tenant; TENANTS as usize],
}

impl TenantTable {
    /// The first `count` tenants open, the others closed.
    pub fn open(count: u32) -> Self {
        let mut tenants = [Tenant::CLOSED; TENANTS as usize];
        for tenant in tenants.iter_mut().take(count as usize) {
            *tenant = Tenant::OPEN;
        }
        Self { tenants }
    }

    /// One tenant.
    ///
    /// # Errors
    /// [`TenantError::Unknown`] from 29 on.
    #[inline]
    pub fn get(&self, tenant: u32) -> Result<&Tenant, TenantError> {
        self.tenants.get(tenant as usize).ok_or(TenantError::Unknown { tenant })
    }

    /// Changes one tenant.
    ///
    /// # Errors
    /// [`TenantError::Unknown`] from 29 on.
    pub fn set(&mut self, tenant: u32, value: Tenant) -> Result<(), TenantError> {
        let entry = self.tenants.get_mut(tenant as usize);
        *entry.ok_or(TenantError::Unknown { tenant })? = value;
        Ok(())
    }

    /// Whether the tenant may publish the opcode.
    ///
    /// # Errors
    /// [`TenantError`].
    #[inline]
    pub fn check(&self, tenant: u32, opcode: u32) -> Result<&Tenant, TenantError> {
        let entry = self.get(tenant)?;
        let (first, last) = (entry.first_opcode, entry.last_opcode);
        if opcode::is_user(opcode) && !(first..=last).contains(&opcode) {
            return Err(TenantError::Opcode { tenant, opcode, first, last });
        }
        Ok(entry)
    }

    /// Writes every mask and quota to the control buffer.
    ///
    /// # Errors
    /// [`MissingWord`] of a control buffer that ends before the last quota; it is
    /// unchanged.
    pub fn write_to<W: WordMut>(&self, control: &Control<'_, W>) -> Result<(), MissingWord> {
        control.check_word(control::word::TENANT_QUOTAS + TENANTS as usize - 1)?;
        let words = |first: usize| control.words().get(first..).unwrap_or(&[]);
        let (masks, quotas) = (control::word::TENANT_MASKS, control::word::TENANT_QUOTAS);
        for ((entry, mask), quota) in self.tenants.iter().zip(words(masks)).zip(words(quotas)) {
            quota.store(entry.quota);
            // Release: as `Control::set_tenant`.
            mask.store_release(entry.mask);
        }
        Ok(())
    }
}

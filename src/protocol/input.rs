//! What one read brought, being consumed from the front.

/// Bytes from the peer that are not consumed yet. They are unmasked in place.
#[derive(Debug)]
pub struct Input<'b>(&'b mut [u8]);

impl<'b> Input<'b> {
    /// Wraps what one read returned.
    pub fn new(bytes: &'b mut [u8]) -> Input<'b> {
        Input(bytes)
    }

    /// Bytes left.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether all is consumed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all that is left.
    pub fn take_all(&mut self) -> &'b mut [u8] {
        std::mem::take(&mut self.0)
    }

    /// What is left, to look at.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.0
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> &'b mut [u8] {
        let (taken, rest) = std::mem::take(&mut self.0).split_at_mut(len);
        self.0 = rest;
        taken
    }

    /// Takes what is there of `len` bytes.
    pub(super) fn take_up_to(&mut self, len: u64) -> &'b mut [u8] {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.0.len());
        self.take(len)
    }
}

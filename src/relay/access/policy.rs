//! Policy: what each role may do.

/// What each role may do.
#[derive(Clone, Debug, Default)]
pub struct Policy;

impl Policy {
    /// Everybody may do everything but speak as another.
    pub fn open() -> Policy {
        Policy
    }
}

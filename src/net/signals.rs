//! The second signal: it ends the process from within the signal handler.
//!
//! The event loop takes the first INT or TERM when it comes round to it, and stops in good order. A
//! loop that does not come round, because a callback or a write is stuck, never would: then the
//! second one must not depend on it.
//!
//! This module does not know what the first signal does.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// As long as it lives, the second INT or TERM exits at once, with status 130 or 143.
pub(super) struct SecondSignal {
    handlers: Vec<SigId>,
}

impl SecondSignal {
    pub fn watch() -> io::Result<SecondSignal> {
        let is_second = Arc::new(AtomicBool::new(false));
        let mut watched = SecondSignal { handlers: Vec::new() };
        for signal in [SIGINT, SIGTERM] {
            // Handlers run in the order of their registration: the question comes before the mark,
            // or the first signal would be its own second.
            let status = 128 + signal;
            let question =
                flag::register_conditional_shutdown(signal, status, Arc::clone(&is_second))?;
            watched.handlers.push(question);
            watched.handlers.push(flag::register(signal, Arc::clone(&is_second))?);
        }
        Ok(watched)
    }
}

impl Drop for SecondSignal {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            low_level::unregister(handler);
        }
    }
}

impl fmt::Debug for SecondSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecondSignal")
    }
}

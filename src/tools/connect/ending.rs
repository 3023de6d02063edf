//! Ending: what is left when `switchboard connect` ends, as an exit code and a sentence.
//!
//! ```text
//!   2 frames without an answer, 1 line that was never a frame
//!     3   2 frames are unanswered, and kept in bob.json; lines that were read and not sent: 1
//! ```
//!
//! This module does not know why it ends.

use std::path::Path;

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The exit code: 0, 1 if something was refused, 3 if something is unanswered or there is no
    /// connection.
    pub code: u8,
    /// What is to be said about it on standard error.
    pub sentence: Option<String>,
}

/// What was not done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left<'a> {
    /// Frames without an answer.
    pub frames: usize,
    /// Lines of input that were read and are no frames yet.
    pub lines: usize,
    /// How much was refused.
    pub refused: u64,
    /// Where frames are kept.
    pub state: Option<&'a Path>,
}

impl Left<'_> {
    /// How it ends, perhaps because of something that counts for more.
    pub fn ending(self, why: Option<String>) -> Ending {
        let sentence = why.or_else(|| self.sentence());
        let code = match (&sentence, self.refused) {
            (Some(_), _) => UNANSWERED,
            (None, 0) => 0,
            (None, _) => REFUSED,
        };
        Ending { code, sentence }
    }

    fn sentence(self) -> Option<String> {
        let Left { frames, lines, state, .. } = self;
        let frames = match (frames, state) {
            (0, _) => None,
            (frames, None) => Some(format!("{frames} frames are unanswered")),
            (frames, Some(path)) => {
                Some(format!("{frames} frames are unanswered, and kept in {}", path.display()))
            }
        };
        let lines = (lines > 0).then(|| format!("lines that were read and not sent: {lines}"));
        let parts: Vec<String> = frames.into_iter().chain(lines).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

const REFUSED: u8 = 1;
const UNANSWERED: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_counts_for_more_than_what_was_refused() {
        let state = Some(Path::new("bob.json"));
        for (frames, lines, refused, state, code, sentence) in [
            (0, 0, 0, None, 0, None),
            (0, 0, 2, None, 1, None),
            (2, 0, 2, None, 3, Some("2 frames are unanswered")),
            (0, 1, 0, state, 3, Some("lines that were read and not sent: 1")),
            (
                2,
                1,
                0,
                state,
                3,
                Some(
                    "2 frames are unanswered, and kept in bob.json; \
                     lines that were read and not sent: 1",
                ),
            ),
        ] {
            let left = Left { frames, lines, refused, state };
            let wanted = Ending { code, sentence: sentence.map(str::to_owned) };
            assert_eq!(left.ending(None), wanted);
            let why = Some("no connection".to_owned());
            assert_eq!(left.ending(why.clone()), Ending { code: 3, sentence: why });
        }
    }
}

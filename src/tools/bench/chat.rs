//! Text that compresses as chats do: words that come again, and names and numbers that do not.
//!
//! ```text
//! {"id":"5f0c21","user":"mia","time":1763807467,"text":"yes we can meet at the station"},{"id":...
//! ^ a message of any length begins where one of these does, and is cut where its length ends
//! ```
//!
//! One text repeated would be no measure: with context takeover each message would be a reference
//! to the one before. So each message takes another place of a long text, which is the same in
//! every run.
//!
//! This module does not know how messages are sent and compressed.

/// A long text, and places in it where messages begin.
#[derive(Debug)]
pub struct Chat {
    text: Vec<u8>,
    starts: Vec<usize>,
    len: usize,
}

/// What may stand in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Objects of JSON.
    Json,
    /// Words and punctuation that a JSON string need not escape.
    Prose,
}

impl Chat {
    /// A text for messages of `len` bytes each.
    pub fn new(len: usize, form: Form) -> Chat {
        let (mut text, mut starts) = (Vec::new(), Vec::new());
        let mut random = Random(SEED);
        let mut time = 1_763_807_467_u64;
        while text.len() < TEXT_BYTES + len {
            starts.push(text.len());
            let user = pick(&USERS, random.below(USERS.len()));
            let id = random.below(1 << 24);
            time += random.below(40) as u64;
            if form == Form::Json {
                let head = format!(r#"{{"id":"{id:06x}","user":"{user}","time":{time},"text":""#);
                text.extend_from_slice(head.as_bytes());
            } else {
                text.extend_from_slice(user.as_bytes());
                text.extend_from_slice(b": ");
            }
            let words = 3 + random.below(14);
            for word in 0..words {
                text.extend_from_slice(if word > 0 { b" " } else { b"" });
                text.extend_from_slice(random.word().as_bytes());
            }
            text.extend_from_slice(if form == Form::Json { b"\"}," } else { b". " });
        }
        starts.retain(|start| start + len <= text.len());
        Chat { text, starts, len }
    }

    /// The text of this message of this stream.
    pub fn message(&self, stream: u32, sequence: u64) -> &[u8] {
        // A hash: a step of any fixed length comes back to its neighbourhood soon.
        let mut place = u64::from(stream) << 40 ^ sequence;
        for factor in [0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB_u64] {
            place = (place ^ place >> 30).wrapping_add(SEED).wrapping_mul(factor);
        }
        let place = (place ^ place >> 31) % self.starts.len() as u64;
        let start = self.starts[place as usize];
        &self.text[start..start + self.len]
    }
}

/// xorshift64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    /// Frequent ones more often: they come first.
    fn word(&mut self) -> &'static str {
        let bound = 1 + self.below(WORDS.len());
        let place = self.below(bound);
        pick(&WORDS, place)
    }
}

fn pick(words: &[&'static str], place: usize) -> &'static str {
    words.get(place).copied().unwrap_or("")
}

const SEED: u64 = 0x5EED_0F5E_ED0F_5EED;

/// Longer than any window by far, so that a message hardly ever finds itself in it.
const TEXT_BYTES: usize = 2 << 20;

const USERS: [&str; 16] = [
    "mia", "noah", "li wei", "emma", "oliver", "zofia", "ivan", "amara", "lucas", "hana", "mateo",
    "ines", "yusuf", "clara", "tomas", "aiko",
];

#[rustfmt::skip]
const WORDS: [&str; 200] = [
    "the", "I", "you", "to", "a", "it", "is", "and", "that", "in", "we", "of", "on", "for", "have",
    "be", "at", "this", "not", "are", "with", "do", "can", "was", "but", "so", "my", "what", "if",
    "just", "they", "will", "me", "there", "your", "he", "she", "all", "no", "yes", "ok", "one",
    "about", "up", "know", "from", "when", "out", "get", "think", "like", "time", "today", "go",
    "how", "now", "see", "or", "then", "would", "as", "don't", "good", "it's", "I'm", "going",
    "tomorrow", "want", "need", "some", "here", "back", "great", "thanks", "really", "well", "too",
    "our", "them", "him", "her", "been", "did", "has", "had", "work", "right", "still", "home",
    "could", "should", "after", "before", "come", "make", "more", "much", "please", "sorry", "sure",
    "maybe", "later", "again", "let", "meet", "call", "send", "sent", "day", "week", "night",
    "morning", "people", "something", "nothing", "everyone", "because", "where", "who", "why",
    "way", "look", "looks", "nice", "thing", "things", "new", "first", "last", "next", "long",
    "never", "always", "already", "soon", "off", "over", "even", "only", "very", "quite", "idea",
    "question", "meeting", "train", "station", "coffee", "lunch", "dinner", "party", "birthday",
    "photo", "photos", "link", "page", "server", "update", "release", "problem", "phone", "car",
    "weekend", "Monday", "Friday", "Sunday", "minutes", "hour", "weather", "rain", "music", "film",
    "ticket", "money", "house", "kitchen", "school", "exam", "game", "team", "friend", "sister",
    "brother", "mother", "doctor", "holiday", "beach", "airport", "message", "answer", "check",
    "waiting", "finished", "started", "believe", "remember", "forgot", "happy", "tired", "funny",
    "sun",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn messages_have_their_length_and_differ_from_their_neighbours() {
        for len in [0, 1, 109, 1_024, 70_000] {
            for form in [Form::Json, Form::Prose] {
                let chat = Chat::new(len, form);
                let messages = |stream| (0..200).map(move |sequence| (stream, sequence));
                let texts: HashSet<&[u8]> = messages(1)
                    .chain(messages(2))
                    .map(|(stream, sequence)| chat.message(stream, sequence))
                    .collect();
                assert!(texts.iter().all(|text| text.len() == len && text.is_ascii()));
                assert!(len < 100 || texts.len() > 390, "{len} {form:?}: {}", texts.len());
            }
        }
    }

    #[test]
    fn prose_needs_no_escaping_and_json_is_json() {
        let prose = Chat::new(5_000, Form::Prose);
        for byte in prose.message(3, 4) {
            assert!(!byte.is_ascii_control() && !b"\"\\".contains(byte));
        }
        let json = Chat::new(5_000, Form::Json);
        let text = str::from_utf8(json.message(3, 4)).unwrap();
        let (objects, _) = text.rsplit_once("},").unwrap();
        let parsed: serde_json::Value = serde_json::from_str(&format!("[{objects}}}]")).unwrap();
        assert!(parsed.as_array().is_some_and(|objects| objects.len() > 20));
    }

    #[test]
    fn it_is_the_same_in_every_run() {
        let text = Chat::new(40, Form::Prose);
        assert_eq!(text.message(0, 0), Chat::new(40, Form::Prose).message(0, 0));
    }
}

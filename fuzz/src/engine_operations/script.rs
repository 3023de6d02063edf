//! What happens, as a list that a person can read.
//!
//! ```text
//! 03 00 01 05 00 00    Message { client: 0, behaviour: Echo, binary: false, coding: Plain,
//!                                len: 5, cuts: 0 }
//! ```
//!
//! This module does not know what comes of it.

use arbitrary::{Arbitrary, Result, Unstructured};
use switchboard::Limits;
use switchboard::config::Deflate;

/// A setting, and what happens in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Bit 0: the relay instead of the router; bits 1-2: which limits; bits 3-4: how much one read
    /// brings; bits 5-6: what is agreed about compression.
    pub setting: u8,
    /// One after the other.
    pub operations: Vec<Operation>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A client connects, if it is not connected, and sends a good request.
    Connect(u8),
    /// A client connects and says nothing.
    Dial(u8),
    /// A client sends these bytes, whatever they are.
    Bytes(u8, Vec<u8>),
    /// A client sends a message.
    Message {
        /// Which one.
        client: u8,
        /// What it asks for.
        behaviour: Behaviour,
        /// Binary, or text.
        binary: bool,
        /// How its payload is coded, if that is agreed.
        coding: Coding,
        /// Its length, in bytes.
        len: u16,
        /// How many times it is cut into fragments; each cut has a Ping in it.
        cuts: u8,
    },
    /// A client sends a control frame: a Ping, a Pong, or a Close.
    Control(u8, u8),
    /// A client reads so many bytes more, and then no more.
    Room(u8, u16),
    /// A client reads all that comes, from now on.
    Drink(u8),
    /// A client sends FIN.
    Finish(u8),
    /// A client's connection is reset.
    Reset(u8),
    /// Time goes by, in steps of 50 ms, without a tick.
    Wait(u8),
    /// One tick.
    Tick,
    /// Another thread lets the handler send to a client.
    Inject(u8, u16),
    /// The server is told to stop.
    ShutDown,
}

/// What a message makes the handler do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Nothing.
    Swallow,
    /// Send it back.
    Echo,
    /// Send it on to the next client.
    Next,
    /// Send it to everybody, encoded once.
    Everybody,
    /// Send it to everybody in two parts.
    Parts,
    /// Close the connection it came from.
    Close,
    /// Close the next client's connection.
    CloseNext,
    /// Send something later.
    Later,
}

impl Behaviour {
    /// All of them. A message's first byte is its place here, as a letter from `a` on.
    pub const ALL: [Behaviour; 8] = [
        Behaviour::Swallow,
        Behaviour::Echo,
        Behaviour::Next,
        Behaviour::Everybody,
        Behaviour::Parts,
        Behaviour::Close,
        Behaviour::CloseNext,
        Behaviour::Later,
    ];
}

/// How a client codes what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Plain,
    /// Compressed, with context takeover if that is agreed.
    Deflated,
    /// In blocks without compression.
    Stored,
    /// The same, and the last block ends the stream.
    Final,
}

impl Coding {
    const ALL: [Coding; 4] = [Coding::Plain, Coding::Deflated, Coding::Stored, Coding::Final];
}

impl Script {
    /// Whether the handler is the relay.
    pub fn has_relay(&self) -> bool {
        self.setting & 1 == 1
    }

    /// How many bytes one read brings at most.
    pub fn read_len(&self) -> usize {
        [4096, 7, 100, 65_536][usize::from(self.setting >> 3 & 3)]
    }

    /// Whether clients offer to compress, those that ever do.
    pub fn has_offers(&self) -> bool {
        self.setting >> 5 & 3 != 0
    }

    /// What the server says to that.
    fn deflate(&self) -> Deflate {
        [Deflate::On, Deflate::Off, Deflate::On, Deflate::Takeover]
            [usize::from(self.setting >> 5 & 3)]
    }

    /// Small limits, so that a short script reaches them.
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::relay();
        limits.head_max_bytes = 600;
        limits.head_timeout_ms = 3_000;
        limits.ping_interval_ms = 2_500;
        limits.ping_timeout_ms = 2_000;
        limits.close_timeout_ms = 1_000;
        limits.write_timeout_ms = 2_000;
        limits.read_buffer_bytes = 65_536;
        limits.deflate_mode = self.deflate().as_number();
        limits.deflate_min_bytes = 32;
        limits.deflate_takeover_max = 2;
        let (connections, message, high, low, total, sends) = match self.setting >> 1 & 3 {
            0 => (100, 65_536, 1 << 20, 4_096, 1 << 30, 16_384),
            1 => (3, 9_000, 4_096, 1_000, 65_536, 5),
            2 => (100, 40_000, 1_024, 0, 70_000, 1),
            _ => (100, 300, 1_024, 1_023, 65_536, 16_384),
        };
        limits.connections_max = connections;
        limits.message_max_bytes = message;
        limits.message_frames_max = 16;
        limits.outbox_high_bytes = high;
        limits.outbox_low_bytes = low;
        limits.outbox_total_bytes = total;
        limits.send_budget_max = sends;
        limits
    }

    /// The input that is read as this script.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.setting];
        self.operations.iter().for_each(|operation| operation.write(&mut bytes));
        bytes
    }
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Script> {
        let setting = u.arbitrary()?;
        let mut operations = Vec::new();
        while !u.is_empty() && operations.len() < OPERATIONS_MAX {
            operations.push(u.arbitrary()?);
        }
        Ok(Script { setting, operations })
    }
}

impl<'a> Arbitrary<'a> for Operation {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Operation> {
        // Byte by byte, and not derived: a script can then be written by hand, and a byte that is
        // changed changes one operation.
        let kind = u.arbitrary::<u8>()? % 13;
        if kind == 10 {
            return Ok(Operation::Tick);
        }
        if kind == 12 {
            return Ok(Operation::ShutDown);
        }
        let first: u8 = u.arbitrary()?;
        let client = first % CLIENTS as u8;
        Ok(match kind {
            0 => Operation::Connect(client),
            1 => Operation::Dial(client),
            2 => {
                let len = usize::from(u.arbitrary::<u8>()?).min(u.len());
                Operation::Bytes(client, u.bytes(len)?.to_vec())
            }
            3 => {
                let kind: u8 = u.arbitrary()?;
                let behaviour = Behaviour::ALL[usize::from(kind % 8)];
                let len = u.arbitrary()?;
                let cuts = u.arbitrary::<u8>()? % 20;
                let coding = Coding::ALL[usize::from(kind >> 4 & 3)];
                let binary = kind & 8 != 0;
                Operation::Message { client, behaviour, binary, coding, len, cuts }
            }
            4 => Operation::Control(client, u.arbitrary()?),
            5 => Operation::Room(client, u.arbitrary()?),
            6 => Operation::Drink(client),
            7 => Operation::Finish(client),
            8 => Operation::Reset(client),
            9 => Operation::Wait(first),
            _ => Operation::Inject(client, u.arbitrary()?),
        })
    }
}

impl Operation {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Operation::Connect(client) => out.extend([0, *client]),
            Operation::Dial(client) => out.extend([1, *client]),
            Operation::Bytes(client, bytes) => {
                out.extend([2, *client, bytes.len() as u8]);
                out.extend(bytes);
            }
            Operation::Message { client, behaviour, binary, coding, len, cuts } => {
                let place = Behaviour::ALL.iter().position(|other| other == behaviour);
                let kind = place.unwrap_or(0) as u8 | u8::from(*binary) << 3;
                let kind = kind | (*coding as u8) << 4;
                out.extend([3, *client, kind]);
                out.extend(len.to_le_bytes());
                out.push(*cuts);
            }
            Operation::Control(client, kind) => out.extend([4, *client, *kind]),
            Operation::Room(client, len) => {
                out.extend([5, *client]);
                out.extend(len.to_le_bytes());
            }
            Operation::Drink(client) => out.extend([6, *client]),
            Operation::Finish(client) => out.extend([7, *client]),
            Operation::Reset(client) => out.extend([8, *client]),
            Operation::Wait(steps) => out.extend([9, *steps]),
            Operation::Tick => out.push(10),
            Operation::Inject(client, len) => {
                out.extend([11, *client]);
                out.extend(len.to_le_bytes());
            }
            Operation::ShutDown => out.push(12),
        }
    }
}

/// How many clients there are at once.
pub const CLIENTS: usize = 6;

/// Longer scripts are not better ones.
const OPERATIONS_MAX: usize = 200;

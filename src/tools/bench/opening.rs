//! The opening of a run's connections, a few handshakes at a time.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::compressed::{OFFER, Talk};
use super::dialect::V1;
use super::fleet::{Conn, Fleet, Part};
use super::intake::Deaf;
use super::outgoing::append_frame;
use super::settings::{Dialect, Protocol, Settings};
use super::template::{User, fill_id};
use super::{BenchError, Progress};
use crate::net::Io;
use crate::net::client::Ready;
use crate::tools::random::random;
use crate::wire::handshake::AnswerError;
use crate::wire::{ClientHandshake, DeflateAgreement, MaskingKey, Opcode, Parsed};

/// The opening of all connections, a few handshakes at a time.
pub(super) struct Opening<'a> {
    fleet: &'a mut Fleet,
    settings: &'a Settings,
    addr: SocketAddr,
    host: &'a str,
    targets: &'a [String],
    parts: &'a [Part],
    handshakes: Vec<Option<Box<Handshake<'a>>>>,
    open: usize,
}

/// A handshake under way.
struct Handshake<'a> {
    handshake: ClientHandshake<'a>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl<'a> Opening<'a> {
    /// Will open a connection to `addr` for each of the parts; `targets` are theirs, in order.
    pub fn new(
        fleet: &'a mut Fleet,
        settings: &'a Settings,
        addr: SocketAddr,
        host: &'a str,
        targets: &'a [String],
        parts: &'a [Part],
    ) -> Opening<'a> {
        let handshakes = Vec::with_capacity(parts.len());
        Opening { fleet, settings, addr, host, targets, parts, handshakes, open: 0 }
    }

    /// Opens them.
    pub fn run(mut self, progress: &mut Progress<'_>) -> Result<(), BenchError> {
        let mut ready = Vec::new();
        let mut last = (self.open, self.fleet.clients.now());
        while self.open < self.parts.len() {
            while self.handshakes.len() < self.parts.len()
                && self.handshakes.len() - self.open < HANDSHAKES_MAX
            {
                self.begin()?;
            }
            self.fleet.wait(&mut ready, STEP)?;
            for event in &ready {
                self.serve(*event)?;
            }
            self.fleet.check_all_open()?;
            let now = self.fleet.clients.now();
            progress.show(now, || format!("{} of {} open", self.open, self.parts.len()));
            if self.open != last.0 {
                last = (self.open, now);
            } else if now.since(last.1) > OPEN_TIMEOUT {
                return Err(BenchError::Silent { addr: self.addr, open: self.open as u64 });
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), BenchError> {
        let number = self.handshakes.len();
        let protocols: &[&str] = match self.settings.dialect {
            Dialect::Plain => &[],
            Dialect::V1 => &[V1],
        };
        let handshake = ClientHandshake::new(self.host, &self.targets[number], nonce(), protocols)
            .map_err(BenchError::Request)?;
        let handshake = match self.fleet.compression {
            Some(_) => handshake.with_deflate(OFFER),
            None => handshake,
        };
        let source = source(self.addr.ip(), number);
        let connected = self.fleet.clients.connect(self.addr, source);
        connected.map_err(|source| self.connect_error(source))?;
        let (mut request, answer) = (Vec::new(), Vec::new());
        handshake.write(&mut request);
        self.handshakes.push(Some(Box::new(Handshake { handshake, request, answer })));
        self.fleet.conns.push(Conn::new(self.parts[number]));
        Ok(())
    }

    fn connect_error(&self, source: io::Error) -> BenchError {
        BenchError::Connect { addr: self.addr, open: self.open as u64, source }
    }

    fn serve(&mut self, event: Ready) -> Result<(), BenchError> {
        let id = event.id;
        let Some(under_way) = self.handshakes[id].as_mut() else {
            self.fleet.ignore(event);
            return Ok(());
        };
        if self.fleet.protocol == Protocol::Raw {
            return self.begin_raw(id);
        }
        if event.writable && !under_way.request.is_empty() {
            match self.fleet.clients.write(id, &under_way.request) {
                Io::Moved(written) => drop(under_way.request.drain(..written)),
                Io::Blocked => {}
                Io::Broken(source) => return Err(self.connect_error(source)),
            }
        }
        if event.readable || event.closing { self.read(event) } else { Ok(()) }
    }

    /// Without a handshake a connection is open when it stands, and a read tells whether it does.
    fn begin_raw(&mut self, id: usize) -> Result<(), BenchError> {
        match self.fleet.clients.read(id, &mut self.fleet.buffer) {
            Io::Broken(source) => Err(self.connect_error(source)),
            Io::Blocked | Io::Moved(_) => {
                self.handshakes[id] = None;
                self.opened(id, &mut [], None);
                Ok(())
            }
        }
    }

    fn read(&mut self, event: Ready) -> Result<(), BenchError> {
        let id = event.id;
        while let Some(under_way) = self.handshakes[id].as_mut() {
            let read = match self.fleet.clients.read(id, &mut self.fleet.buffer) {
                Io::Moved(0) => return Err(self.refused(AnswerError::Malformed)),
                Io::Moved(read) => read,
                Io::Blocked => return Ok(()),
                Io::Broken(source) => return Err(self.connect_error(source)),
            };
            under_way.answer.extend_from_slice(&self.fleet.buffer[..read]);
            match under_way.handshake.check_response(&under_way.answer) {
                Ok(Parsed::Partial) => {}
                Ok(Parsed::Complete { value, .. })
                    if self.settings.dialect == Dialect::V1 && value.protocol != Some(V1) =>
                {
                    return Err(BenchError::Unwelcome { welcome: self.open as u64 });
                }
                Ok(Parsed::Complete { value, len }) => {
                    let mut frames = under_way.answer.split_off(len);
                    self.handshakes[id] = None;
                    self.opened(id, &mut frames, value.deflate.as_ref());
                }
                Err(error) => return Err(self.refused(error)),
            }
        }
        // It stands since the last read, and there may be more than that read has brought.
        self.fleet.ignore(event);
        Ok(())
    }

    fn refused(&self, error: AnswerError) -> BenchError {
        BenchError::Refused { addr: self.addr, open: self.open as u64, error }
    }

    /// What followed the answer in the same read is `frames`.
    fn opened(&mut self, id: usize, frames: &mut [u8], agreed: Option<&DeflateAgreement>) {
        self.open += 1;
        let key = self.fleet.key;
        let conn = &mut self.fleet.conns[id];
        conn.is_open = true;
        let hello = self.settings.hello.as_ref().map(|hello| fill_id(hello, conn.part.user));
        let hello = hello.as_deref().map(str::as_bytes);
        if self.settings.dialect == Dialect::V1 {
            conn.duty = Some(Box::default());
            if let Some(greeting) = &self.fleet.greeting {
                append_frame(&mut conn.control.replies, Opcode::Text, key, greeting.as_bytes());
            }
        }
        let duty = conn.duty.as_deref_mut();
        let mut deaf = Deaf { control: &mut conn.control, key, duty };
        let fed = match &mut self.fleet.compression {
            Some(compression) => {
                let talk = conn.talk.insert(Box::new(Talk::new(compression, agreed)));
                if let Some(hello) = hello {
                    talk.say(compression, hello);
                }
                talk.feed(compression, frames, &mut deaf)
            }
            None => {
                if let Some(hello) = hello {
                    append_frame(&mut deaf.control.replies, Opcode::Text, key, hello);
                }
                conn.scanner.feed(frames, &mut deaf).map(|()| None)
            }
        };
        self.fleet.judge(id, fed);
        self.fleet.flush(id);
    }
}

/// From where connection `number` goes: past what one address has ports for, loopback has more
/// addresses.
fn source(to: IpAddr, number: usize) -> Option<IpAddr> {
    let further = number / CONNECTIONS_PER_SOURCE;
    if further == 0 || !to.is_loopback() || to.is_ipv6() {
        return None;
    }
    let [third, last] = u16::try_from(further + 1).ok()?.to_be_bytes();
    Some(Ipv4Addr::new(127, 0, third, last).into())
}

fn nonce() -> [u8; 16] {
    random().to_be_bytes()
}

/// A key that nobody can know beforehand, without a zero in it.
pub(super) fn random_key() -> MaskingKey {
    let [a, b, c, d, ..] = random().to_be_bytes();
    MaskingKey([a | 1, b | 1, c | 1, d | 1])
}

/// The request target for a user.
pub(super) fn target(settings: &Settings, user: User) -> String {
    let mut target = fill_id(&settings.url.target, user);
    if let Some(register) = &settings.register {
        let register = fill_id(register, user);
        match register.strip_prefix('?') {
            Some(more) if target.contains('?') => target.extend(["&", more]),
            _ => target.push_str(&register),
        }
    }
    target
}

/// Handshakes under way at once: fewer than any server keeps waiting.
const HANDSHAKES_MAX: usize = 100;

/// Connections from one source address; an address has some 28,000 ports to connect from.
const CONNECTIONS_PER_SOURCE: usize = 20_000;

const STEP: Duration = Duration::from_millis(100);

/// How long the opening waits while no connection opens.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::super::settings::Url;
    use super::*;

    #[test]
    fn loopback_has_more_addresses_than_one() {
        let loopback = "127.0.0.1".parse().unwrap();
        assert_eq!(source(loopback, 19_999), None);
        assert_eq!(source(loopback, 20_000), Some("127.0.0.2".parse().unwrap()));
        assert_eq!(source(loopback, 20_000 * 255), Some("127.0.1.0".parse().unwrap()));
        assert_eq!(source("10.0.0.1".parse().unwrap(), 20_000), None);
        assert_eq!(source("::1".parse().unwrap(), 20_000), None);
    }

    #[test]
    fn users_register_in_the_url() {
        let user = User { role: b's', number: 255 };
        let target = |url, register: Option<&str>| {
            let mut settings = Settings::new(Url::parse(url).unwrap());
            settings.register = register.map(str::to_owned);
            super::target(&settings, user)
        };
        assert_eq!(target("ws://host", Some("?user={id}")), "/?user=s0000ff");
        assert_eq!(target("ws://host/a?b=c", Some("?user={id}")), "/a?b=c&user=s0000ff");
        assert_eq!(target("ws://host/a/", Some("{id}")), "/a/s0000ff");
        assert_eq!(target("ws://host/{id}/b", None), "/s0000ff/b");
    }

    #[test]
    fn keys_have_no_zero_and_differ() {
        assert!(random_key().0.iter().all(|octet| *octet != 0));
        assert_ne!(nonce(), nonce());
    }
}

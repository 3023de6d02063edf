//! How long a commit of the store takes, and how many messages share one.
//!
//! `cargo bench --bench store` measures; `cargo bench --bench store -- --test` only runs each once.
//! The directory is the one for temporary files: set `TMPDIR` to measure another disk.
//!
//! A commit adds to the journal; now and then one is followed by a checkpoint. Both are means over
//! so many messages that checkpoints have their share in them.
//!
//! Beside each stands its limit: the same bytes appended to a plain file, and one `fdatasync`.

use std::collections::VecDeque;
use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use switchboard::config::Durability;
use switchboard::relay::log::{
    BatchNumber, Change, Draft, Echo, Entry, Experience, Numbers, Outcome, Receipt, Seq,
    ServerState, Stamp, Store, To,
};
use switchboard::store::Durable;

/// A store that is used as a server uses it: by users who write to each other, whose logs are
/// emptied as they read.
struct Bench {
    store: Durable,
    woken: Receiver<()>,
    seq: u64,
    batch: u64,
    committed: u64,
    users: Vec<String>,
    kept: VecDeque<(usize, u64)>,
    content: String,
    folder: PathBuf,
}

impl Bench {
    fn new(name: &str, durability: Durability) -> Bench {
        let folder = std::env::temp_dir().join(format!("switchboard-bench-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        let (wake, woken) = channel();
        let opened = Durable::open(&folder, durability, move || {
            let _ = wake.send(());
        });
        let mut bench = Bench {
            store: opened.expect("a store").store,
            woken,
            seq: 0,
            batch: 0,
            committed: 0,
            users: (0..1_000).map(|number| format!("user-{number:04}")).collect(),
            kept: VecDeque::new(),
            content: format!("\"{}\"", "x".repeat(250)),
            folder,
        };
        for user in &bench.users {
            bench.store.note(Change::Create { user, dropped: Seq(0) });
        }
        bench.commit();
        bench.wait(0);
        bench
    }

    /// Notes a message, and what else changes with it.
    fn message(&mut self) {
        self.seq += 1;
        let place =
            |salt: u64| (self.seq.wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ salt) >> 40) as usize;
        let (to, from) = (place(0) % self.users.len(), place(77) % self.users.len());
        let (user, sender) = (&self.users[to], &self.users[from]);
        let draft = Draft {
            seq: Some(Seq(self.seq)),
            at: Stamp(self.seq),
            sender,
            client: "c8f3",
            id: self.seq,
            to: To::User(user),
            content: &self.content,
            echo: Echo::No,
            receipt: Receipt::Unasked,
        };
        let entry = Entry::new(&draft);
        self.store.note(Change::Append { user, entry: &entry });
        let numbers = Numbers::restored(self.seq, 0, Experience::Some);
        let seen = Stamp(self.seq);
        self.store.note(Change::Client { user: sender, client: "c8f3", numbers, seen });
        self.kept.push_back((to, self.seq));
        if self.kept.len() > KEPT_MAX
            && let Some((to, seq)) = self.kept.pop_front()
        {
            let (user, seq) = (&self.users[to], Seq(seq));
            self.store.note(Change::Acknowledge { user, acked: seq });
            self.store.note(Change::Discard { user, dropped: seq });
        }
    }

    fn commit(&mut self) {
        let counter = Seq(self.seq);
        let server = ServerState { counter, floor: Seq(0), stamp: Stamp(self.seq) };
        self.store.note(Change::Server(server));
        self.batch += 1;
        let _ = self.store.commit(BatchNumber(self.batch));
    }

    /// Waits until no more than so many batches wait.
    fn wait(&mut self, waiting_max: u64) {
        while self.batch - self.committed > waiting_max {
            self.woken.recv().expect("a store that says something");
            while let Some(outcome) = self.store.poll() {
                let Outcome::Committed(number) = outcome else { panic!("{outcome:?}") };
                self.committed = number.0;
            }
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One commit after the other, with so many messages in each.
fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(20);
    for messages in [1, 16, 256] {
        group.throughput(Throughput::Elements(messages));
        let mut bench = Bench::new(&format!("commit-{messages}"), Durability::Commit);
        group.bench_function(BenchmarkId::new("store", messages), |bencher| {
            bencher.iter(|| {
                (0..messages).for_each(|_| bench.message());
                bench.commit();
                bench.wait(0);
            });
        });
        drop(bench);
        let path = std::env::temp_dir().join(format!("switchboard-bench-plain-{messages}"));
        let mut file = File::create(&path).expect("a file");
        let bytes = vec![b'x'; 360 * messages as usize];
        group.bench_function(BenchmarkId::new("append and fdatasync", messages), |bencher| {
            bencher.iter(|| {
                file.write_all(black_box(&bytes)).expect("a disk with room");
                file.sync_data().expect("a disk that works");
            });
        });
        let _ = std::fs::remove_file(&path);
    }
    group.finish();
}

/// Batches of one message each, handed over while commits run: as ticks of a busy server.
fn ticks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("message");
    group.sample_size(20);
    group.throughput(Throughput::Elements(1));
    for (name, durability) in
        [("commit", Durability::Commit), ("interval:1s", Durability::Interval { ms: 1_000 })]
    {
        for waiting in [1, 16, 256] {
            let mut bench = Bench::new(&format!("tick-{waiting}"), durability);
            group.bench_function(BenchmarkId::new(name, waiting), |bencher| {
                bencher.iter_custom(|messages| {
                    let started = Instant::now();
                    for _ in 0..messages {
                        bench.message();
                        bench.commit();
                        bench.wait(waiting - 1);
                    }
                    bench.wait(0);
                    started.elapsed()
                });
            });
        }
    }
    group.finish();
}

/// How many messages are in the logs together.
const KEPT_MAX: usize = 20_000;

criterion_group!(benches, commits, ticks);
criterion_main!(benches);

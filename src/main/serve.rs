//! The two servers of the binary, from their plan to their end.
//!
//! ```text
//! plan --> files --> listeners --> store --> event loop --> end
//!            ^                                   | SIGHUP
//!            |                                   v
//!          the loader's thread <-------------- a bell
//! ```
//!
//! A server that was started twice by mistake ends at its listeners: nothing is made on the disk.
//!
//! The event loop opens no file: a thread of its own reads them again, and hands over what they
//! say.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::thread;

use log::{error, info, warn};
use switchboard::cli::{self, Loaded, Mode, Plan, Reloaded, Stream, Surroundings};
use switchboard::echo::Echo;
use switchboard::engine::Door;
use switchboard::net::{Handle, Listen, ListenAddress, Listening};
use switchboard::{Handler, Relay, RelayConfig, Server, logger};

use super::{end, fail, logs, print};

/// Starts the server that was asked for and stays until it ends.
pub fn run(plan: Plan) -> ExitCode {
    // Before the log is: what is wrong in a file is said as what is wrong in a flag.
    let loaded = match plan.mode {
        Mode::Echo => None,
        Mode::Serve => match cli::load(&plan, &cli::read_file) {
            Ok(loaded) => Some(loaded),
            Err(problems) => return end(&cli::usage_errors(&problems)),
        },
    };
    // Flushes the log when it goes, after a panic too.
    let _logger = logger::install(plan.log.clone());
    let unknown = cli::unknown_variables(std::env::vars_os().map(|(name, _)| name));
    let of_files = loaded.iter().flat_map(|loaded| &loaded.warnings);
    for warning in unknown.iter().chain(&plan.warnings).chain(of_files) {
        warn!("{warning}");
    }
    let listening = match Listening::open(&doors(&plan)) {
        Ok(listening) => listening,
        Err(error) => return fail(&error),
    };
    match loaded {
        None => serve(&plan, listening, Echo, |_| Ok(())),
        Some(loaded) => relay(plan, loaded, listening),
    }
}

/// Where to listen, and for whom.
fn doors(plan: &Plan) -> Vec<Listen> {
    let public = plan.listen.iter().map(|address| (address, Door::Public));
    let doors = public.chain(plan.admin.iter().map(|address| (address, Door::Admin)));
    doors.map(|(address, door)| Listen { address: address.clone(), door }).collect()
}

fn relay(plan: Plan, loaded: Loaded, listening: Listening) -> ExitCode {
    let Plan { limits, broadcast, reach, .. } = plan;
    let Loaded { access, courier, keys, .. } = loaded;
    let (logs, wake) = match logs::open(&plan) {
        Ok(opened) => opened,
        Err(error) => return fail(&error),
    };
    let mut relay = Relay::new(RelayConfig { limits, broadcast, reach, access, logs });
    relay.set_keys(keys);
    let (bell, rings) = sync_channel(1);
    relay.set_reload(move || match bell.try_send(()) {
        // One that waits already will see what has changed since.
        Ok(()) | Err(TrySendError::Full(())) => {}
        Err(TrySendError::Disconnected(())) => error!("not reloaded: nobody reads the files"),
    });
    let started = plan.clone();
    serve(&plan, listening, relay, |handle| {
        wake.set(handle.clone());
        courier.map_or(Ok(()), |courier| courier.start(handle.clone()))?;
        let loader = thread::Builder::new().name("loader".to_owned());
        loader.spawn(move || reload(&rings, &started, &handle)).map(|_| ())
    })
}

/// Says where it listens, and serves. `start` is called before.
fn serve<H: Handler>(
    plan: &Plan,
    listening: Listening,
    handler: H,
    start: impl FnOnce(Handle<H>) -> std::io::Result<()>,
) -> ExitCode {
    let bound = Server::at(listening, plan.limits, handler).and_then(Server::with_signals);
    let server = match bound {
        Ok(server) => server,
        Err(error) => return fail(&error),
    };
    if let Err(error) = start(server.handle()) {
        return fail(&error);
    }
    let at = |door| -> Vec<ListenAddress> {
        let listeners = server.listeners().iter().filter(|listen| listen.door == door);
        listeners.map(|listen| listen.address.clone()).collect()
    };
    let greeting =
        cli::greeting(plan, &at(Door::Public), &at(Door::Admin), server.connections_max());
    print(Stream::Stdout, &greeting);
    match server.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// The loader's thread: reads the files again whenever the bell rings.
fn reload(rings: &Receiver<()>, started: &Plan, handle: &Handle<Relay>) {
    let args: Vec<OsString> = std::env::args_os().collect();
    for () in rings {
        match cli::reload(&args, Surroundings::system(), started) {
            Ok(reloaded) => replace(reloaded, handle),
            Err(problems) => {
                for problem in problems {
                    error!("not reloaded: {problem}");
                }
            }
        }
    }
}

fn replace(reloaded: Reloaded, handle: &Handle<Relay>) {
    let Reloaded { plan, loaded, warnings } = reloaded;
    let Loaded { access, courier, keys, warnings: of_files } = loaded;
    let started = courier.map_or(Ok(()), |courier| courier.start(handle.clone()));
    if let Err(error) = started {
        return error!("not reloaded: {error}");
    }
    let told = handle.call(move |relay, cx| {
        logger::set_filter(plan.log);
        relay.reconfigure(cx, access);
        relay.set_keys(keys);
        for warning in plan.warnings.iter().chain(&of_files).chain(&warnings) {
            warn!("{warning}");
        }
        info!("reloaded");
    });
    if let Err(error) = told {
        error!("not reloaded: {error}");
    }
}

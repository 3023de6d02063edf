//! The `switchboard` binary: command line, logger, server and tools, tied together.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use switchboard::cli::{self, ListenAddress, Mode, Plan, Stream, Surroundings, Task};
use switchboard::echo::Echo;
use switchboard::tools::bench;
use switchboard::{Handler, Relay, RelayConfig, Server, logger};

fn main() -> ExitCode {
    match cli::plan(std::env::args_os(), Surroundings::system()) {
        Ok(Task::Serve(plan)) => run(&plan),
        Ok(Task::Bench(settings)) => measure(&settings),
        Ok(Task::Send(settings)) => leave(&cli::send::run(&settings)),
        Err(exit) => leave(&exit),
    }
}

fn leave(exit: &cli::Exit) -> ExitCode {
    print(exit.stream, &exit.text);
    ExitCode::from(exit.code)
}

/// Starts the server that was asked for and stays until it ends.
fn run(plan: &Plan) -> ExitCode {
    // Flushes the log when it goes, after a panic too.
    let _logger = logger::install(plan.log.clone());
    let unknown = cli::unknown_variables(std::env::vars_os().map(|(name, _)| name));
    for warning in unknown.iter().chain(&plan.warnings) {
        log::warn!("{warning}");
    }
    match plan.mode {
        Mode::Echo => serve(plan, Echo),
        Mode::Serve => {
            let Plan { limits, broadcast, reach, .. } = *plan;
            serve(plan, Relay::new(RelayConfig { limits, broadcast, reach }))
        }
    }
}

fn serve<H: Handler>(plan: &Plan, handler: H) -> ExitCode {
    let mut addresses = Vec::new();
    for address in plan.listen.iter().chain(&plan.admin) {
        match address {
            ListenAddress::Tcp(address) if plan.admin.is_none() => addresses.push(*address),
            // Until the event loop has such listeners.
            _ => return fail(&format!("cannot listen on {address} yet")),
        }
    }
    let bound = Server::bind(plan.limits, &addresses, handler).and_then(Server::with_signals);
    let server = match bound {
        Ok(server) => server,
        Err(error) => return fail(&error),
    };
    let addresses: Vec<_> =
        server.local_addrs().iter().map(|address| ListenAddress::Tcp(*address)).collect();
    let greeting = cli::greeting(plan, &addresses, &[], server.connections_max());
    print(Stream::Stdout, &greeting);
    match server.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Puts load on a server and prints what was measured.
fn measure(settings: &bench::Settings) -> ExitCode {
    // Better now than after a long run.
    if let Some(path) = &settings.plot
        && let Err(error) = std::fs::write(path, "")
    {
        return fail(&format!("cannot write {}: {error}", path.display()));
    }
    let is_terminal = std::io::stderr().is_terminal();
    let mut progress = |text: &str| {
        if is_terminal {
            print(Stream::Stderr, &format!("\r\x1b[K{text}"));
        }
    };
    let result = bench::run(settings, &mut progress);
    progress("");
    let report = match result {
        Ok(report) => report,
        Err(error) => return fail(&error),
    };
    print(
        Stream::Stdout,
        &match settings.output {
            bench::settings::OutputForm::Json => report.json() + "\n",
            bench::settings::OutputForm::Table => report.table(),
        },
    );
    if let Some(path) = &settings.plot
        && let Some(form) = bench::plot::PlotForm::of(path)
        && let Err(error) = std::fs::write(path, bench::plot::plot(&report, form))
    {
        return fail(&format!("cannot write {}: {error}", path.display()));
    }
    if report.outcome.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fail(error: &dyn Display) -> ExitCode {
    // It comes after the log, and not at all where nobody reads: the writer would wait for ever.
    if logger::flush() {
        print(Stream::Stderr, &format!("error: {error}\n"));
    }
    ExitCode::FAILURE
}

/// Prints and flushes; unlike `print!` it does not panic when nobody reads.
fn print(stream: Stream, text: &str) {
    let _ = match stream {
        Stream::Stderr => std::io::stderr().write_all(text.as_bytes()),
        Stream::Stdout => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        }
    };
}

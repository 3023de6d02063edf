//! The `switchboard` binary: command line, logger and server, tied together.

use std::io::Write;
use std::process::ExitCode;

use switchboard::cli::{self, Mode, Plan, Stream};
use switchboard::echo::Echo;
use switchboard::net::ServerError;
use switchboard::{Handler, Relay, RelayConfig, Server, logger};

fn main() -> ExitCode {
    match cli::plan(std::env::args_os(), &|name| std::env::var_os(name)) {
        Ok(plan) => run(&plan),
        Err(exit) => {
            print(exit.stream, &exit.text);
            ExitCode::from(exit.code)
        }
    }
}

/// Starts the server that was asked for and stays until it ends.
fn run(plan: &Plan) -> ExitCode {
    logger::install(plan.log.clone());
    for warning in cli::unknown_variables(std::env::vars_os().map(|(name, _)| name)) {
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
    let bound = Server::bind(plan.limits, &plan.listen, handler).and_then(Server::with_signals);
    let server = match bound {
        Ok(server) => server,
        Err(error) => return fail(&error),
    };
    let greeting = cli::greeting(plan, server.local_addrs(), server.connections_max());
    print(Stream::Stdout, &greeting);
    if plan.mode == Mode::Serve {
        log::warn!("there is no authentication: user names are claims, not identities");
    }
    match server.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &ServerError) -> ExitCode {
    print(Stream::Stderr, &format!("error: {error}\n"));
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

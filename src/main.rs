//! The `switchboard` binary: command line, logger and server, tied together.

use std::io::Write;
use std::process::ExitCode;

use switchboard::cli::{self, Mode, Plan, Stream};
use switchboard::logger;

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
    let server = match placeholder::Server::bind(&plan.listen) {
        Ok(server) => server,
        Err(error) => {
            print(Stream::Stderr, &format!("error: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    let greeting = cli::greeting(plan, &server.local_addrs(), server.connection_limit());
    print(Stream::Stdout, &greeting);
    if plan.mode == Mode::Serve {
        log::warn!("there is no authentication: user names are claims, not identities");
    }
    server.run()
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

/// Stands where `net::Server` will: it takes the addresses and does nothing with them.
mod placeholder {
    use std::net::{SocketAddr, TcpListener};
    use std::process::ExitCode;

    pub(super) struct Server(Vec<TcpListener>);

    impl Server {
        pub(super) fn bind(listen: &[SocketAddr]) -> Result<Server, String> {
            let bind = |address: &SocketAddr| {
                let listener = TcpListener::bind(address);
                listener.map_err(|error| format!("cannot listen on {address}: {error}"))
            };
            Ok(Server(listen.iter().map(bind).collect::<Result<_, _>>()?))
        }

        pub(super) fn local_addrs(&self) -> Vec<SocketAddr> {
            self.0.iter().filter_map(|listener| listener.local_addr().ok()).collect()
        }

        pub(super) fn connection_limit(&self) -> usize {
            960
        }

        pub(super) fn run(self) -> ExitCode {
            loop {
                std::thread::park();
            }
        }
    }
}

//! The `switchboard` binary: command line, logger, server and tools, tied together.

#[path = "main/logs.rs"]
mod logs;
#[path = "main/serve.rs"]
mod serve;

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use switchboard::cli::{self, Exit, Stream, Surroundings, Task, TokenSettings};
use switchboard::logger;
use switchboard::tools::bench;

fn main() -> ExitCode {
    match cli::plan(std::env::args_os(), Surroundings::system()) {
        Ok(Task::Serve(plan)) => serve::run(*plan),
        Ok(Task::Bench(settings)) => measure(&settings),
        #[cfg(feature = "durable")]
        Ok(Task::CheckData(settings)) => check_data(&settings),
        Ok(Task::Connect(settings)) => converse(*settings),
        Ok(Task::Send(settings)) => end(&cli::send::run(&settings)),
        Ok(Task::Token(settings)) => mint(&settings),
        Err(exit) => end(&exit),
    }
}

fn end(exit: &Exit) -> ExitCode {
    print(exit.stream, &exit.text);
    ExitCode::from(exit.code)
}

/// Is a client, of people if they are there.
fn converse(settings: cli::connect::Settings) -> ExitCode {
    let (reads, types) = (std::io::stdout().is_terminal(), std::io::stdin().is_terminal());
    let settings =
        cli::connect::for_terminal(settings, reads, types, &|name| std::env::var_os(name));
    end(&cli::connect::run(&settings))
}

/// Prints a token that is good from now on.
fn mint(settings: &TokenSettings) -> ExitCode {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match settings.mint(now.as_secs()) {
        Ok(token) => {
            print(Stream::Stdout, &format!("{token}\n"));
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// Looks at a store, and says on a terminal what takes so long.
#[cfg(feature = "durable")]
fn check_data(settings: &cli::check_data::Settings) -> ExitCode {
    let is_terminal = std::io::stderr().is_terminal();
    let mut progress = |text: &str| {
        if is_terminal {
            print(Stream::Stderr, &format!("\r\x1b[K{text}"));
        }
    };
    let exit = cli::check_data::run(settings, &mut progress);
    progress("");
    end(&exit)
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

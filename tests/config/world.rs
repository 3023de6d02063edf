//! A machine without disk: variables and files of a test.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use switchboard::cli::{
    self, Exit, Exposure, FileText, Plan, Reloaded, Stream, Surroundings, Task,
};

/// Variables and files.
#[derive(Clone, Default)]
pub struct World {
    variables: HashMap<String, OsString>,
    files: HashMap<PathBuf, FileText>,
}

impl World {
    pub fn new() -> World {
        World::default()
    }

    /// A world in which `a.toml` says this.
    pub fn with_config(text: &str) -> World {
        World::new().file("a.toml", text)
    }

    pub fn variable(mut self, name: &str, value: &str) -> World {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// A file of its owner.
    pub fn file(mut self, path: &str, text: &str) -> World {
        let file = FileText { text: text.to_owned(), exposure: Exposure::Owner };
        self.files.insert(path.into(), file);
        self
    }

    /// A file that everybody may read.
    pub fn open_file(mut self, path: &str, text: &str) -> World {
        let file = FileText { text: text.to_owned(), exposure: Exposure::Everybody };
        self.files.insert(path.into(), file);
        self
    }

    /// What a command line comes to, written as one would type it.
    pub fn run(&self, line: &str) -> Result<Task, Exit> {
        let args = std::iter::once("switchboard").chain(line.split_whitespace());
        let env = |name: &str| self.variables.get(name).cloned();
        let read = |path: &Path| self.read(path);
        cli::plan(args.map(OsString::from), Surroundings { env: &env, read: &read })
    }

    /// What a running server reads on SIGHUP, and what is wrong with it.
    pub fn reload(&self, line: &str, started: &Plan) -> Result<Reloaded, Vec<String>> {
        let args = std::iter::once("switchboard").chain(line.split_whitespace());
        let args: Vec<OsString> = args.map(OsString::from).collect();
        let env = |name: &str| self.variables.get(name).cloned();
        let read = |path: &Path| self.read(path);
        cli::reload(&args, Surroundings { env: &env, read: &read }, started)
    }

    fn read(&self, path: &Path) -> io::Result<FileText> {
        let file = self.files.get(path).cloned();
        file.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }

    /// The plan of a server.
    pub fn plan(&self, line: &str) -> Plan {
        match self.run(line) {
            Ok(Task::Serve(plan)) => *plan,
            Ok(task) => panic!("{line} is no server: {task:?}"),
            Err(exit) => panic!("{line}: {}", exit.text),
        }
    }

    /// What is said to a command line that is refused: one line for each mistake.
    pub fn refused(&self, line: &str) -> Vec<String> {
        let exit = match self.run(line) {
            Ok(task) => panic!("{line} is not refused: {task:?}"),
            Err(exit) => exit,
        };
        assert_eq!((exit.code, exit.stream), (2, Stream::Stderr), "{line}: {}", exit.text);
        let (problems, _) = exit.text.split_once("\n\nFor more").expect("a hint");
        problems.split("error: ").skip(1).map(|problem| problem.trim_end().to_owned()).collect()
    }

    /// What is printed on a command line that was asked to print.
    pub fn printed(&self, line: &str) -> String {
        let exit = self.run(line).expect_err(line);
        assert_eq!((exit.code, exit.stream), (0, Stream::Stdout), "{line}: {}", exit.text);
        exit.text
    }
}

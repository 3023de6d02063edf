//! Reloading: what SIGHUP changes in a server that runs.
//!
//! ```text
//! auth, origin, policy, keys, log    read again, and in effect at once
//! listen, admin, limits, ...         named in a warning if they have changed; the next start
//! anything that is wrong             said with its place; everything stays as it is
//! ```
//!
//! The same command line and environment are read as at the start; what is new is in the files.
//! This module does not know how a running server is told.

use std::ffi::OsString;

use super::load::{Loaded, load};
use super::plan::{self, Effective, Plan, Surroundings};
use super::setting::{Reload, SETTINGS};
use super::{Auth, listen, setting, what};

/// What is in effect from now on.
#[derive(Debug)]
pub struct Reloaded {
    /// What the command line, the environment and the configuration file say now. Addresses and
    /// limits are those of the start.
    pub plan: Plan,
    /// What the files say now.
    pub loaded: Loaded,
    /// What has changed without effect.
    pub warnings: Vec<String>,
}

/// Reads everything again for a server that was started by `started`.
///
/// # Errors
///
/// Everything that is wrong: then nothing is to change.
pub fn reload(
    args: &[OsString],
    around: Surroundings<'_>,
    started: &Plan,
) -> Result<Reloaded, Vec<String>> {
    let root = super::command::command().try_get_matches_from(args);
    // They were understood once; nothing has typed them again.
    let root = root.map_err(|error| vec![error.to_string()])?;
    let (_, matches) = what(&root);
    let (mut plan, mut problems) = plan::read(started.mode, matches, around);
    problems.extend(uncovered(started, &plan));
    if !problems.is_empty() {
        return Err(problems);
    }
    let warnings = without_effect(started, &plan);
    plan.listen.clone_from(&started.listen);
    plan.admin.clone_from(&started.admin);
    plan.limits = started.limits;
    plan.reach = started.reach;
    plan.broadcast = started.broadcast;
    plan.data.clone_from(&started.data);
    plan.durability = started.durability;
    let loaded = load(&plan, around.read)?;
    Ok(Reloaded { plan, loaded, warnings })
}

/// Authentication cannot go where others reach the server only because of it: the rule of the
/// start, for the addresses of the start.
fn uncovered(started: &Plan, now: &Plan) -> Option<String> {
    let beyond = started.listen.iter().find(|address| !listen::is_local(address))?;
    let is_uncovered = now.access.auth == Auth::Open && !is_open(started);
    is_uncovered.then(|| {
        format!("auth: without it, {beyond} is open to everybody, and the start did not say --open")
    })
}

fn is_open(plan: &Plan) -> bool {
    let open = plan.settings.iter().find(|effective| effective.name == setting::OPEN.name);
    open.is_some_and(|open| open.texts == ["true"])
}

/// What has changed but waits for the next start.
fn without_effect(started: &Plan, now: &Plan) -> Vec<String> {
    let is_reloaded = |name: &str| {
        let setting = SETTINGS.iter().find(|setting| setting.name == name);
        setting.is_some_and(|setting| setting.reload == Reload::OnHangup)
    };
    let changed = now.settings.iter().filter_map(|now| {
        let before = started.settings.iter().find(|before| before.name == now.name)?;
        (before.texts != now.texts && !is_reloaded(now.name)).then_some((before, now))
    });
    let shown = |effective: &Effective| match effective.texts.len() {
        0 => "nothing".to_owned(),
        _ => format!("'{}'", effective.texts.join(",")),
    };
    let warning = |(before, now): (&Effective, &Effective)| {
        let name = now.name;
        let (before, after, source) = (shown(before), shown(now), &now.source);
        format!(
            "{name} has changed from {before} to {after} ({source}), which takes effect at the \
             next start"
        )
    };
    changed.map(warning).collect()
}

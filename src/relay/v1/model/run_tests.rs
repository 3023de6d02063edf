//! The runs: with all rules, and without each of them.

use super::client::Fault;
use super::judge::Judge;
use super::world::World;
use crate::relay::v1::rules::{OFF, Rule};

/// The steps of a seed.
fn steps(seed: u64) -> Vec<u64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 8
    };
    (0..STEPS).map(|_| next()).collect()
}

/// What goes wrong, if anything.
fn try_out(seed: u64, steps: &[u64], fault: Fault) -> Result<[u64; 6], String> {
    let mut world = World::new(seed, fault);
    world.run(steps);
    match world.judge.wrong.take() {
        Some(wrong) => Err(wrong),
        None => {
            let Judge { deliveries, gaps, resumed, again, retries, full, .. } = world.judge;
            Ok([deliveries, gaps, resumed, again, retries, full])
        }
    }
}

/// Leaves out whatever may be left out.
fn shrink(seed: u64, mut steps: Vec<u64>, fault: Fault) -> (Vec<u64>, String) {
    let mut wrong = String::new();
    let mut len = steps.len() / 2;
    while len > 0 {
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + len).min(steps.len()));
            match try_out(seed, &fewer, fault) {
                Err(text) => (steps, wrong) = (fewer, text),
                Ok(_) => at += len,
            }
        }
        len /= 2;
    }
    (steps, wrong)
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn nothing_is_lost_without_a_gap_nothing_comes_twice_and_results_are_true() {
    // As for the other tests with seeds: one seed again, or so many from the first on.
    let seeds = match setting("SEED") {
        Some(seed) => seed..seed + 1,
        // A history is short: ten of them for one seed of the other simulations.
        None => 1..setting("SWITCHBOARD_SEEDS").map_or(RUNS, |seeds| 10 * seeds) + 1,
    };
    let runs = seeds.end - seeds.start;
    let mut sums = [0; 6];
    for seed in seeds {
        match try_out(seed, &steps(seed), Fault::None) {
            Ok(counts) => {
                for (sum, count) in sums.iter_mut().zip(counts) {
                    *sum += count;
                }
            }
            Err(wrong) => {
                let (few, again) = shrink(seed, steps(seed), Fault::None);
                let mut world = World::new(seed, Fault::None);
                world.story.lines = Some(Vec::new());
                world.run(&few);
                panic!(
                    "SEED={seed} cargo test --lib relay::v1::model: {wrong}\n\
                     {} steps suffice: {again}\n{}",
                    few.len(),
                    world.story.lines.unwrap_or_default().join("\n")
                );
            }
        }
    }
    let [deliveries, gaps, resumed, again, retries, full] = sums;
    println!(
        "{runs} histories: {deliveries} deliveries, {gaps} gaps announced, {resumed} resumed, \
         {again} repeated, {retries} refused for now, {full} refused because a log was full"
    );
    let is_about_something = deliveries > 10 * runs
        && [gaps, resumed].iter().all(|count| *count > runs)
        && [retries, full].iter().all(|count| *count > runs / 4);
    assert!(is_about_something || runs < RUNS, "the histories are about nothing");
}

/// Without the rule some history goes wrong.
#[track_caller]
fn is_missed(rule: Option<Rule>, fault: Fault) {
    OFF.set(rule);
    let failed = (1..=RUNS_TO_MISS_A_RULE)
        .find_map(|seed| try_out(seed, &steps(seed), fault).err().map(|wrong| (seed, wrong)));
    OFF.set(None);
    let (seed, wrong) = failed.unwrap_or_else(|| panic!("nobody misses {rule:?} {fault:?}"));
    println!("without {rule:?} {fault:?}: seed {seed}: {wrong}");
}

#[test]
fn without_r2_repeated_frames_take_effect_again() {
    is_missed(Some(Rule::R2), Fault::None);
}

#[test]
fn without_next_in_hello_a_restored_copy_waits_for_ever() {
    is_missed(Some(Rule::R2Next), Fault::None);
}

#[test]
fn without_r4_one_refusal_makes_many() {
    is_missed(Some(Rule::R4), Fault::None);
}

#[test]
fn without_r5_a_client_drops_what_it_never_had() {
    is_missed(None, Fault::KeepsHigherSeq);
}

#[test]
fn without_a_floor_a_new_log_hides_what_the_old_one_had() {
    is_missed(Some(Rule::R6), Fault::None);
}

#[test]
fn without_r7_a_cursor_is_overtaken_in_silence() {
    is_missed(Some(Rule::R7), Fault::None);
}

#[test]
fn without_r8_numbers_of_another_time_are_believed() {
    is_missed(Some(Rule::R8), Fault::None);
}

#[test]
fn without_r12_what_was_shown_may_never_have_been() {
    is_missed(Some(Rule::R12), Fault::None);
}

#[test]
fn without_the_gap_in_the_welcome_a_cut_hides_it() {
    is_missed(Some(Rule::WelcomeGap), Fault::None);
}

const STEPS: usize = 500;
const RUNS: u64 = 200;
const RUNS_TO_MISS_A_RULE: u64 = 2_000;

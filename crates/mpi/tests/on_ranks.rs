//! Ranks that hang, under a real `mpirun`, which starts this test again as every rank.
#![cfg(feature = "mpi")]
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::io::Write as _;
use std::process::{Command, Output, exit};
use std::thread::{park, sleep};
use std::time::Duration;

use batchlab_mpi::World;
use batchlab_ranks::Communicator as _;

const TIMEOUT: Duration = Duration::from_secs(2);

fn is_rank() -> bool {
    std::env::var_os("OMPI_COMM_WORLD_RANK").is_some()
}

/// Runs a test on ranks, which have a minute.
fn mpirun(n_rank: usize, test: &str) -> Output {
    let mut command = Command::new("timeout");
    command.args(["60", "mpirun", "--oversubscribe", "--bind-to", "none"]);
    command.args(["-n", &n_rank.to_string()]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    // As in containers.
    command
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .env("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
    command.output().unwrap()
}

fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

fn hang() -> ! {
    loop {
        park();
    }
}

/// All ranks have come to the meeting before, but one does not take part in the sum.
#[test]
fn a_rank_that_hangs_in_a_sum_is_named_by_all_others() {
    if is_rank() {
        let world = World::join(3, TIMEOUT).unwrap();
        let mut values = [world.rank() as f64, 1.0];
        world.wait_for_all().unwrap();
        world.sum(&mut values).unwrap();
        assert!(values.iter().all(|sum| (sum - 3.0).abs() < 1e-9), "{values:?}");
        world.wait_for_all().unwrap();
        if world.rank() == 1 {
            hang();
        }
        let lost = world.sum(&mut values).unwrap_err();
        say(&format!("{}: {lost}", world.rank()));
        // Both have said it by then.
        sleep(Duration::from_secs(2));
        world.abort(9);
    }
    let output = mpirun(3, "a_rank_that_hangs_in_a_sum_is_named_by_all_others");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(9), "{said}");
    for rank in ["0", "2"] {
        let line = said.lines().find(|line| line.starts_with(&format!("{rank}: ")));
        let line = line.unwrap_or_else(|| panic!("rank {rank}: {said}"));
        assert!(line.starts_with(&format!("{rank}: rank 1 (process ")), "{said}");
        assert!(line.contains("has not answered for 2 s"), "{said}");
    }
}

#[test]
fn the_end_is_not_waited_for_for_ever() {
    if is_rank() {
        let world = World::join(2, TIMEOUT).unwrap();
        if world.rank() == 1 {
            hang();
        }
        drop(world);
        say("it has ended");
        exit(0);
    }
    let output = mpirun(2, "the_end_is_not_waited_for_for_ever");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(124), "{said}");
    assert!(said.contains("it has ended"), "{said}");
}

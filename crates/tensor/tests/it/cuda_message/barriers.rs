//! Without a barrier, the emulated GPU finds a race, an unwritten number or a wrong result: of each
//! barrier of messages' kernels, unless it is known not to be needed.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use batchlab_core::model::Precision;
use batchlab_tensor::Activation;

use super::case::{Case, Step, edge_updates, edge_updates_of, painn, schnet};
use super::compare::{batch, check_in};

/// Names the case that a process is to run.
const CASE: &str = "BATCHLAB_TEST_CASE";

/// Barriers whose removal changes nothing.
const NOT_NEEDED: [&str; 7] = [
    // The body of the loop over tiles ends with a barrier, which the next tile begins with,
    // too, and so does what follows the loop. One of the two would do.
    "find_rows 1",
    "message_forward: The nodes receive step #.",
    "message_backward: The gradients of the layer of step #, # to #.",
    // There is a barrier after each action, but these and the next one have no tile in common
    // in which one of them writes. (In the middle update, the second is the end of the loop.)
    "message_forward: Step # is given out edge by edge.",
    "message_backward: From the gradient of step #.",
    "message_backward: The gradient of step #, given out.",
    // Makes a warp converge for tensor cores, which does not concern memory; lanes of the
    // emulated GPU wait for each other there anyway.
    "add_products 1",
];

fn cases() -> Vec<(&'static str, Precision, Case)> {
    let middle = edge_updates_of(Step::Stored(12), 12);
    let painn_96 = painn(20, 96, Activation::Silu);
    vec![
        ("schnet", Precision::F32, schnet(100, 12)),
        ("schnet, tf32", Precision::Tf32, schnet(100, 12)),
        ("first update", Precision::F32, edge_updates(100, 12)),
        ("first update, bf16", Precision::Bf16, edge_updates(100, 12)),
        ("middle update", Precision::F32, middle.clone()),
        ("middle update, tf32", Precision::Tf32, middle),
        ("painn", Precision::F32, painn_96.clone()),
        ("painn, tf32", Precision::Tf32, painn_96),
        ("painn in blocks of columns", Precision::F32, painn(40, 131, Activation::Silu)),
    ]
}

fn run(name: &str) {
    let case = cases().into_iter().find(|(known, ..)| *known == name);
    let (_, precision, case) = case.expect("a known case");
    // More tiles than blocks.
    check_in(precision, &case, &batch(&[(6, 30), (40, 4_300)], 20, 10));
}

/// Runs a case in a process of its own, under the checks.
fn run_again(case: &str, variable: (&str, &str)) -> Output {
    let test = "cuda_message::barriers::each_is_needed";
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(CASE, case);
    command.envs([("EMULATED_CUDA_CHECK", "races"), ("BATCHLAB_CUDA_BLOCKS", "1"), variable]);
    command.output().expect("it runs again")
}

/// The source of a case that has all of its kernels.
fn source(case: &str) -> String {
    let folder = std::env::temp_dir().join(format!("barriers-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let whole = run_again(case, ("BATCHLAB_CUDA_SOURCES", &folder.to_string_lossy()));
    assert!(whole.status.success(), "{case}: {}", String::from_utf8_lossy(&whole.stderr));
    let files = std::fs::read_dir(&folder).expect("sources").flatten();
    let sources: Vec<String> =
        files.map(|file| std::fs::read_to_string(file.path()).expect("a source")).collect();
    std::fs::remove_dir_all(&folder).expect("the folder");
    let both = sources.into_iter().find(|source| source.contains("message_backward"));
    both.expect("a source for training")
}

/// Its barriers, in order: the function of a template and a number, or the kernel and the comment
/// before it.
fn barriers(source: &str) -> Vec<String> {
    let (mut function, mut comment, mut n) = ("", "", 0);
    let mut found = Vec::new();
    for line in source.lines() {
        let (code, rest) = line.split_once("//").unwrap_or((line, ""));
        if code.contains("__device__") || code.contains("__global__") {
            let head = code.rsplit_once("BLOCKS) ").map_or(code, |(_, kernel)| kernel);
            let head = head.rsplit_once("_bounds__(THREADS) ").map_or(head, |(_, kernel)| kernel);
            let head = head.split('(').next().unwrap_or(head);
            function = head.rsplit(' ').next().unwrap_or(head);
            (comment, n) = ("", 0);
        }
        if code.trim().is_empty() && !rest.is_empty() {
            comment = rest.trim();
        }
        for _ in code.matches("__syncthreads();").chain(code.matches("__syncwarp();")) {
            n += 1;
            let is_generated = function.starts_with("message_");
            let place = if is_generated { format!(": {comment}") } else { format!(" {n}") };
            found.push(format!("{function}{place}"));
        }
    }
    found
}

/// Numbers of steps and widths do not matter.
fn without_numbers(place: &str) -> String {
    let mut short = String::new();
    for letter in place.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }) {
        if letter != '#' || !short.ends_with('#') {
            short.push(letter);
        }
    }
    short
}

#[test]
#[ignore = "takes ten minutes"]
fn each_is_needed() {
    if let Ok(case) = std::env::var(CASE) {
        return run(&case);
    }
    // A function of a template is not called in every case.
    let mut is_noticed: BTreeMap<String, bool> = BTreeMap::new();
    for (case, ..) in cases() {
        for (i, place) in barriers(&source(case)).into_iter().enumerate() {
            let which = format!("message_backward:{}", i + 1);
            let run = run_again(case, ("EMULATED_CUDA_WITHOUT", &which));
            let text = String::from_utf8_lossy(&run.stderr).into_owned();
            assert!(!text.contains("no such barrier"), "{which} of {case}: {place}");
            let noticed = !run.status.success();
            let how = text.lines().find(|line| line.contains("emulated GPU"));
            println!(
                "{case}, {place}: {}",
                if noticed { how.unwrap_or("wrong") } else { "NOT NOTICED" }
            );
            let key = if place.contains(':') { format!("{place} ({case})") } else { place };
            *is_noticed.entry(key).or_default() |= noticed;
        }
    }
    let is_known = |place: &str| {
        NOT_NEEDED.iter().any(|known| *known == place || without_numbers(place).starts_with(known))
    };
    let unknown = is_noticed.into_iter().filter(|(place, noticed)| !noticed && !is_known(place));
    let unknown: Vec<String> = unknown.map(|(place, _)| place).collect();
    assert!(unknown.is_empty(), "removed unnoticed: {unknown:#?}");
}

//! Claims in a simulated folder shared by many machines: reads may be stale, replies get lost,
//! processes are killed or suspended between any two operations, and no two clocks agree.
//!
//! `BATCHLAB_CLAIMS=1000000 cargo test -p batchlab-study claims` simulates this many claims, and
//! `BATCHLAB_CLAIM_SEED` repeats a failed seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use batchlab_core::random::{below, stream};
use batchlab_results::ResultsError;

use super::{
    BY, Claim, ClaimError, ClaimSettings, Claims, Disk, Taken, claim_folder, done_folder, highest,
};

const N_CLIENT: usize = 8;
const N_CELL: u64 = 60;
/// Maximum staleness of reads, in seconds.
const OLDEST: f64 = 120.0;

/// Content of a file from some time on; `None`: it was removed.
#[derive(Debug)]
struct Version {
    from: f64,
    writer: usize,
    text: Option<String>,
}

#[derive(Debug)]
struct Beating {
    path: PathBuf,
    client: usize,
    next: f64,
    pause: f64,
    counter: u64,
}

/// Event counts, to check that the test covers the intended cases.
#[derive(Debug, Default, Clone, Copy)]
#[allow(clippy::struct_field_names, reason = "all are numbers of something")]
struct Counts {
    n_take: u64,
    n_taken_over: u64,
    n_late: u64,
    n_kill: u64,
    n_stop: u64,
    n_lost_answer: u64,
    n_old: u64,
}

#[derive(Debug)]
struct State {
    seed: u64,
    n_draw: u64,
    time: f64,
    files: BTreeMap<PathBuf, Vec<Version>>,
    beats: Vec<Beating>,
    locks: Vec<(PathBuf, usize)>,
    /// The client that performs the next operation.
    turn: usize,
    /// When each client continues; `None`: it has ended.
    wakes: [Option<f64>; N_CLIENT],
    /// Until then there is no heartbeat either.
    stopped_until: [f64; N_CLIENT],
    counts: Counts,
}

#[derive(Debug)]
struct World {
    state: Mutex<State>,
    turns: [Condvar; N_CLIENT],
}

/// The folder as seen by one machine.
#[derive(Debug, Clone)]
struct SharedDisk {
    world: Arc<World>,
    client: usize,
    /// Offset of its clock in seconds.
    clock: f64,
}

#[derive(Debug)]
struct SharedLock {
    world: Arc<World>,
    folder: PathBuf,
}

#[derive(Debug)]
struct SharedBeat {
    world: Arc<World>,
    path: PathBuf,
}

impl State {
    fn draw(&mut self, n: u64) -> u64 {
        self.n_draw += 1;
        below(&mut stream(self.seed, "claims", self.n_draw), n)
    }

    fn seconds(&mut self, at_most: f64) -> f64 {
        at_most * self.draw(1 << 20) as f64 / f64::from(1 << 20)
    }

    fn is_one_in(&mut self, n: u64) -> bool {
        self.draw(n) == 0
    }

    fn put(&mut self, path: &Path, from: f64, writer: usize, text: Option<String>) {
        let versions = self.files.entry(path.to_owned()).or_default();
        // Versions replaced this long ago are no longer visible.
        let n_old = versions.iter().filter(|version| version.from < from - OLDEST).count();
        versions.drain(..n_old.saturating_sub(1));
        versions.push(Version { from, writer, text });
    }

    fn is_there(&self, path: &Path) -> bool {
        let last = self.files.get(path).and_then(|versions| versions.last());
        last.is_some_and(|version| version.text.is_some())
    }

    /// A file as seen by a client: stale, unless the client has changed it itself.
    fn seen(&self, path: &Path, client: usize, age: f64) -> Option<&String> {
        let is_seen =
            |version: &&Version| version.writer == client || version.from <= self.time - age;
        self.files.get(path)?.iter().rev().find(is_seen)?.text.as_ref()
    }

    fn age(&mut self) -> f64 {
        if self.is_one_in(2) {
            return 0.0;
        }
        self.counts.n_old += 1;
        self.seconds(OLDEST)
    }

    fn pass(&mut self) {
        let time = self.seconds(1.0) + self.time;
        self.advance(time);
        if self.wakes.iter().all(Option::is_none) {
            return;
        }
        let is_awake = |wake: &Option<f64>, time: f64| wake.is_some_and(|wake| wake <= time);
        if !self.wakes.iter().any(|wake| is_awake(wake, self.time)) {
            let next = self.wakes.iter().flatten().copied().fold(f64::INFINITY, f64::min);
            self.advance(next);
        }
        let awake: Vec<usize> =
            (0..N_CLIENT).filter(|&client| is_awake(&self.wakes[client], self.time)).collect();
        self.turn = awake[self.draw(awake.len() as u64) as usize];
    }

    fn advance(&mut self, time: f64) {
        let mut beats = std::mem::take(&mut self.beats);
        for beat in &mut beats {
            beat.next = beat.next.max(self.stopped_until[beat.client]);
            while beat.next <= time {
                beat.counter += 1;
                let text = Some(beat.counter.to_string());
                self.put(&beat.path, beat.next, beat.client, text);
                beat.next += beat.pause;
            }
        }
        self.beats = beats;
        self.time = time;
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let state = State {
            seed,
            n_draw: 0,
            time: 0.0,
            files: BTreeMap::new(),
            beats: Vec::new(),
            locks: Vec::new(),
            turn: 0,
            wakes: [Some(0.0); N_CLIENT],
            stopped_until: [0.0; N_CLIENT],
            counts: Counts::default(),
        };
        Self { state: Mutex::new(state), turns: Default::default() }
    }

    fn turn_of(&self, client: usize) -> MutexGuard<'_, State> {
        let state = self.state.lock().unwrap();
        self.turns[client].wait_while(state, |state| state.turn != client).unwrap()
    }

    fn pass(&self, mut state: MutexGuard<'_, State>) {
        state.pass();
        self.turns[state.turn].notify_one();
    }
}

impl SharedDisk {
    /// One operation; before it the process may be suspended for a while, or killed.
    fn operate<T>(&self, operation: impl FnOnce(&mut State) -> T) -> Result<T, ClaimError> {
        let mut state = self.world.turn_of(self.client);
        if state.is_one_in(300) {
            state.counts.n_stop += 1;
            let until = state.time + state.seconds(1500.0);
            state.stopped_until[self.client] = until;
            state.wakes[self.client] = Some(until);
            self.world.pass(state);
            state = self.world.turn_of(self.client);
        }
        if state.is_one_in(300) {
            state.counts.n_kill += 1;
            state.locks.retain(|(_, client)| *client != self.client);
            state.beats.retain(|beat| beat.client != self.client);
            self.world.pass(state);
            return Err(broken(std::io::ErrorKind::Interrupted));
        }
        let done = operation(&mut state);
        self.world.pass(state);
        Ok(done)
    }

    /// Works for a while.
    fn sleep(&self, at_most: f64) -> Result<(), ClaimError> {
        self.operate(|state| {
            let until = state.time + state.seconds(at_most);
            state.wakes[self.client] = Some(until);
        })
    }
}

fn broken(kind: std::io::ErrorKind) -> ClaimError {
    ResultsError::Write { path: PathBuf::new(), source: kind.into() }.into()
}

impl Disk for SharedDisk {
    type Lock = SharedLock;
    type Beat = SharedBeat;

    fn names(&self, folder: &Path) -> Result<Vec<String>, ClaimError> {
        self.operate(|state| {
            let age = state.age();
            let below = state.files.range(folder.to_owned()..);
            let below = below.map(|(path, _)| path).take_while(|path| path.starts_with(folder));
            let children = below.filter(|path| path.parent() == Some(folder));
            let seen = children.filter(|path| state.seen(path, self.client, age).is_some());
            seen.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        })
    }

    fn read(&self, path: &Path) -> Result<Option<String>, ClaimError> {
        self.operate(|state| {
            let age = state.age();
            state.seen(path, self.client, age).cloned()
        })
    }

    fn make(&self, folder: &Path) -> Result<bool, ClaimError> {
        self.operate(|state| {
            if state.is_there(folder) {
                return false;
            }
            state.put(folder, state.time, self.client, Some(String::new()));
            let is_lost = state.is_one_in(100);
            state.counts.n_lost_answer += u64::from(is_lost);
            !is_lost
        })
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), ClaimError> {
        self.operate(|state| state.put(path, state.time, self.client, Some(text.to_owned())))
    }

    fn write_synced(&self, path: &Path, text: &str) -> Result<(), ClaimError> {
        self.write(path, text)
    }

    fn beat(&self, path: &Path, pause: Duration) -> Result<SharedBeat, ClaimError> {
        self.write(path, "0")?;
        self.operate(|state| {
            let (client, pause) = (self.client, pause.as_secs_f64());
            let next = state.time + pause;
            state.beats.push(Beating { path: path.to_owned(), client, next, pause, counter: 0 });
        })?;
        Ok(SharedBeat { world: Arc::clone(&self.world), path: path.to_owned() })
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<bool, ClaimError> {
        let renamed = self.operate(|state| {
            if state.is_there(to) {
                return Some(false);
            }
            let inside = state.files.keys().filter(|path| path.starts_with(from));
            let inside: Vec<PathBuf> = inside.cloned().collect();
            for path in inside {
                let text = state.files[&path].last().and_then(|version| version.text.clone());
                let (time, client) = (state.time, self.client);
                let moved = match path.strip_prefix(from).unwrap() {
                    rest if rest.as_os_str().is_empty() => to.to_owned(),
                    rest => to.join(rest),
                };
                state.put(&moved, time, client, text);
                state.put(&path, time, client, None);
            }
            let is_lost = state.is_one_in(20);
            state.counts.n_lost_answer += u64::from(is_lost);
            (!is_lost).then_some(true)
        })?;
        renamed.ok_or_else(|| broken(std::io::ErrorKind::NotFound))
    }

    fn lock(&self, folder: &Path) -> Result<SharedLock, ClaimError> {
        self.operate(|state| state.locks.push((folder.to_owned(), self.client)))?;
        Ok(SharedLock { world: Arc::clone(&self.world), folder: folder.to_owned() })
    }

    fn is_locked(&self, folder: &Path) -> Result<bool, ClaimError> {
        self.operate(|state| state.locks.iter().any(|(locked, _)| locked == folder))
    }

    fn now(&self) -> Duration {
        let time = self.world.state.lock().unwrap().time;
        Duration::from_secs_f64(time + self.clock)
    }
}

impl Drop for SharedLock {
    fn drop(&mut self) {
        self.world.state.lock().unwrap().locks.retain(|(folder, _)| *folder != self.folder);
    }
}

impl Drop for SharedBeat {
    fn drop(&mut self) {
        self.world.state.lock().unwrap().beats.retain(|beat| beat.path != self.path);
    }
}

fn cell(n: u64) -> PathBuf {
    PathBuf::from(format!("cell-{n:03}"))
}

/// Some cells are requested twice, as with narrower intervals.
fn n_round(n: u64) -> u64 {
    1 + u64::from(n.is_multiple_of(5))
}

/// A process that works until all cells are done or it is killed, and records what it has
/// published.
fn work(disk: &SharedDisk, published: &Mutex<Vec<(u64, u64, u64)>>) -> Result<(), ClaimError> {
    let node = format!("node {}", disk.client / 2);
    let claims = Claims::new(disk.clone(), ClaimSettings { node, ..ClaimSettings::default() });
    loop {
        let mut n_done = 0;
        for n in (0..N_CELL).map(|n| (n + 7 * disk.client as u64) % N_CELL) {
            let round = claims.round(&cell(n))?;
            if round == n_round(n) {
                n_done += 1;
                continue;
            }
            let Taken::Mine(claim) = claims.take(&cell(n), round)? else { continue };
            {
                let counts = &mut disk.world.state.lock().unwrap().counts;
                counts.n_take += 1;
                counts.n_taken_over += u64::from(claim.number() > round + 1);
            }
            train_and_publish(disk, &claims, claim, n, round, published)?;
        }
        if n_done == N_CELL {
            return Ok(());
        }
        disk.sleep(30.0)?;
    }
}

fn train_and_publish(
    disk: &SharedDisk,
    claims: &Claims<SharedDisk>,
    claim: Claim<SharedDisk>,
    n: u64,
    round: u64,
    published: &Mutex<Vec<(u64, u64, u64)>>,
) -> Result<(), ClaimError> {
    if claims.round(&cell(n))? != round {
        return claim.give_back();
    }
    disk.sleep(300.0)?;
    let number = claim.number();
    match claim.publish("done.json", "{}") {
        Err(ClaimError::Superseded { .. }) => {
            disk.world.state.lock().unwrap().counts.n_late += 1;
            Ok(())
        }
        // A process killed while ending its claim may have published.
        Err(error) => Err(error),
        Ok(()) => {
            published.lock().unwrap().push((n, round + 1, number));
            Ok(())
        }
    }
}

/// Eight processes, two on each of four machines, until all cells are done.
fn simulate(seed: u64) -> Counts {
    let world = Arc::new(World::new(seed));
    let published = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for client in 0..N_CLIENT {
            let (world, published) = (Arc::clone(&world), &published);
            scope.spawn(move || {
                for life in 0.. {
                    // An hour early or late, and different after every restart.
                    let clock = 3600.0 * ((client + life) % 3) as f64;
                    let disk = SharedDisk { world: Arc::clone(&world), client, clock };
                    if work(&disk, published).is_ok() {
                        break;
                    }
                }
                let mut state = world.turn_of(client);
                state.wakes[client] = None;
                world.pass(state);
            });
        }
    });
    let published = published.into_inner().unwrap();
    let mut by_round = BTreeMap::new();
    for (n, round, number) in published {
        let other = by_round.insert((n, round), number);
        assert_eq!(other, None, "cell {n} was published twice by {number}, seed {seed}");
    }
    let state = world.state.lock().unwrap();
    let text = |path: PathBuf| {
        let last = state.files.get(&path).and_then(|versions| versions.last());
        last.and_then(|version| version.text.clone())
    };
    for n in 0..N_CELL {
        for round in 1..=n_round(n) {
            let by = text(done_folder(&cell(n), round).join(BY));
            let by: u64 = by.expect("every cell is done").parse().unwrap();
            let mine = by_round.get(&(n, round)).is_none_or(|number| *number == by);
            assert!(mine, "cell {n} names claim {by}, seed {seed}");
            assert!(state.is_there(&claim_folder(&cell(n), by)), "seed {seed}");
        }
        let names: Vec<String> = state
            .files
            .keys()
            .filter(|path| path.starts_with(cell(n)))
            .map(|path| path.strip_prefix(cell(n)).unwrap().display().to_string())
            .collect();
        assert_eq!(highest(&names, "done."), n_round(n), "seed {seed}");
    }
    state.counts
}

#[test]
fn no_cell_is_published_twice_whatever_happens() {
    let number_from = |variable| std::env::var(variable).ok().map(|text| text.parse().unwrap());
    let n_claim = number_from("BATCHLAB_CLAIMS").unwrap_or(10_000);
    let seed: u64 = number_from("BATCHLAB_CLAIM_SEED").unwrap_or(1);
    let mut all = Counts::default();
    for seed in seed.. {
        let Counts { n_take, n_taken_over, n_late, n_kill, n_stop, n_lost_answer, n_old } =
            simulate(seed);
        all.n_take += n_take;
        all.n_taken_over += n_taken_over;
        all.n_late += n_late;
        all.n_kill += n_kill;
        all.n_stop += n_stop;
        all.n_lost_answer += n_lost_answer;
        all.n_old += n_old;
        if all.n_take >= n_claim {
            break;
        }
    }
    println!("{all:?}");
    let tried =
        [all.n_taken_over, all.n_late, all.n_kill, all.n_stop, all.n_lost_answer, all.n_old];
    assert!(tried.iter().all(|n| *n > 50), "{all:?}");
}

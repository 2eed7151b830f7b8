use std::fs;
use std::sync::Arc;

use batchlab_core::graphs::{
    Edges, FixedSplit, ManyGraphs, NodeClass, NodeFeature, OneGraph, OwnField, Per, StoredEdges,
    Target, Topology,
};
use batchlab_core::{Dataset, Provides};
use tempfile::TempDir;

use super::*;

/// One graph per line, which gives its number of nodes.
#[derive(Debug, Serialize, Deserialize)]
struct Lines {
    path: PathBuf,
    /// Whether the file is modified after it was read.
    #[serde(default)]
    disturb: bool,
}

#[typetag::serde(name = "cache-test-lines")]
impl Dataset for Lines {
    fn provides(&self) -> Provides {
        Provides::default()
    }
    fn load(&self, ctx: &LoadContext) -> Result<Graphs, DatasetError> {
        let path = ctx.resolve(&self.path)?;
        let text = fs::read_to_string(&path).unwrap();
        if self.disturb {
            fs::write(&path, text.clone() + "9\n").unwrap();
        }
        let n_node: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        ctx.progress.note(&format!("{} graphs", n_node.len()));
        Graphs::new("lines", Topology::Many(ManyGraphs::new(&n_node, Edges::FullyConnected)?))
    }
}

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// A folder with a file of two graphs, older than the test, and a cache.
struct Place {
    folder: TempDir,
    cache: Cache,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let cache = Cache::at(&folder.path().join("cache"));
        let place = Self { folder, cache };
        place.write("3\n5\n", 100);
        place
    }

    fn write(&self, text: &str, age_s: u64) {
        let path = self.folder.path().join("lines.txt");
        fs::write(&path, text).unwrap();
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age_s)).unwrap();
        std::thread::sleep(2 * CLOCK_STEP);
    }

    fn load(&self, dataset: &Lines) -> (Loaded, Vec<String>) {
        let notes = Arc::new(Notes::default());
        let ctx = LoadContext {
            search: vec![self.folder.path().to_owned()],
            progress: Arc::clone(&notes) as Arc<dyn Progress>,
            ..LoadContext::new()
        };
        let loaded = self.cache.load(dataset, &ctx, Keep::Always).unwrap();
        let notes = notes.0.lock().unwrap().clone();
        (loaded, notes)
    }
}

fn lines() -> Lines {
    Lines { path: "lines.txt".into(), disturb: false }
}

#[test]
fn the_second_time_graphs_and_notes_come_from_the_cache() {
    let place = Place::new();
    let (first, notes) = place.load(&lines());
    assert!(!first.from_cache && first.kept.is_some() && notes == ["2 graphs"]);
    let (second, notes) = place.load(&lines());
    assert!(second.from_cache && notes == ["2 graphs"], "{notes:?}");
    assert_eq!(second.graphs.content_hash(), first.graphs.content_hash());
    assert_eq!(place.cache.list().len(), 1);
}

#[test]
fn a_file_with_other_content_is_read_again_and_a_new_time_alone_is_not() {
    let place = Place::new();
    place.load(&lines());
    place.write("3\n5\n", 50);
    assert!(place.load(&lines()).0.from_cache, "the content is the same");
    place.write("3\n6\n", 100);
    let (loaded, notes) = place.load(&lines());
    assert!(!loaded.from_cache && loaded.graphs.n_node() == 9, "{notes:?}");
    assert!(place.load(&lines()).0.from_cache);
}

/// The fingerprint of a folder, as if nothing in it had changed recently.
fn fingerprint_of(folder: &Path) -> Result<InputFingerprint, CacheError> {
    let later = SystemTime::now() + Duration::from_secs(10);
    let input =
        batchlab_core::dataset::Input { asked: folder.to_owned(), found: folder.to_owned() };
    InputFingerprint::of(&input, later)
}

#[test]
fn a_folder_is_known_by_names_lengths_and_times() {
    let place = Place::new();
    let fingerprint = |place: &Place| fingerprint_of(place.folder.path()).unwrap();
    let first = fingerprint(&place);
    assert_eq!(fingerprint(&place), first);
    place.write("3\n5\n", 51);
    assert_ne!(fingerprint(&place), first);
}

#[cfg(unix)]
#[test]
fn a_folder_is_known_by_what_its_links_lead_to() {
    use std::os::unix::fs::symlink;
    let root = TempDir::new().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir_all(at("data/inner")).unwrap();
    fs::create_dir(at("elsewhere")).unwrap();
    fs::write(at("elsewhere/in folder"), "1").unwrap();
    fs::write(at("file"), "1").unwrap();
    symlink(at("file"), at("data/to file")).unwrap();
    symlink(at("elsewhere"), at("data/inner/to folder")).unwrap();
    symlink(at("nowhere"), at("data/to nothing")).unwrap();
    // A cycle, and twice, so that the number of paths would double at each level.
    symlink(at("data"), at("data/inner/up")).unwrap();
    symlink(at("data"), at("data/inner/up again")).unwrap();
    let fingerprint = || fingerprint_of(&at("data")).unwrap();
    let mut last = fingerprint();
    assert_eq!(fingerprint(), last);
    for (name, text) in [("file", "12"), ("elsewhere/in folder", "12"), ("nowhere", "1")] {
        fs::write(at(name), text).unwrap();
        let now = fingerprint();
        assert_ne!(now, last, "{name}");
        last = now;
    }
}

#[cfg(unix)]
#[test]
fn things_that_are_no_files_are_not_kept() {
    let root = TempDir::new().unwrap();
    let socket = root.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let fault = fingerprint_of(&socket).unwrap_err().to_string();
    assert!(fault.contains("neither a file nor a folder"), "{fault}");
}

#[test]
fn what_changes_while_it_is_read_is_not_kept() {
    let place = Place::new();
    let (loaded, notes) = place.load(&Lines { disturb: true, ..lines() });
    assert_eq!(loaded.kept, None);
    assert!(notes[1].contains("lines.txt changed while it was read"), "{notes:?}");
    assert!(place.cache.list().is_empty());
}

#[test]
fn another_description_or_folder_has_another_file() {
    let place = Place::new();
    let (first, _) = place.load(&lines());
    let absolute = Lines { path: place.folder.path().join("lines.txt"), ..lines() };
    let (second, _) = place.load(&absolute);
    assert!(!second.from_cache && second.kept != first.kept);
}

/// For any damage to the file, the graphs are correct and a note says why they were read again.
#[test]
fn damage_to_the_file_is_noticed() {
    let place = Place::new();
    let (first, _) = place.load(&lines());
    let path = first.kept.unwrap();
    let good = fs::read(&path).unwrap();
    let check = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let (loaded, notes) = place.load(&lines());
        assert_eq!(loaded.graphs.content_hash(), first.graphs.content_hash(), "{what}");
        assert!(!loaded.from_cache, "{what}");
        // A description for another program or data set is not damage.
        let explained = notes.iter().any(|note| note.contains("is not used"));
        assert!(explained || notes == ["2 graphs"], "{what}: {notes:?}");
        assert_eq!(fs::read(&path).unwrap().len(), good.len(), "{what}: it is written again");
        explained
    };
    let mut n_explained = 0;
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        n_explained += usize::from(check(&bad, &format!("byte {at}")));
    }
    assert!(n_explained > good.len() / 2, "{n_explained} of {}", good.len());
    for length in [0, 7, 8, 100, good.len() - 1] {
        assert!(check(&good[..length], &format!("cut after {length}")));
    }
    assert!(check(&[&good[..], b"more"].concat(), "longer"));
    let huge = [&u64::MAX.to_le_bytes()[..], &good[8..]].concat();
    assert!(check(&huge, "a header of 2^64 bytes"));
}

fn round_trip(graphs: &Graphs) -> Graphs {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("graphs.safetensors");
    let (attributes, columns) = columns::of(graphs);
    file::write(&path, &attributes, columns).unwrap();
    let (mut columns, attributes) = file::open::<Attributes>(&path).unwrap().unwrap();
    attributes.graphs(&mut columns).unwrap()
}

fn check_same(graphs: &Graphs) {
    graphs.check().unwrap();
    let again = round_trip(graphs);
    assert_eq!(again.content_hash(), graphs.content_hash());
    assert_eq!((&again.name, &again.notes, &again.own), (&graphs.name, &graphs.notes, &graphs.own));
    assert_eq!(
        (again.dataset.as_str(), again.fields()),
        (graphs.dataset.as_str(), graphs.fields())
    );
    assert_eq!((again.target, again.split), (graphs.target.clone(), graphs.split.clone()));
}

#[test]
fn many_graphs_come_back_as_they_were() {
    let stored = StoredEdges::new(
        &[2, 1],
        &[1, 0, 1],
        &[0, 1, 0],
        &[1.0, 2.0, f32::MIN_POSITIVE],
        &[[1.0; 3], [2.0; 3], [-0.0; 3]],
    );
    let all = [Edges::Counted(vec![7, 8]), Edges::FullyConnected, Edges::Stored(stored.unwrap())];
    for edges in all {
        let many = ManyGraphs::new(&[2, 3], edges).unwrap();
        let mut graphs = Graphs::new("test \"quoted\"", Topology::Many(many)).unwrap();
        check_same(&graphs);
        let name = vec!["H".to_owned(), "C".to_owned()];
        graphs.node_class = Some(NodeClass { value: vec![0, 1, 0, 1, 1], name });
        graphs.position = Some((0..5).map(|i| [i as f32, -0.0, 1e-40]).collect());
        graphs.target = Some(Target::regression("U0", "eV", vec![-1.5, 1e300]));
        graphs.name = vec!["gdb_58".to_owned(), "ä@0".to_owned()];
        graphs.own = vec![
            OwnField::new("tag", Per::Node, 1, &[1_i64, -1, 0, i64::MAX, 2]),
            OwnField::new("dipole", Per::Graph, 3, &[0.5_f32, -0.0, 1e-40, 1.0, 2.0, 3.0]),
            OwnField::new("kind", Per::Graph, 1, &[7_u8, 9]),
        ];
        graphs.notes = vec![("molecules read".into(), 3)];
        check_same(&graphs);
    }
}

#[test]
fn one_graph_comes_back_as_it_was() {
    let one = OneGraph {
        offset: vec![0, 2, 2, 3],
        sender: vec![0, 2, 1],
        edge_weight: vec![0.5, 1.0, 0.25],
    };
    let mut graphs = Graphs::new("one", Topology::One(Arc::new(one))).unwrap();
    graphs.node_feature = Some(NodeFeature::Dense { value: vec![1.0; 6], width: 2 });
    let classes = vec!["a".to_owned(), "b".to_owned()];
    graphs.target = Some(Target::classes("topic", classes, vec![0.0, 1.0, -1.0]));
    let [train, validation, test] = [vec![2], vec![], vec![0]];
    graphs.split = Some(FixedSplit { train, validation, test });
    check_same(&graphs);
    let (offset, column) = (vec![0, 1, 1, 3], vec![4, 0, 2]);
    let value = vec![0.5, -1.0, 2.0];
    graphs.node_feature = Some(NodeFeature::Sparse { offset, column, value, width: 5 });
    check_same(&graphs);
}

#[test]
fn nothing_is_kept_without_a_folder_or_when_loading_is_quick() {
    let place = Place::new();
    let ctx = LoadContext { search: vec![place.folder.path().to_owned()], ..LoadContext::new() };
    let loaded = Cache::off().load(&lines(), &ctx, Keep::Always).unwrap();
    assert_eq!((loaded.kept, loaded.from_cache), (None, false));
    let loaded = place.cache.load(&lines(), &ctx, Keep::WhenSlow).unwrap();
    assert_eq!(loaded.kept, None);
    assert!(place.cache.list().is_empty());
}

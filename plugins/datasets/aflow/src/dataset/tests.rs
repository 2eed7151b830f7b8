use std::fs;

use batchlab_core::View;
use batchlab_core::graphs::TargetKind;
use batchlab_core::registry::{Kind, find};

use super::*;

fn at_the_root() -> LoadContext {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    LoadContext { search: vec![root], ..LoadContext::new() }
}

fn entries() -> Aflow {
    Aflow { dft_type: Vec::new(), ..Aflow::new("data/aflow".into()) }
}

fn notes(graphs: &Graphs) -> Vec<u64> {
    graphs.notes.iter().map(|note| note.1).collect()
}

#[test]
fn the_entries_that_come_with_the_code() {
    let graphs = entries().load(&at_the_root()).expect("entries");
    // By name: Ac1, Ba2, Al2Ca2, Ag2Al1; those of Cr1O3Ru1 and Ce1La1O8Pr1Y1 state no enthalpy.
    let target = graphs.target.as_ref().expect("a target");
    assert_eq!(target.value, [0.0, 0.008_521, -0.162_019, -0.063_887_3]);
    assert_eq!(target.kind, TargetKind::Regression { unit: Some("eV/atom".into()) });
    let View::ManyGraphs(sizes) = graphs.view(&[0, 1, 2, 3]) else { panic!("many graphs") };
    let sizes: Vec<_> = sizes.iter().map(|size| (size.n_node, size.n_edge)).collect();
    assert_eq!(sizes, [(1, 12), (2, 24), (4, 48), (3, 36)]);
    let classes = graphs.node_class.as_ref().expect("elements");
    assert_eq!(classes.name, ["Ac", "Ba", "Al", "Ca", "Ag"]);
    assert_eq!(classes.value, [0, 1, 1, 2, 2, 3, 3, 4, 4, 2]);
    assert!(graphs.name.iter().all(|name| name.starts_with("aflow:")), "{:?}", graphs.name);
    // Read, repeated, without positions, target, by functional, by enthalpy, other files.
    assert_eq!(notes(&graphs)[..6], [7, 0, 0, 3, 0, 0]);
    assert_eq!(graphs.fields(), entries().provides().fields);
}

#[test]
fn filters_and_targets() {
    let pbe = Aflow::new("data/aflow".into()).load(&at_the_root()).expect("entries");
    assert_eq!((pbe.n_member(), notes(&pbe)[4]), (2, 2));
    let below = Aflow { enthalpy_below: 0.0, ..entries() }.load(&at_the_root()).expect("entries");
    assert_eq!((below.n_member(), notes(&below)[5]), (2, 2));
    let first = Aflow { limit: NonZeroUsize::new(1), ..entries() };
    assert_eq!(first.load(&at_the_root()).expect("entries").n_member(), 1);

    // One entry, read twice from two files.
    let gap = Aflow { target: Target::Egap, ..entries() }.load(&at_the_root()).expect("entries");
    assert_eq!((gap.n_member(), gap.n_node(), notes(&gap)[1]), (1, 5, 1));
    let metal = Aflow { target: Target::Metal, ..entries() }.load(&at_the_root()).expect("entries");
    let target = metal.target.expect("a target");
    assert_eq!(target.kind, TargetKind::Classes { name: vec!["metal".into(), "non-metal".into()] });
    assert_eq!(target.value, [0.0]);

    let none = Aflow { dft_type: vec!["SCAN".into()], ..entries() }.load(&at_the_root());
    let error = none.expect_err("nothing").to_string();
    assert!(
        error.contains("none of the 7 entries") && error.contains("4 entries left out by dft_type"),
        "{error}"
    );
    let radius = Aflow { edges: EdgeRule::Radius(5.0.try_into().expect("a radius")), ..entries() };
    let graphs = radius.load(&at_the_root()).expect("entries");
    let View::ManyGraphs(sizes) = graphs.view(&[0, 1, 2, 3]) else { panic!("many graphs") };
    assert_eq!(sizes.iter().map(|size| size.n_edge).collect::<Vec<_>>(), [12, 24, 72, 78]);
}

#[test]
fn an_entry_without_positions_takes_the_relaxed_structure_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    let entry = |id: u32, compound: &str| {
        format!(
            r#"{{"auid":"aflow:{id}","compound":"{compound}","dft_type":["PAW_PBE"],"enthalpy_formation_atom":-1.5}}"#
        )
    };
    let contcar = "x\n1\n4 0 0\n0 4 0\n0 0 4\n1 1\nDirect(2)\n0 0 0 Na\n0.5 0.5 0.5 Cl\n";
    write("a/CONTCAR.relax.vasp", contcar);
    write("a/aflowlib.json", &entry(1, "Cl1Na1"));
    // Another directory, or another crystal: not its structure.
    write("b/aflowlib.json", &entry(2, "Cl1Na1"));
    write("c/CONTCAR.relax.vasp", contcar);
    write("c/aflowlib.json", &entry(3, "Cl1K1"));
    let graphs =
        Aflow::new(folder.path().to_owned()).load(&LoadContext::new()).expect("one crystal");
    assert_eq!(
        (graphs.n_member(), graphs.n_node(), notes(&graphs)[..3].to_vec()),
        (1, 2, vec![3, 0, 2])
    );
}

#[test]
fn faults_name_file_and_entry() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().display().to_string();
    let load = |text: &str| {
        fs::write(file.path(), text).expect("a file");
        let aflow = Aflow { dft_type: Vec::new(), ..Aflow::new(file.path().to_owned()) };
        aflow.load(&LoadContext::new()).expect_err("a fault").to_string()
    };
    let entry = r#"{"compound":"Na1","geometry":[4,4,4,90,90,90],"positions_fractional":[[0,0,0]],"enthalpy_formation_atom":1}"#;
    let fault = load(&format!("[{entry},{}]", entry.replace("[0,0,0]", "[0,0]")));
    assert!(fault.starts_with(&format!("{path}:2: expected positions_fractional")), "{fault}");
    let flat = load(&format!("[{}]", entry.replace("4,4,4", "4,4,1e-9")));
    assert!(flat.starts_with(&format!("{path}:1: the cell")), "{flat}");
    for wrong in ["\"abc\"", "\"1.5 eV\"", "\"1e400\"", "true", "[1,2]"] {
        let fault = load(&entry.replace("_atom\":1", &format!("_atom\":{wrong}")));
        assert!(
            fault.starts_with(&format!("{path}:1: `enthalpy_formation_atom` is `")),
            "{wrong}: {fault}"
        );
    }
    let absent = load(&entry.replace("_atom\":1", "_atom\":\"nan\""));
    assert!(absent.contains("1 entries left out without target"), "{absent}");
    let missing = Aflow::new("no/such".into()).load(&LoadContext::new()).expect_err("no file");
    assert!(matches!(missing, DatasetError::NotFound { .. }));
}

#[test]
fn the_configuration_is_read_strictly_and_written_whole() {
    let parse = |text: &str| toml::from_str::<Aflow>(text);
    assert_eq!(parse("path = \"x\"").expect("defaults"), Aflow::new("x".into()));
    let all = parse(
        "path = \"x\"\ntarget = \"Egap\"\nedges = { nearest = 24 }\ndft_type = []\nenthalpy_below = 5",
    );
    assert_eq!(all.expect("options").target, Target::Egap);
    for wrong in ["", "path = \"x\"\ntarget = \"gap\"", "path = \"x\"\ndft = []"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
    let full = Aflow { edges: EdgeRule::FullyConnected, ..entries() };
    assert!(full.check().expect_err("no end").to_string().contains("cannot be fully connected"));
    let nowhere = Aflow::new("".into()).load(&LoadContext::new()).expect_err("no path");
    assert_eq!(nowhere.to_string(), "`path` is empty; set it to a file or a folder");
    let registration = find(Kind::Dataset, "aflow").expect("registered");
    let example: Box<dyn Dataset> =
        serde_json::from_value((registration.example)()).expect("an example");
    assert!(example.load(&at_the_root()).is_ok());
    let schema = (registration.schema)();
    for (field, schema) in schema["properties"].as_object().expect("fields") {
        assert!(schema["description"].is_string(), "{field}");
    }
}

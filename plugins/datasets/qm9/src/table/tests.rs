use super::*;

const HEAD: &str =
    ",mol_id,smiles,A,B,C,mu,alpha,homo,lumo,gap,r2,zpve,u0,u298,h298,g298,cv,u0_atom\n";
const METHANE: &str = "0,gdb_1,C,157.7118,157.70997,157.70699,0,13.21,-0.3877,0.1171,0.5048,35.3641,0.044749,\
    -40.47893,-40.476062,-40.475117,-40.498597,6.469,-395.999594594\n";

pub(crate) const TABLE: &str = "mol_id,A,B,C,mu,alpha,homo,lumo,gap,r2,zpve,u0,u298,h298,g298,cv\n\
    gdb_1,157.7118,157.70997,157.70699,0,13.21,-0.3877,0.1171,0.5048,35.3641,0.044749,-40.47893,-40.476062,\
    -40.475117,-40.498597,6.469\n\
    gdb_2,293.60975,293.54111,191.39397,1.6256,9.46,-0.257,0.0829,0.3399,26.1563,0.034358,-56.525887,\
    -56.523026,-56.522082,-56.544961,6.316\n";

fn read(text: &str) -> Result<Table, Qm9Error> {
    parse(Path::new("test.csv"), text.as_bytes(), &MemoryBudget::default())
}

fn broken(text: &str, line: usize, part: &str) {
    let message = read(text).expect_err(part).to_string();
    assert!(message.starts_with(&format!("test.csv:{line}: ")), "{message}");
    assert!(message.contains(part), "{message}");
}

#[test]
fn columns_are_found_by_name() {
    let table = read(&format!("{HEAD}{METHANE}{METHANE}")).expect("a good table");
    assert_eq!((table.property.len(), table.n_repeated), (1, 1));
    let methane = table.property[&1];
    assert_eq!(methane[10].to_bits(), (-40.478_93_f64).to_bits());
    assert_eq!(methane[14].to_bits(), 6.469_f64.to_bits());
}

#[test]
fn every_mistake_names_its_line() {
    broken(&HEAD.replace("u298,", ""), 1, "no column `u298`");
    broken(&format!("{HEAD}{}", METHANE.replace("13.21", "13,21")), 2, "fields");
    broken(
        &format!("{HEAD}{}", METHANE.replace("13.21", "nan")),
        2,
        "alpha should be a finite number, found `nan`",
    );
    broken(&format!("{HEAD}{}", METHANE.replace("gdb_1", "gdb_x")), 2, "gdb index should be");
    let other = METHANE.replace("6.469", "6.47");
    broken(&format!("{HEAD}{METHANE}{other}"), 3, "gdb_1 has other values in an earlier row");
    assert!(read(HEAD).expect_err("no row").to_string().contains("test.csv is empty"));
}

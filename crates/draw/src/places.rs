//! A consistent colour and marker for each name in all pictures.

/// Number of distinct pairs of colour and marker.
const N_LOOK: usize = 24;

/// Names that appear in most pictures, each with a reserved look.
const COMMON: [&str; 10] = [
    "dynamic",
    "static-64",
    "static-2^N",
    "static-constant",
    "exact",
    "dynamic-exact",
    "dynamic-64",
    "dynamic-2^N",
    "full",
    "ibmb",
];

/// The index of the colour and marker of each name. Common names have the same one in every
/// picture. So do other names, unless two in one picture collide: then the alphabetically later one
/// moves on.
#[must_use]
pub fn places(names: &[&str]) -> Vec<usize> {
    let common = |name: &str| COMMON.iter().position(|known| *known == name);
    let mut taken: Vec<(&str, usize)> =
        names.iter().filter_map(|name| Some((*name, common(name)?))).collect();
    let mut others: Vec<&str> =
        names.iter().copied().filter(|name| common(name).is_none()).collect();
    others.sort_unstable();
    others.dedup();
    for name in others {
        let is_free = |place: &usize| taken.iter().all(|(_, other)| other != place);
        // The first ones are reserved for the common names.
        let n_other = N_LOOK - COMMON.len();
        let first = COMMON.len() + hash(name) % n_other;
        let mut from_first = (0..N_LOOK).map(|step| (first + step) % N_LOOK);
        let place = from_first.find(is_free).unwrap_or(first);
        taken.push((name, place));
    }
    let place =
        |name: &&str| taken.iter().find(|(known, _)| known == name).map_or(0, |found| found.1);
    names.iter().map(place).collect()
}

/// FNV-1a, which is stable across platforms.
fn hash(name: &str) -> usize {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    name.bytes().fold(2_166_136_261, step) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_looks_the_same_beside_others_and_two_never_look_alike() {
        let few = places(&["exact", "packed", "dynamic"]);
        let many = places(&["dynamic", "static-64", "packed", "static-2^N", "exact"]);
        assert_eq!((few[0], few[1], few[2]), (many[4], many[2], many[0]));
        let names: Vec<String> = (0..20).map(|i| format!("strategy-{i}")).collect();
        let mut found = places(&names.iter().map(String::as_str).collect::<Vec<_>>());
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 20);
    }
}

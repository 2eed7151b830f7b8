//! The files that can be downloaded, and their addresses.

use std::path::Path;

use batchlab_fetch::Remote;

pub(super) const QM9: &str = "qm9";
pub(super) const AFLOW: &str = "aflow";

pub(super) struct File {
    pub(super) name: &'static str,
    id: u32,
    n_byte: u64,
    sha256: &'static str,
}

/// The molecules, and the list of those that failed the geometry consistency check (figshare
/// collection 978904, CC0).
pub(super) const QM9_FILES: [File; 2] = [
    File {
        name: "dsgdb9nsd.xyz.tar.bz2",
        id: 3_195_389,
        n_byte: 86_144_227,
        sha256: "3a63848ac80691bdb8d41834b575afad345b9300d7a2db0c38adb7f6eaa8360c",
    },
    File {
        name: "uncharacterized.txt",
        id: 3_195_404,
        n_byte: 486_752,
        sha256: "3aa5115d540b356de94791d4a74c3bf1ed91c469ecf52a4f5d7cc0506fe02e24",
    },
];

/// Hosts from which figshare serves the same file.
const FIGSHARE: [&str; 3] = [
    "https://ndownloader.figshare.com/files/",
    "https://figshare.com/ndownloader/files/",
    "https://springernature.figshare.com/ndownloader/files/",
];

pub(super) const AFLUX_URL: &str = "https://aflow.org/API/aflux/v1.0/";

/// The properties needed by the study; `(*)` means that an entry must have it.
pub(super) const AFLUX_QUERY: &str = "enthalpy_formation_atom(*),Egap(*),Egap_type(*),dft_type(*),ldau_type(*),\
    energy_cutoff(*),energy_atom(*),density(*),geometry,positions_fractional,compound";

impl File {
    pub(super) fn remote(&self, mirror: Option<&str>) -> Remote {
        let mirror = mirror.map(|mirror| format!("{}/{}", mirror.trim_end_matches('/'), self.name));
        let figshare = FIGSHARE.iter().map(|host| format!("{host}{}", self.id));
        Remote {
            name: self.name.to_owned(),
            urls: mirror.into_iter().chain(figshare).collect(),
            n_byte: self.n_byte,
            sha256: self.sha256.to_owned(),
        }
    }
}

pub(crate) fn remedy(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if QM9_FILES.iter().any(|file| file.name == name) {
        return format!("remove it and run `batchlab data fetch {QM9}`");
    }
    if name.starts_with("page-") {
        return format!("remove its folder and run `batchlab data fetch {AFLOW}`");
    }
    "restore it from its source, for example with `git checkout`".to_owned()
}

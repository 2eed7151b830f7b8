//! Golden values of the reference programs; see `golden/README.md` for their origin.

use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::{env, fs};

use liblzma::read::XzDecoder;
use serde::Deserialize;

/// The data sets of golden files: `<what>_<data set>.<suffix>`.
pub const DATA: [&str; 2] = ["qm9", "aflow"];

/// The same for models of the nodes of one graph: the whole graph, and a part of it.
pub const NODE_DATA: [&str; 2] = ["cora_full", "cora_sub"];

/// A golden file such as `schnet_qm9.safetensors`, decompressed.
///
/// It is in this crate, or in the folder named by `BATCHLAB_GOLDEN`, where it may also be
/// compressed, as `schnet_qm9.safetensors.xz`.
///
/// # Panics
/// If the file is missing or damaged, because a comparison with nothing would pass.
#[must_use]
pub fn open(name: &str) -> Vec<u8> {
    let ours = || Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let folder = env::var_os("BATCHLAB_GOLDEN").map_or_else(ours, PathBuf::from);
    read(&folder, name).unwrap_or_else(|error| {
        panic!(
            "the golden file {name} of {}: {error}; BATCHLAB_GOLDEN can name another folder",
            folder.display()
        )
    })
}

fn read(folder: &Path, name: &str) -> io::Result<Vec<u8>> {
    match fs::read(folder.join(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => return read,
    }
    let mut bytes = Vec::new();
    let packed = fs::File::open(folder.join(format!("{name}.xz")))?;
    XzDecoder::new(packed).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// `batchers_*.json`: results of the reference program for one stream of graphs.
#[derive(Debug, Deserialize)]
pub struct BatcherGolden {
    /// Nodes and edges of each graph, in the order of the stream.
    pub sizes: Vec<[u32; 2]>,
    /// By `<algorithm>/B=<batch size>`.
    pub results: std::collections::BTreeMap<String, BatcherResult>,
}

#[derive(Debug, Deserialize)]
pub struct BatcherResult {
    /// Nodes, edges, graphs.
    pub budget: [u32; 3],
    /// First graph, real graphs, real nodes, real edges, padded nodes, padded edges, padded graphs.
    pub batches: Vec<[u32; 7]>,
}

impl BatcherGolden {
    /// Reads the file of a data set; see [`DATA`].
    #[must_use]
    pub fn open(data: &str) -> Self {
        let text = open(&format!("batchers_{data}.json"));
        serde_json::from_slice(&text).expect("a valid golden file")
    }

    /// Algorithm, B and result, for every key that starts with `prefix`.
    pub fn of<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, u32, &'a BatcherResult)> {
        self.results.iter().filter_map(move |(key, result)| {
            let (algorithm, size) = key.split_once("/B=")?;
            let size = size.parse().expect("the batch size is a number");
            algorithm.starts_with(prefix).then_some((algorithm, size, result))
        })
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn absent_and_damaged_files_are_errors() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = read(folder.path(), "a.json").expect_err("nothing is there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/batchers_qm9.json.xz");
        let packed = fs::read(packed).expect("a golden file");
        let cut_off = &packed[..packed.len() - 20];
        fs::write(folder.path().join("a.json.xz"), cut_off).expect("room");
        assert!(read(folder.path(), "a.json").is_err());
        fs::write(folder.path().join("a.json.xz"), packed).expect("room");
        assert_eq!(read(folder.path(), "a.json").expect("packed"), open("batchers_qm9.json"));
        fs::write(folder.path().join("a.json"), "plain").expect("room");
        assert_eq!(read(folder.path(), "a.json").expect("plain"), b"plain");
    }

    #[test]
    fn files_at_node_level_are_whole() {
        for model in ["gcn", "sage", "gat"] {
            for part in ["full", "sub"] {
                let bytes = open(&format!("{model}_cora_{part}.safetensors"));
                let (_, header) = SafeTensors::read_metadata(&bytes).expect("safetensors");
                let said = header.metadata().as_ref().expect("metadata");
                let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
                let shape = |name: &str| tensors.tensor(name).expect(name).shape().to_vec();
                let mut n_parameter = 0;
                for name in tensors.names() {
                    if let Some(name) = name.strip_prefix("param.") {
                        let of_parameter = shape(&format!("param.{name}"));
                        assert_eq!(shape(&format!("grad.{name}")), of_parameter, "{name}");
                        n_parameter += of_parameter.iter().product::<usize>();
                    }
                }
                assert_eq!(
                    (&said["model"], &said["params"]),
                    (&model.into(), &n_parameter.to_string())
                );
                let rows = shape("input.output_row");
                assert_eq!(shape("output.prediction")[0], rows[0]);
                for regularised in ["", "_reg0", "_reg0.1", "_reg0.1_all"] {
                    let losses = format!("output.loss_after_adam_steps{regularised}");
                    assert_eq!(shape(&losses), [11], "{losses}");
                }
            }
        }
        let batches: serde_json::Value =
            serde_json::from_slice(&open("ibmb_cora.json")).expect("JSON");
        let batches = batches.as_object().expect("an object");
        for part in ["ppr", "node_wise", "batch_wise", "cluster_gcn", "schedule", "path", "tiny"] {
            assert!(batches.contains_key(part), "{part}");
        }
    }
}

//! `batchlab data fetch`: downloads public data.

mod known;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use batchlab_fetch::{Arrived, Query, Remote, add_sums, check_url};

use crate::exit::{DataFault, Usage};
use crate::output::Out;
use crate::progress::{Unit, to_standard_error};
pub(super) use known::remedy;
use known::{AFLOW, QM9, QM9_FILES};

/// Download a public data set: qm9 (86 MB from figshare) or aflow (entries from AFLOW's search
/// interface).
///
/// Files are checked against pinned lengths and hashes; an interrupted download resumes where it
/// stopped.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// `qm9` or `aflow`.
    name: String,
    /// Directory in which to create `qm9/` or `aflow/`.
    #[arg(long, value_name = "DIR", default_value = "data")]
    to: PathBuf,
    /// Download nothing: report which files exist, and where to put the others.
    #[arg(long)]
    offline: bool,
    /// Another address to try first: for qm9 a directory with the files under their names, for
    /// aflow the search interface.
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// For aflow: the query in AFLUX syntax, without paging.
    #[arg(long, value_name = "AFLUX")]
    query: Option<String>,
    /// For aflow: entries per page [default: 1000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    page_size: Option<u32>,
    /// For aflow: maximum number of pages [default: 10000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_page: Option<u32>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(mirror) = &arguments.mirror {
        check_url(mirror).map_err(|problem| Usage(format!("--mirror: {problem}")))?;
    }
    match arguments.name.as_str() {
        QM9 => qm9(arguments),
        AFLOW => aflow(arguments),
        other => {
            let near = batchlab_core::registry::suggestion(other, &[QM9, AFLOW]);
            bail!(Usage(format!("\"{other}\" cannot be fetched{near}; known: {QM9}, {AFLOW}")))
        }
    }
}

fn qm9(arguments: &Arguments) -> Result<ExitCode> {
    let of_aflow = [
        ("--query", arguments.query.is_some()),
        ("--page-size", arguments.page_size.is_some()),
        ("--max-page", arguments.max_page.is_some()),
    ];
    if let Some((option, _)) = of_aflow.iter().find(|(_, is_given)| *is_given) {
        bail!(Usage(format!("{option} is for aflow; qm9 has no such option")));
    }
    let folder = arguments.to.join(QM9);
    let remotes: Vec<Remote> =
        QM9_FILES.iter().map(|file| file.remote(arguments.mirror.as_deref())).collect();
    let mut out = Out;
    if arguments.offline {
        let mut missing = Vec::new();
        for remote in &remotes {
            if remote.is_in(&folder).map_err(DataFault::of)? {
                writeln!(
                    out,
                    "{} is there, checksum correct",
                    folder.join(&remote.name).display()
                )?;
            } else {
                missing.push(remote.by_hand(&folder));
            }
        }
        if missing.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        bail!(DataFault(missing.join("\n")));
    }
    let progress = to_standard_error(Unit::Bytes);
    for remote in &remotes {
        let arrived = remote.fetch(&folder, &*progress).map_err(DataFault::of)?;
        let how = match arrived {
            Arrived::AlreadyPresent => "was there, checksum correct",
            Arrived::Now => "fetched, checksum correct",
        };
        writeln!(out, "{}: {how}", folder.join(&remote.name).display())?;
        let sum = BTreeMap::from([(remote.name.clone(), remote.sha256.clone())]);
        add_sums(&folder, sum).map_err(DataFault::of)?;
    }
    let archive = folder.join(QM9_FILES[0].name);
    writeln!(
        out,
        "use it with [dataset] name = \"qm9\", path = \"{}\"",
        absolute(&archive).display()
    )?;
    Ok(ExitCode::SUCCESS)
}

fn aflow(arguments: &Arguments) -> Result<ExitCode> {
    let folder = arguments.to.join(AFLOW).join("aflux");
    let url = arguments.mirror.as_deref().unwrap_or(known::AFLUX_URL).trim_end_matches('?');
    let query = Query {
        url: url.to_owned(),
        matchbook: arguments.query.as_deref().unwrap_or(known::AFLUX_QUERY).to_owned(),
        page_size: arguments.page_size.unwrap_or(1000),
        max_page: arguments.max_page.unwrap_or(10_000),
    };
    let mut out = Out;
    if folder.exists() {
        writeln!(out, "{} is there; move it away to fetch it again", folder.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.offline {
        bail!(DataFault(format!(
            "put the replies of {} and of the following pages as .json files into {}",
            query.page_url(1),
            folder.display()
        )));
    }
    let progress = to_standard_error(Unit::Items);
    let (n_page, n_entry) = query.fetch(&folder, &*progress).map_err(DataFault::of)?;
    writeln!(
        out,
        "{}: {n_entry} entries in {n_page} pages\nplease cite Curtarolo and others, Comput. Mater. Sci. 58, 227 (2012)",
        folder.display(),
    )?;
    Ok(ExitCode::SUCCESS)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

//! Brings `content/*.yaml` into the program as JSON, so that an agent reads no YAML: the name of each file with its
//! documents, in order of the names.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=content");
    let mut paths = fs::read_dir("content")?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<PathBuf>, std::io::Error>>()?;
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "yaml"));
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let name = path.file_name().ok_or("no name")?.to_string_lossy().into_owned();
        let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&fs::read_to_string(&path)?)
            .map_err(|error| format!("content/{name}: not YAML: {error}"))?;
        // As text in the text: whoever reads it holds the documents of one file at a time.
        files.push((name, serde_json::to_string(&documents)?));
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    Ok(fs::write(out.join("content.json"), serde_json::to_vec(&files)?)?)
}

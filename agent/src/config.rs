//! agent.toml: what this host's owner allows, and where its controller is.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aright_shared::content::script::Interpreter;
use aright_shared::digest::Digest;
use aright_shared::id::Key;
use serde::{Deserialize, Serialize};

use crate::cage::plan::REPLACED;
use crate::paths;

/// The settings file, every key optional. An unknown key is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Controllers in order of preference, such as `https://aright.example:8440`.
    pub controllers: Vec<String>,
    /// SHA-256 of the authority's root certificate, as the controller printed it.
    pub ca_fingerprint: Option<Digest>,
    /// SHA-256 of the trust root's public key, as the controller printed it.
    pub trust_fingerprint: Option<Digest>,
    /// Where an enrolment key lies: a host that is not enrolled then enrols by itself when the service starts.
    /// Readable by its owner alone; removed once it has served.
    pub enroll_key_file: Option<PathBuf>,
    /// `remediate`, or `evaluate`: never runs scripts.
    pub mode: Mode,
    /// Where identity, journal and results are kept.
    pub state: PathBuf,
    /// Seconds between evaluations of all controls.
    pub evaluate_every_s: u64,
    /// Whether scripts with `confinement: host` may run here.
    pub allow_host: bool,
    /// Whether approvals by keys that stay with the controller are believed.
    pub allow_online_approvers: bool,
    /// Programs beside sh, bash and python3 that may read scripts here.
    pub interpreters: Vec<PathBuf>,
    pub deny: Deny,
    /// Paths beyond the built-in list whose content no script and no report may see.
    pub never_read: Vec<PathBuf>,
    pub originals: Originals,
    /// What becomes of a fix for a file that Puppet, Ansible or cloud-init writes too: `warn` says it in the
    /// report, `refuse` ends the task `refused: managed_elsewhere`.
    pub respect_managed: RespectManaged,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RespectManaged {
    #[default]
    Warn,
    Refuse,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Remediate,
    Evaluate,
}

/// What never changes on this host, whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deny {
    /// Files, or folders with all below them.
    pub paths: Vec<PathBuf>,
    pub controls: Vec<Key>,
}

/// How long originals are kept for undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Originals {
    pub days: u32,
    pub megabytes: u64,
}

impl Default for Originals {
    fn default() -> Self {
        Self { days: 90, megabytes: 256 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            controllers: Vec::new(),
            ca_fingerprint: None,
            trust_fingerprint: None,
            enroll_key_file: None,
            mode: Mode::default(),
            state: paths::default_state(),
            evaluate_every_s: 4 * 3600,
            allow_host: false,
            allow_online_approvers: true,
            interpreters: Vec::new(),
            deny: Deny::default(),
            never_read: Vec::new(),
            originals: Originals::default(),
            respect_managed: RespectManaged::default(),
        }
    }
}

impl Config {
    /// As patterns.
    pub fn never_read(&self) -> Vec<String> {
        self.never_read.iter().map(|path| path.display().to_string()).collect()
    }

    /// Reads and checks a settings file; one that does not exist means the defaults.
    ///
    /// # Errors
    /// Unreadable, not TOML, an unknown key, a value out of bounds: the file, the key and the remedy are named.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let config: Self =
            toml::from_str(&text).with_context(|| format!("{} is not valid", path.display()))?;
        config.check().with_context(|| format!("{} is not valid", path.display()))?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        for url in &self.controllers {
            anyhow::ensure!(
                url.starts_with("https://") && url.len() > "https://".len(),
                "controllers: {url:?} must start with https://, such as \"https://aright.example:8440\""
            );
        }
        let files = [("enroll_key_file", &self.enroll_key_file)];
        for (key, path) in files.into_iter().filter_map(|(key, file)| Some((key, file.as_ref()?))) {
            anyhow::ensure!(path.is_absolute(), "{key}: {} must be an absolute path", path.display());
        }
        anyhow::ensure!(self.state.is_absolute(), "state: {} must be an absolute path", self.state.display());
        anyhow::ensure!(
            (60..=7 * 24 * 3600).contains(&self.evaluate_every_s),
            "evaluate_every_s: {} must lie between 60 (a minute) and 604800 (a week)",
            self.evaluate_every_s
        );
        for program in &self.interpreters {
            let is_program = program.to_str().and_then(|path| path.parse().ok());
            anyhow::ensure!(
                matches!(is_program, Some(Interpreter::Program(_))),
                "interpreters: {program:?} must be an absolute path, such as \"/usr/bin/perl\""
            );
            anyhow::ensure!(
                !REPLACED.iter().any(|folder| program.starts_with(folder)),
                "interpreters: {program:?} is out of a script's sight; next: a program outside of {}",
                REPLACED.join(" ")
            );
        }
        for path in self.deny.paths.iter().chain(&self.never_read) {
            anyhow::ensure!(path.is_absolute(), "path {} must be absolute", path.display());
        }
        Ok(())
    }

    /// Whether the owner forbids changes to this path.
    pub fn denies_path(&self, path: &Path) -> bool {
        self.deny.paths.iter().any(|denied| path.starts_with(denied))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> anyhow::Result<Config> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        Config::load(file.path())
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
        let error = format!("{:#}", load("mode = \"evaluate\"\nmoed = 1\n").expect_err("refused"));
        assert!(
            error.contains("moed") && error.contains("line 2") && error.contains("controllers"),
            "{error}"
        );
    }

    #[test]
    fn a_value_out_of_bounds_is_named_with_its_bounds() {
        let error = format!("{:#}", load("evaluate_every_s = 5").expect_err("refused"));
        assert!(error.contains("evaluate_every_s: 5") && error.contains("60"), "{error}");
        let error = format!("{:#}", load("controllers = [\"http://x\"]").expect_err("refused"));
        assert!(error.contains("http://x") && error.contains("https://"), "{error}");
    }

    #[test]
    fn an_interpreter_is_a_program_that_scripts_can_see() {
        let config = load("interpreters = [\"/usr/bin/perl\"]").expect("loads");
        assert_eq!(config.interpreters, [PathBuf::from("/usr/bin/perl")]);
        for (program, why) in
            [("perl", "absolute"), ("/usr/../x", "absolute"), ("/tmp/x", "out of a script's sight")]
        {
            let error = format!("{:#}", load(&format!("interpreters = [{program:?}]")).expect_err(program));
            assert!(error.contains(program) && error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_denied_folder_covers_what_is_below_it_and_not_its_namesakes() {
        let config = load("[deny]\npaths = [\"/etc/ssh\"]").expect("loads");
        assert!(config.denies_path(Path::new("/etc/ssh/sshd_config")));
        assert!(!config.denies_path(Path::new("/etc/sshfs.conf")));
    }

    #[test]
    fn the_packaged_settings_are_the_defaults_and_name_every_key() {
        let packaged = include_str!("../../packaging/debian/agent.toml");
        let config = load(packaged).expect("loads");
        let shown: String = packaged
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line))
            .filter(|line| !line.contains('…'))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!((load(&shown).expect("loads"), config), (Config::default(), Config::default()));
        let every = toml::Value::try_from(Config { enroll_key_file: Some("/x".into()), ..Config::default() });
        for key in every.expect("a table").as_table().expect("a table").keys() {
            assert!(
                packaged.contains(&format!("{key} = ")) || packaged.contains(&format!("[{key}]")),
                "{key}"
            );
        }
    }

    fn is_setting(line: &str) -> bool {
        line.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    }
}

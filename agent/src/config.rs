//! agent.toml: what this host's owner allows, and where its controller is.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aright_shared::client::{Login, Proxy, Route};
use aright_shared::content::script::Interpreter;
use aright_shared::digest::Digest;
use aright_shared::id::Key;
use serde::{Deserialize, Serialize};

use crate::{paths, secret_file, system};

/// The settings file, every key optional. An unknown key is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Controllers in order of preference, such as `https://aright.example:8440`.
    pub controllers: Vec<String>,
    /// By which they are reached (HTTP CONNECT), such as `http://proxy.example:3128`. The environment is not asked.
    pub proxy: Option<String>,
    /// Holds `user:password` for the proxy; readable by its owner alone.
    pub proxy_login_file: Option<PathBuf>,
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
    /// Windows: by whose execution policy PowerShell scripts run: `host`, or `bypass`, which the report says.
    pub powershell_policy: PowershellPolicy,
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
pub enum PowershellPolicy {
    #[default]
    Host,
    Bypass,
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
            proxy: None,
            proxy_login_file: None,
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
            powershell_policy: PowershellPolicy::default(),
        }
    }
}

impl Config {
    /// As patterns.
    pub fn never_read(&self) -> Vec<String> {
        self.never_read.iter().map(|path| path.display().to_string()).collect()
    }

    /// How controllers are reached.
    ///
    /// # Errors
    /// The proxy's log-in cannot be read.
    pub fn route(&self) -> anyhow::Result<Route> {
        let Some(url) = &self.proxy else { return Ok(Route::Direct) };
        let login = match &self.proxy_login_file {
            Some(file) => Some(proxy_login(file).context("proxy_login_file")?),
            None => None,
        };
        Ok(Route::Proxy(Proxy { url: url.clone(), login }))
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
        system::check_settings(path)?;
        let config: Self =
            toml::from_str(&text).with_context(|| format!("{} is not valid", path.display()))?;
        config.check().with_context(|| format!("{} is not valid", path.display()))?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        check_controllers(&self.controllers).context("controllers")?;
        if let Some(proxy) = &self.proxy {
            check_proxy(proxy)?;
        }
        anyhow::ensure!(
            self.proxy.is_some() || self.proxy_login_file.is_none(),
            "proxy_login_file: there is no proxy to log in to; next: proxy = \"http://proxy.example:3128\""
        );
        let files =
            [("enroll_key_file", &self.enroll_key_file), ("proxy_login_file", &self.proxy_login_file)];
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
                !paths::OUT_OF_SIGHT.iter().any(|folder| program.starts_with(folder)),
                "interpreters: {program:?} is out of a script's sight; next: a program outside of {}",
                paths::OUT_OF_SIGHT.join(" ")
            );
        }
        for (key, paths) in [("deny.paths", &self.deny.paths), ("never_read", &self.never_read)] {
            for path in paths {
                anyhow::ensure!(path.is_absolute(), "{key}: {} must be an absolute path", path.display());
            }
        }
        Ok(())
    }
}

/// # Errors
/// Names the one that is no address.
pub fn check_controllers(urls: &[String]) -> anyhow::Result<()> {
    urls.iter().try_for_each(|url| {
        anyhow::ensure!(
            url.starts_with("https://") && url.len() > "https://".len(),
            "{url:?} must start with https://, such as \"https://aright.example:8440\""
        );
        Ok(())
    })
}

/// What is in it may be a password: it is quoted only where there is none.
fn check_proxy(proxy: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        !proxy.contains('@'),
        "proxy: it holds a log-in, and agent.toml is for everybody to read; next: put user:password into a file with \
         mode 0600 and name that by proxy_login_file"
    );
    let address = proxy.strip_prefix("http://").map(|address| address.trim_end_matches('/'));
    anyhow::ensure!(
        address.is_some_and(|address| !address.is_empty() && !address.contains(['/', '?', '#', ' '])),
        "proxy: {proxy:?} must be http:// and an address, such as \"http://proxy.example:3128\""
    );
    Ok(())
}

fn proxy_login(file: &Path) -> anyhow::Result<Login> {
    let text = secret_file::read(file)?;
    let (user, password) =
        text.split_once(':').with_context(|| format!("{} must hold user:password", file.display()))?;
    Ok(Login { user: user.to_owned(), password: password.to_owned() })
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
    fn a_proxy_is_an_address_and_its_log_in_lies_elsewhere() {
        let config = load("proxy = \"http://proxy.example:3128\"").expect("loads");
        assert!(matches!(config.route().expect("a route"), Route::Proxy(Proxy { login: None, .. })));
        for (settings, why) in [
            ("proxy = \"http://ann:s3cret@proxy:3128\"", "proxy_login_file"),
            ("proxy = \"https://proxy:3128\"", "http://"),
            ("proxy = \"proxy:3128\"", "http://"),
            ("proxy_login_file = \"/x\"", "no proxy"),
            ("proxy = \"http://proxy\"\nproxy_login_file = \"x\"", "absolute"),
        ] {
            let error = format!("{:#}", load(settings).expect_err(settings));
            assert!(error.contains(why) && !error.contains("s3cret"), "{error}");
        }
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
        let every = toml::Value::try_from(Config {
            proxy: Some("http://x:1".into()),
            proxy_login_file: Some("/x".into()),
            ca_fingerprint: Some(Digest::of(b"x")),
            trust_fingerprint: Some(Digest::of(b"x")),
            enroll_key_file: Some("/x".into()),
            ..Config::default()
        });
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

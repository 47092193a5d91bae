//! A hostile script, who judges it, and what it needs to be possible at all.

use std::process::{Command, Stdio};

use aright_shared::content::script::{Interpreter, Network};

/// Before every script in Python.
const PRELUDE: &str = include_str!("prelude.py");

#[derive(Clone, Copy)]
enum Language {
    Shell,
    Python,
}

#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    /// A call of one of the functions in `witness/`.
    pub witness: &'static str,
    language: Language,
    script: &'static str,
    needs: &'static str,
    pub network: Network,
    /// Without the cage it gets a PID 1 to aim at.
    pub supervised: bool,
}

/// A script for `sh`.
pub const fn sh(name: &'static str, witness: &'static str, script: &'static str) -> Case {
    Case {
        name,
        witness,
        language: Language::Shell,
        script,
        needs: "",
        network: Network::None,
        supervised: false,
    }
}

/// A script for Python, after `prelude.py`.
pub const fn python(name: &'static str, witness: &'static str, script: &'static str) -> Case {
    Case { language: Language::Python, ..sh(name, witness, script) }
}

impl Case {
    pub fn interpreter(&self) -> Interpreter {
        match self.language {
            Language::Shell => Interpreter::Sh,
            Language::Python => Interpreter::Python3,
        }
    }

    /// A test in shell whether this kernel has what the script goes for.
    pub const fn needs(self, test: &'static str) -> Self {
        Self { needs: test, ..self }
    }

    /// The script declares that it uses the network.
    pub const fn with_network(self) -> Self {
        Self { network: Network::Host, ..self }
    }

    pub const fn supervised(self) -> Self {
        Self { supervised: true, ..self }
    }

    pub fn is_possible(&self) -> bool {
        let mut test = Command::new("sh");
        test.args(["-c", self.needs]).stdout(Stdio::null()).stderr(Stdio::null());
        self.needs.is_empty() || test.status().expect("sh").success()
    }

    pub fn body(&self) -> String {
        match self.language {
            Language::Python => format!("{PRELUDE}\n{}", self.script),
            Language::Shell => self.script.to_owned(),
        }
    }
}

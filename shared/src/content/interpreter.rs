//! What a script is read by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::technology::Platform;

/// Longest path of a program, in bytes.
const MAX_PATH: usize = 256;

/// One that every host of its system has; or another program by its path, where the host's owner allows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Interpreter {
    Sh,
    Bash,
    Python3,
    Cmd,
    Powershell,
    /// Absolute, without `//`, `.` and `..`.
    Program(String),
}

impl Interpreter {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sh => "sh",
            Self::Bash => "bash",
            Self::Python3 => "python3",
            Self::Cmd => "cmd",
            Self::Powershell => "powershell",
            Self::Program(path) => path,
        }
    }

    /// Where it is at home.
    pub fn platform(&self) -> Platform {
        match self {
            Self::Sh | Self::Bash | Self::Python3 | Self::Program(_) => Platform::Linux,
            Self::Cmd | Self::Powershell => Platform::Windows,
        }
    }
}

impl FromStr for Interpreter {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "sh" => Self::Sh,
            "bash" => Self::Bash,
            "python3" => Self::Python3,
            "cmd" => Self::Cmd,
            "powershell" => Self::Powershell,
            path if is_program(path) => Self::Program(path.to_owned()),
            other => {
                return Err(format!(
                    "interpreter {other:?} is none of sh bash python3 cmd powershell, and no absolute path such as \
                     /usr/bin/perl"
                ));
            }
        })
    }
}

fn is_program(path: &str) -> bool {
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    path.len() <= MAX_PATH
        && !path.contains(char::is_control)
        && path.strip_prefix('/').is_some_and(|rest| !rest.split('/').any(odd))
}

impl TryFrom<String> for Interpreter {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Interpreter> for String {
    fn from(interpreter: Interpreter) -> Self {
        interpreter.as_str().to_owned()
    }
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_and_paths_are_programs() {
        for text in ["sh", "bash", "python3", "cmd", "powershell", "/usr/bin/perl", "/opt/a b/run"] {
            let interpreter: Interpreter = text.parse().expect(text);
            assert_eq!(interpreter.to_string(), text);
            assert_eq!(matches!(interpreter, Interpreter::Program(_)), text.starts_with('/'), "{text}");
            let json = serde_json::to_value(&interpreter).expect("data");
            assert_eq!(json, text);
            assert_eq!(serde_json::from_value::<Interpreter>(json).expect("read"), interpreter);
        }
    }

    #[test]
    fn everything_else_is_refused_with_what_is_known() {
        let long = format!("/{}", "x".repeat(MAX_PATH));
        for text in
            ["", "perl", "Sh", "/", "//x", "/usr/../x", "/usr/./x", "/x/", "bin/x", "/x\n", "C:\\x", &long]
        {
            let why = text.parse::<Interpreter>().expect_err(text);
            assert!(why.contains("python3") && why.contains("/usr/bin/perl"), "{why}");
        }
    }
}

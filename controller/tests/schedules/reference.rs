//! One Python for all questions: `reference.py`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, Command, Stdio};

use serde::Deserialize;

use crate::case::Case;

const SCRIPT: &str = include_str!("reference.py");

pub struct Reference {
    pub python: &'static str,
    pub last_year: i16,
    pub count: usize,
}

#[derive(Deserialize)]
pub struct Answer {
    /// For each instant asked for, what the clock on the wall shows, and the instant in milliseconds.
    pub found: Vec<Vec<(String, i64)>>,
    pub notes: Vec<String>,
}

/// The first that has what is needed: one's own may stand before the system's.
pub fn python() -> Option<&'static str> {
    const NEEDS: &str = "import dateutil.rrule, zoneinfo; zoneinfo.ZoneInfo('Europe/Berlin')";
    let has_all = |python: &&str| {
        let mut command = Command::new(python);
        let tried = command.args(["-c", NEEDS]).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    ["python3", "/usr/bin/python3"].into_iter().find(has_all)
}

impl Reference {
    /// An answer for each, in order.
    pub fn ask(&self, cases: &[Case]) -> Vec<Answer> {
        let mut python = Command::new(self.python)
            .args(["-c", SCRIPT, &self.last_year.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let (questions, answers) =
            (python.stdin.take().expect("stdin"), python.stdout.take().expect("stdout"));
        let answers = std::thread::scope(|scope| {
            scope.spawn(|| self.write(questions, cases));
            let lines = BufReader::new(answers).lines();
            lines.map(|line| serde_json::from_str(&line.expect("a line")).expect("an answer")).collect()
        });
        assert!(python.wait().expect("python ends").success(), "reference.py failed");
        answers
    }

    /// Its end ends Python.
    fn write(&self, mut questions: ChildStdin, cases: &[Case]) {
        for case in cases {
            let question = serde_json::json!({
                "start": case.repeat.start,
                "rule": case.repeat.rule,
                "zone": case.zone,
                "after": case.after,
                "count": self.count,
            });
            if writeln!(questions, "{question}").is_err() {
                // It has died, and has said why.
                return;
            }
        }
    }
}

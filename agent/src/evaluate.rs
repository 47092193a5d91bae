//! Controls to observations: which technologies are here, which controls apply, what their probes see.

use std::cell::OnceCell;

use aright_shared::content::control::{Check, Control, ControlTechnology, Instances};
use aright_shared::id::Key;
use aright_shared::library::Library;
use aright_shared::posture::{ErrorCode, NotApplicable, Observation, Reading, Spot, Verdict, judge};
use aright_shared::time::Millis;

use crate::probe::{Look, View};
use crate::root::Root;

/// Most instances of one control; beyond that it is `error: too_large`.
const MAX_INSTANCES: usize = 1000;

/// One evaluation of one root: every file is read once.
pub struct Evaluator<'a> {
    library: &'a Library,
    look: Look<'a>,
    now: Millis,
    technologies: OnceCell<Vec<Key>>,
}

/// All that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    pub technologies: Vec<Key>,
    pub observations: Vec<Observation>,
    pub not_applicable: Vec<NotApplicable>,
}

/// What became of one spot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    Observed(Observation),
    /// The control does not apply here, or the instance is no longer there; and why.
    NotApplicable(String),
}

impl Sight {
    /// The verdict against an expected value; `None` where the control does not apply.
    pub fn verdict(&self, expect: &aright_shared::content::expect::Expect) -> Option<Verdict> {
        match self {
            Self::Observed(observation) => Some(judge(&observation.reading, expect)),
            Self::NotApplicable(_) => None,
        }
    }
}

impl<'a> Evaluator<'a> {
    pub fn new(library: &'a Library, root: &'a Root, view: &'a View, now: Millis) -> Self {
        Self { library, look: Look::new(root, view), now, technologies: OnceCell::new() }
    }

    pub fn look(&self) -> &Look<'a> {
        &self.look
    }

    /// The technologies that are here, in order of their keys.
    pub fn technologies(&self) -> &[Key] {
        self.technologies.get_or_init(|| {
            let here = |checks: &[Check]| self.first_failing(checks).is_none();
            let found = self.library.technologies().filter(|one| here(&one.detect.all));
            found.map(|one| one.key.clone()).collect()
        })
    }

    /// Every control of the library on every technology that is here.
    pub fn all(&self) -> Evaluation {
        let mut evaluation =
            Evaluation { technologies: self.technologies().to_vec(), ..Evaluation::default() };
        for control in self.library.controls() {
            self.add(control, &mut evaluation);
        }
        evaluation
    }

    /// Some controls only.
    pub fn controls(&self, keys: &[Key]) -> Evaluation {
        let mut evaluation =
            Evaluation { technologies: self.technologies().to_vec(), ..Evaluation::default() };
        for control in keys.iter().filter_map(|key| self.library.control(key)) {
            self.add(control, &mut evaluation);
        }
        evaluation
    }

    fn add(&self, control: &Control, evaluation: &mut Evaluation) {
        for technology in self.technologies() {
            let Some(on) = control.on(technology) else { continue };
            match self.applies(on) {
                Err(reason) => evaluation.not_applicable.push(NotApplicable {
                    control: control.key.clone(),
                    technology: technology.clone(),
                    reason,
                }),
                Ok(()) => evaluation.observations.extend(self.observe(control, technology, on)),
            }
        }
    }

    fn observe(&self, control: &Control, technology: &Key, on: &ControlTechnology) -> Vec<Observation> {
        let spot = |instance: &str| Spot {
            control: control.key.clone(),
            technology: technology.clone(),
            instance: instance.to_owned(),
        };
        match self.instances(on) {
            Ok(instances) => instances.iter().map(|instance| self.observation(spot(instance), on)).collect(),
            Err(error) => vec![Observation {
                spot: spot("default"),
                reading: error,
                evidence: Vec::new(),
                managed: Vec::new(),
                at: self.now,
            }],
        }
    }

    fn observation(&self, spot: Spot, on: &ControlTechnology) -> Observation {
        let seen = self.look.see(&on.check.at(&spot.instance));
        let managed = self.look.managed();
        Observation { spot, reading: seen.reading, evidence: seen.evidence, managed, at: self.now }
    }

    /// One place, freshly seen.
    pub fn spot(&self, spot: &Spot) -> Sight {
        let gone = |why: &str| Sight::NotApplicable(why.to_owned());
        let Some(control) = self.library.control(&spot.control) else {
            return gone("this agent does not carry the control");
        };
        if !self.technologies().contains(&spot.technology) {
            return Sight::NotApplicable(format!("{} is not on this host", spot.technology));
        }
        let Some(on) = control.on(&spot.technology) else { return gone("the control has no check for it") };
        if let Err(reason) = self.applies(on) {
            return Sight::NotApplicable(reason);
        }
        match self.instances(on) {
            Ok(instances) if !instances.contains(&spot.instance) => gone("the instance is no longer there"),
            _ => Sight::Observed(self.observation(spot.clone(), on)),
        }
    }

    fn instances(&self, on: &ControlTechnology) -> Result<Vec<String>, Reading> {
        let instances = match &on.instances {
            Instances::Fixed { values } => values.clone(),
            Instances::Glob { pattern } => {
                let paths = self.look.root().glob(pattern).map_err(|error| Reading::Error {
                    code: ErrorCode::ProbeFailed,
                    detail: error.to_string(),
                })?;
                paths.into_iter().filter(|path| self.look.root().exists(path)).collect()
            }
        };
        if instances.len() > MAX_INSTANCES {
            let detail = format!("{} instances; the limit is {MAX_INSTANCES}", instances.len());
            return Err(Reading::Error { code: ErrorCode::TooLarge, detail });
        }
        Ok(instances)
    }

    fn applies(&self, on: &ControlTechnology) -> Result<(), String> {
        match self.first_failing(&on.applies) {
            None => Ok(()),
            Some((check, reading)) => Err(not_met(check, &reading)),
        }
    }

    /// Checks what a script demands of the host before it runs.
    ///
    /// # Errors
    /// The first demand that is not met, in words.
    pub fn guard(&self, checks: &[Check]) -> Result<(), String> {
        match self.first_failing(checks) {
            None => Ok(()),
            Some((check, reading)) => {
                Err(check.otherwise.clone().unwrap_or_else(|| not_met(check, &reading)))
            }
        }
    }

    fn first_failing<'c>(&self, checks: &'c [Check]) -> Option<(&'c Check, Reading)> {
        checks.iter().find_map(|check| {
            let reading = self.look.see(&check.probe).reading;
            (judge(&reading, &check.expect) != Verdict::Pass).then_some((check, reading))
        })
    }
}

fn not_met(check: &Check, reading: &Reading) -> String {
    use aright_shared::content::probe::Probe;
    match &check.probe {
        Probe::Package(package) => {
            format!("package {}: expected {}, is {reading}", package.name, check.expect)
        }
        probe => {
            let probe = serde_json::to_value(probe).unwrap_or_default();
            format!(
                "{} {}: expected {}, is {reading}",
                probe["probe"].as_str().unwrap_or_default(),
                probe["with"],
                check.expect
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &str = r#"
aright: 1
kind: technology
key: toy-1
title: Toy
platform: linux
detect: {all: [{probe: os, with: {field: id}, expect: {operator: eq, value: toy}}]}
---
aright: 1
kind: control
key: notice
number: 1
statement: There is a notice
category: {name: Test}
criticality: minimal
data_type: line_list
technologies:
  - ids: [toy-1]
    applies: [{probe: package, with: {name: shell}, expect: {operator: present}}]
    instances: {from: glob, pattern: /etc/notice.d/*}
    check: {probe: file_content, with: {files: ['{instance}'], regex: '^hello$'}}
    expect: {operator: not_empty}
"#;

    fn evaluate(files: &[(&str, &str)], test: impl FnOnce(Evaluator<'_>)) {
        let dir = tempfile::tempdir().expect("folder");
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            std::fs::write(path, text).expect("file");
        }
        let library = Library::parse(&[("toy.yaml", CONTENT)]).expect("content");
        let root = Root::folder(dir.path()).expect("root");
        test(Evaluator::new(&library, &root, &View::Live, Millis(7)));
    }

    const OS: (&str, &str) = ("etc/os-release", "ID=toy\n");
    const SHELL: (&str, &str) =
        ("var/lib/dpkg/status", "Package: shell\nStatus: install ok installed\nVersion: 1\n");

    #[test]
    fn instances_are_found_and_observed() {
        evaluate(&[OS, SHELL, ("etc/notice.d/a", "hello\n"), ("etc/notice.d/b", "bye\n")], |evaluator| {
            let seen = evaluator.all();
            let rows: Vec<_> =
                seen.observations.iter().map(|o| (o.spot.instance.as_str(), o.reading.to_string())).collect();
            assert_eq!(
                rows,
                [("/etc/notice.d/a", "[hello]".into()), ("/etc/notice.d/b", "absent".to_string())]
            );
        });
    }

    #[test]
    fn whoever_else_manages_a_file_is_named() {
        let status = format!("{}Conffiles:\n /etc/notice.d/b 0\n", SHELL.1);
        let files = [
            OS,
            (SHELL.0, status.as_str()),
            ("etc/notice.d/a", "# Ansible managed\nhello\n"),
            ("etc/notice.d/b", "hello\n"),
            ("etc/notice.d/c", "hello\n"),
        ];
        evaluate(&files, |evaluator| {
            let managed = |one: &Observation| one.managed.iter().map(ToString::to_string).collect::<Vec<_>>();
            let seen: Vec<_> = evaluator.all().observations.iter().map(managed).collect();
            let named = ["/etc/notice.d/a is managed by ansible", "/etc/notice.d/b is a conffile of dpkg"];
            assert_eq!(seen, [vec![named[0].to_owned()], vec![named[1].to_owned()], vec![]]);
        });
    }

    #[test]
    fn what_does_not_apply_has_a_reason() {
        evaluate(&[OS], |evaluator| {
            let seen = evaluator.all();
            assert!(seen.observations.is_empty());
            assert!(seen.not_applicable[0].reason.contains("shell"), "{:?}", seen.not_applicable);
        });
    }

    #[test]
    fn a_spot_that_is_gone_is_not_observed() {
        evaluate(&[OS, SHELL, ("etc/notice.d/a", "hello\n")], |evaluator| {
            let spot = |instance: &str| Spot {
                control: "notice".parse().expect("key"),
                technology: "toy-1".parse().expect("key"),
                instance: instance.into(),
            };
            assert!(matches!(evaluator.spot(&spot("/etc/notice.d/a")), Sight::Observed(_)));
            assert!(matches!(evaluator.spot(&spot("/etc/notice.d/zzz")), Sight::NotApplicable(_)));
        });
    }

    #[test]
    fn another_system_has_no_technology() {
        evaluate(&[("etc/os-release", "ID=other\n")], |evaluator| {
            assert!(evaluator.technologies().is_empty())
        });
    }
}

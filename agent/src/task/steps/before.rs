//! Before anything runs: whether it may, and what is to be achieved.

use super::*;

/// What journal and report need beside the originals, in bytes.
const ROOM: u64 = 16 << 20;
/// How long the contact before the start may take.
const FIRST_CONTACT: Duration = Duration::from_secs(10);

impl<'a> Run<'a> {
    pub fn may_run_here(&mut self) -> Result<(), Stop> {
        let script = self.task.script;
        if script.confinement == Confine::Host {
            return refuse(
                Refusal::Unsupported,
                "the script wants confinement: host, which this agent cannot do yet; next: a staged script",
            );
        }
        if script.reboot == Reboot::Needed {
            return refuse(
                Refusal::Unsupported,
                "the script needs a reboot, which this agent cannot wait for yet",
            );
        }
        if let Some(touch) = script.touches.iter().find(|touch| self.host.denies(fixed_part(touch))) {
            return refuse(Refusal::Denied, format!("agent.toml denies changes of {touch}"));
        }
        self.leaves_to_managers()?;
        self.host.guard(script).or_else(|why| refuse(Refusal::Guard, why))?;
        self.has_room_for_originals()
    }

    /// What only a stage can give.
    pub fn needs_no_stage(&self) -> Result<(), Stop> {
        if self.is_preview() {
            return refuse(
                Refusal::Unsupported,
                "there is no stage on this system: what a script would change is known only once it has changed it",
            );
        }
        Ok(())
    }

    /// A conffile is the administrator's: dpkg asks before it takes it back.
    fn leaves_to_managers(&mut self) -> Result<(), Stop> {
        self.managed = self.host.managed(&self.task.script.touches);
        self.managed.retain(|file| file.by.writes_again());
        match self.managed.first() {
            Some(file) if self.host.respects_managed() => refuse(
                Refusal::ManagedElsewhere,
                format!("{file}, and agent.toml says respect_managed = \"refuse\"; next: change it there"),
            ),
            _ => Ok(()),
        }
    }

    fn has_room_for_originals(&self) -> Result<(), Stop> {
        let needed = self.host.size_of(&self.task.script.touches) + ROOM;
        let free = self.spool.free_bytes()?;
        if free < needed {
            let detail = format!(
                "originals need up to {needed} bytes, {free} are free where the agent keeps its state"
            );
            return refuse(Refusal::NoSpace, detail);
        }
        Ok(())
    }

    pub fn before(&mut self) -> Result<Goal, Stop> {
        let targets = &self.task.order.targets;
        if targets.is_empty() && self.task.script.origin == Origin::Library && !self.is_preview() {
            return refuse(
                Refusal::NotFailed,
                "a library script runs for failed targets, and the order names none",
            );
        }
        let goal = match Goal::of(self.task.script, targets, self.host.look(targets), self.host.sees_all()) {
            Before::Go(goal) => goal,
            Before::NotFailed(why) => return refuse(Refusal::NotFailed, why),
            Before::Compliant(goal) => {
                self.report.targets = goal.results();
                if self.is_preview() {
                    return Ok(goal);
                }
                return untouched(
                    Outcome::AlreadyCompliant,
                    "every target passes already: the script did not run",
                );
            }
        };
        self.report.targets = goal.results();
        if !self.is_preview() {
            let passes = |(spot, verdict): (Spot, Verdict)| (verdict == Verdict::Pass).then_some(spot);
            self.passing = self.host.verdicts().into_iter().filter_map(passes).collect();
        }
        Ok(goal)
    }

    /// The health before, where it will have to hold after.
    pub fn in_contact(&self) -> Result<Option<Health>, Stop> {
        if !self.task.script.lockout || self.is_preview() {
            return Ok(None);
        }
        match self.contact.reach(FIRST_CONTACT) {
            Ok(()) => Ok(Some(self.host.health())),
            Err(why) => refuse(
                Refusal::Unreachable,
                format!("the fix could lock people out, and the controller is out of reach already: {why}"),
            ),
        }
    }

    pub fn stage(&mut self, goal: &Goal) -> Result<Box<dyn Standing>, Stop> {
        let mut params: BTreeMap<String, String> = self.task.order.params.clone();
        if !self.task.order.targets.is_empty() {
            params.insert("ARIGHT_INSTANCES".to_owned(), goal.failed_instances().join("\n"));
        }
        let standing = self.host.stage(self.task.script, &params)?;
        self.report.confinement = Some(standing.confinement());
        Ok(standing)
    }
}

/// The path of a declaration up to its first wildcard.
fn fixed_part(touch: &Touch) -> &Path {
    let path = match touch {
        Touch::File(path) | Touch::Link(path) | Touch::Folder(path) => path.as_str(),
        Touch::Registry(_) | Touch::Service(_) => "",
    };
    match path.find(['*', '?', '[']) {
        Some(wild) => Path::new(&path[..path[..wild].rfind('/').unwrap_or(0)]),
        None => Path::new(path),
    }
}

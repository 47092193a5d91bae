//! The way back: what was changed is undone, by the task itself or by an order.

use super::*;

impl Run<'_> {
    pub(super) fn go_back(
        &mut self,
        outcome: Outcome,
        detail: String,
        progress: Progress,
    ) -> Result<(), JournalError> {
        // Decided, whatever happens on the way back.
        self.say(outcome, HostChange::Undone, detail);
        self.journal.keep_draft(&self.report)?;
        catch_up(self.journal, self.host);
        let reversal = undo::whole(self.journal, self.host.tree(), self.host.live(), progress)?;
        add_reversal(&mut self.report, self.journal, self.host, &reversal);
        if progress == (Progress::Stopped { before: 0 }) {
            self.report.change = HostChange::None;
        }
        Ok(())
    }

    /// Without a journal nothing may go on, and nothing unproven may stay.
    pub(super) fn give_up(&mut self, error: TaskError) -> TaskError {
        let may_have_changed = self.journal.has(Step::Committing) && !self.journal.has(Step::Kept);
        if may_have_changed {
            let progress = undo::progress(self.journal);
            if let Err(undo) = undo::unwritten(self.journal, self.host.tree(), self.host.live(), progress) {
                tracing::error!(%undo, "not undone; the next start tries again");
            }
        }
        error
    }

    // An order to undo

    pub fn to_be_undone(&self) -> Result<Journal, Stop> {
        let Some(of) = &self.task.order.undo_of else {
            return refuse(Refusal::Unsupported, "an order to undo names no task");
        };
        match undo::ready(self.spool, of) {
            Ok(journal) => self.may_be_undone(journal),
            Err(UndoError::Journal(error)) => Err(error.into()),
            Err(error @ UndoError::Blocked { .. }) => refuse(Refusal::Guard, error.to_string()),
            Err(error) => refuse(Refusal::Unsupported, error.to_string()),
        }
    }

    /// What the owner denies stays, whichever way it would change.
    fn may_be_undone(&self, journal: Journal) -> Result<Journal, Stop> {
        let entries = journal.originals()?.map(|originals| originals.manifest.entries).unwrap_or_default();
        match entries.iter().map(|entry| &entry.change.path).find(|path| self.host.denies(path)) {
            Some(path) => {
                let path = commit::place::shown(path);
                refuse(
                    Refusal::Denied,
                    format!("agent.toml denies changes of {path}; on the host: aright-agent undo"),
                )
            }
            None => Ok(journal),
        }
    }

    /// The health before, where it may be another after.
    pub fn health_of_lockout(&self) -> Option<Health> {
        self.task.script.lockout.then(|| self.host.health())
    }

    pub fn record_undo(&mut self, target: &mut Journal, reversal: &Reversal) -> Result<(), Stop> {
        Ok(report_undo(&mut self.report, target, self.host, reversal)?)
    }

    /// An undo is the way back, and stays: what it cost is said.
    pub fn tell_contact(&mut self, before: &Health) {
        let limit = self.confirm_limit().min(AFTER_UNDO);
        let lost = confirm::within(limit, self.contact, before, || self.host.health());
        if let Err(why) = lost {
            self.report.detail = format!("{}; beware, since then {why}", self.report.detail);
        }
    }
}

/// Where a script that changed the host was cut short, what it changed is found out now.
pub(in crate::task) fn catch_up(journal: &Journal, host: &dyn Host) {
    if journal.has(Step::Committing) && !journal.has(Step::Committed) && !journal.has(Step::Undoing) {
        host.catch_up(journal)
            .unwrap_or_else(|error| tracing::error!(%error, "what the script changed is not known"));
    }
}

/// The report of an order to undo, by which the controller knows what became of the target.
pub(in crate::task) fn report_undo(
    report: &mut TaskReport,
    target: &mut Journal,
    host: &dyn Host,
    reversal: &Reversal,
) -> Result<(), JournalError> {
    report.outcome = Outcome::Ran;
    let files = reversal.files.restored.len();
    report.detail = format!("task {} undone: {files} {} restored", target.task(), plural(files));
    add_reversal(report, target, host, reversal);
    target.acknowledge_undone()
}

/// What an undo adds to a report: what became of the host, and both versions of what was left alone.
pub(in crate::task) fn add_reversal(
    report: &mut TaskReport,
    journal: &Journal,
    host: &dyn Host,
    reversal: &Reversal,
) {
    report.change = reversal.change();
    report.activation.extend(reversal.activations.iter().cloned());
    if let [first, rest @ ..] = reversal.conflicts().as_slice() {
        let all = format!("{first}{}", more(rest.len()));
        report.detail =
            format!("{}; not undone: {all}; next: mend by hand, the diff shows both versions", report.detail);
    }
    let secret = |path: &Path| host.is_secret(path);
    let both = undo::conflict_diffs(journal, host.tree(), &reversal.files, &secret);
    report.diff.retain(|diff| !both.iter().any(|other| other.path == diff.path));
    report.diff.extend(both);
}

//! Journal and spool: what is on disk after each step, each crash, each loss.

use aright_shared::envelope::{Envelope, TASK};
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::time::{DAY, HOUR};

use super::*;
use crate::change::Change;
use crate::commit::{Tree, keep_changes};
use crate::task::spool::{Pending, Retention, Spool, SpoolError, Wait};

#[derive(Debug)]
struct Set(std::sync::Mutex<Millis>);

impl Clock for Set {
    fn now(&self) -> Millis {
        *self.0.lock().expect("not poisoned")
    }
}

struct World {
    dir: tempfile::TempDir,
    clock: Arc<Set>,
    spool: Spool,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("folder");
        let clock = Arc::new(Set(std::sync::Mutex::new(Millis(1_000))));
        let spool = Spool::open(&dir.path().join("tasks"), clock.clone()).expect("opens");
        Self { dir, clock, spool }
    }

    fn later(&self, millis: i64) {
        let mut now = self.clock.0.lock().expect("not poisoned");
        *now = now.plus(millis);
    }

    fn accept(&self) -> Journal {
        self.spool.accept(&delivery()).expect("accepts")
    }

    fn steps_file(&self, journal: &Journal) -> PathBuf {
        self.dir.path().join("tasks").join(journal.task().as_str()).join("steps")
    }

    fn pending(&self) -> Vec<Pending> {
        self.spool.recover().expect("recovers").into_iter().map(|(_, pending)| pending).collect()
    }

    /// A kept task that changed `paths`.
    fn kept(&self, sequence: u64, paths: &[&str]) -> TaskId {
        let host = self.dir.path().join("host");
        fs::create_dir_all(&host).expect("folder");
        let mut changes = Vec::new();
        for path in paths {
            let here = host.join(path.trim_start_matches('/'));
            fs::write(&here, vec![b'x'; 600_000]).expect("write");
            let place =
                Tree::open(&host).expect("tree").place(Path::new(path)).expect("opens").expect("there");
            changes.push(Change { path: path.into(), before: place.look().expect("reads"), after: None });
        }
        let mut journal = self.accept();
        run_to(&mut journal, Step::Judged);
        keep_changes(&Tree::open(&host).expect("tree"), &changes, sequence, &journal.originals_dir())
            .expect("keeps");
        for step in [Step::Committing, Step::Committed, Step::Activated, Step::Evaluated, Step::Kept] {
            journal.take(step).expect("in order");
        }
        journal.end(&report(journal.task())).expect("ends");
        journal.take(Step::Acknowledged).expect("in order");
        journal.task().clone()
    }
}

fn delivery() -> Delivery {
    let key = aright_shared::envelope::new_signing_key().expect("random");
    let order = Envelope::seal(TASK, &serde_json::json!({}), &[&key]).expect("seals");
    Delivery { task: TaskId::new(), order, script: "{}".into(), approval: None }
}

fn report(task: &TaskId) -> TaskReport {
    TaskReport::of(task, Outcome::Fixed, HostChange::Kept, "done", Millis(0), Millis(1))
}

fn run_to(journal: &mut Journal, last: Step) {
    use Step::{Before, Compared, Judged, Running, Scripted, Staging};
    for step in [Running, Before, Staging, Scripted, Compared, Judged] {
        journal.take(step).expect("in order");
        if step == last {
            return;
        }
    }
}

#[test]
fn steps_come_back_and_only_in_their_order() {
    let world = World::new();
    let mut journal = world.accept();
    assert!(matches!(journal.take(Step::Committing), Err(JournalError::Order { .. })));
    run_to(&mut journal, Step::Staging);
    let again = world.spool.journal(journal.task()).expect("reads").expect("there");
    assert_eq!(again.steps(), journal.steps());
    assert!(matches!(world.spool.accept(&again.delivery().expect("there")), Err(SpoolError::Known(_))));
}

#[test]
fn every_step_but_the_first_can_be_reached() {
    let mut reached = vec![Step::Accepted];
    for _ in Step::ALL {
        let next: Vec<_> =
            Step::ALL.iter().filter(|s| s.follows().iter().any(|b| reached.contains(b))).copied().collect();
        reached.extend(next);
    }
    assert!(Step::ALL.iter().all(|step| reached.contains(step)));
}

#[test]
fn a_torn_last_line_is_cut_off_at_every_length() {
    let world = World::new();
    let mut journal = world.accept();
    journal.take(Step::Running).expect("in order");
    let path = world.steps_file(&journal);
    let whole = fs::read(&path).expect("there");
    let first = whole.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    for cut in first..whole.len() {
        fs::write(&path, &whole[..cut]).expect("write");
        let mut torn = world.spool.journal(journal.task()).expect("reads").expect("there");
        assert_eq!(torn.last(), Some(Step::Accepted), "cut at {cut}");
        torn.take(Step::Running).expect("goes on");
        assert_eq!(
            world.spool.journal(journal.task()).expect("reads").expect("there").last(),
            Some(Step::Running)
        );
    }
}

#[test]
fn a_changed_line_is_set_aside_and_nothing_is_claimed() {
    let world = World::new();
    let mut journal = world.accept();
    run_to(&mut journal, Step::Judged);
    let path = world.steps_file(&journal);
    let mut bytes = fs::read(&path).expect("there");
    bytes[30] ^= 1;
    fs::write(&path, bytes).expect("write");
    assert!(matches!(world.spool.journal(journal.task()), Err(JournalError::Spoiled { line: 1, .. })));
    assert_eq!(world.pending(), [Pending::Damaged]);
}

#[test]
fn what_is_to_be_done_after_a_crash_follows_from_the_last_step() {
    use Pending::{Finalise, Interrupted, Resume, Undo};
    use Step::{
        Accepted, Activated, Activating, Before, Committed, Committing, Compared, Confirming, Evaluated,
        Judged, Kept, Running, Scripted, Staging, Undoing, Undone,
    };
    let way = [
        (Accepted, Resume),
        (Running, Interrupted),
        (Before, Interrupted),
        (Staging, Interrupted),
        (Scripted, Interrupted),
        (Compared, Interrupted),
        (Judged, Interrupted),
        (Committing, Undo),
        (Committed, Undo),
        (Activating, Undo),
        (Activated, Undo),
        (Evaluated, Undo),
        (Confirming, Undo),
        (Kept, Finalise),
    ];
    let world = World::new();
    let mut journal = world.accept();
    for (step, expected) in way {
        if step != Accepted {
            journal.take(step).expect("in order");
        }
        assert_eq!(world.pending(), [expected], "{step}");
    }
    for (step, expected) in [(Undoing, Undo), (Undone, Undo)] {
        journal.take(step).expect("in order");
        assert_eq!(world.pending(), [expected], "{step}");
    }
    journal.end(&report(journal.task())).expect("ends");
    assert_eq!(world.pending(), [Pending::Send]);
    assert_eq!(world.spool.waiting().expect("reads").len(), 1);
    world.spool.acknowledge(journal.task()).expect("writes");
    assert_eq!(world.pending(), []);
    let mut journal = world.spool.journal(journal.task()).expect("reads").expect("there");
    journal.take(Undoing).expect("in order");
    assert_eq!(world.pending(), [Pending::UndoLate]);
}

#[test]
fn undo_goes_backwards_per_file() {
    let world = World::new();
    let first = world.kept(1, &["/a", "/b"]);
    let second = world.kept(2, &["/b"]);
    let third = world.kept(3, &["/c"]);
    let order: Vec<_> = world.spool.undoable().expect("reads").into_iter().map(|u| u.task).collect();
    assert_eq!(order, [third.clone(), second.clone(), first.clone()]);
    assert_eq!(world.spool.blocker(&first).expect("reads"), Some((second.clone(), "/b".into())));
    assert_eq!(world.spool.blocker(&second).expect("reads"), None);
    let mut journal = world.spool.journal(&second).expect("reads").expect("there");
    journal.take(Step::Undoing).expect("in order");
    journal.take(Step::Undone).expect("in order");
    assert_eq!(world.spool.blocker(&first).expect("reads"), None);
    assert_eq!(world.spool.next_sequence().expect("reads"), 4);
}

#[test]
fn originals_beyond_budget_or_days_go_oldest_first() {
    let world = World::new();
    let first = world.kept(1, &["/a"]);
    let second = world.kept(2, &["/b"]);
    let third = world.kept(3, &["/c"]);
    let within = |megabytes, days| Retention { megabytes, days };
    assert!(world.spool.prune(within(10, 30)).expect("prunes").originals.is_empty());
    assert_eq!(world.spool.prune(within(1, 30)).expect("prunes").originals, [first.clone(), second]);
    world.later(25 * HOUR);
    assert_eq!(
        world.spool.prune(within(10, 30)).expect("prunes").journals,
        2,
        "no result stays past its day"
    );
    assert!(world.spool.journal(&first).expect("reads").is_none());
    let again = world.spool.accept(&Delivery { task: first.clone(), ..delivery() }).map(|_| ());
    assert!(matches!(again, Err(SpoolError::Forgotten(task)) if task == first), "it is not obeyed again");
    world.later(31 * DAY);
    let pruned = world.spool.prune(within(10, 30)).expect("prunes");
    assert_eq!((pruned.originals, pruned.journals), (vec![third], 1));
}

#[test]
fn what_an_undo_left_alone_keeps_its_originals_for_whoever_mends_it() {
    let world = World::new();
    let prune = || world.spool.prune(Retention { megabytes: 10, days: 30 }).expect("prunes").journals;
    for conflicts in [vec![], vec!["/a: changed by somebody else".to_owned()]] {
        let task = world.kept(1, &["/a"]);
        let mut journal = world.spool.journal(&task).expect("reads").expect("there");
        journal.take(Step::Undoing).expect("writes");
        journal.take_with(Step::Undone, &conflicts).expect("writes");
        journal.acknowledge_undone().expect("writes");
        world.later(2 * DAY);
        let gone = prune();
        assert_eq!(gone, usize::from(conflicts.is_empty()), "{conflicts:?}");
    }
    world.later(29 * DAY);
    assert_eq!(prune(), 1);
}

#[test]
fn an_undo_after_the_result_is_told_once_and_not_forgotten_before() {
    let world = World::new();
    let told = || world.spool.undone_since().expect("reads");
    for conflicts in [vec![], vec!["/a: changed by somebody else".to_owned()]] {
        let task = world.kept(1, &["/a"]);
        let mut journal = world.spool.journal(&task).expect("reads").expect("there");
        journal.take(Step::Undoing).expect("in order");
        assert!(told().is_empty(), "it is not done");
        journal.take_with(Step::Undone, &conflicts).expect("in order");
        let change = if conflicts.is_empty() { HostChange::Undone } else { HostChange::UndoConflict };
        let expected = Undone { change, detail: conflicts.join("; ") };
        assert_eq!(told(), [(task.clone(), expected)]);

        world.later(2 * DAY);
        world.spool.prune(Retention { megabytes: 10, days: 90 }).expect("prunes");
        let busy = world.spool.lock(Wait::ForIt).expect("locks");
        world.spool.acknowledge_undone(&task).expect("another time");
        assert_eq!(told().len(), 1);
        drop(busy);
        world.spool.acknowledge_undone(&task).expect("writes");
        assert!(told().is_empty());
    }
}

#[test]
fn an_undo_before_the_result_was_sent_is_told_after_it() {
    let world = World::new();
    let task = world.kept(1, &["/a"]);
    let path = world.dir.path().join("tasks").join(task.as_str()).join("steps");
    let steps = fs::read_to_string(&path).expect("there");
    let unsent: Vec<_> = steps.lines().filter(|line| !line.contains("acknowledged")).collect();
    fs::write(&path, unsent.join("\n") + "\n").expect("write");
    let mut journal = world.spool.journal(&task).expect("reads").expect("there");
    journal.take(Step::Undoing).expect("in order");
    journal.take_with(Step::Undone, &Vec::<String>::new()).expect("in order");
    assert_eq!(
        (world.spool.waiting().expect("reads").len(), world.spool.undone_since().expect("reads")),
        (1, vec![])
    );
    world.spool.acknowledge(&task).expect("writes");
    assert_eq!(
        (world.spool.waiting().expect("reads").len(), world.spool.undone_since().expect("reads").len()),
        (0, 1)
    );
}

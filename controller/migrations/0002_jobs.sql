-- Jobs with schedules and a roll-out; an audit log that nobody can rewrite.

-- Which assets a job has is looked up when it runs.
DROP TABLE job_assets;
ALTER TABLE jobs ADD COLUMN assets BIGINT NOT NULL DEFAULT 0;
-- The next occurrence that has no run yet, and when its run is to be made: earlier by the hold time.
ALTER TABLE jobs ADD COLUMN next_due_at BIGINT;
ALTER TABLE jobs ADD COLUMN next_run_at BIGINT;
CREATE INDEX jobs_by_next_run ON jobs (next_run_at);

-- Who wanted it once more, besides the schedule.
ALTER TABLE runs ADD COLUMN asked_by TEXT;
-- As the job had them when the run began.
ALTER TABLE runs ADD COLUMN rollout TEXT NOT NULL DEFAULT '{}';
-- What a clock on the wall shows when it is due, where each asset goes by its own.
ALTER TABLE runs ADD COLUMN local_due TEXT;
ALTER TABLE runs ADD COLUMN paused_at BIGINT;
ALTER TABLE runs ADD COLUMN halted_at BIGINT;
ALTER TABLE runs ADD COLUMN expired_at BIGINT;
ALTER TABLE runs ADD COLUMN detail TEXT NOT NULL DEFAULT '';

-- How far each asset of a run is. `begun_at` goes again where a host fell silent between two tasks: others
-- take its turn.
CREATE TABLE run_assets (
    run TEXT NOT NULL REFERENCES runs (id),
    asset TEXT NOT NULL REFERENCES assets (id),
    begun_at BIGINT,
    ended_at BIGINT,
    failed_at BIGINT,
    well_at BIGINT,
    PRIMARY KEY (run, asset)
);
CREATE INDEX run_assets_by_begun ON run_assets (run, begun_at);
-- Counted in the same transaction.
ALTER TABLE runs ADD COLUMN assets BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN assets_begun BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN assets_ended BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN assets_failed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN assets_well BIGINT NOT NULL DEFAULT 0;
CREATE INDEX tasks_by_run_and_asset ON tasks (run, asset);

-- Not delivered earlier: where each asset goes by its own clock.
ALTER TABLE tasks ADD COLUMN not_before_at BIGINT;
-- Somebody wants it ended; it runs, and its agent is told so.
ALTER TABLE tasks ADD COLUMN cancel_by TEXT;

CREATE INDEX audit_by_subject ON audit (subject, id);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is only ever appended to'); END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is only ever appended to'); END;

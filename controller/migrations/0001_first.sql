-- Ids are text, times integer milliseconds, flags nullable times, documents JSON text.
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE users (
    name TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE sessions (
    digest TEXT PRIMARY KEY,
    user_name TEXT NOT NULL REFERENCES users (name),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE audit (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
);

CREATE TABLE assets (
    id TEXT PRIMARY KEY,
    machine TEXT NOT NULL,
    hostname TEXT NOT NULL,
    facts TEXT NOT NULL,
    technologies TEXT NOT NULL,
    agent_version TEXT NOT NULL,
    enrolled_at BIGINT NOT NULL,
    revoked_at BIGINT,
    quarantined_at BIGINT,
    quarantine_reason TEXT,
    disabled TEXT,
    counter BIGINT NOT NULL,
    last_seen_at BIGINT,
    evaluated_at BIGINT,
    clock_offset_ms BIGINT,
    clock_bound_ms BIGINT,
    clock_at BIGINT,
    observations_digest TEXT
);
CREATE INDEX assets_by_machine ON assets (machine);
CREATE INDEX assets_by_hostname ON assets (hostname, id);

CREATE TABLE asset_tags (
    asset TEXT NOT NULL REFERENCES assets (id),
    tag TEXT NOT NULL,
    PRIMARY KEY (asset, tag)
);
CREATE INDEX asset_tags_by_tag ON asset_tags (tag, asset);

CREATE TABLE enroll_keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    secret_digest TEXT NOT NULL UNIQUE,
    tags TEXT NOT NULL,
    max_uses BIGINT NOT NULL,
    uses BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE certificates (
    fingerprint TEXT PRIMARY KEY,
    asset TEXT NOT NULL REFERENCES assets (id),
    public_key TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX certificates_by_asset ON certificates (asset);

-- Technologies and controls come with the program; of policies the form last judged by is kept.
CREATE TABLE policies (key TEXT PRIMARY KEY, digest TEXT NOT NULL, document TEXT NOT NULL);

CREATE TABLE scripts (
    digest TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    version BIGINT NOT NULL,
    origin TEXT NOT NULL,
    state TEXT NOT NULL,
    bytes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    author TEXT NOT NULL,
    UNIQUE (key, version)
);

CREATE TABLE approvals (
    digest TEXT PRIMARY KEY,
    script TEXT NOT NULL REFERENCES scripts (digest),
    envelope TEXT NOT NULL,
    approver TEXT NOT NULL,
    approved_at BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    received_at BIGINT NOT NULL
);
CREATE INDEX approvals_by_script ON approvals (script);

CREATE TABLE observations (
    asset TEXT NOT NULL REFERENCES assets (id),
    control TEXT NOT NULL,
    technology TEXT NOT NULL,
    instance TEXT NOT NULL,
    reading TEXT NOT NULL,
    evidence TEXT NOT NULL,
    managed TEXT NOT NULL,
    observed_at BIGINT NOT NULL,
    PRIMARY KEY (asset, control, technology, instance)
);

CREATE TABLE not_applicable (
    asset TEXT NOT NULL REFERENCES assets (id),
    control TEXT NOT NULL,
    technology TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (asset, control, technology)
);

CREATE TABLE postures (
    id TEXT PRIMARY KEY,
    asset TEXT NOT NULL REFERENCES assets (id),
    policy TEXT NOT NULL,
    control TEXT NOT NULL,
    technology TEXT NOT NULL,
    instance TEXT NOT NULL,
    status TEXT NOT NULL,
    first_evaluated_at BIGINT NOT NULL,
    last_evaluated_at BIGINT NOT NULL,
    first_failed_at BIGINT,
    last_passed_at BIGINT,
    UNIQUE (asset, policy, control, technology, instance)
);
CREATE INDEX postures_by_status ON postures (status, id);
CREATE INDEX postures_by_control ON postures (control, id);

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    spec TEXT NOT NULL,
    controls BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);

-- The frozen selection, by what names a posture: its row may come and go.
CREATE TABLE job_postures (
    job TEXT NOT NULL REFERENCES jobs (id),
    asset TEXT NOT NULL,
    policy TEXT NOT NULL,
    control TEXT NOT NULL,
    technology TEXT NOT NULL,
    instance TEXT NOT NULL,
    PRIMARY KEY (job, asset, policy, control, technology, instance)
);

CREATE TABLE job_assets (
    job TEXT NOT NULL REFERENCES jobs (id),
    asset TEXT NOT NULL,
    PRIMARY KEY (job, asset)
);

CREATE TABLE job_scripts (
    job TEXT NOT NULL REFERENCES jobs (id),
    position BIGINT NOT NULL,
    script TEXT NOT NULL REFERENCES scripts (digest),
    params TEXT NOT NULL,
    PRIMARY KEY (job, position)
);
CREATE INDEX job_scripts_by_script ON job_scripts (script);

CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    job TEXT NOT NULL REFERENCES jobs (id),
    state TEXT NOT NULL,
    saved_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    started_at BIGINT,
    cancelled_at BIGINT,
    ended_at BIGINT,
    revision BIGINT NOT NULL
);
CREATE INDEX runs_by_state ON runs (state, due_at);
CREATE INDEX runs_by_job ON runs (job, id);

CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    -- Of a run, or asked for by a person, of one host, until it expires.
    job TEXT REFERENCES jobs (id),
    run TEXT REFERENCES runs (id),
    asked_by TEXT,
    expires_at BIGINT,
    undo_of TEXT REFERENCES tasks (id),
    asset TEXT NOT NULL REFERENCES assets (id),
    script TEXT NOT NULL REFERENCES scripts (digest),
    position BIGINT NOT NULL,
    params TEXT NOT NULL,
    targets TEXT NOT NULL,
    timeout_ms BIGINT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    refusal TEXT,
    change TEXT,
    detail TEXT NOT NULL,
    queued_at BIGINT NOT NULL,
    delivered_at BIGINT,
    lease_until BIGINT,
    running_at BIGINT,
    silent_at BIGINT,
    ended_at BIGINT,
    nonce TEXT,
    order_envelope TEXT
);
CREATE INDEX tasks_by_run ON tasks (run, state);
CREATE INDEX tasks_by_asset ON tasks (asset, state);
CREATE INDEX tasks_by_state ON tasks (state, lease_until);

CREATE TABLE task_reports (
    task TEXT PRIMARY KEY REFERENCES tasks (id),
    report TEXT NOT NULL,
    received_at BIGINT NOT NULL
);

-- Policies of people's own, beside those that come with the program. The table `policies` keeps the form
-- that postures were last judged by, of both kinds.
CREATE TABLE custom_policies (
    key TEXT PRIMARY KEY,
    number BIGINT NOT NULL UNIQUE,
    version BIGINT NOT NULL,
    document TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    author TEXT NOT NULL
);

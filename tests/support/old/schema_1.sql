-- The index over the run files. `record` is the whole meta JSON; the other columns
-- are what is looked for. State changes go through one update guarded by the state
-- that was read.
create table runs (
    run_id text primary key,
    state text not null check (state in ('prepared', 'launching', 'running', 'finished')),
    session_id text,
    repo text not null,
    prepared_at text not null,
    ended_at text,
    outcome text,
    record text not null check (json_valid(record)),
    check ((state = 'finished') = (outcome is not null))
) strict, without rowid;

create index runs_by_session on runs (session_id, run_id);
create index runs_unfinished on runs (run_id) where state <> 'finished';

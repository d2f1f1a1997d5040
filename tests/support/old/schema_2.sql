-- Sessions, their mailboxes, and what each run has used.
--
-- `runs.session_id` is the thread or, as long as Codex has named none, the run itself:
-- so everything has a session, and a launch that failed is one that can be looked at.
update runs set session_id = run_id where session_id is null;

create table sessions (
    session_id text primary key,
    title text,
    created_at text not null,
    updated_at text not null,
    last_run text not null,
    outcome text,
    archived_in text,
    last_place text not null
) strict, without rowid;

create index sessions_by_update on sessions (updated_at, session_id);
create index sessions_by_title on sessions (title) where title is not null;

insert into sessions
select session_id, null, min(prepared_at), max(coalesce(ended_at, prepared_at)),
    max(run_id), null, null,
    -- One that has only waited for the session does not tell how that stands.
    max(iif(json_extract(record, '$.request.wait_for_session')
        and json_extract(record, '$.launched_at') is null, '', run_id))
from runs group by session_id;

update sessions set last_run = last_place where last_place <> '';

update sessions set outcome = (select outcome from runs where run_id = last_run);

-- Prompts that wait for their session, in the order of their numbers. The text lies in
-- a file of the session's directory. `attempts` counts runs that never came to be.
create table mail (
    mail_id integer primary key autoincrement,
    session_id text not null,
    queued_at text not null,
    state text not null check (state in ('waiting', 'delivered', 'skipped')),
    task text not null,
    run_id text,
    attempts integer not null default 0,
    check ((state = 'delivered') = (run_id is not null))
) strict;

create index mail_waiting on mail (session_id, mail_id) where state = 'waiting';

-- What a finished run used of one model, its sub-agents included; null is unknown. It
-- stays when the run itself is removed: the money has been spent.
create table usage (
    run_id text not null,
    model text not null,
    session_id text not null,
    repo text not null,
    prepared_at text not null,
    input_tokens integer,
    cached_input_tokens integer,
    output_tokens integer,
    reasoning_output_tokens integer,
    total_tokens integer,
    usd real,
    primary key (run_id, model)
) strict, without rowid;

create index usage_by_session on usage (session_id);

-- A supervisor of the version before may still be at work: it writes its run's row and
-- knows of nothing else. Sub-agents and models are told apart by `verify --repair`.
create trigger runs_of_version_1 after update on runs when new.session_id is null
    or exists (select 1 from sessions where session_id = new.session_id
        and last_run = new.run_id and outcome is not new.outcome)
    or not exists (select 1 from sessions where session_id = new.session_id)
begin
    update runs set session_id = new.run_id
        where run_id = new.run_id and session_id is null;
    update or ignore sessions set session_id = coalesce(new.session_id, new.run_id)
        where session_id = old.run_id;
    insert or ignore into sessions values (
        coalesce(new.session_id, new.run_id), null, new.prepared_at,
        new.prepared_at, new.run_id, new.outcome, null, new.run_id);
    update sessions set outcome = new.outcome,
        updated_at = max(updated_at, coalesce(new.ended_at, new.prepared_at))
        where session_id = coalesce(new.session_id, new.run_id)
        and last_run = new.run_id;
    insert or ignore into usage
    select run_id, coalesce(json_extract(record, '$.model'), 'unknown'),
        coalesce(session_id, run_id), repo, prepared_at,
        json_extract(record, '$.token_usage.input_tokens'),
        json_extract(record, '$.token_usage.cached_input_tokens'),
        json_extract(record, '$.token_usage.output_tokens'),
        json_extract(record, '$.token_usage.reasoning_output_tokens'),
        json_extract(record, '$.token_usage.total_tokens'),
        json_extract(record, '$.cost.usd')
    from runs where run_id = new.run_id and state = 'finished'
        and json_extract(record, '$.launched_at') is not null;
end;

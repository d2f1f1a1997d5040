-- The ledger: the one truth about sessions, prompts, runs and usage (SQLite 3.40 or newer).
-- Ids never change meaning. A session's key is sessions.id; a prompt is one row for its whole life;
-- an attempt is a run. Every stored time has the form 2026-11-30T04:24:00.000Z, so text order is time order;
-- back-off arithmetic is done in Python. Paths, homes and variables are bytes: they need not be UTF-8.

pragma auto_vacuum = incremental;                 -- before the first table

create table environments (                       -- what a prompt was accepted with; no secrets
    id integer primary key, digest text not null unique, variables blob not null,
    secrets text                                  -- names and keyed digests of the secrets that were there, never their values
) strict;

create table sessions (
    id integer primary key,
    short_id text not null unique check (short_id glob '[1-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'),
    key blob unique,                              -- a caller's own name for it, bytes-exact (coordinator)
    thread_id text unique references threads deferrable initially deferred,   -- the current one; null until Codex names one
    title text, repo blob,                        -- paths are bytes: they need not be UTF-8
    home blob not null default x'',               -- the CODEX_HOME it lives in
    settings text not null default '{}', environment integer references environments,
    exports text,                                 -- the directory of task.*, relative to the state directory; null: it has none
    imported integer references imports,          -- null: ours. Imported settings never run anything
    parent integer references sessions on delete set null,
    paused integer not null default 0 check (paused in (0, 1)),
    archived_at text, created_at text not null, updated_at text not null
) strict;
create index sessions_by_update on sessions (updated_at, id);
create index sessions_by_title on sessions (title) where title is not null;
create table worktrees (                          -- where the runs of a session work instead of in the user's own files
    session integer primary key references sessions on delete cascade,
    path blob not null, repo blob not null,       -- the worktree, and the working tree of the user's
    branch text not null, base_commit text not null
) strict;
create table threads (thread_id text primary key, session integer not null references sessions on delete cascade) strict, without rowid;

create table queues (                             -- '' is the whole queue, each group has a row of its own
    name text primary key, slots integer check (slots >= 0),
    paused integer not null default 0 check (paused in (0, 1)),
    starts_per_minute integer check (starts_per_minute > 0),
    usd_per_day real check (usd_per_day is null or (name = '' and usd_per_day >= 0))
) strict, without rowid;
create table holds (                              -- a usage limit and a refused login belong to the Codex home
    home blob not null, until text, why text not null check (why in ('limit', 'login')),
    trying text,                                  -- the run that is started first after the reset or a new login
    primary key (home, why),
    check (why = 'login' or until is not null)
) strict, without rowid;

create table prompts (
    id integer primary key autoincrement,         -- a number is never given twice
    session integer not null references sessions,
    place integer not null,                       -- the order inside the session: the id, until a move
    text blob,                                    -- null once its turn has begun in an exec run: the run's prompt file has it (retry reads it back)
    preview text not null, digest text,           -- the first 200 characters; of the text
    settings text not null default '{}', environment integer references environments,
    grp text not null default '', priority integer not null default 0 check (priority between -100 and 100),
    state text not null default 'queued' check (state in ('queued', 'parked', 'running', 'done', 'failed', 'canceled')),
    reason text, blame integer,                   -- how it ended; the prompt that did not succeed
    hold text,                                    -- why it is not delivered until a person acts
    run_id text,                                  -- running: its run. queued: the waiting run that alone takes it (--wait-for-session)
    direct integer not null default 0 check (direct in (0, 1)),   -- its command reports the outcome, so it never returns to the queue
    begun integer not null default 0 check (begun in (0, 1)),
    attempts integer not null default 0, failures integer not null default 0, crashes integer not null default 0,
    starts integer not null default 0,            -- in a row: it was never executed
    unbegun integer not null default 0,           -- in a row: it was executed, and no turn began; held after three
    parks integer not null default 0,
    checks integer not null default 0,            -- turns whose check (--verify) has failed
    retries integer not null default 0, recoveries integer not null default 0,
    not_before text, wake_at text, wake_from text, wake_why text,
    key text unique, body text, dedup text, expires_at text, labels text, stop_asked_at text,
    queued_at text not null, ended_at text,
    unique (session, place),
    check ((state in ('done', 'failed', 'canceled')) = (ended_at is not null)),
    check ((ended_at is not null) = (reason is not null)),
    check (state <> 'running' or run_id is not null),
    check (run_id is null or state in ('queued', 'running')),
    check (hold is null or state in ('queued', 'parked')),
    check ((wake_at is null) = (wake_why is null) and (wake_at is null) = (wake_from is null)),
    check (wake_at is null or state in ('queued', 'parked')),
    check ((reason is 'dependency_failed') = (blame is not null)),
    check (stop_asked_at is null or state not in ('queued', 'parked')),
    check (state not in ('queued', 'parked') or text is not null or hold is not null or begun)
) strict;
create index waiting on prompts (session, place, id, priority, not_before) where state in ('queued', 'parked');
create index open_prompts on prompts (session, place) where ended_at is null;
create index delivering on prompts (run_id) where run_id is not null;
create unique index one_queued on prompts (dedup) where state = 'queued' and dedup is not null and attempts = 0;   -- one that comes back is never refused
create index waiting_dedup on prompts (dedup) where dedup is not null and state in ('queued', 'parked');
create index expiring on prompts (expires_at) where expires_at is not null and state in ('queued', 'parked') and not begun;
create index prompts_by_state on prompts (state, id);
create index stopped on prompts (session) where state = 'canceled' and reason = 'stopped';
create index blamed on prompts (blame) where blame is not null;
create index environments_used on prompts (environment) where environment is not null;
create table needs (                              -- --after: a prompt needs another prompt
    prompt integer not null references prompts on delete cascade, needs integer not null check (needs <> prompt),
    any_end integer not null default 0, met integer not null default 0, primary key (prompt, needs)
) strict, without rowid;
create index open_needs on needs (prompt, needs) where met = 0;
create index needed_by on needs (needs, prompt) where met = 0;

create table runs (
    run_id text primary key, session integer not null references sessions,
    ordinal integer not null,                     -- the order of the session's runs; one that waited comes when it was launched
    thread_id text, prompt integer, attempt integer not null default 1,
    kind text not null default 'exec' check (kind in ('exec', 'interactive')),
    state text not null check (state in ('waiting', 'prepared', 'launching', 'running', 'finished')),
    waits integer not null default 0,             -- 1: accepted with --wait-for-session and not launched yet: ignored in the session's state
    outcome text, error_class text, exit_code integer,
    directory blob not null,                      -- relative to the state directory when inside it
    layout integer not null check (layout in (2, 3)),  -- 2: codex-run-<id>.* (also of a --log-dir), 3: runs/<id>/
    place text,                                   -- machine id, boot id, PID namespace of the two below
    supervisor text, codex text,                  -- pid and start time
    begun integer not null default 0 check (begun in (0, 1)), stop_asked_at text,
    answered integer not null default 0 check (answered in (0, 1)),   -- Codex has an answer
    left_running integer not null default 0,      -- the number of processes that were running at its end
    detail text,                                  -- how it ended, in a line: what it changed, its answer, its error
    slotless integer not null default 0 check (slotless in (0, 1)),   -- started inside a run that has a slot
    continues integer not null default 0 check (continues in (0, 1)), -- its prompt file has the continuation prompt, not the prompt's own text
    grp text not null default '', parent_run text,
    thread_usage text, rollout_offset integer, codex_version text,
    worktree blob,                                -- the directory in the session's worktree that it works in
    prepared_at text not null, launched_at text, ended_at text,
    unique (session, ordinal), check ((state = 'finished') = (outcome is not null))
) strict, without rowid;
create unique index one_writer on runs (session) where state in ('prepared', 'launching', 'running');   -- the session lock
create index unfinished on runs (session, run_id) where state <> 'finished';   -- the sweep; stop, archive, rm of one session
create index finished on runs (session, waits, ordinal desc) where state = 'finished';   -- the last of a session
create index leaving on runs (session, ordinal) where left_running;
create index slots_used on runs (grp) where state in ('prepared', 'launching', 'running') and not slotless;
create index attempts on runs (prompt) where prompt is not null;
create index started on runs (prepared_at) where not slotless and not waits;   -- starts_per_minute
create table records (run_id text primary key, record blob not null) strict, without rowid;   -- compressed JSON, apart
create table turns (                              -- an interactive run has many
    run_id text not null, turn_id text not null, ordinal integer not null, state text not null, started_at text, ended_at text, answer text,
    prompt integer, thread_id text, usage text, error_class text,
    primary key (run_id, turn_id)
) strict, without rowid;
create index open_turns on turns (run_id) where ended_at is null;

create table usage (                              -- stays when the run is removed: no foreign key
    run_id text not null, thread_id text not null, model text not null, tier text not null default '',
    quarter integer not null,                     -- of an hour, UTC, since 1970: every time zone and day is a sum of these
    session_key text not null, prepared_at text not null,   -- of the run: --since takes an instant
    repo blob, home blob, originator text not null default '',
    calls integer not null, input integer, cached integer, cache_write integer, output integer, reasoning integer,
    total integer,                                -- a log may have only this
    usd real, unpriced integer not null default 0, uncounted integer not null default 0, price_source text,
    primary key (run_id, thread_id, model, tier, quarter)
) strict, without rowid;
create index usage_by_quarter on usage (quarter);
create table usage_sums (                         -- the roll-up of usage, kept in its transactions; verify recomputes it
    grouped text not null, key blob not null,     -- total, model, repo or session, and which one
    quarter integer not null,                     -- 0: a session has only the sum of all
    runs integer not null, input integer not null, cached integer not null, output integer not null, reasoning integer not null,
    total integer not null, usd real not null,    -- an unknown figure is not in the sum
    unknown_usage integer not null, unknown_parts integer not null, unknown_cost integer not null,   -- runs
    unpriced integer not null,                    -- calls; usd is what the others cost
    uncounted integer not null,                   -- runs with more than the figures say
    primary key (grouped, key, quarter)
) strict, without rowid;
create view usage_of_runs as                      -- what each run adds to each row of usage_sums
with keys as (select u.*, g.grouped, case g.grouped when 'model' then cast(u.model as blob) when 'repo' then coalesce(u.repo, x'')
        when 'session' then cast(u.session_key as blob) else x'' end as key
    from usage u cross join (select 'total' as grouped union all values ('model'), ('repo'), ('session')) g)
select grouped, key, quarter, run_id, prepared_at,
    not exists (select 1 from usage o where o.run_id = k.run_id and o.quarter < k.quarter and (grouped <> 'model' or o.model = k.model))
        as runs,                                  -- a run counts in the quarter of its first call
    coalesce(sum(input), 0) as input, coalesce(sum(cached), 0) as cached, coalesce(sum(output), 0) as output,
    coalesce(sum(reasoning), 0) as reasoning, coalesce(sum(total), 0) as total, total(usd) as usd,
    max(total is null) as unknown_usage, max(input is null) as unknown_parts,
    not exists (select 1 from usage o where o.run_id = k.run_id and (grouped <> 'model' or o.model = k.model)
        and (o.quarter < k.quarter or o.usd is not null)) as unknown_cost,
    sum(unpriced) as unpriced, max(uncounted > 0) as uncounted
from keys k group by run_id, quarter, prepared_at, grouped, key;

create table history (                            -- written in the transaction of each change; webhooks, event streams,
    id integer primary key autoincrement, at text not null,   -- tasks.md and the page's time line are read from it
    session integer, prompt integer, run_id text, what text not null, detail text
) strict;
create index history_of_session on history (session, id) where session is not null;
create index history_of_prompt on history (prompt, id) where prompt is not null;
create table outbox (
    id integer primary key autoincrement, history integer not null references history, target text not null,
    due_at text not null, attempts integer not null default 0, done_at text, error text, unique (history, target)
) strict;

create index undelivered on outbox (due_at) where done_at is null;

-- Who is notified of a prompt: the terms that say so.
create view targets as select p.id as prompt, iif(t.key = 'is_on_desktop', 'desktop', t.key) as target, t.value as place
    from prompts p, json_each(iif(json_valid(p.settings), p.settings -> '$.terms', null)) t where t.key in ('notify', 'webhook', 'is_on_desktop');
-- The events of prompts: triggers insert them, so every change has its event, whatever makes it.
create trigger event_of_end after update of ended_at on prompts
    when old.ended_at is null and new.ended_at is not null and exists (select 1 from targets where prompt = new.id)
begin
    insert into history (at, session, prompt, run_id, what, detail) select now, new.session, new.id, old.run_id,
        iif(new.state = 'done', 'succeeded', 'failed'), json_object('id', lower(hex(randomblob(12))), 'reason', new.reason)
    from clock where new.reason not in ('quit', 'rebuilt');
    insert into history (at, session, prompt, run_id, what, detail) select now, new.session, new.id, old.run_id,
        'queue_empty', json_object('id', lower(hex(randomblob(12))))
    from clock where not exists (select 1 from prompts where ended_at is null)
        and not exists (select 1 from runs where state <> 'finished');
end;
create trigger event_of_wait after update of state, hold on prompts
    when new.ended_at is null and (new.hold is not null and old.hold is null or new.state = 'parked' and old.state = 'running')
    and exists (select 1 from targets where prompt = new.id)
begin
    insert into history (at, session, prompt, run_id, what, detail) select now, new.session, new.id, old.run_id,
        iif(new.hold is null, 'parked', 'held'), json_object('id', lower(hex(randomblob(12))), 'until', new.wake_at,
            'why', coalesce(new.hold, new.wake_why, 'login'))
    from clock;
end;
-- The supervisor of a run has some seconds for what its own environment is needed for.
create trigger notices_of_event after insert on history when new.what in ('succeeded', 'failed', 'parked', 'held', 'queue_empty')
begin
    insert into outbox (history, target, due_at) select new.id, target,
        iif(target = 'webhook' or new.run_id is null, new.at, strftime('%Y-%m-%dT%H:%M:%fZ', new.at, '+5 seconds'))
    from targets where prompt = new.prompt;
end;
-- What is still to be sent; the exports of a run are no notice.
create view notices as select o.id, o.target, o.due_at, o.attempts, h.what, h.run_id, h.at, h.detail,
    (select t.place from targets t where t.prompt = h.prompt and t.target = o.target) as place,
    s.short_id, s.thread_id as thread, s.title, s.repo
from outbox o indexed by undelivered
join history h on h.id = o.history
left join sessions s on s.id = h.session
where o.done_at is null and o.target <> 'exports';

create table imports (                            -- what came from where; kind 'removed' is a tombstone
    id integer primary key, kind text not null, source text not null, identity text not null,
    inode integer, size integer, mtime integer, run_id text,
    cursor text,                                  -- the turn of the thread that the run is: its id, or @ and its byte in the rollout
    unique (kind, source, identity)
) strict;
create index imports_by_run on imports (run_id) where run_id is not null;
create table files (                              -- rollouts that an import has read, and what it found; one that did not change is not read again
    path blob primary key, inode integer not null, size integer not null, mtime integer not null, offset integer not null, state text
) strict, without rowid;
create table jobs (session integer primary key references sessions on delete cascade, record text not null, signal text, updated_at text not null) strict;
create table job_views (                          -- what the list shows of a job that has ended; a cache, which is right for one version
    session integer primary key references sessions on delete cascade, version text not null, status text not null, text text not null
) strict;
create table notes (what text not null, about text not null) strict;   -- what a migration could not convert; verify shows them
create table settings (name text primary key, value text not null) strict, without rowid;
insert into queues (name) values ('');

-- The clock of all views. Tests replace it with a table of the same columns.
create view clock as select strftime('%Y-%m-%dT%H:%M:%fZ', 'now') as now, date('now', 'localtime') as today,
    strftime('%Y-%m-%dT%H:%M:%fZ', 'now', 'localtime', 'start of day', '+1 day', 'utc') as midnight,
    strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-60 seconds') as minute_ago;
-- What this day has cost, as `usage` tells it: of the ledger's runs that have ended, removed and imported ones too.
-- The day is that of the asking process's time zone. Each of its quarters of an hour is a row, so another zone or clock needs no new sums.
create view spent as select c.today as day, total(s.usd) as usd, coalesce(sum(s.unpriced), 0) as unpriced
from clock c left join usage_sums s on s.grouped = 'total' and s.key = x''
    and s.quarter >= strftime('%s', c.today, 'utc') / 900 and s.quarter < strftime('%s', c.midnight) / 900;
-- The runs that use a slot; an interactive run only during a turn.
create view busy as select r.run_id, r.session, r.grp, r.slotless from runs r where r.state in ('prepared', 'launching', 'running')
    and (r.kind = 'exec' or exists (select 1 from prompts q where q.run_id = r.run_id)
        or exists (select 1 from turns t where t.run_id = r.run_id and t.ended_at is null));
-- The runs started in the last minute, without start times in the future (the clock was set back). Subqueries on it
-- refer to no outer row, so SQLite evaluates them once per query.
create view recent as select r.run_id, r.grp, r.prepared_at from clock c cross join runs r
    where not r.slotless and not r.waits and r.prepared_at > c.minute_ago and r.prepared_at <= c.now;
-- The first waiting prompt of each session.
create view heads as
select p.session, min(p.place) as place, count(*) as waiting,
    min(iif(coalesce(p.not_before, '') <= c.now
        and not exists (select 1 from needs n where n.prompt = p.id and n.met = 0),
        p.id - 100 * p.priority, null)) as lifted
from prompts p, clock c where p.state in ('queued', 'parked') group by p.session;

-- Why no run may be started in the whole queue ('') or in a group, and until when.
create view kept as
select q.name, case
        when q.paused or q.slots is 0 then 'pause'
        when q.usd_per_day <= (select usd from spent) then 'budget'
        when q.starts_per_minute <= iif(q.name = '', (select count(*) from recent), (select count(*) from recent r where r.grp = q.name)) then 'rate'
        when q.slots <= iif(q.name = '', (select count(*) from busy where not slotless), (select count(*) from busy b where b.grp = q.name and not b.slotless)) then 'slot'
    end as word, case
        when q.usd_per_day <= (select usd from spent) then c.midnight
        when q.starts_per_minute <= iif(q.name = '', (select count(*) from recent), (select count(*) from recent r where r.grp = q.name)) then
            (select strftime('%Y-%m-%dT%H:%M:%fZ', min(r.prepared_at), '+60 seconds') from recent r where q.name in ('', r.grp))
    end as until
from queues q, clock c;

-- Why the first waiting prompt of a session is not delivered, in one word; null when it can be. taker: the only run
-- that may deliver it, a waiting run or the interactive run of its session; null: any run.
create view judged as
select p.id, p.session, p.place, p.grp, p.state, h.waiting,
    min(p.id - 100 * p.priority, coalesce(h.lifted, 9e18)) as rank,
    coalesce(p.run_id, (select r.run_id from runs r where r.session = p.session and r.state in ('prepared', 'launching', 'running'))) as taker,
    case
        when s.archived_at is not null then 'archived'
        when p.hold is not null then 'held'
        when s.paused or a.word = 'pause' or g.word = 'pause' then 'pause'
        when exists (select 1 from busy b where b.session = p.session)
            or p.run_id is not null and exists (select 1 from runs r where r.session = p.session and r.state in ('prepared', 'launching', 'running')) then 'session'
        when exists (select 1 from needs n where n.prompt = p.id and n.met = 0) then 'dependency'
        when p.state = 'parked' and p.wake_at > c.now then 'limit'
        when p.not_before > c.now then 'time'
        when p.wake_at > c.now and c.now >= p.wake_from then iif(p.wake_why in ('writer', 'refused'), 'writer', 'retry')
        when p.preview = '/quit' and p.run_id is null then null    -- it starts no run
        when a.word is not null then a.word
        when g.word is not null then g.word
        when o.home is not null then o.why
    end as word,
    case
        when p.state = 'parked' and p.wake_at > c.now then p.wake_at
        when p.not_before > c.now then p.not_before
        when p.wake_at > c.now and c.now >= p.wake_from then p.wake_at
        when a.until is not null then a.until
        when g.until is not null then g.until
        when o.until > c.now then o.until
    end as until
from heads h
cross join clock c
join prompts p on p.session = h.session and p.place = h.place
join sessions s on s.id = p.session
-- Inside a run with a slot it waits for none, because that run waits for it; nor does the next turn of such a run.
left join runs i on i.run_id = coalesce((select r.run_id from runs r where r.prompt = p.id and p.begun and r.slotless limit 1), p.run_id)
left join kept a on a.name = '' and not (a.word in ('slot', 'rate') and i.slotless is 1)
left join kept g on g.name = p.grp and p.grp <> '' and not (g.word in ('slot', 'rate') and i.slotless is 1)
left join holds o on o.home = s.home and o.why = (select max(w.why) from holds w where w.home = s.home    -- 'login' before 'limit', of those that still hold
    and (w.until is null or w.until > c.now or w.trying is not null));

create view deliverable as select id, session, rank, grp from judged where word is null and taker is null;

-- For output: each waiting prompt, with its word and a sentence. The word `secret` depends on the process that
-- delivers, so it is not here.
create view why_waiting as
select p.id, p.session, p.state, j.rank,
    iif(p.id <> j.id, 'session', j.word) as word,
    iif(p.id <> j.id, null, j.until) as until,
    case
        when p.id <> j.id then 'behind #' || j.id || coalesce(' (' || j.word || ')', ' (starts next)')
        when j.word = 'session' then 'run ' || (select run_id from runs r where r.session = p.session and r.state in ('prepared', 'launching', 'running')) || ' is unfinished'
        when j.word = 'dependency' then 'after ' || (select group_concat('#' || needs, ' ') from needs n where n.prompt = p.id and n.met = 0)
        when j.word = 'retry' then case p.wake_why when 'start' then 'Codex could not be started ' || iif(p.starts = 1, 'once', p.starts || ' times')
            when 'unbegun' then 'Codex ended before its turn began, ' || iif(p.unbegun = 1, 'once', p.unbegun || ' times') else 'attempt ' || p.failures || ' of ' || (p.retries + 1) || ' failed' end
        when j.word = 'writer' then 'another program writes this thread'
        when j.word = 'budget' then 'spent today ' || printf('$%.2f of $%.2f', (select usd from spent), (select usd_per_day from queues where name = ''))
        when j.word = 'rate' then 'starts per minute'
        when j.word = 'slot' then (select count(*) from busy where not slotless) || ' of ' || coalesce((select slots from queues where name = ''), 'any')
            || ' run' || iif(p.grp = '', '', ', group ' || p.grp || ' ' || (select count(*) from busy b where b.grp = p.grp and not b.slotless) || ' of ' || coalesce((select slots from queues where name = p.grp), 'any'))
        when j.word = 'limit' then iif(p.state = 'parked', 'it hit the usage limit', 'the usage limit of its account')
        when j.word = 'login' then 'the login of its account was refused'
        when j.word = 'held' then p.hold
        when j.word = 'pause' then 'paused'
    end as detail
from prompts p join judged j on j.session = p.session where p.state in ('queued', 'parked');

-- The state of a session. RUNNING: a run is unfinished, or a prompt waits whose word is not `held`. STOPPED: the
-- last finished run succeeded or was stopped, or there was none. DIED: it ended otherwise, its check failed, or the
-- first prompt is held. Runs that only waited for the session are ignored.
create view session_states as
select s.id, s.short_id, s.thread_id, s.title, s.repo, s.home, s.exports, s.imported, s.settings, s.created_at, s.updated_at,
    s.archived_at, coalesce(s.thread_id, l.run_id, u.run_id, s.short_id) as name, coalesce(u.run_id, l.run_id) as last_run,
    iif(u.run_id is null, l.outcome, null) as outcome, coalesce(j.waiting, 0) as waiting, j.id as head, j.word, j.until,
    case
        when u.run_id is not null or (j.id is not null and j.word is not 'held') then 'RUNNING'
        when s.archived_at is not null then 'ARCHIVED'
        when j.word is 'held' then 'DIED'
        when coalesce(l.outcome, 'succeeded') in ('succeeded', 'stopped') and l.error_class is not 'verify_failed' then 'STOPPED'
        else 'DIED'
    end as state
from sessions s
left join runs u on u.run_id = (select r.run_id from runs r where r.session = s.id and r.state <> 'finished' order by r.waits, r.ordinal limit 1)
left join runs l on l.run_id = (select r.run_id from runs r where r.session = s.id and r.state = 'finished' order by r.waits, r.ordinal desc limit 1)
left join judged j on j.session = s.id;

-- What a list shows of a session: its run, its first words, why it waits, what it has used.
create view listed as
select v.id as key, v.name as id, v.short_id, v.thread_id as session_id, v.title, v.state, v.outcome, v.created_at, v.updated_at, v.repo as working_dir,
    v.waiting as queue, v.last_run, coalesce(p.preview, h.preview) as prompt, case
        -- While the queue is paused a parked prompt keeps its own reason, if it has one still.
        when v.word is not 'pause' or h.state <> 'parked' then v.word
        when h.wake_at > (select now from clock) then 'limit'
        when exists (select 1 from holds o where o.home = v.home and o.why = 'login') then 'login'
        else 'pause'
    end as why, v.until, h.hold, h.queued_at, h.state as prompt_state,
    r.state as run_state, r.directory, r.layout, r.error_class, r.detail, r.launched_at, r.ended_at,
    iif(u.unknown_usage < u.runs, u.total, null) as tokens, u.usd, u.runs - u.unknown_cost as priced, u.unpriced, u.uncounted,
    iif(v.word = 'dependency', (select t.short_id from needs n join prompts q on q.id = n.needs join sessions t on t.id = q.session
        where n.prompt = v.head and n.met = 0 limit 1), null) as needed
from session_states v left join runs r on r.run_id = v.last_run
left join prompts p on p.id = r.prompt left join prompts h on h.id = v.head
left join usage_sums u on u.grouped = 'session' and u.key = cast(v.name as blob) and u.quarter = 0;

create view active_sessions as select session from runs where state <> 'finished'
union select session from prompts where state in ('queued', 'parked');

-- When the timer runs next: the first time at which a word changes without a command, or a prompt expires.
create view next_deadline as
select min(at) as at from (
    select min(until) as at from judged where word in ('time', 'retry', 'writer', 'limit', 'budget', 'rate')
    -- In another time zone the day may end sooner.
    union all select strftime('%Y-%m-%dT%H:%M:%fZ', now, '+1 hour') from clock where exists (select 1 from judged where word = 'budget')
    union all select min(expires_at) from prompts where expires_at is not null and state in ('queued', 'parked') and not begun

    -- What is due has been given to a process that sends it.
    union all select min(o.due_at) from outbox o, clock c where o.done_at is null and o.target in ('webhook', 'notify', 'desktop') and o.due_at > c.now);

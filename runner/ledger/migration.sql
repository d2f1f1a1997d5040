-- Convert the old database to rows of the ledger: named statements, run in one transaction.
-- A name may have several statements, separated by a semicolon at the end of a line.
--
-- `old` is the old database; `runs_before`, `sessions_before`, `mail_before` and `usage_before` are its tables, empty if
-- it has none (schema 1 has only runs). Functions of Python: `exports(key, archived_in)`, the directory of a session;
-- `directory(run_id, exports, log_dir)`, that of a run; `short_id(key)`; `pack(record)`; `path(json)`, the bytes of a
-- path, and `plain(json)`, a text to show: SQLite itself would make an invalid text of a path that is not UTF-8.

-- name: session_before
select archived_in from sessions_before where session_id = :key

-- name: rows
-- The runs with the migrated parts of their records. A record may be damaged: a value of another type counts as missing.
-- `settings` has the format of `record.settings_json`; the next prompt can use it if the run `is_sound`.
create temp table old_runs as select
    run_id, coalesce(session_id, run_id) as key, run_id as place,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', prepared_at), '1970-01-01T00:00:00.000Z') as prepared_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', record ->> '$.launched_at') as launched_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', ended_at) as ended_at,
    iif(outcome is null or outcome in (select outcome from outcomes), outcome, 'failed') as outcome,
    case json_type(record, '$.session_id') when 'text' then record ->> '$.session_id' when 'null' then null
        else iif(session_id like '________-____-____-____-____________', session_id, null) end as thread,
    iif(json_type(record, '$.request.mail_id') = 'integer', record ->> '$.request.mail_id', null) as prompt,
    record ->> '$.request.wait_for_session' is 1 as waits,
    case json_type(record, '$.accounts.has_answer') when 'true' then 1 when 'false' then 0
        else outcome is not null and outcome in ('succeeded', 'stopped') end as answered,
    iif(json_type(record, '$.left_running') = 'array', json_array_length(record, '$.left_running'), 0) as left_running,
    iif(json_type(record, '$.exit_code') = 'integer', record ->> '$.exit_code', null) as exit_code,
    iif(json_type(record, '$.rollout_offset') = 'integer', record ->> '$.rollout_offset', null) as rollout_offset,
    iif(json_type(record, '$.codex_version') = 'text', record ->> '$.codex_version', null) as codex_version,
    iif(json_type(record, '$.repo') = 'text', record -> '$.repo', json_quote(repo)) as repo,
    record -> '$.request.codex_home' as home, record -> '$.request.log_dir' as log_dir,
    json_object('repo', record -> '$.repo', 'codex_bin', record -> '$.codex_bin', 'sandbox', record -> '$.sandbox',
        'request', json_object('umask', record -> '$.request.umask', 'overrides', record -> '$.request.overrides',
            'skip_git_repo_check', record -> '$.request.skip_git_repo_check', 'extra', record -> '$.request.extra',
            'model', record -> '$.request.model', 'limits', json_object('timeout', record -> '$.request.limits.timeout',
                'stall', record -> '$.request.limits.stall'))) as settings,
    json_type(record, '$.accounts.imported') is 'object' as is_imported,
    record ->> '$.run_id' is run_id and record ->> '$.state' is state and record ->> '$.outcome' is outcome
        and (outcome is null or outcome in (select outcome from outcomes))
        and json_type(record, '$.repo') is 'text' and json_type(record, '$.codex_bin') is 'text'
        and json_type(record, '$.request.log_dir') is 'text' and json_type(record, '$.request.umask') is 'integer'
        and json_type(record, '$.request.overrides') is 'array' and json_type(record, '$.request.extra') is 'array'
        and not exists (select 1 from json_each(record, '$.request.overrides') where type <> 'text')
        and not exists (select 1 from json_each(record, '$.request.extra') where type <> 'text')
        and json_type(record, '$.request.skip_git_repo_check') in ('true', 'false')
        and json_type(record, '$.sandbox') in ('text', 'null') and json_type(record, '$.request.model') in ('text', 'null')
        and json_type(record, '$.request.limits.timeout') in ('integer', 'real', 'null')
        and json_type(record, '$.request.limits.stall') in ('integer', 'real', 'null') as is_sound
from runs_before;
-- The order of a session's runs; a run that waited for the session counts from its launch.
update old_runs set place = max(run_id, replace(substr(launched_at, 1, 10), '-', '') || '-'
    || replace(substr(launched_at, 12, 8), ':', '') || '-' || substr(launched_at, 21, 3))
where waits and launched_at is not null;
create index temp.old_runs_by_key on old_runs (key, place);
create unique index temp.old_runs_by_id on old_runs (run_id);
-- The sessions, numbered in the order of their last change; runs without a session get one. The next prompt uses the
-- directory of the run `last`, and the settings of the run `pattern`.
create temp table old_sessions as
with sessions as (
    select session_id as key, title, created_at, updated_at, archived_in from sessions_before
    union all select coalesce(session_id, run_id), null, min(prepared_at), max(coalesce(ended_at, prepared_at)), null
    from runs_before where coalesce(session_id, run_id) not in (select session_id from sessions_before) group by 1)
select row_number() over (order by updated_at, key) as id, key, title, created_at, updated_at, archived_in,
    key like '________-____-____-____-____________' as is_thread, exports(key, archived_in) as exports,
    (select run_id from old_runs r where r.key = s.key order by launched_at is null, place desc limit 1) as last,
    (select run_id from old_runs r where r.key = s.key and launched_at is not null and is_sound and not is_imported
        order by place desc limit 1) as pattern
from sessions s;
create unique index temp.old_sessions_by_key on old_sessions (key);
insert into imports (kind, source, identity, run_id)
select plain(record -> '$.accounts.imported.kind'), plain(record -> '$.accounts.imported.source'),
    plain(record -> '$.accounts.imported.identity'), run_id
from runs_before where run_id in (select run_id from old_runs where is_imported) on conflict do nothing;
-- The next prompt uses only the directory of an imported run; / means that the importer did not know the directory.
insert into sessions (id, short_id, thread_id, title, repo, home, settings, exports, imported, archived_at, created_at, updated_at)
select s.id, short_id(s.key), iif(s.is_thread, s.key, null), s.title,
    iif(l.is_imported, nullif(path(l.repo), x'2f'), path(l.repo)),
    iif(l.is_imported, x'', coalesce(path(coalesce(p.home, l.home)), x'')), iif(l.is_imported, '{}', coalesce(p.settings, '{}')),
    s.exports, i.id, iif(s.archived_in is null, null, s.updated_at), s.created_at, s.updated_at
from old_sessions s
left join old_runs l on l.run_id = s.last
left join old_runs p on p.run_id = s.pattern
left join imports i on i.run_id = s.last;
insert into threads (thread_id, session) select thread_id, id from sessions where thread_id is not null;
-- The unfinished ones are converted one by one after that.
insert into runs (run_id, session, ordinal, thread_id, prompt, attempt, state, waits, outcome, exit_code, directory, layout,
    begun, answered, left_running, rollout_offset, codex_version, prepared_at, launched_at, ended_at)
select r.run_id, s.id, row_number() over (partition by s.id order by r.place, r.run_id), r.thread, r.prompt,
    iif(r.prompt is null, 1, row_number() over (partition by r.prompt order by r.place)),
    iif(r.outcome is null, 'waiting', 'finished'), r.waits and r.launched_at is null, r.outcome,
    iif(r.outcome is null, null, coalesce(r.exit_code, (select code from outcomes o where o.outcome = r.outcome))),
    directory(r.run_id, s.exports, r.log_dir), 2, r.launched_at is not null and r.thread is not null,
    r.answered, r.left_running, r.rollout_offset, r.codex_version, r.prepared_at, r.launched_at,
    iif(r.outcome is null, null, coalesce(r.ended_at, r.prepared_at))
from old_runs r join old_sessions s on s.key = r.key;
insert into records (run_id, record) select run_id, pack(cast(record as blob)) from runs_before

-- name: unfinished
select r.run_id, r.session, r.waits, r.directory, r.launched_at, r.prepared_at, c.record
from runs r join records c on c.run_id = r.run_id where r.state <> 'finished' order by r.session, r.ordinal

-- name: go_on
-- The first sweep judges it.
update runs set state = :state, supervisor = :supervisor, codex = :codex, place = :place where run_id = :run_id

-- name: end_run
update records set record = :record where run_id = :run_id;
update runs set state = 'finished', outcome = :outcome, exit_code = :exit_code, error_class = :error_class,
    thread_id = coalesce(:thread, thread_id), answered = :answered, left_running = :left_running, ended_at = :ended_at where run_id = :run_id;
insert into history (at, session, run_id, what) select :ended_at, session, run_id, 'run_completed' from runs where run_id = :run_id;
insert into outbox (history, target, due_at) values (last_insert_rowid(), 'exports', :ended_at)

-- name: queue_files
-- The first sweep writes the files of the waiting prompts.
insert into history (at, session, what) select min(queued_at), session, 'migrated' from prompts where state = 'queued' group by session;
insert into outbox (history, target, due_at) select id, 'exports', at from history where what = 'migrated'

-- name: ended_prompts
insert into prompts (id, session, place, preview, state, reason, begun, attempts, queued_at, ended_at)
select m.mail_id, s.id, m.mail_id, substr(m.task, 1, 200),
    iif(m.state = 'skipped', 'canceled', coalesce(o.prompt, 'failed')),
    iif(m.state = 'skipped', 'stopped', coalesce(r.outcome, 'lost')),
    coalesce(r.begun, 0), iif(m.state = 'skipped', 0, m.attempts + 1), m.queued_at, coalesce(r.ended_at, s.updated_at)
from mail_before m join old_sessions s on s.key = m.session_id
left join runs r on r.run_id = m.run_id
left join outcomes o on o.outcome = r.outcome
where m.state = 'skipped' or m.state = 'delivered' and coalesce(r.outcome, 'lost') <> 'not_started'
    and (r.run_id is null or r.state = 'finished')

-- name: open_prompts
-- A prompt of a run that was never inserted waits again.
select m.mail_id, s.id as session, s.key, s.exports, substr(m.task, 1, 200) as preview, m.queued_at, m.attempts, r.run_id, r.begun,
    r.directory, row_number() over (partition by s.id, r.run_id is null order by m.mail_id) = 1 as is_first
from mail_before m join old_sessions s on s.key = m.session_id
left join runs r on r.run_id = m.run_id and r.state <> 'finished'
where m.mail_id not in (select id from prompts) order by s.id, m.mail_id

-- name: last_run
-- The run that determines the state of a session.
select r.*, c.record from runs r join records c on c.run_id = r.run_id
where r.session = :session order by r.waits, r.ordinal desc limit 1

-- name: insert_prompt
-- A running prompt cannot return to the queue without its text.
insert into prompts (id, session, place, text, preview, digest, state, hold, run_id, begun, attempts, starts, wake_at, wake_from,
    wake_why, queued_at)
values (:mail_id, :session, :mail_id, :text, :preview, :digest, iif(:run_id is null, 'queued', 'running'), :hold, :run_id,
    :run_id is not null and (:begun or :text is null), :attempts + (:run_id is not null), iif(:run_id is null, :attempts, 0),
    :wake_at, :wake_from, iif(:wake_at is null, null, 'limit'), :queued_at)

-- name: usage
-- `counted` has the rows of the old table, and the missing ones.
create temp view counted as select * from usage_before;
create temp trigger count instead of insert on counted begin
    insert into usage (run_id, thread_id, model, quarter, session_key, prepared_at, repo, home, calls, input, cached, output, reasoning, total, usd)
    values (new.run_id, iif(new.session_id like '________-____-____-____-____________', new.session_id, ''), new.model,
        coalesce(strftime('%s', new.prepared_at), 0) / 900, new.session_id, new.prepared_at, cast(new.repo as blob),
        (select nullif(s.home, x'') from old_sessions o join sessions s on s.id = o.id where o.key = new.session_id), 0, new.input_tokens,
        new.cached_input_tokens, new.output_tokens, new.reasoning_output_tokens, new.total_tokens, new.usd) on conflict do nothing; end;
insert into counted select * from usage_before

-- name: uncounted
-- Finished runs without usage rows, as in schema 1.
select r.run_id, c.record from runs r join records c on c.run_id = r.run_id
where r.state = 'finished' and r.launched_at is not null and r.run_id not in (select run_id from usage)

-- name: count
insert into counted select run_id, :model, key, path(repo), prepared_at, :input, :cached, :output, :reasoning, :total, :usd
from old_runs where run_id = :run_id

-- name: removed_usage
-- Usage of removed runs that is missing because the old database was rebuilt: it is in a line of JSON.
insert into counted select :line ->> '$.run_id', plain(u.value -> '$.model'), u.value ->> '$.session_id', path(u.value -> '$.repo'),
    u.value ->> '$.prepared_at', u.value ->> '$.input_tokens', u.value ->> '$.cached_input_tokens', u.value ->> '$.output_tokens',
    u.value ->> '$.reasoning_output_tokens', u.value ->> '$.total_tokens', u.value ->> '$.usd'
from json_each(coalesce(:line -> '$.usage', '')) u where not exists (select 1 from usage where run_id = :line ->> '$.run_id')

-- name: tombstones_and_notes
-- The next import must not insert a removed run again: only its id is kept.
insert into imports (kind, source, identity)
select distinct 'removed', '', run_id from usage where run_id not in (select run_id from runs);
insert into notes (what, about) select 'record damaged', run_id from old_runs where not coalesce(is_sound, 0)
union all select 'prompt without a session', mail_id || ' of ' || session_id from mail_before
    where session_id not in (select key from old_sessions)
union all select 'run of a prompt lost', mail_id || ' of ' || session_id from mail_before
    where state = 'delivered' and run_id not in (select run_id from runs)

-- name: note
insert into notes (what, about) values (:what, :about)

-- name: session_places
select key, exports from old_sessions where exports is not null

-- name: has_prompt
select 1 from mail_before where mail_id = :id and session_id = :key

-- name: set_last_prompt
delete from sqlite_sequence where name = 'prompts';
insert into sqlite_sequence (name, seq)
select 'prompts', max(:seq, coalesce((select max(id) from prompts), 0), coalesce((select max(prompt) from runs), 0))

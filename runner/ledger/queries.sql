-- All queries of the ledger, each with a name and a comment.
-- A query that changes several tables has several statements. Parameters have names. Times are text, as in the schema.

-- name: session_by_key
-- The current state of a session.
select * from session_states where id = :session

-- name: sessions_in_states
-- The newest sessions in one of these states (a JSON list).
select * from session_states where state in (select value from json_each(:states)) order by updated_at desc, id desc limit :most

-- name: running_sessions
-- Those that run are found without the others.
select * from session_states where id in active_sessions and state = 'RUNNING' order by updated_at desc, id desc limit :most

-- name: listed_sessions
-- The same sessions, with what `ls` shows of them.
select * from listed where state in (select value from json_each(:states)) order by updated_at desc, key desc limit :most

-- name: listed_active
-- Those with an unfinished run or a waiting prompt are found without the others.
select * from listed where key in active_sessions and state in (select value from json_each(:states)) order by updated_at desc, key desc limit :most

-- name: listed_session
select * from listed where key = :session

-- name: other_short_id
-- Whether another session has a short id that begins like this.
select exists (select 1 from sessions where short_id >= :start and short_id < :start || '~' and short_id <> :text)

-- name: sessions_named
-- The sessions with exactly this short id, thread or run.
select * from session_states where id in (
    select id from sessions where short_id = :text
    union all select session from threads where thread_id = :text
    union all select session from runs where run_id = :text)

-- name: has_short_id
select exists (select 1 from sessions where short_id = :text)

-- name: sessions_like
-- The sessions with this title, or this prefix of a thread id or of a short id.
select * from session_states where id in (
    select id from sessions where title = :title or title = :line
    union select session from threads where length(:start) >= 6 and thread_id >= :start and thread_id < :start || '~'
    union select id from sessions where length(:start) >= 4 and short_id >= :start and short_id < :start || '~')
order by updated_at desc limit 10

-- name: session_of_import
-- The session that was imported from another tool's task with this id.
select * from session_states where id = (select r.session from imports i join runs r on r.run_id = i.run_id
    where i.kind <> 'removed' and (i.source = :text or i.source like '%/' || :text) limit 1)

-- name: session_of_thread
select session from threads where thread_id = :thread

-- name: opened_threads
-- The threads of a JSON list that the first run of a session has opened. A resumed thread may be that of a sub-agent.
select t.thread_id from json_each(:threads) j join threads t on t.thread_id = j.value
join sessions s on s.id = t.session and s.imported is null
join runs r on r.session = s.id and r.ordinal = 1 and r.thread_id = t.thread_id and r.rollout_offset is null

-- name: insert_session
insert into sessions (short_id, title, repo, home, settings, imported, created_at, updated_at)
values (:short_id, :title, :repo, :home, :settings, :imported, :at, :at)

-- name: name_session
-- Set the session's current thread, unless it belongs to another session.
insert into threads (thread_id, session) values (:thread, :session) on conflict (thread_id) do nothing;
update sessions set thread_id = :thread, exports = coalesce(:exports, exports) where id = :session
and exists (select 1 from threads where thread_id = :thread and session = :session)

-- name: touch_session
update sessions set updated_at = max(updated_at, :at) where id = :session

-- name: keep_settings
-- Store the settings of the last run whose turn began, for the next prompt; those of a prompt of its own stay with it.
update sessions set settings = :settings, repo = :repo, imported = null where id = :session
and not exists (select 1 from prompts where id = :prompt and json_remove(settings, '$.terms', '$.park') <> '{}')

-- name: worktree_of
select path, repo, branch, base_commit as base from worktrees where session = :session

-- name: keep_worktree
insert or replace into worktrees (session, path, repo, branch, base_commit) values (:session, :path, :repo, :branch, :base)

-- name: work_in
update runs set worktree = :place where run_id = :run_id

-- name: runs_in
-- The unfinished runs that work in the files of the user, in whatever directory.
select r.run_id, s.short_id, s.repo from runs r join sessions s on s.id = r.session
where r.state in ('prepared', 'launching', 'running') and r.worktree is null and r.session <> :session and s.repo is not null

-- name: runs_meanwhile
-- The other runs that worked in the files of the user at some time between two instants, in whatever directory.
select r.run_id, s.short_id, s.repo from sessions s join runs r on r.session = s.id
where s.updated_at >= :since and s.repo is not null and r.worktree is null and r.run_id <> :run_id
and r.launched_at <= :until and (r.ended_at is null or r.ended_at >= :since) order by r.launched_at

-- name: set_exports
update sessions set exports = :exports where id = :session

-- name: archive_session
-- Archive an idle session; without :archived_at unarchive it.
update sessions set archived_at = :archived_at, updated_at = :at, exports = :exports
where id = :session and (archived_at is null) = (:archived_at is not null)
and not exists (select 1 from runs where session = :session and state <> 'finished')
and (:archived_at is null or not exists (select 1 from prompts where session = :session and ended_at is null))

-- name: restore_title
-- Values from the exports of a session.
update sessions set title = coalesce(:title, title), exports = coalesce(:exports, exports) where id = :session

-- name: remove_session
-- The next import must not insert a removed run again: it leaves its usage, or a tombstone. The schema deletes the threads and needs.
update imports set kind = 'removed', run_id = null where run_id in (select run_id from runs where session = :session);
insert or ignore into imports (kind, source, identity) select 'removed', '', run_id from runs
where session = :session and run_id not in (select run_id from usage)
union all select 'removed', '', thread_id from threads where session = :session;
delete from records where run_id in (select run_id from runs where session = :session);
delete from turns where run_id in (select run_id from runs where session = :session);
delete from outbox where history in (select id from history where session = :session);
delete from history where session = :session;
delete from prompts where session = :session;
delete from environments where not exists (select 1 from prompts p where p.environment = environments.id);
delete from runs where session = :session;
delete from sessions where id = :session

-- name: run_by_id
select r.*, c.record from runs r left join records c on c.run_id = r.run_id where r.run_id = :run_id

-- name: runs_of_session
select r.*, c.record from runs r left join records c on c.run_id = r.run_id where r.session = :session order by r.ordinal

-- name: run_ids
select run_id from runs where session = :session order by ordinal

-- name: latest_run
-- The last finished run of a session, one that only waited for it only if there is no other: of all, of the launched
-- ones, or of those with an answer, before another run.
select r.*, c.record from runs r indexed by finished left join records c on c.run_id = r.run_id
where r.session = :session and r.state = 'finished' and r.ordinal < :before
    and case :only when 'answered' then r.answered when 'launched' then r.launched_at is not null else 1 end
order by r.waits, r.ordinal desc limit 1

-- name: recent_runs
-- The last runs of a session with their cost. One that only waited for the session is left out.
select run_id, ordinal as number, state as run_state, outcome, error_class, detail, launched_at, ended_at,
    coalesce(launched_at, prepared_at) as started_at, (select sum(usd) from usage u where u.run_id = r.run_id) as usd
from runs r where session = :session and not waits order by ordinal desc limit 5

-- name: leaving_runs
-- The runs of a session that have left processes running.
select r.*, c.record from runs r left join records c on c.run_id = r.run_id
where r.session = :session and r.left_running order by r.ordinal

-- name: run_ends
-- How the runs of a session have ended from one on, in order, without those that only waited for it, if there are others.
select coalesce(prompt, run_id) as prompt, run_id, iif(error_class is 'verify_failed', error_class, outcome) as outcome from runs where session = :session and ordinal >= :ordinal
    and (not waits or not exists (select 1 from runs where session = :session and not waits)) order by ordinal

-- name: stopped
-- The runs of a session that have been stopped since a time.
select run_id from runs where session = :session and outcome = 'stopped' and ended_at >= :at

-- name: unfinished_runs
-- Of one session, or of all.
select r.*, c.record from runs r left join records c on c.run_id = r.run_id
where r.state <> 'finished' and (:session is null or r.session = :session) order by r.waits, r.ordinal, r.run_id

-- name: previous_launched
-- The run that had the thread before this one.
select r.*, c.record from runs r left join records c on c.run_id = r.run_id
where r.session = :session and r.ordinal < :ordinal and r.launched_at is not null order by r.ordinal desc limit 1

-- name: next_launch
select min(launched_at) from runs where session = :session and ordinal > :ordinal and launched_at > :at

-- name: has_others
-- Whether a sweep may have to do something for other runs than this one.
select exists (select 1 from runs where state <> 'finished' and run_id <> :run_id)
    or exists (select 1 from prompts where state in ('queued', 'parked'))
    or exists (select 1 from outbox o join history h on h.id = o.history where o.done_at is null and h.run_id <> :run_id)

-- name: insert_run
-- The time of a session is at least that of its runs.
update sessions set updated_at = max(updated_at, coalesce(:ended_at, :launched_at, :prepared_at)) where id = :session;
insert into runs (run_id, session, ordinal, thread_id, prompt, state, waits, directory, layout, place, supervisor, codex,
    codex_version, rollout_offset, prepared_at, launched_at, ended_at, outcome, detail, error_class, exit_code, begun, answered, left_running,
    grp, parent_run, slotless, continues, worktree)
values (:run_id, :session, (select coalesce(max(ordinal), 0) + 1 from runs where session = :session), :thread, :prompt, :state,
    :waits, :directory, :layout, :place, :supervisor, :codex, :codex_version, :rollout_offset, :prepared_at, :launched_at, :ended_at, :outcome,
    :detail, :error_class, :exit_code, :begun, :answered, :left_running, coalesce((select grp from prompts where id = :prompt), ''),
    coalesce(:parent, (select r.parent_run from prompts p join runs r on r.prompt = p.id where p.id = :prompt and p.begun and r.slotless)),
    exists (select 1 from runs where run_id = :parent)   -- or it is the next turn of such a run
        or exists (select 1 from prompts p join runs r on r.prompt = p.id where p.id = :prompt and p.begun and r.slotless),
    coalesce((select begun from prompts where id = :prompt), 0), :worktree) returning ordinal

-- name: depth_of
-- Inside how many runs a run is started, given the one around it.
with recursive around (run_id, depth) as (select :parent, 1
    union all select r.parent_run, depth + 1 from around a join runs r on r.run_id = a.run_id where r.parent_run is not null and depth < 9)
select max(depth) from around a join runs r on r.run_id = a.run_id

-- name: has_limits
-- Whether slots, a pause or a start rate may refuse a run of a session.
select exists (select 1 from queues where paused or coalesce(slots, starts_per_minute, usd_per_day) is not null)
    or exists (select 1 from sessions where id = :session and paused)

-- name: kept
-- Why no run of a group may be started now. Slots and the rate do not concern a run inside a run.
select k.name, k.word, k.until, (select slots from queues where name = k.name) as slots, (select starts_per_minute from queues where name = k.name) as rate,
    (select usd_per_day from queues where name = k.name) as budget, (select usd from spent) as spent
from kept k where k.name in ('', :group) and k.word is not null and not (:is_inside and k.word in ('slot', 'rate')) order by k.word <> 'pause', k.name limit 1

-- name: is_paused
select paused from sessions where id = :session

-- name: limits
-- The limits of the whole queue and of each group, with what is running and waiting in it.
select q.name, q.slots, q.paused, q.starts_per_minute, (select count(*) from busy b where not b.slotless and q.name in ('', b.grp)) as running,
    (select count(*) from prompts p where p.state in ('queued', 'parked') and q.name in ('', p.grp)) as waiting
from queues q order by q.name

-- name: set_limits
insert into queues (name, slots, starts_per_minute) values (:name, :slots, :rate)
on conflict (name) do update set slots = iif(:sets_slots, :slots, slots), starts_per_minute = iif(:sets_rate, :rate, starts_per_minute)

-- name: budget
-- What a day may cost, and what this one has cost.
select q.usd_per_day, s.usd as spent_usd, s.unpriced, s.day, c.midnight as until from queues q, spent s, clock c where q.name = ''

-- name: set_budget
update queues set usd_per_day = :usd where name = ''

-- name: pause_queue
update queues set paused = :paused where name = ''

-- name: pause_session
update sessions set paused = :paused where id = :session

-- name: save_record
insert into records (run_id, record) values (:run_id, :record) on conflict (run_id) do update set record = excluded.record

-- name: claim_run
-- A supervisor claims a run, unless the run was stopped before.
update runs set state = :state, supervisor = :supervisor, place = :place
where run_id = :run_id and state = :was and :state in ('launching', 'waiting') and stop_asked_at is null

-- name: launch_run
update sessions set updated_at = max(updated_at, :launched_at) where id = :session;
update runs set state = 'running', codex = :codex, launched_at = :launched_at, rollout_offset = :rollout_offset, waits = 0
where run_id = :run_id and state = 'launching'

-- name: take_turn
-- A waiting run gets its session; its ordinal is after the runs that it waited for, its start counts from now.
update runs set state = 'prepared', waits = 0, prepared_at = :at,
    ordinal = (select max(ordinal) + 1 from runs where session = :session)
where run_id = :run_id and state = 'waiting' and stop_asked_at is null returning ordinal

-- name: finish_run
update sessions set updated_at = max(updated_at, :ended_at) where id = :session;
update runs set state = 'finished', outcome = :outcome, detail = :detail, error_class = :error_class, exit_code = :exit_code, thread_id = :thread,
    answered = :answered, left_running = :left_running, codex_version = :codex_version, begun = :begun, ended_at = :ended_at, launched_at = coalesce(launched_at, :launched_at),
    rollout_offset = coalesce(rollout_offset, :rollout_offset)
where run_id = :run_id and state = :was

-- name: begin_turn
update prompts set begun = 1, text = null where run_id = :run_id and state = 'running';
update runs set begun = 1 where run_id = :run_id and not begun

-- name: name_thread_of_run
update runs set thread_id = :thread where run_id = :run_id

-- name: holder
-- The run that writes a session.
select run_id from runs where session = :session and state in ('prepared', 'launching', 'running')

-- name: is_marked
-- Whether `stop` has marked a run.
select stop_asked_at is not null from runs where run_id = :run_id

-- name: first_waiting
select id, run_id from prompts where session = :session and state in ('queued', 'parked') order by place limit 1

-- name: a_waiting_prompt
select 1 from prompts where state in ('queued', 'parked') limit 1

-- name: waiting_quit
-- The waiting `/quit` of a session; a waiting run sends the same text to Codex.
select id from prompts where session = :session and state = 'queued' and run_id is null and preview = '/quit' limit 1

-- name: insert_prompt
-- A prompt without a text is delivered already, by its run. Its number is the next one, unless a rebuild knows it.
insert into prompts (id, session, place, text, preview, digest, state, direct, run_id, attempts, queued_at, grp, priority, not_before, expires_at,
    key, body, dedup, settings, retries, recoveries, environment)
values (:prompt, :session, coalesce(:prompt, (select seq from sqlite_sequence where name = 'prompts') + 1, 1), :text, :preview, :digest,
    iif(:text is null, 'running', 'queued'), :text is null, :run_id, :text is null, :at, :group, :priority, :not_before, :expires_at,
    :key, :body, :dedup, :settings, :retries, :recoveries, :environment)

-- name: keep_environment
insert into environments (digest, variables, secrets) values (:digest, :variables, :secrets) on conflict (digest) do nothing

-- name: environment_with
select id from environments where digest = :digest

-- name: waiting_environments
-- Those with secrets.
select distinct p.environment from prompts p join environments e on e.id = p.environment
where p.state in ('queued', 'parked') and e.secrets <> '{}'

-- name: environment
select variables, secrets from environments where id = :environment

-- name: set_environment
update prompts set environment = :environment where id = :prompt

-- name: prompt_with_key
select p.id, p.body, p.session from prompts p where p.key = :key

-- name: waiting_duplicate
select id from prompts where dedup = :dedup and state in ('queued', 'parked') order by id limit 1

-- name: prompt_row
select p.*, s.archived_at from prompts p join sessions s on s.id = p.session where p.id = :prompt

-- name: insert_need
insert into needs (prompt, needs, any_end) values (:prompt, :needs, :any_end)

-- name: restore_need
insert or ignore into needs (prompt, needs, any_end, met) values (:prompt, :needs, :any_end, 0)

-- name: unmet_needs
-- What a prompt still waits for, with the state of each.
select n.needs, n.any_end, p.state from needs n left join prompts p on p.id = n.needs where n.prompt = :prompt and n.met = 0 order by n.needs

-- name: meet_need
update needs set met = 1 where prompt = :prompt and needs = :needs

-- name: dependents
-- The prompts that wait for the end of a prompt.
select prompt, any_end from needs where needs = :prompt and met = 0 order by prompt

-- name: drop_needs
delete from needs where prompt = :prompt

-- name: expired
select id from prompts where expires_at <= :at and state in ('queued', 'parked') and not begun order by id

-- name: closes_cycle
-- Whether a prompt waits for itself, by its needs and by the order of the sessions together.
with recursive before (id) as (
    select needs from needs where prompt = :prompt and met = 0
    union select q.id from prompts p join prompts q on q.session = p.session and q.place < p.place and q.ended_at is null where p.id = :prompt
    union select n.needs from before b join needs n on n.prompt = b.id and n.met = 0
    union select (select q.id from prompts q where q.session = p.session and q.place < p.place and q.ended_at is null order by q.place desc limit 1)
        from before b join prompts p on p.id = b.id and p.ended_at is null)
select exists (select 1 from before where id = :prompt)

-- name: move_first
-- To the front of its session, behind a prompt whose turn has begun.
update prompts set place = (select min(place) from prompts where session = :session) - 1 where id = :prompt;
update prompts set place = (select min(place) from prompts where session = :session) - 1
where session = :session and begun and state in ('queued', 'parked')

-- name: edit_prompt
update prompts set text = coalesce(:text, text), preview = coalesce(:preview, preview), digest = coalesce(:digest, digest), grp = coalesce(:group, grp),
    priority = coalesce(:priority, priority), not_before = iif(:sets_time, :not_before, not_before), hold = null where id = :prompt

-- name: revive_prompt
-- Queue an ended prompt again, at its old place.
update prompts set state = 'queued', reason = null, blame = null, ended_at = null, text = :text, digest = :digest, begun = 0, starts = 0, unbegun = 0, failures = 0,
    crashes = 0, parks = 0, checks = 0, direct = 0, stop_asked_at = null, expires_at = null, run_id = null, queued_at = :at where id = :prompt

-- name: blamed_on
-- The prompts that have ended only because this one did.
select p.id from prompts p join sessions s on s.id = p.session where p.blame = :prompt and s.archived_at is null order by p.id

-- name: set_blame
update prompts set blame = :blame where id = :prompt and reason = 'dependency_failed'

-- name: last_turn
-- The last run of a prompt in which a turn has begun.
select r.*, c.record from runs r left join records c on c.run_id = r.run_id where r.prompt = :prompt and r.begun order by r.ordinal desc limit 1

-- name: next_turn
-- The run of a prompt after another one.
select r.*, c.record from runs r left join records c on c.run_id = r.run_id where r.prompt = :prompt and r.ordinal > :ordinal order by r.ordinal limit 1

-- name: checks
-- How many turns of a prompt have ended with a failed check.
select checks from prompts where id = :prompt

-- name: run_of_text
-- The last run whose prompt file has the text of a prompt.
select run_id from runs where prompt = :prompt and not continues order by ordinal desc limit 1

-- name: preview
-- The beginning of the text of a prompt.
select preview from prompts where id = :prompt

-- name: last_prompt
-- The last prompt of a session: waiting, running or ended.
select id from prompts where session = :session order by place desc limit 1

-- name: all_waiting
-- All waiting prompts, by session and order, with the reasons.
select p.id, p.session, p.preview, p.grp, p.priority, p.queued_at, p.not_before, p.expires_at, p.run_id, p.environment, w.word, w.until, w.detail, s.short_id, s.thread_id as thread, s.title
from prompts p join why_waiting w on w.id = p.id join sessions s on s.id = p.session
where p.state in ('queued', 'parked') order by w.rank, p.session, p.place

-- name: note_queue
-- The files of the prompts of a prompt's session have to be written again.
insert into history (at, session, what, detail) select :at, session, 'queue_changed', '{}' from prompts where id = :prompt;
insert into outbox (history, target, due_at) values ((select max(id) from history), 'exports', :at)

-- name: prompt_of_run
-- The prompt of a run, running or reserved for the run.
select id, state, direct as is_direct, stop_asked_at is not null as is_stop_asked, starts, unbegun, failures, crashes, parks, checks, retries, recoveries,
    coalesce(settings ->> '$.park', not direct) as may_park
from prompts where run_id = :run_id and ended_at is null

-- name: waiting_prompts
-- The waiting prompts of a session, with the reasons.
select p.*, w.word, w.until, w.detail from prompts p join why_waiting w on w.id = p.id where p.session = :session order by p.place

-- name: exported_prompt
-- A prompt whose turn has not begun, with the ids of its session and what it waits for. The address of a webhook may be a secret.
select p.text, p.id, p.place, p.preview, iif(json_valid(p.settings), json_remove(p.settings, '$.terms.webhook'), p.settings) as settings, p.grp, p.priority, p.hold, p.retries, p.recoveries, p.not_before, p.expires_at, p.key, p.body, p.dedup, p.queued_at, p.environment,
    s.thread_id as thread, s.short_id, n.title, n.repo, n.home, n.settings as session_settings, (select json_group_array(json_array(needs, any_end)) from needs where prompt = p.id and not met) as needs
from prompts p join sessions s on s.id = p.session
left join sessions n on n.id = s.id and not exists (select 1 from runs r where r.session = s.id)   -- one that has not run yet
where p.id = :prompt and not p.begun and not p.direct and p.ended_at is null and p.text is not null

-- name: restore_prompt
-- A prompt that a rebuild read from its file.
insert into prompts (id, session, place, text, preview, digest, settings, state, hold, attempts, queued_at, grp, priority, retries, recoveries, not_before, expires_at, key, body, dedup, environment)
values (:prompt, :session, :place, :text, :preview, :digest, :settings, 'queued', :hold, 0, :at, :grp, :priority, :retries, :recoveries, :not_before, :expires_at, :key, :body, :dedup, :environment)
on conflict (id) do update set text = excluded.text, digest = excluded.digest, hold = excluded.hold,
    environment = coalesce(excluded.environment, environment)
where state in ('queued', 'parked')

-- name: restore_running
-- A waiting run does not have its prompt yet.
update prompts set state = iif(:waits, 'queued', 'running'), run_id = :run_id, hold = null where id = :prompt and ended_at is null

-- name: restore_waiting
-- Its run ended before the turn began.
update prompts set state = 'queued', run_id = null
where id = :prompt and run_id = :run_id and ended_at is null and text is not null

-- name: keep_numbers
-- No prompt gets a number that a run names.
insert into sqlite_sequence (name, seq) select 'prompts', 0 where not exists (select 1 from sqlite_sequence where name = 'prompts');
update sqlite_sequence set seq = max(seq, coalesce((select max(prompt) from runs), 0)) where name = 'prompts'

-- name: drop_unfinished
-- A run of the backup; its meta file has more.
delete from records where run_id in (select run_id from runs where run_id = :run_id and state <> 'finished');
delete from runs where run_id = :run_id and state <> 'finished'

-- name: session_of_lost
-- The session of a run that a rebuild inserts: of its row in the backup, of its thread, of its prompt, or opened by the run.
select session from runs where run_id = :run_id union all select session from threads where thread_id = :thread
union all select session from prompts where id = :prompt union all select id from sessions where short_id = :short_id limit 1

-- name: restore_session
-- Values of a run for a session that a rebuild inserted for its prompts.
update sessions set home = iif(home = x'', :home, home), repo = coalesce(repo, :repo), created_at = min(created_at, :at)
where id = :session

-- name: exported_prompts
-- The prompts that have a file, except those whose files the next sweep writes.
select id from prompts where not begun and not direct and ended_at is null and text is not null and session not in
    (select h.session from outbox o join history h on h.id = o.history where o.done_at is null and o.target = 'exports' and h.run_id is null)

-- name: reason_of_run
-- Why the prompt of a waiting run waits: another run writes the session, or the prompt's own reason.
select coalesce('run ' || h.run_id || ' holds the session', w.detail, w.word) from prompts p join why_waiting w on w.id = p.id
left join runs h on h.session = p.session and h.state in ('prepared', 'launching', 'running') where p.run_id = :run_id

-- name: lets_others_first
-- Whether a prompt can be delivered that comes before that of a waiting run.
select exists (select 1 from judged where word is null
    and rank < (select j.rank from judged j join prompts p on p.id = j.id where p.run_id = :run_id))

-- name: needs_timer
-- Whether something waits whose wait a time, a run, a login or another program can end.
select exists (select 1 from judged where word is null or word in ('writer', 'login')) or (select at from next_deadline) is not null
    or exists (select 1 from prompts where state in ('queued', 'parked')) and exists (select 1 from runs where state <> 'finished')
    or exists (select 1 from outbox where done_at is null and target in ('webhook', 'notify', 'desktop'))

-- name: next_deadline
select at from next_deadline

-- name: polls
-- Whether something waits that only a look can show the end of, or could not be started just now, or may have been killed.
select exists (select 1 from judged where word in ('writer', 'login') or word is null and taker is null)
    or exists (select 1 from outbox o, clock c where o.done_at is null and o.target in ('webhook', 'notify', 'desktop') and o.due_at <= c.now)

-- name: free_prompts
-- Waiting prompts that are not reserved for a waiting run.
select id from prompts where state in ('queued', 'parked') and run_id is null

-- name: queue_head
-- The first waiting prompt of a session, with the reason.
select p.*, w.word, w.until, w.detail from prompts p join why_waiting w on w.id = p.id
where p.id = (select id from judged where session = :session)

-- name: deliverable
-- Prompts that can be delivered now, including prompts that wait for another writer, whose lock may be free now. If only
-- Codex can see the writer ('refused'), it is not started again at once. None comes before a run that waits for a slot alone.
select j.id as prompt, j.session, s.thread_id as thread, s.home, j.word is 'writer' as waits_for_writer, p.environment
from judged j join sessions s on s.id = j.session join prompts p on p.id = j.id
where j.taker is null and (j.word is null or j.word = 'writer' and p.wake_why = 'writer')
    and (not exists (select 1 from runs where state = 'waiting' and state <> 'finished') or j.rank < coalesce((select min(w.rank) from judged w join sessions t on t.id = w.session
        where w.word is null and w.taker is not null and t.thread_id is null), 9e18))
order by j.rank, j.id

-- name: deliver_prompt
-- The text of one whose turn has begun is not given again.
update prompts set state = 'running', run_id = :run_id, attempts = attempts + 1, wake_at = null, wake_from = null, wake_why = null
where id = :prompt and (begun or digest is :digest) and exists (select 1 from deliverable d where d.id = :prompt)

-- name: take_prompt
update prompts set state = 'running', attempts = attempts + 1, wake_at = null, wake_from = null, wake_why = null
where run_id = :run_id and state = 'queued'
and exists (select 1 from judged j where j.id = prompts.id and j.word is null and j.taker = :run_id)

-- name: free_prompt
-- Any run may deliver it now.
update prompts set run_id = null where id = :prompt and state = 'queued'

-- name: end_prompt
update prompts set state = :state, reason = :reason, blame = :blame, run_id = null, hold = null, wake_at = null, wake_from = null, wake_why = null,
    ended_at = :at where id = :prompt and ended_at is null

-- name: end_waiting_run
-- A run that only waited ends with its prompt.
update runs set state = 'finished', outcome = :outcome, exit_code = :exit_code, ended_at = :at
where run_id = (select run_id from prompts where id = :prompt) and state = 'waiting' returning run_id

-- name: put_back
-- One whose turn has begun goes before all others of its session: nothing may come between its halves.
update prompts set state = iif(:is_parked, 'parked', 'queued'), direct = 0, run_id = null, hold = :hold, wake_at = :wake_at,
    wake_from = iif(:wake_at is null, null, :at), wake_why = iif(:wake_at is null, null, :why), starts = :starts, unbegun = :unbegun,
    failures = :failures, crashes = :crashes, parks = :parks, checks = :checks,
    place = coalesce((select min(q.place) - 1 from prompts q where prompts.begun and q.session = prompts.session and q.place < prompts.place), place)
where id = :prompt and state = 'running'

-- name: wait_for_writer
-- Another program writes the thread: check again at :wake_at. Without :wake_at no program does.
update prompts set wake_at = :wake_at, wake_from = iif(:wake_at is null, null, :at), wake_why = iif(:wake_at is null, null, 'writer')
where id = :prompt and (wake_why is 'writer' or :wake_at is not null and state = 'queued')

-- name: hold_home
-- All prompts of a Codex home wait for the end of its usage limit, or for a new login.
insert into holds (home, until, why) select home, :until, :why from sessions where id = :session
on conflict (home, why) do update set until = excluded.until, trying = null

-- name: try_home
-- A hold of the home is over: this run is the first that tries.
update holds set trying = :run_id where home = (select home from sessions where id = :session) and trying is null and until <= :at

-- name: release_home
-- A turn was completed: the login is right, and a limit whose time has come is over.
delete from holds where home = (select home from sessions where id = :session) and (why = 'login' or until <= :at)

-- name: end_try
-- The run that tried has not succeeded: the next one tries.
update holds set trying = null where trying = :run_id

-- name: open_home
-- A person, or a new login: one prompt of the home may try now.
update holds set until = '1970-01-01T00:00:00.000Z', trying = null where home = :home and (:why is null or why = :why);
update prompts set wake_at = null, wake_from = null, wake_why = null where state = 'parked'
    and session in (select id from sessions where home = :home)

-- name: refused_logins
-- The Codex homes whose login was refused, with what their `auth.json` was then.
select h.home, s.value as login from holds h left join settings s on s.name = 'login ' || hex(h.home) where h.why = 'login' and h.until is null

-- name: keep_login
insert into settings (name, value) select 'login ' || hex(home), :value from sessions where id = :session
on conflict (name) do update set value = excluded.value

-- name: hold_prompt
update prompts set hold = :hold, wake_at = null, wake_from = null, wake_why = null where id = :prompt and state in ('queued', 'parked')

-- name: release_first
-- Release the first prompt, when the user sends another one.
update prompts set hold = null, wake_at = null, wake_from = null, wake_why = null, starts = 0, unbegun = 0
where id = (select id from prompts where session = :session and state in ('queued', 'parked') order by place limit 1)
and (hold is not null or wake_at is not null) and (text is not null or begun)

-- name: release_due
-- Release the prompts whose hold has expired.
update prompts set hold = null, wake_at = null, wake_from = null, wake_why = null
where hold is not null and wake_at is not null and wake_at <= :at and state = 'queued'

-- name: has_due_holds
select 1 from prompts where hold is not null and wake_at is not null and wake_at <= :at and state = 'queued' limit 1

-- name: canceled_count
-- The number of canceled prompts, without `/quit`.
select count(*) from prompts where session = :session and state = 'canceled' and not begun and not direct and reason = 'stopped'
and preview not in ('/quit')

-- name: undelivered
-- Prompts that have failed without a run, since a run of the session was prepared.
select id, preview as prompt, reason, blame as needs from prompts where session = :session and state = 'failed'
    and reason in ('expired', 'dependency_failed')
    and ended_at >= coalesce((select prepared_at from runs where session = :session and ordinal = :ordinal), '') order by id

-- name: ask_stop
update prompts set stop_asked_at = :at where session = :session and state = 'running';
update runs set stop_asked_at = coalesce(stop_asked_at, :at) where session = :session and state <> 'finished'

-- name: sessions_to_stop
select session from runs where state <> 'finished' union select session from prompts where state in ('queued', 'parked') order by 1

-- name: insert_outbox
-- An event and its targets (a JSON list).
insert into history (at, session, prompt, run_id, what, detail) values (:at, :session, :prompt, :run_id, :what, '{}');
insert into outbox (history, target, due_at) select (select max(id) from history), value, :due_at from json_each(:targets)

-- name: notices_of_run
-- What its supervisor sends of a run.
select * from notices where run_id = :run_id and target <> 'webhook' order by id

-- name: due_notices
-- Webhooks, or the others. One that a server never takes comes after those that it may take.
select * from notices where due_at <= :at and (target = 'webhook') = :is_webhook order by attempts, due_at, id

-- name: has_notices
select exists (select 1 from outbox where done_at is null and target in ('webhook', 'notify', 'desktop'))

-- name: notices_of_session
-- The last events of a session and who was notified, or was not yet, the oldest first.
select * from (select h.what as event, o.id, o.target, h.at, o.attempts, o.error, o.done_at,
        (select t.place from targets t where t.prompt = h.prompt and t.target = o.target) as place
    from history h join outbox o on o.history = h.id
    where h.session = :session and o.target in ('webhook', 'notify', 'desktop') order by h.id desc, o.id limit 20) order by at, id

-- name: failing_webhooks
-- The addresses that have not taken a notice since a time, or have failed to take one again and again.
select t.place, count(*) as notices, o.error from outbox o join history h on h.id = o.history join targets t on t.prompt = h.prompt and t.target = o.target
where o.target = 'webhook' and o.error is not null and (o.done_at >= :since or o.done_at is null and o.attempts > 2) group by t.place order by t.place

-- name: unexported_runs
-- Finished runs whose exports are not written yet; without a run, sessions whose prompts have no files yet.
select h.run_id, h.session from outbox o join history h on h.id = o.history where o.done_at is null and o.target = 'exports'

-- name: unexported_of_session
select h.run_id from outbox o indexed by undelivered join history h on h.id = o.history
where o.done_at is null and o.target = 'exports' and h.session = :session and h.run_id is not null

-- name: note_exported
delete from outbox where done_at is null and target = 'exports' and exists (select 1 from history h
    where h.id = outbox.history and (h.run_id = :run_id or h.run_id is null and h.session = :session))

-- name: claim_outbox
-- Claim a notification. An older claim has expired after a time: its process may have been killed.
update outbox set attempts = attempts + 1, due_at = :due_at where id = :id and done_at is null and (attempts = 0 or due_at <= :at)

-- name: close_outbox
update outbox set done_at = :at, error = :error where id = :id

-- name: postpone_notice
update outbox set due_at = :due_at, error = coalesce(:error, error) where id = :id and done_at is null

-- name: remove_usage
delete from usage where run_id = :run_id

-- name: insert_usage
insert into usage (run_id, thread_id, model, tier, quarter, session_key, prepared_at, repo, home, calls, input, cached, cache_write, output,
    reasoning, total, usd, unpriced, uncounted, price_source)
values (:run_id, :thread_id, :model, :tier, :quarter, :name, :prepared_at, :repo, :home, :calls, :input, :cached, :cache_write, :output,
    :reasoning, :total, :usd, :unpriced, :uncounted, :price_source)

-- name: sum_usage
-- Add the usage of a run to the sums; with the sign -1 subtract it.
insert into usage_sums select grouped, key, iif(grouped = 'session', 0, quarter), :sign * sum(runs), :sign * sum(input), :sign * sum(cached),
    :sign * sum(output), :sign * sum(reasoning), :sign * sum(total), :sign * sum(usd), :sign * sum(unknown_usage), :sign * sum(unknown_parts),
    :sign * sum(unknown_cost), :sign * sum(unpriced), :sign * sum(uncounted)
from usage_of_runs where run_id = :run_id group by 1, 2, 3
on conflict do update set runs = runs + excluded.runs, input = input + excluded.input, cached = cached + excluded.cached,
    output = output + excluded.output, reasoning = reasoning + excluded.reasoning, total = total + excluded.total, usd = usd + excluded.usd,
    unknown_usage = unknown_usage + excluded.unknown_usage, unknown_parts = unknown_parts + excluded.unknown_parts,
    unknown_cost = unknown_cost + excluded.unknown_cost, unpriced = unpriced + excluded.unpriced,
    uncounted = uncounted + excluded.uncounted

-- name: sum_all_usage
delete from usage_sums;
insert into usage_sums select grouped, key, iif(grouped = 'session', 0, quarter), sum(runs), sum(input), sum(cached), sum(output),
    sum(reasoning), sum(total), sum(usd), sum(unknown_usage), sum(unknown_parts), sum(unknown_cost), sum(unpriced), sum(uncounted)
from usage_of_runs group by 1, 2, 3

-- name: wrong_sums
-- How many sums differ from those of the usage. The order of a sum changes its last digits; a sum of nothing may be missing.
with u as (select grouped, key, iif(grouped = 'session', 0, quarter) as quarter, sum(runs) as runs, sum(input) as input,
        sum(cached) as cached, sum(output) as output, sum(reasoning) as reasoning, sum(total) as total, sum(usd) as usd,
        sum(unknown_usage) as unknown_usage, sum(unknown_parts) as unknown_parts, sum(unknown_cost) as unknown_cost, sum(unpriced) as unpriced,
        sum(uncounted) as uncounted
    from usage_of_runs group by 1, 2, 3)
select (select count(*) from u left join usage_sums s on s.grouped = u.grouped and s.key = u.key and s.quarter = u.quarter
    where (u.runs, u.input, u.cached, u.output, u.reasoning, u.total, u.unknown_usage, u.unknown_parts, u.unknown_cost, u.unpriced, u.uncounted)
    is not (s.runs, s.input, s.cached, s.output, s.reasoning, s.total, s.unknown_usage, s.unknown_parts, s.unknown_cost, s.unpriced, s.uncounted)
    or abs(u.usd - s.usd) > 1e-9)
    + abs((select count(*) from u where runs <> 0 or total <> 0) - (select count(*) from usage_sums where runs <> 0 or total <> 0))

-- name: usage_totals
-- The usage of each group of runs; a run that called two models counts once. The sums have the calls after the quarter of
-- an hour of :since, the rows of the runs that began since then the others; those of a session have all, or since a time none.
with parts as (
    select key, quarter, runs, input, cached, output, reasoning, total, usd, unknown_usage, unknown_parts, unknown_cost, unpriced, uncounted
    from usage_sums where grouped = iif(:by = 'day', 'total', :by) and quarter > :quarter
    union all select key, quarter, runs, input, cached, output, reasoning, total, usd, unknown_usage, unknown_parts, unknown_cost, unpriced, uncounted
    from usage_of_runs where grouped = iif(:by = 'day', 'total', :by) and quarter between :quarter and :until
        and (quarter > :quarter or prepared_at >= :since))
select iif(:by = 'day', date(quarter * 900, 'unixepoch', 'localtime'), key) as key,
    iif(:by = 'session', (select title from sessions where thread_id = cast(parts.key as text)
        or thread_id is null and id = (select session from runs where run_id = cast(parts.key as text))), null) as title,
    sum(runs), sum(input), sum(cached), sum(output), sum(reasoning), sum(total), sum(usd), sum(unknown_usage), sum(unknown_parts),
    sum(unknown_cost), sum(unpriced), sum(uncounted)
from parts group by 1 having sum(runs) > 0 or sum(total) > 0 order by 1

-- name: usage_rows
-- The usage of the runs of a session.
select u.* from runs r join usage u on u.run_id = r.run_id where r.session = :session

-- name: runs_to_price
-- Finished runs with usage that has no price; with :all every one with usage. An imported log may have only the total.
select distinct u.run_id from usage u join runs r on r.run_id = u.run_id
where u.prepared_at >= :since and u.input is not null and (:all or u.usd is null or u.unpriced > 0) order by u.run_id

-- name: models_without_price
select model, sum(max(unpriced, 1)) as calls from usage where total > 0 and (unpriced > 0 or usd is null) group by model order by 2 desc, model

-- name: usage_of_session
select * from usage_sums where grouped = 'session' and key = cast(:name as blob) and runs > 0

-- name: usage_of_prompt
-- What a prompt has used since a person started it last, without one of its runs.
select coalesce(sum(u.total), 0) as tokens, total(u.usd) as usd, coalesce(sum(u.unpriced), 0) as unpriced
from prompts p join runs r on r.prompt = p.id and r.prepared_at >= p.queued_at join usage u on u.run_id = r.run_id
where p.id = :prompt and r.run_id <> :run_id

-- name: check_write
-- Only a commit tells whether the disk takes one.
insert into settings (name, value) values ('checked_at', :at) on conflict (name) do update set value = :at

-- name: counted_or_removed
-- Runs whose usage is on record, and removed runs and threads.
select run_id from usage union select identity from imports where kind = 'removed'

-- name: run_names
-- All runs, the newest first, with the name of their session.
select r.run_id, coalesce(s.thread_id, r.run_id) as name from runs r join sessions s on s.id = r.session order by r.run_id desc

-- name: run_directories
select run_id, session, directory from runs

-- name: written_directories
-- Where runs and sessions have their files.
select directory from runs union all select exports from sessions where exports is not null

-- name: names_of_no_thread
select value as name from json_each(:names) where value not in (select thread_id from threads)

-- name: known_directories
-- The names of the directories that are no unknown tasks: of threads, exports of others, and what was imported.
select thread_id as directory from threads
union all select exports from sessions where exports is not null and exports is not thread_id
union all select source from imports

-- name: thread_names
select thread_id as directory from threads

-- name: imports_of_session
select i.run_id, i.identity, i.kind, i.source, i.mtime, i.cursor from runs r join imports i on i.run_id = r.run_id where r.session = :session

-- name: session_of_source
-- The session of a thread, or of a run without one.
select session from threads where thread_id = :thread union all select r.session from imports i join runs r on r.run_id = i.run_id
where :thread is null and i.identity = :identity limit 1

-- name: was_removed
-- A session that was removed leaves its usage and its thread, a run without a thread its identity.
select 1 from usage_sums where grouped = 'session' and key = cast(:name as blob) and runs > 0
union all select 1 from imports where kind = 'removed' and identity in (:identity, :name) limit 1

-- name: is_counted
-- A run whose usage is on record, also one that was removed, or whose thread came from the files of another tool. When a
-- rebuild asks, an unfinished run of the backup is not counted.
select 1 from runs where run_id = :run_id and (state = 'finished' or not :is_rebuilt) union all select 1 from usage where run_id = :run_id
union all select 1 from imports where kind = 'removed' and identity = :run_id
union all select 1 from threads t join runs r on r.session = t.session join imports i on i.run_id = r.run_id
    where t.thread_id = :thread and i.kind not in ('run', 'removed') limit 1

-- name: insert_import
insert into imports (kind, source, identity, run_id, mtime, cursor) values (:kind, :source, :identity, :run_id, :mtime, :cursor)

-- name: read_files
select path, inode, size, mtime, state from files

-- name: keep_file
insert into files (path, inode, size, mtime, offset, state) values (:path, :inode, :size, :mtime, :size, :state)
on conflict (path) do update set inode = :inode, size = :size, mtime = :mtime, offset = :size, state = :state

-- name: set_imported
update sessions set imported = :imported where id = :session

-- name: drop_runs
-- An import of the same session takes their place.
delete from imports where run_id in (select run_id from runs where session = :session);
delete from records where run_id in (select run_id from runs where session = :session);
delete from runs where session = :session

-- name: sort_runs
-- The order of a session's runs by time, after older ones were added: first as negative numbers, which none has.
update runs set ordinal = -(select count(*) from runs o where o.session = runs.session
    and (coalesce(o.launched_at, o.prepared_at), o.run_id) <= (coalesce(runs.launched_at, runs.prepared_at), runs.run_id))
where session = :session;
update runs set ordinal = -ordinal where session = :session

-- name: notes
select what, about from notes order by what, about

-- name: counts
-- What is in the ledger.
select (select count(*) from sessions) as sessions, (select count(*) from runs) as runs,
    (select count(*) from prompts where state in ('queued', 'parked')) as waiting

-- name: setting
select value from settings where name = :name

-- name: save_setting
-- A value that begins with the present one changes nothing: a day is over before its hours.
insert into settings (name, value) values (:name, :value)
on conflict (name) do update set value = excluded.value where instr(excluded.value, value) <> 1

-- name: save_job
-- Nothing when the record there is newer, or the session is gone.
insert into jobs (session, record, updated_at) select id, :record, :at from sessions where short_id = :id
on conflict (session) do update set record = excluded.record, updated_at = excluded.updated_at where updated_at <= excluded.updated_at

-- name: job
select j.record, j.signal from jobs j join sessions s on s.id = j.session where s.short_id = :id

-- name: jobs
select s.short_id as id, j.record from jobs j join sessions s on s.id = j.session order by j.session

-- name: remove_job
delete from jobs where session = (select id from sessions where short_id = :id)

-- name: signal_job
update jobs set signal = :signal where session = (select id from sessions where short_id = :id)

-- name: job_ids
select s.short_id as id from jobs j join sessions s on s.id = j.session order by j.session

-- name: end_of_text
-- How the last text of a session has ended that was not delivered.
select reason from prompts where session = :session and state in ('failed', 'canceled') order by id desc limit 1

-- name: job_states
-- Of the sessions with these short ids, the state of a job in one word; `is_viewed` if what is shown of it is in
-- `job_views`: it has ended, and nothing of this version has changed since.
with each as materialized (
    select s.id as session, s.short_id as id, s.created_at, v.version as known, v.status,
        j.updated_at || ' ' || s.updated_at || ' ' || coalesce(u.usd, '') as version,
        s.id in (select session from runs where state <> 'finished') as unfinished,
        s.id in (select session from prompts where state in ('queued', 'parked') and hold is null) as waiting,
        s.id in (select session from prompts where state in ('queued', 'parked') and hold is not null) as held
    from sessions s left join jobs j on j.session = s.id left join job_views v on v.session = s.id
    left join usage_sums u on u.grouped = 'session' and u.key = cast(s.thread_id as blob) and u.quarter = 0
    where s.short_id in (select value from json_each(:ids)))
select session, id, created_at, version, coalesce(known = version, 0) and not (unfinished or waiting or held) as is_viewed,
    case
        when unfinished then 'running'
        when waiting then iif(exists (select 1 from runs r where r.session = each.session and r.launched_at is not null), 'running', 'pending')
        when held then 'failed'
        when known = version then status
        when (select r.outcome = 'succeeded' and r.error_class is null from runs r where r.session = each.session and r.state = 'finished' order by r.waits, r.ordinal desc limit 1)
            then 'completed'
        else 'failed'
    end as status
from each

-- name: job_texts
select session, text from job_views where session in (select value from json_each(:sessions))

-- name: save_job_view
insert into job_views (session, version, status, text) select :session, :version, :status, :text
where :version is not null and exists (select 1 from sessions where id = :session)
on conflict (session) do update set version = excluded.version, status = excluded.status, text = excluded.text

-- What has happened to prompts, runs and threads, also to those that are removed since.
-- Triggers write it in the transaction of the change, so that no kill comes between.
create table chaos (
    id integer primary key autoincrement, at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    what text not null, prompt integer, session integer, run_id text, state text, text text, direct integer
) strict;
create trigger chaos_prompt_insert after insert on prompts begin
    insert into chaos (what, prompt, session, run_id, state, text, direct) values ('prompt', new.id, new.session, new.run_id, new.state, new.preview, new.direct);
end;
create trigger chaos_prompt_update after update on prompts when old.state <> new.state begin
    insert into chaos (what, prompt, session, run_id, state, text) values (old.state, new.id, new.session, coalesce(new.run_id, old.run_id), new.state, coalesce(new.reason, new.wake_why, new.hold));
end;
create trigger chaos_move after update on prompts when old.place <> new.place begin
    insert into chaos (what, prompt, session) values ('moved', new.id, new.session);
end;
create trigger chaos_prompt_delete before delete on prompts begin
    insert into chaos (what, prompt, session, state) values ('removed', old.id, old.session, old.state);
end;
create trigger chaos_run_insert after insert on runs begin
    insert into chaos (what, run_id, prompt, session, state) values ('run', new.run_id, new.prompt, new.session, new.state);
end;
create trigger chaos_slots_insert after insert on runs when new.state = 'prepared' begin
    insert into chaos (what, run_id, text) select 'over the slots', new.run_id, (select count(*) from busy where not slotless) || ' of ' || slots
        from queues where name = '' and slots < (select count(*) from busy where not slotless);
end;
create trigger chaos_slots_update after update on runs when new.state = 'prepared' and old.state = 'waiting' begin
    insert into chaos (what, run_id, text) select 'over the slots', new.run_id, (select count(*) from busy where not slotless) || ' of ' || slots
        from queues where name = '' and slots < (select count(*) from busy where not slotless);
end;
create trigger chaos_needs after update on prompts when new.state = 'running' and old.state <> 'running' begin
    insert into chaos (what, prompt) select 'before its needs', new.id where exists (select 1 from needs where prompt = new.id and not met);
end;
create trigger chaos_run_update after update on runs when old.state <> new.state begin
    insert into chaos (what, run_id, prompt, session, state, text) values ('run ' || old.state, new.run_id, new.prompt, new.session, new.state, new.outcome);
end;
create trigger chaos_run_delete before delete on runs begin
    insert into chaos (what, run_id, session, state) values ('run removed', old.run_id, old.session, old.state);
end;
create trigger chaos_thread after insert on threads begin
    insert into chaos (what, session, text) values ('thread', new.session, new.thread_id);
end;
create trigger chaos_session_delete before delete on sessions begin
    insert into chaos (what, session) values ('session removed', old.id);
end;

-- The bill's rollup: what attempts of an agent used on a UTC day, kept by the posting of their settlements. A run or a call may have
-- attempts on several days and is counted on each of them. usage_spans names those, so that a bill over several days counts each once.
create table usage_days (
  organisation text not null,
  day date not null,
  project text not null,
  -- Empty for calls outside runs.
  agent text not null,
  attempts bigint not null,
  calls bigint not null,
  runs bigint not null,
  prompt_tokens numeric(38, 0) not null,
  cached_tokens numeric(38, 0) not null,
  output_tokens numeric(38, 0) not null,
  amount_nano numeric(38, 0) not null,
  suspense_nano numeric(38, 0) not null,
  primary key (organisation, day, project, agent)
);

-- Runs and calls with attempts on more than one day: a row for each of these days.
create table usage_spans (
  kind text not null check (kind in ('run', 'call')),
  subject text not null,
  day date not null,
  organisation text not null,
  project text not null,
  agent text not null,
  primary key (kind, subject, day)
);
create index usage_spans_by_day on usage_spans (organisation, day);

create index settlements_of_call on settlements (call);
create index settlements_of_run on settlements (run, counted_at) where run is not null;

create function usage_day(moment timestamptz) returns date
language sql immutable parallel safe as $$ select (moment at time zone 'UTC')::date $$;

-- Adds newly posted settlements to the rollup. It is the last step of a posting, because its lock is kept until the commit.
create function count_usage(fresh text[]) returns void
language plpgsql as $$
begin
  -- Two postings that both name a run for the first time on a day would both count it, so postings of a project take turns here.
  perform pg_advisory_xact_lock(hashtextextended('usage:' || project, 0))
  from (select distinct project from settlements where attempt = any(fresh) order by project) projects;

  with added as materialized (
    select s.*, usage_day(counted_at) as day, coalesce(agent, '') as of_agent from settlements s where attempt = any(fresh)
  ), run_days as materialized (
    -- Runs on days on which none was named before.
    select distinct a.organisation, a.day, a.project, a.of_agent, a.run from added a
    where a.run is not null and not exists (
      select from settlements e where e.run = a.run and e.attempt not in (select attempt from added)
        and e.counted_at >= a.day::timestamp at time zone 'UTC' and e.counted_at < (a.day + 1)::timestamp at time zone 'UTC')
  ), call_days as materialized (
    select distinct a.organisation, a.day, a.project, a.of_agent, a.call from added a
    where not exists (
      select from settlements e where e.call = a.call and e.attempt not in (select attempt from added) and usage_day(e.counted_at) = a.day)
  ), spans as (
    -- The day itself where the run or call has another one, and one day of before: if there were more, they are rows already.
    insert into usage_spans (kind, subject, day, organisation, project, agent)
    select 'run', r.run, d.day, r.organisation, r.project, r.of_agent
    from run_days r cross join lateral (
      (select r.day where exists (select from settlements e where e.run = r.run and e.counted_at < r.day::timestamp at time zone 'UTC')
         or exists (select from settlements e where e.run = r.run and e.counted_at >= (r.day + 1)::timestamp at time zone 'UTC'))
      union all
      (select usage_day(e.counted_at) from settlements e where e.run = r.run and e.attempt not in (select attempt from added)
         and e.counted_at < r.day::timestamp at time zone 'UTC' order by e.counted_at desc limit 1)
      union all
      (select usage_day(e.counted_at) from settlements e where e.run = r.run and e.attempt not in (select attempt from added)
         and e.counted_at >= (r.day + 1)::timestamp at time zone 'UTC' order by e.counted_at limit 1)) d
    union
    select 'call', c.call, d.day, c.organisation, c.project, c.of_agent
    from call_days c cross join lateral (
      (select c.day where exists (select from settlements e where e.call = c.call and usage_day(e.counted_at) <> c.day))
      union all
      (select usage_day(e.counted_at) from settlements e where e.call = c.call and e.attempt not in (select attempt from added)
         and usage_day(e.counted_at) <> c.day)) d
    order by 1, 2, 3
    on conflict do nothing
  ), sums as (
    select organisation, day, project, of_agent, count(*) as attempts, sum(prompt_tokens) as prompt_tokens,
      sum(cached_tokens) as cached_tokens, sum(output_tokens) as output_tokens, sum(amount_nano) as amount_nano,
      sum(suspense_nano) as suspense_nano
    from added group by 1, 2, 3, 4
  ), run_counts as (select organisation, day, project, of_agent, count(*) as runs from run_days group by 1, 2, 3, 4
  ), call_counts as (select organisation, day, project, of_agent, count(*) as calls from call_days group by 1, 2, 3, 4
  )
  insert into usage_days as u (organisation, day, project, agent, attempts, calls, runs, prompt_tokens, cached_tokens, output_tokens,
    amount_nano, suspense_nano)
  select organisation, day, project, of_agent, attempts, coalesce(calls, 0), coalesce(runs, 0), prompt_tokens, cached_tokens,
    output_tokens, amount_nano, suspense_nano
  from sums left join run_counts using (organisation, day, project, of_agent) left join call_counts using (organisation, day, project, of_agent)
  order by 1, 2, 3, 4
  on conflict (organisation, day, project, agent) do update set
    attempts = u.attempts + excluded.attempts, calls = u.calls + excluded.calls, runs = u.runs + excluded.runs,
    prompt_tokens = u.prompt_tokens + excluded.prompt_tokens, cached_tokens = u.cached_tokens + excluded.cached_tokens,
    output_tokens = u.output_tokens + excluded.output_tokens, amount_nano = u.amount_nano + excluded.amount_nano,
    suspense_nano = u.suspense_nano + excluded.suspense_nano;
end
$$;

-- What was settled before.
insert into usage_days
select organisation, usage_day(counted_at), project, coalesce(agent, ''), count(*), count(distinct call), count(distinct run),
  sum(prompt_tokens), sum(cached_tokens), sum(output_tokens), sum(amount_nano), sum(suspense_nano)
from settlements group by 1, 2, 3, 4;
insert into usage_spans
select kind, subject, day, organisation, project, agent from (
  select distinct k.kind, k.subject, usage_day(counted_at) as day, organisation, project, coalesce(agent, '') as agent,
    min(usage_day(counted_at)) over w <> max(usage_day(counted_at)) over w as several
  from settlements cross join lateral (values ('run', run), ('call', call)) k(kind, subject)
  where k.subject is not null window w as (partition by k.kind, k.subject)) d
where several;

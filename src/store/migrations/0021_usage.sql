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
    -- Runs by day: whether the day has counted them before, and whether they have other days. Conditions stand in the list, so that each
    -- is one look into an index. Rows of this posting are known by their batch, which those of the path before leases have not.
    select d.*, exists (
        select from settlements e where e.run = d.run and case when d.batch is null then e.attempt <> all(fresh) else e.batch is distinct from d.batch end
          and e.counted_at >= d.day::timestamp at time zone 'UTC' and e.counted_at < (d.day + 1)::timestamp at time zone 'UTC') as is_counted,
      exists (select from settlements e where e.run = d.run and e.counted_at < d.day::timestamp at time zone 'UTC')
        or exists (select from settlements e where e.run = d.run and e.counted_at >= (d.day + 1)::timestamp at time zone 'UTC') as has_others
    from (select distinct organisation, day, project, of_agent, run, batch from added where run is not null) d
  ), call_days as materialized (
    select d.*, e.is_counted, e.has_others
    from (select distinct organisation, day, project, of_agent, call, batch from added) d
    cross join lateral (
      select bool_or(usage_day(e.counted_at) = d.day
          and case when d.batch is null then e.attempt <> all(fresh) else e.batch is distinct from d.batch end) as is_counted,
        bool_or(usage_day(e.counted_at) <> d.day) as has_others
      from settlements e where e.call = d.call) e
  ), spans as (
    -- The day itself where the run or call has another one, and one day of before: if there were more, they are rows already.
    insert into usage_spans (kind, subject, day, organisation, project, agent)
    select 'run', r.run, d.day, r.organisation, r.project, r.of_agent
    from run_days r cross join lateral (
      (select r.day)
      union all
      (select usage_day(e.counted_at) from settlements e where e.run = r.run and not e.attempt = any(fresh)
         and e.counted_at < r.day::timestamp at time zone 'UTC' order by e.counted_at desc limit 1)
      union all
      (select usage_day(e.counted_at) from settlements e where e.run = r.run and not e.attempt = any(fresh)
         and e.counted_at >= (r.day + 1)::timestamp at time zone 'UTC' order by e.counted_at limit 1)) d
    where r.has_others and not r.is_counted
    union
    select 'call', c.call, d.day, c.organisation, c.project, c.of_agent
    from call_days c cross join lateral (
      (select c.day)
      union all
      (select usage_day(e.counted_at) from settlements e where e.call = c.call and not e.attempt = any(fresh)
         and usage_day(e.counted_at) <> c.day)) d
    where c.has_others and not c.is_counted
    order by 1, 2, 3
    on conflict do nothing
  ), sums as (
    select organisation, day, project, of_agent, count(*) as attempts, sum(prompt_tokens) as prompt_tokens,
      sum(cached_tokens) as cached_tokens, sum(output_tokens) as output_tokens, sum(amount_nano) as amount_nano,
      sum(suspense_nano) as suspense_nano
    from added group by 1, 2, 3, 4
  ), run_counts as (select organisation, day, project, of_agent, count(*) as runs from run_days where not is_counted group by 1, 2, 3, 4
  ), call_counts as (select organisation, day, project, of_agent, count(*) as calls from call_days where not is_counted group by 1, 2, 3, 4
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

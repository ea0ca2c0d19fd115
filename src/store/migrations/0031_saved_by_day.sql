-- What caches have saved, in the rollup of the bill, so that the overview of a month reads days and not settlements. It is a figure and
-- moves no money.

-- What so many cached tokens of a prompt would have cost more, in millionths of a nano: by the tier of the prompt where its card has tiers.
create function cache_saving(cached bigint, prompt bigint, card rate_cards) returns numeric
language sql immutable parallel safe as $$
  select cached * coalesce(
    case when card.more ? 'tiers' then (
      select (tier ->> 'input')::numeric - (tier ->> 'cached')::numeric from jsonb_array_elements(card.more -> 'tiers') tier
      where prompt > (tier ->> 'above')::bigint order by (tier ->> 'above')::bigint desc limit 1) end,
    card.input_nano_per_million::numeric - card.cached_nano_per_million)
$$;

-- Without a bound of digits: a figure must not keep a settlement from being posted.
alter table usage_days add column saved_nano_millionths numeric not null default 0;

update usage_days u set saved_nano_millionths = s.saved
from (
  select s.organisation, usage_day(s.counted_at) as day, s.project, coalesce(s.agent, '') as agent,
    sum(cache_saving(s.cached_tokens, s.prompt_tokens, r)) as saved
  from settlements s join rate_cards r on r.id = s.rate_card where s.cached_tokens > 0 group by 1, 2, 3, 4) s
where u.organisation = s.organisation and u.day = s.day and u.project = s.project and u.agent = s.agent;

-- Adds newly posted settlements to the rollup. It is the last step of a posting, because its lock is kept until the commit.
create or replace function count_usage(fresh text[]) returns void
language plpgsql as $$
begin
  -- Two postings that both name a run for the first time on a day would both count it, so postings of a project take turns here.
  perform pg_advisory_xact_lock(hashtextextended('usage:' || project, 0))
  from (select distinct project from settlements where attempt = any(fresh) order by project) projects;

  with added as materialized (
    select s.*, usage_day(counted_at) as day, coalesce(agent, '') as of_agent,
      cache_saving(s.cached_tokens, s.prompt_tokens, r) as saved
    from settlements s left join rate_cards r on r.id = s.rate_card where attempt = any(fresh)
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
      sum(suspense_nano) as suspense_nano, coalesce(sum(saved), 0) as saved_nano_millionths
    from added group by 1, 2, 3, 4
  ), run_counts as (select organisation, day, project, of_agent, count(*) as runs from run_days where not is_counted group by 1, 2, 3, 4
  ), call_counts as (select organisation, day, project, of_agent, count(*) as calls from call_days where not is_counted group by 1, 2, 3, 4
  )
  insert into usage_days as u (organisation, day, project, agent, attempts, calls, runs, prompt_tokens, cached_tokens, output_tokens,
    amount_nano, suspense_nano, saved_nano_millionths)
  select organisation, day, project, of_agent, attempts, coalesce(calls, 0), coalesce(runs, 0), prompt_tokens, cached_tokens,
    output_tokens, amount_nano, suspense_nano, saved_nano_millionths
  from sums left join run_counts using (organisation, day, project, of_agent) left join call_counts using (organisation, day, project, of_agent)
  order by 1, 2, 3, 4
  on conflict (organisation, day, project, agent) do update set
    attempts = u.attempts + excluded.attempts, calls = u.calls + excluded.calls, runs = u.runs + excluded.runs,
    prompt_tokens = u.prompt_tokens + excluded.prompt_tokens, cached_tokens = u.cached_tokens + excluded.cached_tokens,
    output_tokens = u.output_tokens + excluded.output_tokens, amount_nano = u.amount_nano + excluded.amount_nano,
    suspense_nano = u.suspense_nano + excluded.suspense_nano,
    saved_nano_millionths = u.saved_nano_millionths + excluded.saved_nano_millionths;
end
$$;

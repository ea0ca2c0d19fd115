// Money of an organisation whose place is not settled yet, by name: what processes have leased, and what stands in suspense. And up to
// when everything is posted, so that a bill can say whether its period is closed.
import { namedAtMost } from "./limits.ts";
import type { Queryable } from "../store/index.ts";

/** Money that processes have taken from a budget and not given back: it may be spent, held, or free. */
interface LeaseOut {
  budget: string;
  /** kind:id of the budget's scope. */
  scope: string;
  currency: string;
  outNano: bigint;
  processes: number;
}

/** An amount whose payer is not known yet. */
interface SuspenseItem {
  id: string;
  /** lost_lease: of a process that is gone. over_hold, unanswered: an engine's possible claim. quarantine: a record that was refused. */
  kind: "lost_lease" | "over_hold" | "unanswered" | "quarantine";
  /** The model, or the budget of a lease. */
  subject: string;
  currency: string;
  /** What stands in suspense of it now. */
  leftNano: bigint;
  reason: string;
  createdAt: Date;
}

export interface Standing {
  /** Everything that counts before this moment is posted, or stands in suspense. */
  completeThrough: Date;
  /** By budget, largest first. */
  leased: LeaseOut[];
  /** Newest first; the oldest beyond a bound are left out. */
  suspense: SuspenseItem[];
  suspenseCount: number;
}

/**
 * What stands out of an organisation, or of the whole instance (null). Records of fenced epochs are in suspense, so these are not waited
 * for.
 */
export async function readStanding(db: Queryable, organisation: string | null): Promise<Standing> {
  const through = await db.query<{ through: Date }>(
    `select least(date_trunc('milliseconds', now()), min(coalesce(s.complete_through, e.started_at))) as through
     from spools s join epochs e on e.id = s.epoch where s.state = 'open' and e.state = 'live'`,
  );
  const leases = await db.query<{ budget: string; scope: string; currency: string; out: bigint; processes: bigint }>(
    `select b.id as budget, b.scope, b.currency, sum(l.out_nano) as out, count(distinct l.epoch) as processes
     from leases l join budgets b on b.id = l.budget
     where l.out_nano > 0 and ($1::text is null or b.organisation = $1)
     group by b.id order by 4 desc, 1 limit $2`,
    [organisation, namedAtMost],
  );
  const items = await db.query<{
    id: string;
    kind: SuspenseItem["kind"];
    subject: string;
    currency: string;
    left: bigint;
    reason: string;
    created_at: Date;
    count: bigint;
  }>(
    `select id, kind, subject, currency, amount_nano - drawn_nano as left, reason, created_at, count(*) over () as count
     from suspense where amount_nano > drawn_nano and ($1::text is null or organisation = $1)
     order by created_at desc, id limit $2`,
    [organisation, namedAtMost],
  );
  return {
    completeThrough: through.rows[0]!.through,
    leased: leases.rows.map(({ out, processes, ...row }) => ({ ...row, outNano: out, processes: Number(processes) })),
    suspense: items.rows.map(({ left, created_at, count: _count, ...row }) => ({
      ...row,
      leftNano: left,
      createdAt: created_at,
    })),
    suspenseCount: Number(items.rows[0]?.count ?? 0),
  };
}

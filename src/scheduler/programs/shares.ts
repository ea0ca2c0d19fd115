// Parts of a capacity for tenants that want more than there is: max-min fair shares. Every tenant gets what it wants as far as that is no
// more than an equal share, and what such tenants leave is shared equally among the others, so that no part lies idle while a tenant wants it.

/** The part of each tenant. `demands` and parts are in the capacity's unit, for example tokens. Parts add up to the capacity at most. */
export function fairParts(demands: ReadonlyMap<string, number>, capacity: number): Map<string, number> {
  const parts = new Map<string, number>();
  let left = capacity;
  let tenants = demands.size;
  for (const [tenant, demand] of [...demands].toSorted(([, a], [, b]) => a - b)) {
    const part = Math.min(demand, left / tenants);
    parts.set(tenant, part);
    left -= part;
    tenants--;
  }
  return parts;
}

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Demand, type Department, planQuota, type Pool } from "./quota.ts";
import { runs } from "../../../test/setup/runs.ts";

const pools: Pool[] = [
  { chip: "h100", chips: 8 },
  { chip: "a100", chips: 16 },
];
const research: Department = { name: "research", guaranteed: { h100: 4, a100: 4 } };
const support: Department = { name: "support", guaranteed: { h100: 4, a100: 8 } };

function demand(id: string, department: string, replicas: number, more: Partial<Demand> = {}): Demand {
  return {
    id,
    department,
    replicas,
    options: [
      { chip: "h100", chipsPerReplica: 1, speed: 3 },
      { chip: "a100", chipsPerReplica: 2, speed: 2 },
    ],
    priority: 0,
    preemptible: true,
    running: {},
    startedMs: 0,
    ...more,
  };
}

describe("quota plan", () => {
  it("gives each department its guarantee first, on the chips that do most for it", () => {
    const plan = planQuota(
      pools,
      [research, support],
      [demand("train", "research", 6), demand("serve", "support", 5, { preemptible: false })],
    );
    expect(plan.grants).toEqual([
      { demand: "train", chip: "h100", replicas: 4, borrowed: 0 },
      { demand: "train", chip: "a100", replicas: 2, borrowed: 0 },
      { demand: "serve", chip: "h100", replicas: 4, borrowed: 0 },
      { demand: "serve", chip: "a100", replicas: 1, borrowed: 0 },
    ]);
  });

  it("lends what others leave, and only to work that can be interrupted", () => {
    const lent = planQuota(pools, [research, support], [demand("batch", "research", 100)]);
    expect(lent.grants).toEqual([
      { demand: "batch", chip: "h100", replicas: 8, borrowed: 4 },
      { demand: "batch", chip: "a100", replicas: 8, borrowed: 6 },
    ]);
    expect(lent.unmet).toEqual({ batch: 84 });
    const firm = planQuota(pools, [research, support], [demand("serve", "research", 100, { preemptible: false })]);
    expect(firm.grants.map(({ replicas }) => replicas)).toEqual([4, 2]);
  });

  it("asks lent chips back when their owner needs them, lowest priority first", () => {
    const running = { h100: 4, a100: 0 };
    const plan = planQuota(
      pools,
      [research, support],
      [
        demand("high", "research", 4, { priority: 5, running }),
        demand("low", "research", 4, {
          running: { h100: 4 },
          options: [{ chip: "h100", chipsPerReplica: 1, speed: 3 }],
        }),
        demand("serve", "support", 3, { preemptible: false }),
      ],
    );
    expect(plan.stop).toEqual([{ demand: "low", chip: "h100", replicas: 3, reason: "lent chips are asked back" }]);
    expect(plan.start).toEqual([{ demand: "serve", chip: "h100", replicas: 3 }]);
  });

  it("lends by weight", () => {
    const heavy: Department = { name: "heavy", guaranteed: {}, weight: 3 };
    const light: Department = { name: "light", guaranteed: {} };
    const one = [{ chip: "h100", chipsPerReplica: 1, speed: 1 }];
    const plan = planQuota(
      [{ chip: "h100", chips: 8 }],
      [heavy, light],
      [demand("a", "heavy", 9, { options: one }), demand("b", "light", 9, { options: one })],
    );
    expect(plan.grants.map(({ demand, replicas }) => [demand, replicas])).toEqual([
      ["a", 6],
      ["b", 2],
    ]);
  });

  it("refuses to guarantee more than there is", () => {
    expect(() => planQuota([{ chip: "h100", chips: 7 }], [research, support], [])).toThrow(/8 chips of h100/);
  });

  const anyDemand = fc.record({
    department: fc.constantFrom("research", "support"),
    replicas: fc.nat(8),
    priority: fc.nat(2),
    preemptible: fc.boolean(),
    sizes: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
    running: fc.tuple(fc.nat(3), fc.nat(3)),
    startedMs: fc.nat(100),
  });

  it("never gives out more than there is, keeps guarantees, leaves nothing idle that fits, and moves nothing twice", () => {
    fc.assert(
      fc.property(fc.array(anyDemand, { maxLength: 6 }), (list) => {
        const demands = list.map(({ sizes, running, ...rest }, at) =>
          demand(`d${at}`, rest.department, rest.replicas, {
            ...rest,
            options: [
              { chip: "h100", chipsPerReplica: sizes[0], speed: 3 },
              { chip: "a100", chipsPerReplica: sizes[1], speed: 2 },
            ],
            running: { h100: running[0], a100: running[1] },
          }),
        );
        const plan = planQuota(pools, [research, support], demands);
        const sizeOf = (id: string, chip: string) =>
          demands.find((demand) => demand.id === id)!.options.find((option) => option.chip === chip)!.chipsPerReplica;
        const used: Record<string, number> = { h100: 0, a100: 0 };
        for (const { demand, chip, replicas } of plan.grants) used[chip]! += replicas * sizeOf(demand, chip);
        for (const { chip, chips } of pools) expect(used[chip]).toBeLessThanOrEqual(chips);
        for (const { id, preemptible, options, department } of demands) {
          if ((plan.unmet[id] ?? 0) === 0) continue;
          const owner = department === "research" ? research : support;
          for (const { chip, chipsPerReplica } of options) {
            const idle = pools.find((pool) => pool.chip === chip)!.chips - used[chip]!;
            if (preemptible) expect(idle).toBeLessThan(chipsPerReplica);
            const own = plan.grants.filter(
              (grant) =>
                grant.chip === chip && demands.find((demand) => demand.id === grant.demand)!.department === department,
            );
            const within = own.reduce(
              (sum, grant) => sum + (grant.replicas - grant.borrowed) * sizeOf(grant.demand, chip),
              0,
            );
            expect(owner.guaranteed[chip]! - within).toBeLessThan(chipsPerReplica);
          }
        }
        const after = demands.map((demand) => ({
          ...demand,
          running: Object.fromEntries(
            plan.grants.filter((grant) => grant.demand === demand.id).map((grant) => [grant.chip, grant.replicas]),
          ),
        }));
        const again = planQuota(pools, [research, support], after);
        expect([again.start, again.stop]).toEqual([[], []]);
      }),
      { numRuns: runs(300) },
    );
  });
});

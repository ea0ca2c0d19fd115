// What another gateway does to the cost of later calls: as much as it places calls at the same endpoint, and nothing by being there.
import { expect, it } from "vitest";
import { seededRng } from "../rng.ts";
import { Scheduler } from "../scheduler.ts";
import { exampleCall, exampleSpec } from "./conformance.ts";
import { Traffic } from "./traffic.ts";

/** What `later` costs at a gateway after three busy minutes, beside a peer that places `peerCalls` calls a step. */
function laterMs(peerCalls: number | undefined, peerDeployment = "d"): number {
  const make = (gateway: string) => new Scheduler({ rng: seededRng(1), gateway, shareLoad: true });
  const [own, peer] = [make("own"), make("peer")];
  own.apply({ at: 0, type: "endpoint_joined", spec: exampleSpec("e") });
  const id = peerDeployment === "d" ? "e" : "f";
  peer.apply({ at: 0, type: "endpoint_joined", spec: exampleSpec(id, { deployment: peerDeployment }) });
  let ms = 0;
  for (let step = 0; step < 720; step++) {
    const at = step * 250;
    const call = exampleCall({ id: `o${step}` });
    for (const action of own.decide(call, at)) if (action.type === "place") ms = action.decision.terms["laterMs"]!;
    for (let i = 0; i < (peerCalls ?? 0); i++)
      peer.decide(exampleCall({ id: `p${step}.${i}`, deployment: peerDeployment }), at);
    own.apply({ at: at + 50, type: "call_prefilled", call: call.id });
    for (let i = 0; i < (peerCalls ?? 0); i++)
      peer.apply({ at: at + 50, type: "call_prefilled", call: `p${step}.${i}` });
    const messages = [...own.tick(at + 100), ...(peerCalls === undefined ? [] : peer.tick(at + 100))];
    for (const action of messages) {
      if (action.type !== "share_load") continue;
      for (const gateway of [own, peer]) gateway.apply({ at: at + 100, type: "peer_load", message: action.message });
    }
    own.apply({ at: at + 200, type: "call_ended", call: call.id, reason: "done" });
    for (let i = 0; i < (peerCalls ?? 0); i++)
      peer.apply({ at: at + 200, type: "call_ended", call: `p${step}.${i}`, reason: "done" });
  }
  return ms;
}

it("a standby gateway, and one of other deployments, make later calls no dearer", () => {
  const alone = laterMs(undefined);
  expect(alone).toBeGreaterThan(0);
  expect(laterMs(0) / alone).toBeCloseTo(1, 1);
  expect(laterMs(1, "other") / alone).toBeCloseTo(1, 1);
});

it("a gateway that places as many calls at the endpoint counts for as much", () => {
  const [alone, beside] = [laterMs(undefined), laterMs(1)];
  // Twice the calls, and an endpoint that is twice as busy: at 0.4 busy alone, (2 / 0.2) / (1 / 0.6) = 6 times.
  expect(beside / alone).toBeGreaterThan(2);
  expect(beside / alone).toBeLessThan(8);
});

it("counts what peers place to the last call and token, however little of it this gateway places itself", () => {
  const [few, all] = [new Traffic(), new Traffic()];
  const spec = exampleSpec("e");
  const load = { prefillTokens: 0, kvTokens: 0, inFlight: 0, prefilling: 0 };
  const look = (traffic: Traffic, now: number, peersPlaced: number, peersPlacedTokens: number, places: boolean) => {
    const endpoint = { slot: 0, spec, health: "ready" as const, load: { ...load, peersPlaced, peersPlacedTokens } };
    const call = exampleCall({ id: `${now}`, promptTokens: 600 + (now % 7) * 100 });
    const matched = new Float64Array(4);
    const view = {
      call,
      now,
      count: 1,
      endpoints: [endpoint],
      matched,
      matchedTokens: matched,
      expectedTokens: matched,
    };
    traffic.arrived(view);
    const perMs = traffic.laterPerMs(endpoint);
    if (places) traffic.placed(view, 0, true);
    return { perMs, tokens: call.promptTokens };
  };
  let [calls, tokens, seen] = [0, 0, { few: 0, all: 0 }];
  for (let now = 0; now < 60_000; now += 250) {
    const mine = now % 2000 === 0;
    seen = { few: look(few, now, calls, tokens, mine).perMs, all: look(all, now, 0, 0, true).perMs };
    if (!mine) calls++;
    if (!mine) tokens += 600 + (now % 7) * 100;
  }
  expect(seen.few / seen.all).toBeGreaterThan(0.97);
  expect(seen.few / seen.all).toBeLessThan(1.03);
});

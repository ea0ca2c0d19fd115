// The gateway alone: its pipeline over scripted engines that stop and count, with the money in memory and no database.
import { createOpenAiEngine, EngineRegistry, type Engine } from "../../engines/index.ts";
import { scriptedEngine, type Script, type ScriptedEngine, type ScriptedRoutes } from "../../engines/testing.ts";
import { testPrincipal } from "../../governance/testing.ts";
import type { RateCard } from "../../ledger/index.ts";
import { Alarms, createLogger, createMetrics } from "../../telemetry/index.ts";
import type { ModelCall } from "../modelCall.ts";
import { createGateway } from "../pipeline.ts";
import { chat } from "../protocols/chat/index.ts";
import { decodeAs } from "../protocols/testing.ts";
import type { CallRequest, Gateway, GatewayDependencies } from "../types.ts";
import { MemoryLedger } from "./memoryLedger.ts";

/** Whole nanos per token: 3 of prompt, 1 of cached, 7 of output. */
export const card: RateCard = {
  id: "card_1",
  model: "scripted",
  version: 1,
  currency: "USD",
  inputNanoPerMillion: 3_000_000n,
  cachedNanoPerMillion: 1_000_000n,
  outputNanoPerMillion: 7_000_000n,
};

export interface MemoryGateway extends AsyncDisposable {
  ledger: MemoryLedger;
  gateway: Gateway;
  engine: ScriptedEngine;
  engines: EngineRegistry;
  alarms: string[];
  /** A call of chat completions. */
  request(body?: Record<string, unknown>, more?: Partial<CallRequest>): CallRequest;
  /** A call of any API. */
  requestOf(asked: ModelCall, more?: Partial<CallRequest>): CallRequest;
}

/**
 * `owner`: what the engine says that it is (`owned_by`); SGLang by default, which stops and counts. `engineRoutes`: the engine has, beside
 * chat and completions. `shape` and `open`: the API that it speaks in their place, and what asks it.
 */
export async function memoryGateway({
  script = {},
  owner = "sglang",
  routes,
  engineRoutes = {},
  shape,
  open: openAt = (url) => createOpenAiEngine({ url, model: "scripted" }),
  cardOf = () => card,
  limiter,
}: {
  script?: Script;
  owner?: string;
  routes?: GatewayDependencies["routes"];
  engineRoutes?: ScriptedRoutes["routes"];
  shape?: ScriptedRoutes["shape"];
  open?: (url: string) => Engine;
  cardOf?: (model: string) => RateCard | undefined;
  limiter?: GatewayDependencies["limiter"];
} = {}): Promise<MemoryGateway> {
  const own = { routes: engineRoutes, card: { owned_by: owner }, ...(shape && { shape }) };
  const engine = await scriptedEngine(script, ["scripted"], 0, own);
  const engines = new EngineRegistry();
  const open = openAt(engine.url);
  engines.add("scripted", open, { kind: "openai", model: "scripted", facts: await open.probe() });
  const ledger = new MemoryLedger();
  const log = createLogger({ level: "silent" });
  const metrics = createMetrics({ process: false });
  const alarms: string[] = [];
  const raised = new Alarms({ log, metrics });
  raised.raise = ({ code }) => void alarms.push(code);
  const gateway = createGateway({
    ledger: Object.assign(ledger, { currentRateCard: async (_organisation: string, model: string) => cardOf(model) }),
    keys: { watch: () => () => {} },
    engines,
    routes,
    limiter,
    events: { publish: () => {} },
    metrics,
    alarms: raised,
    log,
  });
  const requestOf: MemoryGateway["requestOf"] = (asked, more = {}) => ({ principal: testPrincipal(), asked, ...more });
  return {
    ledger,
    gateway,
    engine,
    engines,
    alarms,
    request(body = {}, more = {}) {
      const asked = { model: "scripted", messages: [{ role: "user", content: "hi" }], ...body };
      return requestOf(decodeAs(chat, asked), more);
    },
    requestOf,
    async [Symbol.asyncDispose]() {
      await gateway.close({ graceMs: 0 });
      await engines.close();
      await engine[Symbol.asyncDispose]();
    },
  };
}

// Generator of chats of many tenants: each tenant's application has a system prompt of its own, a few tenants have most of the chats, some
// messages carry a whole document, and chats begin in bursts that belong mostly to one tenant. Closed loop: a person answers a while
// after an answer has ended.
import { Random } from "../../random.ts";
import type { Workload } from "../../types.ts";
import { WorkloadBuilder } from "../builder.ts";
import { growPrompts, sharedStart } from "./growing.ts";

interface TenantChatOptions {
  chats: number;
  seed: number;
  tenants?: number;
  /** Exponent of Zipf's law of the tenants' shares. */
  popularity?: number;
  /** Chance that a chat belongs to the tenant of the chat before it. */
  sameTenant?: number;
  /** Mean tokens of a system prompt, a short message, a document, and an answer; share of messages with a document. */
  systemTokens?: number;
  messageTokens?: number;
  documentTokens?: number;
  documentShare?: number;
  outputTokens?: number;
  /** Mean number of messages of a chat, and mean time from an answer to the next message. */
  turns?: number;
  thinkS?: number;
  /** Mean time between the starts of chats, and its coefficient of variation. */
  startGapS?: number;
  startCv?: number;
  blockTokens?: number;
}

export function tenantChats(options: TenantChatOptions): Workload {
  const { chats, seed, tenants = 20, popularity = 1, sameTenant = 0.6, blockTokens = 128 } = options;
  const { systemTokens = 1500, messageTokens = 120, documentTokens = 6000, documentShare = 0.12 } = options;
  const { outputTokens = 300, turns = 4, thinkS = 15, startGapS = 1, startCv = 3 } = options;
  const builder = new WorkloadBuilder("tenant chats", blockTokens);
  const random = Random.stream(seed, "tenant chats");
  const tokens = (mean: number, spread: number): number => Math.max(1, Math.round(random.lognormal(mean, spread)));
  const systems = Array.from({ length: tenants }, () => sharedStart(builder, tokens(systemTokens, 0.8), blockTokens));
  const tenantOf = random.zipf(tenants, popularity);
  let tenant = tenantOf();
  let startMs = 0;
  for (let chat = 0; chat < chats; chat++) {
    if (random.next() >= sameTenant) tenant = tenantOf();
    const count = 1 + Math.floor(random.exponential(turns - 0.5));
    const plan = Array.from({ length: Math.min(count, turns * 5) }, () => ({
      addedTokens: random.next() < documentShare ? tokens(documentTokens, 0.8) : tokens(messageTokens, 0.8),
      outputTokens: tokens(outputTokens, 0.9),
    }));
    let before = -1;
    growPrompts(builder, systems[tenant]!, plan, blockTokens).forEach((prompt, turn) => {
      const call = builder.add({
        tenant: `tenant ${tenant}`,
        program: `chat ${chat}`,
        ...prompt,
        after: before < 0 ? [] : [before],
        delayMs: before < 0 ? startMs : random.exponential(thinkS * 1000),
        then: turn === plan.length - 1 ? "end" : "turn",
      });
      before = call.index;
    });
    startMs += random.gap(startGapS * 1000, startCv);
  }
  return builder.build();
}

// GET /api/events: live events as server-sent events. A reader that comes back with Last-Event-ID gets the events that it missed, as far
// as the ring still has them. A slow reader skips the events that the ring has dropped; no queue is kept for it.
import { createRoute } from "@hono/zod-openapi";
import { streamSSE } from "hono/streaming";
import { apiErrorBody } from "../http/respond.ts";
import { reachOf } from "../../governance/index.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { limits } from "../limits.ts";
import { keyRevoked, whyAborted } from "../../gateway/refusals.ts";
import { action, apiApp, ofProject } from "../apiApp.ts";
import { liveEvent } from "../../contract/index.ts";
import { liveResource } from "../resources/live.ts";

const route = createRoute({
  method: "get",
  path: "/api/events",
  authorise: action("events.read", ofProject),
  tags: ["Events"],
  summary: "What happens, as it happens: calls, runs, steps, components",
  responses: {
    200: {
      description: "Server-sent events; `event` is the type, `id` goes into Last-Event-ID, `data` is the object",
      content: { "text/event-stream": { schema: liveEvent } },
    },
  },
});

export function eventRoutes({ events, gateway, identity }: ServerDependencies) {
  return apiApp().raw(route, (c) => {
    const last = c.req.header("last-event-id");
    const { key } = c.var.principal;
    const [organisation, project] = reachOf(c.var.principal, "events.read");
    return streamSSE(c, async (stream) => {
      const gone = new AbortController();
      stream.onAbort(() => gone.abort());
      const revoked = new AbortController();
      const unwatch = identity.watch(key, () => revoked.abort(keyRevoked()));
      const reader = project === null ? { organisation } : { organisation, project };
      // The comment keeps proxies from closing a silent connection, and tells the reader that the feed stands.
      await stream.write(": connected\n\n");
      const heartbeat = setInterval(() => void stream.write(": \n\n").catch(() => gone.abort()), limits.heartbeatMs);
      try {
        const over = AbortSignal.any([gone.signal, gateway.closing, revoked.signal]);
        for await (const { id, event } of events.subscribe(reader, last, over)) {
          const shown = liveResource(event);
          await stream.writeSSE({ id, event: shown.type, data: JSON.stringify(shown) });
        }
        if (gone.signal.aborted) return;
        const why = whyAborted(over);
        const data = JSON.stringify(apiErrorBody(why, c.var.requestId));
        await stream.writeSSE({ event: "error", data, retry: (why.retryAfterSeconds ?? 0) * 1000 });
      } finally {
        clearInterval(heartbeat);
        unwatch();
      }
    });
  });
}

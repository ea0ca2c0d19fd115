// GET /api/events: live events as server-sent events. A reader that comes back with Last-Event-ID gets what it missed, as far
// as it is still kept. A slow reader skips what the ring has passed; nothing is queued for it.
import { createRoute } from "@hono/zod-openapi";
import { streamSSE } from "hono/streaming";
import { apiErrorBody } from "../http/respond.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { limits } from "../../gateway/limits.ts";
import { keyRevoked, whyAborted } from "../../gateway/refusals.ts";
import { apiApp } from "../helpers.ts";
import { liveEvent } from "../../contract/index.ts";

const route = createRoute({
  method: "get",
  path: "/api/events",
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
  const app = apiApp();
  app.openAPIRegistry.registerPath(route);
  app.get("/api/events", (c) => {
    const last = c.req.header("last-event-id");
    const { key, organisation, project, role } = c.var.principal;
    return streamSSE(c, async (stream) => {
      const gone = new AbortController();
      stream.onAbort(() => gone.abort());
      const revoked = new AbortController();
      const unwatch = identity.watch(key, () => revoked.abort(keyRevoked()));
      const reader = role === "owner" ? { organisation } : { organisation, project };
      // Proxies close what is silent, and a reader learns from it that the line stands.
      await stream.write(": connected\n\n");
      const heartbeat = setInterval(() => void stream.write(": \n\n").catch(() => gone.abort()), limits.heartbeatMs);
      try {
        const over = AbortSignal.any([gone.signal, gateway.closing, revoked.signal]);
        for await (const { id, event } of events.subscribe(reader, last, over))
          await stream.writeSSE({ id, event: event.type, data: JSON.stringify(event) });
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
  return app;
}

// Portkey's open gateway, as npm installs it. It streams only with @hono/node-server 1.13.8.
import { join } from "node:path";
import { answers, freePort } from "./run.ts";
import { install } from "./install.ts";
import { probe } from "./work.ts";
import type { Peer } from "./types.ts";

const installed = { from: "npm", packages: ["@portkey-ai/gateway@1.15.2", "@hono/node-server@1.13.8"] } as const;

export const portkey: Peer = {
  name: "Portkey",
  how: "as installed",
  installed,
  async start({ engineUrls: [engineUrl], run }) {
    const port = await freePort();
    const script = join(install(installed), "node_modules/@portkey-ai/gateway/build/start-server.js");
    const child = run(process.execPath, [script, `--port=${port}`, "--headless"]);
    const url = `http://127.0.0.1:${port}`;
    const headers = [
      ...["content-type", "application/json", "authorization", "Bearer scripted"],
      ...["x-portkey-provider", "openai", "x-portkey-custom-host", `${engineUrl}/v1`],
    ];
    await answers(child, url, headers, probe);
    return { url, pid: child.pid!, headers };
  },
};

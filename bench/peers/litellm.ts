// LiteLLM's proxy with one worker and nothing switched on: no keys, no database.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answers, freePort } from "./run.ts";
import { install } from "./install.ts";
import { probe } from "./work.ts";
import type { Peer } from "./types.ts";

// 1.110.2 asks for a package that the registry does not have.
const installed = { from: "pip", packages: ["litellm[proxy]==1.106.2"] } as const;

export const litellm: Peer = {
  name: "LiteLLM",
  how: "1 worker, no keys, no database",
  installed,
  async start({ engineUrls: [engineUrl], run }) {
    const folder = install(installed);
    const port = await freePort();
    const config = join(mkdtempSync(join(tmpdir(), "lineshaft-litellm-")), "config.yaml");
    const parameters = { model: "openai/scripted", api_base: `${engineUrl}/v1`, api_key: "scripted" };
    writeFileSync(
      config,
      JSON.stringify({
        model_list: [{ model_name: "scripted", litellm_params: parameters }],
        litellm_settings: { telemetry: false },
      }),
    );
    const child = run(
      "python3",
      [
        "-c",
        "from litellm import run_server; run_server()",
        "--config",
        config,
        "--host",
        "127.0.0.1",
        "--port",
        `${port}`,
        "--num_workers",
        "1",
      ],
      {
        PYTHONPATH: folder,
        LITELLM_LOCAL_MODEL_COST_MAP: "True",
        LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY: "true",
      },
    );
    const url = `http://127.0.0.1:${port}`;
    const headers = ["content-type", "application/json", "authorization", "Bearer scripted"];
    await answers(child, url, headers, probe);
    return { url, pid: child.pid!, headers };
  },
};

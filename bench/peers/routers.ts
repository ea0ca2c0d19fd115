// The routers that vLLM and SGLang publish: Rust behind a Python launcher, without keys, prices or records.
import { answers, freePort } from "./run.ts";
import { install } from "./install.ts";
import { probe } from "./work.ts";
import type { Peer } from "./types.ts";

const json = ["content-type", "application/json"];

function router(name: string, how: string, version: string, module: string, policy: string): Peer {
  const installed = { from: "pip", packages: [version] } as const;
  return {
    name,
    how,
    installed,
    routes: true,
    async start({ engineUrls, run }) {
      const port = await freePort();
      const metrics = await freePort();
      const child = run(
        "python3",
        [
          ...["-m", module, "--worker-urls", ...engineUrls, "--policy", policy],
          ...["--host", "127.0.0.1", "--port", `${port}`, "--prometheus-port", `${metrics}`],
        ],
        { PYTHONPATH: install(installed) },
      );
      const url = `http://127.0.0.1:${port}`;
      await answers(child, url, json, probe);
      return { url, pid: child.pid!, headers: json };
    },
  };
}

export const vllmRouter = router(
  "vllm-router",
  "round robin",
  "vllm-router==0.1.17",
  "vllm_router.launch_router",
  "round_robin",
);
export const sglangRouter = router(
  "sglang-router",
  "cache aware",
  "sglang-router==0.3.2",
  "sglang_router.launch_router",
  "cache_aware",
);

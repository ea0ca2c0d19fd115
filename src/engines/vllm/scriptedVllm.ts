// A scripted engine with the routes that only vLLM has, for tests: version, metrics, event sources, tokens. Their answers are those of
// vLLM 0.32 on CPU. Events come from a publisher on real ZeroMQ sockets (testing.ts).
import { scriptedEngine, type ScriptedEngine } from "../testing.ts";
import type { KvAddress } from "./sockets.ts";

const metrics = `vllm:prompt_tokens_created{engine="0",model_name="scripted"} 1.7953431911686845e+09
vllm:cache_config_info{block_size="32",kv_cache_memory_bytes="1073741824",kv_cache_size_tokens="46592",num_gpu_blocks="1456"} 1.0
`;

interface ScriptedVllm extends ScriptedEngine {
  /** From now on /models does not answer. */
  silence(): void;
}

/** Serves the model `scripted`; `events`: where its publisher is. */
export async function scriptedVllm(events?: KvAddress): Promise<ScriptedVllm> {
  let silent = false;
  const card = { id: "scripted", object: "model", owned_by: "vllm", max_model_len: 2048 };
  const source = {
    enable_kv_cache_events: events !== undefined,
    publisher: "zmq",
    endpoint: `tcp://*:${events?.port}`,
    replay_endpoint: events?.replayPort === undefined ? null : `tcp://*:${events.replayPort}`,
  };
  const engine = await scriptedEngine({}, ["scripted"], 0, {
    routes: {
      "GET /v1/models": () => (silent ? () => {} : { object: "list", data: [card] }),
      "GET /version": () => ({ version: "0.32.0" }),
      "GET /metrics": () => metrics,
      "POST /tokenize": () => ({ count: 3, max_model_len: 2048, tokens: [7, 8, 9] }),
      "GET /kv_event_sources": () => ({ "0": source }),
      "GET /server_info": () => ({ vllm_config: { scheduler_config: { max_num_seqs: 8 } } }),
    },
  });
  return Object.assign(engine, { silence: () => void (silent = true) });
}

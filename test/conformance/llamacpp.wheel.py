"""The server of llama.cpp out of the wheel `xllamacpp`, started by the arguments of its command `llama-server` that the suite uses.

The wheel holds the server's C++ sources as a library, so the bytes on the wire are those of the command.
"""

import argparse
import time
from pathlib import Path

import xllamacpp

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--alias", required=True)
parser.add_argument("--host", required=True)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--ctx-size", type=int, required=True)
parser.add_argument("--parallel", type=int, required=True)
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--api-key")
parser.add_argument("--chat-template-file", type=Path)
parser.add_argument("--no-prefill-assistant", action="store_true")
parser.add_argument("--kv-unified", action="store_true")
parser.add_argument("--embeddings", action="store_true")
parser.add_argument("--reranking", action="store_true")
args = parser.parse_args()

params = xllamacpp.CommonParams()
params.model.path = args.model
params.model_alias = {args.alias}
params.hostnames = [args.host]
params.port = args.port
params.n_ctx = args.ctx_size
params.n_parallel = args.parallel
params.cpuparams.n_threads = args.threads
params.prefill_assistant = not args.no_prefill_assistant
params.kv_unified = args.kv_unified
params.embedding = args.embeddings or args.reranking
if args.reranking:
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
if args.api_key is not None:
    params.api_keys = [args.api_key]
if args.chat_template_file is not None:
    params.chat_template = args.chat_template_file.read_text()

server = xllamacpp.Server(params)
while True:
    time.sleep(60)

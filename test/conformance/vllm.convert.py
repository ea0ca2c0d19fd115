"""Makes a folder that vLLM can serve from a GGUF file, which it no longer reads itself: weights in bfloat16, tokenizer, template.

python vllm.convert.py MODEL.gguf FOLDER     (in an environment with torch, transformers, gguf and accelerate)
"""

import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

source, target = sys.argv[1:]
folder, name = os.path.split(os.path.abspath(source))
model = AutoModelForCausalLM.from_pretrained(
    folder, gguf_file=name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
)
# Some versions leave it in; vLLM would then look for quantised weights.
if hasattr(model.config, "quantization_config"):
    del model.config.quantization_config
model.save_pretrained(target)
AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(target)

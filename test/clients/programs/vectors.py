"""Embeddings by LangChain, embeddings and rerank by LiteLLM as a client, which asks in the shapes of Cohere and of Jina."""

import json
import os

import litellm
from langchain_openai import OpenAIEmbeddings

address, key, model, ranker = (os.environ[name] for name in ("ADDRESS", "KEY", "MODEL", "RANKER"))
texts = ["a red apple", "an apple that is red", "seven ships at sea"]
chain = OpenAIEmbeddings(model=model, base_url=f"{address}/v1", api_key=key, check_embedding_ctx_length=False)
vectors = chain.embed_documents(texts)
lite = litellm.embedding(model=f"openai/{model}", input=texts, api_base=f"{address}/v1", api_key=key)


def ranked(provider, base):
    answer = litellm.rerank(
        model=f"{provider}/{ranker}", query="red apple", documents=texts, top_n=2, api_base=base, api_key=key
    )
    return [result["index"] for result in answer.results]


print(
    json.dumps(
        {
            "same": [one["embedding"] for one in lite.data] == vectors,
            "usage": {"prompt": lite.usage.prompt_tokens},
            "cohere": ranked("cohere", f"{address}/v2/rerank"),
            "jina": ranked("jina_ai", f"{address}/v1/rerank"),
        }
    )
)

# Pydantic AI. API: chat, responses, messages.
import asyncio
import json
import os

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput

env = os.environ


def model_of(name):
    if env["API"] == "messages":
        from anthropic import AsyncAnthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        client = AsyncAnthropic(base_url=env["ADDRESS"], api_key=env["KEY"], max_retries=0)
        return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    client = AsyncOpenAI(base_url=env["ADDRESS"] + "/v1", api_key=env["KEY"], max_retries=0)
    make = OpenAIChatModel if env["API"] == "chat" else OpenAIResponsesModel
    return make(name, provider=OpenAIProvider(openai_client=client))


class Plan(BaseModel):
    city: str
    days: int


async def main():
    model = model_of(env["MODEL"])
    said = {}
    whole = await Agent(model).run("Name a fruit.")
    usage = whole.usage() if callable(whole.usage) else whole.usage
    said["text"] = whole.output
    said["usage"] = {"prompt": usage.input_tokens, "output": usage.output_tokens}
    async with Agent(model).run_stream("Name a fruit.") as stream:
        said["streamed"] = "".join([text async for text in stream.stream_text(delta=True)])
    weather = Agent(model)

    @weather.tool_plain
    def get_weather(city: str) -> str:
        """Weather"""
        return f"Sunny in {city}."

    said["final"] = (await weather.run("What is the weather in Paris?")).output
    if env["API"] != "messages":
        said["object"] = (await Agent(model, output_type=NativeOutput(Plan)).run("Plan days in Paris.")).output.model_dump()
    try:
        await Agent(model_of("no-such-model")).run("x")
    except Exception as error:
        said["error"] = {"status": getattr(error, "status_code", None), "message": str(error)}
    print(json.dumps(said))


asyncio.run(main())

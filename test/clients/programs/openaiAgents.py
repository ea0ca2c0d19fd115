# The OpenAI Agents SDK in Python. API: chat, responses.
import asyncio
import json
import os

from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI
from pydantic import BaseModel

env = os.environ
set_tracing_disabled(True)
client = AsyncOpenAI(base_url=env["ADDRESS"] + "/v1", api_key=env["KEY"], max_retries=0)
kind = OpenAIChatCompletionsModel if env["API"] == "chat" else OpenAIResponsesModel


def model_of(name):
    return kind(model=name, openai_client=client)


class Plan(BaseModel):
    city: str
    days: int


@function_tool
def get_weather(city: str) -> str:
    """Weather"""
    return f"Sunny in {city}."


async def main():
    said = {}
    model = model_of(env["MODEL"])
    agent = Agent(name="fruit", model=model)
    whole = await Runner.run(agent, "Name a fruit.")
    usage = whole.raw_responses[0].usage
    said["text"] = whole.final_output
    said["usage"] = {"prompt": usage.input_tokens, "output": usage.output_tokens}
    stream = Runner.run_streamed(agent, "Name a fruit.")
    said["streamed"] = ""
    async for event in stream.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            said["streamed"] += event.data.delta
    weather = Agent(name="weather", model=model, tools=[get_weather])
    said["final"] = (await Runner.run(weather, "What is the weather in Paris?")).final_output
    plan = Agent(name="plan", model=model, output_type=Plan)
    said["object"] = (await Runner.run(plan, "Plan days in Paris.")).final_output.model_dump()
    try:
        await Runner.run(Agent(name="none", model=model_of("no-such-model")), "x")
    except Exception as error:
        said["error"] = {"status": getattr(error, "status_code", None), "message": str(error)}
    print(json.dumps(said))


asyncio.run(main())

# LangGraph's prebuilt agent over LangChain's OpenAI client, in Python. API: chat, responses.
import json
import os
import warnings

warnings.filterwarnings("ignore")
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent
from pydantic import BaseModel

env = os.environ


def model_of(name):
    responses = env["API"] == "responses"
    return ChatOpenAI(model=name, api_key=env["KEY"], base_url=env["ADDRESS"] + "/v1", max_retries=0, use_responses_api=responses)


class Plan(BaseModel):
    city: str
    days: int


def get_weather(city: str) -> str:
    """Weather"""
    return f"Sunny in {city}."


def text_of(message):
    return message.text() if callable(message.text) else message.text


llm = model_of(env["MODEL"])
said = {}
whole = llm.invoke("Name a fruit.")
said["text"] = str(text_of(whole))
said["usage"] = {"prompt": whole.usage_metadata["input_tokens"], "output": whole.usage_metadata["output_tokens"]}
said["streamed"] = "".join(str(text_of(chunk)) for chunk in llm.stream("Name a fruit."))
agent = create_react_agent(llm, [get_weather])
state = agent.invoke({"messages": [{"role": "user", "content": "What is the weather in Paris?"}]})
said["final"] = str(text_of(state["messages"][-1]))
said["object"] = llm.with_structured_output(Plan, method="json_schema").invoke("Plan days in Paris.").model_dump()
try:
    model_of("no-such-model").invoke("x")
except Exception as error:
    said["error"] = {"status": getattr(error, "status_code", None), "message": str(error)}
print(json.dumps(said))

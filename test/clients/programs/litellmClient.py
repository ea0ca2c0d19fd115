# LiteLLM as a client. API: chat, responses, messages, gemini.
import json
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

env = os.environ
litellm.suppress_debug_info = True
prefix = {"chat": "openai/", "responses": "openai/responses/", "messages": "anthropic/", "gemini": "gemini/"}[env["API"]]
base = env["ADDRESS"] + ("" if env["API"] in ("messages", "gemini") else "/v1")
if env["API"] == "gemini":
    base += "/v1beta"
usual = {"api_base": base, "api_key": env["KEY"], "num_retries": 0, "max_tokens": 1000}


def ask(content, model=env["MODEL"], **more):
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    return litellm.completion(model=prefix + model, messages=messages, **usual, **more)


said = {}
whole = ask("Name a fruit.")
said["text"] = whole.choices[0].message.content
said["usage"] = {"prompt": whole.usage.prompt_tokens, "output": whole.usage.completion_tokens}
said["streamed"] = "".join(chunk.choices[0].delta.content or "" for chunk in ask("Name a fruit.", stream=True))
parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
tools = [{"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": parameters}}]
asked = [{"role": "user", "content": "What is the weather in Paris?"}]
message = ask(asked, tools=tools).choices[0].message
call = message.tool_calls[0]
city = json.loads(call.function.arguments)["city"]
result = {"role": "tool", "tool_call_id": call.id, "name": "get_weather", "content": f"Sunny in {city}."}
said["final"] = ask([*asked, message.model_dump(), result], tools=tools).choices[0].message.content
try:
    ask("x", model="no-such-model")
except Exception as error:
    said["error"] = {"status": getattr(error, "status_code", None), "message": str(error)}
print(json.dumps(said))

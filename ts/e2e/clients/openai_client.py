"""Asks the edge as any program would that was written against OpenAI's API, and prints what came as one JSON object.

Arguments: the API's base URL and a model; the key is in UAIT_KEY.
"""

import json
import os
import sys

from openai import APIStatusError, OpenAI

base_url, model = sys.argv[1:]
client = OpenAI(base_url=base_url, api_key=os.environ["UAIT_KEY"], max_retries=0)
messages = [{"role": "user", "content": "Hello?"}]


def refusal(key: str) -> dict[str, object]:
    """What is said to a key that opens nothing."""
    try:
        OpenAI(base_url=base_url, api_key=key, max_retries=0).models.list()
    except APIStatusError as error:
        return {"class": type(error).__name__, "status": error.status_code, "code": error.code, "type": error.type}
    return {}


whole = client.chat.completions.create(
    model=model, messages=messages, temperature=0.5, seed=1, stop=["END"], max_tokens=9, n=1,
    response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
)
chunks = list(
    client.chat.completions.create(
        model=model, messages=messages, max_tokens=24, stream=True, stream_options={"include_usage": True}
    )
)
orchestrated = client.chat.completions.create(model="uait-orchestrator", messages=messages, max_tokens=24, reasoning_effort="low", stream=True)
print(
    json.dumps(
        {
            "models": [model.id for model in client.models.list()],
            "whole": whole.choices[0].message.content,
            "finish": whole.choices[0].finish_reason,
            "total": whole.usage.total_tokens,
            "streamed": "".join(c.choices[0].delta.content or "" for c in chunks if c.choices),
            "stream_total": chunks[-1].usage.total_tokens,
            "orchestrated": "".join(c.choices[0].delta.content or "" for c in orchestrated if c.choices),
            "refusal": refusal("nonsense"),
        }
    )
)

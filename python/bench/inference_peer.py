"""llama.cpp's own server, as the wheel xllamacpp has it.

For each line of stdin, `<prompt> TAB <output tokens>`, it prints a line of JSON.

Usage: inference_peer.py MODEL.gguf THREADS
"""

import json
import sys
import time

import xllamacpp  # type: ignore[import-not-found]  # in an environment of its own


def main() -> None:
    """Serves lines until stdin ends."""
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[2])
    params.n_ctx = 4096
    params.n_batch = params.n_ubatch = 512
    params.n_parallel = 1
    params.warmup = True
    params.cache_prompt = False
    params.verbosity = -1
    server = xllamacpp.Server(params)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        prompt, _, output = line.rstrip("\n").partition("\t")
        began = time.perf_counter()
        answer = server.handle_completions(
            {
                "prompt": prompt,
                "max_tokens": int(output),
                "temperature": 0,
                "top_k": 1,
                "ignore_eos": True,
                "cache_prompt": False,
                "timings_per_token": True,
            }
        )
        timings = answer["timings"]
        print(
            json.dumps(
                {
                    "output_tokens": timings["predicted_n"],
                    "input_per_second": timings["prompt_per_second"],
                    "output_per_second": timings["predicted_per_second"],
                    "elapsed": time.perf_counter() - began,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()

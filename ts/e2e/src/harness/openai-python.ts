import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { pythonPackages } from "./python-packages.js";
import { inRepository, program } from "./repository.js";

/** What PyPI's `openai` package was told, as `openai_client.py` prints it. */
export type OpenAiPython = Readonly<Record<"whole" | "streamed" | "orchestrated", string>> &
  Readonly<Record<string, unknown>>;

/** Asks an API by PyPI's `openai` package, of the version that the project pins. */
export async function askByOpenAiPython(url: string, model: string, key: string): Promise<OpenAiPython> {
  const packages = await pythonPackages(inRepository("ts/e2e/clients/openai.txt"));
  const { stdout } = await promisify(execFile)(
    program("venv", "python"),
    [inRepository("ts/e2e/clients/openai_client.py"), url, model],
    { env: { PATH: process.env["PATH"] ?? "", PYTHONPATH: packages, UAIT_KEY: key } },
  );
  return JSON.parse(stdout) as OpenAiPython;
}

import { generate } from "../build/generate.js";
import type { Context } from "../context.js";
import { installPython } from "../tools/python.js";
import { askQuestion } from "./ask.js";
import { check } from "./check.js";
import { compose } from "./compose.js";
import { down } from "./down.js";
import { logs } from "./logs.js";
import { made } from "./made.js";
import { create } from "./new.js";
import { status } from "./status.js";
import { build, install, up, withCheckout } from "./up.js";

/** Options as given on the command line. */
export interface Options {
  readonly service?: string | undefined;
  readonly follow?: boolean | undefined;
  readonly name?: string | undefined;
  readonly lang?: string | undefined;
  readonly question?: string | undefined;
}

interface Command {
  readonly summary: string;
  run(context: Context, options: Options): Promise<void>;
}

/** Every command of the CLI by its name. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  up: { summary: "bring the mesh up, or up to date", run: up },
  down: { summary: "stop every process of the mesh", run: down },
  status: { summary: "processes, health, memory and ports", run: status },
  logs: {
    summary: "logs of one process (--service NAME) or all; --follow goes on",
    run: (context, { service, follow }) => logs(context, service, follow ?? false),
  },
  ask: {
    summary: "run a task (--question TEXT) and show the tree as it grows",
    run: (context, { question }) => askQuestion(context, question),
  },
  install: { summary: "install the pinned tools", run: (context) => withCheckout(context, () => install(context)) },
  gen: {
    summary: "generate the stubs",
    run: (context) =>
      withCheckout(context, async () => {
        await context.progress.step("install the Python environment", () => installPython(context));
        await context.progress.step("generate", () => generate(context));
      }),
  },
  build: {
    summary: "generate and build every service",
    run: (context) =>
      withCheckout(context, async () => {
        await context.progress.step("install the Python environment", () => installPython(context));
        await build(context);
      }),
  },
  compose: { summary: "prepare .uait/ for deploy/compose", run: compose },
  made: { summary: "write every file that is made from the catalogue", run: made },
  new: { summary: "a new service from the living template (--name, --lang)", run: create },
  check: { summary: "compare every made file with the catalogue", run: check },
};

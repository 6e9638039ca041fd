import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const conditions = ["uait-source"];
/** What one test may take unless it says otherwise, in milliseconds. */
const PATIENCE_MS = 60_000;

/** The CLI's commands run compilers and servers. They begin first, where no run has told yet what takes how long. */
class CommandsFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => (moduleId.includes("/cli/src/commands/") ? 0 : 1);
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

interface OverTheMesh {
  readonly name: string;
  /** Beside the one of that name. */
  readonly folders?: readonly string[];
  /** Which project after which, where several run. */
  readonly order: number;
  /** Files at a time. */
  readonly workers: number;
}

/** Tests that start servers and watch how they behave. */
const overTheMesh = ({ name, folders = [], order, workers }: OverTheMesh) => ({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    name,
    include: [name, ...folders].map((folder) => `e2e/src/${folder}/**/*.test.ts`),
    testTimeout: PATIENCE_MS,
    hookTimeout: 2 * PATIENCE_MS,
    sequence: { groupOrder: order },
    maxWorkers: workers,
    // A process loads the stubs once for all its files.
    isolate: false,
  },
});

/** All files share one mesh, which they take turns to break. */
const withMesh = ({ test, ...project }: ReturnType<typeof overTheMesh>) => ({
  ...project,
  test: { ...test, globalSetup: "e2e/src/mesh/setup.ts" },
});

export default defineConfig({
  test: {
    sequence: { sequencer: CommandsFirst },
    projects: [
      {
        resolve: { conditions },
        ssr: { resolve: { conditions } },
        test: {
          name: "unit",
          include: ["{kit,services,apps,conformance}/**/*.test.ts", "e2e/src/{suite,conformance}/**/*.test.ts"],
          exclude: ["**/dist/**", "**/node_modules/**"],
          testTimeout: PATIENCE_MS,
          hookTimeout: PATIENCE_MS,
          // Many a file mostly waits for servers of its own; a process loads the stubs once for all its files.
          maxWorkers: 3,
          isolate: false,
        },
      },
      // Each file has an Envoy and servers of its own, and mostly waits for them.
      overTheMesh({ name: "edge", order: 1, workers: 4 }),
      overTheMesh({ name: "bad-days", order: 2, workers: 1 }),
      withMesh(overTheMesh({ name: "mesh", folders: ["run"], order: 3, workers: 1 })),
    ],
  },
});

import { defineConfig } from "vitest/config";

const conditions = ["uait-source"];
/** What one test may take unless it says otherwise, in milliseconds. */
const PATIENCE_MS = 60_000;

const overTheMesh = (name: string, ...folders: string[]) => ({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    name,
    include: [name, ...folders].map((folder) => `e2e/src/${folder}/**/*.test.ts`),
    testTimeout: PATIENCE_MS,
    hookTimeout: 2 * PATIENCE_MS,
    // One file at a time: they start servers and watch how they behave.
    fileParallelism: false,
  },
});

export default defineConfig({
  test: {
    projects: [
      {
        resolve: { conditions },
        ssr: { resolve: { conditions } },
        test: {
          name: "unit",
          include: ["{kit,services,apps,conformance}/**/*.test.ts", "e2e/src/suite/**/*.test.ts"],
          exclude: ["**/dist/**", "**/node_modules/**"],
          testTimeout: PATIENCE_MS,
          hookTimeout: PATIENCE_MS,
        },
      },
      overTheMesh("edge"),
      overTheMesh("bad-days"),
      {
        ...overTheMesh("mesh"),
        test: { ...overTheMesh("mesh", "run").test, globalSetup: "e2e/src/mesh/setup.ts" },
      },
    ],
  },
});
